//! What a push writes in the local repository.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::MAIN;
use super::case::{Case, FORMATS};
use super::side_by_side::{copy as copy_all, push};

/// Every file and directory of refs and reflogs, with its permissions.
fn written(git_dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![git_dir.join("refs"), git_dir.join("logs")];
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .expect("readable")
                    .map(|entry| entry.expect("an entry").path()),
            );
        }
        let name = path.strip_prefix(git_dir).expect("below").to_owned();
        found.insert(name, format!("{:o}", metadata.permissions().mode() & 0o7777));
    }
    found
}

const USUAL: &str = "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*";

/// Settings beside [`USUAL`] under which git and the daemon write the same.
const SETTINGS: &[&str] = &[
    "core.sharedRepository=group",
    "core.sharedRepository=true",
    "core.sharedRepository=all",
    "core.sharedRepository=everybody",
    "core.sharedRepository=0660",
    "core.sharedRepository=0640",
    "core.sharedRepository=0600",
    "core.sharedRepository=0664",
    "core.sharedRepository=1",
    "core.sharedRepository=2",
    "core.sharedRepository=umask",
    "core.logAllRefUpdates=false",
    // A negative line that git ignores here.
    "remote.origin.fetch=^refs/heads/main",
];

/// `remote.origin.fetch` in lines, and the ref that only the daemon writes.
const FETCHED: &[(&[&str], Option<&str>)] = &[
    (&["+refs/heads/*:refs/remotes/origin/*"], None),
    (&["refs/heads/*:refs/remotes/else/where/*"], None),
    (&["refs/heads/main:refs/copy/of/main"], None),
    // The first line that applies wins.
    (
        &[
            "refs/heads/other:refs/remotes/a/other",
            "refs/heads/ma*:refs/remotes/b/*",
            "refs/heads/*:refs/remotes/c/*",
        ],
        None,
    ),
    // A negative line that git applies.
    (
        &["refs/heads/main:refs/remotes/origin/main", "^refs/heads/m*"],
        None,
    ),
    // The usual place belongs to another branch.
    (&["refs/heads/other:refs/remotes/origin/main"], None),
    (&[], Some("refs/remotes/origin/main")),
    (
        &["refs/heads/other:refs/remotes/origin/other"],
        Some("refs/remotes/origin/main"),
    ),
    (&["refs/heads/main"], Some("refs/remotes/origin/main")),
];

/// Names of remotes that cannot be part of a ref's name.
const UNUSABLE: &[&str] = &[
    "my remote",
    "..",
    "a..b",
    "~",
    "foo.lock",
    "https://host.example/r.git",
];

/// The settings of a row, the name of the remote, and the ref that only the daemon writes.
type WrittenRow = (Vec<String>, &'static str, Option<&'static str>);

fn written_rows() -> Vec<WrittenRow> {
    let strings = |settings: &[&str]| settings.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    let settings = SETTINGS
        .iter()
        .map(|setting| (strings(&[USUAL, setting]), "origin", None));
    let fetched = FETCHED.iter().map(|(lines, daemon_alone)| {
        let lines = lines.iter().map(|line| format!("remote.origin.fetch={line}"));
        (lines.collect(), "origin", *daemon_alone)
    });
    let unusable = UNUSABLE.iter().map(|name| (Vec::new(), *name, None));
    let others = [
        (
            strings(&[
                "remote.origin.fetch=refs/heads/main:refs/copy/of/main",
                "core.logAllRefUpdates=always",
                "core.sharedRepository=group",
            ]),
            "origin",
            None,
        ),
        (Vec::new(), "team/one", Some("refs/remotes/team/one/main")),
        (
            strings(&["remote.my remote.fetch=refs/heads/*:refs/remotes/mine/*"]),
            "my remote",
            None,
        ),
    ];
    settings.chain(fetched).chain(unusable).chain(others).collect()
}

#[tokio::test]
async fn what_a_push_writes_is_what_git_writes() {
    let mut wrong = Vec::new();
    for (settings, remote, daemon_alone) in written_rows() {
        let name = format!("{remote} {settings:?}");
        let case = Case::new(FORMATS[0]);
        let sandbox = &case.sandbox;
        let work = sandbox.work();
        let url = sandbox.path("remote.git").display().to_string();
        sandbox.git(&work, &["config", &format!("remote.{remote}.url"), &url]);
        for setting in &settings {
            let (key, value) = setting.split_once('=').expect("a setting");
            sandbox.git(&work, &["config", "--add", key, value]);
        }
        let copy = sandbox.path("copy");
        fs::create_dir(&copy).expect("a directory");
        copy_all(&work.join(".git"), &copy.join(".git"));
        let pushed_by_git = sandbox.output(&work, &["push", "--quiet", remote, "main"]);
        assert!(
            pushed_by_git.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&pushed_by_git.stderr)
        );
        sandbox.git(&sandbox.path("remote.git"), &["update-ref", "-d", MAIN]);
        let pushed_by_daemon = push(&copy, remote, &sandbox.env).await;
        let (by_git, mut by_daemon) = (written(&work.join(".git")), written(&copy.join(".git")));
        let tracked = daemon_alone.map(|refname| sandbox.git(&copy, &["rev-parse", refname]));
        if let Some(refname) = daemon_alone {
            by_daemon.retain(|path, _| {
                by_git.contains_key(path)
                    || !Path::new(refname).starts_with(path.strip_prefix("logs").unwrap_or(path))
            });
        }
        let refs = |at: &Path| sandbox.git(at, &["for-each-ref", "--format=%(refname) %(objectname)"]);
        let listed: Vec<_> = refs(&copy)
            .lines()
            .filter(|line| daemon_alone.is_none_or(|refname| !line.starts_with(refname)))
            .map(str::to_owned)
            .collect();
        let subjects = |at: &Path| {
            let shown = sandbox.git(at, &["reflog", "show", "--all", "--format=%gD %gs"]);
            let mut lines: Vec<_> = shown.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let is_same_log = daemon_alone.is_some() || subjects(&work) == subjects(&copy);
        if pushed_by_daemon.is_err()
            || by_git != by_daemon
            || listed.join("\n") != refs(&work)
            || !is_same_log
            || tracked.is_some_and(|tip| tip != sandbox.git(&work, &["rev-parse", "main"]))
        {
            wrong.push(format!(
                "{name}: {pushed_by_daemon:?}\n  git: {by_git:?}\n  daemon: {by_daemon:?}\n  {listed:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
