//! Finds a repository by git's rules (`setup.c` of git 2.47).
//!
//! libgit2 opens fewer: it wants a working tree that exists, its own list of extensions, and reads the environment of
//! the process. So it is not asked; it reads objects alone.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::open::OpenError;
use super::refs::once_filled;
use crate::config::{Config, Environment};
use crate::failure::{Failure, Kind};
use crate::loose_ref::{self, LooseRef};
use crate::oid::Oid;

/// Where a repository is, and how it was found.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The directory with `HEAD`; symbolic links are resolved.
    pub(super) git_dir: PathBuf,
    /// The directory with objects and branches; another one only in a linked worktree.
    pub(super) common_dir: PathBuf,
    /// The directory whose `.git` led here.
    pub(super) top: Option<PathBuf>,
    /// The working tree by `GIT_WORK_TREE`, where git itself would look for the repository.
    pub(super) given_work_tree: Option<PathBuf>,
    /// What git asks for an owner. `None` where `GIT_DIR` named the repository: then it asks nobody.
    pub(super) found: Option<Found>,
}

/// The files by which a repository was found, as they are spelled.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) git_file: Option<PathBuf>,
    pub(super) work_tree: Option<PathBuf>,
    pub(super) git_dir: PathBuf,
    /// Where the search started: what `.` in `safe.directory` is.
    pub(super) start: PathBuf,
}

impl Place {
    /// The repository at a path: a git directory, a directory with a `.git`, or such a file. Its parents are not looked at.
    pub(super) fn at(path: &Path, environment: &Environment) -> Result<Option<Self>, OpenError> {
        // What cannot be resolved is not there, or not for us.
        let Ok(start) = path.canonicalize() else {
            return Ok(None);
        };
        let is_git_file = start.is_file() && start.file_name().is_some_and(|name| name == ".git");
        let top = start.parent().filter(|_| is_git_file).unwrap_or(&start);
        Self::in_directory(top, top, environment)
    }

    /// The repository that git itself would use here: `GIT_DIR`, else upwards from the current directory.
    pub(super) fn here(environment: &Environment) -> Result<Option<Self>, OpenError> {
        let current = env::current_dir().map_err(|error| failure("the current directory is gone", &error))?;
        let place = Self::search(&current, environment)?;
        let given_work_tree = environment
            .get_os("GIT_WORK_TREE")
            .map(|work_tree| current.join(work_tree));
        Ok(place.map(|place| Self {
            given_work_tree,
            ..place
        }))
    }

    fn search(current: &Path, environment: &Environment) -> Result<Option<Self>, OpenError> {
        if let Some(git_dir) = environment.get_os("GIT_DIR") {
            let git_dir = current.join(git_dir);
            let git_dir = read_git_file(&git_dir, environment)?.unwrap_or(git_dir);
            return Ok(is_git_directory(&git_dir, environment).then(|| Self {
                found: None,
                ..Self::new(&git_dir, None, None, current)
            }));
        }
        let device = device_of(current);
        let across = environment
            .bool("GIT_DISCOVERY_ACROSS_FILESYSTEM")
            .map_err(OpenError::Other)?
            .unwrap_or(false);
        let ceilings = ceilings(environment);
        for directory in current.ancestors() {
            let is_start = directory == current;
            if !is_start
                && (ceilings.iter().any(|ceiling| ceiling == directory)
                    || (!across && device_of(directory) != device))
            {
                break;
            }
            if let Some(place) = Self::in_directory(directory, current, environment)? {
                place.check_bare(environment)?;
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn in_directory(
        directory: &Path,
        start: &Path,
        environment: &Environment,
    ) -> Result<Option<Self>, OpenError> {
        let dot_git = directory.join(".git");
        if let Some(git_dir) = read_git_file(&dot_git, environment)? {
            return Ok(Some(Self::new(&git_dir, Some(&dot_git), Some(directory), start)));
        }
        let top = if is_git_directory(&dot_git, environment) {
            (&*dot_git, Some(directory))
        } else if is_git_directory(directory, environment) {
            (directory, None)
        } else {
            return Ok(None);
        };
        Ok(Some(Self::new(top.0, None, top.1, start)))
    }

    fn new(git_dir: &Path, git_file: Option<&Path>, top: Option<&Path>, start: &Path) -> Self {
        let real = git_dir.canonicalize().unwrap_or_else(|_| git_dir.to_owned());
        Self {
            common_dir: common_dir_of(&real),
            top: top.map(Path::to_owned),
            given_work_tree: None,
            found: Some(Found {
                git_file: git_file.map(Path::to_owned),
                work_tree: top.map(Path::to_owned),
                // The target of a `.git` file is judged where it really is, a directory as it was found.
                git_dir: if git_file.is_some() {
                    real.clone()
                } else {
                    git_dir.to_owned()
                },
                start: start.to_owned(),
            }),
            git_dir: real,
        }
    }

    /// `safe.bareRepository=explicit` refuses a bare repository that the search came upon. Those within a working tree's
    /// own `.git` are not bare to it.
    fn check_bare(&self, environment: &Environment) -> Result<(), OpenError> {
        let path = self.git_dir.to_string_lossy();
        if self.top.is_some()
            || self.git_dir.file_name().is_some_and(|name| name == ".git")
            || ["/.git/worktrees/", "/.git/modules/"]
                .iter()
                .any(|inside| path.contains(inside))
        {
            return Ok(());
        }
        let config = Config::load_protected(environment).map_err(OpenError::Other)?;
        if config.get("safe.bareRepository") != Some("explicit") {
            return Ok(());
        }
        Err(OpenError::Other(Failure::new(
            Kind::Local,
            format!(
                "git uses no bare repository that nobody named, such as {path}, as safe.bareRepository is 'explicit': give its path, or set GIT_DIR"
            ),
        )))
    }
}

/// The directories above which the search does not go: absolute ones, with their links resolved up to an empty entry.
fn ceilings(environment: &Environment) -> Vec<PathBuf> {
    let mut is_resolved = true;
    let mut ceilings = Vec::new();
    let given = environment.get_os("GIT_CEILING_DIRECTORIES").unwrap_or_default();
    for ceiling in env::split_paths(given) {
        if ceiling.as_os_str().is_empty() {
            is_resolved = false;
        } else if ceiling.is_absolute() {
            let real = if is_resolved {
                ceiling.canonicalize().ok()
            } else {
                Some(ceiling)
            };
            ceilings.extend(real);
        }
    }
    ceilings
}

#[cfg(unix)]
fn device_of(directory: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    directory.metadata().ok().map(|metadata| metadata.dev())
}

#[cfg(not(unix))]
fn device_of(_directory: &Path) -> Option<u64> {
    None
}

/// `gitdir: <path>` in a file: the git directory that it names. `None` where there is no file.
fn read_git_file(file: &Path, environment: &Environment) -> Result<Option<PathBuf>, OpenError> {
    if !file.is_file() {
        return Ok(None);
    }
    let content =
        fs::read(file).map_err(|error| failure(format_args!("reading {}", file.display()), &error))?;
    let Some(named) = content
        .strip_prefix(b"gitdir: ")
        .map(without_line_end)
        .filter(|named| !named.is_empty())
    else {
        return Err(OpenError::Other(Failure::new(
            Kind::Local,
            format!(
                "{} is a file that does not say 'gitdir: <path>' as git writes it",
                file.display()
            ),
        )));
    };
    let named = file.parent().unwrap_or(Path::new("")).join(path_of(named));
    if is_git_directory(&named, environment) {
        Ok(Some(named))
    } else {
        Err(OpenError::NotFound {
            message: format!(
                "{} names {}, where there is no git repository",
                file.display(),
                named.display()
            ),
        })
    }
}

/// What git takes for a git directory: a `HEAD`, objects and refs.
fn is_git_directory(path: &Path, environment: &Environment) -> bool {
    if !has_head(path) {
        return false;
    }
    let common_dir = common_dir_of(path);
    let objects = match environment.get_os("GIT_OBJECT_DIRECTORY") {
        // A relative one is found from the working tree, which is not known yet.
        Some(objects) if Path::new(objects).is_relative() => !objects.is_empty(),
        Some(objects) => is_accessible(Path::new(objects)),
        None => is_accessible(&common_dir.join("objects")),
    };
    objects && is_accessible(&common_dir.join("refs"))
}

fn has_head(git_dir: &Path) -> bool {
    let head = git_dir.join("HEAD");
    if let Ok(target) = fs::read_link(&head) {
        return target.starts_with("refs");
    }
    // The id may be one of SHA-256: such a repository is refused later, by its format.
    let starts_with_id = || {
        let content = fs::read(&head).ok()?;
        Oid::from_hex(content.get(..Oid::HEX_LENGTH)?)
    };
    match loose_ref::read(&head) {
        Ok(Some(LooseRef::Points(_))) => true,
        Ok(Some(LooseRef::Symbolic(target))) => target.starts_with("refs/"),
        Ok(Some(LooseRef::Broken)) if starts_with_id().is_some() => true,
        // Another program may be about to write it.
        Ok(Some(LooseRef::Broken)) => {
            let filled = once_filled(|| loose_ref::read(&head));
            matches!(filled, Ok(Some(LooseRef::Points(_) | LooseRef::Symbolic(_))))
        }
        Ok(None) | Err(_) => false,
    }
}

#[cfg(unix)]
fn is_accessible(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_accessible(path: &Path) -> bool {
    path.exists()
}

/// The `commondir` file of a linked worktree's git directory names the directory that it shares.
fn common_dir_of(git_dir: &Path) -> PathBuf {
    match fs::read(git_dir.join("commondir")) {
        Ok(named) => {
            let common_dir = git_dir.join(path_of(without_line_end(&named)));
            common_dir.canonicalize().unwrap_or(common_dir)
        }
        Err(_) => git_dir.to_owned(),
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
    &bytes[..end.map_or(0, |last| last + 1)]
}

/// A path as a file of git's spells it.
#[cfg(unix)]
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn failure(doing: impl std::fmt::Display, error: &io::Error) -> OpenError {
    OpenError::Other(Failure::new(Kind::Local, format!("{doing}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::testing::Sandbox;
    use super::*;

    /// What git finds from a directory, and what it says where it finds nothing.
    fn theirs(start: &Path, variables: &[(&str, String)]) -> Result<PathBuf, String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(start)
            .args(["rev-parse", "--absolute-git-dir"])
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("git runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout).into())
        } else {
            Err(text(&output.stderr))
        }
    }

    fn ours(start: &Path, variables: &[(&str, String)]) -> Result<PathBuf, String> {
        let environment = variables.iter().fold(
            Environment::default()
                .with("GIT_CONFIG_NOSYSTEM", "1")
                .with("GIT_CONFIG_GLOBAL", "/dev/null"),
            |environment, (name, value)| environment.with(name, value),
        );
        match Place::search(start, &environment) {
            Ok(Some(place)) => Ok(place.git_dir),
            Ok(None) => Err("nothing".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_nobody_named_is_found_where_git_finds_it() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.git(&work, &["init", "-q", "--bare", "inside/bare.git"]);
        for directory in [
            "work/a/b",
            "work/inside/bare.git/x",
            "none",
            "work/broken",
            "work/lost",
        ] {
            fs::create_dir_all(sandbox.path(directory)).expect("creates");
        }
        fs::write(sandbox.path("work/a/.git"), "gitdir: ../inside/bare.git\n").expect("writes");
        fs::write(sandbox.path("work/broken/.git"), "gitdir ../inside/bare.git\n").expect("writes");
        fs::write(sandbox.path("work/lost/.git"), "gitdir: ../nowhere\n").expect("writes");
        let at = |name: &str| sandbox.path(name).display().to_string();
        let is_explicit = || {
            vec![
                ("GIT_CONFIG_COUNT", "1".to_owned()),
                ("GIT_CONFIG_KEY_0", "safe.bareRepository".to_owned()),
                ("GIT_CONFIG_VALUE_0", "explicit".to_owned()),
            ]
        };
        let ceiling = |value: String| vec![("GIT_CEILING_DIRECTORIES", value)];
        for (start, variables, expected) in [
            ("work", vec![], Some("work/.git")),
            ("work/inside", vec![], Some("work/.git")),
            ("work/.git/refs", vec![], Some("work/.git")),
            ("work/a", vec![], Some("work/inside/bare.git")),
            ("work/a/b", vec![], Some("work/inside/bare.git")),
            ("work/inside/bare.git/x", vec![], Some("work/inside/bare.git")),
            ("work/broken", vec![], None),
            ("work/lost", vec![], None),
            ("none", ceiling(at("")), None),
            ("work/inside", ceiling(at("work")), None),
            (
                "work/inside",
                ceiling(format!("{}:/x", at("none"))),
                Some("work/.git"),
            ),
            ("work/inside", ceiling(format!(":{}", at("work"))), None),
            ("work", ceiling(at("work")), Some("work/.git")),
            ("work", ceiling("work".to_owned()), Some("work/.git")),
            ("none", vec![("GIT_DIR", at("work/.git"))], Some("work/.git")),
            (
                "none",
                vec![("GIT_DIR", "../work/.git".to_owned())],
                Some("work/.git"),
            ),
            (
                "none",
                vec![("GIT_DIR", at("work/a/.git"))],
                Some("work/inside/bare.git"),
            ),
            ("work", vec![("GIT_DIR", at("none"))], None),
            ("work", vec![("GIT_DIR", at("work"))], None),
            ("work/inside", is_explicit(), Some("work/.git")),
            ("work/.git/refs", is_explicit(), Some("work/.git")),
            ("work/inside/bare.git", is_explicit(), None),
            ("work/a", is_explicit(), Some("work/inside/bare.git")),
        ] {
            let start = sandbox.path(start);
            let expected = expected.map(|expected| sandbox.path(expected));
            let said = (theirs(&start, &variables), ours(&start, &variables));
            let found = (said.0.clone().ok(), said.1.clone().ok());
            assert_eq!(
                found,
                (expected.clone(), expected),
                "{} {variables:?}: {said:?}",
                start.display()
            );
        }
    }

    #[test]
    fn a_path_may_be_that_of_a_git_file() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let linked = sandbox.path("linked");
        sandbox.git(&work, &["worktree", "add", "-q", linked.to_str().expect("UTF-8")]);
        let place = |path: &Path| {
            Place::at(path, &Environment::default())
                .expect("readable")
                .expect("there")
        };
        let (by_file, by_directory) = (place(&linked.join(".git")), place(&linked));
        assert_eq!(by_file.git_dir, by_directory.git_dir);
        assert_eq!(by_file.common_dir, work.join(".git"));
        assert_eq!(by_file.top, Some(linked));
    }
}
