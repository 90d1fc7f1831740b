//! Writes a ref and its reflog as git does: by a lock file, and with the permissions of `core.sharedRepository`
//! (`adjust_shared_perm` in git's `path.c`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use git_wire::oid::Oid;

use super::failure;
use crate::LocalError;
use crate::config::Config;

/// A writer holds the lock for one small write, so a lock that outlasts all of these waits is stale.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Who else may read and write new files: a change to the permissions that the umask leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// No change.
    Umask,
    /// At least these permissions.
    AtLeast(u32),
    /// Exactly these permissions.
    Exactly(u32),
}

const GROUP: Sharing = Sharing::AtLeast(0o660);
const EVERYBODY: Sharing = Sharing::AtLeast(0o664);

/// The set-group-id bit: new files in a directory belong to its group. BSD systems do that without it.
const INHERIT_GROUP: u32 = if cfg!(any(target_vendor = "apple", target_os = "freebsd")) {
    0
} else {
    0o2000
};

impl Sharing {
    /// Reads `core.sharedRepository`.
    ///
    /// # Errors
    ///
    /// Fails if git does not accept the value.
    pub(super) fn of(config: &Config) -> Result<Self, LocalError> {
        let Some(entry) = config.entry("core.sharedRepository") else {
            return Ok(Self::Umask);
        };
        let Some(value) = entry.value() else {
            return Ok(GROUP);
        };
        // As `strtol` reads it.
        let octal = u32::from_str_radix(value.trim_ascii_start(), 8).ok();
        Ok(match (value, octal) {
            ("umask", _) | (_, Some(0)) => Self::Umask,
            ("group", _) | (_, Some(1)) => GROUP,
            ("all" | "world" | "everybody", _) | (_, Some(2)) => EVERYBODY,
            (_, Some(mode)) if mode & 0o600 == 0o600 => Self::Exactly(mode & 0o666),
            (_, Some(_)) => {
                return Err(failure(
                    format_args!("{} in {} is '{value}'", entry.key(), entry.origin()),
                    "the owner of a repository's files must be able to read and write them",
                ));
            }
            (_, None) if entry.bool()? => GROUP,
            (_, None) => Self::Umask,
        })
    }

    /// Adjusts the permissions that the umask left.
    const fn apply(self, mode: u32, is_directory: bool) -> u32 {
        let (mut tweak, kept) = match self {
            Self::Umask => return mode,
            Self::AtLeast(tweak) => (tweak, mode),
            Self::Exactly(tweak) => (tweak, mode & !0o777),
        };
        if mode & 0o200 == 0 {
            tweak &= !0o222;
        }
        if mode & 0o100 != 0 {
            tweak |= (tweak & 0o444) >> 2;
        }
        let mut mode = kept | tweak;
        if is_directory {
            mode |= (mode & 0o444) >> 2;
            if mode & 0o060 != 0 {
                mode |= INHERIT_GROUP;
            }
        }
        mode
    }

    #[cfg(unix)]
    fn adjust(self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;

        if self == Self::Umask {
            return Ok(());
        }
        let metadata = path.metadata()?;
        let mode = metadata.permissions().mode() & 0o7777;
        let wanted = self.apply(mode, metadata.is_dir());
        if wanted == mode {
            return Ok(());
        }
        fs::set_permissions(path, fs::Permissions::from_mode(wanted))
    }

    #[cfg(not(unix))]
    fn adjust(self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Creates a directory and its missing parents below `base`. Existing ones keep their permissions.
    fn create_directories(self, base: &Path, directory: &Path) -> io::Result<()> {
        if directory == base || directory.is_dir() {
            return Ok(());
        }
        if let Some(parent) = directory.parent() {
            self.create_directories(base, parent)?;
        }
        match fs::create_dir(directory) {
            Ok(()) => self.adjust(directory),
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(at(directory))
    }
}

/// The lock on a ref. Dropping it removes its file and leaves the ref as it was.
pub(super) struct RefLock {
    target: PathBuf,
    path: PathBuf,
    file: File,
    is_in_place: bool,
}

impl RefLock {
    /// Locks the ref `name` below `base`, after waiting for another writer.
    pub(super) fn take(base: &Path, name: &str, sharing: Sharing) -> io::Result<Self> {
        let target = base.join(name);
        let path = base.join(format!("{name}.lock"));
        let mut attempt = 1;
        let file = loop {
            sharing.create_directories(base, target.parent().unwrap_or(base))?;
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break file,
                // git removes empty directories, even new ones.
                Err(error)
                    if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound)
                        && attempt < LOCK_ATTEMPTS =>
                {
                    attempt += 1;
                    thread::sleep(LOCK_WAIT);
                }
                Err(error) => return Err(at(&path)(error)),
            }
        };
        let lock = Self {
            target,
            path,
            file,
            is_in_place: false,
        };
        sharing.adjust(&lock.path).map_err(at(&lock.path))?;
        Ok(lock)
    }

    /// Writes the new tip into the lock file.
    pub(super) fn write(&mut self, tip: Oid) -> io::Result<()> {
        writeln!(self.file, "{tip}").map_err(at(&self.path))
    }

    /// Replaces the ref by the lock file.
    pub(super) fn put_in_place(mut self) -> io::Result<()> {
        remove_empty_directories(&self.target);
        fs::rename(&self.path, &self.target).map_err(at(&self.target))?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for RefLock {
    fn drop(&mut self) {
        if !self.is_in_place {
            // If this fails, it is a stale lock, which the next writer reports.
            let _: io::Result<()> = fs::remove_file(&self.path);
        }
    }
}

/// Appends a line to the reflog of the ref `name`. A missing reflog is created if `creates`, and left alone if not.
pub(super) fn append_to_reflog(
    base: &Path,
    name: &str,
    line: &str,
    creates: bool,
    sharing: Sharing,
) -> io::Result<()> {
    let path = base.join("logs").join(name);
    if creates {
        sharing.create_directories(base, path.parent().unwrap_or(base))?;
        remove_empty_directories(&path);
    }
    let mut log = match OpenOptions::new().append(true).create(creates).open(&path) {
        Ok(log) => log,
        Err(error)
            if !creates
                && matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory
                ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(at(&path)(error)),
    };
    // Another member of the group may own the file, and then has set its permissions.
    let _: io::Result<()> = sharing.adjust(&path);
    log.write_all(line.as_bytes()).map_err(at(&path))
}

/// Removes the directories that deleted refs leave behind. Those that lead to a file stay.
fn remove_empty_directories(path: &Path) {
    if path.is_symlink() || !path.is_dir() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        remove_empty_directories(&entry.path());
    }
    let _: io::Result<()> = fs::remove_dir(path);
}

/// Puts the path before an error.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn sharing(value: &str) -> Result<Sharing, LocalError> {
        let environment = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_COUNT", "1")
            .with("GIT_CONFIG_KEY_0", "core.sharedRepository")
            .with("GIT_CONFIG_VALUE_0", value);
        Sharing::of(&Config::load_protected(&environment).expect("well-formed"))
    }

    #[test]
    fn values_are_names_octal_numbers_and_bools() {
        for (value, expected) in [
            ("umask", Sharing::Umask),
            ("false", Sharing::Umask),
            ("0", Sharing::Umask),
            ("", Sharing::Umask),
            ("group", GROUP),
            ("true", GROUP),
            ("1", GROUP),
            ("all", EVERYBODY),
            ("world", EVERYBODY),
            ("everybody", EVERYBODY),
            ("2", EVERYBODY),
            ("0660", Sharing::Exactly(0o660)),
            ("640", Sharing::Exactly(0o640)),
            ("0777", Sharing::Exactly(0o666)),
        ] {
            assert_eq!(sharing(value).expect("valid"), expected, "{value}");
        }
        for value in ["0440", "nobody", "3"] {
            sharing(value).expect_err(value);
        }
    }

    #[test]
    fn readers_may_enter_directories_which_pass_on_their_group() {
        for (sharing, mode, is_directory, expected) in [
            (GROUP, 0o644, false, 0o664),
            (GROUP, 0o755, true, 0o2775),
            (GROUP, 0o444, false, 0o444),
            (EVERYBODY, 0o600, false, 0o664),
            (EVERYBODY, 0o700, true, 0o2775),
            (Sharing::Exactly(0o640), 0o644, false, 0o640),
            (Sharing::Exactly(0o640), 0o755, true, 0o2750),
            (Sharing::Exactly(0o600), 0o755, true, 0o700),
            (Sharing::Umask, 0o755, true, 0o755),
        ] {
            assert_eq!(
                sharing.apply(mode, is_directory),
                expected,
                "{sharing:?} {mode:o}"
            );
        }
    }
}
