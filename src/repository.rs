//! The local repository: where it is, what its branches point to, and how two commits are related.
//!
//! With `pack` the only user of git2, which reads objects. Everything blocks, so it is called from blocking threads. It
//! never writes a local branch, an object or the configuration; the one thing it writes is a remote-tracking ref, with its
//! reflog.

mod commit;
mod format;
mod history;
pub(crate) mod libgit2;
mod objects;
mod open;
mod owner;
mod place;
mod refs;
mod shallow;
#[cfg(test)]
mod testing;
mod tracking;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) use self::commit::{Commit, Commits};
pub(crate) use self::history::missing_commits;
pub(crate) use self::objects::Database;
pub use self::objects::ObjectStore;
pub use self::open::OpenError;
use self::place::Found;
pub use self::refs::{Head, is_valid_branch_refname};
pub(crate) use self::shallow::shallow_commits;
pub use self::tracking::tracking_ref;
use crate::config::Environment;
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// An open repository. Other processes may change it at any time: every question is answered from the disk.
pub struct Repository {
    git_dir: PathBuf,
    common_dir: PathBuf,
    root: PathBuf,
    found: Option<Found>,
    is_bare: bool,
    environment: Environment,
    store: ObjectStore,
    store_state: Vec<(PathBuf, Option<SystemTime>)>,
    odb: Database,
}

impl fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Repository").field(&self.git_dir).finish()
    }
}

/// How the local branch stands to the remote one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The remote branch does not exist.
    Absent,
    /// Both are at the same commit.
    Same,
    /// The remote's tip is an ancestor of the local tip: a push is a fast-forward.
    Ahead,
    /// The local tip is an ancestor of the remote's.
    Behind,
    /// The remote's tip is not in this repository, and all that is local was once known to be on the remote.
    BehindUnknown,
    /// Each side has commits that the other lacks.
    Diverged,
    /// The remote's tip is not in this repository, and the local branch has commits that the remote was
    /// never known to have.
    DivergedUnknown,
    /// The remote's tip is not in this repository, and nothing is known of what the remote had.
    Unknowable,
}

/// The commits that a remote lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// How many there are.
    pub commits: u64,
    /// The committer time of the oldest of them.
    pub oldest: Option<SystemTime>,
}

impl Repository {
    /// Opens the bare repository, working tree, linked worktree or `.git` at a path, without looking in its
    /// parents; or, without a path, the repository that git itself would use here: `GIT_DIR`, else upwards
    /// from the current directory.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: Option<&Path>, environment: &Environment) -> Result<Self, OpenError> {
        libgit2::set_up();
        let (place, format) = open::find(path, environment)?;
        let root = format.work_tree.unwrap_or_else(|| place.git_dir.clone());
        let environment = objects::absolute(environment.clone(), &root);
        let store = ObjectStore::find(&place.common_dir, &root, &environment);
        store.check()?;
        // Before it is opened: what changes meanwhile is seen the next time.
        let store_state = store.state();
        let odb = store.open("").map_err(OpenError::Other)?;
        Ok(Self {
            git_dir: place.git_dir,
            common_dir: place.common_dir,
            root,
            found: place.found,
            is_bare: format.is_bare,
            environment,
            store,
            store_state,
            odb,
        })
    }

    /// The directory with this worktree's `HEAD`.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The directory with the objects and branches; linked worktrees share it.
    #[must_use]
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Where git itself would run, and what relative paths of remotes are relative to: the top of the working
    /// tree, or the git directory of a bare repository.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The environment that it was opened in, with whole paths to its objects.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where its objects are.
    #[must_use]
    pub const fn objects(&self) -> &ObjectStore {
        &self.store
    }

    /// Whether packs or alternates came or went since it was opened.
    #[must_use]
    pub fn objects_changed(&self) -> bool {
        ObjectStore::find(&self.common_dir, &self.root, &self.environment).state() != self.store_state
    }

    fn odb(&self) -> &git2::Odb<'static> {
        &self.odb
    }
}

/// The id as git2 takes it.
pub(crate) fn to_git2(oid: Oid) -> git2::Oid {
    git2::Oid::from_bytes(oid.as_bytes()).expect("20 bytes are a SHA-1 id")
}

/// The id as the rest of the crate takes it.
#[cfg(test)]
pub(crate) fn from_git2(oid: git2::Oid) -> Oid {
    let bytes = oid.as_bytes().try_into();
    Oid::from_bytes(bytes.expect("only SHA-1 repositories are opened, and their ids have 20 bytes"))
}

/// A failure of this repository: the action, such as `reading refs/heads/main`, and the problem.
fn failure(action: impl fmt::Display, problem: impl fmt::Display) -> Failure {
    Failure::new(Kind::Local, format!("{action}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_can_be_sent_to_a_blocking_thread() {
        fn assert_send<T: Send>() {}
        assert_send::<Repository>();
    }

    #[test]
    fn ids_survive_the_way_to_git2_and_back() {
        let oid = Oid::from_bytes(std::array::from_fn(|index| {
            u8::try_from(index).expect("below 20")
        }));
        assert_eq!(from_git2(to_git2(oid)), oid);
    }
}
