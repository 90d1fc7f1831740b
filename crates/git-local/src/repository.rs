//! The local repository: where it is, what its branches point to, and how two commits are related.
//!
//! Together with `pack`, this is the only user of git2, which reads objects. Everything blocks, so call it on blocking
//! threads. It never writes a local branch, an object or the configuration, but only a remote-tracking ref with its reflog.

mod branch;
mod chain;
mod commit;
mod fork;
mod format;
mod history;
pub(crate) mod libgit2;
mod objects;
mod open;
mod owner;
mod place;
mod places;
mod refs;
mod shallow;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tracking;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use git_wire::oid::Oid;

pub use self::branch::{LocalBranch, Survey, Target};
pub use self::chain::Chain;
pub(crate) use self::commit::{Commit, Commits};
pub use self::fork::{Distance, ForeignCommit, Fork};
pub use self::format::{Formats, RefFormat};
pub(crate) use self::history::missing_commits;
pub(crate) use self::objects::Database;
pub use self::objects::ObjectStore;
pub use self::open::OpenError;
use self::place::Found;
pub use self::places::places_of_ref;
pub use self::refs::{Head, is_valid_branch_refname};
pub(crate) use self::shallow::shallow_commits;
pub use self::tracking::{RefUpdate, tracking_ref};
use crate::LocalError;
use crate::config::Environment;

/// An open repository. Other processes may change it at any time, so every method reads the disk.
pub struct Repository {
    git_dir: PathBuf,
    common_dir: PathBuf,
    root: PathBuf,
    found: Option<Found>,
    is_bare: bool,
    formats: Formats,
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

/// The local branch compared with the remote one.
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
    /// The remote's tip is not in this repository, and the remote was known to have all local commits.
    BehindUnknown,
    /// Each side has commits that the other lacks.
    Diverged,
    /// The remote's tip is not in this repository, and the local branch has commits that the remote was
    /// never known to have.
    DivergedUnknown,
    /// The remote's tip is not in this repository, and no earlier tip of the remote is known.
    Unknowable,
}

/// The commits that a remote lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Their number.
    pub commits: u64,
    /// The committer time of the oldest of them.
    pub oldest: Option<SystemTime>,
}

impl Repository {
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

    /// The directory in which git would run, and to which paths of remotes are relative: the top of the working tree, or the
    /// git directory of a bare repository.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its formats, as they were when it was opened.
    #[must_use]
    pub const fn formats(&self) -> Formats {
        self.formats
    }

    /// The environment of the repository, with absolute paths to its objects.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The object directories.
    #[must_use]
    pub const fn objects(&self) -> &ObjectStore {
        &self.store
    }

    /// Whether packs or alternates came or went since the repository was opened.
    #[must_use]
    pub fn objects_changed(&self) -> bool {
        ObjectStore::find(
            &self.common_dir,
            &self.root,
            &self.environment,
            self.formats.objects,
        )
        .state()
            != self.store_state
    }

    fn odb(&self) -> &git2::Odb<'static> {
        &self.odb
    }
}

/// Converts an id to git2's type.
pub(crate) fn to_git2(oid: Oid) -> git2::Oid {
    git2::Oid::from_bytes(oid.as_bytes()).expect("an id of one of git2's formats")
}

/// Converts an id from git2's type.
#[cfg(test)]
pub(crate) fn from_git2(oid: git2::Oid) -> Oid {
    Oid::from_bytes(oid.as_bytes()).expect("an id of one of git's formats")
}

/// A failure of this repository: the action, such as `reading refs/heads/main`, and the problem.
fn failure(action: impl fmt::Display, problem: impl fmt::Display) -> LocalError {
    LocalError::new(format!("{action}: {problem}"))
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
    fn ids_are_converted_to_git2_and_back() {
        for length in [20, 32] {
            let bytes: Vec<u8> = (0..length).collect();
            let oid = Oid::from_bytes(&bytes).expect("an id");
            assert_eq!(from_git2(to_git2(oid)), oid);
        }
    }
}
