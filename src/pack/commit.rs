//! Reads commits by their headers alone: an author without a date, which libgit2 refuses, is no reason not to send one.

use git2::ObjectType;

use super::objects::Objects;
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::repository::CommitHeader;

/// What of a commit decides about what is sent.
pub(super) struct Commit {
    pub(super) oid: Oid,
    pub(super) tree: Oid,
    /// None behind the boundary of a shallow clone.
    pub(super) parents: Box<[Oid]>,
    /// When it was committed, in seconds.
    pub(super) time: i64,
}

impl Objects<'_> {
    /// Reads a commit.
    ///
    /// # Errors
    ///
    /// When it is missing or damaged, or its header does not name a tree and parents.
    pub(super) fn commit(&mut self, oid: Oid) -> Result<Commit, Failure> {
        let object = self.read(oid)?;
        let header = Some(&object).filter(|object| object.kind == ObjectType::Commit);
        let CommitHeader { tree, parents, time } = header
            .and_then(|object| CommitHeader::parse(object.data()))
            .ok_or_else(|| {
                Failure::new(
                    Kind::Local,
                    format!("object {oid} of the local repository is not a valid commit"),
                )
            })?;
        let is_last = self.shallow.contains(&oid);
        let parents = if is_last { Box::default() } else { parents.into() };
        Ok(Commit {
            oid,
            tree,
            parents,
            time,
        })
    }

    /// The commit that an object is, or that a tag leads to.
    pub(super) fn peel_to_commit(&mut self, mut oid: Oid) -> Option<Commit> {
        loop {
            let object = self.read(oid).ok()?;
            if object.kind != ObjectType::Tag {
                return self.commit(oid).ok();
            }
            let target = object.data().strip_prefix(b"object ")?.get(..Oid::HEX_LENGTH)?;
            oid = Oid::from_hex(target)?;
        }
    }
}
