//! The actor with a scripted pusher and branch, under paused time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::*;
use crate::backoff::BackoffConfig;
use crate::event::{Event, SentPush};
use crate::failure::Kind;
use crate::state::{Attempted, Outcome, Probed, RemoteTip, Verdict, Verified};
use crate::transfer::{Transfer, TransferProgress, TransferState};
use tokio::sync::{Notify, oneshot};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn oid(byte: u8) -> Oid {
    Oid::sha1([byte; 20])
}

/// A linear history: `oid(n)` contains every `oid(m)` with `m <= n`.
#[derive(Default)]
struct World {
    tip: Cell<u8>,
    remote: Cell<u8>,
    changed: Notify,
    /// Failures that the next attempts meet.
    failures: RefCell<VecDeque<Failure>>,
    /// While set, an attempt or a read of the branch does not end.
    stuck_push: Cell<bool>,
    stuck_survey: Cell<bool>,
    unstick: Notify,
    /// While set, the remote is not known to have anything, and a count ends only when this is notified.
    uncounted: RefCell<Option<Rc<Notify>>>,
    remote_moved: Notify,
    transfer: Transfer,
    in_steps: Cell<bool>,
    attempts: Cell<u32>,
    verifications: Cell<u32>,
    cancelled: Cell<u32>,
}

impl World {
    fn survey(&self) -> Survey {
        let (tip, remote) = (self.tip.get(), self.remote.get());
        Survey {
            tip: Some(oid(tip)),
            pending: u64::from(tip - remote),
            oldest_pending: None,
            behind: Some(0),
        }
    }

    fn commit(&self) {
        self.tip.set(self.tip.get() + 1);
        self.changed.notify_one();
    }
}

struct FakeBranch(Rc<World>);

impl Branch for FakeBranch {
    async fn survey(&self, _remote: Option<Oid>) -> Result<Survey, Failure> {
        if self.0.stuck_survey.get() {
            std::future::pending::<()>().await;
        }
        Ok(self.0.survey())
    }

    async fn tip(&self) -> Result<Option<Oid>, Failure> {
        Ok(self.0.survey().tip)
    }

    async fn count(&self) -> Result<Survey, Failure> {
        let survey = self.0.survey();
        let uncounted = self.0.uncounted.borrow().clone();
        if let Some(uncounted) = uncounted {
            uncounted.notified().await;
        }
        Ok(survey)
    }

    async fn contains(&self, ancestor: Oid, descendant: Oid) -> bool {
        ancestor <= descendant
    }

    async fn last_known_remote(&self) -> Option<Oid> {
        let is_known = self.0.uncounted.borrow().is_none();
        is_known.then(|| oid(self.0.remote.get()))
    }

    async fn changed(&self) {
        self.0.changed.notified().await;
    }

    async fn close(&self) {}
}

struct FakePusher(Rc<World>);

/// Counts an attempt that is dropped before its end.
struct Guard<'a>(&'a World, bool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.cancelled.set(self.0.cancelled.get() + 1);
        }
    }
}

impl Pusher for FakePusher {
    async fn attempt(&self, _terms: Terms) -> Attempted {
        let world = &*self.0;
        let mut guard = Guard(world, false);
        world.attempts.set(world.attempts.get() + 1);
        let tip = world.tip.get();
        if world.stuck_push.get() {
            world.unstick.notified().await;
        }
        guard.1 = true;
        if let Some(failure) = world.failures.borrow_mut().pop_front() {
            let outcome = Outcome::Failed {
                tip: Some(oid(tip)),
                failure,
                had_work: true,
                unconfirmed: None,
            };
            return Attempted {
                outcome,
                remote: RemoteTip::Unseen,
                lost: None,
                survey: Some(world.survey()),
            };
        }
        let previous = world.remote.replace(tip);
        let outcome = if previous == tip {
            Outcome::UpToDate(Some(oid(tip)))
        } else {
            Outcome::Pushed(SentPush {
                commit: oid(tip),
                previous: Some(oid(previous)),
                commits: u64::from(tip - previous),
                bytes: 1,
            })
        };
        Attempted {
            outcome,
            remote: RemoteTip::At(oid(tip)),
            lost: None,
            survey: Some(world.survey()),
        }
    }

    async fn verify(&self, _known: Option<Oid>) -> Verified {
        self.0.verifications.set(self.0.verifications.get() + 1);
        let tip = self.0.tip.get();
        Verified {
            verdict: if self.0.remote.get() == tip {
                Verdict::Holds(Some(oid(tip)))
            } else {
                Verdict::Lacks(oid(tip))
            },
            remote: RemoteTip::At(oid(self.0.remote.get())),
            lost: None,
            survey: Some(self.0.survey()),
        }
    }

    async fn probe(&self, _preserve: bool) -> Probed {
        Probed {
            reconciled: None,
            preserved: None,
            evidence: None,
            remote: RemoteTip::Unseen,
            survey: Some(self.0.survey()),
        }
    }

    fn progress(&self) -> Option<TransferState> {
        self.0.transfer.get()
    }

    fn is_in_steps(&self) -> bool {
        self.0.in_steps.get()
    }

    async fn remote_moved(&self) {
        self.0.remote_moved.notified().await;
    }

    async fn close(&self, _deadline: Instant) {}
}

struct Recorder(mpsc::UnboundedSender<Delivery>);

impl Observer for Recorder {
    fn deliver(&self, delivery: Delivery) {
        let _ = self.0.send(delivery);
    }
}

/// A running daemon and both ends of its strings.
struct Rig {
    world: Rc<World>,
    requests: mpsc::UnboundedSender<Request>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    ended: oneshot::Receiver<Ended>,
    status: SharedStatus,
}

impl Rig {
    fn start(world: World) -> Self {
        Self::start_with_policy(world, |_| ())
    }

    fn start_with(world: World, max_retries: Option<u32>) -> Self {
        Self::start_with_policy(world, |policy| policy.max_retries = max_retries)
    }

    fn start_with_policy(world: World, change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy {
            backoff: BackoffConfig {
                base: MS(1000),
                multiplier: 2.0,
                cap: MS(60_000),
                jitter: 0.0,
            },
            seed: 0,
            max_retries: None,
            debounce: Duration::ZERO,
            diverged_probe: None,
            preserve: false,
            verify: None,
            restore: true,
        };
        change(&mut policy);
        let world = Rc::new(world);
        let (requests, receiver) = mpsc::unbounded_channel();
        let (sender, deliveries) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let first = State::start(policy, Some(Survey::default()), None, now())
            .0
            .status();
        let status = SharedStatus::new(first);
        let running = Daemon::run(
            policy,
            FakePusher(Rc::clone(&world)),
            FakeBranch(Rc::clone(&world)),
            Recorder(sender),
            receiver,
            status.clone(),
        );
        tokio::task::spawn_local(async move {
            let _ = end.send(running.await);
        });
        Self {
            world,
            requests,
            deliveries,
            ended,
            status,
        }
    }

    fn request(&self, request: Request) {
        self.requests.send(request).expect("the daemon runs");
    }

    /// The next event, passing over the rest.
    async fn event(&mut self) -> Event {
        loop {
            if let Delivery::Event(event) = self.deliveries.recv().await.expect("the daemon runs") {
                return event;
            }
        }
    }

    /// The next reply, passing over the rest.
    async fn reply(&mut self) -> (RequestId, Result<Receipt, Refusal>) {
        loop {
            let delivery = self.deliveries.recv().await.expect("the daemon runs");
            if let Delivery::Reply { id, result } = delivery {
                return (id, result);
            }
        }
    }

    /// The next progress, passing over the rest.
    async fn progress(&mut self) -> TransferProgress {
        loop {
            if let Delivery::Progress(progress) = self.deliveries.recv().await.expect("the daemon runs") {
                return progress;
            }
        }
    }

    async fn busy(&mut self) -> bool {
        loop {
            if let Delivery::Busy(is_busy) = self.deliveries.recv().await.expect("the daemon runs") {
                return is_busy;
            }
        }
    }

    async fn stop(self, timeout: Duration) -> Ended {
        self.request(Request::Stop { timeout });
        self.ended.await.expect("the daemon ends")
    }
}

fn paused<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn world(tip: u8, remote: u8) -> World {
    World {
        tip: Cell::new(tip),
        remote: Cell::new(remote),
        ..World::default()
    }
}

#[test]
fn a_change_of_the_branch_is_pushed() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        assert!(!rig.busy().await, "the first check has ended");
        rig.world.commit();
        assert!(
            matches!(rig.event().await, Event::Push { push: SentPush { commit, .. }, attempt: 1, .. } if commit == oid(2))
        );
        assert_eq!(
            rig.status.get().remote_commit,
            Some(oid(2)),
            "the status is true when the event arrives"
        );
        assert!(rig.stop(MS(1000)).await.drained);
    });
}

/// A daemon whose first attempt is under way, to a remote of which nothing is known; and what ends the counting.
async fn first_push(tip: u8) -> (Rig, Rc<Notify>) {
    let counted = Rc::new(Notify::new());
    let world = world(tip, 0);
    world.stuck_push.set(true);
    world.uncounted.replace(Some(Rc::clone(&counted)));
    let rig = Rig::start(world);
    tokio::time::sleep(MS(1)).await;
    assert_eq!(
        rig.world.attempts.get(),
        1,
        "the push does not wait for the count"
    );
    (rig, counted)
}

#[test]
fn a_history_that_the_remote_lacks_is_counted_while_it_is_pushed() {
    paused(async {
        let (rig, counted) = first_push(7).await;
        assert_eq!(rig.status.get().pending_commits, 0);
        tokio::time::sleep(MS(1000)).await;
        counted.notify_one();
        tokio::time::sleep(MS(1)).await;
        assert_eq!(rig.status.get().pending_commits, 7);
        rig.world.unstick.notify_one();
        assert!(rig.stop(MS(1000)).await.drained);
    });
}

#[test]
fn a_count_for_an_earlier_tip_does_not_hide_a_later_commit() {
    paused(async {
        let (rig, counted) = first_push(7).await;
        tokio::time::sleep(MS(1000)).await;
        rig.world.commit();
        tokio::time::sleep(MS(1)).await;
        counted.notify_one();
        tokio::time::sleep(MS(1)).await;
        assert_eq!(rig.status.get().local_commit, Some(oid(8)));
        counted.notify_one();
        tokio::time::sleep(MS(1000)).await;
        assert_eq!(rig.status.get().pending_commits, 8);
        rig.world.stuck_push.set(false);
        rig.world.unstick.notify_one();
        assert!(rig.stop(MS(1000)).await.drained);
    });
}

#[test]
fn a_remote_that_lost_a_commit_between_attempts_gets_it_again() {
    paused(async {
        let mut rig = Rig::start(world(2, 2));
        assert!(!rig.busy().await, "the first check has ended");
        rig.world.remote.set(1);
        rig.world.remote_moved.notify_one();
        assert!(
            matches!(rig.event().await, Event::Push { push: SentPush { commit, .. }, .. } if commit == oid(2))
        );
        assert!(rig.stop(MS(1000)).await.drained);
    });
}

#[test]
fn the_remote_is_read_while_nothing_is_due() {
    paused(async {
        let mut rig = Rig::start_with_policy(world(2, 2), |policy| policy.verify = Some(MS(5000)));
        assert!(!rig.busy().await, "the first check has ended");
        tokio::time::sleep(MS(17_000)).await;
        assert!((3..=4).contains(&rig.world.verifications.get()));
        assert_eq!(rig.world.attempts.get(), 1);
        rig.world.remote.set(1);
        assert!(
            matches!(rig.event().await, Event::Push { push: SentPush { commit, .. }, .. } if commit == oid(2))
        );
        assert!(rig.stop(MS(1000)).await.drained);
    });
}

#[test]
fn a_commit_that_lands_while_a_push_is_in_flight_is_not_missed() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.busy().await;
        rig.world.stuck_push.set(true);
        rig.world.commit();
        assert!(rig.busy().await);
        rig.world.commit();
        rig.world.stuck_push.set(false);
        rig.world.unstick.notify_one();
        while rig.world.remote.get() < 3 {
            rig.event().await;
        }
        assert!(rig.stop(MS(1000)).await.drained);
    });
}

#[test]
fn a_push_that_takes_long_tells_once_a_second_how_far_it_has_come() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.busy().await;
        rig.world.stuck_push.set(true);
        rig.world.transfer.begin(oid(2), (1, 1));
        rig.world.commit();
        assert!(rig.busy().await);
        assert_eq!(rig.status.get().progress, None);
        for second in 1..=3 {
            rig.world.transfer.passed(1000);
            let progress = rig.progress().await;
            assert_eq!(
                (progress.elapsed, progress.state.bytes),
                (MS(1000 * second), 1000 * second)
            );
            assert_eq!(rig.status.get().progress, Some(progress));
        }
        // Another commit changes the rest of the status.
        rig.world.commit();
        tokio::time::sleep(MS(10)).await;
        let status = rig.status.get();
        assert_eq!(
            (status.local_commit, status.progress.is_some()),
            (Some(oid(3)), true)
        );
        rig.world.stuck_push.set(false);
        rig.world.unstick.notify_one();
        rig.event().await;
        assert_eq!(rig.status.get().progress, None);
        assert!(rig.stop(MS(1000)).await.drained);
    });
}

#[test]
fn steps_that_are_short_are_watched_as_one_push() {
    for in_steps in [true, false] {
        paused(async {
            let mut rig = Rig::start(world(1, 1));
            rig.busy().await;
            rig.world.stuck_push.set(true);
            rig.world.in_steps.set(in_steps);
            rig.world.transfer.begin(oid(2), (1, 4));
            rig.world.commit();
            for _ in 0..4 {
                tokio::time::sleep(MS(600)).await;
                // Another attempt follows at once.
                rig.world.commit();
                tokio::time::sleep(MS(10)).await;
                rig.world.unstick.notify_one();
            }
            tokio::time::sleep(MS(10)).await;
            let told = std::iter::from_fn(|| rig.deliveries.try_recv().ok());
            let told: Vec<Duration> = told
                .filter_map(|delivery| match delivery {
                    Delivery::Progress(progress) => Some(progress.elapsed),
                    _ => None,
                })
                .collect();
            let expected = if in_steps {
                vec![MS(1000), MS(2000)]
            } else {
                vec![]
            };
            assert_eq!(told, expected);
            rig.world.stuck_push.set(false);
            rig.world.unstick.notify_one();
            assert!(rig.stop(MS(1000)).await.drained);
        });
    }
}

#[test]
fn flush_ends_a_backoff() {
    paused(async {
        let world = world(2, 1);
        world
            .failures
            .borrow_mut()
            .push_back(Failure::new(Kind::Network, "down"));
        let mut rig = Rig::start(world);
        assert!(matches!(rig.event().await, Event::Error { .. }));
        assert!(matches!(rig.event().await, Event::Retry { .. }));
        let before = Instant::now();
        rig.request(Request::Flush(7));
        let (id, result) = rig.reply().await;
        assert_eq!((id, result.expect("pushed").commit), (7, Some(oid(2))));
        assert_eq!(Instant::now(), before, "no delay was waited out");
        rig.stop(MS(1000)).await;
    });
}

#[test]
fn flush_is_told_of_a_failure_and_a_wait_goes_on() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.busy().await;
        rig.world
            .failures
            .borrow_mut()
            .push_back(Failure::new(Kind::Auth, "no"));
        rig.world.stuck_push.set(true);
        rig.world.tip.set(2);
        rig.request(Request::WaitForPush(1, oid(2)));
        rig.request(Request::Flush(2));
        rig.request(Request::Check(3));
        assert_eq!(rig.reply().await.0, 3, "both are in line");
        rig.world.stuck_push.set(false);
        rig.world.unstick.notify_one();
        let (id, result) = rig.reply().await;
        assert_eq!(id, 2);
        assert!(matches!(result, Err(Refusal::Failed(failure)) if failure.kind() == Kind::Auth));
        let (id, result) = rig.reply().await;
        assert_eq!(
            (id, result.expect("the retry succeeds").commit),
            (1, Some(oid(2)))
        );
        rig.stop(MS(1000)).await;
    });
}

#[test]
fn waiting_for_what_the_remote_has_is_answered_at_once() {
    paused(async {
        let mut rig = Rig::start(world(5, 5));
        rig.busy().await;
        let attempts = rig.world.attempts.get();
        for commit in [oid(5), oid(3)] {
            rig.request(Request::WaitForPush(1, commit));
            assert_eq!(rig.reply().await.1.expect("there").commit, Some(commit));
        }
        assert_eq!(rig.world.attempts.get(), attempts);
        rig.stop(MS(1000)).await;
    });
}

#[test]
fn many_waiters_share_one_push() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.busy().await;
        let attempts = rig.world.attempts.get();
        rig.world.tip.set(101);
        for id in 0..100 {
            rig.request(Request::WaitForPush(
                id,
                oid(2 + u8::try_from(id).expect("small")),
            ));
        }
        for _ in 0..100 {
            rig.reply().await.1.expect("pushed");
        }
        assert_eq!(rig.world.attempts.get(), attempts + 1);
        rig.stop(MS(1000)).await;
    });
}

#[test]
fn an_abandoned_wait_is_not_answered() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.busy().await;
        rig.request(Request::WaitForPush(1, oid(9)));
        rig.request(Request::Check(2));
        assert_eq!(rig.reply().await.0, 2);
        rig.request(Request::Abandon(1));
        rig.request(Request::WaitForPush(3, oid(9)));
        rig.request(Request::Stop { timeout: MS(1000) });
        assert_eq!(rig.reply().await, (3, Err(Refusal::Stopped)));
    });
}

#[test]
fn stop_drains_a_commit_that_has_only_just_landed() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.busy().await;
        rig.world.tip.set(2);
        let world = Rc::clone(&rig.world);
        assert_eq!(
            rig.stop(MS(1000)).await,
            Ended {
                drained: true,
                pending_commits: 0,
                aborted: false
            }
        );
        assert_eq!(world.remote.get(), 2);
    });
}

#[test]
fn stop_cancels_a_hanging_push_at_its_deadline() {
    paused(async {
        let world = world(2, 1);
        world.stuck_push.set(true);
        let rig = Rig::start(world);
        let world = Rc::clone(&rig.world);
        let before = Instant::now();
        let ended = rig.stop(MS(5000)).await;
        assert_eq!(
            ended,
            Ended {
                drained: false,
                pending_commits: 1,
                aborted: false
            }
        );
        assert_eq!(Instant::now() - before, MS(5000));
        assert_eq!(world.cancelled.get(), 1);
    });
}

#[test]
fn stop_ends_even_if_the_repository_hangs() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.busy().await;
        rig.world.stuck_survey.set(true);
        let before = Instant::now();
        rig.stop(MS(3000)).await;
        assert_eq!(Instant::now() - before, MS(3000));
    });
}

#[test]
fn stop_ends_even_if_the_first_read_of_the_repository_hangs() {
    for (timeouts, expected) in [(vec![3000], 3000), (vec![9000, 2000, 5000], 2000), (vec![0], 0)] {
        paused(async move {
            let world = world(1, 1);
            world.stuck_survey.set(true);
            let rig = Rig::start(world);
            rig.request(Request::Check(1));
            let before = Instant::now();
            for timeout in timeouts {
                rig.request(Request::Stop { timeout: MS(timeout) });
            }
            let ended = rig.ended.await.expect("the daemon ends");
            assert_eq!(Instant::now() - before, MS(expected));
            assert!(!ended.aborted, "{ended:?}");
        });
    }
}

#[test]
fn what_is_asked_while_the_repository_is_first_read_is_answered_after_it() {
    paused(async {
        let mut rig = Rig::start(world(1, 1));
        rig.request(Request::Check(1));
        assert_eq!(rig.reply().await.0, 1);
        rig.stop(MS(1000)).await;
    });
}

#[test]
fn abort_ends_even_if_the_first_read_of_the_repository_hangs() {
    paused(async {
        let world = world(1, 1);
        world.stuck_survey.set(true);
        let rig = Rig::start(world);
        rig.request(Request::Abort);
        assert!(rig.ended.await.expect("ends").aborted);
    });
}

#[test]
fn a_second_stop_can_only_shorten_the_drain() {
    paused(async {
        let world = world(2, 1);
        world.stuck_push.set(true);
        let rig = Rig::start(world);
        let before = Instant::now();
        rig.request(Request::Stop { timeout: MS(9000) });
        rig.request(Request::Stop { timeout: MS(50_000) });
        rig.stop(MS(2000)).await;
        assert_eq!(Instant::now() - before, MS(2000));
    });
}

#[test]
fn abort_ends_at_once_and_silently() {
    paused(async {
        let world = world(2, 1);
        world.stuck_push.set(true);
        let mut rig = Rig::start(world);
        rig.request(Request::WaitForPush(1, oid(2)));
        rig.request(Request::Abort);
        assert!(rig.ended.await.expect("ends").aborted);
        while let Some(delivery) = rig.deliveries.recv().await {
            assert!(matches!(delivery, Delivery::Busy(_)), "{delivery:?}");
        }
    });
}

#[test]
fn a_vanished_handle_ends_the_daemon() {
    paused(async {
        let rig = Rig::start(world(1, 1));
        drop(rig.requests);
        assert!(rig.ended.await.expect("ends").aborted);
    });
}

#[test]
fn waiting_for_a_commit_that_was_given_up_is_refused_at_once() {
    paused(async {
        let world = world(2, 1);
        world
            .failures
            .borrow_mut()
            .push_back(Failure::new(Kind::Auth, "no"));
        let mut rig = Rig::start_with(world, Some(0));
        assert!(matches!(rig.event().await, Event::Error { .. }));
        rig.request(Request::WaitForPush(1, oid(2)));
        let (id, result) = rig.reply().await;
        assert_eq!(id, 1);
        assert!(matches!(result, Err(Refusal::Failed(failure)) if failure.kind() == Kind::Auth));
        rig.stop(MS(1000)).await;
    });
}
