//! Follows one branch ref with file events, and says only "something may have changed".
//!
//! It never tells the tip: who is woken calls [`RefWatcher::rearm`] and then reads the ref, in this order, so
//! that a change lies either before the reading or behind a watch. Events can be lost (full queues, limits,
//! network file systems), so the owner also polls: every [`POLL_INTERVAL`], or every
//! [`POLL_INTERVAL_WITHOUT_EVENTS`] while [`RefWatcher::is_polling_only`] has a reason.

mod paths;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, EventHandler, RecommendedWatcher, RecursiveMode, Watcher as _};

use self::paths::{DirectoryId, RefPaths};

/// How often the owner reads the ref where file events work: the time within which a commit is seen even if its
/// event is lost.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the owner reads the ref where file events cannot be relied on.
pub const POLL_INTERVAL_WITHOUT_EVENTS: Duration = Duration::from_millis(200);

/// How long [`RefWatcher::close`] waits for notify's thread, which has nothing to do but to notice.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Watches the places that can change the value of one ref.
pub struct RefWatcher {
    common_dir: PathBuf,
    git_dir: PathBuf,
    refname: String,
    shared: Arc<Shared>,
    /// Absent where the system gives no file events at all.
    events: Option<Events>,
    armed: Vec<(PathBuf, DirectoryId)>,
    /// What will not change while this repository is open: no events at all, or a network file system.
    unreliable: Option<String>,
    /// Why not all directories could be armed the last time.
    unarmed: Option<String>,
}

/// What notify's thread and the owner both use.
struct Shared {
    paths: RwLock<RefPaths>,
    /// A directory of the chain came, went or moved: what is armed for its path may be an older directory.
    directories_changed: AtomicBool,
}

struct Events {
    watcher: RecommendedWatcher,
    /// Hangs up when notify has dropped its handler, after which nothing can call `wake`.
    released: mpsc::Receiver<()>,
}

/// What notify calls. The fields are dropped in this order: whoever hears `_released` hang up knows that `wake` is gone.
struct Handler<W> {
    wake: W,
    shared: Arc<Shared>,
    _released: mpsc::Sender<()>,
}

impl fmt::Debug for RefWatcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RefWatcher")
            .field("refname", &self.refname)
            .field("armed", &self.armed)
            .field("is_polling_only", &self.is_polling_only())
            .finish_non_exhaustive()
    }
}

impl RefWatcher {
    /// Begins to watch a ref, by its full name. `wake` is called on a thread of its own, often more than once for one
    /// change, and must not block. This never fails: see [`RefWatcher::is_polling_only`].
    ///
    /// Branches live in `common_dir`; `git_dir` holds the per-worktree refs that a symbolic branch may name.
    #[must_use]
    pub fn start(
        common_dir: &Path,
        git_dir: &Path,
        refname: &str,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        // Some systems report the real path, whatever was asked for.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (common_dir, git_dir) = (real(common_dir), real(git_dir));
        let shared = Arc::new(Shared {
            paths: RwLock::new(RefPaths::find(&common_dir, &git_dir, refname)),
            directories_changed: AtomicBool::new(false),
        });
        let (events, unreliable) = match Events::listen(Arc::clone(&shared), wake) {
            Ok(events) => (Some(events), paths::why_events_are_unreliable(&common_dir)),
            Err(error) => (None, Some(reason(&error))),
        };
        let mut watcher = Self {
            common_dir,
            git_dir,
            refname: refname.to_owned(),
            shared,
            events,
            armed: Vec::new(),
            unreliable,
            unarmed: None,
        };
        watcher.rearm();
        watcher
    }

    /// Watches the directories that exist now. To be called after each wake and at each poll, *before* the ref is read.
    /// Where nothing changed, it costs one `stat` for each directory from the repository down to the ref, and the
    /// reading of one small file.
    pub fn rearm(&mut self) {
        let Some(events) = &mut self.events else {
            return;
        };
        if events.is_dead() {
            self.unarmed = Some("the thread that receives file events is not running".to_owned());
            return;
        }
        let paths = RefPaths::find(&self.common_dir, &self.git_dir, &self.refname);
        self.shared.replace_paths(&paths);
        // Cleared before the directories are looked at, so that what happens from here on leads to another wake.
        let is_stale = self.shared.directories_changed.swap(false, Ordering::SeqCst);

        self.unarmed = None;
        let previous = std::mem::take(&mut self.armed);
        // From the top down: each directory is looked at only when its parent reports its replacement.
        for directory in paths.directories() {
            let Some(id) = DirectoryId::of(directory) else {
                continue;
            };
            let entry = (directory.clone(), id);
            if is_stale || !previous.contains(&entry) {
                // notify goes by paths: what it keeps of an older directory at this one must go first.
                events.unwatch(directory);
                match events.watcher.watch(directory, RecursiveMode::NonRecursive) {
                    Ok(()) => {}
                    // It went in between, which its parent has reported.
                    Err(error) if is_not_found(&error) => continue,
                    Err(error) => {
                        self.unarmed = Some(reason(&error));
                        continue;
                    }
                }
            }
            self.armed.push(entry);
        }
        for (directory, _) in &previous {
            if !self.armed.iter().any(|(armed, _)| armed == directory) {
                events.unwatch(directory);
            }
        }
    }

    /// Why file events cannot be relied on, where they cannot: the owner then polls faster. Asked again after each
    /// [`RefWatcher::rearm`], which tries again where a limit was reached.
    #[must_use]
    pub fn is_polling_only(&self) -> Option<String> {
        self.unreliable.as_ref().or(self.unarmed.as_ref()).cloned()
    }

    /// Stops watching. When this returns, `wake` is gone and the system's resources are released (unless `wake`
    /// blocks, which it must not: after a second the wait ends).
    pub fn close(self) {
        if let Some(events) = self.events {
            events.close();
        }
    }
}

impl Events {
    fn listen(shared: Arc<Shared>, wake: impl Fn() + Send + Sync + 'static) -> notify::Result<Self> {
        let (sender, released) = mpsc::channel();
        let handler = Handler {
            wake,
            shared,
            _released: sender,
        };
        let watcher = RecommendedWatcher::new(handler, notify::Config::default())?;
        Ok(Self { watcher, released })
    }

    /// Whether notify's thread ended by itself, or could never be started (a limit of processes). notify panics when
    /// it is used then.
    fn is_dead(&self) -> bool {
        self.released.try_recv() == Err(mpsc::TryRecvError::Disconnected)
    }

    /// That there was no watch is as good.
    fn unwatch(&mut self, directory: &Path) {
        let _: notify::Result<()> = self.watcher.unwatch(directory);
    }

    fn close(self) {
        if self.is_dead() {
            // Even its drop panics; nothing but a closed channel is left of it.
            std::mem::forget(self.watcher);
            return;
        }
        // This only asks the thread to end.
        drop(self.watcher);
        let _: Result<(), mpsc::RecvTimeoutError> = self.released.recv_timeout(CLOSE_TIMEOUT);
    }
}

impl<W: Fn() + Send + 'static> EventHandler for Handler<W> {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        if self.shared.is_concerned_by(&event) {
            (self.wake)();
        }
    }
}

impl Shared {
    fn read_paths(&self) -> RwLockReadGuard<'_, RefPaths> {
        self.paths.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace_paths(&self, paths: &RefPaths) {
        let is_current = *self.read_paths() == *paths;
        if !is_current {
            *self.paths.write().unwrap_or_else(PoisonError::into_inner) = paths.clone();
        }
    }

    /// Whether the event may mean a new value of the ref, or a directory to be armed (which it notes).
    fn is_concerned_by(&self, event: &notify::Result<Event>) -> bool {
        let directories_changed = match event {
            Ok(event) if event.need_rescan() => true,
            Ok(event) => {
                // Reading is reported too, and whoever is woken reads.
                if matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
                {
                    return false;
                }
                let paths = self.read_paths();
                let has_moved =
                    !matches!(event.kind, EventKind::Modify(what) if !matches!(what, ModifyKind::Name(_)));
                if !(has_moved && event.paths.iter().any(|path| paths.is_directory(path))) {
                    return event.paths.iter().any(|path| paths.is_file(path));
                }
                true
            }
            Err(_) => true,
        };
        if directories_changed {
            self.directories_changed.store(true, Ordering::SeqCst);
        }
        directories_changed
    }
}

fn is_not_found(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn reason(error: &notify::Error) -> String {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the limit of file watches is reached (fs.inotify.max_user_watches)".to_owned()
        }
        _ => format!(
            "the system gives no file events: {error} (on Linux, fs.inotify.max_user_instances limits them)"
        ),
    }
}
