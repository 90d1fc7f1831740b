//! How many slow things the daemons of a process do at once, so that a thousand of them take few threads and children.
//!
//! Something that hangs keeps its turn only briefly: then the next daemon gets it, and the process has one thread more for
//! as long as the hang lasts. A daemon waits for its own reads, never for those of another that hangs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::spawn;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::instrument::WithSubscriber;

/// Reads of repositories and configuration, each on a thread.
static READS: Turns = Turns::new(8, Duration::from_secs(3));

/// Packs, each made on a thread, which waits while the remote takes nothing. Making one may well take seconds.
static PACKS: Turns = Turns::new(4, Duration::from_secs(10));

/// Look-ups of names, each on a thread. If the resolver does not answer, all of them take its whole time limit.
static NAMES: Turns = Turns::new(4, Duration::from_secs(5));

/// Attempts, each with up to two child processes and a connection.
pub(crate) static ATTEMPTS: Turns = Turns::new(32, Duration::from_secs(1));

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

    /// Runs a closure on a blocking thread. It logs as the caller does.
    async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let blocking =
            async { spawn_blocking(move || tracing::dispatcher::with_default(&dispatch, work)).await };
        self.run(blocking).await
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
    /// The closure has panicked.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let lane = Arc::clone(&self.0);
        let reading = async move {
            // The semaphore is never closed.
            let lane = lane.acquire_owned().await.ok();
            let work = move || {
                // Kept until the work has ended, even if the caller has given up.
                let _lane = lane;
                work()
            };
            READS.block(work).await
        };
        // A task of its own: the caller may wait for a second read before it goes on with this one.
        AbortOnDropHandle::new(spawn(reading.with_current_subscriber())).await?
    }
}

/// Runs a closure that makes a pack, on a blocking thread.
///
/// # Errors
///
/// The closure has panicked.
pub(crate) async fn pack<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    PACKS.block(work).await
}

/// Looks up the addresses of a host.
///
/// # Errors
///
/// Those of the system's resolver.
pub(crate) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    NAMES
        .run(async { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::rc::Rc;

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
        let mut first = Box::pin(one.read(move || hanging.recv().is_ok()));
        assert!(timeout(KEPT_FOR / 100, &mut first).await.is_err());
        // The first is not polled any more, but still under way.
        let mut second = Box::pin(one.read(|| ()));
        assert!(timeout(KEPT_FOR / 100, &mut second).await.is_err());
        other.read(|| ()).await.expect("no panic");
        go_on.send(()).expect("it waits");
        second.await.expect("no panic");
        assert!(first.await.expect("no panic"));
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
