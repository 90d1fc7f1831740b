//! Home directories and the installation's prefix in paths.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::environment::Environment;
use crate::LocalError;

/// Expands paths for one user and one installation of git.
#[derive(Clone, Default)]
pub(super) struct Expansion {
    home: Option<OsString>,
    prefix: PathBuf,
}

impl Expansion {
    pub(super) fn new(env: &Environment) -> Self {
        Self {
            home: env.get_os("HOME").map(OsStr::to_os_string),
            prefix: installation_prefix(env),
        }
    }

    /// The system's file: git's Makefile puts it in `/etc` for the prefix `/usr`, else in `etc` under the prefix.
    pub(super) fn system_file(&self) -> PathBuf {
        if self.prefix == Path::new("/usr") {
            PathBuf::from("/etc/gitconfig")
        } else {
            self.prefix.join("etc/gitconfig")
        }
    }

    /// An entry's value as a path.
    pub(super) fn path_of(&self, entry: &Entry) -> Result<PathBuf, LocalError> {
        let value = entry.required()?;
        self.expand(value)
            .ok_or_else(|| entry.bad("cannot expand the home directory in the path", value))
    }

    /// Expands `~/`, `~user/` and `%(prefix)/` at the start of a path; `None` if the home directory is unknown.
    fn expand(&self, path: &str) -> Option<PathBuf> {
        self.expand_with(path, OsStr::to_os_string)
    }

    /// The same with symbolic links in `~` resolved, as the patterns of `includeIf` need it.
    pub(super) fn expand_real(&self, path: &str) -> Option<PathBuf> {
        self.expand_with(path, |home| {
            fs::canonicalize(home).map_or_else(|_| home.to_os_string(), PathBuf::into_os_string)
        })
    }

    fn expand_with(&self, path: &str, own_home: impl Fn(&OsStr) -> OsString) -> Option<PathBuf> {
        if let Some(rest) = path.strip_prefix("%(prefix)/") {
            return Some(self.prefix.join(rest));
        }
        let Some(rest) = path.strip_prefix('~') else {
            return Some(PathBuf::from(path));
        };
        let (user, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut expanded = if user.is_empty() {
            own_home(self.home.as_deref()?)
        } else {
            home_of(user)?.into()
        };
        expanded.push(rest);
        Some(PathBuf::from(expanded))
    }
}

/// A user's home by `/etc/passwd`. Users known only to a network service are not found.
fn home_of(user: &str) -> Option<String> {
    let passwd = fs::read(Path::new("/etc/passwd")).ok()?;
    String::from_utf8_lossy(&passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(4).map(str::to_owned))?
    })
}

/// The directory above the `bin` of the first `git` in `PATH`, else `/usr`. Symbolic links are not resolved: Homebrew has
/// the configuration beside the link.
fn installation_prefix(env: &Environment) -> PathBuf {
    let is_git = |file: &Path| file.is_absolute() && file.is_file();
    env.find_in_path("git", Path::new(""), is_git)
        .and_then(|git| git.parent()?.parent().map(Path::to_path_buf))
        .filter(|prefix| prefix != Path::new("/"))
        .unwrap_or_else(|| PathBuf::from("/usr"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_directories_are_expanded_only_at_the_start() {
        let expansion = Expansion::new(&Environment::default().with("HOME", "/home/me"));
        let expand = |path| expansion.expand(path).map(|path| path.display().to_string());
        assert_eq!(expand("~").as_deref(), Some("/home/me"));
        assert_eq!(expand("~/a").as_deref(), Some("/home/me/a"));
        assert_eq!(expand("/x/~/a").as_deref(), Some("/x/~/a"));
        assert_eq!(
            expand("~root/a").as_deref(),
            home_of("root").map(|home| home + "/a").as_deref()
        );
        assert_eq!(expand("~no-such-user/a"), None);
        assert_eq!(expand("%(prefix)/share").as_deref(), Some("/usr/share"));
        assert_eq!(Expansion::default().expand("~/a"), None);
    }

    #[test]
    fn the_system_file_belongs_to_the_first_git_in_the_path() {
        let opt = tempfile::tempdir().expect("a directory");
        let bin = opt.path().join("bin");
        fs::create_dir(&bin).expect("bin");
        let search = std::env::join_paths([Path::new("/nonexistent"), &bin]).expect("no colon");
        let env = Environment::default().with("PATH", search);
        assert_eq!(Expansion::new(&env).system_file(), Path::new("/etc/gitconfig"));
        fs::write(bin.join("git"), "").expect("git");
        assert_eq!(
            Expansion::new(&env).system_file(),
            opt.path().join("etc/gitconfig")
        );
    }
}
