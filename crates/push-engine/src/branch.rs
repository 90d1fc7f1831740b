//! The followed branch as the daemon sees it: every access to the repository runs on a blocking thread, because a disk may
//! be slow.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use git_local::LocalError;
use git_local::config::Environment;
use git_local::repository::{Formats, LocalBranch, ObjectStore, Repository, Survey, Target};
use git_wire::oid::Oid;
use tokio::task::{JoinError, spawn_blocking};

use crate::daemon::Branch;
use crate::failure::Failure;
use crate::watch::RefWatcher;

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
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut LocalBranch) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T, Failure> {
        let branch = Arc::clone(&self.branch);
        let (target, environment) = (self.target.clone(), self.environment.clone());
        let formats = self.formats.clone();
        let asked = blocking(move || {
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
            answer
        });
        asked.await.map_err(Failure::from)
    }

    /// The object directories, found anew: surveys of the branch need not wait for one who reads them. Call it on a thread that
    /// may block.
    ///
    /// # Errors
    ///
    /// Fails if the repository is gone.
    pub fn objects(&self) -> Result<ObjectStore, LocalError> {
        let repository = Repository::open(Some(&self.target.git_dir), &self.environment)?;
        Ok(repository.objects().clone())
    }

    fn close(&self) {
        *self.branch.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Runs a closure that may block on a thread for that. It logs as the caller does.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LocalError> + Send + 'static,
) -> Result<T, LocalError> {
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let working = spawn_blocking(move || tracing::dispatcher::with_default(&dispatch, work));
    working.await.unwrap_or_else(|panic| Err(panicked(&panic)))
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
    /// Starts to follow the branch.
    #[must_use]
    pub fn start(branch: SharedBranch, common_dir: &Path, watch: bool) -> Self {
        let watcher = watch.then(|| {
            let Target { git_dir, refname, .. } = branch.target();
            Arc::new(RefWatcher::start(common_dir, git_dir, refname))
        });
        Self {
            branch,
            watcher: RefCell::new(watcher),
        }
    }
}

impl Branch for WatchedBranch {
    async fn survey(&self, remote: Option<Oid>) -> Result<Survey, Failure> {
        let watcher = self.watcher.borrow().clone();
        let survey = self.branch.ask(move |branch| {
            // Armed before the ref is read: a later change wakes the daemon.
            if let Some(watcher) = watcher {
                watcher.rearm();
            }
            branch.survey(remote)
        });
        survey.await
    }

    async fn tip(&self) -> Result<Option<Oid>, Failure> {
        self.branch.ask(|branch| branch.tip()).await
    }

    async fn contains(&self, ancestor: Oid, descendant: Oid) -> bool {
        self.branch
            .ask(move |branch| branch.repository().is_ancestor_or_same(ancestor, descendant))
            .await
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
        // This waits for a survey in progress, which holds the watcher.
        self.branch.close();
        if let Some(watcher) = self.watcher.take() {
            // Closing may take the kernel a while.
            let _ = spawn_blocking(move || drop(watcher)).await;
        }
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
