//! The actor: one task that owns the [`State`] and carries out what it decides.
//!
//! A change of the ref, a timer, the end of an attempt or a request wakes it; it tells the state, and carries out the
//! actions that come back. It knows neither git nor the wire nor JavaScript: it is given a [`Pusher`], a [`Branch`] and
//! an [`Observer`].

mod log;
mod meter;
mod ports;
mod reading;
mod shared_status;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use git_wire::oid::Oid;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::log::log;
use self::meter::Meter;
use self::reading::{end_requested, first_read, read, sleep_until_some};
use crate::event::Status;
use crate::failure::Failure;
use crate::state::{Action, Input, Now, Policy, State, Survey, Terms};

pub use ports::{Branch, Delivery, Ended, Observer, Pusher, Receipt, Refusal, Request, RequestId};
pub use shared_status::SharedStatus;

/// How much longer than the drain's deadline cleaning up may take before it is done by force.
const CLEAN_UP: Duration = Duration::from_millis(100);

type Task<T> = Option<Pin<Box<dyn Future<Output = T>>>>;

/// A request that is answered once the remote has its commit.
#[derive(Debug, Clone, Copy)]
struct Waiter {
    id: RequestId,
    commit: Oid,
    /// Whether one failed attempt is an answer.
    gives_up_on_failure: bool,
}

/// The actor.
#[expect(clippy::struct_excessive_bools, reason = "each is independent of the others")]
pub struct Daemon<P, B, O> {
    pusher: Rc<P>,
    branch: Rc<B>,
    observer: O,
    requests: mpsc::UnboundedReceiver<Request>,
    status: SharedStatus,
    state: State,
    /// The attempt or check that runs, which ends with this input.
    in_flight: Task<Input>,
    /// Watches the attempt.
    meter: Option<Meter>,
    /// Reads the branch; the attempt in flight goes on meanwhile.
    surveying: Task<Result<Survey, Failure>>,
    /// Whether the tip alone was read, as the remote was not known to have anything.
    is_uncounted: bool,
    /// Counts what the remote lacks, beside an attempt that takes long.
    counting: Task<Result<Survey, Failure>>,
    /// Requests to serve when the branch has been read.
    awaiting_survey: Vec<Request>,
    /// Requests that came after the reading began, and need another.
    unsurveyed: Vec<Request>,
    waiters: Vec<Waiter>,
    is_busy: bool,
    /// Whether a read of the branch has ended, well or not.
    has_read: bool,
    stop_by: Option<Instant>,
    is_finished: bool,
    is_aborted: bool,
}

/// Reads both clocks: `state` reads none.
#[must_use]
pub fn now() -> Now {
    Now {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}

async fn run_task<T>(task: &mut Task<T>) -> T {
    match task {
        Some(future) => {
            let output = future.await;
            *task = None;
            output
        }
        None => std::future::pending().await,
    }
}

impl<P: Pusher, B: Branch, O: Observer> Daemon<P, B, O> {
    /// Runs a daemon to its end, which a [`Request::Stop`] or [`Request::Abort`] brings about.
    pub async fn run(
        policy: Policy,
        pusher: P,
        branch: B,
        observer: O,
        mut requests: mpsc::UnboundedReceiver<Request>,
        status: SharedStatus,
    ) -> Ended {
        let mut early = Vec::new();
        let first = tokio::select! {
            biased;
            read = first_read(&branch) => Some(read),
            () = end_requested(&mut requests, &mut early) => None,
        };
        let has_read = first.is_some();
        let (survey, remote) = first.unwrap_or_default();
        let (state, actions) = State::start(policy, survey, remote, now());
        let mut daemon = Self {
            pusher: Rc::new(pusher),
            branch: Rc::new(branch),
            observer,
            requests,
            status,
            state,
            in_flight: None,
            meter: None,
            surveying: None,
            counting: None,
            is_uncounted: remote.is_none(),
            awaiting_survey: Vec::new(),
            unsurveyed: Vec::new(),
            waiters: Vec::new(),
            is_busy: true,
            has_read,
            stop_by: None,
            is_finished: false,
            is_aborted: false,
        };
        daemon.carry_out(actions).await;
        for (came, request) in early {
            daemon.take_request(match request {
                Request::Stop { timeout } => Request::Stop {
                    timeout: timeout.saturating_sub(came.elapsed()),
                },
                other => other,
            });
        }
        while !daemon.is_finished {
            daemon.turn().await;
        }
        daemon.close().await
    }

    /// Waits for one thing to happen and deals with it.
    async fn turn(&mut self) {
        #[expect(clippy::large_enum_variant, reason = "there is one, for one turn")]
        enum Wake {
            Request(Option<Request>),
            InFlight(Input),
            Surveyed(Result<Survey, Failure>),
            Counted(Result<Survey, Failure>),
            Timer,
            Meter,
            Changed,
            RemoteMoved,
        }
        if self.surveying.is_none() && !self.unsurveyed.is_empty() {
            self.begin_survey();
        }
        let meter_due = self.meter.as_ref().map(|meter| meter.due);
        let deadline = self.state.deadline().into_iter().chain(self.stop_by).min();
        let wake = tokio::select! {
            request = self.requests.recv() => Wake::Request(request),
            ended = run_task(&mut self.in_flight) => Wake::InFlight(ended),
            surveyed = run_task(&mut self.surveying) => Wake::Surveyed(surveyed),
            counted = run_task(&mut self.counting) => Wake::Counted(counted),
            () = sleep_until_some(deadline) => Wake::Timer,
            () = sleep_until_some(meter_due) => Wake::Meter,
            () = self.branch.changed() => Wake::Changed,
            () = self.pusher.remote_moved(), if self.in_flight.is_none() => Wake::RemoteMoved,
        };
        match wake {
            Wake::Request(Some(request)) => self.take_request(request),
            // The handle is gone: the environment went away.
            Wake::Request(None) => self.take_request(Request::Abort),
            Wake::InFlight(ended) => {
                let meter = self.meter.take();
                self.has_read = true;
                self.is_uncounted = false;
                self.forget_survey();
                self.step(ended).await;
                self.watch_on(meter);
            }
            Wake::Surveyed(surveyed) => {
                self.has_read = true;
                self.end_survey(surveyed).await;
            }
            Wake::Counted(counted) => self.end_counting(counted).await,
            Wake::Timer if self.stop_by.is_some_and(|stop_by| stop_by <= Instant::now()) => {
                // Stop even if the read of the branch never finishes.
                let timeout = Duration::ZERO;
                self.step(Input::Stop { timeout }).await;
            }
            Wake::Timer => self.step(Input::TimerFired).await,
            Wake::Meter => self.read_meter(),
            Wake::Changed => self.unsurveyed.push(Request::Wake),
            Wake::RemoteMoved => self.step(Input::RemoteMoved).await,
        }
    }

    /// Goes on watching if another step of the same backlog follows at once.
    fn watch_on(&mut self, meter: Option<Meter>) {
        if self.meter.is_some() && self.pusher.is_in_steps() {
            self.meter = meter;
            self.publish();
        }
    }

    fn publish(&self) {
        let meter = self.meter.as_ref();
        self.status.set(Status {
            progress: meter.and_then(|meter| meter.progress.clone()),
            ..self.state.status()
        });
    }

    /// Tells how far the push has come.
    fn read_meter(&mut self) {
        self.begin_counting();
        let Some(meter) = &mut self.meter else { return };
        let now = Instant::now();
        let progress = meter.read(self.pusher.progress(), now);
        if let Some(progress) = &progress {
            meter.log(progress, now);
        }
        meter.progress.clone_from(&progress);
        self.publish();
        if let Some(progress) = progress {
            self.observer.deliver(Delivery::Progress(progress));
        }
    }

    fn take_request(&mut self, request: Request) {
        match request {
            Request::Abandon(id) => self.waiters.retain(|waiter| waiter.id != id),
            Request::Abort => {
                self.is_aborted = true;
                self.is_finished = true;
            }
            Request::Stop { timeout } => {
                let stop_by = Instant::now() + timeout;
                self.stop_by = Some(self.stop_by.map_or(stop_by, |earlier| earlier.min(stop_by)));
                self.unsurveyed.push(request);
            }
            other => self.unsurveyed.push(other),
        }
    }

    /// Reads the branch once for all requests so far.
    fn begin_survey(&mut self) {
        self.awaiting_survey.append(&mut self.unsurveyed);
        let branch = Rc::clone(&self.branch);
        let (remote, counts) = (self.state.remote(), !self.is_uncounted);
        self.surveying = Some(Box::pin(async move { read(&*branch, remote, counts).await }));
    }

    /// Counts the commits of a branch whose tip alone was read.
    fn begin_counting(&mut self) {
        if self.is_uncounted && self.counting.is_none() {
            let branch = Rc::clone(&self.branch);
            self.counting = Some(Box::pin(async move { branch.count().await }));
        }
    }

    async fn end_counting(&mut self, counted: Result<Survey, Failure>) {
        match counted {
            Ok(survey) if survey.tip == self.state.tip() => {
                self.is_uncounted = false;
                self.forget_survey();
                self.step(Input::Surveyed(survey)).await;
            }
            // The branch has moved: the meter begins another count.
            Ok(_) => {}
            Err(failure) => {
                self.is_uncounted = false;
                tracing::debug!(%failure, "the history could not be counted");
            }
        }
    }

    /// Drops a reading that began before an attempt ended: the attempt's own is newer.
    fn forget_survey(&mut self) {
        self.surveying = None;
        self.counting = None;
        self.unsurveyed.append(&mut self.awaiting_survey);
    }

    async fn end_survey(&mut self, surveyed: Result<Survey, Failure>) {
        match surveyed {
            Ok(survey) => self.step(Input::Surveyed(survey)).await,
            Err(failure) => {
                tracing::debug!(%failure, "the branch could not be read");
                self.step(Input::Unreadable).await;
            }
        }
        for request in std::mem::take(&mut self.awaiting_survey) {
            if !self.is_finished {
                self.serve(request).await;
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Check(id) => {
                self.observer.deliver(Delivery::Busy(self.is_busy));
                self.reply(id, Ok(self.state.tip()));
            }
            Request::Flush(id) => match self.state.tip() {
                Some(commit) if !self.state.is_in_sync() => {
                    self.waiters.push(Waiter {
                        id,
                        commit,
                        gives_up_on_failure: true,
                    });
                    self.step(Input::Nudge).await;
                }
                commit => self.reply(id, Ok(commit)),
            },
            Request::WaitForPush(id, commit) => {
                let in_sync = self.state.tip().filter(|_| self.state.is_in_sync());
                let settled = in_sync.or(self.state.remote());
                let refused = self.state.refusal().map(|(tip, failure)| (tip, failure.clone()));
                match (settled, refused) {
                    (Some(settled), _) if self.has(commit, settled).await => self.reply(id, Ok(Some(commit))),
                    // The daemon makes no further attempt for this tip by itself.
                    (_, Some((tip, failure))) if self.has(commit, tip).await => {
                        self.reply(id, Err(Refusal::Failed(failure)));
                    }
                    _ => self.waiters.push(Waiter {
                        id,
                        commit,
                        gives_up_on_failure: false,
                    }),
                }
            }
            Request::Stop { .. } => {
                let timeout = self
                    .stop_by
                    .map_or(Duration::ZERO, |by| by.saturating_duration_since(Instant::now()));
                self.step(Input::Stop { timeout }).await;
            }
            Request::Wake | Request::Abandon(_) | Request::Abort => {}
        }
    }

    async fn has(&self, commit: Oid, settled: Oid) -> bool {
        commit == settled || self.branch.contains(commit, settled).await
    }

    /// Answers a request: the remote has this commit, or why not.
    fn reply(&self, id: RequestId, result: Result<Option<Oid>, Refusal>) {
        let result = result.map(|commit| {
            let status = self.state.status();
            Receipt {
                commit,
                remote_commit: status.remote_commit,
                pushed_at: status.last_push_at,
            }
        });
        self.observer.deliver(Delivery::Reply { id, result });
    }

    async fn step(&mut self, input: Input) {
        let actions = self.state.step(input, now());
        self.carry_out(actions).await;
    }

    async fn carry_out(&mut self, actions: Vec<Action>) {
        // Published first, so that the status agrees with the events that follow.
        self.publish();
        for action in actions {
            match action {
                Action::Attempt { preserve, restore } => {
                    self.meter = Some(Meter::start(Instant::now()));
                    let known = self.state.confirmed();
                    let terms = Terms {
                        preserve,
                        restore,
                        known,
                    };
                    let pusher = Rc::clone(&self.pusher);
                    self.in_flight = Some(Box::pin(async move {
                        Input::AttemptEnded(pusher.attempt(terms).await)
                    }));
                }
                Action::Verify => {
                    let known = self.state.confirmed();
                    let pusher = Rc::clone(&self.pusher);
                    self.in_flight = Some(Box::pin(async move {
                        Input::VerificationEnded(pusher.verify(known).await)
                    }));
                }
                Action::Probe { preserve } => {
                    let pusher = Rc::clone(&self.pusher);
                    self.in_flight = Some(Box::pin(async move {
                        Input::ProbeEnded(pusher.probe(preserve).await)
                    }));
                }
                Action::Cancel => {
                    self.in_flight = None;
                    self.meter = None;
                }
                Action::Emit(event) => {
                    log(&event);
                    self.observer.deliver(Delivery::Event(event));
                }
                Action::Confirmed { commit } => self.confirm(commit).await,
                Action::Refused {
                    commit,
                    failure,
                    terminal,
                } => {
                    self.refuse(commit, &failure, terminal).await;
                }
                Action::Finish => self.is_finished = true,
            }
        }
        let is_busy = self.state.is_busy();
        if is_busy != self.is_busy {
            self.is_busy = is_busy;
            self.observer.deliver(Delivery::Busy(is_busy));
        }
    }

    /// Answers the waiters whose commit the remote now has.
    async fn confirm(&mut self, settled: Oid) {
        for waiter in std::mem::take(&mut self.waiters) {
            if self.has(waiter.commit, settled).await {
                self.reply(waiter.id, Ok(Some(waiter.commit)));
            } else {
                self.waiters.push(waiter);
            }
        }
    }

    /// Answers the requests that this failure ends. Of those for a commit of this attempt, these are every `flush` and, if
    /// no further attempt follows, every `waitForPush`.
    async fn refuse(&mut self, commit: Option<Oid>, failure: &Failure, terminal: bool) {
        for waiter in std::mem::take(&mut self.waiters) {
            let was_in_it = match commit {
                Some(tip) => self.has(waiter.commit, tip).await,
                None => true,
            };
            if was_in_it && (terminal || waiter.gives_up_on_failure) {
                self.reply(waiter.id, Err(Refusal::Failed(failure.clone())));
            } else {
                self.waiters.push(waiter);
            }
        }
    }

    async fn close(mut self) -> Ended {
        self.in_flight = None;
        self.surveying = None;
        self.counting = None;
        let deadline = if self.is_aborted {
            Instant::now()
        } else {
            self.stop_by
                .unwrap_or_else(Instant::now)
                .max(Instant::now() + CLEAN_UP)
        };
        self.pusher.close(deadline).await;
        self.branch.close().await;
        let pending_commits = self.status.stop();
        if pending_commits > 0 && !self.is_aborted {
            let known = self.state.remote();
            let remote = known.map_or_else(String::new, |tip| format!("; the remote is at {tip}"));
            tracing::warn!(
                pending_commits,
                "stopped with {pending_commits} commits pending{remote}"
            );
        }
        if !self.is_aborted {
            for waiter in &self.waiters {
                self.reply(waiter.id, Err(Refusal::Stopped));
            }
        }
        Ended {
            drained: self.has_read && self.state.is_in_sync(),
            pending_commits,
            aborted: self.is_aborted,
        }
    }
}
