//! Remote-tracking refs in a reftable: git itself writes them, after the attempt, which does not wait for it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git_local::config::Environment;
use git_local::repository::RefUpdate;

use crate::transport::{Background, command, communicate};

/// Writes one update at a time. Of those that come meanwhile, only the last counts.
#[derive(Debug, Clone)]
pub(super) struct TrackingWriter {
    root: PathBuf,
    environment: Environment,
    background: Background,
    next: Arc<Mutex<Option<RefUpdate>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl TrackingWriter {
    pub(super) fn new(root: PathBuf, environment: Environment, background: Background) -> Self {
        Self {
            root,
            environment,
            background,
            next: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Begins to write, if there is something to write.
    pub(super) fn write(&self, update: Option<RefUpdate>) {
        let Some(update) = update else { return };
        *self.next() = Some(update);
        let writer = self.clone();
        self.background.spawn(async move {
            let _turn = writer.turn.lock().await;
            let next = writer.next().take();
            if let Some(update) = next {
                writer.run(&update).await;
            }
        });
    }

    async fn run(&self, update: &RefUpdate) {
        let ended = async {
            let mut command = command(OsStr::new("git"), &self.root, &self.environment)?;
            command.args(update.arguments());
            communicate(command, Vec::new(), &self.background).await
        };
        match ended.await {
            Ok(output) if output.stderr.is_empty() => {}
            Ok(output) => {
                tracing::warn!(
                    stderr = output.stderr,
                    "git could not update the remote-tracking ref"
                );
            }
            Err(error) => tracing::warn!(%error, "git could not be run to update the remote-tracking ref"),
        }
    }

    fn next(&self) -> MutexGuard<'_, Option<RefUpdate>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
