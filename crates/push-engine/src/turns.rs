//! How many slow things the daemons of a process do at once, so that a thousand of them take few threads and children.
//!
//! Something that hangs keeps its turn only briefly: then the next daemon gets it. A daemon waits for its own reads, never
//! for those of another that hangs.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use git_local::LocalError;
use tokio::spawn;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::instrument::WithSubscriber;

use crate::branch::panicked;
use crate::failure::Failure;

/// The blocking threads that the runtime of the daemons may have. They are nearly twice what `READS`, `PACKS` and
/// `NAMES` use at once: so many may hang before work gets a thread of its own.
pub const THREADS: usize = 31;

/// The name of the daemons' threads, as it shows in `/proc` and in debuggers.
pub const THREAD_NAME: &str = "git-push-daemon";

/// Reads of repositories and configuration, each on a thread.
static READS: Turns = Turns::new(8, Duration::from_secs(3));

/// Packs, each made on a thread, which waits while the remote takes nothing. Making one may well take seconds.
static PACKS: Turns = Turns::new(4, Duration::from_secs(10));

/// Look-ups of names, each on a thread. If the resolver does not answer, all of them take its whole time limit.
static NAMES: Turns = Turns::new(4, Duration::from_secs(5));

/// Attempts, each with up to two child processes and a connection.
pub(crate) static ATTEMPTS: Turns = Turns::new(32, Duration::from_secs(1));

/// Readings of remotes while in sync, which must not delay pushes.
pub(crate) static VERIFICATIONS: Turns = Turns::new(8, Duration::from_secs(1));

/// How many threads are blocked, or about to be.
static BLOCKED: AtomicUsize = AtomicUsize::new(0);

/// Counts a blocked thread until it is dropped.
struct Blocked;

impl Blocked {
    /// Also returns how many there were before.
    fn count() -> (Self, usize) {
        (Self, BLOCKED.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        BLOCKED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number of turns.
pub(crate) struct Turns {
    free: Semaphore,
    /// What takes longer no longer counts.
    kept_for: Duration,
}

impl Turns {
    const fn new(at_once: usize, kept_for: Duration) -> Self {
        Self {
            free: Semaphore::const_new(at_once),
            kept_for,
        }
    }

    /// Runs a future when there is a turn for it, in the order of the calls.
    pub(crate) async fn run<F: Future>(&self, future: F) -> F::Output {
        // The semaphore is never closed.
        let turn = self.free.acquire().await.ok();
        let mut future = pin!(future);
        if let Ok(output) = timeout(self.kept_for, &mut future).await {
            return output;
        }
        drop(turn);
        future.await
    }

    /// Runs work on a blocking thread. It logs as the caller does.
    ///
    /// # Errors
    ///
    /// The work has panicked, or the system refuses a thread.
    async fn block(&self, work: Work) -> Result<(), LocalError> {
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let blocking = async {
            let (blocked, others) = Blocked::count();
            let work = move || {
                let _blocked = blocked;
                tracing::dispatcher::with_default(&dispatch, work);
            };
            if others < THREADS {
                return spawn_blocking(work).await.map_err(|panic| panicked(&panic));
            }
            apart(Box::new(work)).await
        };
        self.run(blocking).await
    }
}

/// A closure without its result, so that the futures that wait for it are compiled once for all types of results: 200 KB of
/// the addon.
pub type Work = Box<dyn FnOnce() + Send>;

/// Runs work on a thread of its own.
///
/// # Errors
///
/// The work has panicked, or the system refuses a thread.
pub async fn apart(work: Work) -> Result<(), LocalError> {
    let (end, ended) = oneshot::channel();
    let own = thread::Builder::new().name(THREAD_NAME.to_owned());
    own.spawn(move || {
        work();
        let _ = end.send(());
    })
    .map_err(|error| LocalError::new(format!("the system refuses a thread: {error}")))?;
    ended
        .await
        .map_err(|_| LocalError::new("a bug: a thread panicked"))
}

/// Where the result of work is when it has ended.
struct ResultOf<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> ResultOf<T> {
    fn of(work: impl FnOnce() -> T + Send + 'static) -> (Work, Self) {
        let result = Arc::<Mutex<Option<T>>>::default();
        let place = Arc::clone(&result);
        let work = move || {
            let made = work();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        };
        (Box::new(work), Self(result))
    }
}

impl<T, E: From<LocalError>> ResultOf<Result<T, E>> {
    fn take(&self) -> Result<T, E> {
        let result = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.unwrap_or_else(|| Err(LocalError::new("a bug: work without a result").into()))
    }
}

/// The reads of one daemon, one at a time: a disk that hangs takes one thread, however often the daemon would read.
#[derive(Debug, Clone)]
pub(crate) struct Lane(Arc<Semaphore>);

impl Default for Lane {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Lane {
    /// Runs a closure that reads files, on a blocking thread, after the earlier ones.
    ///
    /// # Errors
    ///
    /// Those of the closure, or that it has panicked.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send {
        let (work, result) = ResultOf::of(work);
        let running = self.run(work);
        async move {
            running.await?;
            result.take()
        }
    }

    fn run(&self, work: Work) -> BoxFuture<'static, Result<(), LocalError>> {
        let lane = Arc::clone(&self.0);
        let reading = async move {
            // The semaphore is never closed.
            let lane = lane.acquire_owned().await.ok();
            let work = move || {
                // Kept until the work has ended, even if the caller has given up.
                let _lane = lane;
                work();
            };
            READS.block(Box::new(work)).await
        };
        let dispatched = reading.with_current_subscriber();
        Box::pin(async move {
            // A task of its own: the caller may wait for a second read before it goes on with this one.
            AbortOnDropHandle::new(spawn(dispatched))
                .await
                .unwrap_or_else(|panic| Err(panicked(&panic)))
        })
    }
}

/// Runs a closure that makes a pack, on a blocking thread.
///
/// # Errors
///
/// Those of the closure, or that it has panicked.
pub(crate) async fn pack<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LocalError> + Send + 'static,
) -> Result<T, LocalError> {
    let (work, result) = ResultOf::of(work);
    PACKS.block(work).await?;
    result.take()
}

/// Looks up the addresses of a host.
///
/// # Errors
///
/// Those of the system's resolver.
pub(crate) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    let (work, result) = ResultOf::of(move || Ok((&*host, port).to_socket_addrs().map(Vec::from_iter)));
    let looked = NAMES.block(work).await.and_then(|()| result.take());
    looked.unwrap_or_else(|failure| Err(io::Error::other(failure.to_string())))
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::rc::Rc;

    use futures_util::StreamExt as _;
    use futures_util::stream::FuturesUnordered;
    use tokio::task::{LocalSet, yield_now};
    use tokio::time::{Instant, sleep};

    use super::*;

    const KEPT_FOR: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn no_more_run_at_once_than_there_are_turns() {
        let turns = Rc::new(Turns::new(2, KEPT_FOR));
        let started = Instant::now();
        LocalSet::new()
            .run_until(async {
                let runs: Vec<_> = (0..6)
                    .map(|_| {
                        let turns = Rc::clone(&turns);
                        tokio::task::spawn_local(async move {
                            turns.run(async { sleep(KEPT_FOR / 2).await }).await;
                        })
                    })
                    .collect();
                for run in runs {
                    run.await.expect("no panic");
                }
            })
            .await;
        assert_eq!(started.elapsed(), 3 * (KEPT_FOR / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_gives_its_turn_to_the_next_and_goes_on() {
        let turns = Rc::new(Turns::new(1, KEPT_FOR));
        let started = Instant::now();
        LocalSet::new()
            .run_until(async {
                let of = Rc::clone(&turns);
                let slow = tokio::task::spawn_local(async move { of.run(sleep(3 * KEPT_FOR)).await });
                let of = Rc::clone(&turns);
                let hangs = tokio::task::spawn_local(async move { of.run(pending::<()>()).await });
                yield_now().await;
                turns.run(async {}).await;
                assert_eq!(started.elapsed(), 2 * KEPT_FOR);
                slow.await.expect("no panic");
                assert_eq!(started.elapsed(), 3 * KEPT_FOR);
                hangs.abort();
            })
            .await;
    }

    #[tokio::test]
    async fn the_reads_of_a_daemon_follow_each_other_and_wait_for_no_other_daemon() {
        let (one, other) = (Lane::default(), Lane::default());
        let (go_on, hanging) = std::sync::mpsc::channel::<()>();
        let mut first = Box::pin(one.read(move || Ok(hanging.recv().is_ok())));
        assert!(timeout(KEPT_FOR / 100, &mut first).await.is_err());
        // The first is not polled any more, but still under way.
        let mut second = Box::pin(one.read(|| Ok(())));
        assert!(timeout(KEPT_FOR / 100, &mut second).await.is_err());
        other.read(|| Ok(())).await.expect("no panic");
        go_on.send(()).expect("it waits");
        second.await.expect("no panic");
        assert!(first.await.expect("no panic"));
    }

    #[test]
    fn work_goes_on_though_more_hangs_than_the_runtime_has_threads() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(THREADS)
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let turns = Turns::new(2 * THREADS, KEPT_FOR);
            let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
            let mut hanging = FuturesUnordered::new();
            let ends: Vec<_> = (0..=THREADS)
                .map(|_| {
                    let (end, ended) = std::sync::mpsc::channel::<()>();
                    let begun = begun.clone();
                    hanging.push(turns.block(Box::new(move || {
                        let _ = begun.send(());
                        let _ = ended.recv();
                    })));
                    end
                })
                .collect();
            for _ in &ends {
                tokio::select! {
                    _ = begins.recv() => {}
                    early = hanging.next() => panic!("{early:?}"),
                }
            }
            drop(ends);
            while let Some(ended) = hanging.next().await {
                ended.expect("no panic");
            }
        });
    }

    #[tokio::test]
    async fn a_panic_of_work_is_an_error() {
        let turns = Turns::new(1, KEPT_FOR);
        let panicked = turns.block(Box::new(|| panic!("a test")));
        let error = panicked.await.expect_err("a panic");
        assert!(error.to_string().contains("a bug"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_cancelled_leaves_its_turn() {
        let turns = Turns::new(1, KEPT_FOR);
        let cancelled = timeout(KEPT_FOR / 2, turns.run(pending::<()>())).await;
        assert!(cancelled.is_err());
        let started = Instant::now();
        turns.run(async {}).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
