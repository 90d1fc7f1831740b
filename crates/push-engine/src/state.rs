//! The decisions: a pure state machine, `(state, input, now) -> (state, actions)`.
//!
//! It does no I/O and reads no clock, so every path through it is a table test. It is level-triggered: work
//! is due while the remote is not known to have the local tip, whatever woke the daemon up. Only attempts
//! and checks tell it what the remote has.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod machine;
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use git_wire::oid::Oid;
use tokio::time::Instant;

use crate::event::{Event, Evidence, Regression, SentPush};
use crate::failure::Failure;
pub use git_local::repository::Survey;

pub use machine::{Policy, State};

/// Both clocks at one moment: delays use the monotonic one, and people see the other.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

/// What an attempt is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Put the local tip under `refs/heads/conflicts/` if the remote turns out to have diverged.
    pub preserve: bool,
    /// Bring the remote forward even if it lacks nothing but commits that it has lost.
    pub restore: bool,
    /// The tip that the remote had confirmed last. If it has less now, it has lost commits.
    pub known: Option<Oid>,
}

/// Commits that an attempt found to be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// What the remote lost.
    pub regression: Regression,
    /// Whether the remote had the whole local branch.
    pub is_all: bool,
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// How it ended.
    pub outcome: Outcome,
    /// The remote's tip, as far as the attempt saw it.
    pub remote: RemoteTip,
    /// What the remote has lost.
    pub lost: Option<Lost>,
    /// The branch, read after the end; `None` where it could not be read.
    pub survey: Option<Survey>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was sent: the remote already has this local tip. `None`: there is no local branch.
    UpToDate(Option<Oid>),
    /// The remote confirmed the update.
    Pushed(SentPush),
    /// The remote has commits that the local branch lacks.
    Diverged(Divergence),
    /// Nothing was sent: the remote had this local tip, has lost it, and is left as it is.
    Left(Oid),
    /// The attempt failed.
    Failed {
        /// The local tip it was for, if the attempt got to reading one.
        tip: Option<Oid>,
        /// What went wrong.
        failure: Failure,
        /// Whether the attempt found commits to push.
        had_work: bool,
        /// The push that left whole but got no answer: the remote may have it.
        unconfirmed: Option<SentPush>,
    },
}

/// The local tip cannot be pushed, because the remote has commits that it does not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The local tip.
    pub tip: Oid,
    /// The failure to report, with the remote's tip and what could be found out about its commits as evidence.
    pub failure: Failure,
    /// False if no earlier tip of the remote is known either: the local branch may have no unpushed commits.
    pub comparable: bool,
    /// The result of `onDivergence: 'preserve'`; `None` where it was not asked for.
    pub preserved: Option<Preserved>,
}

/// The ref that keeps a diverged local tip on the remote, or why there is none.
pub type Preserved = Result<String, Failure>;

/// The result of a check of a diverged remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Whether an attempt would now succeed; `None` where the remote could not be read.
    pub reconciled: Option<bool>,
    /// The local tip that was to be preserved and the result; `None` where preserving was not tried.
    pub preserved: Option<(Oid, Preserved)>,
    /// What only one side has, if the branches are still diverged and it could be found out.
    pub evidence: Option<Arc<Evidence>>,
    /// As in [`Attempted`].
    pub remote: RemoteTip,
    /// As in [`Attempted`].
    pub survey: Option<Survey>,
}

/// The result of a reading of the remote while in sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it comes to.
    pub verdict: Verdict,
    /// As in [`Attempted`].
    pub remote: RemoteTip,
    /// As in [`Attempted`].
    pub lost: Option<Lost>,
    /// As in [`Attempted`].
    pub survey: Option<Survey>,
}

/// What a reading of the remote comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The remote has this local tip. `None`: there is no local branch.
    Holds(Option<Oid>),
    /// The remote lacks commits of this local tip.
    Lacks(Oid),
    /// The remote has commits that the local branch lacks: an attempt tells of it.
    Diverged,
    /// The remote could not be read.
    Failed(Failure),
}

/// The branch on the remote, as an attempt saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RemoteTip {
    /// The attempt did not get as far as seeing it.
    #[default]
    Unseen,
    /// The remote has no such branch.
    Absent,
    /// The branch is at this commit.
    At(Oid),
}

/// An input of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The branch was read.
    Surveyed(Survey),
    /// The branch could not be read, so the remote may no longer have everything. The attempt that follows
    /// meets the cause and reports it.
    Unreadable,
    /// The remote was seen at another tip than the one it had confirmed: check it again.
    RemoteMoved,
    /// [`State::deadline`] has passed.
    TimerFired,
    /// The attempt in flight has ended.
    AttemptEnded(Attempted),
    /// The check of the diverged remote has ended.
    ProbeEnded(Probed),
    /// The reading of the remote while in sync has ended.
    VerificationEnded(Verified),
    /// Attempt now, whatever delay is running.
    Nudge,
    /// Drain until the deadline, then end.
    Stop {
        /// How long the drain may take.
        timeout: Duration,
    },
}

/// What the machine wants done. Actions are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start an attempt. It replaces a check in flight; there is never another attempt in flight.
    Attempt {
        /// Put the local tip under `refs/heads/conflicts/` if the remote turns out to have diverged.
        preserve: bool,
        /// Bring back what the remote has lost, even if there is nothing else to push.
        restore: bool,
    },
    /// Start to read the remote while in sync.
    Verify,
    /// Start a check of the diverged remote.
    Probe {
        /// Put the local tip under `refs/heads/conflicts/` if the remote is still diverged.
        preserve: bool,
    },
    /// Cancel what is in flight.
    Cancel,
    /// Emit an event.
    Emit(Event),
    /// The remote has `commit` and its ancestors: answer the requests that wait for one of them.
    Confirmed {
        /// The local tip that the remote has.
        commit: Oid,
    },
    /// An attempt for `commit` failed.
    Refused {
        /// The local tip it was for.
        commit: Option<Oid>,
        /// Why.
        failure: Failure,
        /// Whether no other attempt follows by itself.
        terminal: bool,
    },
    /// The machine has stopped: close everything, then answer the requests that wait for the end.
    Finish,
}
