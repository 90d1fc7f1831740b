//! The machine itself: one transition function, and the status read from the state.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Action, Input, Now, Outcome, RemoteTip, Survey, Unconfirmed};
use crate::backoff::{Backoff, BackoffConfig};
use crate::event::{Event, LastError, StateName, Status, Totals};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// While draining for `stop()`, a wait shorter than this is not worth another attempt.
const LAST_RETRY: Duration = Duration::from_millis(50);

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
    /// How often a diverged remote is looked at; `None` is never.
    pub diverged_probe: Option<Duration>,
    /// Whether the local tip is put on a diverged remote under another name.
    pub preserve: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing to do.
    Idle,
    /// Work is due at this moment.
    Debouncing(Instant),
    /// An attempt is in flight.
    Pushing,
    /// The next attempt is due at this moment.
    BackingOff(Instant),
    /// Refused as non-fast-forward; the next look is due at this moment.
    Diverged(Option<Instant>),
    /// As before, and a look is in flight; `preserve` if it also puts the local tip on the remote.
    Probing { preserve: bool },
    /// `max_retries` is used up.
    GaveUp,
    /// The end.
    Stopped,
}

/// The daemon's whole state.
#[derive(Debug)]
pub struct State {
    policy: Policy,
    backoff: Backoff,
    phase: Phase,
    /// The drain's deadline, once `stop()` was called.
    stop_by: Option<Instant>,
    /// Whether an attempt has ended yet; until then the state is `starting`.
    has_looked: bool,
    survey: Survey,
    /// When commits were first seen to be pending, or were still pending at the last success.
    pending_since: Option<Instant>,
    /// When the oldest unpushed tip was first seen; the debounce window counts from here.
    unpushed_since: Option<Instant>,
    remote: Option<Oid>,
    /// Whether the branch could not be read when it was last looked at between attempts.
    is_blind: bool,
    /// The local tip that the remote was last found to have.
    settled: Option<Oid>,
    /// The local tip that is not tried again by itself: diverged, or given up.
    refused: Option<Oid>,
    /// The local tip that was put under `refs/heads/conflicts/`.
    preserved: Option<Oid>,
    /// The waits between tries to put it there.
    preserve_backoff: Backoff,
    /// The local tip that could not be put there, and why, as far as that was told.
    unpreserved: Option<(Oid, Kind)>,
    /// The number of the last attempt in this run of failures.
    attempt: u32,
    attempt_started: Option<Instant>,
    /// The local tip when the last attempt started: what it was for, where it did not get to reading one.
    attempted: Option<Oid>,
    /// The tip of the last failed attempt and how many failed for it in a row.
    failures_of_tip: (Option<Oid>, u32),
    /// A push whose outcome is unknown, and when its attempt started.
    unconfirmed: Option<(Unconfirmed, Option<Instant>)>,
    consecutive_failures: u32,
    failing_since: Option<Instant>,
    last_push_at: Option<SystemTime>,
    last_error: Option<LastError>,
    current_backoff: Option<Duration>,
    next_attempt_at: Option<SystemTime>,
    started_at: SystemTime,
    totals: Totals,
}

impl State {
    /// Starts with a first attempt: `survey` is the branch compared with the last tip known to be on the
    /// remote, `remote`; `None` where it could not be read, which the first attempt will report.
    #[must_use]
    pub fn start(
        policy: Policy,
        survey: Option<Survey>,
        remote: Option<Oid>,
        now: Now,
    ) -> (Self, Vec<Action>) {
        let has_work = survey.is_none_or(|survey| survey.tip.is_some());
        let mut state = Self {
            backoff: Backoff::new(policy.backoff, policy.seed),
            policy,
            phase: Phase::Idle,
            stop_by: None,
            // Without a local branch there is nothing to look for; its first commit is an attempt like any other.
            has_looked: !has_work,
            survey: survey.unwrap_or_default(),
            pending_since: survey
                .is_some_and(|survey| survey.pending > 0)
                .then_some(now.instant),
            unpushed_since: None,
            remote,
            is_blind: false,
            settled: None,
            refused: None,
            preserved: None,
            preserve_backoff: Backoff::new(policy.backoff, policy.seed),
            unpreserved: None,
            attempt: 0,
            attempt_started: None,
            attempted: None,
            failures_of_tip: (None, 0),
            unconfirmed: None,
            consecutive_failures: 0,
            failing_since: None,
            last_push_at: None,
            last_error: None,
            current_backoff: None,
            next_attempt_at: None,
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
                self.end_blindness(now, &mut actions);
            }
            Input::Unreadable => {
                self.settled = None;
                self.is_blind = true;
            }
            Input::Doubted => self.settled = None,
            Input::TimerFired => self.fire_timers(now, &mut actions),
            Input::AttemptEnded {
                outcome,
                remote,
                survey,
            } => {
                self.take_remote(remote);
                self.take_survey(survey, now);
                self.end_attempt(outcome, now, &mut actions);
            }
            Input::ProbeEnded {
                reconciled,
                preserved,
                remote,
                survey,
            } => {
                self.take_remote(remote);
                self.take_survey(survey, now);
                if let Some((tip, preserved)) = preserved {
                    self.end_preserving(tip, preserved, 1, &mut actions);
                }
                self.end_probe(reconciled, now, &mut actions);
            }
            Input::Nudge => self.nudge(now, &mut actions),
            Input::Stop { timeout } => self.begin_stop(timeout, now, &mut actions),
        }
        self.proceed(now, &mut actions);
        actions
    }

    /// When [`Input::TimerFired`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Debouncing(until) | Phase::BackingOff(until) => Some(until),
            Phase::Diverged(probe) => probe,
            Phase::Idle | Phase::Pushing | Phase::Probing { .. } | Phase::GaveUp | Phase::Stopped => None,
        };
        phase.into_iter().chain(self.stop_by).min()
    }

    /// The remote's tip, as last seen, confirmed, or known from before the start.
    #[must_use]
    pub const fn remote(&self) -> Option<Oid> {
        self.remote
    }

    /// The local tip.
    #[must_use]
    pub const fn tip(&self) -> Option<Oid> {
        self.survey.tip
    }

    /// Whether the remote was found to have the local tip.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        self.survey.tip.is_none() || self.settled == self.survey.tip
    }

    /// The local tip that is not tried again by itself, and why, while that is so.
    #[must_use]
    pub fn refusal(&self) -> Option<(Oid, &Failure)> {
        let rests = matches!(
            self.phase,
            Phase::Diverged(_) | Phase::Probing { .. } | Phase::GaveUp
        );
        let error = self.last_error.as_ref().filter(|_| rests)?;
        Some((self.refused?, &error.failure))
    }

    /// Whether a commit waits that no attempt has ended for: the process should not exit now.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(
            self.phase,
            Phase::Pushing | Phase::Debouncing(_) | Phase::Probing { preserve: true }
        )
    }

    /// The snapshot that JavaScript is shown.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: self.name(),
            running: self.stop_by.is_none() && self.phase != Phase::Stopped,
            last_push_at: self.last_push_at,
            last_error: self.last_error.clone(),
            pending_commits: self.survey.pending,
            current_backoff: self.current_backoff,
            current_attempt: Some(self.attempt).filter(|&attempt| {
                attempt > 0 && matches!(self.phase, Phase::Pushing | Phase::BackingOff(_))
            }),
            local_commit: self.survey.tip,
            remote_commit: self.remote,
            behind_commits: self.survey.behind,
            oldest_pending_at: self.survey.oldest_pending,
            pending_since: self.pending_since,
            consecutive_failures: self.consecutive_failures,
            next_attempt_at: self.next_attempt_at,
            started_at: self.started_at,
            totals: self.totals,
        }
    }

    fn name(&self) -> StateName {
        match self.phase {
            Phase::Stopped => StateName::Stopped,
            _ if self.stop_by.is_some() => StateName::Stopping,
            Phase::Pushing if !self.has_looked => StateName::Starting,
            Phase::Idle => StateName::InSync,
            Phase::Debouncing(_) => StateName::Debouncing,
            Phase::Pushing => StateName::Pushing,
            Phase::BackingOff(_) => StateName::BackingOff,
            Phase::Diverged(_) | Phase::Probing { .. } => StateName::Diverged,
            Phase::GaveUp => StateName::GaveUp,
        }
    }

    fn take_remote(&mut self, remote: RemoteTip) {
        match remote {
            RemoteTip::Unseen => {}
            RemoteTip::Absent => self.remote = None,
            RemoteTip::At(tip) => self.remote = Some(tip),
        }
    }

    fn take_survey(&mut self, survey: Option<Survey>, now: Now) {
        let Some(survey) = survey else { return };
        if survey.tip != self.survey.tip && self.unpushed_since.is_none() {
            self.unpushed_since = Some(now.instant);
        }
        self.pending_since = (survey.pending > 0).then(|| self.pending_since.unwrap_or(now.instant));
        self.survey = survey;
    }

    /// A repository that is there again (a volume that was mounted anew) is not left to a wait that only its absence
    /// led to.
    fn end_blindness(&mut self, now: Now, actions: &mut Vec<Action>) {
        let was_blind = std::mem::take(&mut self.is_blind);
        let is_cause = self
            .last_error
            .as_ref()
            .is_some_and(|error| error.failure.kind() == Kind::Local);
        let waits = matches!(self.phase, Phase::BackingOff(_) | Phase::GaveUp);
        if was_blind && is_cause && waits {
            self.start_attempt(now, actions);
        }
    }

    fn is_due(&self) -> bool {
        !self.is_in_sync() && self.refused != self.survey.tip
    }

    fn fire_timers(&mut self, now: Now, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Debouncing(until) | Phase::BackingOff(until) if until <= now.instant => {
                self.start_attempt(now, actions);
            }
            Phase::Diverged(Some(at)) if at <= now.instant => self.start_probe(actions),
            _ => {}
        }
    }

    fn nudge(&mut self, now: Now, actions: &mut Vec<Action>) {
        if !self.is_in_sync() && self.phase != Phase::Pushing {
            self.start_attempt(now, actions);
        }
    }

    fn begin_stop(&mut self, timeout: Duration, now: Now, actions: &mut Vec<Action>) {
        let until = now.instant + timeout;
        self.stop_by = Some(self.stop_by.map_or(until, |earlier| earlier.min(until)));
        self.failures_of_tip = (None, 0);
        self.backoff.reset();
        match self.phase {
            Phase::Debouncing(_) | Phase::BackingOff(_) => self.phase = Phase::BackingOff(now.instant),
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
            Phase::Idle | Phase::GaveUp | Phase::Diverged(_) | Phase::Probing { .. } if self.is_due() => {
                let since = self.unpushed_since.unwrap_or(now.instant);
                let until = since + self.policy.debounce;
                if until <= now.instant || self.stop_by.is_some() {
                    self.start_attempt(now, actions);
                } else {
                    self.cancel_probe(actions);
                    self.phase = Phase::Debouncing(until);
                }
            }
            // The tip went back to one that needs nothing, or the branch is gone.
            Phase::GaveUp | Phase::Diverged(_) | Phase::Probing { .. } if self.is_in_sync() => {
                self.cancel_probe(actions);
                self.rest(now);
            }
            Phase::Debouncing(_) if !self.is_due() => self.rest(now),
            Phase::BackingOff(until) if self.stop_by.is_some() && until <= now.instant => {
                self.start_attempt(now, actions);
            }
            _ => {}
        }
        if !self.is_due() && self.phase != Phase::Pushing {
            self.unpushed_since = None;
        }
        let drains = matches!(
            self.phase,
            Phase::Pushing | Phase::BackingOff(_) | Phase::Probing { preserve: true }
        );
        if self.stop_by.is_some() && !drains {
            self.finish(actions);
        }
    }

    fn cancel_probe(&self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Probing { .. }) {
            actions.push(Action::Cancel);
        }
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Pushing | Phase::Probing { .. }) {
            actions.push(Action::Cancel);
        }
        self.clear_wait();
        self.phase = Phase::Stopped;
        actions.push(Action::Finish);
    }

    fn start_attempt(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.has_looked {
            self.attempt += 1;
        }
        self.attempt_started = Some(now.instant);
        self.attempted = self.survey.tip;
        self.clear_wait();
        self.phase = Phase::Pushing;
        let preserve = self.is_to_preserve();
        actions.push(Action::Attempt { preserve });
    }

    fn start_probe(&mut self, actions: &mut Vec<Action>) {
        let preserve = self.is_to_preserve();
        self.phase = Phase::Probing { preserve };
        actions.push(Action::Probe { preserve });
    }

    /// Whether the local tip is to be put under another name, should the remote have diverged.
    fn is_to_preserve(&self) -> bool {
        self.policy.preserve && (self.preserved.is_none() || self.preserved != self.survey.tip)
    }

    fn clear_wait(&mut self) {
        self.current_backoff = None;
        self.next_attempt_at = None;
    }

    /// Where the machine rests while nothing is due.
    fn rest(&mut self, now: Now) {
        self.phase = if self.is_in_sync() {
            // Should it come back to the refused tip, that is a new start.
            self.refused = None;
            Phase::Idle
        } else if self.is_known_to_diverge() {
            Phase::Diverged(self.next_probe(now))
        } else {
            Phase::GaveUp
        };
    }

    fn is_known_to_diverge(&self) -> bool {
        self.last_error
            .as_ref()
            .is_some_and(|error| error.failure.kind() == Kind::NonFastForward)
    }

    fn end_attempt(&mut self, outcome: Outcome, now: Now, actions: &mut Vec<Action>) {
        let is_first_look = !self.has_looked;
        self.has_looked = true;
        match outcome {
            Outcome::UpToDate { tip } => {
                if let Some((push, started)) = self.unconfirmed.take()
                    && tip.is_some()
                {
                    self.record_push(&push, started.or(self.attempt_started), now, actions);
                }
                self.succeed(tip, now, actions);
            }
            Outcome::Pushed {
                tip,
                previous,
                commits,
                bytes,
            } => {
                self.attempt = self.attempt.max(1);
                self.unconfirmed = None;
                let push = Unconfirmed {
                    commit: tip,
                    previous,
                    commits,
                    bytes,
                };
                self.record_push(&push, self.attempt_started, now, actions);
                self.succeed(Some(tip), now, actions);
            }
            Outcome::Diverged {
                tip,
                failure,
                comparable,
                preserved,
            } => {
                self.diverge(tip, failure, is_first_look && !comparable, now, actions);
                if let Some(preserved) = preserved {
                    self.end_preserving(tip, preserved, self.attempt, actions);
                }
                self.phase = Phase::Diverged(self.next_probe(now));
                self.attempt = 0;
            }
            Outcome::Failed {
                tip,
                failure,
                had_work,
                unconfirmed,
            } => {
                if let Some(mut push) = unconfirmed {
                    // An attempt that was cut off did not get to counting.
                    push.commits = push.commits.max(self.survey.pending);
                    self.unconfirmed = Some((push, self.attempt_started));
                }
                if had_work {
                    self.attempt = self.attempt.max(1);
                }
                let tip = tip.or(self.attempted);
                let shown = if is_first_look && !had_work {
                    None
                } else {
                    tip.or(self.survey.tip)
                };
                self.fail(tip, shown, failure, now, actions);
            }
        }
    }

    fn end_preserving(
        &mut self,
        tip: Oid,
        preserved: Result<String, Failure>,
        attempt: u32,
        actions: &mut Vec<Action>,
    ) {
        match preserved {
            Ok(reference) => {
                self.preserved = Some(tip);
                self.unpreserved = None;
                self.preserve_backoff.reset();
                actions.push(Action::Emit(Event::Preserved {
                    commit: tip,
                    reference,
                }));
            }
            Err(failure) => {
                // It is tried again for as long as the branches are diverged, so only news is told.
                let told = Some((tip, failure.kind()));
                if self.unpreserved == told {
                    return;
                }
                self.unpreserved = told;
                // Not kept as the last error: what the operator must mend is the divergence.
                self.totals.failures += 1;
                actions.push(Action::Emit(Event::Error {
                    commit: Some(tip),
                    attempt,
                    duration: None,
                    failure,
                }));
            }
        }
    }

    fn end_probe(&mut self, reconciled: Option<bool>, now: Now, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Probing { .. }) {
            return;
        }
        if reconciled == Some(true) {
            self.refused = None;
            self.start_attempt(now, actions);
        } else {
            self.phase = Phase::Diverged(self.next_probe(now));
        }
    }

    /// When the diverged remote is looked at next: at the latest when it is time to try again to preserve the tip.
    fn next_probe(&mut self, now: Now) -> Option<Instant> {
        let preserve = self.is_to_preserve().then(|| self.preserve_backoff.next_delay());
        let wait = self.policy.diverged_probe.into_iter().chain(preserve).min();
        wait.map(|wait| now.instant + wait)
    }

    fn record_push(
        &mut self,
        push: &Unconfirmed,
        started: Option<Instant>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.totals.pushes += 1;
        self.totals.commits += push.commits;
        self.totals.bytes += push.bytes;
        self.last_push_at = Some(now.wall);
        actions.push(Action::Emit(Event::Push {
            commit: push.commit,
            duration: started.map_or(Duration::ZERO, |started| now.instant - started),
            previous: push.previous,
            commits: push.commits,
            attempt: self.attempt.max(1),
            bytes: push.bytes,
        }));
    }

    fn succeed(&mut self, tip: Option<Oid>, now: Now, actions: &mut Vec<Action>) {
        self.settled = tip;
        self.refused = None;
        // Commits made during the push have waited long enough: no debounce window of their own.
        self.unpushed_since = now
            .instant
            .checked_sub(self.policy.debounce)
            .filter(|_| self.survey.tip != tip);
        self.pending_since = self.pending_since.map(|_| now.instant);
        self.last_error = None;
        if let (Some(since), Some(commit)) = (self.failing_since.take(), tip) {
            actions.push(Action::Emit(Event::Recovered {
                commit,
                failed_attempts: self.consecutive_failures,
                down: now.instant - since,
            }));
        }
        self.consecutive_failures = 0;
        self.failures_of_tip = (None, 0);
        self.attempt = 0;
        self.backoff.reset();
        self.phase = Phase::Idle;
        if let Some(commit) = tip {
            actions.push(Action::Confirmed { commit });
        }
    }

    fn diverge(
        &mut self,
        tip: Oid,
        failure: Failure,
        is_unknowable: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let is_news = self.refused != Some(tip) || !self.is_known_to_diverge();
        if self.refused != Some(tip) {
            self.preserve_backoff.reset();
        }
        self.refused = Some(tip);
        // What the remote had before says nothing of what it has now.
        self.settled = None;
        self.unconfirmed = None;
        self.unpushed_since = None;
        self.failures_of_tip = (None, 0);
        self.backoff.reset();
        if is_unknowable {
            self.attempt = 0;
        } else {
            self.attempt = self.attempt.max(1);
        }
        if is_news {
            let commit = (!is_unknowable).then_some(tip);
            self.report(commit, self.attempt, failure.clone(), now, actions);
        }
        actions.push(Action::Refused {
            commit: Some(tip),
            failure,
            terminal: true,
        });
    }

    /// Counts, keeps and emits a failure.
    fn report(
        &mut self,
        commit: Option<Oid>,
        attempt: u32,
        failure: Failure,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.totals.failures += 1;
        self.consecutive_failures += 1;
        self.failing_since
            .get_or_insert(self.attempt_started.unwrap_or(now.instant));
        self.last_error = Some(LastError {
            failure: failure.clone(),
            at: now.wall,
            attempt,
        });
        actions.push(Action::Emit(Event::Error {
            commit,
            attempt,
            duration: self.attempt_started.map(|started| now.instant - started),
            failure,
        }));
    }

    fn fail(
        &mut self,
        tip: Option<Oid>,
        shown: Option<Oid>,
        failure: Failure,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let kind = failure.kind();
        self.report(shown, self.attempt, failure.clone(), now, actions);
        let failures = if self.failures_of_tip.0 == tip {
            self.failures_of_tip.1 + 1
        } else {
            1
        };
        self.failures_of_tip = (tip, failures);
        let is_used_up = self.policy.max_retries.is_some_and(|retries| failures > retries);
        // A tip that arrived during the attempt has its retries still before it.
        let is_moved_on = tip != self.survey.tip;
        let delay = self
            .retry_delay(&failure, now)
            .filter(|_| !is_used_up || is_moved_on);
        if let Some(delay) = delay {
            self.current_backoff = Some(delay);
            self.next_attempt_at = now.wall.checked_add(delay);
            self.phase = Phase::BackingOff(now.instant + delay);
            actions.push(Action::Emit(Event::Retry {
                commit: shown,
                attempt: self.attempt,
                next_delay: delay,
                kind,
            }));
        } else {
            self.refused = tip.or(self.survey.tip);
            self.unpushed_since = None;
            self.attempt = 0;
            self.backoff.reset();
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
        let delay = self
            .backoff
            .next_delay()
            .max(failure.retry_after().unwrap_or_default());
        let Some(stop_by) = self.stop_by else {
            return Some(delay);
        };
        // Halving what is left puts several attempts into a drain that is shorter than the next delay.
        let left = stop_by.saturating_duration_since(now.instant);
        (left >= LAST_RETRY).then(|| delay.min(left / 2))
    }
}
