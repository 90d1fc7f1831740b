//! One attempt: connect, look at what the remote has, decide, send what it lacks, and believe only its report.
//!
//! It does not repeat itself, except that a lost race is decided again from a fresh advertisement. When to try
//! again is `state`'s business. It never forces: the command carries the old value that was looked at, and
//! the remote compares.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::branch::SharedSide;
use crate::config::{Config, Environment};
use crate::daemon::{Attempted, Probed, Pusher};
use crate::failure::{self, Failure, Kind};
use crate::oid::Oid;
use crate::options::{Timeouts, TransportChoice};
use crate::pack::{PackRequest, PackStats};
use crate::repository::Relation;
use crate::send_pack::{Command, Report};
use crate::state::{Outcome, RemoteTip, Survey, Unconfirmed};
use crate::transport::{self, Background, PushFailure, Session, Settings, SharedClient, Source};
use crate::url::Remote;

/// Pieces of the pack that are ready before the remote takes them: the back-pressure on its generation.
const PACK_PIECES: usize = 8;

/// Where diverged tips are kept on the remote.
const CONFLICTS: &str = "refs/heads/conflicts/";

/// How often in a row the remote may refuse to move the branch from the same tip before it counts as locked. The
/// lock of another push lasts for a moment, and whoever wins a race moves the branch.
const REFUSALS: usize = 2;

/// Where the pushes go and how. Its `Debug` leaves the remote out: as a URL it may hold a secret.
#[derive(Clone)]
pub struct Route {
    /// The remote, as the caller named it; resolved anew at each attempt.
    pub remote: String,
    /// Where git would run.
    pub root: PathBuf,
    /// The directory with the objects and the configuration.
    pub common_dir: PathBuf,
    /// The environment at the start; children get exactly this one.
    pub environment: Environment,
    /// Which transport to use.
    pub transport: TransportChoice,
    /// The limits of one attempt.
    pub timeouts: Timeouts,
}

/// The transport of the last attempt, for the status.
#[derive(Debug, Clone, Default)]
pub struct TransportNote(Arc<Mutex<Option<ChosenTransport>>>);

/// Which transport was chosen, and why if it is not the obvious one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenTransport {
    /// Its name.
    pub transport: &'static str,
    /// Why it had to be this one.
    pub reason: Option<String>,
}

impl TransportNote {
    /// The last one; `None` before the first attempt.
    #[must_use]
    pub fn get(&self) -> Option<ChosenTransport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, chosen: ChosenTransport) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(chosen);
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Route")
            .field("root", &self.root)
            .field("common_dir", &self.common_dir)
            .field("transport", &self.transport)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Pushes over a [`transport`].
#[derive(Debug)]
pub struct RemotePusher {
    side: SharedSide,
    route: Route,
    note: TransportNote,
    background: Background,
    http: SharedClient,
}

/// How far an attempt has come, so that one that is cut off can still be told about.
#[derive(Debug, Default)]
struct Progress {
    remote: Option<RemoteTip>,
    tip: Option<Oid>,
    had_work: bool,
    /// The push that has left, or is leaving.
    sending: Option<Unconfirmed>,
}

/// What a look at the remote found.
enum Look {
    NoBranch,
    UpToDate(Oid),
    Work {
        tip: Oid,
        previous: Option<Oid>,
    },
    Diverged {
        tip: Oid,
        remote: Oid,
        relation: Relation,
    },
}

impl RemotePusher {
    /// Pushes the branch of `side` along `route`.
    #[must_use]
    pub fn new(side: SharedSide, route: Route, note: TransportNote) -> Self {
        Self {
            side,
            route,
            note,
            background: Background::default(),
            http: SharedClient::default(),
        }
    }

    async fn run(&self, preserve: bool, progress: &mut Progress) -> Result<Outcome, Failure> {
        // The tip that the branch was not moved from, and how often that was in a row. There is no limit while
        // it moves: somebody else, such as a second daemon, is bringing the same commits.
        let mut refused = (None, 0);
        loop {
            let mut session = self.connect().await?;
            let (tip, previous) = match self.look(&*session, progress).await? {
                Look::NoBranch => {
                    session.finish();
                    return Ok(Outcome::UpToDate { tip: None });
                }
                Look::UpToDate(tip) => {
                    session.finish();
                    return Ok(Outcome::UpToDate { tip: Some(tip) });
                }
                Look::Diverged {
                    tip,
                    remote,
                    relation,
                } => {
                    return Ok(self.diverged(session, tip, remote, relation, preserve).await);
                }
                Look::Work { tip, previous } => (tip, previous),
            };
            progress.had_work = true;
            let refname = self.side.target().refname.clone();
            let (report, stats) = self
                .send(&mut *session, &refname, tip, previous, progress)
                .await?;
            session.finish();
            if let Err(reason) = &report.unpack {
                return Err(Failure::from_unpack_error(reason, &report.messages));
            }
            match &report.reference {
                Ok(()) => {
                    progress.remote = Some(RemoteTip::At(tip));
                    self.remember(tip).await;
                    let (commits, bytes) = (stats.commits as u64, stats.bytes);
                    return Ok(Outcome::Pushed {
                        tip,
                        previous,
                        commits,
                        bytes,
                    });
                }
                Err(reason) if failure::is_lost_race(reason) => {
                    let in_a_row = if refused.0 == Some(previous) { refused.1 } else { 0 };
                    refused = (Some(previous), in_a_row + 1);
                    if refused.1 == REFUSALS {
                        return Err(Failure::from_rejection(&refname, reason, &report.messages));
                    }
                }
                Err(reason) => return Err(Failure::from_rejection(&refname, reason, &report.messages)),
            }
        }
    }

    async fn connect(&self) -> Result<Box<dyn Session>, Failure> {
        let settings = Settings {
            idle_timeout: self.route.timeouts.idle,
            environment: self.route.environment.clone(),
            background: self.background.clone(),
            http: self.http.clone(),
        };
        // As the configuration of this moment has it.
        let (route, target) = (&self.route, self.side.target());
        let config = Config::load(&route.environment, &route.common_dir, &target.git_dir)?;
        let remote = Remote::resolve(&config, &route.remote, &route.root)
            .map_err(|error| Failure::new(Kind::Local, error.to_string()))?;
        let source = Source {
            root: &route.root,
            git_dir: &target.git_dir,
            common_dir: &route.common_dir,
            refname: &target.refname,
            config: &config,
        };
        let transport = transport::for_remote(&remote, &source, route.transport, settings)?;
        self.note.set(ChosenTransport {
            transport: transport.name(),
            reason: transport.why().map(str::to_owned),
        });
        tracing::debug!(transport = transport.name(), why = transport.why(), remote = %remote.parsed, "connecting");
        match self.route.timeouts.connect {
            None => transport.connect().await,
            Some(limit) => timeout(limit, transport.connect())
                .await
                .unwrap_or_else(|_| Err(timed_out("the remote did not answer", limit))),
        }
    }

    /// Compares the local tip of this moment with what the remote advertises.
    async fn look(&self, session: &dyn Session, progress: &mut Progress) -> Result<Look, Failure> {
        let remote = session.advertisement().tip(&self.side.target().refname);
        progress.remote = Some(remote.map_or(RemoteTip::Absent, RemoteTip::At));
        let compared = self
            .side
            .ask(move |side| {
                let Some(tip) = side.tip()? else { return Ok(None) };
                let relation = side.relation(tip, remote)?;
                // Kept for the next start, which may find a tip there that is not here.
                if matches!(relation, Relation::Same | Relation::Ahead | Relation::Behind)
                    && let Some(remote) = remote
                {
                    side.remember_remote(remote);
                }
                Ok(Some((tip, relation)))
            })
            .await?;
        let Some((tip, relation)) = compared else {
            return Ok(Look::NoBranch);
        };
        progress.tip = Some(tip);
        Ok(match (relation, remote) {
            (Relation::Same | Relation::Behind | Relation::BehindUnknown, _) => Look::UpToDate(tip),
            (Relation::Diverged | Relation::DivergedUnknown | Relation::Unknowable, Some(remote)) => {
                Look::Diverged {
                    tip,
                    remote,
                    relation,
                }
            }
            (_, previous) => Look::Work { tip, previous },
        })
    }

    /// Sends `tip` to `refname` on the remote.
    async fn send(
        &self,
        session: &mut dyn Session,
        refname: &str,
        tip: Oid,
        previous: Option<Oid>,
        progress: &mut Progress,
    ) -> Result<(Report, PackStats), Failure> {
        let command = Command::new(refname, previous, tip)
            .map_err(|error| Failure::new(Kind::Local, error.to_string()))?;
        let remote_has = session.advertisement().tips().collect();
        let shallow = self.side.ask(|side| side.repository().shallow_commits()).await?;
        let (sender, pack) = mpsc::channel(PACK_PIECES);
        let request = PackRequest { tip, remote_has };
        let packing = if session.takes_pack() {
            self.pack(request, sender)
        } else {
            drop(sender);
            self.count(request)
        };
        progress.sending = Some(Unconfirmed {
            commit: tip,
            previous,
            commits: 0,
            bytes: 0,
        });
        let sent = session.push(&command, &shallow, pack).await;
        match sent {
            Ok(report) => {
                progress.sending = None;
                let stats = packing
                    .await
                    .unwrap_or_else(|panic| Err(Failure::new(Kind::Local, format!("a bug: {panic}"))));
                // A report that comes before the pack is through refuses it, and cuts its generation short.
                let stats = if report.is_success() {
                    stats?
                } else {
                    stats.unwrap_or(EMPTY)
                };
                Ok((report, stats))
            }
            Err(PushFailure { failure, sent }) => {
                progress.sending = if sent {
                    let stats = packing.await.ok().and_then(Result::ok).unwrap_or(EMPTY);
                    let (commits, bytes) = (stats.commits as u64, stats.bytes);
                    Some(Unconfirmed {
                        commit: tip,
                        previous,
                        commits,
                        bytes,
                    })
                } else {
                    None
                };
                Err(failure)
            }
        }
    }

    /// Makes the pack on a blocking thread.
    fn pack(
        &self,
        request: PackRequest,
        sender: mpsc::Sender<Result<bytes::Bytes, Failure>>,
    ) -> JoinHandle<Result<PackStats, Failure>> {
        let side = self.side.clone();
        tokio::task::spawn_blocking(move || side.stream_pack(&request, sender))
    }

    /// Counts the commits of a pack that is made elsewhere, in the place of making it. Its size is not known.
    fn count(&self, request: PackRequest) -> JoinHandle<Result<PackStats, Failure>> {
        let side = self.side.clone();
        tokio::spawn(async move {
            let counted = side.ask(move |side| {
                let ahead = side.repository().ahead(request.tip, &request.remote_has)?;
                Ok(usize::try_from(ahead.commits).unwrap_or(usize::MAX))
            });
            let commits = counted.await.unwrap_or_default();
            Ok(PackStats { commits, ..EMPTY })
        })
    }

    async fn remember(&self, tip: Oid) {
        let remembered = self
            .side
            .ask(move |side| {
                side.remember_remote(tip);
                Ok(())
            })
            .await;
        if let Err(failure) = remembered {
            tracing::warn!(%failure, "the remote-tracking ref could not be updated");
        }
    }

    async fn diverged(
        &self,
        mut session: Box<dyn Session>,
        tip: Oid,
        remote: Oid,
        relation: Relation,
        preserve: bool,
    ) -> Outcome {
        let branch = &self.side.target().refname;
        let message = match relation {
            Relation::Unknowable => format!(
                "the remote's {branch} is at {remote}, a commit that is not in this repository, and it is not known which commits the remote had before: nobody can tell whether {tip} is new"
            ),
            _ => format!("the remote's {branch} is at {remote}, which the local {tip} does not contain"),
        };
        let preserved = if preserve {
            Some(self.preserve(&mut *session, tip).await)
        } else {
            None
        };
        session.finish();
        Outcome::Diverged {
            tip,
            failure: Failure::non_fast_forward(message, remote),
            comparable: relation != Relation::Unknowable,
            preserved,
        }
    }

    /// Puts the local tip on the remote under a name of its own, over the connection that found the
    /// divergence. A tip that is kept there already (a restart forgets that) stays where it is.
    async fn preserve(&self, session: &mut dyn Session, tip: Oid) -> Result<String, Failure> {
        let refs = session.advertisement().refs();
        if let Some((_, kept)) = refs
            .iter()
            .find(|(oid, name)| *oid == tip && name.starts_with(CONFLICTS))
        {
            return Ok(kept.clone());
        }
        let refname = conflict_ref(SystemTime::now(), refs);
        let mut progress = Progress::default();
        let (report, _) = self.send(session, &refname, tip, None, &mut progress).await?;
        match (report.unpack, report.reference) {
            (Ok(()), Ok(())) => Ok(refname),
            (Err(reason), _) => Err(Failure::from_unpack_error(&reason, &report.messages)),
            (_, Err(reason)) => Err(Failure::from_rejection(&refname, &reason, &report.messages)),
        }
    }

    /// The branch as it stands after an attempt that saw `remote`.
    async fn survey_after(&self, remote: RemoteTip) -> Option<Survey> {
        let surveyed = self
            .side
            .ask(move |side| {
                let remote = match remote {
                    RemoteTip::Unseen => side.last_known_remote()?,
                    RemoteTip::Absent => None,
                    RemoteTip::At(tip) => Some(tip),
                };
                side.survey(remote)
            })
            .await;
        surveyed
            .inspect_err(|failure| tracing::debug!(%failure, "the branch could not be read"))
            .ok()
    }
}

const EMPTY: PackStats = PackStats {
    commits: 0,
    objects: 0,
    bytes: 0,
};

fn timed_out(what: &str, limit: Duration) -> Failure {
    Failure::new(Kind::Timeout, format!("{what} within {} s", limit.as_secs_f64()))
}

/// The branch that keeps a diverged tip: `refs/heads/conflicts/20261123T143000Z` (UTC), with a number behind
/// it where the remote has one of that second.
fn conflict_ref(now: SystemTime, taken: &[(Oid, String)]) -> String {
    let stamp = humantime::format_rfc3339_seconds(now).to_string();
    let stamp: String = stamp
        .chars()
        .filter(|character| !"-:".contains(*character))
        .collect();
    let mut refname = format!("{CONFLICTS}{stamp}");
    let mut number = 1;
    while taken.iter().any(|(_, name)| *name == refname) {
        number += 1;
        refname = format!("{CONFLICTS}{stamp}-{number}");
    }
    refname
}

impl Pusher for RemotePusher {
    async fn attempt(&self, preserve: bool) -> Attempted {
        let mut progress = Progress::default();
        let run = self.run(preserve, &mut progress);
        let result = match self.route.timeouts.attempt {
            None => run.await,
            Some(limit) => timeout(limit, run)
                .await
                .unwrap_or_else(|_| Err(timed_out("the attempt did not end", limit))),
        };
        let remote = progress.remote.unwrap_or(RemoteTip::Unseen);
        let survey = self.survey_after(remote).await;
        let outcome = match (result, progress.tip, remote) {
            (Ok(outcome), ..) => outcome,
            // The remote judged it so although what it advertised allowed the update.
            (Err(failure), Some(tip), RemoteTip::At(at)) if failure.kind() == Kind::NonFastForward => {
                let failure = Failure::non_fast_forward(failure.message(), at);
                Outcome::Diverged {
                    tip,
                    failure,
                    comparable: true,
                    preserved: None,
                }
            }
            (Err(failure), tip, _) => Outcome::Failed {
                tip,
                failure,
                had_work: progress.had_work,
                unconfirmed: progress.sending,
            },
        };
        Attempted {
            outcome,
            remote,
            survey,
        }
    }

    async fn probe(&self) -> Probed {
        let mut progress = Progress::default();
        let look = async {
            let session = self.connect().await?;
            let look = self.look(&*session, &mut progress).await;
            session.finish();
            look
        };
        let reconciled = match look.await {
            Ok(Look::Diverged { .. }) => Some(false),
            Ok(_) => Some(true),
            Err(failure) => {
                tracing::debug!(%failure, "the diverged remote could not be looked at");
                None
            }
        };
        let remote = progress.remote.unwrap_or(RemoteTip::Unseen);
        Probed {
            reconciled,
            remote,
            survey: self.survey_after(remote).await,
        }
    }

    async fn close(&self, deadline: Instant) {
        self.background.close(deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_branch_is_named_by_the_utc_time() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_444_200);
        assert_eq!(conflict_ref(time, &[]), "refs/heads/conflicts/20261123T143000Z");
    }

    #[test]
    fn conflict_branches_of_the_same_second_are_numbered() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_444_200);
        let mut taken = Vec::new();
        for expected in ["20261123T143000Z", "20261123T143000Z-2", "20261123T143000Z-3"] {
            let refname = conflict_ref(time, &taken);
            assert_eq!(refname, format!("refs/heads/conflicts/{expected}"));
            taken.push((Oid::from_bytes([1; 20]), refname));
        }
    }
}
