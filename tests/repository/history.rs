//! What the commits are, and which names lead to them.

use super::MAIN;
use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{ByGit, Pushed};
use super::side_by_side::{Row, check, prepared};

impl Case {
    /// Makes branches from the files of the remote, each with a file of its own.
    fn with_branches(self, names: &[&str]) -> Self {
        names.iter().fold(self, |case, name| {
            case.run(&["checkout", "--quiet", "-b", name, "main"])
                .edited(name)
                .run(&["checkout", "--quiet", "main"])
        })
    }

    /// Commits a tree of these lines, as `git mktree` reads them.
    fn committed_lines(self, lines: &str) -> Self {
        let tree = self.git_reads(&["mktree", "--missing"], lines);
        self.committed_tree(&tree)
    }
}

const HISTORY: &[Row] = &[
    ("an octopus merge", Pushed, |case| {
        case.published()
            .with_branches(&["one", "two", "three"])
            .run(&["merge", "--quiet", "-m", "octopus", "one", "two", "three"])
    }),
    ("a merge of a history without a common root", Pushed, |case| {
        case.published()
            .run(&["checkout", "--quiet", "--orphan", "apart"])
            .edited("apart")
            .run(&["checkout", "--quiet", "main"])
            .run(&[
                "merge",
                "--quiet",
                "--allow-unrelated-histories",
                "-m",
                "both",
                "apart",
            ])
    }),
    ("an empty tree", Pushed, |case| {
        case.published().committed_lines("")
    }),
    ("an empty directory", Pushed, |case| {
        let case = case.published();
        let empty = case.git_reads(&["mktree"], "");
        case.committed_lines(&format!("040000 tree {empty}\tnothing\n"))
    }),
    ("a submodule's commit in a tree", Pushed, |case| {
        let case = case.published();
        let commit = case.id("main");
        case.run(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{commit},a/sub"),
        ])
        .run(&["commit", "--quiet", "-m", "submodule"])
    }),
    ("a file that becomes a directory, and back", Pushed, |case| {
        let case = case.published().removed("work/top");
        let case = case.edited("top/file").removed("work/top");
        case.edited("top")
    }),
    (
        "names that are not UTF-8, with line ends and quotes",
        Pushed,
        |case| {
            let case = case.published();
            let blob = case.id("main:top");
            let lines = format!("100644 blob {blob}\t\"\\377\\n\\\"\"\n100755 blob {blob}\tx y\n");
            case.committed_lines(&lines)
        },
    ),
    ("a commit that is older than its parent", Pushed, |case| {
        let case = case.published();
        let tree = case.id("main^:");
        let lines = format!(
            "tree {tree}\nparent {}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\nencoding latin1\nx-more y\n\nold\n",
            case.id("main")
        );
        let commit = case.git_reads(&["hash-object", "-t", "commit", "-w", "--stdin"], &lines);
        case.run(&["update-ref", MAIN, &commit])
    }),
    ("a tag with the name of the branch", Pushed, |case| {
        case.published().run(&["tag", "main"]).edited("top")
    }),
    (
        "an annotated tag with the name of the branch, here and there",
        Pushed,
        |case| {
            case.published()
                .run(&["tag", "-m", "tag", "main"])
                .run(&["push", "--quiet", "@@/remote.git", "refs/tags/main"])
                .edited("top")
        },
    ),
    ("an unborn HEAD", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["symbolic-ref", "HEAD", "refs/heads/unborn"])
    }),
    ("a detached HEAD", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["checkout", "--quiet", "--detach", "HEAD~1"])
    }),
    (
        "a branch that is a symbolic ref outside of refs/heads",
        Pushed,
        |case| {
            case.published()
                .edited("top")
                .run(&["update-ref", "refs/other/main", MAIN])
                .run(&["symbolic-ref", MAIN, "refs/other/main"])
        },
    ),
    ("a branch that is a symbolic ref to a namespace", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["update-ref", "refs/namespaces/x/refs/heads/main", MAIN])
            .run(&["symbolic-ref", MAIN, "refs/namespaces/x/refs/heads/main"])
    }),
    ("packed refs alone", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["pack-refs", "--all", "--prune"])
    }),
    ("a namespace of the remote", Pushed, |case| {
        case.published().edited("top").var("GIT_NAMESPACE", "x/y")
    }),
    (
        "a namespace of the remote, where git itself pushes",
        ByGit("pre-push hook"),
        |case| {
            let case = case.published().edited("top").var("GIT_NAMESPACE", "x");
            case.sandbox.script("work/.git/hooks/pre-push", "#!/bin/sh\n");
            case
        },
    ),
    ("a remote that borrows from this repository", Pushed, |case| {
        case.published()
            .run(&["branch", "pool"])
            .file("remote.git/objects/info/alternates", "@@/work/.git/objects\n")
            .edited("top")
    }),
    ("a remote with a working tree on another branch", Pushed, |case| {
        let case = case.published().edited("top");
        case.git_in(
            &case.sandbox.path(""),
            &["clone", "--quiet", "remote.git", "there"],
        );
        let there = case.sandbox.path("there");
        case.git_in(&there, &["checkout", "--quiet", "-b", "other"]);
        let remote = there.display().to_string();
        Case { there, ..case }.to(&remote)
    }),
];

#[tokio::test]
async fn every_history_is_pushed_as_git_pushes_it() {
    check(prepared(FORMATS, HISTORY)).await;
}
