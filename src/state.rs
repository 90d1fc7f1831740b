//! The decisions: a pure state machine, `(state, input, now) -> (state, actions)`.
//!
//! It does no I/O and reads no clock, so every path through it is a table test. It is level-triggered: work
//! is due while the local tip is one that the remote is not known to have, whatever woke the daemon up.
//! What the remote has is told to it by the attempts; it never guesses.

mod machine;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::event::Event;
use crate::failure::Failure;
use crate::oid::Oid;

pub use machine::{Policy, State};

/// The two clocks at one moment: delays are measured on the monotonic one, people are shown the other.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

/// The local branch at one moment, compared with the remote's tip as last known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Survey {
    /// The local tip; `None` while the branch does not exist.
    pub tip: Option<Oid>,
    /// Commits of the branch that the remote does not have.
    pub pending: u64,
    /// The committer time of the oldest of them.
    pub oldest_pending: Option<SystemTime>,
    /// Commits that only the remote has; `None` where they are not here to be counted.
    pub behind: Option<u64>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The remote has `tip` already; nothing was sent. `None`: there is no local branch.
    UpToDate {
        /// The local tip that this was decided for.
        tip: Option<Oid>,
    },
    /// The remote confirmed the update to `tip`.
    Pushed {
        /// The commit that was sent.
        tip: Oid,
        /// The remote's tip before.
        previous: Option<Oid>,
        /// Commits the remote did not have before.
        commits: u64,
        /// Bytes of the pack.
        bytes: u64,
    },
    /// The remote has commits that the local branch lacks.
    Diverged {
        /// The local tip.
        tip: Oid,
        /// What to tell, with the remote's tip as evidence.
        failure: Failure,
        /// False where not even the last tip known to be on the remote is known, so that nobody can say
        /// whether the local branch has anything new.
        comparable: bool,
        /// What became of `onDivergence: 'preserve'`; `None` where it was not asked for.
        preserved: Option<Result<String, Failure>>,
    },
    /// The attempt failed.
    Failed {
        /// The local tip it was for, as far as it came to reading one.
        tip: Option<Oid>,
        /// What went wrong.
        failure: Failure,
        /// Whether it got as far as having commits to push.
        had_work: bool,
        /// Set when the request left whole but no answer came: the remote may have it all the same.
        unconfirmed: Option<Unconfirmed>,
    },
}

/// A push whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The commit that was sent.
    pub commit: Oid,
    /// The remote's tip before.
    pub previous: Option<Oid>,
    /// Commits the remote did not have before.
    pub commits: u64,
    /// Bytes of the pack.
    pub bytes: u64,
}

/// The branch on the remote, as an attempt saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteTip {
    /// The attempt did not get as far as seeing it.
    Unseen,
    /// The remote has no such branch.
    Absent,
    /// The branch is at this commit.
    At(Oid),
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The branch was looked at.
    Surveyed(Survey),
    /// The branch could not be read: it is not known any more that the remote has everything. The attempt
    /// that follows meets the cause and reports it.
    Unreadable,
    /// The remote was seen not to be at the tip that it had confirmed: it is looked at again.
    Doubted,
    /// [`State::deadline`] has passed.
    TimerFired,
    /// The attempt in flight has ended.
    AttemptEnded {
        /// How.
        outcome: Outcome,
        /// The remote's tip, if the attempt saw it.
        remote: RemoteTip,
        /// The branch, looked at after the end; `None` where it could not be read.
        survey: Option<Survey>,
    },
    /// A look at the diverged remote has ended.
    ProbeEnded {
        /// Whether a push or a no-op would now succeed; `None` where the remote could not be read.
        reconciled: Option<bool>,
        /// What became of putting a local tip on the remote; `None` where it did not come to that.
        preserved: Option<(Oid, Result<String, Failure>)>,
        /// As in [`Input::AttemptEnded`].
        remote: RemoteTip,
        /// As in [`Input::AttemptEnded`].
        survey: Option<Survey>,
    },
    /// Someone asked for an attempt now, whatever delay is running.
    Nudge,
    /// Drain until the deadline, then end.
    Stop {
        /// How long the drain may take.
        timeout: Duration,
    },
}

/// What the machine wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start an attempt. It replaces a probe in flight; there is never another attempt in flight.
    Attempt {
        /// Put the local tip under `refs/heads/conflicts/` if the remote turns out to have diverged.
        preserve: bool,
    },
    /// Start a look at the diverged remote.
    Probe {
        /// Put the local tip under `refs/heads/conflicts/` if the remote is still diverged.
        preserve: bool,
    },
    /// Cancel what is in flight.
    Cancel,
    /// Tell the listeners.
    Emit(Event),
    /// The remote has `commit`: whoever waits for it, or for an ancestor, can go on.
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
    /// The machine has stopped; whoever waits for that is told once everything is closed.
    Finish,
}
