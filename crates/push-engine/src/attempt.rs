//! One attempt: connect, read what the remote has, compare, send what it lacks, and believe only its report.
//!
//! It does not repeat itself, except that it decides a lost race again from a fresh advertisement: `state` decides
//! when to try again. It never forces: the command carries the old value that was compared, and the remote checks it.
//!
//! A connection that was kept after the last push is used first, and only for a fast-forward from the tip that was
//! confirmed then. If anything else comes of it, the attempt decides from a fresh connection, without an event. A
//! kept connection is used at most once, and is never waited for.
//!
//! An `ok` of a server that is not known to compare old values counts only once the branch is seen to have moved, in
//! another advertisement. The connections of such a server are not kept.

mod compare;
mod detour;
mod divide;
mod evidence;
mod keep;
mod limit;
mod packing;
mod plan;
mod preserve;
mod progress;
mod quarantine;
mod route;
mod send;
mod times;
mod tracking;
mod verify;

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use git_wire::oid::Oid;
use tokio::time::{Instant, timeout};

use self::compare::Comparison;
use self::detour::Detour;
use self::divide::Division;
use self::evidence::Findings;
use self::plan::{Plan, explained};
use self::progress::{Next, Phase, Progress};
use self::route::Route;
use self::send::{LostRaces, Push, is_certain, refusal, unmoved};
use self::tracking::TrackingWriter;
use crate::branch::SharedBranch;
use crate::daemon::Pusher;
use crate::event::SentPush;
use crate::failure::{self, Failure, Kind};
use crate::state::{Attempted, Outcome, Probed, RemoteTip, Survey, Terms, Verified};
use crate::transfer::{Transfer, TransferState};
use crate::transport::{Background, Kept, Session, Settings, SharedClient};
use crate::turns::ATTEMPTS;

pub use route::{ChosenTransport, Destination, TransportNote};

/// Pushes over a [`transport`](crate::transport).
#[derive(Debug)]
pub struct RemotePusher {
    branch: SharedBranch,
    destination: Destination,
    note: TransportNote,
    background: Background,
    http: SharedClient,
    kept: Kept<Arc<Route>>,
    detour: Detour,
    tracking: TrackingWriter,
    /// The last tip to be preserved, and its name. Every try uses the same one: a late arrival makes no second branch.
    conflict: Mutex<Option<(Oid, String)>>,
    /// Whether git makes no packs, because its last one came to nothing.
    packs_here: AtomicBool,
    /// What is known of commits that only the remote has.
    findings: Findings,
    division: Mutex<Division>,
    transfer: Transfer,
}

/// A push over a kept connection that a hook declined.
struct Declined {
    tip: Oid,
    previous: Option<Oid>,
    failure: Failure,
}

impl RemotePusher {
    /// Pushes the branch of `branch` to `destination`.
    #[must_use]
    pub fn new(branch: SharedBranch, destination: Destination, note: TransportNote) -> Self {
        let background = Background::default();
        let keep = destination.keep_connection;
        let kept = Kept::new(keep, &branch.target().refname, background.clone());
        Self {
            branch,
            note,
            http: SharedClient::new(keep, destination.timeouts.idle),
            kept,
            detour: Detour::default(),
            tracking: TrackingWriter::new(
                destination.root.clone(),
                destination.environment.clone(),
                background.clone(),
            ),
            background,
            conflict: Mutex::default(),
            packs_here: AtomicBool::default(),
            findings: Findings::default(),
            division: Mutex::new(Division::new(destination.max_pack_bytes)),
            transfer: Transfer::default(),
            destination,
        }
    }

    async fn run(&self, progress: &mut Progress) -> Result<Outcome, Failure> {
        let mut races = LostRaces::default();
        // Where the branch was when the remote last claimed to have moved it.
        let mut claimed = None;
        let mut declined = None;
        // The route to try next, if it is known.
        let mut next = None;
        loop {
            let mut route = match next.take() {
                Some(route) => route,
                None => self.find_route().await?,
            };
            if let Some((session, confirmed)) = self.kept.take(&route).await {
                match self.push_over_kept(session, confirmed, &route, progress).await {
                    Ok(push) => return Ok(Outcome::Pushed(push)),
                    Err(by_hook) => declined = by_hook,
                }
                progress.start_over();
            }
            let mut session = self.connect_or_detour(&mut route).await?;
            let comparison = self.compare(&*session, &route, progress).await?;
            if let Some(push) = progress.arrived(&comparison, &route) {
                self.keep_ready(&route, session);
                return Ok(Outcome::Pushed(push));
            }
            let mut push = match comparison {
                Comparison::NoBranch => {
                    session.finish();
                    return Ok(Outcome::UpToDate(None));
                }
                Comparison::UpToDate(tip) => {
                    self.keep_ready(&route, session);
                    return Ok(Outcome::UpToDate(Some(tip)));
                }
                Comparison::Diverged(divergence) => {
                    progress.phase = Phase::Diverged(divergence.clone());
                    let divergence = self
                        .end_diverged(session, &route, divergence, progress.terms.preserve)
                        .await;
                    return Ok(Outcome::Diverged(divergence));
                }
                Comparison::Ahead(push) => push,
            };
            if !progress.terms.restore && progress.lost.is_some_and(|lost| lost.is_all) {
                session.finish();
                return Ok(Outcome::Left(push.tip));
            }
            progress.phase = Phase::Pushing(push.tip);
            if let Some(Declined {
                tip,
                previous,
                failure,
            }) = declined.take()
                && (tip, previous) == (push.tip, push.previous)
            {
                // Nothing has changed that could make the hook decide differently.
                session.finish();
                return Err(failure);
            }
            if claimed == Some(push.previous) {
                session.finish();
                return Err(unmoved(push.refname, push.previous));
            }
            let mut planned = match self.plan(&*session, &route, push.tip).await? {
                Plan::Send(planned) => planned,
                Plan::ByGit(reason) => {
                    session.finish();
                    next = Some(self.by_git(&route, reason)?);
                    continue;
                }
            };
            let leaves_out = planned.request.leave_out_missing;
            let sending = self.send(&mut *session, &route, &mut push, &mut planned, progress);
            let (report, sent) = match sending.await {
                Err(refusal) if failure::is_about_size(refusal.message()) => {
                    self.lower_limit(&push, &planned.request, refusal).await?;
                    continue;
                }
                sent => sent?,
            };
            if report.is_success() {
                if is_certain(&*session, &report) {
                    return Ok(Outcome::Pushed(
                        self.confirm(session, &route, &push, sent, progress),
                    ));
                }
                tracing::debug!("the remote claims to have moved its branch: checking");
                session.finish();
                progress.unconfirmed = Some(sent);
                claimed = Some(push.previous);
                continue;
            }
            session.finish();
            let failure = explained(refusal(push.refname, &report), leaves_out);
            if !races.go_on_after(&report, push.previous) {
                return Err(failure);
            }
        }
    }

    /// Cuts off at the limit of a whole attempt.
    async fn within_limit<T>(&self, run: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let Some(limit) = self.destination.timeouts.attempt else {
            return run.await;
        };
        let late = |_| Err(Failure::timed_out("the attempt did not end", limit));
        timeout(limit, run).await.unwrap_or_else(late)
    }

    /// Pushes over a kept session, if the branch has only moved on from the tip that was confirmed when it was kept.
    /// Otherwise a fresh advertisement decides, unless the hook that declined would decline the same push again.
    async fn push_over_kept(
        &self,
        mut session: Box<dyn Session>,
        confirmed: Oid,
        route: &Arc<Route>,
        progress: &mut Progress,
    ) -> Result<SentPush, Option<Declined>> {
        let Some(mut push) = self.fast_forward_from(confirmed).await else {
            session.finish();
            return Err(None);
        };
        let Ok(Plan::Send(mut planned)) = self.plan(&*session, route, push.tip).await else {
            session.finish();
            return Err(None);
        };
        let tip = push.tip;
        tracing::debug!("using the kept connection");
        progress.phase = Phase::Pushing(push.tip);
        progress.remote = RemoteTip::At(confirmed);
        let sending = self.send(&mut *session, route, &mut push, &mut planned, progress);
        let declined = |failure| Declined {
            tip,
            previous: Some(confirmed),
            failure,
        };
        let (report, sent) = match sending.await {
            Ok(sent) => sent,
            Err(failure) if failure::is_about_size(failure.message()) => {
                let lowered = self.lower_limit(&push, &planned.request, failure).await;
                return Err(lowered.err().map(declined));
            }
            Err(failure) => {
                self.note_break(&failure);
                self.transfer.end();
                tracing::debug!(%failure, "the kept connection has failed: connecting anew");
                return Err(None);
            }
        };
        if report.is_success() {
            if is_certain(&*session, &report) {
                return Ok(self.confirm(session, route, &push, sent, progress));
            }
            session.finish();
            progress.sending = Some(sent);
            return Err(None);
        }
        session.finish();
        let failure = refusal(push.refname, &report);
        tracing::debug!(%failure, "refused over the kept connection: connecting anew");
        Err((failure.kind() == Kind::Rejected).then_some(declined(failure)))
    }

    /// Notes a confirmed push, and what the next one may be made over. The remote is still running its hooks.
    fn confirm(
        &self,
        session: Box<dyn Session>,
        route: &Arc<Route>,
        push: &Push<'_>,
        sent: SentPush,
        progress: &mut Progress,
    ) -> SentPush {
        let tip = push.tip;
        progress.remote = RemoteTip::At(tip);
        progress.confirmed = Some((tip, Arc::clone(route)));
        // What git sends by itself is known from its progress alone.
        let bytes = sent.bytes.max(self.transfer.bytes());
        self.division().arrived(push, bytes);
        if self.division().limit.is_lowered_by_link() {
            // The next step has the whole life of another connection.
            self.http.forget();
            session.finish();
        } else if self.is_kept(route) {
            let session = session.finish_for_next(push.refname, tip);
            // Another step follows at once, and waits for no connection that is being made.
            if session.is_some() || !push.is_step() {
                progress.next = Some(Next {
                    route: Arc::clone(route),
                    tip,
                    session,
                });
            }
        } else {
            session.finish();
        }
        sent
    }

    /// The route to the remote by the configuration of this moment.
    async fn find_route(&self) -> Result<Arc<Route>, Failure> {
        self.sweep().await;
        let (destination, target, settings) = (
            self.destination.clone(),
            self.branch.target().clone(),
            self.settings(),
        );
        let finding = self.branch.read(move || destination.route(&target, settings));
        let route = match finding.await {
            Ok(route) => self.detour.instead_of(&route).unwrap_or(route),
            Err(failure) => {
                // A repository that is gone has no remotes either, but that is not what is wrong with it.
                self.branch.ask(|branch| branch.tip()).await?;
                return Err(failure);
            }
        };
        self.note.set(&route);
        Ok(route)
    }

    fn settings(&self) -> Settings {
        Settings {
            idle_timeout: self.destination.timeouts.idle,
            report_timeout: self.destination.timeouts.report,
            environment: self.destination.environment.clone(),
            background: self.background.clone(),
            http: self.http.clone(),
            transfer: self.transfer.clone(),
        }
    }

    async fn connect(&self, route: &Route) -> Result<Box<dyn Session>, Failure> {
        let transport = &route.transport;
        tracing::debug!(transport = transport.name(), why = transport.why(), remote = %route.remote.parsed, "connecting");
        route.connect(self.destination.timeouts.connect).await
    }

    /// Connects. Where the native TLS cannot and the git CLI can, `route` becomes that of the git CLI.
    async fn connect_or_detour(&self, route: &mut Arc<Route>) -> Result<Box<dyn Session>, Failure> {
        let failure = match self.connect(route).await {
            Ok(session) => return Ok(session),
            Err(failure) => failure,
        };
        self.detour.forget();
        let (failure, fault) = detour::fault_for_git(failure, route, self.destination.transport)?;
        tracing::debug!(%failure, "the native TLS cannot connect: trying the git CLI");
        let reason = format!("git's own TLS is needed: {}", fault.problem());
        let target = self.branch.target();
        let by_git = match self.destination.by_git(route, target, reason, self.settings()) {
            Ok(by_git) => by_git,
            Err(missing) => return Err(detour::without_git(failure, fault, &missing)),
        };
        match self.connect(&by_git).await {
            Ok(session) => {
                self.note.set(&by_git);
                self.detour.take(Arc::clone(route), Arc::clone(&by_git));
                *route = by_git;
                Ok(session)
            }
            Err(refused) => Err(detour::of_both(failure, fault, refused)),
        }
    }

    /// Reads the branch after an attempt that saw `remote`, and remembers the tip that was confirmed. Failing to
    /// remember it is no failure of the push.
    async fn survey_after(&self, remote: RemoteTip, confirmed: Option<(Oid, Arc<Route>)>) -> Option<Survey> {
        let distance = self.findings.distance();
        let surveyed = self
            .branch
            .ask(move |branch| {
                branch.learn(distance);
                let update = confirmed.and_then(|(tip, route)| branch.remember_remote(tip, &route.config));
                let remote = match remote {
                    RemoteTip::Unseen => branch.last_known_remote()?,
                    RemoteTip::Absent => None,
                    RemoteTip::At(tip) => Some(tip),
                };
                Ok((branch.survey(remote), update))
            })
            .await
            .and_then(|(survey, update)| {
                self.tracking.write(update);
                Ok(survey?)
            });
        surveyed
            .inspect_err(|failure| tracing::debug!(%failure, "the branch could not be read"))
            .ok()
    }
}

impl Pusher for RemotePusher {
    async fn attempt(&self, terms: Terms) -> Attempted {
        tracing::debug!("an attempt starts");
        let mut progress = Progress {
            terms,
            ..Progress::default()
        };
        self.transfer.end();
        let run = self.within_limit(Box::pin(self.run(&mut progress)));
        let result = ATTEMPTS.run(Box::pin(run)).await;
        let (remote, lost) = (progress.remote, progress.lost);
        if let Err(failure) = &result {
            self.note_break(failure);
        }
        self.transfer.end();
        let survey = self.survey_after(remote, progress.confirmed.take()).await;
        if let Some(next) = progress.next.take() {
            self.keep_next(next);
        }
        progress.times.log();
        Attempted {
            outcome: result.unwrap_or_else(|failure| progress.end_with(failure)),
            remote,
            lost,
            survey,
        }
    }

    async fn verify(&self, known: Option<Oid>) -> Verified {
        self.read_remote(known).await
    }

    async fn probe(&self, preserve: bool) -> Probed {
        let mut progress = Progress::default();
        let check = async {
            let mut route = self.find_route().await?;
            let session = self.connect_or_detour(&mut route).await?;
            match self.compare(&*session, &route, &mut progress).await {
                Ok(Comparison::Diverged(divergence)) => {
                    let divergence = self.end_diverged(session, &route, divergence, preserve).await;
                    Ok(Some(divergence))
                }
                compared => {
                    session.finish();
                    compared.map(|_| None)
                }
            }
        };
        let (reconciled, divergence) = match ATTEMPTS.run(Box::pin(self.within_limit(check))).await {
            Ok(divergence) => (Some(divergence.is_none()), divergence),
            Err(failure) => {
                tracing::debug!(%failure, "the diverged remote could not be read");
                (None, None)
            }
        };
        Probed {
            reconciled,
            evidence: divergence
                .as_ref()
                .and_then(|divergence| divergence.failure.evidence().cloned()),
            preserved: divergence.and_then(|divergence| Some((divergence.tip, divergence.preserved?))),
            remote: progress.remote,
            survey: self.survey_after(progress.remote, None).await,
        }
    }

    fn progress(&self) -> Option<TransferState> {
        self.transfer.get()
    }

    fn is_in_steps(&self) -> bool {
        self.division().next_step() > 1
    }

    async fn remote_moved(&self) {
        self.kept.moved().await;
    }

    async fn close(&self, deadline: Instant) {
        self.kept.close();
        self.findings.close();
        self.background.close(deadline).await;
    }
}
