//! The events and the status that cross to JavaScript: plain data, no behaviour.
//!
//! The shapes are those of `index.d.ts`; `binding` turns them into objects.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use git_wire::oid::Oid;
use tokio::time::Instant;

use crate::failure::{Failure, Kind};
use crate::transfer::TransferProgress;

/// A push whose request has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentPush {
    /// The commit that was sent.
    pub commit: Oid,
    /// The remote's tip before; `None` where the branch is new there.
    pub previous: Option<Oid>,
    /// Commits that the remote did not have before.
    pub commits: u64,
    /// The size of the pack in bytes; 0 if it is unknown.
    pub bytes: u64,
}

/// Commits that the remote had confirmed and no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regression {
    /// Where the branch was on the remote.
    pub from: Oid,
    /// Where it is now: an earlier commit, or nowhere.
    pub to: Option<Oid>,
    /// The commits that it lost.
    pub commits: u64,
}

/// What only one side of a diverged branch has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The last commit that both sides have; `None` if they have none in common.
    pub merge_base: Option<Oid>,
    /// The number of commits that only the local branch has.
    pub ahead: u64,
    /// The number of commits that only the remote branch has.
    pub behind: u64,
    /// The newest of the latter, the newest first.
    pub commits: Vec<EvidenceCommit>,
    /// The commands that merge both sides, for a shell.
    pub commands: Vec<String>,
}

/// A commit that only the remote has. Its texts are clean, and at most some hundred characters long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceCommit {
    /// Its id.
    pub commit: Oid,
    /// The author, as `Name <mail>`.
    pub author: String,
    /// The committer's time.
    pub committed_at: SystemTime,
    /// The first paragraph of the message, in one line.
    pub subject: String,
}

/// An event for the listeners, emitted only after the state changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The remote confirmed the update of the branch.
    Push {
        /// What was pushed; its commit is now the remote's tip.
        push: SentPush,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// How long the attempt took.
        duration: Duration,
    },
    /// An attempt failed.
    Error {
        /// The local tip it was for; `None` for a check at the start or while in sync.
        commit: Option<Oid>,
        /// The number of the attempt; 0 for such a check.
        attempt: u32,
        /// How long the attempt took; `None` where the failure is not the outcome of an attempt.
        duration: Option<Duration>,
        /// What went wrong.
        failure: Failure,
    },
    /// The failed attempt will be repeated after a wait.
    Retry {
        /// As in the error before it.
        commit: Option<Oid>,
        /// The number of the attempt that failed.
        attempt: u32,
        /// The wait.
        next_delay: Duration,
        /// The kind of the failure.
        kind: Kind,
    },
    /// The first success after failures.
    Recovered {
        /// The local tip that the remote now has.
        commit: Oid,
        /// How many attempts had failed.
        failed_attempts: u32,
        /// Since the first of them.
        down: Duration,
    },
    /// `onDivergence: 'preserve'` put the local tip on the remote under another name.
    Preserved {
        /// The local tip.
        commit: Oid,
        /// The full name of the ref that was created for it.
        reference: String,
    },
    /// The remote was found behind what it had confirmed.
    Regressed {
        /// What it lost.
        regression: Regression,
        /// The wait before it is brought forward again; `None` if it is left as it is.
        next_delay: Option<Duration>,
    },
}

/// The names of the states, as `status().state` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateName {
    /// The first check of the remote is under way.
    Starting,
    /// The remote has everything (or there is no local branch yet).
    InSync,
    /// A commit waits for others to join it.
    Debouncing,
    /// An attempt is in flight.
    Pushing,
    /// Waiting before the next attempt.
    BackingOff,
    /// The remote has commits that the local branch lacks.
    Diverged,
    /// `maxRetries` is used up for this tip.
    GaveUp,
    /// The remote has lost commits, and is left as it is.
    Regressed,
    /// `stop()` was called.
    Stopping,
    /// The daemon has ended.
    Stopped,
}

impl StateName {
    /// The name that JavaScript sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::InSync => "in-sync",
            Self::Debouncing => "debouncing",
            Self::Pushing => "pushing",
            Self::BackingOff => "backing-off",
            Self::Diverged => "diverged",
            Self::GaveUp => "gave-up",
            Self::Regressed => "regressed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// The last failure; cleared by the next success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// What went wrong.
    pub failure: Failure,
    /// When.
    pub at: SystemTime,
    /// The number of the attempt; 0 for a check at the start or while in sync.
    pub attempt: u32,
}

/// Counts since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Confirmed pushes.
    pub pushes: u64,
    /// Commits that confirmed pushes brought to the remote.
    pub commits: u64,
    /// Failed attempts.
    pub failures: u64,
    /// Bytes of packs in confirmed pushes.
    pub bytes: u64,
    /// How often the remote had lost commits.
    pub regressions: u64,
}

/// A snapshot of the daemon; reading one does no I/O.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state's name.
    pub state: StateName,
    /// False once `stop()` was called.
    pub running: bool,
    /// When the last push was confirmed.
    pub last_push_at: Option<SystemTime>,
    /// When the remote's tip was last read or confirmed.
    pub verified_at: Option<SystemTime>,
    /// The last failure, unless a success followed.
    pub last_error: Option<LastError>,
    /// Commits on the branch that the remote does not have, as far as is known.
    pub pending_commits: u64,
    /// The wait between the failed attempt and the next one.
    pub current_backoff: Option<Duration>,
    /// The attempt in flight, or the failed one while backing off.
    pub current_attempt: Option<u32>,
    /// The local tip.
    pub local_commit: Option<Oid>,
    /// The remote's tip, as last seen or confirmed.
    pub remote_commit: Option<Oid>,
    /// Commits the remote has and the branch has not; `None` where that cannot be known.
    pub behind_commits: Option<u64>,
    /// The committer time of the oldest pending commit.
    pub oldest_pending_at: Option<SystemTime>,
    /// Since when commits have been pending without a success, on the monotonic clock.
    pub pending_since: Option<Instant>,
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
    /// When the next retry is due, while backing off.
    pub next_attempt_at: Option<SystemTime>,
    /// When the daemon started.
    pub started_at: SystemTime,
    /// Counts since then.
    pub totals: Totals,
    /// What only one side has while the branches have diverged; `None` at other times, and where that could not be found out.
    pub divergence: Option<Arc<Evidence>>,
    /// How far the push under way has come; `None` in its first second, and while nothing is pushed.
    pub progress: Option<TransferProgress>,
}
