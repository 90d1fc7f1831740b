//! The followed branch as the daemon sees it: every access to the repository runs on a blocking thread, because a disk may
//! be slow.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use git_local::LocalError;
use git_local::config::Environment;
use git_local::repository::{Formats, LocalBranch, ObjectStore, Repository, Survey, Target};
use git_wire::oid::Oid;
use tokio::task::JoinError;
use tokio::time::timeout;

use crate::daemon::Branch;
use crate::failure::Failure;
use crate::turns::{self, Lane};
use crate::watch::{RefWatcher, Watches};

/// How long closing waits for a read that is under way. One that hangs ends by itself, when the disk answers.
const CLOSE_LIMIT: Duration = Duration::from_millis(100);

/// How long the daemon waits to learn whether it can answer a request. It does nothing else meanwhile.
const CONTAINS_LIMIT: Duration = Duration::from_secs(30);

/// The formats that the repository was last found to have, for the status.
#[derive(Debug, Clone, Default)]
pub struct FormatsNote(Arc<Mutex<Formats>>);

impl FormatsNote {
    /// Starts with these.
    #[must_use]
    pub fn new(formats: Formats) -> Self {
        Self(Arc::new(Mutex::new(formats)))
    }

    /// The last ones.
    #[must_use]
    pub fn get(&self) -> Formats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, formats: Formats) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = formats;
    }
}

/// A [`LocalBranch`] that the daemon's thread can use. It is opened at first use, and again after each failure, since
/// the repository may have been replaced.
#[derive(Debug, Clone)]
pub struct SharedBranch {
    target: Target,
    environment: Environment,
    branch: Arc<Mutex<Option<LocalBranch>>>,
    formats: FormatsNote,
    lane: Lane,
}

impl SharedBranch {
    /// Follows a branch as git does in an environment.
    #[must_use]
    pub fn new(target: Target, environment: Environment, formats: FormatsNote) -> Self {
        Self {
            target,
            environment,
            branch: Arc::default(),
            formats,
            lane: Lane::default(),
        }
    }

    /// The followed branch.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Calls `question` on a blocking thread.
    ///
    /// # Errors
    ///
    /// Fails if the repository cannot be opened, or `question` fails.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut LocalBranch) -> Result<T, LocalError> + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send {
        let branch = Arc::clone(&self.branch);
        let (target, environment) = (self.target.clone(), self.environment.clone());
        let formats = self.formats.clone();
        self.read(move || {
            let mut branch = branch.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match &mut *branch {
                Some(open) => open,
                closed => closed.insert(LocalBranch::open(target, environment)?),
            };
            let answer = open.refresh().and_then(|()| question(open));
            formats.set(open.repository().formats());
            if answer.is_err() {
                *branch = None;
            }
            answer.map_err(Failure::from)
        })
    }

    /// Reads files on a blocking thread, after this daemon's earlier reads.
    pub(crate) fn read<T: Send + 'static, E: Into<Failure> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send {
        self.lane.read(move || work().map_err(E::into))
    }

    /// Opens the repository anew: surveys of the branch do not wait for this reader. Call it on a thread that may block.
    ///
    /// # Errors
    ///
    /// Fails if the repository is gone.
    pub fn open(&self) -> Result<Repository, LocalError> {
        Ok(Repository::open(Some(&self.target.git_dir), &self.environment)?)
    }

    /// The object directories, found anew. Call it on a thread that may block.
    ///
    /// # Errors
    ///
    /// Fails if the repository is gone.
    pub fn objects(&self) -> Result<ObjectStore, LocalError> {
        Ok(self.open()?.objects().clone())
    }
}

/// The error in place of the result of a task that panicked.
pub(crate) fn panicked(panic: &JoinError) -> LocalError {
    LocalError::new(format!("a bug: {panic}"))
}

/// The branch with its watcher.
pub struct WatchedBranch {
    branch: SharedBranch,
    /// `None` if the caller turned watching off, and after `close`.
    watcher: RefCell<Option<Arc<RefWatcher>>>,
}

impl WatchedBranch {
    /// Starts to follow the branch, within a tokio runtime. It is watched from the first read on, unless `shared` is `None`.
    #[must_use]
    pub fn start(branch: SharedBranch, common_dir: &Path, shared: Option<&Watches>) -> Self {
        let watcher = shared.map(|shared| {
            let Target { git_dir, refname, .. } = branch.target();
            Arc::new(RefWatcher::start(shared, common_dir, git_dir, refname))
        });
        Self {
            branch,
            watcher: RefCell::new(watcher),
        }
    }

    /// Asks a question whose answer is the tip, or comes of it.
    async fn ask_armed<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut LocalBranch) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T, Failure> {
        let watcher = self.watcher.borrow().clone();
        let asked = self.branch.ask(move |branch| {
            // Armed before the ref is read: a later change wakes the daemon.
            if let Some(watcher) = watcher {
                watcher.rearm();
            }
            question(branch)
        });
        asked.await
    }
}

impl Branch for WatchedBranch {
    async fn survey(&self, remote: Option<Oid>) -> Result<Survey, Failure> {
        self.ask_armed(move |branch| branch.survey(remote)).await
    }

    async fn tip(&self) -> Result<Option<Oid>, Failure> {
        self.ask_armed(|branch| branch.tip()).await
    }

    async fn count(&self) -> Result<Survey, Failure> {
        let (target, environment) = (self.branch.target.clone(), self.branch.environment.clone());
        let counted = turns::pack(move || LocalBranch::open(target, environment)?.survey(None));
        Ok(counted.await?)
    }

    async fn contains(&self, ancestor: Oid, descendant: Oid) -> bool {
        let asked = self
            .branch
            .ask(move |branch| branch.repository().is_ancestor_or_same(ancestor, descendant));
        let answer = timeout(CONTAINS_LIMIT, asked).await;
        answer
            .unwrap_or_else(|_| Err(Failure::timed_out("the disk did not answer", CONTAINS_LIMIT)))
            .unwrap_or_else(|failure| {
                tracing::debug!(%failure, "the history could not be read");
                false
            })
    }

    async fn last_known_remote(&self) -> Option<Oid> {
        self.branch
            .ask(|branch| branch.last_known_remote())
            .await
            .unwrap_or_default()
    }

    async fn changed(&self) {
        let watcher = self.watcher.borrow().clone();
        match watcher {
            Some(watcher) => watcher.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        let watcher = self.watcher.take();
        let branch = Arc::clone(&self.branch.branch);
        let closed = self.branch.read(move || {
            drop(watcher);
            *branch.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Ok::<_, LocalError>(())
        });
        // Otherwise both end with the read that hangs.
        let _ = timeout(CLOSE_LIMIT, closed).await;
    }
}

#[cfg(test)]
mod tests {
    use git_local::repository::testing::Sandbox;

    use super::*;

    #[tokio::test]
    async fn without_file_events_each_commit_is_found_at_the_next_poll() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let target = Target {
            git_dir: work.join(".git"),
            refname: "refs/heads/main".to_owned(),
            remote_name: None,
        };
        let branch = WatchedBranch {
            branch: SharedBranch::new(target, Environment::default(), FormatsNote::default()),
            watcher: RefCell::new(Some(Arc::new(RefWatcher::without_events()))),
        };
        branch.survey(None).await.expect("readable");
        for message in ["one", "two"] {
            let tip = sandbox.commit(&work, message);
            branch.changed().await;
            let survey = branch.survey(None).await.expect("readable");
            assert_eq!(survey.tip, Some(tip));
        }
        branch.close().await;
    }
}
