//! `git clone --bare` as a child, and the commands that complete a clone.
//!
//! git connects, logs in and receives by its own rules, so the credentials, ssh settings and proxies of a push apply. It runs
//! under two limits: until the first line about a transfer, the time for connecting; from then on, the time without a line
//! of progress. A path on this machine is copied without a word, so there the growth of the clone is the sign of life.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use git_local::config::Environment;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::command::{Destination, GitCli};
use super::{Ended, last_line};
use crate::failure::{Failure, Kind};
use crate::transport::Background;
use crate::transport::activity::{ADVERTISING, Activity, Limits};
use crate::transport::child::Child;
use crate::turns::Lane;

/// What is awaited, for the message about silence.
const CLONING: &str = "while the repository was cloned";

/// How many refs of a repository are listed.
const REFS: usize = 20;

/// Where a clone comes from.
#[derive(Clone)]
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

/// The commands that make a clone.
pub(crate) struct Cloning {
    git: GitCli,
    background: Background,
    connect: Option<Duration>,
    idle: Option<Duration>,
}

impl Cloning {
    /// Finds git in the environment's `PATH`. Its commands run in `root`.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub(crate) fn find(
        root: &Path,
        environment: &Environment,
        background: Background,
        (connect, idle): (Option<Duration>, Option<Duration>),
    ) -> Result<Self, Failure> {
        let git = GitCli::find_outside(root, environment).ok_or_else(|| {
            let message =
                "git is required to restore a repository, but it is not in PATH: install git or fix PATH";
            Failure::new(Kind::Local, message)
        })?;
        Ok(Self {
            git,
            background,
            connect,
            idle,
        })
    }

    /// Makes a clone in a directory that does not exist. `heard` gets the lines of git's progress. Dropping the future ends git
    /// with its whole process group.
    pub(crate) async fn clone_bare(
        &self,
        source: &CloneSource,
        into: &Path,
        heard: &dyn Fn(&str),
    ) -> Result<(), Failure> {
        let command = self.git.clone_bare(&source.destination, into);
        let (connect, growing) = if source.is_path {
            (None, Some(into))
        } else {
            (self.connect, None)
        };
        let ended = self
            .run(command, connect, CLONING, growing, heard, &mut |_| ())
            .await?;
        if ended.is_success() {
            Ok(())
        } else {
            Err(Failure::from_git_clone(&ended.stderr))
        }
    }

    /// The names of the first refs of a repository, branches first.
    pub(crate) async fn refs(&self, git_dir: &Path) -> Result<Vec<String>, Failure> {
        let output = self
            .answer("git for-each-ref", self.git.for_each_ref(git_dir, REFS))
            .await?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    /// Whether a remote has any ref.
    pub(crate) async fn has_refs(&self, source: &CloneSource) -> Result<bool, Failure> {
        let output = self
            .answer("git ls-remote", self.git.ls_remote(&source.destination))
            .await?;
        Ok(!output.trim().is_empty())
    }

    /// Points `HEAD` to a branch.
    pub(crate) async fn set_head(&self, git_dir: &Path, refname: &str) -> Result<(), Failure> {
        let command = self.git.set_head(git_dir, refname);
        self.answer("git symbolic-ref", command).await.map(drop)
    }

    /// The beginning of a command's output.
    async fn answer(&self, name: &str, command: Command) -> Result<String, Failure> {
        const LIMIT: usize = 64 * 1024;
        let mut output = Vec::new();
        let mut take = |bytes: &[u8]| {
            let room = LIMIT - output.len();
            output.extend_from_slice(&bytes[..bytes.len().min(room)]);
        };
        let ended = self
            .run(command, self.connect, ADVERTISING, None, &|_| (), &mut take)
            .await?;
        if ended.is_success() {
            Ok(String::from_utf8_lossy(&output).into_owned())
        } else {
            Err(Failure::from_git_cli(name, &ended.stderr))
        }
    }

    async fn run(
        &self,
        command: Command,
        connect: Option<Duration>,
        awaited: &str,
        growing: Option<&Path>,
        heard: &dyn Fn(&str),
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Ended, Failure> {
        // Standard input is closed at once: git reads nothing from it, and cannot ask.
        let (mut child, _, stdout) = Child::spawn(command, &self.background)
            .map_err(|error| Failure::new(Kind::Local, format!("git could not be started: {error}")))?;
        let activity = Activity::new();
        let connected = Notify::new();
        let mut state = child.state();
        let following = async {
            while state.changed().await.is_ok() {
                let line = last_line(state.borrow_and_update().stderr.bytes());
                activity.touch();
                if is_about_transfer(&line) {
                    connected.notify_one();
                }
                heard(&line);
            }
            std::future::pending().await
        };
        let ending = async {
            let status = child.read_to_exit(stdout, take).await;
            Ended::of(&mut child, status).await
        };
        let running = async {
            tokio::select! {
                ended = ending => ended,
                ended = following => ended,
            }
        };
        let unanswered = async {
            match connect {
                Some(limit) if timeout(limit, connected.notified()).await.is_err() => limit,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = activity.guard(Limits::of_silence(self.idle), awaited, running) => ended,
            limit = unanswered => Err(Failure::timed_out("the remote did not answer", limit)),
            never = self.feel_growth(growing, &activity) => never,
        }
    }

    /// Takes the growth of a directory for a sign of life.
    async fn feel_growth<T>(&self, growing: Option<&Path>, activity: &Activity) -> T {
        let (Some(directory), Some(idle)) = (growing, self.idle) else {
            return std::future::pending().await;
        };
        let lane = Lane::default();
        let mut last = 0;
        loop {
            sleep(idle / 4).await;
            let directory = directory.to_owned();
            let size = lane.read(move || Ok(size_of(&directory))).await;
            if let Ok(size) = size
                && size != last
            {
                last = size;
                activity.touch();
            }
        }
    }
}

/// Whether a line shows that the remote has answered: its own messages, or the progress of what it sends.
fn is_about_transfer(line: &str) -> bool {
    ["remote: ", "Receiving objects: ", "Resolving deltas: "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// The files of a directory and their bytes, added up.
fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len() + 1,
        Err(_) => 0,
    });
    sizes.sum()
}
