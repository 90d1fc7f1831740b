//! A run of failed attempts without a success between them.

use git_wire::oid::Oid;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::event::LastError;
use crate::failure::{Failure, Kind};
use crate::state::Now;

/// The failures since the last success.
#[derive(Debug)]
pub(super) struct FailureStreak {
    /// The waits between attempts.
    pub(super) backoff: Backoff,
    /// How many attempts failed.
    pub(super) count: u32,
    /// When the first of them started.
    pub(super) since: Option<Instant>,
    pub(super) last: Option<LastError>,
    /// The tip of the last failed attempt, and how many failed for it in a row.
    of_tip: (Option<Oid>, u32),
}

impl FailureStreak {
    pub(super) const fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            count: 0,
            since: None,
            last: None,
            of_tip: (None, 0),
        }
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        self.last.as_ref().map(|error| error.failure.kind())
    }

    /// Adds the failure of an attempt.
    pub(super) fn add(&mut self, failure: Failure, attempt: u32, started: Instant, now: Now) {
        self.count += 1;
        self.since.get_or_insert(started);
        self.last = Some(LastError {
            failure,
            at: now.wall,
            attempt,
        });
    }

    /// Counts a failed attempt for `tip`, and returns how many failed for it in a row.
    pub(super) fn count_for(&mut self, tip: Option<Oid>) -> u32 {
        let before = if self.of_tip.0 == tip { self.of_tip.1 } else { 0 };
        self.of_tip = (tip, before + 1);
        before + 1
    }

    /// Gives the next tip all of its retries, from the shortest delay. The streak goes on.
    pub(super) fn restart_retries(&mut self) {
        self.of_tip = (None, 0);
        self.backoff.reset();
    }

    /// Ends the streak at a success, and returns how many attempts failed and since when.
    pub(super) fn end(&mut self) -> Option<(u32, Instant)> {
        self.restart_retries();
        self.last = None;
        let count = std::mem::take(&mut self.count);
        self.since.take().map(|since| (count, since))
    }
}
