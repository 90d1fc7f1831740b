//! `git clone --bare` as a child, and the commands that complete a clone.
//!
//! git connects, logs in and receives by its own rules, so the credentials, ssh settings and proxies of a push apply. It runs
//! under two limits: until the first line about a transfer, the time for connecting; at any time, that without a line. A path on
//! this machine is copied without a line, and without limits.
//!
//! Everything here blocks until git has ended, on a thread that is not the runtime's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use git_local::config::Environment;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::command::{Destination, GitCli};
use super::{Ended, run};
use crate::failure::{Failure, Kind};
use crate::transport::Background;
use crate::transport::activity::{ADVERTISING, Activity, Limits};

/// What is awaited, for the message about silence.
const CLONING: &str = "while the repository was cloned";

/// How long the end of git's processes may take.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How many refs of a repository are listed.
const REFS: usize = 20;

/// How much of a list of refs is kept, in bytes.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// Where a clone comes from.
pub(crate) struct CloneSource {
    destination: Destination,
    is_path: bool,
}

impl CloneSource {
    /// `given` is what git would be given. A `secret` URL is the same with `insteadOf` applied, and is kept off the command
    /// line. A path is copied without a connection.
    pub(crate) fn new(given: &str, secret: Option<&str>, is_path: bool) -> Self {
        Self {
            destination: Destination::to_clone(given, secret),
            is_path,
        }
    }

    /// The URL of the clone's remote, as git writes it into the configuration.
    pub(crate) fn written_url(&self) -> &str {
        self.destination.argument()
    }
}

/// The limits of a command: until the remote answers, and without a line. `None` is no limit.
type Times = (Option<Duration>, Option<Duration>);

/// The commands that make a clone.
pub(crate) struct Cloning<'a> {
    git: GitCli,
    times: Times,
    runtime: &'a Handle,
    aborted: &'a CancellationToken,
}

impl<'a> Cloning<'a> {
    /// Finds git in the environment's `PATH`. Its commands run in `root`, on the runtime, until they are aborted.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub(crate) fn find(
        root: &Path,
        environment: &Environment,
        times: Times,
        (runtime, aborted): (&'a Handle, &'a CancellationToken),
    ) -> Result<Self, Failure> {
        let git = GitCli::find_outside(root, environment).ok_or_else(|| {
            let message =
                "git is required to restore a repository, but it is not in PATH: install git or fix PATH";
            Failure::new(Kind::Local, message)
        })?;
        Ok(Self {
            git,
            times,
            runtime,
            aborted,
        })
    }

    /// Makes a clone in a directory that does not exist, with the template that git is set to use, if any. `heard` gets the lines of git's progress.
    pub(crate) fn clone_bare(
        &self,
        source: &CloneSource,
        into: &Path,
        has_template: bool,
        heard: &(dyn Fn(&str) + Sync),
    ) -> Result<(), Failure> {
        let command = self.git.clone_bare(&source.destination, into, has_template);
        let times = if source.is_path { (None, None) } else { self.times };
        let ended = self.run(command, times, CLONING, heard, &mut |_| ())?;
        if ended.is_success() {
            Ok(())
        } else {
            Err(Failure::from_git_clone(&ended.stderr))
        }
    }

    /// The names of the first refs of a repository, branches first, each on a line.
    pub(crate) fn refs(&self, git_dir: &Path) -> Result<String, Failure> {
        self.answer("git for-each-ref", self.git.for_each_ref(git_dir, REFS))
    }

    /// Whether a remote has any ref.
    pub(crate) fn has_refs(&self, source: &CloneSource) -> Result<bool, Failure> {
        let output = self.answer("git ls-remote", self.git.ls_remote(&source.destination))?;
        Ok(!output.is_empty())
    }

    /// Points `HEAD` to a branch.
    pub(crate) fn set_head(&self, git_dir: &Path, refname: &str) -> Result<(), Failure> {
        let command = self.git.set_head(git_dir, refname);
        self.answer("git symbolic-ref", command).map(drop)
    }

    /// The beginning of a command's output.
    fn answer(&self, name: &str, command: Command) -> Result<String, Failure> {
        let mut output = Vec::new();
        let mut take = |bytes: &[u8]| {
            let room = OUTPUT_LIMIT - output.len();
            output.extend_from_slice(&bytes[..bytes.len().min(room)]);
        };
        let ended = self.run(command, self.times, ADVERTISING, &|_| (), &mut take)?;
        if ended.is_success() {
            Ok(String::from_utf8_lossy(&output).into_owned())
        } else {
            Err(Failure::from_git_cli(name, &ended.stderr))
        }
    }

    /// Runs a command until it has ended, was aborted or has reached a limit. In any case nothing of it goes on, as its files may
    /// be removed next.
    fn run(
        &self,
        command: Command,
        (connect, idle): Times,
        awaited: &str,
        heard: &(dyn Fn(&str) + Sync),
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Ended, Failure> {
        let connected = Notify::new();
        let heard = |line: &str, activity: &Activity| {
            activity.touch();
            if is_about_transfer(line) {
                connected.notify_one();
            }
            heard(line);
        };
        let unanswered = async {
            match connect {
                Some(limit) if timeout(limit, connected.notified()).await.is_err() => limit,
                _ => std::future::pending().await,
            }
        };
        let limits = Limits::of_silence(idle);
        let background = Background::default();
        self.runtime.block_on(async {
            let ended = tokio::select! {
                biased;
                ended = run(command, &background, limits, awaited, &heard, take) => ended,
                limit = unanswered => Err(Failure::timed_out("the remote did not answer", limit)),
                () = self.aborted.cancelled() => Err(Failure::new(Kind::Unknown, "aborted")),
            };
            background.close(Instant::now() + END_LIMIT).await;
            ended
        })
    }
}

/// Whether a line shows that the remote has answered: its own messages, or the progress of what it sends.
fn is_about_transfer(line: &str) -> bool {
    ["remote: ", "Receiving objects: ", "Resolving deltas: "]
        .iter()
        .any(|start| line.starts_with(start))
}
