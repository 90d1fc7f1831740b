//! File events on Linux, read by the daemon's own thread. A thread of another library's, between the kernel and this one,
//! would cost each commit another wake-up; and it would be woken by everybody who only reads the ref, as this daemon does.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventMask, EventOwned, EventStream, WatchDescriptor, WatchMask, Watches};

use super::paths::RefPaths;
use super::{Events, LIMIT_REACHED};

/// Room for some dozens of events, each with a name.
const BUFFER: usize = 4096;

/// What can give a file another content, or its name another file.
const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::MODIFY)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// In each directory that is watched, the names that matter.
type Armed = HashMap<WatchDescriptor, HashSet<OsString>>;

pub(super) struct Inotify {
    watches: Watches,
    /// Held only while the events that are there are read, by the one task that waits for them.
    stream: tokio::sync::Mutex<EventStream<Vec<u8>>>,
    /// Held for no longer than it takes to look something up: whoever waits for events does not wait for a disk.
    armed: RwLock<Armed>,
    /// One at a time.
    arming: Mutex<()>,
    /// Why no more events come.
    broken: OnceLock<String>,
}

impl Events for Inotify {
    fn listen() -> Result<Self, String> {
        let listen = || {
            let inotify = inotify::Inotify::init()?;
            let watches = inotify.watches();
            io::Result::Ok((watches, inotify.into_event_stream(vec![0; BUFFER])?))
        };
        let (watches, stream) = listen().map_err(|error| {
            format!("the system gives no file events: {error} (fs.inotify.max_user_instances limits them)")
        })?;
        Ok(Self {
            watches,
            stream: tokio::sync::Mutex::new(stream),
            armed: RwLock::default(),
            arming: Mutex::default(),
            broken: OnceLock::new(),
        })
    }

    fn arm(&self, paths: &RefPaths) -> Option<String> {
        let _one_at_a_time = self.arming.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watches = self.watches.clone();
        let mut armed = Armed::new();
        let mut unarmed = self.broken.get().cloned();
        for directory in paths.directories() {
            // A directory that is watched already has the same descriptor again.
            match watches.add(directory, CHANGES) {
                Ok(descriptor) => {
                    let names = paths.names_in(directory).map(ToOwned::to_owned);
                    armed.entry(descriptor).or_default().extend(names);
                }
                // It comes, or is replaced, with an event of its parent.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => {
                    unarmed.get_or_insert_with(|| match error.kind() {
                        io::ErrorKind::StorageFull => LIMIT_REACHED.to_owned(),
                        _ => format!("{} cannot be watched: {error}", directory.display()),
                    });
                }
            }
        }
        let ended: Vec<WatchDescriptor> = {
            let mut current = self.armed.write().unwrap_or_else(PoisonError::into_inner);
            let previous = std::mem::replace(&mut *current, armed);
            previous
                .into_keys()
                .filter(|descriptor| !current.contains_key(descriptor))
                .collect()
        };
        for descriptor in ended {
            // The kernel has ended the watch by itself where the directory was deleted.
            let _: io::Result<()> = watches.remove(descriptor);
        }
        unarmed
    }

    async fn changed(&self) {
        let mut stream = self.stream.lock().await;
        if self.broken.get().is_some() {
            // Not again and again: the owner polls, and was woken once to learn that it has to.
            return pending().await;
        }
        loop {
            match stream.next().await {
                Some(Ok(event)) if !self.is_concerned_by(&event) => {}
                Some(Ok(_)) => break,
                other => {
                    let error = other.and_then(Result::err);
                    let reason =
                        error.map_or_else(|| "they have ended".to_owned(), |error| error.to_string());
                    // It was empty.
                    let _ = self.broken.set(format!("file events cannot be read: {reason}"));
                    return;
                }
            }
        }
        // One look is enough for all that has happened until now.
        while let Some(Some(Ok(_))) = stream.next().now_or_never() {}
    }
}

impl Inotify {
    fn is_concerned_by(&self, event: &EventOwned) -> bool {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return true;
        }
        let armed = self.armed.read().unwrap_or_else(PoisonError::into_inner);
        match (armed.get(&event.wd), &event.name) {
            (Some(names), Some(name)) => names.contains(name),
            (Some(_), None) => true,
            // Of a watch that was ended, or of one that is about to be armed.
            (None, _) => !event.mask.contains(EventMask::IGNORED),
        }
    }
}
