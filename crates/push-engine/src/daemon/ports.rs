//! The actor's interfaces: the branch and the pusher that it drives, the requests that it takes, the observer that
//! it tells.

use std::future::Future;
use std::time::{Duration, SystemTime};

use git_wire::oid::Oid;
use tokio::time::Instant;

use crate::event::Event;
use crate::failure::Failure;
use crate::state::{Attempted, Probed, Survey, Terms, Verified};
use crate::transfer::{TransferProgress, TransferState};

/// The local branch.
pub trait Branch: 'static {
    /// Reads the branch and compares it with the remote's tip as last known.
    fn survey(&self, remote: Option<Oid>) -> impl Future<Output = Result<Survey, Failure>>;

    /// The tip alone, without counting anything.
    fn tip(&self) -> impl Future<Output = Result<Option<Oid>, Failure>>;

    /// Reads the branch and counts all of its commits that a remote without it lacks. It delays no other read.
    fn count(&self) -> impl Future<Output = Result<Survey, Failure>>;

    /// Whether the local history of `descendant` contains `ancestor` (or is it).
    fn contains(&self, ancestor: Oid, descendant: Oid) -> impl Future<Output = bool>;

    /// The tip that the remote is known to have from before the start.
    fn last_known_remote(&self) -> impl Future<Output = Option<Oid>>;

    /// Returns when the branch may have changed since the last call; cancel-safe.
    fn changed(&self) -> impl Future<Output = ()>;

    /// Ends watching.
    fn close(&self) -> impl Future<Output = ()>;
}

/// One attempt at bringing the remote up to the local branch, apart from the loop that repeats it.
pub trait Pusher: 'static {
    /// Checks the remote and pushes what it lacks. Dropping the future cancels the attempt.
    fn attempt(&self, terms: Terms) -> impl Future<Output = Attempted>;

    /// Reads the remote, which was last known to be at `known`, without pushing anything. Dropping the future cancels it.
    fn verify(&self, known: Option<Oid>) -> impl Future<Output = Verified>;

    /// Checks a diverged remote without pushing the branch; with `preserve` it puts the local tip there under
    /// another name if it is still diverged. Dropping the future cancels it.
    fn probe(&self, preserve: bool) -> impl Future<Output = Probed>;

    /// How far the push of the attempt has come; `None` while it pushes nothing.
    fn progress(&self) -> Option<TransferState> {
        None
    }

    /// Whether the last attempt was a step on the way, which another one is to follow.
    fn is_in_steps(&self) -> bool {
        false
    }

    /// Resolves when the remote was seen, between attempts, at another tip than the last one left it at.
    /// Cancel-safe.
    fn remote_moved(&self) -> impl Future<Output = ()> {
        std::future::pending()
    }

    /// Ends everything that attempts left behind, by force at `deadline`.
    fn close(&self, deadline: Instant) -> impl Future<Output = ()>;
}

/// The receiver of events and replies.
pub trait Observer: 'static {
    /// Takes the next delivery. Must not block.
    fn deliver(&self, delivery: Delivery);
}

/// An item for the observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An event for the listeners.
    Event(Event),
    /// How far a push has come that takes longer than a second; once a second.
    Progress(TransferProgress),
    /// The answer to a request.
    Reply {
        /// The request.
        id: RequestId,
        /// Its result.
        result: Result<Receipt, Refusal>,
    },
    /// Whether work is under way that should keep the process alive.
    Busy(bool),
}

/// Tells requests apart; chosen by the caller.
pub type RequestId = u32;

/// What a caller may ask of a running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The branch may have changed.
    Wake,
    /// Read the branch, and answer once it is known whether there is work.
    Check(RequestId),
    /// Attempt now, and answer when the remote has the present tip.
    Flush(RequestId),
    /// Answer when the remote has this commit.
    WaitForPush(RequestId, Oid),
    /// Do not answer this request any more.
    Abandon(RequestId),
    /// Drain, then end.
    Stop {
        /// How long the drain may take.
        timeout: Duration,
    },
    /// End now and silently: the JavaScript environment is going away.
    Abort,
}

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

/// The answer to a request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The attempt failed.
    Failed(Failure),
    /// The daemon stopped first.
    Stopped,
}

/// The end of a daemon, whose thread has nothing left to clean up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whether the remote has everything.
    pub drained: bool,
    /// The commits that it does not have.
    pub pending_commits: u64,
    /// Whether [`Request::Abort`] ended it, so that there is nothing to tell.
    pub aborted: bool,
}
