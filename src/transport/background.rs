//! Whatever outlives a single attempt: children that are being reaped, remotes that are finishing.

use std::future::Future;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::child::KILL_GRACE;

/// The tasks of one daemon, which end with it.
#[derive(Debug, Clone, Default)]
pub struct Background {
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Background {
    /// Starts a task that must end soon after [`Background::ended`] resolves.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Resolves when everything is to be cut off.
    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Waits until everything has ended by itself; what has not at the deadline is cut off, which takes a
    /// fraction of a second.
    pub async fn close(&self, deadline: Instant) {
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            self.end.cancel();
            // A child that cannot even be killed (uninterruptible I/O) must not hold `stop()` up.
            if timeout(KILL_GRACE * 2, self.tasks.wait()).await.is_err() {
                tracing::warn!("a child process could not be ended in time");
            }
        }
    }
}
