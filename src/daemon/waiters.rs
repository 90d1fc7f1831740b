//! Who waits for a commit to be on the remote.

use std::time::SystemTime;

use crate::failure::Failure;
use crate::oid::Oid;

/// Tells requests apart; chosen by the caller.
pub type RequestId = u32;

/// The answer to a request that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The commit that was asked for; `None` where there is no branch.
    pub commit: Option<Oid>,
    /// The remote's tip, which contains it.
    pub remote_commit: Option<Oid>,
    /// When this daemon last pushed; `None` where the remote had it all along.
    pub pushed_at: Option<SystemTime>,
}

/// The answer to a request that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The attempt failed.
    Failed(Failure),
    /// The daemon stopped first.
    Stopped,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) id: RequestId,
    pub(super) commit: Oid,
    /// Whether one failed attempt is an answer.
    pub(super) gives_up_on_failure: bool,
}

#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<Waiter>);

impl Waiters {
    pub(super) fn add(&mut self, waiter: Waiter) {
        self.0.push(waiter);
    }

    pub(super) fn remove(&mut self, id: RequestId) {
        self.0.retain(|waiter| waiter.id != id);
    }

    pub(super) fn take_all(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.0)
    }
}
