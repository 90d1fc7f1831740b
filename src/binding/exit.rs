//! The end of a process or worker that did not call `stop()`: a bounded, blocking drain.
//!
//! `process.exit()`, an uncaught exception or `worker.terminate()` leaves no time for JavaScript to wait, so the thread that
//! ends blocks here while the daemons' own threads push what is pending. Nothing can be emitted any more: what was not pushed
//! is told on standard error.

use std::cell::RefCell;
use std::io::Write;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::host::Facts;
use crate::daemon::{Ended, Request, SharedStatus};
use crate::event::Status;
use crate::failure::Kind;

/// How much longer than the drain the exit waits for children to be ended and the daemon's thread to go.
const EXIT_GRACE: Duration = Duration::from_millis(500);

thread_local! {
    /// The daemons that end with this JavaScript thread. Node runs their clean-up hooks one after the other; the first one
    /// begins the end of all, so that they drain at the same time.
    static OF_THREAD: RefCell<Vec<Exit>> = const { RefCell::new(Vec::new()) };
}

/// What ends one daemon, once, however often it is asked to.
#[derive(Debug, Clone)]
pub(super) struct Exit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: UnboundedSender<Request>,
    /// Gets how the daemon ended, when its thread has nothing left to do.
    ended: Mutex<Receiver<Ended>>,
    /// How long what is pending may take; zero is not to push it at all.
    drain: Duration,
    status: SharedStatus,
    remote: String,
    branch: String,
    begun: OnceLock<Instant>,
    finished: OnceLock<()>,
}

impl Exit {
    /// Must be called on the JavaScript thread with which the daemon ends.
    pub(super) fn new(
        requests: UnboundedSender<Request>,
        ended: Receiver<Ended>,
        drain: Duration,
        status: SharedStatus,
        facts: &Facts,
    ) -> Self {
        let exit = Self(Arc::new(Inner {
            requests,
            ended: Mutex::new(ended),
            drain,
            status,
            remote: facts.remote.clone(),
            branch: facts.branch.clone(),
            begun: OnceLock::new(),
            finished: OnceLock::new(),
        }));
        OF_THREAD.with_borrow_mut(|exits| exits.push(exit.clone()));
        exit
    }

    /// Forgets a daemon that has ended.
    pub(super) fn forget(&self) {
        OF_THREAD.with_borrow_mut(|exits| exits.retain(|exit| !Arc::ptr_eq(&exit.0, &self.0)));
    }

    /// Asks the daemon to end. A `stop()` that is under way keeps its deadline if that is earlier.
    pub(super) fn begin(&self) {
        let Inner { requests, drain, .. } = &*self.0;
        self.0.begun.get_or_init(|| {
            let request = if drain.is_zero() {
                Request::Abort
            } else {
                Request::Stop { timeout: *drain }
            };
            // The receiver is gone when the daemon has ended already.
            let _ = requests.send(request);
            Instant::now()
        });
    }

    /// Waits until it has ended, for a bounded time, and tells what was not pushed.
    pub(super) fn finish(&self) {
        self.0.finished.get_or_init(|| {
            let Inner { ended, drain, .. } = &*self.0;
            let begun = *self.0.begun.get_or_init(Instant::now);
            let limit = (*drain + EXIT_GRACE).saturating_sub(begun.elapsed());
            let ended = ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv_timeout(limit);
            if !drain.is_zero() && !ended.is_ok_and(|ended| ended.drained) {
                self.tell();
            }
        });
    }

    fn tell(&self) {
        let line = left_behind(&self.0.remote, &self.0.branch, &self.0.status.get());
        // Where standard error is closed, there is nowhere else to tell it.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Begins the end of every daemon that ends with this thread.
pub(super) fn begin_all_of_thread() {
    OF_THREAD.with_borrow(|exits| exits.iter().for_each(Exit::begin));
}

/// One line about what is not on the remote, why, and what becomes of it.
fn left_behind(remote: &str, branch: &str, status: &Status) -> String {
    let what = match status.pending_commits {
        0 => format!("{remote} may lack commits of {branch}"),
        1 => format!("{remote} lacks 1 commit of {branch}"),
        many => format!("{remote} lacks {many} commits of {branch}"),
    };
    let failure = status.last_error.as_ref().map(|error| &error.failure);
    let why = failure.map_or_else(
        || "it did not confirm them before the process ended".to_owned(),
        |failure| {
            let words: Vec<&str> = failure.message().split_whitespace().collect();
            format!("{}: {}", failure.kind(), words.join(" "))
        },
    );
    let next = if failure.is_some_and(|failure| failure.kind() == Kind::NonFastForward) {
        "they stay in the local repository until the branches are reconciled"
    } else {
        "they stay in the local repository, and the next start pushes them"
    };
    format!("git-push-daemon: {what} ({why}); {next}\n")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::event::{LastError, StateName, Totals};
    use crate::failure::Failure;

    fn status(pending_commits: u64, failure: Option<Failure>) -> Status {
        Status {
            state: StateName::Stopped,
            running: false,
            last_push_at: None,
            last_error: failure.map(|failure| LastError {
                failure,
                at: SystemTime::UNIX_EPOCH,
                attempt: 1,
            }),
            pending_commits,
            current_backoff: None,
            current_attempt: None,
            local_commit: None,
            remote_commit: None,
            behind_commits: None,
            oldest_pending_at: None,
            pending_since: None,
            consecutive_failures: 0,
            next_attempt_at: None,
            started_at: SystemTime::UNIX_EPOCH,
            totals: Totals::default(),
        }
    }

    #[test]
    fn one_line_says_what_is_left_behind_why_and_what_follows() {
        let network = Failure::new(Kind::Network, "could not connect\nto https://u:hunter2@host/r");
        let diverged = Failure::new(Kind::NonFastForward, "the remote is ahead");
        for (pending, failure, parts) in [
            (
                1,
                Some(network),
                [
                    "origin lacks 1 commit of main (network: could not connect to https://",
                    "; they stay in the local repository, and the next start pushes them",
                ],
            ),
            (
                2,
                Some(diverged),
                [
                    "origin lacks 2 commits of main (non-fast-forward: the remote is ahead)",
                    "until the branches are reconciled",
                ],
            ),
            (
                0,
                None,
                [
                    "origin may lack commits of main (it did not confirm",
                    "the next start",
                ],
            ),
        ] {
            let line = left_behind("origin", "main", &status(pending, failure));
            for part in parts {
                assert!(line.contains(part), "{line}");
            }
            assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }
}
