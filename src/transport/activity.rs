//! Tells a slow remote from one that hangs: every byte in either direction counts as a sign of life.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// When a connection last moved a byte.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Leaves a sign of life.
    pub(super) fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a future until it ends, or until nothing has moved for `limit`: then `None`.
    pub(super) async fn guard<F: Future>(&self, limit: Option<Duration>, future: F) -> Option<F::Output> {
        let Some(limit) = limit else {
            return Some(future.await);
        };
        self.touch();
        let mut future = pin!(future);
        loop {
            let deadline = self.last() + limit;
            tokio::select! {
                biased;
                output = &mut future => return Some(output),
                () = sleep_until(deadline) => {
                    if self.last() + limit <= Instant::now() {
                        return None;
                    }
                }
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
        Pin::new(&mut self.inner).poll_flush(context)
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
}
