//! The git CLI as a transport, for what only git can do: remote helpers, pre-push hooks, git-lfs.
//!
//! `git ls-remote` takes the place of the advertisement and `git push --porcelain` that of the exchange. git makes the pack
//! itself and checks again whether the update is a fast-forward; it is never told to force. Its output is parsed only here;
//! `failure` gives its errors a kind.
//!
//! The limits follow git's output. Its progress shows when it sends: only then does silence for the idle limit end the push.
//! So does silence after git has told why it fails. At any other time (in a hook of either side, while a remote unpacks) git may
//! be silent for as long as the report may take.

mod cloning;
mod command;
mod fetch;
mod pack_objects;
mod porcelain;

use std::path::PathBuf;
use std::process::ExitStatus;

use futures_util::future::BoxFuture;
use git_local::url::Remote;
use git_wire::oid::Oid;
use git_wire::send_pack::{Advertisement, Command, Report};
use tokio::time::Instant;

pub(crate) use self::cloning::{CloneSource, Cloning};
use self::command::{Destination, GitCli};
pub(crate) use self::fetch::Fetch;
pub(crate) use self::pack_objects::{Encoding, PackObjects, is_worth_progress};
pub use self::porcelain::{Porcelain, RefList, Verdict};
use super::activity::{ADVERTISING, Activity, Limits, PUSHING};
use super::child::Child;
use super::{
    Background, LocalFuture, LocalRepository, PackReceiver, PushFailure, Session, Settings, Transport,
};
use crate::failure::{self, Failure, Kind};

/// Pushes by the git CLI.
pub struct GitCliTransport {
    pushes: Pushes,
    reason: String,
}

/// The commands of one remote, which the transport shares with its sessions.
#[derive(Clone)]
struct Pushes {
    git: GitCli,
    to_push: Destination,
    to_read: Vec<Destination>,
    /// The branch, which has the same name here and on the remote.
    refname: String,
    pre_push_hook: Option<PathBuf>,
    settings: Settings,
}

impl GitCliTransport {
    /// `reason` tells why the git CLI is needed, as part of a sentence.
    ///
    /// # Errors
    ///
    /// There is no git, or `core.hooksPath` cannot be read.
    pub fn new(
        remote: &Remote,
        repository: &LocalRepository<'_>,
        reason: String,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let Some(git) = GitCli::find(repository.root, repository.git_dir, &settings.environment) else {
            return Err(Failure::new(
                Kind::Local,
                format!("git is required ({reason}), but it is not in PATH: install git or fix PATH"),
            ));
        };
        Ok(Self {
            pushes: Pushes {
                git,
                to_push: Destination::to_push(remote, repository.config),
                to_read: Destination::to_read(remote, repository.config),
                refname: repository.refname.to_owned(),
                pre_push_hook: super::choice::pre_push_hook(repository)?,
                settings,
            },
            reason,
        })
    }
}

impl Transport for GitCliTransport {
    fn name(&self) -> &'static str {
        "git-cli"
    }

    fn why(&self) -> Option<&str> {
        Some(&self.reason)
    }

    fn takes_pack(&self) -> bool {
        false
    }

    /// Of several URLs, one may have what another still needs a step for.
    fn takes_steps(&self) -> bool {
        self.pushes.to_read.len() == 1
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let refs = self.pushes.read_refs().await?;
            Ok(Box::new(GitCliSession {
                pushes: self.pushes.clone(),
                advertisement: Advertisement::from_refs(refs),
                advertised_at: Instant::now(),
            }) as Box<dyn Session>)
        })
    }
}

/// The end of a git command.
struct Ended {
    /// `None` if it was reaped elsewhere.
    status: Option<ExitStatus>,
    /// The standard error; empty after a success.
    stderr: String,
}

impl Ended {
    async fn of(child: &mut Child, status: Option<ExitStatus>) -> Self {
        let stderr = match status {
            Some(status) if status.success() => String::new(),
            _ => failure::essence(&child.last_stderr().await),
        };
        Self { status, stderr }
    }

    /// Without a status, the standard error tells: git does not fail without a message.
    fn is_success(&self) -> bool {
        self.status
            .map_or_else(|| !failure::is_fatal(&self.stderr), |status| status.success())
    }
}

impl Pushes {
    /// The refs of the remote. If several URLs disagree about the branch, one that still needs a push represents all: the
    /// remote is up to date only when all of them are.
    async fn read_refs(&self) -> Result<Vec<(Oid, String)>, Failure> {
        let mut tips = Vec::new();
        let mut first_refs = None;
        for destination in &self.to_read {
            let refs = self.read_refs_at(destination).await?;
            let named = refs.iter().find(|(_, name)| *name == self.refname);
            tips.push(named.map(|&(oid, _)| oid));
            first_refs.get_or_insert(refs);
        }
        let mut refs = first_refs.unwrap_or_default();
        if tips.windows(2).any(|pair| pair[0] != pair[1]) {
            let local = self.local_tip().await?;
            let behind = tips.into_iter().find(|&tip| tip != local).flatten();
            refs.retain(|(_, name)| *name != self.refname);
            refs.extend(behind.map(|oid| (oid, self.refname.clone())));
        }
        Ok(refs)
    }

    async fn read_refs_at(&self, destination: &Destination) -> Result<Vec<(Oid, String)>, Failure> {
        let mut list = RefList::default();
        let command = self.git.ls_remote(destination);
        let ended = self.read(command, &mut |bytes| list.read(bytes)).await?;
        if !ended.is_success() {
            return Err(Failure::from_git_cli("git ls-remote", &ended.stderr));
        }
        list.finish()
            .map_err(|problem| Failure::new(Kind::RemoteError, problem))
    }

    async fn local_tip(&self) -> Result<Option<Oid>, Failure> {
        let mut output = Vec::new();
        let command = self.git.rev_parse(&self.refname);
        self.read(command, &mut |bytes| output.extend_from_slice(bytes))
            .await?;
        Ok(Oid::from_hex(output.trim_ascii()))
    }

    async fn read(
        &self,
        command: std::process::Command,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Ended, Failure> {
        let limits = Limits::of_silence(self.settings.idle_timeout);
        self.run(command, limits, ADVERTISING, take).await
    }

    /// The limits of a push, which may stop sending for any time that the report may take.
    fn push_limits(&self) -> Limits {
        let (idle, report) = (self.settings.idle_timeout, self.settings.report_timeout);
        Limits {
            idle,
            report: report.map(|report| idle.map_or(report, |idle| idle.max(report))),
            hears_keepalives: false,
        }
    }

    async fn run(
        &self,
        command: std::process::Command,
        limits: Limits,
        awaited: &str,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Ended, Failure> {
        let heard = |line: &str, activity: &Activity| {
            self.settings.transfer.take_line(line);
            if is_sending(line) || failure::is_last_word(line) {
                activity.unsent();
            } else {
                activity.touch();
                activity.sent();
            }
        };
        let background = &self.settings.background;
        run(command, background, limits, awaited, &heard, take).await
    }
}

/// Runs a command within these limits. Passes on its output as it comes, and the lines of its standard error, which show whether
/// it moves. Dropping the future ends the command with its whole process group.
fn run<'a>(
    command: std::process::Command,
    background: &'a Background,
    limits: Limits,
    awaited: &'a str,
    heard: &'a (dyn Fn(&str, &Activity) + Sync),
    take: &'a mut (dyn FnMut(&[u8]) + Send),
) -> BoxFuture<'a, Result<Ended, Failure>> {
    Box::pin(async move {
        // Standard input is closed at once: git reads nothing from it, and cannot ask.
        let (mut child, _, stdout) = Child::spawn(command, background)
            .map_err(|error| Failure::new(Kind::Local, format!("git could not be started: {error}")))?;
        let activity = Activity::new();
        activity.sent();
        let mut state = child.state();
        let following = async {
            while state.changed().await.is_ok() {
                let line = last_line(state.borrow_and_update().stderr.bytes());
                heard(&line, &activity);
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
        activity.guard(limits, awaited, running).await
    })
}

/// The last whole line on git's standard error that is not empty.
fn last_line(stderr: &[u8]) -> String {
    let lines = stderr.rsplit(|byte| matches!(byte, b'\r' | b'\n'));
    // What follows the last end of a line may go on.
    let line = lines.skip(1).find(|line| !line.trim_ascii().is_empty());
    String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
}

/// Whether a line is the progress of a pack that is not sent yet.
fn is_sending(line: &str) -> bool {
    line.starts_with("Writing objects: ") && !line.ends_with("done.")
}

struct GitCliSession {
    pushes: Pushes,
    advertisement: Advertisement,
    advertised_at: Instant,
}

impl Session for GitCliSession {
    fn advertisement(&self) -> &Advertisement {
        &self.advertisement
    }

    fn push<'a>(
        &'a mut self,
        command: &'a Command,
        _shallow: &'a [Oid],
        pack: PackReceiver,
    ) -> LocalFuture<'a, Result<Report, PushFailure>> {
        drop(pack);
        Box::pin(self.push_by_git_cli(command))
    }

    fn finish(self: Box<Self>) {}

    /// git's verdict is final: git has read an advertisement of its own, just before it sent the push.
    fn compares_old_values(&self) -> bool {
        true
    }

    fn advertised_at(&self) -> Instant {
        self.advertised_at
    }
}

impl GitCliSession {
    async fn push_by_git_cli(&self, command: &Command) -> Result<Report, PushFailure> {
        let pushes = &self.pushes;
        let refname = command.refname();
        let mut porcelain = Porcelain::new(command.new_oid(), refname);
        let push = pushes.git.push(&pushes.to_push, command.new_oid(), refname);
        let ended = pushes
            .run(push, pushes.push_limits(), PUSHING, &mut |bytes| {
                porcelain.read(bytes);
            })
            .await
            .map_err(|failure| {
                // A git that fell silent may have sent everything before.
                let sent = failure.kind() == Kind::Timeout;
                PushFailure { failure, sent }
            })?;
        let (verdicts, hook_output) = porcelain.finish();
        let report = |reference| Report {
            unpack: Ok(()),
            reference,
            is_doubtful: false,
            messages: ended.stderr.clone(),
        };
        match verdicts.iter().find(|verdict| **verdict != Verdict::Updated) {
            // git can still fail after the remote accepted the push, and after the remote refused it at another URL.
            None if !verdicts.is_empty() && verdicts.len() >= pushes.to_read.len() => Ok(report(Ok(()))),
            None => Err(self.unreported(&ended, &hook_output)),
            Some(Verdict::Rejected(reason)) if failure::would_lose_commits(reason) => {
                Ok(report(Err(self.decided_on(reason, refname).await)))
            }
            Some(Verdict::Rejected(reason) | Verdict::RemoteRejected(reason)) => {
                Ok(report(Err(reason.clone())))
            }
            Some(Verdict::Updated | Verdict::Unreported(_)) => {
                let message = format!("the remote failed to report status\n{}", ended.stderr);
                Err(PushFailure {
                    failure: Failure::new(Kind::Network, message),
                    sent: true,
                })
            }
        }
    }

    /// git compared with the tip of that moment. If it differs from the advertised one, the push lost a race and must be
    /// decided again; otherwise git's decision stands.
    async fn decided_on(&self, reason: &str, refname: &str) -> String {
        let now = self.pushes.read_refs().await;
        let has_moved = now
            .is_ok_and(|refs| Advertisement::from_refs(refs).tip(refname) != self.advertisement.tip(refname));
        if has_moved {
            failure::lost_race(reason)
        } else {
            reason.to_owned()
        }
    }

    /// The failure of a push without a verdict, by git's status and standard error.
    fn unreported(&self, ended: &Ended, hook_output: &str) -> PushFailure {
        let stderr = &ended.stderr;
        let code = ended.status.map(|status| status.code());
        if code == Some(None) {
            return PushFailure {
                failure: Failure::new(Kind::Local, format!("git push was killed\n{stderr}")),
                sent: true,
            };
        }
        if let Some(hook) = &self.pushes.pre_push_hook
            && failure::is_declined_by_pre_push(code.flatten(), stderr)
        {
            let declined = format!("the pre-push hook {} declined the push", hook.display());
            return PushFailure {
                failure: Failure::new(Kind::Rejected, format!("{declined}\n{hook_output}\n{stderr}")),
                sent: false,
            };
        }
        let failure = Failure::from_git_cli("git push", stderr);
        // A failure of this side occurs before anything is sent.
        let sent = failure.kind() != Kind::Local;
        PushFailure { failure, sent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_shows_when_git_sends() {
        let writing =
            "Enumerating objects: 5, done.\nWriting objects:  33% (1/3)\rWriting objects:  66% (2/3)\r";
        let sent = "Writing objects: 100% (3/3), 250 bytes | 250.00 KiB/s, done.\nTotal 3 (delta 0), reused 0 (delta 0)\n";
        for (stderr, expected) in [
            ("", false),
            ("running the tests of the hook\n", false),
            ("Compressing objects:  50% (1/2)\r", false),
            (writing, true),
            (&[writing, sent].concat(), false),
            (
                &[writing, sent, "remote: Resolving deltas:  50% (1/2)\r"].concat(),
                false,
            ),
        ] {
            let line = last_line(stderr.as_bytes());
            assert_eq!(is_sending(&line), expected, "{stderr}");
        }
    }
}
