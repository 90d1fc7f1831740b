//! `HEAD` and the branch, in every form in which git reads them.

use std::fs;
use std::os::unix::fs::symlink;

use super::MAIN;
use super::case::USUAL;
use super::side_by_side::Expected::{Pushed, Rejected};
use super::side_by_side::{Row, check, prepared};

const REFS: &[Row] = &[
    ("a detached HEAD", Pushed, |case| {
        case.run(&["checkout", "--quiet", "--detach"])
    }),
    ("a HEAD with spaces", Pushed, |case| {
        case.file("work/.git/HEAD", "ref:   refs/heads/main  \n\n")
    }),
    ("a HEAD with tabs", Pushed, |case| {
        case.file("work/.git/HEAD", "ref:\t\trefs/heads/main\t\r\n")
    }),
    ("a HEAD without a space", Pushed, |case| {
        case.file("work/.git/HEAD", "ref:refs/heads/main")
    }),
    ("a HEAD that is a symbolic link", Pushed, |case| {
        let head = case.git_dir().join("HEAD");
        fs::remove_file(&head).expect("removes");
        symlink("refs/heads/main", head).expect("links");
        case
    }),
    (
        "a branch that is a symbolic ref with spaces and tabs",
        Pushed,
        |case| {
            case.run(&["branch", "real"])
                .file("work/.git/refs/heads/main", "ref: \t refs/heads/real \t\n")
        },
    ),
    ("a branch that is a symbolic link", Pushed, |case| {
        let case = case.run(&["branch", "real"]);
        fs::remove_file(case.git_dir().join("refs/heads/main")).expect("removes");
        symlink("refs/heads/real", case.git_dir().join("refs/heads/main")).expect("links");
        case
    }),
    ("a branch with text after its id", Pushed, |case| {
        let tip = case.id("main");
        case.file("work/.git/refs/heads/main", &format!("{tip}\tof something\n"))
    }),
    ("packed refs", Pushed, |case| {
        case.run(&["pack-refs", "--all", "--prune"])
    }),
    (
        "packed refs that are not sorted and have no header",
        Pushed,
        |case| {
            let tip = case.id("main");
            case.run(&["pack-refs", "--all", "--prune"]).file(
                "work/.git/packed-refs",
                &format!("{tip} refs/tags/z\n{tip} refs/heads/main\n{tip} refs/heads/a\n"),
            )
        },
    ),
    ("a symbolic ref to a packed one", Pushed, |case| {
        case.run(&["branch", "real"])
            .run(&["symbolic-ref", MAIN, "refs/heads/real"])
            .run(&["pack-refs", "--all", "--prune"])
    }),
    (
        "a chain of as many symbolic refs as git follows",
        Pushed,
        |case| {
            case.run(&["branch", "real"])
                .run(&["symbolic-ref", MAIN, "refs/heads/a"])
                .run(&["symbolic-ref", "refs/heads/a", "refs/heads/b"])
                .run(&["symbolic-ref", "refs/heads/b", "refs/heads/c"])
                .run(&["symbolic-ref", "refs/heads/c", "refs/heads/real"])
        },
    ),
    (
        "a chain of one more",
        Rejected("the chain of symbolic refs is too long", "does not match any"),
        |case| {
            case.run(&["branch", "real"])
                .run(&["symbolic-ref", "refs/heads/a", "refs/heads/b"])
                .run(&["symbolic-ref", "refs/heads/b", "refs/heads/c"])
                .run(&["symbolic-ref", "refs/heads/c", "refs/heads/d"])
                .run(&["symbolic-ref", "refs/heads/d", "refs/heads/real"])
                .file("work/.git/refs/heads/main", "ref: refs/heads/a\n")
        },
    ),
];

#[tokio::test]
async fn refs_are_read_as_git_reads_them() {
    check(prepared(USUAL, REFS)).await;
}
