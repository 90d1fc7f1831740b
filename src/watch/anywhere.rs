//! File events on any system, by notify. Linux, which has a better way, uses this in tests alone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{ErrorKind, Event, EventHandler, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::paths::{DirectoryId, RefPaths};
use super::{Events, LIMIT_REACHED};

/// How long the end waits for notify's thread, which has nothing to do but to notice.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Notify {
    shared: Arc<Shared>,
    arming: Mutex<Arming>,
}

/// What the owner alone uses.
struct Arming {
    /// Taken when this is dropped.
    watcher: Option<RecommendedWatcher>,
    /// Hangs up when notify has dropped its handler.
    released: mpsc::Receiver<()>,
    armed: Vec<(PathBuf, DirectoryId)>,
}

/// What notify's thread and the owner both use.
#[derive(Default)]
struct Shared {
    changed: tokio::sync::Notify,
    paths: RwLock<RefPaths>,
    /// A directory of the chain came, went or moved: what is armed for its path may be an older directory.
    directories_changed: AtomicBool,
}

/// What notify calls.
struct Handler {
    shared: Arc<Shared>,
    _released: mpsc::Sender<()>,
}

impl Events for Notify {
    fn listen() -> Result<Self, String> {
        let shared = Arc::<Shared>::default();
        let (sender, released) = mpsc::channel();
        let handler = Handler {
            shared: Arc::clone(&shared),
            _released: sender,
        };
        let watcher =
            RecommendedWatcher::new(handler, notify::Config::default()).map_err(|error| reason(&error))?;
        let arming = Mutex::new(Arming {
            watcher: Some(watcher),
            released,
            armed: Vec::new(),
        });
        Ok(Self { shared, arming })
    }

    fn arm(&self, paths: &RefPaths) -> Option<String> {
        let mut arming = self.arming.lock().unwrap_or_else(PoisonError::into_inner);
        if arming.is_dead() {
            return Some("the thread that receives file events is not running".to_owned());
        }
        self.shared.replace_paths(paths);
        // Cleared before the directories are looked at, so that what happens from here on leads to another wake.
        let is_stale = self.shared.directories_changed.swap(false, Ordering::SeqCst);
        arming.arm(paths, is_stale)
    }

    async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Arming {
    /// Whether notify's thread ended by itself, or could never be started (a limit of processes). notify panics when
    /// it is used then.
    fn is_dead(&self) -> bool {
        self.released.try_recv() == Err(mpsc::TryRecvError::Disconnected)
    }

    fn arm(&mut self, paths: &RefPaths, is_stale: bool) -> Option<String> {
        let mut unarmed = None;
        let watcher = self.watcher.as_mut()?;
        let previous = std::mem::take(&mut self.armed);
        for directory in paths.directories() {
            let Some(id) = DirectoryId::of(directory) else {
                continue;
            };
            let entry = (directory.clone(), id);
            if is_stale || !previous.contains(&entry) {
                // notify goes by paths: what it keeps of an older directory at this one must go first. That there was no
                // watch is as good.
                let _: notify::Result<()> = watcher.unwatch(directory);
                match watcher.watch(directory, RecursiveMode::NonRecursive) {
                    Ok(()) => {}
                    // It went in between, which its parent has reported.
                    Err(error) if is_not_found(&error) => continue,
                    Err(error) => {
                        unarmed = Some(reason(&error));
                        continue;
                    }
                }
            }
            self.armed.push(entry);
        }
        for (directory, _) in &previous {
            if !self.armed.iter().any(|(armed, _)| armed == directory) {
                let _: notify::Result<()> = watcher.unwatch(directory);
            }
        }
        unarmed
    }
}

impl Drop for Arming {
    /// Waits until the system's resources are released.
    fn drop(&mut self) {
        let Some(watcher) = self.watcher.take() else {
            return;
        };
        if self.is_dead() {
            // Even its drop panics; nothing but a closed channel is left of it.
            std::mem::forget(watcher);
            return;
        }
        // This only asks the thread to end.
        drop(watcher);
        let _: Result<(), mpsc::RecvTimeoutError> = self.released.recv_timeout(CLOSE_TIMEOUT);
    }
}

impl EventHandler for Handler {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        if self.shared.is_concerned_by(&event) {
            self.shared.changed.notify_one();
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
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn reason(error: &notify::Error) -> String {
    match error.kind {
        ErrorKind::MaxFilesWatch => LIMIT_REACHED.to_owned(),
        _ => format!("the system gives no file events: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_overflows_wake_and_rearm() {
        let shared = Shared::default();
        let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        for event in [Ok(overflow), Err(notify::Error::generic("lost"))] {
            shared.directories_changed.store(false, Ordering::SeqCst);
            assert!(shared.is_concerned_by(&event));
            assert!(shared.directories_changed.load(Ordering::SeqCst));
        }
    }
}
