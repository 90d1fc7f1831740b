//! Finds and opens a repository, and says in words an operator can act on why one cannot be opened.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind};

/// Why a repository could not be opened. The messages say what was given, what was expected and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// There is no repository.
    NotFound {
        /// For people.
        message: String,
    },
    /// There is one, of a format that is not supported: SHA-256, reftable, an unknown extension.
    Unsupported {
        /// For people.
        message: String,
    },
    /// It belongs to somebody else, and git's `safe.directory` does not list it.
    NotOwned {
        /// For people.
        message: String,
    },
    /// Anything else: unreadable files, a broken configuration.
    Other(Failure),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { message } | Self::Unsupported { message } | Self::NotOwned { message } => {
                formatter.write_str(message)
            }
            Self::Other(failure) => fmt::Display::fmt(failure, formatter),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Other(failure) => Some(failure),
            _ => None,
        }
    }
}

pub(super) fn open(path: Option<&Path>) -> Result<git2::Repository, OpenError> {
    super::libgit2::set_up();
    let opened = match path {
        Some(path) => git2::Repository::open(path),
        None => git2::Repository::open_from_env(),
    };
    // libgit2 does not know reftable, and of SHA-256 it says only that an option is invalid: look first at what
    // the repository says of itself, whatever libgit2 made of it.
    let common_dir = match &opened {
        Ok(repo) => Some(repo.commondir().to_owned()),
        Err(_) => locate(path).map(|git_dir| common_dir_of(&git_dir)),
    };
    if let Some(message) = common_dir.as_deref().and_then(unsupported_format) {
        return Err(OpenError::Unsupported { message });
    }
    opened.map_err(|error| explain(path, &error))
}

/// The git directory that libgit2 found but would not open.
fn locate(path: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = path {
        // The lookup stops at a ceiling, but always looks at the place where it starts.
        git2::Repository::discover_path(path, path.parent()).ok()
    } else if let Some(git_dir) = env::var_os("GIT_DIR") {
        Some(git_dir.into())
    } else {
        let ceilings = env::var_os("GIT_CEILING_DIRECTORIES").unwrap_or_default();
        git2::Repository::discover_path(".", env::split_paths(&ceilings)).ok()
    }
}

/// The `commondir` file of a linked worktree's git directory names the directory that it shares.
fn common_dir_of(git_dir: &Path) -> PathBuf {
    match fs::read_to_string(git_dir.join("commondir")) {
        Ok(common_dir) => git_dir.join(common_dir.trim_end()),
        Err(_) => git_dir.to_owned(),
    }
}

fn unsupported_format(common_dir: &Path) -> Option<String> {
    let config = git2::Config::open(&common_dir.join("config")).ok()?;
    let is_other_than = |name: &str, supported: &str| {
        config
            .get_string(name)
            .ok()
            .filter(|value| !value.eq_ignore_ascii_case(supported))
    };
    let (what, advice) = if let Some(format) = is_other_than("extensions.objectformat", "sha1") {
        (
            format!("object format {format}"),
            "use a SHA-1 repository (git init --object-format=sha1)",
        )
    } else if let Some(storage) = is_other_than("extensions.refstorage", "files") {
        (
            format!("ref storage {storage}"),
            "convert it with git refs migrate --ref-format=files",
        )
    } else {
        return None;
    };
    Some(format!(
        "the repository at {} has the {what}, which is not supported: {advice}",
        common_dir.display()
    ))
}

fn explain(path: Option<&Path>, error: &git2::Error) -> OpenError {
    let said = error.message();
    let place = match path {
        Some(path) => path.display().to_string(),
        None => here(),
    };
    match error.code() {
        git2::ErrorCode::NotFound => OpenError::NotFound {
            message: match path {
                Some(_) => format!(
                    "no git repository at {place}: expected a bare repository, a working tree, a linked worktree or a .git directory; check the path, or clone there first"
                ),
                None => format!(
                    "no git repository found for {place}: start inside a repository, set GIT_DIR, or give the path of one"
                ),
            },
        },
        _ if said.contains("unsupported extension") => OpenError::Unsupported {
            message: format!(
                "the repository at {place} has a format that is not supported ({said}): use a repository without this extension"
            ),
        },
        _ => OpenError::Other(super::failure(
            format_args!("opening the git repository at {place}"),
            error,
        )),
    }
}

/// Where git's own discovery starts.
fn here() -> String {
    match (env::var_os("GIT_DIR"), env::current_dir()) {
        (Some(git_dir), _) => format!("GIT_DIR={}", git_dir.display()),
        (None, Ok(directory)) => format!("the current directory {}", directory.display()),
        (None, Err(_)) => "the current directory".to_owned(),
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Other(failure) => failure,
            other => Self::new(Kind::Local, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Repository;
    use super::super::testing::Sandbox;
    use super::*;

    #[test]
    fn every_shape_of_repository_opens() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let tip = sandbox.commit(&work, "one");
        let bare = sandbox.path("bare.git");
        sandbox.git(
            &work,
            &["clone", "--bare", "-q", ".", bare.to_str().expect("UTF-8")],
        );
        let linked = sandbox.path("linked");
        sandbox.git(
            &work,
            &[
                "worktree",
                "add",
                "-q",
                "-b",
                "side",
                linked.to_str().expect("UTF-8"),
            ],
        );

        for (given, git_dir, common_dir, root) in [
            (&bare, bare.clone(), bare.clone(), bare.clone()),
            (&work, work.join(".git"), work.join(".git"), work.clone()),
            (
                &work.join(".git"),
                work.join(".git"),
                work.join(".git"),
                work.clone(),
            ),
            (
                &linked,
                work.join(".git/worktrees/linked"),
                work.join(".git"),
                linked.clone(),
            ),
        ] {
            let repository = Repository::open(Some(given)).expect("opens");
            assert_eq!(repository.git_dir(), git_dir, "{}", given.display());
            assert_eq!(repository.common_dir(), common_dir, "{}", given.display());
            assert_eq!(repository.root(), root, "{}", given.display());
            assert_eq!(
                repository.branch_tip("refs/heads/main").expect("readable"),
                Some(tip),
                "{}",
                given.display()
            );
        }
    }

    #[test]
    fn a_folder_with_core_bare_is_rooted_in_its_git_directory() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.git(&work, &["config", "core.bare", "true"]);
        let repository = Repository::open(Some(&work)).expect("opens");
        assert_eq!(repository.root(), work.join(".git"));
    }

    #[test]
    fn a_path_is_not_searched_upwards() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let inside = work.join("inside");
        fs::create_dir(&inside).expect("creates");
        let error = Repository::open(Some(&inside)).expect_err("not a repository");
        assert!(matches!(&error, OpenError::NotFound { .. }), "{error:?}");
        assert!(error.to_string().contains(inside.to_str().expect("UTF-8")));
    }

    #[test]
    fn formats_that_are_not_supported_are_told_by_name() {
        let sandbox = Sandbox::new();
        for (option, name) in [
            ("--object-format=sha256", "sha256"),
            ("--ref-format=reftable", "reftable"),
        ] {
            for bare in [false, true] {
                let path = sandbox.path(&format!("{name}-{bare}"));
                let directory = path.to_str().expect("UTF-8");
                let mut arguments = vec!["init", "-q", option, directory];
                if bare {
                    arguments.push("--bare");
                }
                sandbox.git(Path::new("."), &arguments);
                let error = Repository::open(Some(&path)).expect_err("not supported");
                assert!(matches!(&error, OpenError::Unsupported { .. }), "{error:?}");
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn a_worktree_of_an_unsupported_repository_is_unsupported() {
        let sandbox = Sandbox::new();
        let work = sandbox.path("work");
        sandbox.git(
            Path::new("."),
            &[
                "init",
                "-q",
                "--object-format=sha256",
                work.to_str().expect("UTF-8"),
            ],
        );
        sandbox.git(&work, &["commit", "-q", "--allow-empty", "-m", "one"]);
        let linked = sandbox.path("linked");
        sandbox.git(&work, &["worktree", "add", "-q", linked.to_str().expect("UTF-8")]);
        let error = Repository::open(Some(&linked)).expect_err("not supported");
        assert!(matches!(&error, OpenError::Unsupported { .. }), "{error:?}");
    }

    #[test]
    fn an_unknown_extension_is_unsupported() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.git(&work, &["config", "core.repositoryformatversion", "1"]);
        sandbox.git(&work, &["config", "extensions.frobnicate", "true"]);
        let error = Repository::open(Some(&work)).expect_err("not supported");
        assert!(matches!(&error, OpenError::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains("frobnicate"), "{error}");
    }

    #[test]
    fn a_broken_configuration_is_a_local_failure() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        fs::write(work.join(".git/config"), "[core\n").expect("writes");
        let error = Repository::open(Some(&work)).expect_err("unreadable");
        let OpenError::Other(failure) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(failure.kind(), Kind::Local);
    }
}
