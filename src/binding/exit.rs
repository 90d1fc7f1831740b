//! The end of a process or worker that did not call `stop()`: a bounded, blocking drain.
//!
//! `process.exit()`, an uncaught exception or `worker.terminate()` leaves JavaScript no time to wait, so the ending thread
//! blocks here while the thread of the daemons pushes what is pending. Node runs an environment's clean-up hooks at the end
//! of a worker and at the natural end of the main thread, but not at `process.exit()`: there C's `exit` calls [`at_exit`],
//! after all JavaScript listeners. Events can no longer be emitted, so what was not pushed is written to standard error.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use push_engine::daemon::{Ended, Request, SharedStatus};
use push_engine::event::Status;
use push_engine::failure::Kind;
use tokio::sync::mpsc::UnboundedSender;

use super::shapes::Facts;

/// How much longer than the drain the exit waits for children to be ended and the daemon to go.
const EXIT_GRACE: Duration = Duration::from_millis(500);

/// How long to wait for a standard error that accepts nothing.
const TELL_LIMIT: Duration = Duration::from_millis(200);

/// Whether standard error has stopped accepting lines. A thousand daemons do not wait for it one by one.
static IS_MUTE: AtomicBool = AtomicBool::new(false);

/// The daemons of this process. Daemons that end together begin together, so that they drain at the same time.
static DAEMONS: Mutex<Vec<Exit>> = Mutex::new(Vec::new());

/// Ends one daemon, once, however often it is called.
#[derive(Debug, Clone)]
pub(super) struct Exit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: UnboundedSender<Request>,
    /// Receives the daemon's end, when nothing of it is left.
    ended: Mutex<Receiver<Ended>>,
    /// How long pushing what is pending may take; zero is not at all.
    drain: Duration,
    status: SharedStatus,
    remote: String,
    branch: String,
    /// The JavaScript thread with which the daemon ends.
    thread: ThreadId,
    begun: OnceLock<Instant>,
    finished: OnceLock<()>,
}

impl Exit {
    /// Registers a daemon; to be called on the JavaScript thread with which it ends.
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
            thread: thread::current().id(),
            begun: OnceLock::new(),
            finished: OnceLock::new(),
        }));
        call_at_exit();
        daemons(|daemons| daemons.push(exit.clone()));
        exit
    }

    /// Forgets a daemon that has ended.
    pub(super) fn forget(&self) {
        daemons(|daemons| daemons.retain(|exit| !Arc::ptr_eq(&exit.0, &self.0)));
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
                self.report();
            }
        });
    }

    fn report(&self) {
        if IS_MUTE.load(Ordering::Relaxed) {
            return;
        }
        let line = left_behind(&self.0.remote, &self.0.branch, &self.0.status.get());
        // Standard error may be a full pipe without a reader; the process must end even so.
        let (told, done) = mpsc::channel();
        let telling = thread::Builder::new().spawn(move || {
            let _ = std::io::stderr().write_all(line.as_bytes());
            let _ = told.send(());
        });
        if telling.is_ok() && done.recv_timeout(TELL_LIMIT) == Err(RecvTimeoutError::Timeout) {
            IS_MUTE.store(true, Ordering::Relaxed);
        }
    }
}

fn daemons<T>(visit: impl FnOnce(&mut Vec<Exit>) -> T) -> T {
    visit(&mut DAEMONS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Begins the end of every daemon that ends with this thread.
pub(super) fn begin_all_of_thread() {
    let here = thread::current().id();
    daemons(|daemons| {
        let ending = daemons.iter().filter(|exit| exit.0.thread == here);
        ending.for_each(Exit::begin);
    });
}

/// Whether the end of the process waits for the daemons. On Windows the threads of a library are gone before its exit
/// handlers run.
pub(super) const ENDS_WITH_PROCESS: bool = cfg!(unix);

#[cfg(unix)]
fn call_at_exit() {
    PROCESS.get_or_init(|| {
        #[expect(unsafe_code, reason = "no crate that is used here wraps atexit(3)")]
        // SAFETY: the function is one of C's standard library with this signature. The handler unwinds nowhere, and this
        // library is not unloaded before it has run: unloading runs it first.
        unsafe {
            unsafe extern "C" {
                fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
            }
            atexit(at_exit);
        }
        std::process::id()
    });
}

#[cfg(not(unix))]
fn call_at_exit() {}

/// The process that called [`call_at_exit`]. A fork has the handler, but none of the daemons' threads.
#[cfg(unix)]
static PROCESS: OnceLock<u32> = OnceLock::new();

#[cfg(unix)]
extern "C" fn at_exit() {
    if PROCESS.get() != Some(&std::process::id()) {
        return;
    }
    let ending = daemons(|daemons| daemons.clone());
    ending.iter().for_each(Exit::begin);
    ending.iter().for_each(Exit::finish);
}

/// One line: what is not on the remote, why, and what happens next.
fn left_behind(remote: &str, branch: &str, status: &Status) -> String {
    let (remote, branch) = (remote.escape_debug(), branch.escape_debug());
    let what = match status.pending_commits {
        0 => format!("{remote} may lack commits of {branch}"),
        1 => format!("{remote} lacks 1 commit of {branch}"),
        many => format!("{remote} lacks {many} commits of {branch}"),
    };
    let failure = status.last_error.as_ref().map(|error| &error.failure);
    let why = failure.map_or_else(
        || "it did not confirm them before the process ended".to_owned(),
        |failure| {
            let message: Vec<&str> = failure.message().split_whitespace().collect();
            format!("{}: {}", failure.kind(), message.join(" "))
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

    use push_engine::event::{LastError, StateName, Totals};
    use push_engine::failure::Failure;

    use super::*;

    fn status(pending_commits: u64, failure: Option<Failure>) -> Status {
        Status {
            state: StateName::Stopped,
            running: false,
            last_push_at: None,
            verified_at: None,
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
            divergence: None,
            progress: None,
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
        let odd = left_behind("/a\u{1b}[31m\nb", "main", &status(1, None));
        assert!(odd.lines().count() == 1 && !odd.contains('\u{1b}'), "{odd}");
    }
}
