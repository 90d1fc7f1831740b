//! The thread that runs all daemons of this process, and its runtime.
//!
//! It begins with the first daemon and ends with the last one. Whatever may block runs on the runtime's blocking threads,
//! whose number `push_engine` bounds.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use push_engine::turns::{THREAD_NAME, THREADS};
use push_engine::watch::Watches;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long blocking work (a name look-up that cannot be cancelled, say) may hold up the end of the thread.
const RUNTIME_GRACE: Duration = Duration::from_millis(100);

/// The driver in use, if there are daemons.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

struct Current {
    driver: Arc<Driver>,
    daemons: usize,
}

/// Tells the end of a daemon.
type Tell = Box<dyn FnOnce() + Send>;

/// Makes the future of a daemon.
type Start = Box<dyn FnOnce(Watches) -> LocalBoxFuture<'static, Tell> + Send>;

/// The thread of the daemons.
pub(super) struct Driver {
    starts: UnboundedSender<Start>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Set when the thread has nothing left to do.
    over: OnceLock<()>,
}

impl Driver {
    /// Runs a daemon. `run` makes its future on the driver's thread, and that results in a function that tells its end,
    /// when nothing of the daemon is left; after the last daemon, nothing of the runtime is left either.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses a thread, or the descriptors of a runtime.
    pub(super) fn start<F: Future<Output: FnOnce() + Send + 'static> + 'static>(
        run: impl FnOnce(Watches) -> F + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let mut slot = current();
        let current = match &mut *slot {
            Some(current) => current,
            none => none.insert(Current {
                driver: Self::new()?,
                daemons: 0,
            }),
        };
        current.daemons += 1;
        let driver = Arc::clone(&current.driver);
        // The thread receives until its last daemon has ended.
        let _ = driver.starts.send(Box::new(|watches| {
            let running = run(watches);
            Box::pin(async { Box::new(running.await) as Tell })
        }));
        Ok(driver)
    }

    fn new() -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name(THREAD_NAME)
            .max_blocking_threads(THREADS)
            .build()?;
        let (starts, received) = unbounded_channel();
        let driver = Arc::new(Self {
            starts,
            thread: Mutex::default(),
            over: OnceLock::new(),
        });
        let of_thread = Arc::clone(&driver);
        let thread = thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || {
                let tell = drive(runtime, received);
                let _ = of_thread.over.set(());
                if let Some(tell) = tell {
                    tell();
                }
            })?;
        *driver.thread() = Some(thread);
        Ok(driver)
    }

    /// Joins the thread, if its last daemon has ended. This does not block while any runs.
    pub(super) fn join(&self) {
        if self.over.get().is_some()
            && let Some(thread) = self.thread().take()
        {
            let _ = thread.join();
        }
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn current() -> MutexGuard<'static, Option<Current>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a daemon out. Returns whether it was the last one: then the next daemon gets another driver.
fn leave() -> bool {
    let mut slot = current();
    if let Some(current) = &mut *slot {
        current.daemons -= 1;
        if current.daemons > 0 {
            return false;
        }
    }
    *slot = None;
    true
}

/// Runs daemons until the last one has ended and the runtime is gone; returns what tells of that end.
///
/// They are no tasks of a `LocalSet`: to wake one, that needs thread-local storage, which the main thread no longer has
/// when [`super::exit`] ends the daemons.
fn drive(runtime: Runtime, mut starts: UnboundedReceiver<Start>) -> Option<Tell> {
    let tell = runtime.block_on(async {
        let watches = Watches::default();
        let mut daemons = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(start) = starts.recv() => daemons.push(start(watches.clone())),
                Some(tell) = daemons.next(), if !daemons.is_empty() => {
                    if leave() {
                        return Some(tell);
                    }
                    tell();
                }
                else => return None,
            }
        }
    });
    runtime.shutdown_timeout(RUNTIME_GRACE);
    tell
}
