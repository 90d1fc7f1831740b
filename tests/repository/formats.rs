//! The versions of the format, and the extensions, that git accepts.

use std::fs;

use super::case::USUAL;
use super::side_by_side::Expected::{self, DaemonAlone, Pushed, Refused};
use super::side_by_side::{Row, cases, check, prepared};

/// A version of the format, and the lines below `[extensions]`.
const VERSIONS: &[(&str, &str, Expected)] = &[
    ("1", "noop", Pushed),
    ("1", "noop-v1 = x", Pushed),
    ("0", "noop", Pushed),
    ("0", "noop-v1", Refused),
    ("1", "preciousObjects = true", Pushed),
    ("1", "preciousObjects = perhaps", Refused),
    ("1", "worktreeConfig = true", Pushed),
    ("0", "worktreeConfig = true", Pushed),
    ("1", "partialClone = origin", Pushed),
    ("1", "partialClone", Refused),
    ("1", "objectFormat = sha1", Pushed),
    ("0", "objectFormat = sha1", Refused),
    ("1", "objectFormat = SHA1", Refused),
    ("1", "refStorage = files", Pushed),
    ("0", "refStorage = files", Refused),
    ("1", "refStorage = stone", Refused),
    ("1", "compatObjectFormat = sha256", Pushed),
    ("1", "compatObjectFormat = sha1", Refused),
    (
        "1",
        "compatObjectFormat = sha256\ncompatObjectFormat = sha256",
        Refused,
    ),
    ("1", "frobnicate", Refused),
    ("0", "frobnicate", Pushed),
    ("1", "[extensions \"noop\"]\n\tx = y", Refused),
    ("2", "", Refused),
    ("one", "", Refused),
    ("-1", "frobnicate", Pushed),
    ("", "frobnicate", Refused),
    ("0x1", "noop", Pushed),
    ("01", "frobnicate", Refused),
    ("1k", "", Refused),
    ("1 # the second", "noop-v1", Pushed),
    ("0", "preciousObjects = true", Pushed),
    ("0", "partialClone = origin", Pushed),
    ("0", "relativeWorktrees = true", Pushed),
    (
        "1",
        "relativeWorktrees = true",
        DaemonAlone("git 2.48 accepts it, and it does not affect a push"),
    ),
];

/// Repositories whose configuration names no version.
const UNVERSIONED: &[Row] = &[
    ("no configuration at all", Pushed, |case| {
        fs::remove_file(case.git_dir().join("config")).expect("removes");
        case
    }),
    (
        "extensions without a version, which do not count",
        Pushed,
        |case| {
            case.file(
                "work/.git/config",
                "[extensions]\n\tfrobnicate = 1\n\tobjectFormat = sha1\n",
            )
        },
    ),
];

#[tokio::test]
async fn formats_are_judged_as_git_judges_them() {
    let rows = cases(USUAL, VERSIONS, |(version, lines, expected), case| {
        let content = format!("[core]\n\trepositoryFormatVersion = {version}\n[extensions]\n{lines}\n");
        let case = case.config(&content);
        (content, *expected, case)
    });
    check(rows.chain(prepared(USUAL, UNVERSIONED))).await;
}
