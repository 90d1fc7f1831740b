//! Which refs are concerned by an event in which directory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;

use inotify::{EventMask, EventOwned, WatchDescriptor};
use tokio::sync::Notify;

/// Tells the refs of a hub apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RefId(u64);

/// The refs, and the directories that are watched for them.
#[derive(Default)]
pub(super) struct Table {
    refs: HashMap<RefId, Ref>,
    directories: HashMap<WatchDescriptor, Vec<Interest>>,
    next_id: u64,
    /// How many watches have ended. A descriptor is not used again.
    ended: u64,
}

struct Ref {
    changed: Arc<Notify>,
    directories: Vec<WatchDescriptor>,
    /// Counts the times that it was armed.
    round: u64,
    is_arming: bool,
}

/// The interest of a ref in a name.
struct Interest {
    id: RefId,
    name: OsString,
    /// Of the arming that last asked for it.
    round: u64,
}

impl Table {
    pub(super) fn add(&mut self) -> (RefId, Arc<Notify>) {
        let id = RefId(self.next_id);
        self.next_id += 1;
        let changed = Arc::<Notify>::default();
        let entry = Ref {
            changed: Arc::clone(&changed),
            directories: Vec::new(),
            round: 0,
            is_arming: false,
        };
        self.refs.insert(id, entry);
        (id, changed)
    }

    /// Removes a ref; returns the watches that no other uses, which must end before the table is used again.
    pub(super) fn remove(&mut self, id: RefId) -> Vec<WatchDescriptor> {
        let removed = self.refs.remove(&id);
        let directories = removed.map(|removed| removed.directories).unwrap_or_default();
        self.release(directories, |interest| interest.id != id)
    }

    /// Begins to arm a ref.
    pub(super) fn begin(&mut self, id: RefId) {
        if let Some(armed) = self.refs.get_mut(&id) {
            armed.round += 1;
            armed.is_arming = true;
        }
    }

    /// Ends the arming of a ref: it is interested in nothing but the names since [`Table::begin`]. Returns as
    /// [`Table::remove`].
    pub(super) fn finish(&mut self, id: RefId) -> Vec<WatchDescriptor> {
        let Some(armed) = self.refs.get_mut(&id) else {
            return Vec::new();
        };
        armed.is_arming = false;
        let current = armed.round;
        let before = std::mem::take(&mut armed.directories);
        let unused = self.release(before.clone(), |interest| {
            interest.id != id || interest.round == current
        });
        let is_interested = |descriptor: &WatchDescriptor| {
            let interests = self.directories.get(descriptor);
            interests.is_some_and(|interests| interests.iter().any(|interest| interest.id == id))
        };
        let kept = before.into_iter().filter(is_interested).collect();
        if let Some(armed) = self.refs.get_mut(&id) {
            armed.directories = kept;
        }
        unused
    }

    pub(super) fn knows(&self, descriptor: &WatchDescriptor) -> bool {
        self.directories.contains_key(descriptor)
    }

    /// How many watches have ended so far.
    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Notes that a ref is interested in a name in a watched directory.
    pub(super) fn watch(&mut self, id: RefId, descriptor: WatchDescriptor, name: OsString) {
        let Some(armed) = self.refs.get_mut(&id) else {
            return;
        };
        if !armed.directories.contains(&descriptor) {
            armed.directories.push(descriptor.clone());
        }
        let round = armed.round;
        let interests = self.directories.entry(descriptor).or_default();
        let known = interests
            .iter_mut()
            .find(|interest| interest.id == id && interest.name == name);
        match known {
            Some(interest) => interest.round = round,
            None => interests.push(Interest { id, name, round }),
        }
    }

    /// Wakes the refs that an event concerns.
    pub(super) fn dispatch(&mut self, event: &EventOwned) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            self.wake_all();
            return;
        }
        let has_ended = event.mask.contains(EventMask::IGNORED);
        match self.directories.get(&event.wd) {
            Some(interests) => {
                let concerned = interests
                    .iter()
                    .filter(|interest| event.name.as_ref().is_none_or(|name| *name == interest.name));
                for interest in concerned {
                    if let Some(concerned) = self.refs.get(&interest.id) {
                        concerned.changed.notify_one();
                    }
                }
            }
            // The watch has ended, or a ref is about to use it.
            None if !has_ended => {
                let arming = self.refs.values().filter(|of| of.is_arming);
                arming.for_each(|of| of.changed.notify_one());
            }
            None => {}
        }
        if has_ended {
            self.directories.remove(&event.wd);
            self.ended += 1;
        }
    }

    /// Wakes every ref.
    pub(super) fn wake_all(&self) {
        self.refs.values().for_each(|of| of.changed.notify_one());
    }

    /// Drops interests, and returns the directories in which none is left.
    fn release(
        &mut self,
        mut directories: Vec<WatchDescriptor>,
        keep: impl Fn(&Interest) -> bool,
    ) -> Vec<WatchDescriptor> {
        directories.retain(|descriptor| {
            let Some(interests) = self.directories.get_mut(descriptor) else {
                return false;
            };
            interests.retain(&keep);
            if interests.is_empty() {
                self.directories.remove(descriptor);
                self.ended += 1;
                return true;
            }
            false
        });
        directories
    }
}
