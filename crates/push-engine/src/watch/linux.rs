//! File events from inotify, read on the daemon's own thread: a library's thread in between would cost each commit another
//! wake-up.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use git_local::repository::places_of_ref;

/// Room for some dozens of events, each with a name.
const BUFFER: usize = 4096;

/// The events that can give a file another content, or its name another file.
const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::MODIFY)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// For each watched directory, the names in it that matter.
type Armed = HashMap<WatchDescriptor, HashSet<OsString>>;

/// The file events of one ref.
pub(super) struct FileEvents {
    common_dir: PathBuf,
    git_dir: PathBuf,
    refname: String,
    /// Set where changes from another machine cause no events.
    unreliable: Option<String>,
    watches: Watches,
    /// Held only while the pending events are read, by the one task that waits for them.
    stream: tokio::sync::Mutex<EventStream<Vec<u8>>>,
    /// Held only for look-ups, so that a task that reads events never waits for a disk.
    armed: Mutex<Armed>,
    /// Serializes `arm`.
    arming: Mutex<()>,
    /// Why events have ended for good.
    broken: OnceLock<String>,
}

impl FileEvents {
    /// # Errors
    ///
    /// Fails with a reason where the system refuses file events.
    pub(super) fn start(common_dir: &Path, git_dir: &Path, refname: &str) -> Result<Self, String> {
        let listen = || {
            let inotify = Inotify::init()?;
            let watches = inotify.watches();
            io::Result::Ok((watches, inotify.into_event_stream(vec![0; BUFFER])?))
        };
        let (watches, stream) = listen().map_err(|error| {
            format!("the system refuses file events: {error} (see fs.inotify.max_user_instances)")
        })?;
        let events = Self {
            common_dir: common_dir.to_owned(),
            git_dir: git_dir.to_owned(),
            refname: refname.to_owned(),
            unreliable: why_unreliable(common_dir),
            watches,
            stream: tokio::sync::Mutex::new(stream),
            armed: Mutex::default(),
            arming: Mutex::default(),
            broken: OnceLock::new(),
        };
        // A failure shows at the next call, which precedes the first read of the ref.
        let _: Result<(), String> = events.arm();
        Ok(events)
    }

    /// Watches the directories that exist now, and no others. It goes from the top down: each is looked up after the
    /// watch on its parent would report its replacement.
    ///
    /// # Errors
    ///
    /// Fails with a reason where the events cannot be relied on. Those that come are still reported.
    pub(super) fn arm(&self) -> Result<(), String> {
        let _serialized = self.arming.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watches = self.watches.clone();
        let mut armed = Armed::new();
        let mut reason = self.unreliable.clone().or_else(|| self.broken.get().cloned());
        for (directory, name) in places_of_ref(&self.common_dir, &self.git_dir, &self.refname) {
            // A directory that is already watched keeps its descriptor.
            match watches.add(&directory, CHANGES) {
                Ok(descriptor) => {
                    armed.entry(descriptor).or_default().insert(name);
                }
                // Its creation causes an event in its parent.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => {
                    reason.get_or_insert_with(|| match error.kind() {
                        io::ErrorKind::StorageFull => {
                            "the limit of file watches is reached (fs.inotify.max_user_watches)".to_owned()
                        }
                        _ => format!("{} cannot be watched: {error}", directory.display()),
                    });
                }
            }
        }
        let mut ended = {
            let mut current = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
            let mut previous = std::mem::replace(&mut *current, armed);
            previous.retain(|descriptor, _| !current.contains_key(descriptor));
            previous
        };
        for (descriptor, _) in ended.drain() {
            // This fails where the directory was deleted, which ended the watch.
            let _: io::Result<()> = watches.remove(descriptor);
        }
        reason.map_or(Ok(()), Err)
    }

    /// Resolves when a watched name or directory may have changed. Cancel-safe.
    pub(super) async fn changed(&self) {
        let mut stream = self.stream.lock().await;
        if self.broken.get().is_some() {
            // The owner was woken once to learn that it has to poll.
            return pending().await;
        }
        loop {
            match stream.next().await {
                Some(Ok(event)) if !self.concerns(&event) => {}
                Some(Ok(_)) => break,
                ended => {
                    let error = ended.and_then(Result::err);
                    let problem =
                        error.map_or_else(|| "they have ended".to_owned(), |error| error.to_string());
                    // Empty until here, so that this always sets it.
                    let _ = self.broken.set(format!("file events cannot be read: {problem}"));
                    return;
                }
            }
        }
        // One look at the ref covers all events so far.
        while let Some(Some(Ok(_))) = stream.next().now_or_never() {}
    }

    fn concerns(&self, event: &EventOwned) -> bool {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return true;
        }
        let armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        match (armed.get(&event.wd), &event.name) {
            (Some(names), Some(name)) => names.contains(name),
            (Some(_), None) => true,
            // The watch has ended, or is about to be armed.
            (None, _) => !event.mask.contains(EventMask::IGNORED),
        }
    }
}

/// File systems on which another machine, or the host of a virtual one, can write without an event here: the `f_type`
/// values of statfs(2) and of the kernel's `magic.h`.
const REMOTE_FILE_SYSTEMS: [(u32, &str); 13] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x786F_4256, "vboxsf"),
];

fn why_unreliable(directory: &Path) -> Option<String> {
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the type of f_type varies with the target; the values have 32 bits"
    )]
    let kind = kind as u32;
    let (_, name) = REMOTE_FILE_SYSTEMS.iter().find(|&&(magic, _)| magic == kind)?;
    Some(format!(
        "{} is on {name}, where changes by other machines cause no file events",
        directory.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_system_is_not_taken_for_a_remote_one() {
        // proc(5) is the one local file system that every Linux has at a known place.
        assert_eq!(why_unreliable(Path::new("/proc")), None);
    }
}
