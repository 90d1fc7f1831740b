//! The directory in which a clone is made, the lock on it, and the step that puts the clone in place.
//!
//! It is beside the place, so that a rename is enough; or within an empty directory, as a mounted volume is none that can be
//! renamed. Then the entries of the clone are moved one by one, with `HEAD` last: without that, git finds no repository. A
//! delivery that breaks off is continued by the next process, because a clone is called [`WHOLE`] only once it is.
//!
//! The lock is `flock`'s: it ends with its process, whatever the process id in whatever container. Each clone has a directory
//! of its own, because the git of a process that was killed may outlive it for a second or two.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::RestoreError;
use super::site::{Site, Vacancy, names_in};
use super::storing::{sync_directory, unwritable};

/// The name of a clone that is whole and on its way into the place.
pub(super) const WHOLE: &str = "whole";

const LOCK: &str = "lock";

/// git of a killed process may still write into a directory that is being removed.
const REMOVAL_ATTEMPTS: u32 = 100;
const REMOVAL_WAIT: Duration = Duration::from_millis(50);

/// The directory, which is locked. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Workspace {
    directory: PathBuf,
    /// The directory of the clone of this process.
    clone: PathBuf,
    /// Held as long as the directory is in use; `None` where the file system has no locks.
    lock: Option<File>,
    vacancy: Vacancy,
    place: PathBuf,
    /// Dropped last.
    _parents: Parents,
}

/// Directories that were made for the workspace, the outermost first. Dropping it removes those that are empty.
#[derive(Debug, Default)]
struct Parents(Vec<PathBuf>);

impl Parents {
    /// Makes the parents of a directory that do not exist.
    fn make(&mut self, directory: &Path) -> io::Result<()> {
        let Some(parent) = directory.parent().filter(|parent| !parent.exists()) else {
            return Ok(());
        };
        self.make(parent)?;
        match fs::create_dir(parent) {
            Ok(()) => self.0.push(parent.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for parent in self.0.iter().rev() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// An attempt to lock a file.
enum Locked {
    Yes,
    /// By another process.
    No,
    /// The file system cannot.
    Never,
}

impl Workspace {
    /// Makes the directory and locks it; `None` while another process has it. Removes the clones of processes that have ended.
    pub(super) fn enter(site: &Site, vacancy: Vacancy) -> Result<Option<Self>, RestoreError> {
        let directory = site.workspace(vacancy);
        let making = |error: io::Error| unwritable(&directory, &error);
        let mut parents = Parents::default();
        loop {
            parents.make(&directory).map_err(making)?;
            let lock = match lock(&directory).map_err(making)? {
                None => continue,
                Some((_, Locked::No)) => return Ok(None),
                Some((file, Locked::Yes)) => Some(file),
                Some((_, Locked::Never)) => None,
            };
            let workspace = Self {
                clone: directory.join(format!("clone-{:016x}", fastrand::u64(..))),
                lock,
                vacancy,
                place: site.path().to_owned(),
                directory,
                _parents: parents,
            };
            workspace.remove_others(true);
            return Ok(Some(workspace));
        }
    }

    /// Removes what a process has left that was killed after it had put the clone in place. What is in use stays.
    pub(super) fn remove_left(directory: &Path) {
        if directory.is_dir()
            && let Ok(Some((file, Locked::Yes))) = lock(directory)
        {
            drop(Self {
                clone: directory.join(WHOLE),
                lock: Some(file),
                vacancy: Vacancy::Absent,
                place: PathBuf::new(),
                directory: directory.to_owned(),
                _parents: Parents::default(),
            });
        }
    }

    /// Where the clone is made.
    pub(super) fn clone_path(&self) -> &Path {
        &self.clone
    }

    /// Whether there is a whole clone, whose delivery has begun.
    pub(super) fn holds_whole(&self) -> bool {
        self.vacancy == Vacancy::Empty && self.directory.join(WHOLE).is_dir()
    }

    /// Puts the clone in place. Returns false if another repository has come there meanwhile.
    pub(super) fn deliver(&self) -> Result<bool, RestoreError> {
        let delivered = match self.vacancy {
            Vacancy::Absent => self.rename(),
            Vacancy::Empty => self.move_in().map(|()| true),
        };
        delivered.map_err(|error| unwritable(&self.place, &error))
    }

    fn rename(&self) -> io::Result<bool> {
        match fs::rename(&self.clone, &self.place) {
            Ok(()) => {}
            Err(_) if self.place.exists() => return Ok(false),
            Err(error) => return Err(error),
        }
        self.place.parent().map_or(Ok(()), sync_directory)?;
        Ok(true)
    }

    fn move_in(&self) -> io::Result<()> {
        let whole = self.directory.join(WHOLE);
        if !self.holds_whole() {
            fs::rename(&self.clone, &whole)?;
            sync_directory(&self.directory)?;
        }
        let mut names = names_in(&whole)?;
        names.retain(|name| name != "HEAD");
        names.push("HEAD".into());
        for name in names {
            let target = self.place.join(&name);
            if target.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if name == "HEAD" {
                sync_directory(&self.place)?;
            }
            fs::rename(whole.join(name), target)?;
        }
        sync_directory(&self.place)
    }

    /// Removes every clone, or all but one that is whole.
    fn remove_others(&self, keeps_whole: bool) {
        if self.lock.is_none() {
            return;
        }
        for name in names_in(&self.directory).unwrap_or_default() {
            if name != LOCK && !(keeps_whole && name == WHOLE) {
                remove(&self.directory.join(name));
            }
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // A delivery that broke off is left to the next process.
        let is_unfinished = self.holds_whole() && self.directory.join(WHOLE).join("HEAD").exists();
        remove(&self.clone);
        if is_unfinished {
            return;
        }
        self.remove_others(false);
        let _ = fs::remove_file(self.directory.join(LOCK));
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Makes a directory, unless it exists, and tries to lock it. `None` if its former owner has just removed it.
fn lock(directory: &Path) -> io::Result<Option<(File, Locked)>> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let path = directory.join(LOCK);
    let mut options = File::options();
    let file = match options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let locked = take(&file);
    // The former owner may have removed the file between the opening and the locking.
    Ok(is_at(&file, &path).then_some((file, locked)))
}

#[cfg(unix)]
fn take(file: &File) -> Locked {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;

    loop {
        return match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Locked::Yes,
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => Locked::No,
            Err(_) => Locked::Never,
        };
    }
}

#[cfg(not(unix))]
fn take(_file: &File) -> Locked {
    Locked::Never
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => id(file) == id(path),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// Removes a directory with all that is in it, or a file.
fn remove(path: &Path) {
    for _ in 0..REMOVAL_ATTEMPTS {
        let removed = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(_) => return,
        };
        match removed.map_err(|error| error.kind()) {
            // Files come and go.
            Err(io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => thread::sleep(REMOVAL_WAIT),
            _ => return,
        }
    }
    tracing::warn!(path = %path.display(), "an unfinished clone could not be removed");
}
