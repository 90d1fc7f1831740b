//! Opens a repository, and says why one cannot be opened in words that an operator can act on.

use std::env;
use std::fmt;
use std::path::Path;

use super::format::Format;
use super::place::Place;
use super::{ObjectStore, Repository, libgit2, objects};
use crate::LocalError;
use crate::config::Environment;

/// Why a repository could not be opened. The messages say what was given, what was expected and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// There is no repository.
    NotFound(String),
    /// git does not know its format version, or an extension of it.
    Unsupported(String),
    /// It belongs to another user, and git's `safe.directory` does not list it.
    NotOwned(String),
    /// Anything else: unreadable files, a broken configuration.
    Other(LocalError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(message) | Self::Unsupported(message) | Self::NotOwned(message) => {
                formatter.write_str(message)
            }
            Self::Other(failure) => failure.fmt(formatter),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<LocalError> for OpenError {
    fn from(failure: LocalError) -> Self {
        Self::Other(failure)
    }
}

impl From<OpenError> for LocalError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Other(failure) => failure,
            other => LocalError::new(other.to_string()),
        }
    }
}

impl Repository {
    /// Opens the bare repository, working tree, linked worktree or `.git` at a path, without searching its parents. Without
    /// a path, opens the repository that git itself would use here: `GIT_DIR`, else upwards from the current directory.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: Option<&Path>, environment: &Environment) -> Result<Self, OpenError> {
        libgit2::set_up();
        let place = match path {
            Some(path) => Place::at(path, environment)?,
            None => Place::here(environment)?,
        };
        let place = place.ok_or_else(|| not_found(path, environment))?;
        let Format {
            is_bare,
            work_tree,
            formats,
        } = Format::read(&place)?;
        let root = work_tree.unwrap_or_else(|| place.git_dir.clone());
        let environment = objects::absolute(environment.clone(), &root);
        let store = ObjectStore::find(&place.common_dir, &root, &environment, formats.objects);
        store.check()?;
        // Read before the packs: a later change shows in `objects_changed`.
        let store_state = store.state();
        let odb = store.open("")?;
        Ok(Self {
            git_dir: place.git_dir,
            common_dir: place.common_dir,
            found: place.found,
            root,
            is_bare,
            formats,
            environment,
            store,
            store_state,
            odb,
        })
    }
}

fn not_found(path: Option<&Path>, environment: &Environment) -> OpenError {
    if let Some(path) = path {
        return OpenError::NotFound(format!(
            "no git repository at {}: expected a bare repository, a working tree, a linked worktree or a .git directory; check the path, or clone there first",
            path.display()
        ));
    }
    let start = match (environment.get_os("GIT_DIR"), env::current_dir()) {
        (Some(git_dir), _) => format!("GIT_DIR={}", git_dir.display()),
        (None, Ok(directory)) => format!("the current directory {}", directory.display()),
        (None, Err(_)) => "the current directory".to_owned(),
    };
    OpenError::NotFound(format!(
        "no git repository found for {start}: start inside a repository, set GIT_DIR, or give the path of one"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use git_wire::oid::ObjectFormat;

    use super::super::testing::Sandbox;
    use super::super::{Formats, Head, RefFormat, Repository};
    use super::*;

    fn open(path: &Path) -> Result<Repository, OpenError> {
        Repository::open(Some(path), &Environment::default())
    }

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
        let linked = sandbox.link(&work, "linked");

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
            let repository = open(given).expect("opens");
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
    fn the_root_of_a_folder_with_core_bare_is_its_git_directory() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.git(&work, &["config", "core.bare", "true"]);
        let repository = open(&work).expect("opens");
        assert_eq!(repository.root(), work.join(".git"));
    }

    #[test]
    fn the_parents_of_a_path_are_not_searched() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let inside = work.join("inside");
        fs::create_dir(&inside).expect("creates");
        let error = open(&inside).expect_err("not a repository");
        assert!(matches!(&error, OpenError::NotFound(_)), "{error:?}");
        assert!(error.to_string().contains(inside.to_str().expect("UTF-8")));
    }

    #[test]
    fn every_format_opens() {
        let sandbox = Sandbox::new();
        for (objects, refs) in [
            (ObjectFormat::Sha1, RefFormat::Reftable),
            (ObjectFormat::Sha256, RefFormat::Files),
            (ObjectFormat::Sha256, RefFormat::Reftable),
        ] {
            let work = sandbox.path(&format!("{objects}-{}", refs.name()));
            sandbox.git(
                Path::new("."),
                &[
                    "init",
                    "-q",
                    "--initial-branch=main",
                    &format!("--object-format={objects}"),
                    &format!("--ref-format={}", refs.name()),
                    work.to_str().expect("UTF-8"),
                ],
            );
            let unborn = open(&work).expect("opens").head_branch().expect("readable");
            assert_eq!(unborn, Head::Unborn("main".to_owned()));
            let tip = sandbox.commit(&work, "one");
            let linked = sandbox.link(&work, &format!("{objects}-{}-linked", refs.name()));
            for (given, head) in [(&work, "main"), (&linked, "side")] {
                let repository = open(given).expect("opens");
                assert_eq!(repository.formats(), Formats { objects, refs });
                assert_eq!(
                    repository.head_branch().expect("readable"),
                    Head::Branch(head.to_owned())
                );
                assert_eq!(
                    repository.branch_tip("refs/heads/main").expect("readable"),
                    Some(tip)
                );
                assert_eq!(repository.branch_tip("refs/heads/none").expect("readable"), None);
                assert!(repository.has_commit(tip));
            }
        }
    }

    #[test]
    fn an_unknown_extension_is_unsupported() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.git(&work, &["config", "core.repositoryformatversion", "1"]);
        sandbox.git(&work, &["config", "extensions.frobnicate", "true"]);
        let error = open(&work).expect_err("not supported");
        assert!(matches!(&error, OpenError::Unsupported(_)), "{error:?}");
        assert!(error.to_string().contains("frobnicate"), "{error}");
    }

    #[test]
    fn a_broken_configuration_is_a_local_failure() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        fs::write(work.join(".git/config"), "[core\n").expect("writes");
        let error = open(&work).expect_err("unreadable");
        assert!(matches!(error, OpenError::Other(_)), "{error:?}");
    }
}
