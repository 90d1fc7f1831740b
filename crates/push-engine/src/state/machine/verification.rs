//! Reading the remote while in sync, and what follows if it has lost commits that it had confirmed.
//!
//! A push proves only what the remote had then. Later it may be set back, emptied or replaced, or the key may be revoked.

use std::time::{Duration, SystemTime};

use git_wire::oid::Oid;
use tokio::time::Instant;

use super::{Phase, Policy, Run, State, Wait};
use crate::backoff::{Backoff, shorten};
use crate::event::{Event, Regression};
use crate::failure::{Failure, Kind};
use crate::state::{Action, Lost, Now, Verdict, Verified};

/// The share of the time between two readings by which it may be shortened, so that many daemons do not read at once.
const JITTER: f64 = 0.2;

/// After so long without another, a regression counts as the first again, unless a reading in between did so.
const FORGOTTEN: Duration = Duration::from_secs(3600);

const LEFT_HINT: &str = "Find out whether the commits were removed on purpose. If not, flush() or the next commit brings them back.";

/// What is known of the remote between pushes.
#[derive(Debug)]
pub(super) struct Verification {
    period: Option<Duration>,
    random: fastrand::Rng,
    /// When the next reading is due.
    due: Option<Instant>,
    /// The local tip that the remote had last.
    pub(super) confirmed: Option<Oid>,
    /// The regression that was last told of, until the remote has the local tip again.
    told: Option<Regression>,
    /// When the remote's tip was last read or confirmed.
    pub(super) verified_at: Option<SystemTime>,
    /// The waits of a remote that loses the same commits again and again.
    backoff: Backoff,
    last_regression: Option<Instant>,
    /// Until when the remote is not brought forward again.
    held_until: Option<Instant>,
    /// Why waiting for the local tip is no use, while what the remote has lost is left as it is.
    pub(super) left: Option<Failure>,
    /// Whether the next attempt brings back what is lost whatever the policy says: `flush()` was called.
    pub(super) restores: bool,
}

impl Verification {
    /// `confirmed` is what the remote is known to have had from before the start.
    pub(super) fn new(policy: &Policy, confirmed: Option<Oid>) -> Self {
        Self {
            period: policy.verify,
            random: fastrand::Rng::with_seed(policy.seed),
            due: None,
            confirmed,
            told: None,
            verified_at: None,
            backoff: Backoff::new(policy.backoff, policy.seed),
            last_regression: None,
            held_until: None,
            left: None,
            restores: false,
        }
    }

    /// The remote has the local tip: the next reading is due after a period.
    pub(super) fn succeeded(&mut self, tip: Option<Oid>, now: Now) {
        self.confirmed = tip.or(self.confirmed);
        self.told = None;
        self.left = None;
        self.restores = false;
        self.schedule(now);
    }

    fn schedule(&mut self, now: Now) {
        let wait = self
            .period
            .map(|period| shorten(period, JITTER, self.random.f64()));
        self.due = wait.map(|wait| now.instant + wait);
    }

    /// The rest of the wait before the remote gets this tip again; `None` if it has not lost it.
    pub(super) fn hold(&self, tip: Option<Oid>, now: Now) -> Option<Wait> {
        let until = self.held_until.filter(|until| *until > now.instant)?;
        if tip != self.confirmed {
            return None;
        }
        Some(Wait::of(until - now.instant, now))
    }

    /// Notes a regression, and returns how long the remote stays as it is: the first one is mended at once.
    fn regressed(&mut self, now: Now) -> Duration {
        let is_repeated = self
            .last_regression
            .replace(now.instant)
            .is_some_and(|last| now.instant.saturating_duration_since(last) < FORGOTTEN);
        if !is_repeated {
            self.backoff.reset();
            return Duration::ZERO;
        }
        let delay = self.backoff.next_delay();
        self.held_until = Some(now.instant + delay);
        self.last_regression = self.held_until;
        delay
    }
}

impl State {
    /// When the remote is to be read, if nothing else is due.
    pub(super) fn verification_due(&self) -> Option<Instant> {
        let due = match self.phase {
            Phase::Idle | Phase::Regressed => self.verification.due,
            Phase::Unverified(wait) => Some(wait.until),
            _ => None,
        };
        due.filter(|_| self.survey.tip.is_some() && self.stop_by.is_none())
    }

    pub(super) fn start_verification(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.phase = Phase::Verifying(Run {
            started: now.instant,
            tip: self.survey.tip,
        });
        actions.push(Action::Verify);
    }

    pub(super) fn end_verification(&mut self, verified: Verified, now: Now, actions: &mut Vec<Action>) {
        let Phase::Verifying(run) = self.phase else { return };
        self.take_remote(verified.remote, now);
        self.take_survey(verified.survey, now);
        match verified.verdict {
            Verdict::Holds(tip) => {
                self.verification.last_regression = None;
                self.verification.held_until = None;
                self.succeed(tip, now, actions);
            }
            Verdict::Lacks(tip) => self.take_lack(tip, verified.lost, now, actions),
            Verdict::Diverged => {
                self.refused = None;
                self.verification.left = None;
                self.begin_work_now(now, actions);
            }
            Verdict::Failed(failure) => self.fail_verification(failure, run, now, actions),
        }
    }

    fn take_lack(&mut self, tip: Oid, lost: Option<Lost>, now: Now, actions: &mut Vec<Action>) {
        let is_left = !self.policy.restore && lost.is_some_and(|lost| lost.is_all);
        if let Some(lost) = lost {
            self.tell_regression(lost.regression, is_left, now, actions);
        }
        if is_left {
            // The remote can be read again, though it is left without some commits.
            self.end_failures(self.remote, now, actions);
            self.leave(tip, lost, now, actions);
        } else {
            self.begin_work_now(now, actions);
        }
    }

    /// Begins without a debounce window, which is for commits that come one after the other.
    fn begin_work_now(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.settled = None;
        self.phase = Phase::Idle;
        self.unpushed_since = now.instant.checked_sub(self.policy.debounce);
        self.begin_work(now, actions);
    }

    /// Tells once that the remote has lost commits.
    pub(super) fn tell_regression(
        &mut self,
        regression: Regression,
        is_left: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if self.verification.told.replace(regression) == Some(regression) {
            return;
        }
        self.totals.regressions += 1;
        let delay = (!is_left).then(|| self.verification.regressed(now));
        // An attempt that finds it brings the remote forward by itself; the wait is for the next one.
        let is_under_way = self.is_pushing();
        actions.push(Action::Emit(Event::Regressed {
            regression,
            next_delay: delay.map(|delay| if is_under_way { Duration::ZERO } else { delay }),
        }));
    }

    /// Leaves the remote without what it has lost, until there is another commit, or a flush.
    pub(super) fn leave(&mut self, tip: Oid, lost: Option<Lost>, now: Now, actions: &mut Vec<Action>) {
        self.verification.schedule(now);
        self.phase = Phase::Regressed;
        if self.verification.left.is_some() && self.refused == Some(tip) {
            return;
        }
        let lost = lost.map_or(0, |lost| lost.regression.commits);
        let failure = Failure::new(
            Kind::RemoteError,
            format!(
                "the remote has lost {lost} commits that it had confirmed, and onRegression is 'report': it is left as it is until the next commit or a flush"
            ),
        )
        .with_hint(LEFT_HINT);
        self.settled = None;
        self.refused = Some(tip);
        self.unpushed_since = None;
        self.attempt = 0;
        self.verification.left = Some(failure.clone());
        actions.push(Action::Refused {
            commit: Some(tip),
            failure,
            terminal: true,
        });
    }

    /// Reports that the remote could not be read, and tries again after the backoff's delay, or the usual time.
    fn fail_verification(&mut self, failure: Failure, run: Run, now: Now, actions: &mut Vec<Action>) {
        self.attempt = 0;
        let kind = failure.kind();
        let asked = failure.retry_after().unwrap_or_default();
        self.report(None, failure, run, now, actions);
        let usual = self.verification.period.unwrap_or(Duration::MAX);
        let next_delay = self.failures.backoff.next_delay().min(usual).max(asked);
        self.phase = Phase::Unverified(Wait::of(next_delay, now));
        actions.push(Action::Emit(Event::Retry {
            commit: None,
            attempt: 0,
            next_delay,
            kind,
        }));
    }
}
