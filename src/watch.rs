//! Follows one branch ref with file events, and says only "something may have changed".
//!
//! It never tells the tip: who is woken calls [`RefWatcher::rearm`] and then reads the ref, in this order, so
//! that a change lies either before the reading or behind a watch. Events can be lost (full queues, limits,
//! network file systems), so the owner also polls: every [`POLL_INTERVAL`], or every
//! [`POLL_INTERVAL_WITHOUT_EVENTS`] while [`RefWatcher::is_polling_only`] has a reason.

#[cfg(any(not(target_os = "linux"), test))]
mod anywhere;
#[cfg(target_os = "linux")]
mod linux;
mod paths;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::{Future, pending};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use self::paths::RefPaths;

#[cfg(not(target_os = "linux"))]
use self::anywhere::Notify as System;
#[cfg(target_os = "linux")]
use self::linux::Inotify as System;

/// How often the owner reads the ref where file events work: the time within which a commit is seen even if its
/// event is lost.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the owner reads the ref where file events cannot be relied on.
pub const POLL_INTERVAL_WITHOUT_EVENTS: Duration = Duration::from_millis(200);

/// What to tell where the system watches no more files for this user.
const LIMIT_REACHED: &str = "the limit of file watches is reached (fs.inotify.max_user_watches)";

/// The file events of a system.
trait Events: Send + Sync + Sized {
    /// Begins with no directory.
    ///
    /// # Errors
    ///
    /// Why there are no events to be had.
    fn listen() -> Result<Self, String>;

    /// Watches those of the directories that exist now, as they are now, and no others; why not, where one cannot be
    /// watched. From the top down: each is looked at only once its parent reports its replacement.
    fn arm(&self, paths: &RefPaths) -> Option<String>;

    /// Resolves when one of the files, or a directory that leads to one, may have changed. Cancel-safe.
    fn changed(&self) -> impl Future<Output = ()>;
}

/// Watches the places that can change the value of one ref. Dropping it ends that.
pub struct RefWatcher(Watcher<System>);

struct Watcher<E> {
    common_dir: PathBuf,
    git_dir: PathBuf,
    refname: String,
    /// Absent where the system gives no file events at all.
    events: Option<E>,
    /// What will not change while this repository is open: no events at all, or a network file system.
    unreliable: Option<String>,
    /// Why not all directories could be armed the last time.
    unarmed: Mutex<Option<String>>,
}

impl fmt::Debug for RefWatcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RefWatcher")
            .field("refname", &self.0.refname)
            .field("is_polling_only", &self.is_polling_only())
            .finish_non_exhaustive()
    }
}

impl RefWatcher {
    /// Begins to watch a ref, by its full name, within a runtime of tokio. This never fails: see
    /// [`RefWatcher::is_polling_only`].
    ///
    /// Branches live in `common_dir`; `git_dir` holds the per-worktree refs that a symbolic branch may name.
    #[must_use]
    pub fn start(common_dir: &Path, git_dir: &Path, refname: &str) -> Self {
        Self(Watcher::start(common_dir, git_dir, refname))
    }

    /// Watches the directories that exist now. To be called after each wake and at each poll, *before* the ref is read, on
    /// a thread that may block.
    pub fn rearm(&self) {
        self.0.rearm();
    }

    /// Why file events cannot be relied on, where they cannot: the owner then polls faster. Asked again after each
    /// [`RefWatcher::rearm`], which tries again where a limit was reached.
    #[must_use]
    pub fn is_polling_only(&self) -> Option<String> {
        self.0.is_polling_only()
    }

    /// Resolves when the ref may have changed, often more than once for one change. Cancel-safe.
    pub async fn changed(&self) {
        self.0.changed().await;
    }
}

impl<E: Events> Watcher<E> {
    fn start(common_dir: &Path, git_dir: &Path, refname: &str) -> Self {
        // Some systems report the real path, whatever was asked for.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (common_dir, git_dir) = (real(common_dir), real(git_dir));
        let (events, unreliable) = match E::listen() {
            Ok(events) => (Some(events), paths::why_events_are_unreliable(&common_dir)),
            Err(reason) => (None, Some(reason)),
        };
        let watcher = Self {
            common_dir,
            git_dir,
            refname: refname.to_owned(),
            events,
            unreliable,
            unarmed: Mutex::default(),
        };
        watcher.rearm();
        watcher
    }

    fn rearm(&self) {
        if let Some(events) = &self.events {
            let paths = RefPaths::find(&self.common_dir, &self.git_dir, &self.refname);
            let unarmed = events.arm(&paths);
            *self.unarmed.lock().unwrap_or_else(PoisonError::into_inner) = unarmed;
        }
    }

    fn is_polling_only(&self) -> Option<String> {
        let unarmed = self.unarmed.lock().unwrap_or_else(PoisonError::into_inner);
        self.unreliable.as_ref().or(unarmed.as_ref()).cloned()
    }

    async fn changed(&self) {
        match &self.events {
            Some(events) => events.changed().await,
            None => pending().await,
        }
    }
}
