//! Replacements and grafts, which change what git shows of the objects, but not the objects.

use super::MAIN;
use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{DaemonAlone, GitAlone, Pushed};
use super::side_by_side::{Row, check, prepared};

impl Case {
    /// Replaces an object by another one of its type.
    fn replaced(self, revision: &str, by: &str) -> Self {
        let by = self.git(&["rev-parse", by]);
        self.run(&["replace", revision, &by])
    }

    /// A new commit, which git takes for one without parents.
    fn cut(self) -> Self {
        self.published()
            .edited("top")
            .run(&["replace", "--graft", "main"])
    }
}

const REPLACED: &[Row] = &[
    (
        "a commit that is replaced by one with another message",
        Pushed,
        |case| {
            let case = case.published().edited("top");
            let tree = case.id("main^{tree}");
            let other = case.git(&["commit-tree", "-p", "main~1", "-m", "other", &tree]);
            case.replaced("main", &other).edited("a/file")
        },
    ),
    ("a tree that is replaced", Pushed, |case| {
        case.published().edited("a/file").replaced("main:a", "main:z")
    }),
    ("a file that is replaced", Pushed, |case| {
        case.published().edited("top").replaced("main:top", "main:z/file")
    }),
    ("an old tree that is replaced", Pushed, |case| {
        case.published().edited("a/file").replaced("main~1:a", "main:a")
    }),
    ("a root that is replaced by one with a parent", Pushed, |case| {
        let case = case.published().edited("top");
        let empty = case.git_reads(&["mktree"], "");
        let before = case.git(&["commit-tree", "-m", "before", &empty]);
        let root = case.git(&["rev-list", "--max-parents=0", "main"]);
        case.run(&["replace", "--graft", &root, &before])
    }),
    (
        "a commit that is replaced by one without the remote's",
        DaemonAlone("the remote knows the true history, in which this is a fast-forward"),
        Case::cut,
    ),
    (
        "the same, where git itself pushes",
        DaemonAlone("the remote knows the true history, in which this is a fast-forward"),
        |case| {
            let case = case.cut();
            case.sandbox.script("work/.git/hooks/pre-push", "#!/bin/sh\n");
            case
        },
    ),
    ("the same without replacements", Pushed, |case| {
        case.cut().var("GIT_NO_REPLACE_OBJECTS", "1")
    }),
    ("the same with core.useReplaceRefs", Pushed, |case| {
        case.cut().config("[core]\n\tuseReplaceRefs = false\n")
    }),
    ("replacements in another place", Pushed, |case| {
        case.cut().var("GIT_REPLACE_REF_BASE", "refs/elsewhere/")
    }),
    (
        "a commit that is replaced by a descendant of a diverged remote",
        GitAlone(
            "the remote would lose a commit: it knows the true history, in which this is no fast-forward",
        ),
        |case| {
            let case = case
                .published()
                .edited("top")
                .run(&["push", "--quiet", "@@/remote.git", "main"]);
            let other = case.id("main");
            case.run(&["reset", "--quiet", "--hard", "main~1"])
                .edited("a/file")
                .run(&["replace", "--graft", "main", &other])
        },
    ),
    ("grafts that add a parent", Pushed, |case| {
        let case = case.published().edited("top");
        let root = case.git(&["rev-list", "--max-parents=0", "main"]);
        let other = case.git(&["commit-tree", "-m", "other", "main^{tree}"]);
        case.file("work/.git/info/grafts", &format!("{root} {other}\n"))
    }),
    (
        "grafts that remove the parent",
        DaemonAlone("the remote knows the true history, in which this is a fast-forward"),
        |case| {
            let case = case.published().edited("top");
            let tip = case.git(&["rev-parse", MAIN]);
            case.file("work/.git/info/grafts", &format!("{tip}\n"))
        },
    ),
    (
        "such grafts, where git itself pushes",
        DaemonAlone("the remote knows the true history, in which this is a fast-forward"),
        |case| {
            let case = case.published().edited("top");
            let tip = case.git(&["rev-parse", MAIN]);
            case.sandbox.script("work/.git/hooks/pre-push", "#!/bin/sh\n");
            case.file("work/.git/info/grafts", &format!("{tip}\n"))
        },
    ),
    ("grafts of an old commit", Pushed, |case| {
        let case = case.published();
        let tip = case.git(&["rev-parse", MAIN]);
        case.edited("top")
            .file("work/.git/info/grafts", &format!("{tip}\n"))
    }),
];

#[tokio::test]
async fn what_is_replaced_here_is_pushed_as_it_is() {
    check(prepared(FORMATS, REPLACED)).await;
}
