//! The git command as a transport, for what only git can do: remote helpers, pre-push hooks, git-lfs.
//!
//! `git ls-remote` takes the place of the advertisement and `git push --porcelain` that of the exchange. git
//! makes the pack itself and judges once more whether the update is a fast-forward; it is never told to force.
//! This is the only place where its words are read; `failure` gives those of its errors a kind.
//!
//! The limits follow what git prints. Its progress tells when it sends: only then does silence for the idle limit end it.
//! At any other time (in a hook of either side, while a remote unpacks) it may be silent for as long as the report may take.

mod command;
mod porcelain;

use futures_util::future::BoxFuture;
use std::path::PathBuf;
use std::process::ExitStatus;
use tokio::process::ChildStdout;
use tokio::time::Instant;

use self::command::{Destination, Git};
use self::porcelain::is_non_fast_forward;
pub use self::porcelain::{Porcelain, RefList, Verdict};
use super::activity::{Activity, Overdue, PushLimits};
use super::child::Child;
use super::hangup::{ADVERTISING, PUSHING, silence};
use super::{LocalFuture, PushFailure, Session, Settings, Source, Transport};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::send_pack::{Advertisement, Command, PackReceiver, Report, plain_text};
use crate::url::Remote;

/// Pushes by the git command.
pub struct CliTransport {
    inner: Inner,
    reason: String,
}

/// What a session takes over from its transport.
#[derive(Clone)]
struct Inner {
    git: Git,
    to_push: Destination,
    to_read: Vec<Destination>,
    /// The branch, whose local name is that on the remote.
    refname: String,
    pre_push_hook: Option<PathBuf>,
    settings: Settings,
}

impl CliTransport {
    /// `reason` says why it is the git command that is needed, as part of a sentence.
    ///
    /// # Errors
    ///
    /// There is no git, or `core.hooksPath` cannot be read.
    pub fn new(
        remote: &Remote,
        source: &Source<'_>,
        reason: String,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let Some(git) = Git::find(source, &settings.environment) else {
            return Err(Failure::new(
                Kind::Local,
                format!(
                    "the git command is needed ({reason}), and there is none in PATH: install git, or correct PATH"
                ),
            ));
        };
        Ok(Self {
            inner: Inner {
                git,
                to_push: Destination::to_push(remote, source.config),
                to_read: Destination::to_read(remote, source.config),
                refname: source.refname.to_owned(),
                pre_push_hook: super::choice::pre_push_hook(source)?,
                settings,
            },
            reason,
        })
    }
}

impl Transport for CliTransport {
    fn name(&self) -> &'static str {
        "git-cli"
    }

    fn why(&self) -> Option<&str> {
        Some(&self.reason)
    }

    fn takes_pack(&self) -> bool {
        false
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let refs = self.inner.read_refs().await?;
            Ok(Box::new(CliSession {
                inner: self.inner.clone(),
                advertisement: Advertisement::from_refs(refs),
                advertised_at: Instant::now(),
            }) as Box<dyn Session>)
        })
    }
}

/// How a git command ended.
struct Ended {
    /// `None` where another part of the process has reaped it.
    status: Option<ExitStatus>,
    /// What it said on its standard error; empty after a success.
    said: String,
}

impl Ended {
    /// Where the status is lost, git's words tell: it does not fail without them.
    fn is_success(&self) -> bool {
        self.status
            .map_or_else(|| !self.is_fatal(), |status| status.success())
    }

    fn is_fatal(&self) -> bool {
        self.said.lines().any(|line| line.starts_with("fatal: "))
    }
}

impl Inner {
    /// The refs of the remote. Where several URLs disagree about the branch, the one that still needs a push
    /// speaks for all: it is up to date only when all of them are.
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
            let speaker = tips.into_iter().find(|&tip| tip != local).flatten();
            refs.retain(|(_, name)| *name != self.refname);
            refs.extend(speaker.map(|oid| (oid, self.refname.clone())));
        }
        Ok(refs)
    }

    async fn read_refs_at(&self, destination: &Destination) -> Result<Vec<(Oid, String)>, Failure> {
        let mut list = RefList::default();
        let command = self.git.ls_remote(destination);
        let ended = self
            .run(command, self.reading(), ADVERTISING, |bytes| list.read(bytes))
            .await?;
        if !ended.is_success() {
            return Err(Failure::from_git("git ls-remote", &ended.said));
        }
        list.finish()
            .map_err(|problem| Failure::new(Kind::RemoteError, problem))
    }

    async fn local_tip(&self) -> Result<Option<Oid>, Failure> {
        let mut output = Vec::new();
        let command = self.git.rev_parse(&self.refname);
        self.run(command, self.reading(), ADVERTISING, |bytes| {
            output.extend_from_slice(bytes);
        })
        .await?;
        Ok(Oid::from_hex(output.trim_ascii()))
    }

    /// The limits of a command that only reads.
    fn reading(&self) -> PushLimits {
        PushLimits {
            idle: self.settings.idle_timeout,
            report: self.settings.idle_timeout,
            hears_keepalives: false,
        }
    }

    /// The limits of a push. It is never cut off sooner because it has stopped sending.
    fn pushing(&self) -> PushLimits {
        let (idle, report) = (self.settings.idle_timeout, self.settings.report_timeout);
        PushLimits {
            idle,
            report: report.map(|report| idle.map_or(report, |idle| idle.max(report))),
            hears_keepalives: false,
        }
    }

    /// Runs a command, and passes its output on as it comes. Dropping the future ends the command with its whole group.
    async fn run(
        &self,
        command: std::process::Command,
        limits: PushLimits,
        awaited: &str,
        take: impl FnMut(&[u8]),
    ) -> Result<Ended, Failure> {
        let (mut child, stdin, stdout) = Child::spawn(command, &self.settings.background)
            .map_err(|error| Failure::new(Kind::Local, format!("git could not be started: {error}")))?;
        // There is nothing to read for it, and so nobody to ask.
        drop(stdin);
        let activity = Activity::new();
        activity.sent();
        let mut stderr = child.stderr();
        let following = async {
            while stderr.changed().await.is_ok() {
                if is_sending(stderr.borrow_and_update().bytes()) {
                    activity.unsent();
                } else {
                    activity.sent();
                }
            }
            std::future::pending().await
        };
        let running = async {
            tokio::select! {
                ended = until_ended(&mut child, stdout, take) => ended,
                ended = following => ended,
            }
        };
        let ended = activity.guard_push(limits, running).await;
        ended.map_err(|overdue| {
            let (Overdue::Silent(limit) | Overdue::Unreported(limit)) = overdue;
            silence(Some(limit), awaited)
        })
    }
}

/// Whether the last line on git's standard error is the progress of a pack that is not sent yet.
fn is_sending(stderr: &[u8]) -> bool {
    let mut lines = stderr.rsplit(|byte| matches!(byte, b'\r' | b'\n'));
    lines
        .find(|line| !line.trim_ascii().is_empty())
        .is_some_and(|line| line.starts_with(b"Writing objects: ") && !line.ends_with(b"done."))
}

/// Reads what a child prints, until it has exited.
async fn until_ended(child: &mut Child, stdout: ChildStdout, take: impl FnMut(&[u8])) -> Ended {
    let status = child.read_to_exit(stdout, take).await;
    let is_success = status.is_some_and(|status| status.success());
    let said = if is_success {
        String::new()
    } else {
        essence(&child.last_words().await)
    };
    Ended { status, said }
}

/// What git said without what it says to everybody: its hints, and the lines that end every failure.
fn essence(stderr: &str) -> String {
    const REPEATED: [&str; 4] = [
        "hint: ",
        "error: failed to push some refs to ",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
    ];
    let text = plain_text(stderr.as_bytes());
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !REPEATED.iter().any(|start| line.starts_with(start)))
        // The server's lines; git pads them to wipe out its progress.
        .map(|line| line.strip_prefix("remote: ").unwrap_or(line).trim_end())
        .filter(|line| !line.is_empty() && *line != "remote:" && !is_progress(line))
        .collect();
    lines.join("\n")
}

/// Whether a line is progress of git here, of git there, or of git-lfs.
fn is_progress(line: &str) -> bool {
    const STEPS: [&str; 9] = [
        "Enumerating objects: ",
        "Counting objects: ",
        "Delta compression using ",
        "Compressing objects: ",
        "Writing objects: ",
        "Unpacking objects: ",
        "Resolving deltas: ",
        "Checking connectivity: ",
        "Uploading LFS objects: ",
    ];
    STEPS.iter().any(|step| line.starts_with(step)) || line.starts_with("Total ") && line.contains(" (delta ")
}

struct CliSession {
    inner: Inner,
    advertisement: Advertisement,
    advertised_at: Instant,
}

impl Session for CliSession {
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
        Box::pin(self.push_by_git(command))
    }

    fn finish(self: Box<Self>) {}

    /// What git says is taken as it is. It has read an advertisement of its own, a moment before it sent the push.
    fn compares_old_values(&self) -> bool {
        true
    }

    fn advertised_at(&self) -> Instant {
        self.advertised_at
    }
}

impl CliSession {
    async fn push_by_git(&self, command: &Command) -> Result<Report, PushFailure> {
        let inner = &self.inner;
        let refname = command.refname();
        let mut porcelain = Porcelain::new(command.new_oid(), refname);
        let push = inner.git.push(&inner.to_push, command.new_oid(), refname);
        let ended = inner
            .run(push, inner.pushing(), PUSHING, |bytes| {
                porcelain.read(bytes);
            })
            .await
            .map_err(|failure| {
                // What fell silent had been started, and may have sent everything before.
                let sent = failure.kind() == Kind::Timeout;
                PushFailure { failure, sent }
            })?;
        let (verdicts, printed) = porcelain.finish();
        let updated = |verdict: &Verdict| *verdict == Verdict::Updated;
        let report = |reference| Report {
            unpack: Ok(()),
            reference,
            is_doubtful: false,
            messages: ended.said.clone(),
        };
        match verdicts.iter().find(|verdict| !updated(verdict)) {
            // git can still fail after the remote has said yes, and that the remote said no to another URL.
            None if !verdicts.is_empty() && verdicts.len() >= inner.to_read.len() => Ok(report(Ok(()))),
            None => Err(self.unreported(&ended, &printed)),
            Some(Verdict::Rejected(reason)) if is_non_fast_forward(reason) => {
                Ok(report(Err(self.decided_on(reason, refname).await)))
            }
            Some(Verdict::Rejected(reason) | Verdict::RemoteRejected(reason)) => {
                Ok(report(Err(reason.clone())))
            }
            Some(Verdict::Updated | Verdict::Unreported(_)) => {
                let words = format!("the remote failed to report status\n{}", ended.said);
                Err(PushFailure {
                    failure: Failure::new(Kind::Network, words),
                    sent: true,
                })
            }
        }
    }

    /// git compares with what the remote has at that moment. If this is not what was looked at here, the race
    /// is lost and must be decided again; if it is, git's judgement stands.
    async fn decided_on(&self, reason: &str, refname: &str) -> String {
        let now = self.inner.read_refs().await;
        let has_moved = now
            .is_ok_and(|refs| Advertisement::from_refs(refs).tip(refname) != self.advertisement.tip(refname));
        if has_moved {
            format!("failed to update ref: it has moved ({reason})")
        } else {
            reason.to_owned()
        }
    }

    /// Tells a push that got no verdict by how git ended and what was said.
    fn unreported(&self, ended: &Ended, printed: &str) -> PushFailure {
        let said = &ended.said;
        let code = ended.status.map(|status| status.code());
        if code == Some(None) {
            return PushFailure {
                failure: Failure::new(Kind::Local, format!("git push was killed\n{said}")),
                sent: true,
            };
        }
        // git says nothing of its own when the hook declines, and ends with 1. It does so as well where it finds
        // nothing to push by the given name.
        if let Some(hook) = &self.inner.pre_push_hook
            && (code == Some(Some(1)) || code.is_none() && !ended.is_fatal())
            && !said.contains("src refspec")
        {
            let declined = format!("the pre-push hook {} declined the push", hook.display());
            return PushFailure {
                failure: Failure::new(Kind::Rejected, format!("{declined}\n{printed}\n{said}")),
                sent: false,
            };
        }
        let failure = Failure::from_git("git push", said);
        // What fails on this side fails before anything is sent.
        let sent = failure.kind() != Kind::Local;
        PushFailure { failure, sent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_when_git_sends_and_is_no_message() {
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
            assert_eq!(is_sending(stderr.as_bytes()), expected, "{stderr}");
        }
        let hook = "remote: Unpacking objects: 100% (3/3), done.\nremote: Total is right\n";
        assert_eq!(essence(&[writing, sent, hook].concat()), "Total is right");
    }

    #[test]
    fn the_essence_of_a_failure_is_what_is_not_said_of_every_failure() {
        assert_eq!(
            essence(
                "remote: declined because        \nremote: \nerror: failed to push some refs to '../r.git'\nhint: Updates were rejected\n"
            ),
            "declined because"
        );
        assert_eq!(
            essence(
                "ssh: connect to host h port 1: Connection refused\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n"
            ),
            "ssh: connect to host h port 1: Connection refused\nfatal: Could not read from remote repository."
        );
    }
}
