//! The machine itself: the transition function and what each phase leads to.

mod outcome;
mod preservation;
mod status;
mod streak;
mod verification;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use git_wire::oid::Oid;
use tokio::time::Instant;

use self::preservation::Preservation;
use self::streak::FailureStreak;
use self::verification::Verification;
use super::{Action, Input, Now, Preserved, Probed, RemoteTip, Survey};
use crate::backoff::{Backoff, BackoffConfig};
use crate::event::{Event, Evidence, SentPush, Totals};
use crate::failure::Kind;

/// The options that decisions depend on.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The delays between attempts.
    pub backoff: BackoffConfig,
    /// Seeds the jitter.
    pub seed: u64,
    /// Retries per tip; `None` is without end.
    pub max_retries: Option<u32>,
    /// How long the first unpushed commit waits for others.
    pub debounce: Duration,
    /// How often a diverged remote is checked; `None` is never.
    pub diverged_probe: Option<Duration>,
    /// Whether to put the local tip on a diverged remote under another name.
    pub preserve: bool,
    /// How often the remote is read while in sync; `None` is never.
    pub verify: Option<Duration>,
    /// Whether commits that the remote has lost are brought back at once.
    pub restore: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing to do.
    Idle,
    /// Work is due at this moment.
    Debouncing(Instant),
    /// An attempt is in flight.
    Pushing(Run),
    /// The next attempt is due after a wait.
    BackingOff(Wait),
    /// Refused as non-fast-forward; the next check is due at this moment.
    Diverged(Option<Instant>),
    /// As before, and a check is in flight; `preserve` if it also puts the local tip on the remote.
    Probing { preserve: bool },
    /// `max_retries` is used up.
    GaveUp,
    /// In sync as far as is known, and the remote is being read.
    Verifying(Run),
    /// In sync as far as is known, but the remote could not be read; the next reading is due after a wait.
    Unverified(Wait),
    /// The remote has lost commits, and is left as it is.
    Regressed,
    /// The end.
    Stopped,
}

/// The attempt in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    started: Instant,
    /// The local tip at the start: what the attempt is for, if it does not get to reading one.
    tip: Option<Oid>,
}

/// The wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    until: Instant,
    /// The same moment, as it is shown, and the length of the wait; `None` where `stop()` cut it short.
    shown: Option<(Duration, Option<SystemTime>)>,
}

impl Wait {
    /// A wait that begins now.
    fn of(delay: Duration, now: Now) -> Self {
        Self {
            until: now.instant + delay,
            shown: Some((delay, now.wall.checked_add(delay))),
        }
    }
}

/// The daemon's whole state.
#[derive(Debug)]
pub struct State {
    policy: Policy,
    phase: Phase,
    /// The drain's deadline, once `stop()` was called.
    stop_by: Option<Instant>,
    /// Whether an attempt has ended yet; until then the state is `starting`.
    has_checked: bool,
    survey: Survey,
    /// Whether the branch could not be read the last time, between attempts.
    is_unreadable: bool,
    /// Since when commits have been pending without a success between.
    pending_since: Option<Instant>,
    /// When the oldest unpushed tip was first seen; the debounce window counts from here.
    unpushed_since: Option<Instant>,
    remote: Option<Oid>,
    /// The local tip that the remote was last found to have.
    settled: Option<Oid>,
    /// The local tip that is not tried again by itself: diverged, or given up.
    refused: Option<Oid>,
    preservation: Preservation,
    verification: Verification,
    /// What was last found out about the divergence.
    evidence: Option<Arc<Evidence>>,
    /// The number of the last attempt in this run of failures.
    attempt: u32,
    failures: FailureStreak,
    /// Pushes whose outcome is unknown, and when their attempts started: the last few.
    unconfirmed: Vec<(SentPush, Instant)>,
    last_push_at: Option<SystemTime>,
    started_at: SystemTime,
    totals: Totals,
}

impl State {
    /// Starts with a first attempt. `remote` is the last tip known to be on the remote, `survey` the branch
    /// compared with it; `None` where it could not be read, which the first attempt will report.
    #[must_use]
    pub fn start(
        policy: Policy,
        survey: Option<Survey>,
        remote: Option<Oid>,
        now: Now,
    ) -> (Self, Vec<Action>) {
        let has_work = survey.is_none_or(|survey| survey.tip.is_some());
        let survey = survey.unwrap_or_default();
        let mut state = Self {
            policy,
            phase: Phase::Idle,
            stop_by: None,
            // Without a local branch there is nothing to check; its first commit is an attempt like any other.
            has_checked: !has_work,
            survey,
            is_unreadable: false,
            pending_since: (survey.pending > 0).then_some(now.instant),
            unpushed_since: None,
            remote,
            settled: None,
            refused: None,
            preservation: Preservation::new(Backoff::new(policy.backoff, policy.seed)),
            verification: Verification::new(&policy, remote),
            evidence: None,
            attempt: 0,
            failures: FailureStreak::new(Backoff::new(policy.backoff, policy.seed)),
            unconfirmed: Vec::new(),
            last_push_at: None,
            started_at: now.wall,
            totals: Totals::default(),
        };
        let mut actions = Vec::new();
        if has_work {
            state.start_attempt(now, &mut actions);
        }
        (state, actions)
    }

    /// The transition.
    #[must_use]
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase == Phase::Stopped {
            return actions;
        }
        match input {
            Input::Surveyed(survey) => {
                self.take_survey(Some(survey), now);
                self.take_readable(now, &mut actions);
            }
            Input::Unreadable => {
                self.settled = None;
                self.is_unreadable = true;
            }
            Input::RemoteMoved => self.settled = None,
            Input::TimerFired => self.fire_timers(now, &mut actions),
            Input::AttemptEnded(attempted) => self.end_attempt(attempted, now, &mut actions),
            Input::ProbeEnded(probed) => self.end_probe(probed, now, &mut actions),
            Input::VerificationEnded(verified) => self.end_verification(verified, now, &mut actions),
            Input::Nudge => {
                self.verification.restores |= !self.is_in_sync();
                if !self.is_in_sync() && !self.is_pushing() {
                    self.start_attempt(now, &mut actions);
                }
            }
            Input::Stop { timeout } => self.begin_stop(timeout, now, &mut actions),
        }
        self.proceed(now, &mut actions);
        actions
    }

    const fn is_pushing(&self) -> bool {
        matches!(self.phase, Phase::Pushing(_))
    }

    fn is_due(&self) -> bool {
        !self.is_in_sync() && self.refused != self.survey.tip
    }

    fn take_remote(&mut self, remote: RemoteTip, now: Now) {
        self.remote = match remote {
            RemoteTip::Unseen => return,
            RemoteTip::Absent => None,
            RemoteTip::At(tip) => Some(tip),
        };
        self.verification.verified_at = Some(now.wall);
    }

    fn take_survey(&mut self, survey: Option<Survey>, now: Now) {
        let Some(survey) = survey else { return };
        if survey.tip != self.survey.tip && self.unpushed_since.is_none() {
            self.unpushed_since = Some(now.instant);
        }
        self.pending_since = (survey.pending > 0).then(|| self.pending_since.unwrap_or(now.instant));
        self.survey = survey;
    }

    /// Ends a wait that only the absence of the repository led to, once it can be read again (a volume was mounted).
    fn take_readable(&mut self, now: Now, actions: &mut Vec<Action>) {
        let was_unreadable = std::mem::take(&mut self.is_unreadable);
        let waits = matches!(self.phase, Phase::BackingOff(_) | Phase::GaveUp);
        if was_unreadable && waits && self.failures.kind() == Some(Kind::Local) {
            self.start_attempt(now, actions);
        }
    }

    fn fire_timers(&mut self, now: Now, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Debouncing(until) | Phase::BackingOff(Wait { until, .. }) if until <= now.instant => {
                self.start_attempt(now, actions);
            }
            Phase::Diverged(Some(at)) if at <= now.instant => self.start_probe(actions),
            _ if self.verification_due().is_some_and(|due| due <= now.instant) => {
                self.start_verification(now, actions);
            }
            _ => {}
        }
    }

    fn begin_stop(&mut self, timeout: Duration, now: Now, actions: &mut Vec<Action>) {
        let until = now.instant + timeout;
        self.stop_by = Some(self.stop_by.map_or(until, |earlier| earlier.min(until)));
        self.failures.restart_retries();
        match self.phase {
            Phase::Debouncing(_) | Phase::BackingOff(_) => {
                self.phase = Phase::BackingOff(Wait {
                    until: now.instant,
                    shown: None,
                });
            }
            Phase::GaveUp => {
                self.refused = None;
                self.phase = Phase::Idle;
            }
            // One last try at having the tip on more than one disk.
            Phase::Diverged(_) if self.is_to_preserve() => self.start_probe(actions),
            _ => {}
        }
    }

    /// Moves on from wherever the input left the machine.
    fn proceed(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.stop_by.is_some_and(|stop_by| stop_by <= now.instant) {
            return self.finish(actions);
        }
        match self.phase {
            Phase::Idle
            | Phase::GaveUp
            | Phase::Diverged(_)
            | Phase::Probing { .. }
            | Phase::Verifying(_)
            | Phase::Unverified(_)
            | Phase::Regressed
                if self.is_due() =>
            {
                self.begin_work(now, actions);
            }
            // The tip went back to one that needs nothing, or the branch is gone.
            Phase::GaveUp | Phase::Diverged(_) | Phase::Probing { .. } | Phase::Regressed
                if self.is_in_sync() =>
            {
                self.cancel_check(actions);
                self.rest(now);
            }
            // The wait is for what the remote has lost, and there is more now.
            Phase::BackingOff(_)
                if self.failures.count == 0
                    && self.is_due()
                    && self.verification.hold(self.survey.tip, now).is_none() =>
            {
                self.begin_work(now, actions);
            }
            // There is nothing to read any more.
            Phase::Verifying(_) | Phase::Unverified(_) if self.survey.tip.is_none() => {
                self.cancel_check(actions);
                self.failures.end();
                self.rest(now);
            }
            Phase::Debouncing(_) if !self.is_due() => self.rest(now),
            Phase::BackingOff(wait) if self.stop_by.is_some() && wait.until <= now.instant => {
                self.start_attempt(now, actions);
            }
            _ => {}
        }
        if !self.is_due() && !self.is_pushing() {
            self.unpushed_since = None;
        }
        let drains = matches!(
            self.phase,
            Phase::Pushing(_) | Phase::BackingOff(_) | Phase::Probing { preserve: true }
        );
        if self.stop_by.is_some() && !drains {
            self.finish(actions);
        }
    }

    /// Starts an attempt for commits that are due, or waits for others to join them.
    fn begin_work(&mut self, now: Now, actions: &mut Vec<Action>) {
        let until = self.unpushed_since.unwrap_or(now.instant) + self.policy.debounce;
        if matches!(self.phase, Phase::Verifying(_) | Phase::Unverified(_)) {
            // Failures to read say nothing of this tip.
            self.failures.restart_retries();
        }
        if self.stop_by.is_some() {
            self.start_attempt(now, actions);
        } else if let Some(wait) = self.verification.hold(self.survey.tip, now) {
            self.cancel_check(actions);
            self.phase = Phase::BackingOff(wait);
        } else if until <= now.instant {
            self.start_attempt(now, actions);
        } else {
            self.cancel_check(actions);
            self.phase = Phase::Debouncing(until);
        }
    }

    fn cancel_check(&self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Probing { .. } | Phase::Verifying(_)) {
            actions.push(Action::Cancel);
        }
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        self.cancel_check(actions);
        if self.is_pushing() {
            actions.push(Action::Cancel);
        }
        self.phase = Phase::Stopped;
        actions.push(Action::Finish);
    }

    fn start_attempt(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.has_checked {
            self.attempt += 1;
        }
        self.phase = Phase::Pushing(Run {
            started: now.instant,
            tip: self.survey.tip,
        });
        actions.push(Action::Attempt {
            preserve: self.is_to_preserve(),
            restore: self.policy.restore || self.verification.restores,
        });
    }

    fn start_probe(&mut self, actions: &mut Vec<Action>) {
        let preserve = self.is_to_preserve();
        self.phase = Phase::Probing { preserve };
        actions.push(Action::Probe { preserve });
    }

    /// Whether the local tip is to be put under another name, should the remote have diverged.
    fn is_to_preserve(&self) -> bool {
        self.policy.preserve && self.preservation.is_due(self.survey.tip)
    }

    /// Rests while nothing is due.
    fn rest(&mut self, now: Now) {
        self.phase = if self.is_in_sync() {
            // If the branch returns to the refused tip, that is a new start.
            self.refused = None;
            Phase::Idle
        } else if self.failures.kind() == Some(Kind::NonFastForward) {
            Phase::Diverged(self.next_probe(now))
        } else if self.verification.left.is_some() {
            Phase::Regressed
        } else {
            Phase::GaveUp
        };
    }

    fn end_preserving(&mut self, tip: Oid, preserved: Preserved, attempt: u32, actions: &mut Vec<Action>) {
        if !self.preservation.take(tip, &preserved) {
            return;
        }
        actions.push(Action::Emit(match preserved {
            Ok(reference) => Event::Preserved {
                commit: tip,
                reference,
            },
            Err(failure) => {
                // Not kept as the last error: what the operator must mend is the divergence.
                self.totals.failures += 1;
                Event::Error {
                    commit: Some(tip),
                    attempt,
                    duration: None,
                    failure,
                }
            }
        }));
    }

    fn end_probe(&mut self, probed: Probed, now: Now, actions: &mut Vec<Action>) {
        self.take_remote(probed.remote, now);
        self.take_survey(probed.survey, now);
        if let Some((tip, preserved)) = probed.preserved {
            self.end_preserving(tip, preserved, 1, actions);
        }
        if !matches!(self.phase, Phase::Probing { .. }) {
            return;
        }
        if probed.reconciled == Some(false) {
            self.evidence = probed.evidence;
        }
        if probed.reconciled == Some(true) {
            self.refused = None;
            self.start_attempt(now, actions);
        } else {
            self.phase = Phase::Diverged(self.next_probe(now));
        }
    }

    /// When the diverged remote is checked next: at the latest when it is time to try again to preserve the tip.
    fn next_probe(&mut self, now: Now) -> Option<Instant> {
        let preserve = self
            .is_to_preserve()
            .then(|| self.preservation.backoff.next_delay());
        let wait = self.policy.diverged_probe.into_iter().chain(preserve).min();
        wait.map(|wait| now.instant + wait)
    }
}
