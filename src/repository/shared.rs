//! `core.sharedRepository`: who else may read and write what is written here (`adjust_shared_perm` in git's `path.c`).

use std::fs;
use std::io;
use std::path::Path;

use crate::config::Config;
use crate::failure::{Failure, Kind};

/// What is added to, or put in the place of, the permissions that the umask leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Nothing: `umask`, false, 0, no setting.
    Umask,
    /// At least these: `group`, `all`.
    AtLeast(u32),
    /// Exactly these, as an octal number.
    Exactly(u32),
}

const GROUP: Sharing = Sharing::AtLeast(0o660);
const EVERYBODY: Sharing = Sharing::AtLeast(0o664);

/// The set-group-id bit: what is made in a directory belongs to its group. BSD systems do that without it.
const HAND_GROUP_ON: u32 = if cfg!(any(target_vendor = "apple", target_os = "freebsd")) {
    0
} else {
    0o2000
};

impl Sharing {
    /// # Errors
    ///
    /// The value is nothing that git takes.
    pub(super) fn of(config: &Config) -> Result<Self, Failure> {
        let Some(entry) = config.entry("core.sharedRepository") else {
            return Ok(Self::Umask);
        };
        match entry.value() {
            None | Some("group") => return Ok(GROUP),
            Some("umask") => return Ok(Self::Umask),
            Some("all" | "world" | "everybody") => return Ok(EVERYBODY),
            Some(value) => {
                if let Some(mode) = octal(value) {
                    return match mode {
                        0 => Ok(Self::Umask),
                        1 => Ok(GROUP),
                        2 => Ok(EVERYBODY),
                        mode if mode & 0o600 == 0o600 => Ok(Self::Exactly(mode & 0o666)),
                        _ => Err(Failure::new(
                            Kind::Local,
                            format!(
                                "{} in {} is '{value}': the owner of a repository's files must be able to read and write them",
                                entry.key(),
                                entry.origin()
                            ),
                        )),
                    };
                }
            }
        }
        Ok(if entry.bool()? { GROUP } else { Self::Umask })
    }

    /// The permissions for something that has these.
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
                mode |= HAND_GROUP_ON;
            }
        }
        mode
    }

    /// Gives a file or directory the permissions that it is to have.
    #[cfg(unix)]
    pub(super) fn adjust(self, path: &Path) -> io::Result<()> {
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
    pub(super) fn adjust(self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Makes a directory and those between it and `base`, which must be there. What is there stays as it is.
    pub(super) fn create_directories(self, base: &Path, directory: &Path) -> io::Result<()> {
        if directory == base || directory.is_dir() {
            return Ok(());
        }
        if let Some(above) = directory.parent() {
            self.create_directories(base, above)?;
        }
        match fs::create_dir(directory) {
            Ok(()) => self.adjust(directory),
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The whole value as `strtol` reads it with the base 8.
fn octal(value: &str) -> Option<u32> {
    let value = value.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    u32::from_str_radix(value, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn sharing(value: &str) -> Result<Sharing, Failure> {
        let environment = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_COUNT", "1")
            .with("GIT_CONFIG_KEY_0", "core.sharedRepository")
            .with("GIT_CONFIG_VALUE_0", value);
        Sharing::of(&Config::load_protected(&environment).expect("well-formed"))
    }

    #[test]
    fn values_are_gits_words_numbers_and_bools() {
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
    fn execution_follows_reading_and_directories_hand_their_group_on() {
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
