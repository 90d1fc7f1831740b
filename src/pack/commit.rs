//! Reads commits, also those that libgit2 does not: an author without a date is no reason not to send one.

use std::fs;

use git2::{ObjectType, Repository};

use super::objects::{from_git, to_git, unreadable};
use crate::failure::Failure;
use crate::oid::Oid;
use crate::repository::CommitHeader;

/// What of a commit decides about what is sent.
pub(super) struct Commit {
    pub(super) id: git2::Oid,
    pub(super) tree: git2::Oid,
    /// None behind the boundary of a shallow clone.
    pub(super) parents: Box<[git2::Oid]>,
    /// When it was committed, in seconds.
    pub(super) time: i64,
}

/// Reads a commit.
///
/// # Errors
///
/// When it is missing or damaged, or its header does not name a tree and parents.
pub(super) fn read_commit(repository: &Repository, id: git2::Oid) -> Result<Commit, Failure> {
    match repository.find_commit(id) {
        Ok(commit) => Ok(Commit {
            id,
            tree: commit.tree_id(),
            parents: commit.parent_ids().collect(),
            time: commit.time().seconds(),
        }),
        Err(error) => read_stored(repository, id).ok_or_else(|| unreadable(from_git(id), &error)),
    }
}

/// The commit that an object is, or that a tag leads to.
pub(super) fn peel_to_commit(repository: &Repository, mut id: git2::Oid) -> Option<Commit> {
    let odb = repository.odb().ok()?;
    while odb.read_header(id).ok()?.1 == ObjectType::Tag {
        let tag = odb.read(id).ok()?;
        let target = tag.data().strip_prefix(b"object ")?.get(..Oid::HEX_LENGTH)?;
        id = to_git(Oid::from_hex(target)?);
    }
    read_commit(repository, id).ok()
}

/// By what the header says alone, for a commit that libgit2 refuses.
fn read_stored(repository: &Repository, id: git2::Oid) -> Option<Commit> {
    let odb = repository.odb().ok()?;
    let object = odb
        .read(id)
        .ok()
        .filter(|object| object.kind() == ObjectType::Commit)?;
    let header = CommitHeader::parse(object.data())?;
    let parents = if is_shallow(repository, id) {
        Box::default()
    } else {
        header.parents.into_iter().map(to_git).collect()
    };
    Some(Commit {
        id,
        tree: to_git(header.tree),
        parents,
        time: header.time,
    })
}

fn is_shallow(repository: &Repository, id: git2::Oid) -> bool {
    let id = id.to_string();
    fs::read_to_string(repository.commondir().join("shallow"))
        .is_ok_and(|boundary| boundary.lines().any(|line| line == id))
}
