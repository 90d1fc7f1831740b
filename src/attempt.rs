//! One attempt: connect, look at what the remote has, decide, send what it lacks, and believe only its report.
//!
//! It does not repeat itself, except that a lost race is decided again from a fresh advertisement. When to try
//! again is `state`'s business. It never forces: the command carries the old value that was looked at, and
//! the remote compares.
//!
//! What was connected after the last push is used first, for a fast-forward from the tip that was confirmed then and
//! for nothing else. Whatever else comes of it is silently decided from a fresh connection, which there is once in
//! any case: a kept one is neither waited for nor believed twice.
//!
//! A success of a server that is not known to compare old values is no more than a claim: it is looked for in another
//! advertisement before it is believed, and nothing is kept of its connections.
//!
//! While a fresh connection is made, so is the pack of a fast-forward from that tip. It is used if that is what the
//! advertisement asks for, and made again if not.

mod conflict;
mod detour;
mod guess;
mod packing;
mod route;
mod steps;

use std::cell::Cell;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use self::steps::Steps;
use crate::branch::SharedSide;
use crate::daemon::{Attempted, Probed, Pusher};
use crate::failure::{self, Failure, Kind};
use crate::oid::Oid;
use crate::pack::{PackRequest, PackStats};
use crate::repository::Relation;
use crate::send_pack::{Command, Report};
use crate::state::{Outcome, RemoteTip, Survey, Unconfirmed};
use crate::transport::{Background, Kept, PushFailure, Session, Settings, SharedClient};
use conflict::{CONFLICTS, conflict_ref};
use detour::Detour;
use guess::Guess;
use packing::{EMPTY, PACK_PIECES};
use route::Way;

pub use route::{ChosenTransport, Route, TransportNote};

/// How often in a row the remote may refuse to move the branch from the same tip before it counts as locked. The
/// lock of another push lasts for a moment, and whoever wins a race moves the branch.
const REFUSALS: usize = 2;

/// Pushes over a [`transport`](crate::transport).
#[derive(Debug)]
pub struct RemotePusher {
    side: SharedSide,
    route: Route,
    note: TransportNote,
    background: Background,
    http: SharedClient,
    kept: Kept<Arc<Way>>,
    detour: Detour,
    /// The tip that the last attempt left the remote at: good for one guess.
    confirmed: Cell<Option<Oid>>,
    /// The last tip that was to be preserved, and the name chosen for it. Each try for a tip uses the same one, so that a
    /// try whose outcome is unknown, and which arrives late, makes no second branch.
    conflict: Mutex<Option<(Oid, String)>>,
}

/// How far an attempt has come, so that one that is cut off can still be told about.
#[derive(Default)]
struct Progress {
    remote: Option<RemoteTip>,
    tip: Option<Oid>,
    had_work: bool,
    /// The divergence that was found, and whether the tips could be compared: it is told even if what follows, the
    /// preserving of the local tip, is cut off.
    diverged: Option<(Failure, bool)>,
    /// The push that has left, or is leaving.
    sending: Option<Unconfirmed>,
    /// One that left over a kept connection, and of which nothing was heard.
    unconfirmed: Option<Unconfirmed>,
    /// What a hook said to one of these over a kept connection: the tip and the remote's at that time.
    declined: Option<(Oid, Option<Oid>, Failure)>,
    /// The pack that is made while the connection is.
    guess: Option<Guess>,
    /// The tip that the remote has confirmed, to be remembered.
    confirmed: Option<Oid>,
    /// What to keep ready for the next push, once this one was told.
    next: Option<Next>,
    steps: Steps,
}

/// One push of a branch.
#[derive(Debug)]
struct Push<'a> {
    refname: &'a str,
    tip: Oid,
    /// Where the remote is to be, so that it is moved from there and from nowhere else.
    previous: Option<Oid>,
    /// The boundary of the local repository, if it is a shallow clone.
    shallow: Vec<Oid>,
}

impl Push<'_> {
    fn unconfirmed(&self, stats: PackStats) -> Unconfirmed {
        Unconfirmed {
            commit: self.tip,
            previous: self.previous,
            commits: stats.commits as u64,
            bytes: stats.bytes,
        }
    }
}

/// What the next push may be made over.
struct Next {
    way: Arc<Way>,
    tip: Oid,
    /// `None` where there has to be a connection first.
    session: Option<Box<dyn Session>>,
}

impl Progress {
    /// Forgets what was taken for true because of a kept connection, except for what it sent.
    fn look_again(&mut self) {
        self.remote = None;
        self.unconfirmed = self.sending.take();
    }

    /// The push over a kept connection that a fresh look finds to have arrived.
    fn arrived(&mut self, look: &Look) -> Option<Unconfirmed> {
        let remote = self.remote;
        self.unconfirmed.take_if(|push| {
            remote == Some(RemoteTip::At(push.commit))
                || matches!(look, Look::UpToDate(tip) if *tip == push.commit)
        })
    }
}

/// What a look at the remote found.
enum Look {
    NoBranch,
    UpToDate(Oid),
    Work {
        tip: Oid,
        previous: Option<Oid>,
        shallow: Vec<Oid>,
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
        let background = Background::default();
        let kept = Kept::new(route.keep_connection, &side.target().refname, background.clone());
        Self {
            side,
            note,
            background,
            http: SharedClient::new(route.keep_connection, route.timeouts.idle),
            kept,
            detour: Detour::default(),
            route,
            confirmed: Cell::default(),
            conflict: Mutex::default(),
        }
    }

    async fn run(&self, preserve: bool, progress: &mut Progress) -> Result<Outcome, Failure> {
        // The tip that the branch was not moved from, and how often that was in a row. There is no limit while
        // it moves: somebody else, such as a second daemon, is bringing the same commits.
        let mut refused = (None, 0);
        // Where the branch was when the remote last said that it had moved it.
        let mut claimed = None;
        loop {
            let mut way = self.find_way().await?;
            if let Some((session, confirmed)) = self.kept.take(&way).await {
                if let Some(pushed) = self.push_over_kept(session, confirmed, &way, progress).await {
                    return Ok(pushed);
                }
                progress.look_again();
            }
            progress.guess = self.guess(&way, &progress.steps);
            let mut session = self.connect_or_detour(&mut way).await?;
            progress.guess.take_if(|_| !way.transport.takes_pack());
            let look = self.look(&*session, progress).await?;
            if let Some(push) = progress.arrived(&look) {
                progress.confirmed = Some(push.commit);
                self.keep_ready(&way, session);
                return Ok(pushed(push));
            }
            let (tip, previous, shallow) = match look {
                Look::NoBranch => {
                    session.finish();
                    return Ok(Outcome::UpToDate { tip: None });
                }
                Look::UpToDate(tip) => {
                    self.keep_ready(&way, session);
                    return Ok(Outcome::UpToDate { tip: Some(tip) });
                }
                Look::Diverged {
                    tip,
                    remote,
                    relation,
                } => {
                    let (failure, comparable) = self.divergence(tip, remote, relation);
                    progress.diverged = Some((failure.clone(), comparable));
                    let preserved = self.end_diverged(session, &way, tip, preserve).await;
                    return Ok(Outcome::Diverged {
                        tip,
                        failure,
                        comparable,
                        preserved,
                    });
                }
                Look::Work {
                    tip,
                    previous,
                    shallow,
                } => (tip, previous, shallow),
            };
            progress.had_work = true;
            if let Some((declined, at, failure)) = progress.declined.take()
                && (declined, at) == (tip, previous)
            {
                // Nothing has changed that a hook would have to be asked again for.
                session.finish();
                return Err(failure);
            }
            if claimed == Some(previous) {
                session.finish();
                return Err(self.unmoved(previous));
            }
            let push = self.push(tip, previous, shallow);
            let (report, stats) = self.send(&mut *session, &way, &push, progress).await?;
            if report.is_success() {
                if is_certain(&*session, &report) {
                    return Ok(self.succeed(session, &way, &push, stats, progress));
                }
                tracing::debug!("the remote says that it has moved its branch: looking whether it has");
                session.finish();
                progress.unconfirmed = Some(push.unconfirmed(stats));
                claimed = Some(previous);
                continue;
            }
            session.finish();
            let failure = refusal(push.refname, &report);
            if report.unpack.is_err()
                || !report
                    .reference
                    .is_err_and(|reason| failure::is_lost_race(&reason))
            {
                return Err(failure);
            }
            let in_a_row = if refused.0 == Some(previous) { refused.1 } else { 0 };
            refused = (Some(previous), in_a_row + 1);
            if refused.1 == REFUSALS {
                return Err(failure);
            }
        }
    }

    /// Cuts off at the limit of a whole attempt.
    async fn within_limit<T>(&self, run: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match self.route.timeouts.attempt {
            None => run.await,
            Some(limit) => timeout(limit, run)
                .await
                .unwrap_or_else(|_| Err(Failure::timed_out("the attempt did not end", limit))),
        }
    }

    /// Pushes over a session that was kept ready, if the branch has only moved on from the tip that was confirmed
    /// when it was. `None` where a fresh look has to decide.
    async fn push_over_kept(
        &self,
        mut session: Box<dyn Session>,
        confirmed: Oid,
        way: &Arc<Way>,
        progress: &mut Progress,
    ) -> Option<Outcome> {
        let compared = self.side.ask(move |side| {
            let Some(tip) = side.tip()? else { return Ok(None) };
            let shallow = side.repository().shallow_commits()?;
            let relation = side.relation(tip, Some(confirmed))?;
            Ok(Some((tip, shallow)).filter(|_| relation == Relation::Ahead))
        });
        let Ok(Some((tip, shallow))) = compared.await else {
            session.finish();
            return None;
        };
        tracing::debug!("using the connection that was kept ready");
        progress.tip = Some(tip);
        progress.had_work = true;
        progress.remote = Some(RemoteTip::At(confirmed));
        let push = self.push(tip, Some(confirmed), shallow);
        match self.send(&mut *session, way, &push, progress).await {
            Ok((report, stats)) if report.is_success() => {
                if is_certain(&*session, &report) {
                    return Some(self.succeed(session, way, &push, stats, progress));
                }
                session.finish();
                progress.sending = Some(push.unconfirmed(stats));
                None
            }
            Ok((report, _)) => {
                session.finish();
                let failure = refusal(push.refname, &report);
                tracing::debug!(%failure, "refused over the kept connection: looking again");
                if failure.kind() == Kind::Rejected {
                    progress.declined = Some((tip, push.previous, failure));
                }
                None
            }
            Err(failure) => {
                tracing::debug!(%failure, "the kept connection has failed: connecting anew");
                None
            }
        }
    }

    /// Notes a confirmed push, and what the next one may be made over. The remote is still running its hooks.
    fn succeed(
        &self,
        session: Box<dyn Session>,
        way: &Arc<Way>,
        push: &Push<'_>,
        stats: PackStats,
        progress: &mut Progress,
    ) -> Outcome {
        let tip = push.tip;
        progress.remote = Some(RemoteTip::At(tip));
        progress.confirmed = Some(tip);
        if self.is_kept_ready(way) {
            progress.next = Some(Next {
                way: Arc::clone(way),
                tip,
                session: session.finish_for_next(push.refname, tip),
            });
        } else {
            session.finish();
        }
        pushed(push.unconfirmed(stats))
    }

    /// Makes the next push ready. Connecting takes time on this thread, so whoever waits for this push is told first:
    /// it begins when the attempt has ended.
    fn make_ready(&self, next: Next) {
        let Next { way, tip, session } = next;
        if let Some(session) = session {
            self.kept.keep(way, tip, ready(Ok(session)));
        } else {
            let (connecting, limit) = (Arc::clone(&way), self.route.timeouts.connect);
            self.kept
                .keep(way, tip, async move { connecting.connect(limit).await });
        }
    }

    /// Begins to make the pack that will be wanted if neither side has done anything but what is expected.
    fn guess(&self, way: &Way, steps: &Steps) -> Option<Guess> {
        let confirmed = self.confirmed.take()?;
        way.transport
            .takes_pack()
            .then(|| Guess::begin(&self.side, confirmed, steps))
    }

    fn push(&self, tip: Oid, previous: Option<Oid>, shallow: Vec<Oid>) -> Push<'_> {
        Push {
            refname: &self.side.target().refname,
            tip,
            previous,
            shallow,
        }
    }

    fn is_kept_ready(&self, way: &Way) -> bool {
        way.transport.may_be_kept() && self.kept.is_enabled()
    }

    /// The failure of a push that the remote confirmed, and that its own advertisement denies.
    fn unmoved(&self, at: Option<Oid>) -> Failure {
        let branch = &self.side.target().refname;
        let place = at.map_or_else(|| "absent".to_owned(), |at| format!("at {at}"));
        let message = format!(
            "the remote said that it had moved its {branch}, and it is still {place}: a hook there may put pushes elsewhere, or its answers come from servers that do not agree"
        );
        Failure::new(Kind::RemoteError, message)
    }

    /// Keeps a session that has only looked, unless its advertisement is too old by the next push.
    fn keep_ready(&self, way: &Arc<Way>, session: Box<dyn Session>) {
        let remote = session.advertisement().tip(&self.side.target().refname);
        match remote {
            Some(remote) if self.is_kept_ready(way) && session.compares_old_values() => {
                self.kept.keep(Arc::clone(way), remote, ready(Ok(session)));
            }
            _ => session.finish(),
        }
    }

    /// The way to the remote as the configuration of this moment has it.
    async fn find_way(&self) -> Result<Arc<Way>, Failure> {
        let way = match self.route.find(self.side.target(), self.settings()) {
            Ok(way) => self.detour.instead_of(&way).unwrap_or(way),
            Err(failure) => {
                // A repository that is gone has no remotes either, but that is not what is wrong with it.
                self.side.ask(|side| side.tip()).await?;
                return Err(failure);
            }
        };
        self.tell_of(&way);
        Ok(way)
    }

    fn settings(&self) -> Settings {
        Settings {
            idle_timeout: self.route.timeouts.idle,
            report_timeout: self.route.timeouts.report,
            environment: self.route.environment.clone(),
            background: self.background.clone(),
            http: self.http.clone(),
        }
    }

    fn tell_of(&self, way: &Way) {
        self.note.set(ChosenTransport {
            transport: way.transport.name(),
            reason: way.transport.why().map(str::to_owned),
        });
    }

    async fn connect_by(&self, way: &Way) -> Result<Box<dyn Session>, Failure> {
        let transport = &way.transport;
        tracing::debug!(transport = transport.name(), why = transport.why(), remote = %way.remote.parsed, "connecting");
        way.connect(self.route.timeouts.connect).await
    }

    /// Connects; by git, which `way` is then, where the native TLS cannot and git's own can.
    async fn connect_or_detour(&self, way: &mut Arc<Way>) -> Result<Box<dyn Session>, Failure> {
        let failure = match self.connect_by(way).await {
            Ok(session) => return Ok(session),
            Err(failure) => failure,
        };
        self.detour.forget();
        let (failure, fault) = detour::fault_for_git(failure, way, self.route.transport)?;
        tracing::debug!(%failure, "the native TLS cannot connect: trying git");
        let reason = format!("git's own TLS is needed: {}", fault.problem());
        let by_git = match self
            .route
            .by_git(way, self.side.target(), reason, self.settings())
        {
            Ok(by_git) => by_git,
            Err(missing) => return Err(detour::without_git(failure, fault, &missing)),
        };
        match self.connect_by(&by_git).await {
            Ok(session) => {
                self.tell_of(&by_git);
                self.detour.take(Arc::clone(way), Arc::clone(&by_git));
                *way = by_git;
                Ok(session)
            }
            Err(refused) => Err(detour::of_both(failure, fault, refused)),
        }
    }

    /// Compares the local tip of this moment with what the remote advertises.
    async fn look(&self, session: &dyn Session, progress: &mut Progress) -> Result<Look, Failure> {
        progress.steps.connected = Some(progress.steps.now());
        let refname = &self.side.target().refname;
        if session.advertisement().is_broken(refname) {
            let message = format!("the remote's {refname} is corrupt: the remote cannot read it itself");
            return Err(Failure::new(Kind::RemoteError, message));
        }
        let remote = session.advertisement().tip(refname);
        progress.remote = Some(remote.map_or(RemoteTip::Absent, RemoteTip::At));
        let compared = self
            .side
            .ask(move |side| {
                let Some(tip) = side.tip()? else { return Ok(None) };
                let shallow = side.repository().shallow_commits()?;
                let relation = side.relation(tip, remote)?;
                // Kept for the next start, which may find a tip there that is not here.
                if matches!(relation, Relation::Same | Relation::Ahead | Relation::Behind)
                    && let Some(remote) = remote
                {
                    side.remember_remote(remote);
                }
                Ok(Some((tip, relation, shallow)))
            })
            .await?;
        let Some((tip, relation, shallow)) = compared else {
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
            (_, previous) => Look::Work {
                tip,
                previous,
                shallow,
            },
        })
    }

    /// Sends the command and the pack, which is the one that was guessed if that guess was right.
    async fn send(
        &self,
        session: &mut dyn Session,
        way: &Way,
        push: &Push<'_>,
        progress: &mut Progress,
    ) -> Result<(Report, PackStats), Failure> {
        progress.steps.looked = Some(progress.steps.now());
        let command = Command::new(push.refname, push.previous, push.tip)
            .map_err(|error| Failure::new(Kind::Local, error.to_string()))?;
        let guessed = match progress.guess.take() {
            Some(guess) => {
                let began = guess.began;
                let guessed = guess.for_push(push, session.advertisement().tips()).await;
                progress.steps.guessed = guessed.is_some().then_some(began);
                guessed
            }
            None => None,
        };
        let (pack, packed) = guessed.unwrap_or_else(|| {
            let request = PackRequest {
                tip: push.tip,
                remote_has: session.advertisement().tips().collect(),
            };
            let (sender, pack) = mpsc::channel(PACK_PIECES);
            let packed = if way.transport.takes_pack() {
                packing::pack(&self.side, request, sender, progress.steps.on_packed())
            } else {
                drop(sender);
                packing::count(&self.side, request)
            };
            (pack, packed)
        });
        progress.sending = Some(push.unconfirmed(EMPTY));
        let sent = session.push(&command, &push.shallow, pack).await;
        progress.steps.reported = Some(progress.steps.now());
        match sent {
            Ok(report) => {
                progress.sending = None;
                let stats = packed
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
                    let stats = packed.await.ok().and_then(Result::ok).unwrap_or(EMPTY);
                    Some(push.unconfirmed(stats))
                } else {
                    None
                };
                Err(failure)
            }
        }
    }

    /// What to tell of a divergence, and whether the two tips could be compared at all.
    fn divergence(&self, tip: Oid, remote: Oid, relation: Relation) -> (Failure, bool) {
        let branch = &self.side.target().refname;
        let comparable = relation != Relation::Unknowable;
        let message = if comparable {
            format!("the remote's {branch} is at {remote}, which the local {tip} does not contain")
        } else {
            format!(
                "the remote's {branch} is at {remote}, a commit that is not in this repository, and it is not known which commits the remote had before: nobody can tell whether {tip} is new"
            )
        };
        (Failure::non_fast_forward(message, remote), comparable)
    }

    /// Ends a session that found the remote diverged, once the tip is preserved if that is wanted. One over which that
    /// failed is cut off.
    async fn end_diverged(
        &self,
        mut session: Box<dyn Session>,
        way: &Way,
        tip: Oid,
        preserve: bool,
    ) -> Option<Result<String, Failure>> {
        if !preserve {
            session.finish();
            return None;
        }
        let preserved = self.preserve(&mut *session, way, tip).await;
        if preserved.is_ok() {
            session.finish();
        }
        Some(preserved)
    }

    /// Puts the local tip on the remote under a name of its own, over the connection that found the
    /// divergence. A tip that is kept there already (a restart forgets that) stays where it is.
    async fn preserve(&self, session: &mut dyn Session, way: &Way, tip: Oid) -> Result<String, Failure> {
        let refs = session.advertisement().refs();
        if let Some((_, kept)) = refs
            .iter()
            .find(|(oid, name)| *oid == tip && name.starts_with(CONFLICTS))
        {
            return Ok(kept.clone());
        }
        let refname = self.conflict_ref(tip, refs);
        let shallow = self.side.ask(|side| side.repository().shallow_commits()).await?;
        let push = Push {
            refname: &refname,
            ..self.push(tip, None, shallow)
        };
        let (report, _) = self.send(session, way, &push, &mut Progress::default()).await?;
        if !report.is_success() {
            return Err(refusal(&refname, &report));
        }
        if !is_certain(session, &report) {
            let session = way.connect(self.route.timeouts.connect).await?;
            let found = session.advertisement().tip(&refname);
            session.finish();
            if found != Some(tip) {
                let message = format!("the remote said that it had made {refname}, and it has not");
                return Err(Failure::new(Kind::RemoteError, message));
            }
        }
        Ok(refname)
    }

    /// The name under which the tip is preserved, unless another tip has taken it meanwhile.
    fn conflict_ref(&self, tip: Oid, taken: &[(Oid, String)]) -> String {
        let mut conflict = self.conflict.lock().unwrap_or_else(PoisonError::into_inner);
        match &*conflict {
            Some((chosen_for, refname))
                if *chosen_for == tip && !taken.iter().any(|(_, name)| name == refname) =>
            {
                refname.clone()
            }
            _ => {
                let refname = conflict_ref(SystemTime::now(), taken);
                *conflict = Some((tip, refname.clone()));
                refname
            }
        }
    }

    /// The branch as it stands after an attempt that saw `remote`. What was confirmed is remembered first: that it cannot
    /// be is no failure of the push.
    async fn survey_after(&self, remote: RemoteTip, confirmed: Option<Oid>) -> Option<Survey> {
        let surveyed = self
            .side
            .ask(move |side| {
                if let Some(tip) = confirmed {
                    side.remember_remote(tip);
                }
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

fn pushed(push: Unconfirmed) -> Outcome {
    let Unconfirmed {
        commit,
        previous,
        commits,
        bytes,
    } = push;
    Outcome::Pushed {
        tip: commit,
        previous,
        commits,
        bytes,
    }
}

/// Whether a success is one without another look.
fn is_certain(session: &dyn Session, report: &Report) -> bool {
    session.compares_old_values() && !report.is_doubtful
}

/// The failure behind a report that is no success.
fn refusal(refname: &str, report: &Report) -> Failure {
    match (&report.unpack, &report.reference) {
        (Err(reason), _) => Failure::from_unpack_error(reason, &report.messages),
        (_, Err(reason)) => Failure::from_rejection(refname, reason, &report.messages),
        (Ok(()), Ok(())) => Failure::new(Kind::Unknown, "the remote refused nothing"),
    }
}

impl Pusher for RemotePusher {
    async fn attempt(&self, preserve: bool) -> Attempted {
        tracing::debug!("an attempt starts");
        let mut progress = Progress::default();
        let run = self.run(preserve, &mut progress);
        let result = self.within_limit(run).await;
        let remote = progress.remote.unwrap_or(RemoteTip::Unseen);
        let survey = self.survey_after(remote, progress.confirmed).await;
        if let Some(next) = progress.next {
            self.make_ready(next);
        }
        if let (Ok(Outcome::Pushed { .. } | Outcome::UpToDate { .. }), RemoteTip::At(tip)) = (&result, remote)
        {
            self.confirmed.set(Some(tip));
        }
        progress.steps.log();
        let outcome = match (result, progress.tip, progress.diverged, remote) {
            (Ok(outcome), ..) => outcome,
            (Err(cut_off), Some(tip), Some((failure, comparable)), _) => Outcome::Diverged {
                tip,
                failure,
                comparable,
                preserved: Some(Err(cut_off)),
            },
            // The remote judged it so although what it advertised allowed the update.
            (Err(failure), Some(tip), None, RemoteTip::At(at)) if failure.kind() == Kind::NonFastForward => {
                let failure = Failure::non_fast_forward(failure.message(), at);
                Outcome::Diverged {
                    tip,
                    failure,
                    comparable: true,
                    preserved: None,
                }
            }
            (Err(failure), tip, ..) => Outcome::Failed {
                tip,
                failure,
                had_work: progress.had_work,
                unconfirmed: progress.sending.or(progress.unconfirmed),
            },
        };
        Attempted {
            outcome,
            remote,
            survey,
        }
    }

    async fn probe(&self, preserve: bool) -> Probed {
        let mut progress = Progress::default();
        let look = async {
            let mut way = self.find_way().await?;
            let session = self.connect_or_detour(&mut way).await?;
            let look = self.look(&*session, &mut progress).await;
            let preserved = if let Ok(Look::Diverged { tip, .. }) = look {
                let preserved = self.end_diverged(session, &way, tip, preserve).await;
                preserved.map(|preserved| (tip, preserved))
            } else {
                session.finish();
                None
            };
            Ok((look?, preserved))
        };
        let (reconciled, preserved) = match self.within_limit(look).await {
            Ok((look, preserved)) => (Some(!matches!(look, Look::Diverged { .. })), preserved),
            Err(failure) => {
                tracing::debug!(%failure, "the diverged remote could not be looked at");
                (None, None)
            }
        };
        let remote = progress.remote.unwrap_or(RemoteTip::Unseen);
        Probed {
            reconciled,
            preserved,
            remote,
            survey: self.survey_after(remote, None).await,
        }
    }

    async fn doubted(&self) {
        self.kept.moved().await;
    }

    async fn close(&self, deadline: Instant) {
        self.kept.close();
        self.background.close(deadline).await;
    }
}
