//! The one inotify instance of all refs of a runtime. A task reads its events and wakes those that follow the changed ref:
//! a library's thread in between would cost each commit another wake-up.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use futures_util::StreamExt as _;
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::table::{RefId, Table};

/// Room for a hundred events, each with a name.
const BUFFER: usize = 8192;

/// The events that can give a file another content, or its name another file.
const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::MODIFY)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Why events have ended for good.
type Broken = Arc<OnceLock<String>>;

/// An inotify instance with the refs that it serves.
pub(in crate::watch) struct Hub {
    watches: inotify::Watches,
    /// Held only for look-ups and for the end of watches: neither waits for a disk.
    table: Arc<Mutex<Table>>,
    broken: Broken,
    reading: AbortHandle,
}

impl Hub {
    /// The hub that is in use, or a new one on this runtime.
    ///
    /// # Errors
    ///
    /// Fails with a reason where the system refuses file events.
    pub(super) fn shared(current: &Mutex<Weak<Self>>) -> Result<Arc<Self>, String> {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = current.upgrade() {
            return Ok(hub);
        }
        let hub = Self::new().map_err(|error| {
            format!("the system refuses file events: {error} (see fs.inotify.max_user_instances)")
        })?;
        let hub = Arc::new(hub);
        *current = Arc::downgrade(&hub);
        Ok(hub)
    }

    fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let stream = inotify.into_event_stream(vec![0; BUFFER])?;
        let (table, broken) = (Arc::<Mutex<Table>>::default(), Broken::default());
        let reading = tokio::spawn(read(stream, Arc::clone(&table), Arc::clone(&broken)));
        Ok(Self {
            watches,
            table,
            broken,
            reading: reading.abort_handle(),
        })
    }

    /// Adds a ref, which is woken when it may have changed.
    pub(super) fn add(&self) -> (RefId, Arc<Notify>) {
        lock(&self.table).add()
    }

    /// Ends all watches of a ref.
    pub(super) fn remove(&self, id: RefId) {
        let mut table = lock(&self.table);
        let unused = table.remove(id);
        self.end(unused);
    }

    /// Watches these names in directories for a ref, and no others, in this order.
    ///
    /// # Errors
    ///
    /// Fails with a reason where the events cannot be relied on. Those that come are still reported.
    pub(super) fn arm(&self, id: RefId, places: Vec<(PathBuf, OsString)>) -> Result<(), String> {
        lock(&self.table).begin(id);
        let mut reason = self.broken.get().cloned();
        for (directory, name) in places {
            if let Err(error) = self.watch(id, &directory, name) {
                reason.get_or_insert_with(|| match error.kind() {
                    io::ErrorKind::StorageFull => {
                        "the limit of file watches is reached (fs.inotify.max_user_watches)".to_owned()
                    }
                    _ => format!("{} cannot be watched: {error}", directory.display()),
                });
            }
        }
        let mut table = lock(&self.table);
        let unused = table.finish(id);
        self.end(unused);
        reason.map_or(Ok(()), Err)
    }

    fn watch(&self, id: RefId, directory: &Path, name: OsString) -> io::Result<()> {
        let mut watches = self.watches.clone();
        loop {
            let ended = lock(&self.table).ended();
            // The lock is free meanwhile, as this may wait for a disk. A directory that is already watched keeps its
            // descriptor.
            let descriptor = match watches.add(directory, CHANGES) {
                Ok(descriptor) => descriptor,
                Err(error) => {
                    return match error.kind() {
                        // Its creation causes an event in its parent.
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(()),
                        _ => Err(error),
                    };
                }
            };
            let mut table = lock(&self.table);
            if table.knows(&descriptor) || table.ended() == ended {
                table.watch(id, descriptor, name);
                return Ok(());
            }
            // It may be the watch of another ref that has ended in between: then there is none now.
        }
    }

    /// Ends watches that no ref uses. The caller holds the lock, so that none begins to use one.
    fn end(&self, unused: Vec<WatchDescriptor>) {
        for descriptor in unused {
            // This fails where the directory was deleted, which ended the watch.
            let _: io::Result<()> = self.watches.clone().remove(descriptor);
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads events until there are no more.
async fn read(mut stream: EventStream<Vec<u8>>, table: Arc<Mutex<Table>>, broken: Broken) {
    let problem = loop {
        match stream.next().await {
            Some(Ok(event)) => lock(&table).dispatch(&event),
            Some(Err(error)) => break error.to_string(),
            None => break "they have ended".to_owned(),
        }
    };
    // Empty until here, so that this always sets it.
    let _ = broken.set(format!("file events cannot be read: {problem}"));
    // Each learns at its next `arm` that it has to poll.
    lock(&table).wake_all();
}
