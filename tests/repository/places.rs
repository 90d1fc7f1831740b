//! Where a repository is: every kind of directory, file and link that leads to one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{DaemonAlone, Pushed, Refused};
use super::side_by_side::{Row, check, prepared};

impl Case {
    /// Adds a clone of `work` as the submodule `sub` of another repository.
    fn submodule(self) -> Self {
        let base = self.sandbox.path("");
        self.git_in(&base, &["init", "--quiet", "super"]);
        let add = [
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            "@@/work",
            "sub",
        ];
        self.git_in(&self.sandbox.path("super"), &add);
        self
    }
}

const PLACES: &[Row] = &[
    ("a working tree", Pushed, |case| case),
    ("its .git", Pushed, |case| case.at("work/.git")),
    ("a symbolic link to it", Pushed, |case| {
        case.linked("work", "link").at("link")
    }),
    ("a symbolic link to its .git", Pushed, |case| {
        case.linked("work/.git", "link").at("link")
    }),
    ("a .git that is a symbolic link", Pushed, |case| {
        case.moved("work/.git", "real").linked("real", "work/.git")
    }),
    ("a bare clone", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git")
    }),
    ("a mirror", Pushed, |case| {
        case.cloned(&["--mirror"], "mirror.git")
    }),
    ("a bare clone with core.bare=false", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git")
            .run(&["config", "core.bare", "false"])
    }),
    ("a working tree with core.bare=true", Pushed, |case| {
        case.config("[core]\n\tbare = true\n")
    }),
    ("a separate git directory", Pushed, |case| {
        case.run(&["init", "--quiet", "--separate-git-dir", "../apart"])
    }),
    ("a .git file with a relative path and line ends", Pushed, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../apart\r\n\n")
    }),
    ("a .git file without a space", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir:../apart\n")
    }),
    ("a .git file with a missing target", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../elsewhere\n")
    }),
    ("a linked worktree", Pushed, |case| case.worktree().at("linked")),
    ("a linked worktree by relative paths", Pushed, |case| {
        case.worktree()
            .file("linked/.git", "gitdir: ../work/.git/worktrees/linked\n")
            .file("work/.git/worktrees/linked/gitdir", "../../../../linked/.git\n")
            .at("linked")
    }),
    ("a linked worktree of a bare repository", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git")
            .run(&["worktree", "add", "--quiet", "../linked", "main"])
            .at("linked")
    }),
    (
        "a linked worktree with a configuration of its own",
        Pushed,
        |case| {
            case.config("[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tworktreeConfig\n")
                .worktree()
                .file(
                    "work/.git/worktrees/linked/config.worktree",
                    "[core]\n\tbare = false\n",
                )
                .at("linked")
        },
    ),
    ("a missing core.worktree", Pushed, |case| {
        case.config("[core]\n\tworktree = @@/nowhere\n")
            .at("work/.git")
            .by_git_dir()
    }),
    ("a missing core.worktree, from the old place", Pushed, |case| {
        case.config("[core]\n\tworktree = @@/nowhere\n")
    }),
    (
        "a missing relative core.worktree",
        DaemonAlone("a push needs no working tree, and git stops only where it would change to it"),
        |case| case.config("[core]\n\tworktree = ../../nowhere\n"),
    ),
    ("core.worktree elsewhere", Pushed, |case| {
        case.file("elsewhere/file", "")
            .config("[core]\n\tworktree = ../../elsewhere\n")
    }),
    (
        "a linked worktree whose extension is only of a newer git",
        DaemonAlone("git 2.48 accepts it"),
        |case| {
            case.worktree()
                .config("[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\trelativeWorktrees = true\n")
                .file("linked/.git", "gitdir: ../work/.git/worktrees/linked\n")
                .file("work/.git/worktrees/linked/gitdir", "../../../../linked/.git\n")
                .at("linked")
        },
    ),
    ("a configuration of the main working tree alone", Pushed, |case| {
        case.config("[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tworktreeConfig\n")
            .file(
                "work/.git/config.worktree",
                "[remote \"there\"]\n\turl = @@/remote.git\n",
            )
            .to("there")
    }),
    ("a submodule", Pushed, |case| case.submodule().at("super/sub")),
    ("the git directory of a submodule", Pushed, |case| {
        case.submodule().at("super/.git/modules/sub").by_git_dir()
    }),
    ("a linked worktree of a submodule", Pushed, |case| {
        case.submodule()
            .at("super/sub")
            .run(&["checkout", "--quiet", "--detach"])
            .run(&["worktree", "add", "--quiet", "@@/linked", "main"])
            .at("linked")
    }),
    ("a clone with a separate git directory", Pushed, |case| {
        case.cloned(&["--separate-git-dir=apart.git"], "clone")
    }),
    ("GIT_DIR", Pushed, |case| {
        case.var("GIT_DIR", "@@/work/.git").by_environment()
    }),
    ("GIT_DIR that names a .git file", Pushed, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../apart\n")
            .var("GIT_DIR", "@@/work/.git")
            .by_environment()
    }),
    ("GIT_DIR of a bare clone, with GIT_WORK_TREE", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git")
            .var("GIT_DIR", "@@/bare.git")
            .var("GIT_WORK_TREE", "@@/work")
            .by_environment()
    }),
    ("GIT_DIR of a linked worktree", Pushed, |case| {
        case.worktree()
            .var("GIT_DIR", "@@/work/.git/worktrees/linked")
            .by_environment()
    }),
    (
        "GIT_DIR of a linked worktree, with GIT_COMMON_DIR",
        Pushed,
        |case| {
            case.worktree()
                .var("GIT_DIR", "@@/work/.git/worktrees/linked")
                .var("GIT_COMMON_DIR", "@@/work/.git")
                .by_environment()
        },
    ),
    ("GIT_DIR that names a working tree", Refused, |case| {
        case.var("GIT_DIR", "@@/work").by_environment()
    }),
    (
        "GIT_COMMON_DIR that names another repository",
        DaemonAlone("git takes the refs of one repository and the objects of the other"),
        |case| {
            case.run(&["init", "--quiet", "--bare", "@@/other.git"])
                .var("GIT_DIR", "@@/work/.git")
                .var("GIT_COMMON_DIR", "@@/other.git")
                .by_environment()
        },
    ),
    ("a path with spaces, quotes and line ends", Pushed, |case| {
        case.moved("work", "a 'b' \"c\"\n$d").at("a 'b' \"c\"\n$d")
    }),
    ("a path that is not UTF-8", Pushed, |mut case| {
        let odd = case.sandbox.path("").join(OsStr::from_bytes(b"w\xffrk"));
        fs::rename(case.sandbox.work(), &odd).expect("moves");
        case.path = Some(odd);
        case
    }),
    ("a repository that a group shares", Pushed, |case| {
        case.run(&[
            "init",
            "--quiet",
            "--shared=0660",
            "--initial-branch=main",
            "@@/shared",
        ])
        .at("shared")
        .edited("file")
    }),
    ("a bare repository that everyone shares", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git")
            .run(&["init", "--quiet", "--bare", "--shared=all"])
            .plumbed("file")
    }),
    ("a repository that cannot be written", Pushed, |case| {
        case.published().edited("top").read_only()
    }),
    ("a clone that cannot be written", Pushed, |case| {
        let case = case.published().cloned_from_remote(&[], "clone").edited("top");
        case.read_only()
    }),
    (
        "a configuration with an include that git reads only later",
        Pushed,
        |case| {
            case.config("[include]\n\tpath = @@/included\n")
                .file("included", "[core]\n\trepositoryFormatVersion = 7\n")
        },
    ),
    ("no HEAD", Refused, |case| {
        fs::remove_file(case.git_dir().join("HEAD")).expect("removes");
        case
    }),
    ("a HEAD that names no ref", Refused, |case| {
        case.file("work/.git/HEAD", "ref: main\n")
    }),
    ("no refs", Refused, |case| case.removed("work/.git/refs")),
    ("no objects", Refused, |case| case.removed("work/.git/objects")),
    ("a directory outside any repository", Refused, |case| {
        case.file("work/inside/file", "")
            .removed("work/.git")
            .at("work/inside")
    }),
];

#[tokio::test]
async fn repositories_of_every_shape_are_opened_as_git_opens_them() {
    check(prepared(FORMATS, PLACES)).await;
}
