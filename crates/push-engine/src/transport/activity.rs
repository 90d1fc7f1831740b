//! Tells a slow remote from one that hangs: every byte in either direction is a sign of life.
//!
//! After a push was sent, the remote has work to do. If its keep-alives arrive directly, silence still means a hang. A proxy
//! that buffers answers holds the keep-alives back, so there only the report counts, which has a limit of its own.

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

/// When a connection last moved a byte, and when its request was sent completely.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    last: Arc<Mutex<Instant>>,
    sent: watch::Sender<Option<Instant>>,
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
    fn next(&self, last: Instant, sent: Option<Instant>, awaited: &str) -> Option<(Instant, Failure)> {
        let idle = self.idle.filter(|_| sent.is_none() || self.hears_keepalives);
        let silent = idle.map(|limit| {
            let seconds = limit.as_secs_f64();
            (
                last + limit,
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
            last: Arc::new(Mutex::new(Instant::now())),
            sent: watch::Sender::new(None),
        }
    }

    /// Records a sign of life.
    pub(super) fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
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
            let next = limits.next(self.last(), *sent.borrow_and_update(), awaited);
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
            self.activity.touch();
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
        if polled.is_ready() {
            self.activity.touch();
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
