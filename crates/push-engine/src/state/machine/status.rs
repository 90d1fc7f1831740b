//! What others read from the state.

use git_wire::oid::Oid;
use tokio::time::Instant;

use super::{Phase, State, Wait};
use crate::event::{StateName, Status};
use crate::failure::Failure;

impl State {
    /// When [`Input::TimerFired`](crate::state::Input::TimerFired) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Debouncing(until) | Phase::BackingOff(Wait { until, .. }) => Some(until),
            Phase::Diverged(probe) => probe,
            _ => self.verification_due(),
        };
        phase.into_iter().chain(self.stop_by).min()
    }

    /// The remote's tip, as last seen, confirmed, or known from before the start.
    #[must_use]
    pub const fn remote(&self) -> Option<Oid> {
        self.remote
    }

    /// The local tip that the remote had last, or what it is known to have had from before the start.
    #[must_use]
    pub const fn confirmed(&self) -> Option<Oid> {
        self.verification.confirmed
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
        let error = self.failures.last.as_ref().filter(|_| rests);
        let is_left = matches!(
            self.phase,
            Phase::Regressed | Phase::Verifying(_) | Phase::Unverified(_)
        );
        let left = self.verification.left.as_ref().filter(|_| is_left);
        Some((self.refused?, error.map(|error| &error.failure).or(left)?))
    }

    /// Whether a commit waits that no attempt has ended for: the process should not exit now.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(
            self.phase,
            Phase::Pushing(_) | Phase::Debouncing(_) | Phase::Probing { preserve: true }
        )
    }

    /// The snapshot that JavaScript is shown.
    #[must_use]
    pub fn status(&self) -> Status {
        let wait = match self.phase {
            Phase::BackingOff(wait) | Phase::Unverified(wait) => wait.shown,
            _ => None,
        };
        let is_diverged = matches!(self.phase, Phase::Diverged(_) | Phase::Probing { .. });
        let runs = matches!(self.phase, Phase::Pushing(_) | Phase::BackingOff(_));
        Status {
            state: self.name(),
            running: self.stop_by.is_none() && self.phase != Phase::Stopped,
            last_push_at: self.last_push_at,
            verified_at: self.verification.verified_at,
            last_error: self.failures.last.clone(),
            pending_commits: self.survey.pending,
            current_backoff: wait.map(|(delay, _)| delay),
            current_attempt: Some(self.attempt).filter(|&attempt| attempt > 0 && runs),
            local_commit: self.survey.tip,
            remote_commit: self.remote,
            behind_commits: self.survey.behind,
            oldest_pending_at: self.survey.oldest_pending,
            pending_since: self.pending_since,
            consecutive_failures: self.failures.count,
            next_attempt_at: wait.and_then(|(_, at)| at),
            started_at: self.started_at,
            totals: self.totals,
            divergence: self.evidence.clone().filter(|_| is_diverged),
            progress: None,
        }
    }

    fn name(&self) -> StateName {
        match self.phase {
            Phase::Stopped => StateName::Stopped,
            _ if self.stop_by.is_some() => StateName::Stopping,
            Phase::Pushing(_) if !self.has_checked => StateName::Starting,
            Phase::Verifying(_) | Phase::Unverified(_) if self.verification.left.is_some() => {
                StateName::Regressed
            }
            Phase::Idle => StateName::InSync,
            Phase::Verifying(_) if self.failures.count == 0 => StateName::InSync,
            Phase::Debouncing(_) => StateName::Debouncing,
            Phase::Pushing(_) => StateName::Pushing,
            Phase::BackingOff(_) | Phase::Unverified(_) | Phase::Verifying(_) => StateName::BackingOff,
            Phase::Diverged(_) | Phase::Probing { .. } => StateName::Diverged,
            Phase::GaveUp => StateName::GaveUp,
            Phase::Regressed => StateName::Regressed,
        }
    }
}
