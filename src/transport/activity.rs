//! Tells a slow remote from one that hangs: every byte in either direction counts as a sign of life.
//!
//! Once a push has left, the remote has work to do. Where its keep-alives come directly, silence is still a hang; a proxy
//! that gathers an answer holds them back, so that there the report alone counts, which has a limit of its own.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// When a connection last moved a byte, and when its request had left.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    last: Arc<Mutex<Instant>>,
    sent: watch::Sender<Option<Instant>>,
}

/// How long a push may take where nothing is heard; `None` is without limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct PushLimits {
    /// Without a byte in either direction.
    pub(super) idle: Option<Duration>,
    /// From the last byte sent to the report.
    pub(super) report: Option<Duration>,
    /// Whether the remote's keep-alives come directly, so that `idle` counts while the report is awaited.
    pub(super) hears_keepalives: bool,
}

/// The limit that a push has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Silent(Duration),
    Unreported(Duration),
}

impl PushLimits {
    /// The next limit, and when it is reached unless something moves.
    fn next(&self, last: Instant, sent: Option<Instant>) -> Option<(Instant, Overdue)> {
        let idle = self.idle.filter(|_| sent.is_none() || self.hears_keepalives);
        let idle = idle.map(|limit| (last + limit, Overdue::Silent(limit)));
        let report = sent.zip(self.report);
        let report = report.map(|(sent, limit)| (sent + limit, Overdue::Unreported(limit)));
        [idle, report].into_iter().flatten().min_by_key(|&(at, _)| at)
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            sent: watch::Sender::new(None),
        }
    }

    /// Leaves a sign of life.
    pub(super) fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the whole request has left.
    pub(super) fn sent(&self) {
        self.sent.send_replace(Some(Instant::now()));
    }

    /// Whether the whole request has left.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.borrow().is_some()
    }

    /// Notes that there is something to send, for the first time or once more.
    pub(super) fn unsent(&self) {
        self.touch();
        self.sent.send_replace(None);
    }

    /// Runs a future until it ends, or until nothing has moved for `limit`: then `None`.
    pub(super) async fn guard<F: Future>(&self, limit: Option<Duration>, future: F) -> Option<F::Output> {
        let limits = PushLimits {
            idle: limit,
            report: None,
            hears_keepalives: true,
        };
        self.guard_push(limits, future).await.ok()
    }

    /// Runs a push until it ends or reaches one of its limits.
    pub(super) async fn guard_push<F: Future>(
        &self,
        limits: PushLimits,
        future: F,
    ) -> Result<F::Output, Overdue> {
        self.touch();
        let mut sent = self.sent.subscribe();
        let mut future = pin!(future);
        loop {
            let next = limits.next(self.last(), *sent.borrow_and_update());
            if let Some((deadline, overdue)) = next
                && deadline <= Instant::now()
            {
                return Err(overdue);
            }
            let reached = async {
                match next {
                    Some((deadline, _)) => sleep_until(deadline).await,
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

/// A reader or writer that leaves a sign of life with every byte.
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
        // A request is flushed once all of it was written, and at no other time.
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
    async fn a_slow_peer_is_no_hang() {
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
        activity
            .guard(LIMIT, end.read_to_end(&mut read))
            .await
            .expect("no timeout")
            .expect("read");
        assert_eq!(read, b"xxxxx");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_a_hang() {
        let (_peer, end) = tokio::io::duplex(16);
        let activity = Activity::new();
        let mut end = Watched::new(end, &activity);
        let before = Instant::now();
        assert!(activity.guard(LIMIT, end.read_u8()).await.is_none());
        assert_eq!(Instant::now() - before, Duration::from_secs(10));
    }

    const LIMITS: PushLimits = PushLimits {
        idle: LIMIT,
        report: Some(Duration::from_secs(60)),
        hears_keepalives: true,
    };

    /// When a push ends that has sent everything after five seconds and hears nothing more.
    async fn end_of(limits: PushLimits) -> (Overdue, u64) {
        let activity = Activity::new();
        let before = Instant::now();
        let pushing = async {
            sleep(Duration::from_secs(5)).await;
            activity.sent();
            std::future::pending::<()>().await;
        };
        let overdue = activity.guard_push(limits, pushing).await.expect_err("silence");
        (overdue, before.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_the_last_byte_is_a_hang_only_where_keepalives_are_heard() {
        let (idle, report) = (Duration::from_secs(10), Duration::from_secs(60));
        assert_eq!(end_of(LIMITS).await, (Overdue::Silent(idle), 10));
        let buffered = PushLimits {
            hears_keepalives: false,
            ..LIMITS
        };
        assert_eq!(end_of(buffered).await, (Overdue::Unreported(report), 65));
        let short = PushLimits {
            report: Some(Duration::from_secs(2)),
            ..LIMITS
        };
        assert_eq!(
            end_of(short).await,
            (Overdue::Unreported(Duration::from_secs(2)), 7)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_before_the_last_byte_is_a_hang_everywhere() {
        let limits = PushLimits {
            hears_keepalives: false,
            ..LIMITS
        };
        let activity = Activity::new();
        activity.sent();
        activity.unsent();
        let silent = activity.guard_push(limits, std::future::pending::<()>()).await;
        assert_eq!(silent, Err(Overdue::Silent(Duration::from_secs(10))));
    }
}
