//! The comparison of one row with git.
//!
//! The daemon pushes first, because git may fetch what a partial clone lacks. Then git pushes to a copy of the remote that was
//! made before, at the same path. Both remotes must have the same refs, and the daemon's must have every object that they need.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use git_local::config::{Config, Environment};
use git_local::repository::{OpenError, Repository, Target};
use git_local::url::Remote;
use push_engine::attempt::{ChosenTransport, Destination, RemotePusher, TransportNote};
use push_engine::branch::{FormatsNote, SharedBranch};
use push_engine::options::{Timeouts, TransportChoice};
use push_engine::state::Outcome;

use super::MAIN;
use super::case::{Case, Format};
use super::support::{attempt, close, output};

/// The expected result of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// Both push, the daemon natively.
    Pushed,
    /// Both push, the daemon by the git CLI, with this in its reason.
    ByGit(&'static str),
    /// Neither opens the repository, for the same kind of reason.
    Refused,
    /// Both open it and neither pushes. The first text is in the daemon's failure, the second in git's.
    Rejected(&'static str, &'static str),
    /// Only the daemon pushes, for a reason.
    DaemonAlone(&'static str),
    /// Only git pushes, for a reason.
    GitAlone(&'static str),
}

/// A name, what is expected, and what makes the repository of a new case.
pub(crate) type Row = (&'static str, Expected, fn(Case) -> Case);

/// A case that is ready to be compared.
pub(crate) type Prepared = (String, Expected, Case);

/// Makes the repository of each row in each format.
pub(crate) fn prepared(formats: &'static [Format], rows: &'static [Row]) -> impl Iterator<Item = Prepared> {
    cases(formats, rows, |(name, expected, prepare), case| {
        ((*name).to_owned(), *expected, prepare(case))
    })
}

/// Makes a case of each row in each format.
pub(crate) fn cases<R>(
    formats: &'static [Format],
    rows: &'static [R],
    prepare: impl Fn(&R, Case) -> Prepared,
) -> impl Iterator<Item = Prepared> {
    let all = formats
        .iter()
        .flat_map(move |format| rows.iter().map(move |row| (format, row)));
    all.map(move |(format, row)| {
        let (name, expected, case) = prepare(row, Case::new(*format));
        let Format { refs, objects } = format;
        (format!("{name} ({refs}, {objects})"), expected, case)
    })
}

/// Why a repository is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NotFound,
    Unsupported,
    NotOwned,
    Other,
}

impl Refusal {
    fn of_daemon(error: &OpenError) -> Self {
        match error {
            OpenError::NotFound(_) => Self::NotFound,
            OpenError::Unsupported(_) => Self::Unsupported,
            OpenError::NotOwned(_) => Self::NotOwned,
            OpenError::Other(_) => Self::Other,
        }
    }

    fn of_git(message: &str) -> Self {
        let contains = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        if contains(&["not a git repository"]) {
            Self::NotFound
        } else if contains(&["dubious ownership"]) {
            Self::NotOwned
        } else if contains(&[
            "repository extension",
            "repo version",
            "invalid value for 'extensions.",
            "already specified as",
            "compat_hash_algo",
        ]) {
            Self::Unsupported
        } else {
            Self::Other
        }
    }
}

/// What one side did.
enum Verdict<T> {
    /// It refused to open the repository.
    Refused(Refusal, String),
    /// It opened the repository, and its push failed.
    Failed(String),
    /// It pushed, by this transport.
    Pushed(T),
}

impl<T: fmt::Debug> fmt::Display for Verdict<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(kind, message) => write!(formatter, "refused ({kind:?}): {message}"),
            Self::Failed(message) => write!(formatter, "failed: {message}"),
            Self::Pushed(transport) => write!(formatter, "pushed: {transport:?}"),
        }
    }
}

/// Opens a repository as a daemon does at its start.
fn open(path: Option<&Path>, environment: &Environment) -> Result<Repository, OpenError> {
    let repository = Repository::open(path, environment)?;
    repository.check_owner()?;
    Ok(repository)
}

/// A pusher of `main` of an open repository.
pub(crate) fn pusher_of(
    repository: &Repository,
    given: &str,
    transport: TransportChoice,
    note: TransportNote,
) -> Result<RemotePusher, String> {
    let environment = repository.environment().clone();
    let config = Config::load(&environment, repository.common_dir(), repository.git_dir())
        .map_err(|failure| failure.to_string())?;
    let remote = Remote::resolve(&config, given, repository.root()).map_err(|error| error.to_string())?;
    let target = Target {
        git_dir: repository.git_dir().to_owned(),
        refname: MAIN.to_owned(),
        remote_name: remote.name,
    };
    let destination = Destination {
        remote: given.to_owned(),
        root: repository.root().to_owned(),
        common_dir: repository.common_dir().to_owned(),
        environment: environment.clone(),
        transport,
        timeouts: Timeouts {
            connect: None,
            idle: None,
            report: None,
            attempt: None,
        },
        keep_connection: Duration::ZERO,
        max_pack_bytes: u64::MAX,
    };
    let branch = SharedBranch::new(target, environment, FormatsNote::default());
    Ok(RemotePusher::new(branch, destination, note))
}

/// Makes one attempt to push `main` of an open repository.
async fn push_from(repository: &Repository, given: &str) -> Result<ChosenTransport, String> {
    let note = TransportNote::default();
    let pusher = pusher_of(repository, given, TransportChoice::Auto, note.clone())?;
    let outcome = attempt(&pusher).await;
    close(&pusher).await;
    match outcome {
        Outcome::Pushed { .. } => Ok(note.get().expect("there was an attempt")),
        other => Err(format!("{other:?}")),
    }
}

/// Pushes `main` from the repository at a path, as a daemon does.
pub(crate) async fn push(path: &Path, given: &str, environment: &Environment) -> Result<(), String> {
    let repository = open(Some(path), environment).map_err(|error| error.to_string())?;
    push_from(&repository, given).await.map(drop)
}

async fn push_by_daemon(case: &Case) -> Verdict<ChosenTransport> {
    let repository = match open(case.path.as_deref(), &case.sandbox.env) {
        Ok(repository) => repository,
        Err(error) => return Verdict::Refused(Refusal::of_daemon(&error), error.to_string()),
    };
    match push_from(&repository, &case.remote).await {
        Ok(transport) => Verdict::Pushed(transport),
        Err(failure) => Verdict::Failed(failure),
    }
}

fn push_by_git(case: &Case) -> Verdict<()> {
    let git = |args: &[&str]| {
        let at = case.path.iter().flat_map(|path| {
            let path = path.as_os_str().to_owned();
            ["-C".into(), path]
        });
        let place: Vec<_> = if case.git.is_empty() {
            at.collect()
        } else {
            case.git.iter().map(Into::into).collect()
        };
        let args: Vec<_> = place.into_iter().chain(args.iter().map(Into::into)).collect();
        let ended = output(&case.sandbox.env, &case.sandbox.path(""), &args, "");
        let stderr = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        if ended.status.success() {
            Ok(())
        } else {
            Err(stderr)
        }
    };
    if let Err(stderr) = git(&["rev-parse", "--git-dir"]) {
        return Verdict::Refused(Refusal::of_git(&stderr), stderr);
    }
    match git(&["push", &case.remote, "refs/heads/main:refs/heads/main"]) {
        Ok(()) => Verdict::Pushed(()),
        Err(stderr) => Verdict::Failed(stderr),
    }
}

/// The refs of a remote.
fn refs(case: &Case, remote: &Path) -> String {
    case.git_in(remote, &["for-each-ref", "--format=%(refname) %(objectname)"])
}

/// Copies a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp runs").success());
}

/// What is wrong with a row; `None` if nothing is.
async fn problem(expected: Expected, case: &Case) -> Option<String> {
    let before = case.sandbox.path("before.git");
    copy(&case.there, &before);
    let by_daemon = push_by_daemon(case).await;
    let daemon_refs = refs(case, &case.there);
    let checked = output(&case.plain, &case.there, &["fsck", "--connectivity-only"], "");
    fs::rename(&case.there, case.sandbox.path("daemon.git")).expect("moves");
    fs::rename(&before, &case.there).expect("moves");
    let by_git = push_by_git(case);
    let git_refs = refs(case, &case.there);
    let both = format!("\n  git {by_git}\n  daemon {by_daemon}");
    let is_expected = match (expected, &by_git, &by_daemon) {
        (Expected::Pushed, Verdict::Pushed(()), Verdict::Pushed(transport)) => transport.reason.is_none(),
        (Expected::ByGit(part), Verdict::Pushed(()), Verdict::Pushed(transport)) => transport
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains(part)),
        (Expected::Refused, Verdict::Refused(git, _), Verdict::Refused(daemon, _)) => daemon == git,
        (Expected::Rejected(in_daemon, in_git), Verdict::Failed(git), Verdict::Failed(daemon)) => {
            daemon.contains(in_daemon) && git.contains(in_git)
        }
        (Expected::DaemonAlone(_), Verdict::Refused(..) | Verdict::Failed(_), Verdict::Pushed(_))
        | (Expected::GitAlone(_), Verdict::Pushed(()), Verdict::Failed(_)) => true,
        _ => false,
    };
    if !is_expected {
        let reason = match expected {
            Expected::DaemonAlone(reason) | Expected::GitAlone(reason) => reason,
            _ => "",
        };
        return Some(format!(" {reason}{both}"));
    }
    let both_pushed = matches!((&by_git, &by_daemon), (Verdict::Pushed(()), Verdict::Pushed(_)));
    if both_pushed && daemon_refs != git_refs {
        return Some(format!(
            " moved other refs\n  git: {git_refs}\n  daemon: {daemon_refs}"
        ));
    }
    let complaints = String::from_utf8_lossy(&checked.stderr);
    (!checked.status.success()).then(|| format!(" left a broken remote: {complaints}"))
}

/// A repository is opened where git opens it and refused where git refuses it, and the remote gets the same.
pub(crate) async fn check(rows: impl Iterator<Item = Prepared>) {
    let mut wrong = Vec::new();
    for (name, expected, case) in rows {
        if let Some(problem) = Box::pin(problem(expected, &case)).await {
            wrong.push(format!("{name}: expected {expected:?}{problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
