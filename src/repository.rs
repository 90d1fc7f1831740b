//! The local repository: where it is, what its branches point to, and how two commits are related.
//!
//! With `pack` the only user of git2. Everything blocks, so it is called from blocking threads. It never
//! writes a local branch, an object or the configuration; the one thing it writes is a remote-tracking ref.

mod chain;
mod commit;
mod history;
pub(crate) mod libgit2;
mod open;
mod owner;
mod refs;
mod shallow;
#[cfg(test)]
mod testing;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) use self::commit::CommitHeader;
pub use self::open::OpenError;
pub use self::refs::{Head, is_valid_branch_refname};
pub(crate) use self::shallow::shallow_commits;
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// An open repository. Other processes may change it at any time: every question is answered from the disk.
pub struct Repository {
    repo: git2::Repository,
    git_dir: PathBuf,
    common_dir: PathBuf,
    root: PathBuf,
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
    pub fn open(path: Option<&Path>) -> Result<Self, OpenError> {
        open::open(path).map(Self::from_git2)
    }

    fn from_git2(repo: git2::Repository) -> Self {
        Self {
            git_dir: without_trailing_slash(repo.path()),
            common_dir: without_trailing_slash(repo.commondir()),
            root: without_trailing_slash(repo.workdir().unwrap_or_else(|| repo.path())),
            repo,
        }
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

    /// When a pack last came or went; `None` where that cannot be told.
    #[must_use]
    pub fn packs_changed(&self) -> Option<SystemTime> {
        let packs = self.common_dir.join("objects/pack");
        packs.metadata().and_then(|packs| packs.modified()).ok()
    }

    pub(crate) fn raw(&self) -> &git2::Repository {
        &self.repo
    }
}

/// libgit2 ends the paths of directories with a slash; messages and children's working directories do not.
fn without_trailing_slash(path: &Path) -> PathBuf {
    path.components().collect()
}

/// The id as git2 takes it.
pub(crate) fn to_git2(oid: Oid) -> git2::Oid {
    git2::Oid::from_bytes(oid.as_bytes()).expect("20 bytes are a SHA-1 id")
}

/// The id as the rest of the crate takes it.
pub(crate) fn from_git2(oid: git2::Oid) -> Oid {
    let bytes = oid.as_bytes().try_into();
    Oid::from_bytes(bytes.expect("only SHA-1 repositories are opened, and their ids have 20 bytes"))
}

/// A failure of libgit2, with what was being done: `reading refs/heads/main`.
fn failure(doing: impl fmt::Display, error: &git2::Error) -> Failure {
    Failure::new(Kind::Local, format!("{doing}: {}", error.message()))
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
