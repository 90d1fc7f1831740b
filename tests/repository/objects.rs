//! The object directories: the repository's own, that of the environment, and alternates.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{ByGit, DaemonAlone, Pushed, Refused, Rejected};
use super::side_by_side::{Row, check, prepared};

/// The repository's own objects in `pool` and `more`, one commit packed and one loose.
fn pooled(case: Case) -> Case {
    case.run(&["repack", "-adq"])
        .commit()
        .moved("work/.git/objects/pack", "pool/pack")
        .moved("work/.git/objects", "more")
        .file("work/.git/objects/info/x", "")
}

const OBJECTS: &[Row] = &[
    (
        "no objects anywhere",
        Rejected("is missing from the local repository", "bad object"),
        pooled,
    ),
    ("GIT_OBJECT_DIRECTORY", Pushed, |case| {
        pooled(case)
            .removed("work/.git/objects")
            .file("more/info/alternates", "../pool\n")
            .var("GIT_OBJECT_DIRECTORY", "@@/more")
    }),
    ("a relative GIT_OBJECT_DIRECTORY", Pushed, |case| {
        pooled(case)
            .file("more/info/alternates", "@@/pool")
            .var("GIT_OBJECT_DIRECTORY", "../more/")
    }),
    ("a missing GIT_OBJECT_DIRECTORY", Refused, |case| {
        case.var("GIT_OBJECT_DIRECTORY", "@@/nowhere")
    }),
    ("a missing relative GIT_OBJECT_DIRECTORY", Refused, |case| {
        case.var("GIT_OBJECT_DIRECTORY", "nowhere")
    }),
    ("an empty GIT_OBJECT_DIRECTORY", Refused, |case| {
        case.var("GIT_OBJECT_DIRECTORY", "")
    }),
    ("a path that is not UTF-8", Pushed, |case| {
        let odd = case.sandbox.path("").join(OsStr::from_bytes(b"o\xffdd"));
        fs::create_dir(&odd).expect("creates");
        fs::rename(case.sandbox.work(), odd.join("work")).expect("moves");
        symlink(odd.join("work"), case.sandbox.work()).expect("links");
        case
    }),
    ("GIT_ALTERNATE_OBJECT_DIRECTORIES", Pushed, |case| {
        pooled(case).var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "@@/nowhere:@@/pool:@@/more")
    }),
    ("relative GIT_ALTERNATE_OBJECT_DIRECTORIES", Pushed, |case| {
        pooled(case).var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "../pool:../more")
    }),
    ("quoted GIT_ALTERNATE_OBJECT_DIRECTORIES", Pushed, |case| {
        pooled(case).moved("pool", "a:b \"c\"").var(
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "\"@@/a:b \\\"c\\\"\":\"@@/mor\\145\"",
        )
    }),
    (
        "a list that is commented out",
        Rejected(
            "is missing from the local repository",
            "Failed to traverse parents",
        ),
        |case| pooled(case).var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "#@@/pool:@@/more"),
    ),
    ("a directory with alternates of its own", Pushed, |case| {
        pooled(case)
            .file("more/info/alternates", "../pool")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "@@/more")
    }),
    ("both variables", Pushed, |case| {
        pooled(case)
            .removed("work/.git/objects")
            .var("GIT_OBJECT_DIRECTORY", "@@/more")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "@@/pool")
    }),
    (
        "both where git itself pushes, for a hook",
        ByGit("pre-push hook"),
        |case| {
            let case = pooled(case)
                .var("GIT_OBJECT_DIRECTORY", "../more")
                .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "../pool");
            case.sandbox.script("work/.git/hooks/pre-push", "#!/bin/sh\n");
            case
        },
    ),
    ("both of a linked worktree, relative to it", Pushed, |case| {
        pooled(case)
            .file("linked/.git", "gitdir: @@/work/.git/worktrees/linked\n")
            .file("work/.git/worktrees/linked/HEAD", "ref: refs/heads/main\n")
            .file("work/.git/worktrees/linked/commondir", "../..\n")
            .file("work/.git/worktrees/linked/gitdir", "@@/linked/.git\n")
            .var("GIT_OBJECT_DIRECTORY", "../more")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "../pool")
            .at("linked")
    }),
    (
        "alternates with comments, empty lines and missing directories",
        Pushed,
        |case| {
            pooled(case).file(
                "work/.git/objects/info/alternates",
                "# pools\n\n@@/nowhere\n../../../pool/\n@@/more\n",
            )
        },
    ),
    ("quoted alternates", Pushed, |case| {
        pooled(case)
            .moved("pool", "line\nend")
            .moved("more", "qu\"ote")
            .file(
                "work/.git/objects/info/alternates",
                "\"../../../line\\nend\"\n\"@@/qu\\\"ote\"\n",
            )
    }),
    ("a quote that does not end", Pushed, |case| {
        pooled(case)
            .moved("pool", "work/.git/objects/\"pool")
            .file("work/.git/objects/info/alternates", "\"pool\n../../../more\n")
    }),
    ("a relative alternate without a leading dot", Pushed, |case| {
        pooled(case)
            .moved("pool", "work/.git/objects/pool")
            .file("work/.git/objects/info/alternates", "pool\n@@/more")
    }),
    (
        "alternates with Windows line ends",
        DaemonAlone("libgit2 reads such lines too, and the objects that it finds are checked"),
        |case| pooled(case).file("work/.git/objects/info/alternates", "@@/pool\r\n@@/more\r\n"),
    ),
    (
        "alternates of alternates, absolute and relative",
        Pushed,
        |case| {
            pooled(case)
                .file("work/.git/objects/info/alternates", "../../../1/objects\n")
                .file("1/objects/info/alternates", "@@/2\n../../more\n")
                .file("2/info/alternates", "../3\n")
                .file("3/info/alternates", "\"../4\"\n")
                .file("4/info/alternates", "../pool\n")
        },
    ),
    ("alternates as deep as git reads them", Pushed, |case| {
        deep(case, 6)
    }),
    ("alternates in a circle", Pushed, |case| {
        pooled(case)
            .file("work/.git/objects/info/alternates", "@@/pool\n")
            .file("pool/info/alternates", "../work/.git/objects\n../more\n")
            .file("more/info/alternates", "../pool\n")
    }),
    ("a clone that borrows", Pushed, |case| {
        case.cloned(&["--shared"], "borrowed")
    }),
    (
        "a bare clone that borrows, without commits of its own",
        Pushed,
        |case| {
            case.commit()
                .run(&["clone", "--quiet", "--bare", "--shared", ".", "../bare.git"])
                .at("bare.git")
        },
    ),
    ("a clone with a reference", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--reference", "work"], "borrowed")
            .edited("a/b/file")
    }),
    (
        "a bare clone with a reference, in a linked worktree",
        Pushed,
        |case| {
            case.published()
                .cloned_from_remote(&["--bare", "--reference", "work"], "bare.git")
                .run(&["worktree", "add", "--quiet", "../linked", "main"])
                .at("linked")
                .edited("a/b/file")
        },
    ),
    (
        "a clone with a reference that it no longer needs",
        Pushed,
        |case| {
            case.published()
                .cloned_from_remote(&["--reference", "work", "--dissociate"], "own")
                .edited("a/b/file")
                .removed("work")
        },
    ),
    ("a clone whose missing reference may be missing", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--reference-if-able", "nowhere"], "own")
            .edited("a/b/file")
    }),
    (
        "a clone whose reference is gone",
        Rejected(
            "which this repository lacks",
            "unable to normalize alternate object path",
        ),
        |case| {
            case.published()
                .cloned_from_remote(&["--reference", "work"], "borrowed")
                .edited("a/b/file")
                .removed("work")
        },
    ),
];

/// A chain of alternates, the last of which has the objects.
fn deep(case: Case, depth: usize) -> Case {
    let case = pooled(case).file("work/.git/objects/info/alternates", "@@/1\n");
    (1..depth).fold(case, |case, index| {
        let last = index + 1 == depth;
        let lines = if last {
            "../pool\n../more\n".to_owned()
        } else {
            format!("../{}\n", index + 1)
        };
        case.file(&format!("{index}/info/alternates"), &lines)
    })
}

#[tokio::test]
async fn objects_are_found_where_git_finds_them() {
    check(prepared(FORMATS, OBJECTS)).await;
}
