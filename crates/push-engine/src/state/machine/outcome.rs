//! What the end of an attempt leads to.

use std::time::Duration;

use git_wire::oid::Oid;
use tokio::time::Instant;

use super::{Phase, Run, State, Wait};
use crate::event::{Event, SentPush};
use crate::failure::{Failure, Kind};
use crate::state::{Action, Attempted, Divergence, Now, Outcome, RemoteTip};

/// While draining for `stop()`, a wait shorter than this is not worth another attempt.
const LAST_RETRY: Duration = Duration::from_millis(50);

/// Pushes whose outcome is unknown that are remembered: the remote may answer late, after the next attempt has begun.
const MOST_UNCONFIRMED: usize = 8;

impl State {
    pub(super) fn end_attempt(&mut self, attempted: Attempted, now: Now, actions: &mut Vec<Action>) {
        let Phase::Pushing(run) = self.phase else { return };
        self.take_remote(attempted.remote, now);
        self.take_survey(attempted.survey, now);
        if let Some(lost) = attempted.lost {
            let is_left = matches!(attempted.outcome, Outcome::Left(_));
            self.tell_regression(lost.regression, is_left, now, actions);
        }
        let is_first_check = !std::mem::replace(&mut self.has_checked, true);
        self.confirm_earlier(&attempted.outcome, attempted.remote, now, actions);
        match attempted.outcome {
            Outcome::UpToDate(tip) => {
                if let Some((push, started)) = self.unconfirmed.pop()
                    && tip.is_some()
                {
                    self.record_push(push, started, now, actions);
                }
                self.unconfirmed.clear();
                self.succeed(tip, now, actions);
            }
            Outcome::Pushed(push) => {
                self.attempt = self.attempt.max(1);
                self.unconfirmed.clear();
                self.record_push(push, run.started, now, actions);
                self.succeed(Some(push.commit), now, actions);
            }
            Outcome::Diverged(divergence) => self.diverge(divergence, run, is_first_check, now, actions),
            // A flush that came meanwhile brings the remote forward.
            Outcome::Left(_) if self.verification.restores => self.start_attempt(now, actions),
            Outcome::Left(tip) => self.leave(tip, attempted.lost, now, actions),
            Outcome::Failed {
                tip,
                failure,
                had_work,
                unconfirmed,
            } => {
                if let Some(mut push) = unconfirmed {
                    // An attempt that was cut off did not get to counting.
                    if push.commits == 0 && Some(push.commit) == self.survey.tip {
                        push.commits = self.survey.pending;
                    }
                    if self.unconfirmed.len() == MOST_UNCONFIRMED {
                        self.unconfirmed.remove(0);
                    }
                    self.unconfirmed.push((push, run.started));
                }
                if had_work {
                    self.attempt = self.attempt.max(1);
                }
                let tip = tip.or(run.tip);
                let shown = tip.or(self.survey.tip).filter(|_| had_work || !is_first_check);
                self.fail(tip, shown, failure, run, now, actions);
            }
        }
    }

    /// Records a push whose outcome was unknown, if the remote was seen where it would have moved the branch.
    fn confirm_earlier(&mut self, outcome: &Outcome, remote: RemoteTip, now: Now, actions: &mut Vec<Action>) {
        let seen = match (outcome, remote) {
            (Outcome::Pushed(push), _) => push.previous,
            (_, RemoteTip::At(tip)) => Some(tip),
            _ => None,
        };
        let found = self
            .unconfirmed
            .iter()
            .position(|(push, _)| Some(push.commit) == seen);
        if let Some(at) = found {
            let (push, started) = self.unconfirmed[at];
            // The others cannot arrive any more: the branch is not where they would move it from.
            self.unconfirmed.clear();
            self.record_push(push, started, now, actions);
            actions.push(Action::Confirmed { commit: push.commit });
        }
    }

    fn record_push(&mut self, push: SentPush, started: Instant, now: Now, actions: &mut Vec<Action>) {
        self.totals.pushes += 1;
        self.totals.commits += push.commits;
        self.totals.bytes += push.bytes;
        self.last_push_at = Some(now.wall);
        actions.push(Action::Emit(Event::Push {
            push,
            attempt: self.attempt.max(1),
            duration: now.instant - started,
        }));
    }

    pub(super) fn succeed(&mut self, tip: Option<Oid>, now: Now, actions: &mut Vec<Action>) {
        self.settled = tip;
        self.refused = None;
        self.verification.succeeded(tip, now);
        // Commits made during the push have waited long enough: no debounce window of their own.
        self.unpushed_since = now
            .instant
            .checked_sub(self.policy.debounce)
            .filter(|_| self.survey.tip != tip);
        self.pending_since = self.pending_since.map(|_| now.instant);
        self.attempt = 0;
        self.phase = Phase::Idle;
        self.end_failures(tip, now, actions);
        actions.extend(tip.map(|commit| Action::Confirmed { commit }));
    }

    /// Ends the run of failures, and tells of it if there is a commit to name.
    pub(super) fn end_failures(&mut self, commit: Option<Oid>, now: Now, actions: &mut Vec<Action>) {
        if let Some((failed_attempts, since)) = self.failures.end()
            && let Some(commit) = commit
        {
            actions.push(Action::Emit(Event::Recovered {
                commit,
                failed_attempts,
                down: now.instant - since,
            }));
        }
    }

    fn diverge(
        &mut self,
        divergence: Divergence,
        run: Run,
        is_first_check: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Divergence {
            tip,
            failure,
            comparable,
            preserved,
        } = divergence;
        let is_unknowable = is_first_check && !comparable;
        let is_new_tip = self.refused != Some(tip);
        let is_news = is_new_tip || self.failures.kind() != Some(Kind::NonFastForward);
        if is_new_tip {
            self.preservation.backoff.reset();
        }
        self.refused = Some(tip);
        self.evidence = failure.evidence().cloned();
        // What the remote had before says nothing of what it has now.
        self.settled = None;
        self.verification.left = None;
        self.verification.restores = false;
        self.unconfirmed.clear();
        self.unpushed_since = None;
        self.failures.restart_retries();
        self.attempt = if is_unknowable { 0 } else { self.attempt.max(1) };
        if is_news {
            let commit = (!is_unknowable).then_some(tip);
            self.report(commit, failure.clone(), run, now, actions);
        }
        actions.push(Action::Refused {
            commit: Some(tip),
            failure,
            terminal: true,
        });
        if let Some(preserved) = preserved {
            self.end_preserving(tip, preserved, self.attempt, actions);
        }
        self.phase = Phase::Diverged(self.next_probe(now));
        self.attempt = 0;
    }

    /// Counts, keeps and emits a failure.
    pub(super) fn report(
        &mut self,
        commit: Option<Oid>,
        failure: Failure,
        run: Run,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.totals.failures += 1;
        self.failures.add(failure.clone(), self.attempt, run.started, now);
        actions.push(Action::Emit(Event::Error {
            commit,
            attempt: self.attempt,
            duration: Some(now.instant - run.started),
            failure,
        }));
    }

    fn fail(
        &mut self,
        tip: Option<Oid>,
        shown: Option<Oid>,
        failure: Failure,
        run: Run,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.report(shown, failure.clone(), run, now, actions);
        let failures = self.failures.count_for(tip);
        let is_used_up = self.policy.max_retries.is_some_and(|retries| failures > retries);
        // A tip that arrived during the attempt has its retries still before it.
        let is_moved_on = tip != self.survey.tip;
        let delay = self
            .retry_delay(&failure, now)
            .filter(|_| !is_used_up || is_moved_on);
        if let Some(delay) = delay {
            self.phase = Phase::BackingOff(Wait::of(delay, now));
            actions.push(Action::Emit(Event::Retry {
                commit: shown,
                attempt: self.attempt,
                next_delay: delay,
                kind: failure.kind(),
            }));
        } else {
            self.refused = tip.or(self.survey.tip);
            self.unpushed_since = None;
            self.attempt = 0;
            self.failures.restart_retries();
            self.phase = Phase::GaveUp;
        }
        actions.push(Action::Refused {
            commit: tip.or(self.survey.tip),
            failure,
            terminal: delay.is_none(),
        });
    }

    /// The wait before the next attempt; `None` where the drain leaves no time for one.
    fn retry_delay(&mut self, failure: &Failure, now: Now) -> Option<Duration> {
        debug_assert_ne!(
            failure.kind(),
            Kind::NonFastForward,
            "a diverged branch is not retried"
        );
        let delay = self.failures.backoff.next_delay();
        let delay = delay.max(failure.retry_after().unwrap_or_default());
        let Some(stop_by) = self.stop_by else {
            return Some(delay);
        };
        // Halving what is left puts several attempts into a drain that is shorter than the next delay.
        let left = stop_by.saturating_duration_since(now.instant);
        (left >= LAST_RETRY).then(|| delay.min(left / 2))
    }
}
