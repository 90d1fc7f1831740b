//! The git command as a transport, for what only git can do: remote helpers, pre-push hooks, git-lfs.
//!
//! `git ls-remote` takes the place of the advertisement and `git push --porcelain` that of the exchange. git
//! makes the pack itself and judges once more whether the update is a fast-forward; it is never told to force.
//! This is the only place where its words are read; `failure` gives those of its errors a kind.
//!
//! git prints nothing while it sends, while hooks run or while a remote unpacks. So the idle limit looks at what its
//! processes do instead (`pulse`). It cannot be told when the last byte was sent: where a proxy may hold back the
//! remote's keep-alives, a push may be silent for as long as the report may take.

mod command;
mod porcelain;
mod pulse;

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::process::ChildStdout;
use tokio::time::Instant;

use self::command::{Destination, Git};
use self::porcelain::is_non_fast_forward;
pub use self::porcelain::{Porcelain, RefList, Verdict};
use super::activity::Activity;
use super::child::Child;
use super::hangup::{ADVERTISING, PUSHING, silence};
use super::{LocalFuture, PackReceiver, PushFailure, Session, Settings, Source, Transport};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::send_pack::{Advertisement, Command, Report};
use crate::url::{Remote, RemoteUrl};

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
    /// Whether the keep-alives of the remote come directly: over HTTP, and maybe by a remote helper, a proxy is in between.
    hears_keepalives: bool,
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
                hears_keepalives: !matches!(remote.parsed, RemoteUrl::Http(_) | RemoteUrl::Helper { .. }),
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
        let limit = self.settings.idle_timeout;
        let ended = self
            .run(command, limit, ADVERTISING, |bytes| list.read(bytes))
            .await?;
        if !ended.is_success() {
            return Err(Failure::from_git_cli("git ls-remote", &ended.said));
        }
        list.finish()
            .map_err(|problem| Failure::new(Kind::RemoteError, problem))
    }

    async fn local_tip(&self) -> Result<Option<Oid>, Failure> {
        let mut output = Vec::new();
        let command = self.git.rev_parse(&self.refname);
        let limit = self.settings.idle_timeout;
        self.run(command, limit, ADVERTISING, |bytes| {
            output.extend_from_slice(bytes);
        })
        .await?;
        Ok(Oid::from_hex(output.trim_ascii()))
    }

    /// How long none of the processes of a push may do anything.
    fn push_limit(&self) -> Option<Duration> {
        let (idle, report) = (self.settings.idle_timeout, self.settings.report_timeout);
        if self.hears_keepalives {
            idle
        } else {
            report.map(|report| idle.map_or(report, |idle| idle.max(report)))
        }
    }

    /// Runs a command that may be silent for `limit`, and gives its output away as it comes. Dropping the future ends the
    /// command with all of its group.
    async fn run(
        &self,
        command: std::process::Command,
        limit: Option<Duration>,
        awaited: &str,
        take: impl FnMut(&[u8]),
    ) -> Result<Ended, Failure> {
        let (mut child, stdin, stdout) = Child::spawn(command, &self.settings.background)
            .map_err(|error| Failure::new(Kind::Local, format!("git could not be started: {error}")))?;
        // There is nothing to read for it, and so nobody to ask.
        drop(stdin);
        let (activity, group) = (Activity::new(), child.group());
        let pulse = async {
            match limit {
                Some(limit) => pulse::follow(group, limit, activity.clone()).await,
                None => std::future::pending().await,
            }
        };
        let running = async {
            tokio::select! {
                ended = until_ended(&mut child, stdout, take) => ended,
                never = pulse => match never {},
            }
        };
        let guarded = activity.guard(limit, running).await;
        guarded.ok_or_else(|| silence(limit, awaited))
    }
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

/// git's message without the lines that end every failure: hints, and advice for people at a terminal.
fn essence(stderr: &str) -> String {
    const REPEATED: [&str; 4] = [
        "hint: ",
        "error: failed to push some refs to ",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
    ];
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| !REPEATED.iter().any(|start| line.starts_with(start)))
        .collect();
    lines.join("\n")
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
            .run(push, inner.push_limit(), PUSHING, |bytes| {
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
        let failure = Failure::from_git_cli("git push", said);
        // What fails on this side fails before anything is sent.
        let sent = failure.kind() != Kind::Local;
        PushFailure { failure, sent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_end_every_failure_are_removed() {
        for (stderr, expected) in [
            (
                "declined because\nerror: failed to push some refs to '../r.git'\nhint: Updates were rejected",
                "declined because",
            ),
            (
                "ssh: connect to host h port 1: Connection refused\nfatal: Could not read from remote repository.\nPlease make sure you have the correct access rights\nand the repository exists.",
                "ssh: connect to host h port 1: Connection refused\nfatal: Could not read from remote repository.",
            ),
        ] {
            assert_eq!(essence(stderr), expected);
        }
    }
}
