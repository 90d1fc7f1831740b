//! Tells a slow remote from one that hangs: every byte in either direction is a sign of life.
//!
//! After a push was sent, the remote has work to do. If its keep-alives arrive directly, silence still means a hang. A proxy
//! that buffers answers holds the keep-alives back, so there only the report counts, which has a limit of its own.
//!
//! The last bytes of a push are written long before they arrive: megabytes fit into the buffers of sockets and of ssh, and
//! drain unseen. The remote is silent meanwhile, so the limit of silence is extended by the time that a slow link may need.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::failure::{Failure, Kind};

/// What is awaited, for the messages of failures.
pub(super) const ADVERTISING: &str = "before the remote had listed its refs";
pub(super) const PUSHING: &str = "before the remote reported the result";

/// TCP keep-alive: the first probe after this much silence, the interval of further probes, and the number of unanswered
/// probes after which the peer is dead: a minute and a half in all. The kernel of a live peer answers even if its program
/// is busy.
pub(super) const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
pub(super) const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
pub(super) const KEEPALIVE_TRIES: u32 = 4;

/// How many bytes may be in buffers on the way: Linux lets a socket's buffer for sending grow to 4 MiB, and the window of
/// OpenSSH has 2 MiB.
const MOST_BUFFERED: u64 = 4 * 1024 * 1024;

/// The slowest link that is expected to move, in bytes per second.
const SLOWEST_LINK: u64 = 8 * 1024;

/// When a connection last moved a byte, and when its request was sent completely.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    moved: Arc<Mutex<Moved>>,
    sent: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Moved {
    /// When the last byte was written or received.
    last: Instant,
    /// The bytes of the request that may not have arrived yet.
    on_the_way: u64,
}

impl Moved {
    /// How long the bytes on the way may take to arrive.
    fn draining(self) -> Duration {
        let milliseconds = self.on_the_way.min(MOST_BUFFERED) * 1000 / SLOWEST_LINK;
        Duration::from_millis(milliseconds)
    }
}

/// How long an exchange may take while nothing is received; `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Without a byte in either direction.
    pub(super) idle: Option<Duration>,
    /// From the last byte sent to the report.
    pub(super) report: Option<Duration>,
    /// Whether the remote's keep-alives arrive directly, so that `idle` applies while the report is awaited.
    pub(super) hears_keepalives: bool,
}

impl Limits {
    /// Limits silence alone.
    pub(super) const fn of_silence(idle: Option<Duration>) -> Self {
        Self {
            idle,
            report: None,
            hears_keepalives: true,
        }
    }

    /// When the next limit is reached unless something moves, and the failure that it means.
    fn next(&self, moved: Moved, sent: Option<Instant>, awaited: &str) -> Option<(Instant, Failure)> {
        let draining = sent.map_or(Duration::ZERO, |_| moved.draining());
        let idle = self.idle.filter(|_| sent.is_none() || self.hears_keepalives);
        let silent = idle.map(|limit| {
            let seconds = limit.as_secs_f64();
            (
                moved.last + limit + draining,
                format!("the connection was idle for {seconds} s {awaited}"),
            )
        });
        let unreported = sent.zip(self.report).map(|(sent, limit)| {
            let seconds = limit.as_secs_f64();
            (
                sent + limit,
                format!(
                    "the remote did not report the result within {seconds} s (if its hooks take longer, raise reportTimeoutMs)"
                ),
            )
        });
        let (at, message) = silent.into_iter().chain(unreported).min_by_key(|&(at, _)| at)?;
        Some((at, Failure::new(Kind::Timeout, message)))
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            moved: Arc::new(Mutex::new(Moved {
                last: Instant::now(),
                on_the_way: 0,
            })),
            sent: watch::Sender::new(None),
        }
    }

    /// Records a sign of life.
    pub(super) fn touch(&self) {
        self.update(|_| ());
    }

    fn wrote(&self, bytes: usize) {
        self.update(|moved| moved.on_the_way += bytes as u64);
    }

    /// The remote answers a request only once it has read it.
    fn received(&self) {
        let is_sent = self.is_sent();
        let mut has_arrived = false;
        self.update(|moved| {
            has_arrived = is_sent && std::mem::take(&mut moved.on_the_way) > 0;
        });
        if has_arrived {
            // The limit is reached earlier now.
            self.sent.send_modify(|_| ());
        }
    }

    fn update(&self, change: impl FnOnce(&mut Moved)) {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.last = Instant::now();
        change(&mut moved);
    }

    fn moved(&self) -> Moved {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the whole request was sent.
    pub(super) fn sent(&self) {
        self.sent.send_replace(Some(Instant::now()));
    }

    /// Whether the whole request has left.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.borrow().is_some()
    }

    /// Records that there is something to send, for the first time or again.
    pub(super) fn unsent(&self) {
        self.touch();
        self.sent.send_replace(None);
    }

    /// Runs a future until it ends or reaches one of the limits. `awaited` completes the message about silence.
    pub(super) async fn guard<F: Future>(
        &self,
        limits: Limits,
        awaited: &str,
        future: F,
    ) -> Result<F::Output, Failure> {
        self.touch();
        let mut sent = self.sent.subscribe();
        let mut future = pin!(future);
        loop {
            let next = limits.next(self.moved(), *sent.borrow_and_update(), awaited);
            let deadline = next.as_ref().map(|&(deadline, _)| deadline);
            if let Some((deadline, failure)) = next
                && deadline <= Instant::now()
            {
                return Err(failure);
            }
            let reached = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                output = &mut future => return Ok(output),
                _ = sent.changed() => {}
                () = reached => {}
            }
        }
    }
}

/// A reader or writer of which every byte is a sign of life.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: T,
    activity: Activity,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, activity: &Activity) -> Self {
        Self {
            inner,
            activity: activity.clone(),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if polled.is_ready() {
            self.activity.received();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(written) = &polled {
            self.activity.wrote(*written.as_ref().unwrap_or(&0));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A request is flushed once, when all of it was written.
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        if let Poll::Ready(Ok(())) = polled {
            self.activity.sent();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::sleep;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(10));

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_does_not_hang() {
        let (mut peer, end) = tokio::io::duplex(16);
        let activity = Activity::new();
        let mut end = Watched::new(end, &activity);
        tokio::spawn(async move {
            for _ in 0..5 {
                sleep(Duration::from_secs(9)).await;
                peer.write_all(b"x").await.expect("open");
            }
        });
        let mut read = Vec::new();
        let guarded = activity.guard(Limits::of_silence(LIMIT), ADVERTISING, end.read_to_end(&mut read));
        guarded.await.expect("no timeout").expect("read");
        assert_eq!(read, b"xxxxx");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_hangs() {
        let (_peer, end) = tokio::io::duplex(16);
        let activity = Activity::new();
        let mut end = Watched::new(end, &activity);
        let before = Instant::now();
        let guarded = activity.guard(Limits::of_silence(LIMIT), ADVERTISING, end.read_u8());
        assert_eq!(guarded.await.expect_err("silence").kind(), Kind::Timeout);
        assert_eq!(Instant::now() - before, Duration::from_secs(10));
    }

    const LIMITS: Limits = Limits {
        idle: LIMIT,
        report: Some(Duration::from_secs(60)),
        hears_keepalives: true,
    };

    /// When and why a push ends that sends everything after five seconds and receives nothing more.
    async fn end_of(limits: Limits) -> (u64, String) {
        let activity = Activity::new();
        let before = Instant::now();
        let pushing = async {
            sleep(Duration::from_secs(5)).await;
            activity.sent();
            std::future::pending::<()>().await;
        };
        let failure = activity.guard(limits, PUSHING, pushing).await;
        let message = failure.expect_err("silence").message().to_owned();
        (before.elapsed().as_secs(), message)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_the_last_byte_is_a_hang_only_where_keepalives_are_received() {
        let buffered = Limits {
            hears_keepalives: false,
            ..LIMITS
        };
        let short = Limits {
            report: Some(Duration::from_secs(2)),
            ..LIMITS
        };
        for (limits, seconds, text) in [
            (LIMITS, 10, "was idle for 10 s"),
            (buffered, 65, "did not report the result within 60 s"),
            (short, 7, "did not report the result within 2 s"),
        ] {
            let (elapsed, message) = end_of(limits).await;
            assert_eq!(elapsed, seconds, "{message}");
            assert!(message.contains(text), "{message}");
        }
    }

    /// When a push of this size ends whose remote sends `answer` after five seconds, and nothing more.
    async fn end_of_push(size: usize, answer: &'static [u8]) -> u64 {
        let (mut peer, end) = tokio::io::duplex(8 * 1024 * 1024);
        let activity = Activity::new();
        let mut end = Watched::new(end, &activity);
        let limits = Limits {
            report: Some(Duration::from_secs(900)),
            ..LIMITS
        };
        let before = Instant::now();
        let pushing = async {
            end.write_all(&vec![0; size]).await.expect("open");
            end.flush().await.expect("open");
            sleep(Duration::from_secs(5)).await;
            peer.write_all(answer).await.expect("open");
            end.read_to_end(&mut Vec::new()).await
        };
        let ended = activity.guard(limits, PUSHING, pushing).await;
        let failure = ended.expect_err("silence");
        assert!(failure.message().contains("was idle for 10 s"), "{failure}");
        before.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn buffers_have_time_to_drain_until_the_remote_answers() {
        let mebibyte = 1024 * 1024;
        for (size, answer, seconds) in [
            (100, &b""[..], 10),
            (mebibyte, b"", 10 + 128),
            (4 * mebibyte, b"", 10 + 512),
            // More than fits into the buffers.
            (6 * mebibyte, b"", 10 + 512),
            // The remote has read the request.
            (mebibyte, b"0", 5 + 10),
        ] {
            assert_eq!(end_of_push(size, answer).await, seconds, "{size} {answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_before_the_last_byte_is_always_a_hang() {
        let limits = Limits {
            hears_keepalives: false,
            ..LIMITS
        };
        let activity = Activity::new();
        activity.sent();
        activity.unsent();
        let silent = activity
            .guard(limits, PUSHING, std::future::pending::<()>())
            .await;
        let failure = silent.expect_err("silence");
        assert!(failure.message().contains("was idle for 10 s"), "{failure}");
    }
}
