//! The tasks that outlive a single attempt: children to reap, remotes that are finishing.

use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::instrument::WithSubscriber;

use super::child::KILL_GRACE;

/// How long `stop()` waits for a server's work after a confirmed push; that work continues without the daemon.
const AFTERMATH: Duration = Duration::from_secs(2);

/// The tasks of one daemon. They end with it.
#[derive(Debug, Clone, Default)]
pub struct Background {
    tasks: TaskTracker,
    dismissal: CancellationToken,
    end: CancellationToken,
}

impl Background {
    /// Starts a task that must end soon after [`Background::ended`] resolves. It logs as the caller does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_boxed(Box::pin(task));
    }

    /// One type of future, so that what runs a task is compiled once: 20 KB of the addon.
    fn spawn_boxed(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(task.with_current_subscriber());
    }

    /// Resolves when tasks should stop waiting for work that goes on without the daemon: a server that has confirmed a
    /// push runs its hooks whether or not the connection stays open.
    pub(crate) async fn dismissed(&self) {
        self.dismissal.cancelled().await;
    }

    /// Resolves when every task must end.
    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Waits until every task has ended by itself, but only briefly for work that goes on without the daemon. At the
    /// deadline it ends the rest, which takes a fraction of a second.
    pub async fn close(&self, deadline: Instant) {
        self.tasks.close();
        let dismissal = deadline.min(Instant::now() + AFTERMATH);
        if timeout_at(dismissal, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.dismissal.cancel();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            self.end.cancel();
            // A child that cannot even be killed (uninterruptible I/O) must not delay `stop()`.
            if timeout(KILL_GRACE * 2, self.tasks.wait()).await.is_err() {
                tracing::warn!("a child process could not be ended in time");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    async fn time_to_close(background: &Background, deadline: Duration) -> Duration {
        let before = Instant::now();
        background.close(before + deadline).await;
        Instant::now() - before
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_goes_on_by_itself_is_awaited_briefly_and_the_rest_until_the_deadline() {
        let distant = Background::default();
        let task = distant.clone();
        distant.spawn(async move { task.dismissed().await });
        assert_eq!(time_to_close(&distant, DEADLINE).await, AFTERMATH);

        let local = Background::default();
        let task = local.clone();
        local.spawn(async move { task.ended().await });
        assert_eq!(time_to_close(&local, DEADLINE).await, DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_applies() {
        let distant = Background::default();
        let task = distant.clone();
        distant.spawn(async move { task.dismissed().await });
        let deadline = AFTERMATH / 2;
        assert_eq!(time_to_close(&distant, deadline).await, deadline);
    }
}
