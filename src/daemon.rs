//! The actor: one task that owns the [`State`] and carries out what it decides.
//!
//! It wakes on a change of the ref, a timer, the end of an attempt, or a request, tells the state, and does
//! what comes back. It knows neither git nor the wire nor JavaScript: those are the [`Pusher`], the
//! [`Branch`] and the [`Observer`] that it is given.

#[cfg(test)]
mod tests;
mod waiters;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::event::{Event, StateName, Status};
use crate::failure::Failure;
use crate::oid::Oid;
use crate::state::{Action, Input, Now, Outcome, Policy, RemoteTip, State, Survey};

pub use waiters::{Receipt, Refusal, RequestId};
use waiters::{Waiter, Waiters};

/// The local branch.
pub trait Branch: 'static {
    /// Looks at the branch and compares it with the remote's tip as last known.
    fn survey(&self, remote: Option<Oid>) -> impl Future<Output = Result<Survey, Failure>>;

    /// The tip alone, without counting anything.
    fn tip(&self) -> impl Future<Output = Result<Option<Oid>, Failure>>;

    /// Whether the local history of `descendant` contains `ancestor` (or is it).
    fn contains(&self, ancestor: Oid, descendant: Oid) -> impl Future<Output = bool>;

    /// The tip that the remote is known to have from before the start.
    fn last_known_remote(&self) -> impl Future<Output = Option<Oid>>;

    /// Returns when the branch may have changed since the last call; cancel-safe.
    fn changed(&self) -> impl Future<Output = ()>;

    /// Ends watching.
    fn close(&self) -> impl Future<Output = ()>;
}

/// One attempt at bringing the remote up to the local branch, apart from the loop that repeats it.
pub trait Pusher: 'static {
    /// Looks at the remote and pushes what it lacks. Dropping the future cancels the attempt.
    fn attempt(&self, preserve: bool) -> impl Future<Output = Attempted>;

    /// Looks at a diverged remote without pushing the branch; with `preserve` it puts the local tip there under
    /// another name if it is still diverged. Dropping the future cancels it.
    fn probe(&self, preserve: bool) -> impl Future<Output = Probed>;

    /// Resolves when the remote was seen, between attempts, not to be where the last one left it. Cancel-safe.
    fn doubted(&self) -> impl Future<Output = ()> {
        std::future::pending()
    }

    /// Ends everything that attempts left behind: at `deadline` by force.
    fn close(&self, deadline: Instant) -> impl Future<Output = ()>;
}

/// What an attempt found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// How it ended.
    pub outcome: Outcome,
    /// The remote's tip, as far as it was seen.
    pub remote: RemoteTip,
    /// The branch after it; `None` where it could not be read.
    pub survey: Option<Survey>,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Whether an attempt would now succeed; `None` where the remote could not be read.
    pub reconciled: Option<bool>,
    /// What became of preserving this local tip; `None` where it did not come to that.
    pub preserved: Option<(Oid, Result<String, Failure>)>,
    /// As in [`Attempted`].
    pub remote: RemoteTip,
    /// As in [`Attempted`].
    pub survey: Option<Survey>,
}

/// Who is told.
pub trait Observer: 'static {
    /// Takes what happened, in order. Must not block.
    fn deliver(&self, delivery: Delivery);
}

/// Something for the observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An event for the listeners.
    Event(Event),
    /// The answer to a request.
    Reply {
        /// Whose.
        id: RequestId,
        /// What it came to.
        result: Result<Receipt, Refusal>,
    },
    /// Whether work is under way that should keep the process alive.
    Busy(bool),
}

/// What a caller may ask of a running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The branch may have changed.
    Wake,
    /// Look at the branch, and answer once it is known whether there is work.
    Check {
        /// Whom to answer.
        id: RequestId,
    },
    /// Attempt now, and answer when the remote has the tip of this moment.
    Flush {
        /// Whom to answer.
        id: RequestId,
    },
    /// Answer when the remote has this commit.
    WaitForPush {
        /// Whom to answer.
        id: RequestId,
        /// The commit.
        commit: Oid,
    },
    /// Nobody waits for this answer any more.
    Abandon {
        /// Whose.
        id: RequestId,
    },
    /// Drain, then end.
    Stop {
        /// How long the drain may take.
        timeout: Duration,
    },
    /// End now and silently: the JavaScript environment is going away.
    Abort,
}

/// The status, as readers on other threads see it.
#[derive(Debug, Clone)]
pub struct SharedStatus(Arc<Mutex<Status>>);

impl SharedStatus {
    /// Starts with this status.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    /// A copy of the current one; never waits for I/O.
    #[must_use]
    pub fn get(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks the daemon as ended, which it did not get to doing itself, and gives the commits that were pending.
    #[must_use]
    pub fn stop(&self) -> u64 {
        let status = self.get();
        let pending_commits = status.pending_commits;
        self.set(Status {
            running: false,
            state: StateName::Stopped,
            ..status
        });
        pending_commits
    }

    fn set(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

/// How much longer than the drain's deadline cleaning up may take before it is done by force.
const CLEAN_UP: Duration = Duration::from_millis(100);

type Task<T> = Option<Pin<Box<dyn Future<Output = T>>>>;

enum InFlight {
    Attempt(Attempted),
    Probe(Probed),
}

/// The actor.
pub struct Daemon<P, B, O> {
    pusher: Rc<P>,
    branch: Rc<B>,
    observer: O,
    requests: mpsc::UnboundedReceiver<Request>,
    status: SharedStatus,
    state: State,
    in_flight: Task<InFlight>,
    /// A look at the branch; the attempt in flight goes on meanwhile.
    surveying: Task<Result<Survey, Failure>>,
    /// Requests that will be served when that look has ended.
    awaiting_survey: Vec<Request>,
    /// Requests that came after it began: they need a look of their own.
    unsurveyed: Vec<Request>,
    waiters: Waiters,
    is_busy: bool,
    stop_by: Option<Instant>,
    is_finished: bool,
    is_aborted: bool,
}

/// What the end of a daemon leaves to be told, once its thread has nothing left to clean up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whether the remote has everything.
    pub drained: bool,
    /// The commits that it does not have.
    pub pending_commits: u64,
    /// Whether it was [`Request::Abort`] that ended it, so that nobody is there to be told.
    pub aborted: bool,
}

/// Reads both clocks: `state` reads none.
pub(crate) fn now() -> Now {
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

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
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
        requests: mpsc::UnboundedReceiver<Request>,
        status: SharedStatus,
    ) -> Ended {
        let remote = branch.last_known_remote().await;
        let surveyed = match remote {
            Some(_) => branch.survey(remote).await,
            // Counting a whole history as pending, only to find it all there, would delay the first look.
            None => branch.tip().await.map(|tip| Survey {
                tip,
                ..Survey::default()
            }),
        };
        let survey = surveyed
            .inspect_err(|failure| tracing::debug!(%failure, "the branch could not be read"))
            .ok();
        let (state, actions) = State::start(policy, survey, remote, now());
        let mut daemon = Self {
            pusher: Rc::new(pusher),
            branch: Rc::new(branch),
            observer,
            requests,
            status,
            state,
            in_flight: None,
            surveying: None,
            awaiting_survey: Vec::new(),
            unsurveyed: Vec::new(),
            waiters: Waiters::default(),
            is_busy: true,
            stop_by: None,
            is_finished: false,
            is_aborted: false,
        };
        daemon.carry_out(actions).await;
        while !daemon.is_finished {
            daemon.turn().await;
        }
        daemon.close().await
    }

    /// Waits for one thing to happen and deals with it.
    async fn turn(&mut self) {
        enum Wake {
            Request(Option<Request>),
            InFlight(InFlight),
            Surveyed(Result<Survey, Failure>),
            Timer,
            Changed,
            Doubted,
        }
        if self.surveying.is_none() && !self.unsurveyed.is_empty() {
            self.begin_survey();
        }
        let deadline = self.state.deadline().into_iter().chain(self.stop_by).min();
        let wake = tokio::select! {
            request = self.requests.recv() => Wake::Request(request),
            ended = run_task(&mut self.in_flight) => Wake::InFlight(ended),
            surveyed = run_task(&mut self.surveying) => Wake::Surveyed(surveyed),
            () = sleep_until_some(deadline) => Wake::Timer,
            () = self.branch.changed() => Wake::Changed,
            () = self.pusher.doubted(), if self.in_flight.is_none() => Wake::Doubted,
        };
        match wake {
            Wake::Request(Some(request)) => self.take_request(request),
            // The handle is gone without a word: the environment went away.
            Wake::Request(None) => self.take_request(Request::Abort),
            Wake::InFlight(InFlight::Attempt(Attempted {
                outcome,
                remote,
                survey,
            })) => {
                self.forget_survey();
                self.step(Input::AttemptEnded {
                    outcome,
                    remote,
                    survey,
                })
                .await;
            }
            Wake::InFlight(InFlight::Probe(Probed {
                reconciled,
                preserved,
                remote,
                survey,
            })) => {
                self.forget_survey();
                self.step(Input::ProbeEnded {
                    reconciled,
                    preserved,
                    remote,
                    survey,
                })
                .await;
            }
            Wake::Surveyed(surveyed) => self.end_survey(surveyed).await,
            Wake::Timer if self.stop_by.is_some_and(|stop_by| stop_by <= Instant::now()) => {
                // Even if the look at the branch that `stop` waits for never ends.
                self.step(Input::Stop {
                    timeout: Duration::ZERO,
                })
                .await;
            }
            Wake::Timer => self.step(Input::TimerFired).await,
            Wake::Changed => self.unsurveyed.push(Request::Wake),
            Wake::Doubted => self.step(Input::Doubted).await,
        }
    }

    fn take_request(&mut self, request: Request) {
        match request {
            Request::Abandon { id } => self.waiters.remove(id),
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

    /// Reads the branch once for all that asked for it until now.
    fn begin_survey(&mut self) {
        self.awaiting_survey.append(&mut self.unsurveyed);
        let branch = Rc::clone(&self.branch);
        let remote = self.state.remote();
        self.surveying = Some(Box::pin(async move { branch.survey(remote).await }));
    }

    /// Drops a look that began before an attempt ended: the attempt's own is newer.
    fn forget_survey(&mut self) {
        self.surveying = None;
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
            Request::Check { id } => {
                let commit = self.state.tip();
                self.deliver(Delivery::Busy(self.is_busy));
                self.deliver(Delivery::Reply {
                    id,
                    result: Ok(self.receipt(commit)),
                });
            }
            Request::Flush { id } => match self.state.tip() {
                Some(commit) if !self.state.is_in_sync() => {
                    self.waiters.add(Waiter {
                        id,
                        commit,
                        gives_up_on_failure: true,
                    });
                    self.step(Input::Nudge).await;
                }
                commit => self.deliver(Delivery::Reply {
                    id,
                    result: Ok(self.receipt(commit)),
                }),
            },
            Request::WaitForPush { id, commit } => {
                let waiter = Waiter {
                    id,
                    commit,
                    gives_up_on_failure: false,
                };
                let settled = self
                    .state
                    .tip()
                    .filter(|_| self.state.is_in_sync())
                    .or(self.state.remote());
                let refused = self.state.refusal().map(|(tip, failure)| (tip, failure.clone()));
                let result = match (settled, refused) {
                    (Some(settled), _) if self.has(commit, settled).await => Ok(self.receipt(Some(commit))),
                    // Nothing that follows by itself would bring it there.
                    (_, Some((tip, failure))) if self.has(commit, tip).await => Err(Refusal::Failed(failure)),
                    _ => return self.waiters.add(waiter),
                };
                self.deliver(Delivery::Reply { id, result });
            }
            Request::Stop { .. } => {
                let timeout = self
                    .stop_by
                    .map_or(Duration::ZERO, |by| by.saturating_duration_since(Instant::now()));
                self.step(Input::Stop { timeout }).await;
            }
            Request::Wake | Request::Abandon { .. } | Request::Abort => {}
        }
    }

    async fn has(&self, commit: Oid, settled: Oid) -> bool {
        commit == settled || self.branch.contains(commit, settled).await
    }

    fn receipt(&self, commit: Option<Oid>) -> Receipt {
        let status = self.state.status();
        Receipt {
            commit,
            remote_commit: status.remote_commit,
            pushed_at: status.last_push_at,
        }
    }

    async fn step(&mut self, input: Input) {
        let actions = self.state.step(input, now());
        self.carry_out(actions).await;
    }

    async fn carry_out(&mut self, actions: Vec<Action>) {
        // What listeners are told is true in the status they can read by then.
        self.status.set(self.state.status());
        for action in actions {
            match action {
                Action::Attempt { preserve } => {
                    let pusher = Rc::clone(&self.pusher);
                    self.in_flight = Some(Box::pin(async move {
                        InFlight::Attempt(pusher.attempt(preserve).await)
                    }));
                }
                Action::Probe { preserve } => {
                    let pusher = Rc::clone(&self.pusher);
                    self.in_flight = Some(Box::pin(
                        async move { InFlight::Probe(pusher.probe(preserve).await) },
                    ));
                }
                Action::Cancel => self.in_flight = None,
                Action::Emit(event) => {
                    log(&event);
                    self.deliver(Delivery::Event(event));
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
            self.deliver(Delivery::Busy(is_busy));
        }
    }

    /// Answers everybody whose commit the remote now has.
    async fn confirm(&mut self, settled: Oid) {
        for waiter in self.waiters.take_all() {
            if self.has(waiter.commit, settled).await {
                let result = Ok(self.receipt(Some(waiter.commit)));
                self.deliver(Delivery::Reply {
                    id: waiter.id,
                    result,
                });
            } else {
                self.waiters.add(waiter);
            }
        }
    }

    /// Answers those for whom this failure is the end of waiting: who asked for one attempt, and, when no
    /// other attempt follows, everybody whose commit was in this one.
    async fn refuse(&mut self, commit: Option<Oid>, failure: &Failure, terminal: bool) {
        for waiter in self.waiters.take_all() {
            let was_in_it = match commit {
                Some(tip) => self.has(waiter.commit, tip).await,
                None => true,
            };
            if was_in_it && (terminal || waiter.gives_up_on_failure) {
                let refusal = Refusal::Failed(failure.clone());
                self.deliver(Delivery::Reply {
                    id: waiter.id,
                    result: Err(refusal),
                });
            } else {
                self.waiters.add(waiter);
            }
        }
    }

    fn deliver(&self, delivery: Delivery) {
        self.observer.deliver(delivery);
    }

    async fn close(mut self) -> Ended {
        self.in_flight = None;
        self.surveying = None;
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
        if !self.is_aborted {
            for waiter in self.waiters.take_all() {
                self.deliver(Delivery::Reply {
                    id: waiter.id,
                    result: Err(Refusal::Stopped),
                });
            }
        }
        Ended {
            drained: self.state.is_in_sync(),
            pending_commits,
            aborted: self.is_aborted,
        }
    }
}

/// The daemon's own record of what it tells the listeners.
fn log(event: &Event) {
    match event {
        Event::Push {
            commit,
            commits,
            attempt,
            bytes,
            duration,
            ..
        } => {
            tracing::debug!(%commit, commits, attempt, bytes, duration_ms = duration.as_millis(), "pushed");
        }
        Event::Error {
            commit,
            attempt,
            duration,
            failure,
        } => {
            let commit = commit.map(|commit| commit.to_string());
            tracing::debug!(
                commit,
                attempt,
                duration_ms = duration.map(|duration| duration.as_millis()),
                kind = failure.kind().as_str(),
                "push failed: {}",
                failure.message()
            );
        }
        Event::Retry {
            attempt, next_delay, ..
        } => {
            tracing::debug!(attempt, next_delay_ms = next_delay.as_millis(), "retrying");
        }
        Event::Recovered {
            commit,
            failed_attempts,
            down,
        } => {
            tracing::debug!(%commit, failed_attempts, down_ms = down.as_millis(), "recovered");
        }
        Event::Preserved { commit, reference } => {
            tracing::info!(%commit, reference, "the diverged local tip is preserved on the remote");
        }
    }
}
