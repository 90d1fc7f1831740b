//! Repositories of other users, and `safe.directory`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{self, Pushed, Refused};
use super::side_by_side::{Row, cases, check, prepared};
use super::support::report;

const OTHER_USER: u32 = 65_534;

impl Case {
    /// Lists values of `safe.directory`, in this order, in the user's file, for a repository of another user.
    fn safe(self, values: &[&str]) -> Self {
        let lines: Vec<_> = values
            .iter()
            .map(|value| format!("\tdirectory{value}\n"))
            .collect();
        let remote = r#"[remote "there"]
    url = @@/remote.git
    receivePack = GIT_TEST_ASSUME_DIFFERENT_OWNER=0 git receive-pack
"#;
        self.to("there")
            .file("global", &format!("{remote}[safe]\n{}", lines.concat()))
            .var("GIT_CONFIG_GLOBAL", "@@/global")
            .var("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    }
}

/// `safe.directory` lines in the user's file for the working tree `work`.
const SAFE_LISTS: &[(&str, Expected, &[&str])] = &[
    ("nothing listed", Refused, &[]),
    ("the directory", Pushed, &[" = @@/work"]),
    ("with a trailing slash", Pushed, &[" = @@/work/"]),
    ("with dots in it", Pushed, &[" = @@/home/.././work/."]),
    ("its .git, of a working tree", Refused, &[" = @@/work/.git"]),
    ("everything", Pushed, &[" = *"]),
    ("everything below", Pushed, &[" = @@/*"]),
    ("everything below itself", Refused, &[" = @@/work/*"]),
    ("everything below a part of its name", Refused, &[" = @@/wo/*"]),
    ("everything below the root", Pushed, &[" = /*"]),
    ("a glob, which git does not support", Refused, &[" = @@/w*"]),
    (
        "everything below a missing directory",
        Refused,
        &[" = @@/nowhere/*"],
    ),
    ("a dot", Pushed, &[" = ."]),
    ("a relative path", Refused, &[" = work", " = ./", " = .."]),
    ("where git is installed", Refused, &[" = %(prefix)/work"]),
    (
        "something below where git is installed",
        Pushed,
        &[" = %(prefix)/../../../../../../../../@@/work"],
    ),
    ("nothing, which resets", Refused, &[" = @@/work", " = "]),
    ("no value, which resets", Refused, &[" = *", ""]),
    (
        "another one after a reset",
        Pushed,
        &[" = *", " = ", " = @@/work"],
    ),
];

const SAFE: &[Row] = &[
    ("its .git, of the .git", Pushed, |case| {
        case.safe(&[" = @@/work/.git"]).at("work/.git")
    }),
    ("the working tree, of the .git", Refused, |case| {
        case.safe(&[" = @@/work"]).at("work/.git")
    }),
    ("everything below, of a deeper repository", Pushed, |case| {
        case.moved("work", "a/b/work").safe(&[" = @@/a/*"]).at("a/b/work")
    }),
    ("the home directory", Pushed, |case| {
        case.moved("work", "home/work")
            .at("home/work")
            .safe(&[" = ~/work"])
    }),
    ("everything below the home directory", Pushed, |case| {
        case.moved("work", "home/work").at("home/work").safe(&[" = ~/*"])
    }),
    ("a symbolic link to it", Pushed, |case| {
        case.linked("work", "link").safe(&[" = @@/link"])
    }),
    ("it, of a symbolic link", Pushed, |case| {
        case.linked("work", "link").safe(&[" = @@/work"]).at("link")
    }),
    ("everything below a symbolic link", Pushed, |case| {
        case.moved("work", "a/work")
            .linked("a", "link")
            .safe(&[" = @@/link/*"])
            .at("a/work")
    }),
    ("a bare repository", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git").safe(&[" = @@/bare.git"])
    }),
    ("a linked worktree", Pushed, |case| {
        case.worktree().at("linked").safe(&[" = @@/linked"])
    }),
    ("the main one, of a linked worktree", Refused, |case| {
        case.worktree().at("linked").safe(&[" = @@/work"])
    }),
    ("core.worktree is not asked", Refused, |case| {
        case.file("elsewhere/file", "")
            .config("[core]\n\tworktree = @@/elsewhere\n")
            .safe(&[" = @@/elsewhere"])
    }),
    ("in the repository's own configuration", Refused, |case| {
        case.config("[safe]\n\tdirectory = *\n").safe(&[])
    }),
    ("in the environment", Pushed, |case| {
        case.safe(&[])
            .var("GIT_CONFIG_COUNT", "1")
            .var("GIT_CONFIG_KEY_0", "safe.directory")
            .var("GIT_CONFIG_VALUE_0", "@@/work")
    }),
    ("by git -c", Pushed, |case| {
        case.safe(&[])
            .var("GIT_CONFIG_PARAMETERS", "'safe.directory'='@@/work'")
    }),
    ("in the system's file", Pushed, |case| {
        case.safe(&[])
            .file("system", "[safe]\n\tdirectory = @@/work\n")
            .var("GIT_CONFIG_NOSYSTEM", "0")
            .var("GIT_CONFIG_SYSTEM", "@@/system")
    }),
    ("in a file that is included", Pushed, |case| {
        case.file("included", "[safe]\n\tdirectory = *\n")
            .safe(&["\n[include]\n\tpath = @@/included\n[safe]\n\tx = y"])
    }),
    (
        "in a file that is included for this repository",
        Refused,
        |case| {
            case.file("included", "[safe]\n\tdirectory = *\n")
                .safe(&[" = @@/x\n[includeIf \"gitdir:**\"]\n\tpath = @@/included\n[safe]\n\tx = y"])
        },
    ),
];

/// The paths that belong to another user, and `SUDO_UID`. Only root can give files away.
const OWNED: &[(&str, Expected, &[&str], &str)] = &[
    ("of another user", Refused, &["work", "work/.git"], ""),
    ("a working tree of another user", Refused, &["work"], ""),
    ("a .git of another user", Refused, &["work/.git"], ""),
    (
        "objects of another user",
        Pushed,
        &["work/.git/objects", "work/.git/HEAD", "work/.git/config"],
        "",
    ),
    (
        "of the user who ran sudo",
        Pushed,
        &["work", "work/.git"],
        "65534",
    ),
    ("of root and of the user who ran sudo", Pushed, &["work"], "65534"),
    (
        "of another user than ran sudo",
        Refused,
        &["work", "work/.git"],
        "1000",
    ),
    (
        "with a SUDO_UID that is no number",
        Refused,
        &["work", "work/.git"],
        "65534x",
    ),
];

const OWNERS: &[Row] = &[
    ("a .git in a working tree of another user", Pushed, |case| {
        case.owned(&["work"], OTHER_USER).at("work/.git")
    }),
    ("a .git file of another user", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../apart\n")
            .owned(&["work/.git"], OTHER_USER)
    }),
    ("the target of a .git file, of another user", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../apart\n")
            .owned(&["apart"], OTHER_USER)
    }),
    ("a .git that is another user's symbolic link", Refused, |case| {
        case.moved("work/.git", "real")
            .linked("real", "work/.git")
            .owned(&["work/.git"], OTHER_USER)
    }),
    ("a symbolic link to a .git of another user", Pushed, |case| {
        case.moved("work/.git", "real")
            .linked("real", "work/.git")
            .owned(&["real"], OTHER_USER)
    }),
    (
        "the common directory of a worktree, of another user",
        Pushed,
        |case| {
            case.worktree()
                .owned(&["work", "work/.git"], OTHER_USER)
                .at("linked")
        },
    ),
    ("of another user, and listed", Pushed, |case| {
        case.owned(&["work", "work/.git"], OTHER_USER)
            .safe(&[" = @@/work"])
            .var("GIT_TEST_ASSUME_DIFFERENT_OWNER", "0")
    }),
];

#[tokio::test]
async fn safe_directories_are_listed_by_gits_rules() {
    let lists = cases(FORMATS, SAFE_LISTS, |(name, expected, values), case| {
        ((*name).to_owned(), *expected, case.safe(values))
    });
    check(lists.chain(prepared(FORMATS, SAFE))).await;
}

#[tokio::test]
async fn owners_are_judged_as_git_judges_them() {
    if fs::metadata("/proc/self").expect("proc").uid() != 0 {
        report("SKIPPED the tests of owners: only root can give files away");
        return;
    }
    let owned = cases(FORMATS, OWNED, |(name, expected, paths, sudo), case| {
        let case = case.owned(paths, OTHER_USER);
        let case = if sudo.is_empty() {
            case
        } else {
            case.var("SUDO_UID", sudo)
        };
        ((*name).to_owned(), *expected, case)
    });
    check(owned.chain(prepared(FORMATS, OWNERS))).await;
}
