//! Finds a repository by git's rules (`setup.c` of git 2.47).
//!
//! libgit2 does not: it finds fewer, since it requires a working tree that exists, has its own list of extensions, and
//! reads the environment of the process. It only reads objects here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use git_wire::oid::Oid;

use super::failure;
use super::open::OpenError;
use super::refs::once_filled;
use crate::config::{Config, Environment};
use crate::loose_ref::{self, LooseRef};

/// Where a repository is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The directory with `HEAD`; symbolic links are resolved.
    pub(super) git_dir: PathBuf,
    /// The directory with objects and branches, which linked worktrees share.
    pub(super) common_dir: PathBuf,
    /// The working tree from `GIT_WORK_TREE`, if git itself would search for the repository.
    pub(super) given_work_tree: Option<PathBuf>,
    /// The paths whose owner git checks. `None` if `GIT_DIR` named the repository, which git then trusts.
    pub(super) found: Option<Found>,
}

/// The paths that led to a repository, as they are spelled.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) git_file: Option<PathBuf>,
    /// The directory with the `.git`.
    pub(super) top: Option<PathBuf>,
    pub(super) git_dir: PathBuf,
    /// Where the search started: `.` in `safe.directory`.
    pub(super) start: PathBuf,
}

impl Place {
    /// Finds the repository at a path: a git directory, a directory with a `.git`, or such a file. It does not search
    /// the parents.
    pub(super) fn at(path: &Path, environment: &Environment) -> Result<Option<Self>, OpenError> {
        // An inaccessible path counts as missing.
        let Ok(start) = path.canonicalize() else {
            return Ok(None);
        };
        let is_git_file = start.is_file() && start.ends_with(".git");
        let top = start.parent().filter(|_| is_git_file).unwrap_or(&start);
        Self::in_directory(top, top, environment)
    }

    /// Finds the repository that git itself would use here: `GIT_DIR`, else upwards from the current directory.
    pub(super) fn here(environment: &Environment) -> Result<Option<Self>, OpenError> {
        let current = env::current_dir().map_err(|error| failure("reading the current directory", error))?;
        let work_tree = environment.get_os("GIT_WORK_TREE");
        let given_work_tree = work_tree.map(|work_tree| current.join(work_tree));
        let place = Self::search(&current, environment)?;
        Ok(place.map(|place| Self {
            given_work_tree,
            ..place
        }))
    }

    fn search(current: &Path, environment: &Environment) -> Result<Option<Self>, OpenError> {
        if let Some(git_dir) = environment.get_os("GIT_DIR") {
            let git_dir = current.join(git_dir);
            let git_dir = read_git_file(&git_dir, environment)?.unwrap_or(git_dir);
            return Ok(is_git_directory(&git_dir, environment).then(|| Self::new(resolve(&git_dir), None)));
        }
        let crosses_devices = environment
            .bool("GIT_DISCOVERY_ACROSS_FILESYSTEM")?
            .unwrap_or(false);
        let device = device_of(current);
        let ceilings = ceilings(environment);
        for directory in current.ancestors() {
            let is_limit = ceilings.iter().any(|ceiling| ceiling == directory)
                || (!crosses_devices && device_of(directory) != device);
            if is_limit && directory != current {
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
        let found = |git_file: Option<&Path>, top: Option<&Path>, git_dir: &Path| Found {
            git_file: git_file.map(Path::to_owned),
            top: top.map(Path::to_owned),
            git_dir: git_dir.to_owned(),
            start: start.to_owned(),
        };
        let (git_dir, found) = if let Some(named) = read_git_file(&dot_git, environment)? {
            // Its owner is checked where it really is.
            let git_dir = resolve(&named);
            let found = found(Some(&dot_git), Some(directory), &git_dir);
            (git_dir, found)
        } else if is_git_directory(&dot_git, environment) {
            (resolve(&dot_git), found(None, Some(directory), &dot_git))
        } else if is_git_directory(directory, environment) {
            (resolve(directory), found(None, None, directory))
        } else {
            return Ok(None);
        };
        Ok(Some(Self::new(git_dir, Some(found))))
    }

    fn new(git_dir: PathBuf, found: Option<Found>) -> Self {
        Self {
            common_dir: common_dir_of(&git_dir),
            git_dir,
            given_work_tree: None,
            found,
        }
    }

    /// The directory with the `.git` that led here.
    pub(super) fn top(&self) -> Option<&Path> {
        self.found.as_ref()?.top.as_deref()
    }

    /// Heeds `safe.bareRepository=explicit`, which refuses a bare repository that a search found. One within the `.git` of
    /// a working tree does not count as bare.
    fn check_bare(&self, environment: &Environment) -> Result<(), OpenError> {
        let path = self.git_dir.to_string_lossy();
        let is_bare = self.top().is_none()
            && !self.git_dir.ends_with(".git")
            && !path.contains("/.git/worktrees/")
            && !path.contains("/.git/modules/");
        if !is_bare || Config::load_protected(environment)?.get("safe.bareRepository") != Some("explicit") {
            return Ok(());
        }
        Err(OpenError::Other(failure(
            format_args!("the bare repository at {path} cannot be used"),
            "safe.bareRepository is 'explicit', so a bare repository must be named: pass its path as repoPath, or set GIT_DIR",
        )))
    }
}

/// Reads the directories that the search does not enter: absolute ones, whose links are resolved up to the first empty
/// entry.
fn ceilings(environment: &Environment) -> Vec<PathBuf> {
    let given = environment.get_os("GIT_CEILING_DIRECTORIES").unwrap_or_default();
    let mut is_resolved = true;
    let mut ceilings = Vec::new();
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

fn resolve(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Reads the git directory from a file with `gitdir: <path>`. `None` if there is no such file.
fn read_git_file(file: &Path, environment: &Environment) -> Result<Option<PathBuf>, OpenError> {
    if !file.is_file() {
        return Ok(None);
    }
    let reading = || format!("reading {}", file.display());
    let content = fs::read(file).map_err(|error| failure(reading(), error))?;
    let named = content
        .strip_prefix(b"gitdir: ")
        .map(without_line_end)
        .filter(|named| !named.is_empty())
        .ok_or_else(|| failure(reading(), "expected 'gitdir: <path>', as git writes it"))?;
    let named = file.parent().unwrap_or(Path::new("")).join(path_of(named));
    if is_git_directory(&named, environment) {
        Ok(Some(named))
    } else {
        Err(OpenError::NotFound(format!(
            "{} names {}, where there is no git repository",
            file.display(),
            named.display()
        )))
    }
}

/// Whether git accepts this as a git directory: it has a `HEAD`, objects and refs.
fn is_git_directory(path: &Path, environment: &Environment) -> bool {
    if !has_head(path) {
        return false;
    }
    let common_dir = common_dir_of(path);
    let objects = match environment.get_os("GIT_OBJECT_DIRECTORY") {
        // A relative one starts from the working tree, which is not known yet.
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
    // git looks at the beginning of an id alone.
    let starts_with_id = || {
        let content = fs::read(&head).ok()?;
        Oid::from_hex(content.get(..40)?)
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

/// Reads the `commondir` file of a linked worktree, which names the directory that it shares.
fn common_dir_of(git_dir: &Path) -> PathBuf {
    match fs::read(git_dir.join("commondir")) {
        Ok(named) => {
            let common_dir = git_dir.join(path_of(without_line_end(&named)));
            resolve(&common_dir)
        }
        Err(_) => git_dir.to_owned(),
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
    &bytes[..end.map_or(0, |last| last + 1)]
}

/// A path from the bytes in one of git's files.
#[cfg(unix)]
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
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
    fn a_search_finds_what_git_finds() {
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
    fn a_git_file_is_accepted_as_a_path() {
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
        assert_eq!(by_file.top(), Some(&*linked));
    }
}
