//! The status, as other threads read it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{StateName, Status};

/// The status that other threads read.
#[derive(Debug, Clone)]
pub struct SharedStatus(Arc<Mutex<Status>>);

impl SharedStatus {
    /// Starts with this status.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    /// A copy of the present status; never waits for I/O.
    #[must_use]
    pub fn get(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks the daemon as ended, and returns how many commits are pending.
    #[must_use]
    pub fn stop(&self) -> u64 {
        let status = self.get();
        let pending_commits = status.pending_commits;
        self.set(Status {
            running: false,
            progress: None,
            divergence: None,
            state: StateName::Stopped,
            ..status
        });
        pending_commits
    }

    pub(super) fn set(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}
