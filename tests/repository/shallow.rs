//! Shallow clones, as the source and as the remote of a push.

use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{self, Pushed, Rejected};
use super::side_by_side::{Row, check, prepared};

impl Case {
    /// A clone of the remote with its last commit.
    fn shallow(self) -> Self {
        self.published().cloned_from_remote(&["--depth=1"], "clone")
    }
}

const REFUSED: Expected = Rejected("shallow update not allowed", "shallow update not allowed");

const SHALLOW: &[Row] = &[
    ("by depth", Pushed, |case| case.shallow().edited("top")),
    ("by depth, of more than one commit", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--depth=2"], "clone")
            .edited("a/file")
            .edited("a/b/file")
    }),
    ("by date", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--shallow-since=2001-01-01"], "clone")
            .edited("top")
    }),
    ("by an excluded tag", Pushed, |case| {
        case.published()
            .run(&["push", "--quiet", "@@/remote.git", "main~1:refs/tags/old"])
            .cloned_from_remote(&["--shallow-exclude=old"], "clone")
            .edited("top")
    }),
    ("of a bare clone", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--depth=1", "--bare"], "clone")
            .plumbed("a/file")
    }),
    ("by a later fetch", Pushed, |case| {
        case.published()
            .cloned_from_remote(&[], "clone")
            .run(&["fetch", "--quiet", "--depth=1", "origin"])
            .edited("top")
    }),
    ("made deeper", Pushed, |case| {
        case.shallow()
            .run(&["fetch", "--quiet", "--deepen=1", "origin"])
            .edited("top")
    }),
    ("no longer", Pushed, |case| {
        case.shallow()
            .run(&["fetch", "--quiet", "--unshallow", "origin"])
            .edited("top")
    }),
    ("in a linked worktree", Pushed, |case| {
        case.shallow()
            .run(&["checkout", "--quiet", "--detach"])
            .run(&["worktree", "add", "--quiet", "../linked", "main"])
            .at("linked")
            .edited("top")
    }),
    ("with a commit-graph", Pushed, |case| {
        case.shallow()
            .edited("top")
            .run(&["commit-graph", "write", "--reachable"])
    }),
    ("with old files that are changed back", Pushed, |case| {
        // Git reads the boundary's tree too: the old version of the file is not in it.
        let case = case.shallow();
        let old = case.id("main~1:a/b/file");
        let content = case.git_in(&case.sandbox.work(), &["cat-file", "blob", &old]) + "\n";
        let again = case.git_reads(&["hash-object", "-w", "--stdin"], &content);
        assert_eq!(again, old);
        case.added("a/b/file", &again)
    }),
    ("to an empty remote", REFUSED, |case| {
        case.shallow().edited("top").into_other()
    }),
    ("to an empty remote that allows it", Pushed, |case| {
        case.shallow()
            .edited("top")
            .into_other()
            .run_there(&["config", "receive.shallowUpdate", "true"])
    }),
    ("to another remote that has the history", Pushed, |case| {
        let case = case.shallow().edited("top").into_other();
        case.git_in(&case.sandbox.work(), &["push", "--quiet", "@@/other.git", "main"]);
        case
    }),
    (
        "to another remote that has a part of the history",
        Rejected("NonFastForward", "fetch first"),
        |case| {
            let case = case.shallow().edited("top").into_other();
            case.git_in(
                &case.sandbox.work(),
                &["push", "--quiet", "@@/other.git", "main~2:refs/heads/main"],
            );
            case
        },
    ),
    ("the remote alone", Pushed, |case| {
        case.published()
            .run(&[
                "clone",
                "--quiet",
                "--bare",
                "--depth=1",
                "file://@@/work",
                "@@/other.git",
            ])
            .into_other()
            .edited("top")
    }),
    (
        "the remote alone, which lacks what is pushed",
        Rejected("could not store the pack", "missing necessary objects"),
        |case| {
            case.published()
                .run(&[
                    "clone",
                    "--quiet",
                    "--bare",
                    "--depth=1",
                    "file://@@/work",
                    "@@/other.git",
                ])
                .into_other()
                .run_there(&["branch", "--quiet", "-m", "main", "other"])
                .run(&["reset", "--quiet", "--hard", "main~1"])
                .edited("top")
        },
    ),
    ("both", Pushed, |case| {
        case.shallow()
            .run(&[
                "clone",
                "--quiet",
                "--bare",
                "--depth=1",
                "file://@@/work",
                "@@/other.git",
            ])
            .into_other()
            .edited("top")
    }),
    ("with an empty list", Pushed, |case| {
        case.published().file("work/.git/shallow", "").edited("top")
    }),
    ("with a commit that is gone", Pushed, |case| {
        let case = case.published().edited("top");
        let gone = case.git_reads(&["hash-object", "-t", "blob", "--stdin"], "gone");
        case.file("work/.git/shallow", &format!("{gone}\n"))
    }),
    (
        "with a list that is damaged",
        Rejected("not an object id", "bad shallow line"),
        |case| {
            case.published()
                .edited("top")
                .file("work/.git/shallow", "nothing\n")
        },
    ),
];

#[tokio::test]
async fn shallow_clones_are_pushed_where_git_pushes_them() {
    check(prepared(FORMATS, SHALLOW)).await;
}
