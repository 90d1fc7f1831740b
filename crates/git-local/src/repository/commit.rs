//! Reads commits by their headers alone.
//!
//! libgit2 refuses a commit whose author or date it does not understand. git and its servers accept such commits, which old
//! importers have written by the thousand, so those lines are not looked at here.

use std::collections::HashSet;
use std::path::Path;

use git_wire::oid::Oid;
use git2::{ErrorCode, ObjectType, Odb, OdbLookupFlags};

use super::history::missing;
use super::{failure, shallow_commits, to_git2};
use crate::LocalError;

/// What the header of a commit says of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) oid: Oid,
    pub(crate) tree: Oid,
    pub(crate) parents: Box<[Oid]>,
    /// The committer's time in seconds; 0 if it cannot be read, as in git.
    pub(crate) time: i64,
}

impl Commit {
    /// Parses the content of a commit. Its lines are in a fixed order: tree, parents, author, committer.
    ///
    /// # Errors
    ///
    /// If the object is not a commit, or names no valid tree and parents.
    pub(crate) fn parse(oid: Oid, kind: ObjectType, content: &[u8]) -> Result<Self, LocalError> {
        Some(content)
            .filter(|_| kind == ObjectType::Commit)
            .and_then(|content| Self::parse_header(oid, content))
            .ok_or_else(|| {
                let message = format!("object {oid} of the local repository is not a valid commit");
                LocalError::new(message)
            })
    }

    fn parse_header(oid: Oid, content: &[u8]) -> Option<Self> {
        let format = oid.format();
        let mut lines = content
            .split(|&byte| byte == b'\n')
            .take_while(|line| !line.is_empty())
            .peekable();
        let tree = format.parse(lines.next()?.strip_prefix(b"tree ")?)?;
        let mut parents = Vec::new();
        while let Some(parent) = lines.peek().and_then(|line| line.strip_prefix(b"parent ")) {
            parents.push(format.parse(parent)?);
            lines.next();
        }
        let time = lines
            .find_map(|line| line.strip_prefix(b"committer "))
            .and_then(parse_time)
            .unwrap_or(0);
        Some(Self {
            oid,
            tree,
            parents: parents.into(),
            time,
        })
    }
}

/// Parses the seconds in `Name <mail> 1700000000 +0100`.
fn parse_time(committer: &[u8]) -> Option<i64> {
    let after_mail = committer.rsplit(|&byte| byte == b'>').next()?;
    str::from_utf8(after_mail)
        .ok()?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The commits of an object database, without the parents that a shallow clone lacks.
pub(crate) struct Commits<'db> {
    odb: &'db Odb<'static>,
    shallow: HashSet<Oid>,
}

impl<'db> Commits<'db> {
    /// # Errors
    ///
    /// If the boundary of a shallow clone cannot be read.
    pub(crate) fn new(odb: &'db Odb<'static>, common_dir: &Path) -> Result<Self, LocalError> {
        let shallow = shallow_commits(common_dir)?.into_iter().collect();
        Ok(Self { odb, shallow })
    }

    /// The same, where the boundary of a shallow clone is only where a parent is really missing: what was fetched since may
    /// lead beyond it.
    ///
    /// # Errors
    ///
    /// As [`Commits::new`].
    pub(super) fn to_missing_parents(odb: &'db Odb<'static>, common_dir: &Path) -> Result<Self, LocalError> {
        let mut commits = Self::new(odb, common_dir)?;
        let boundary = std::mem::take(&mut commits.shallow);
        let lacks_parents = |oid: &Oid| match commits.read(*oid) {
            Ok(Some(commit)) => commits.existing(&commit.parents).count() < commit.parents.len(),
            _ => true,
        };
        let shallow = boundary.into_iter().filter(lacks_parents).collect();
        Ok(Self { odb, shallow })
    }

    /// Reads a commit; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the object is damaged, or not a commit.
    pub(super) fn read(&self, oid: Oid) -> Result<Option<Commit>, LocalError> {
        let object = match self.odb.read(to_git2(oid)) {
            Ok(object) => object,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(failure(format_args!("reading commit {oid}"), &error)),
        };
        let mut commit = Commit::parse(oid, object.kind(), object.data())?;
        if self.shallow.contains(&oid) {
            commit.parents = Box::default();
        }
        Ok(Some(commit))
    }

    /// Whether a commit and its first parents are so many or more.
    ///
    /// # Errors
    ///
    /// If one of them is missing or damaged.
    pub(crate) fn has_first_parents(&self, tip: Oid, commits: u64) -> Result<bool, LocalError> {
        let mut next = Some(tip);
        for _ in 0..commits {
            let Some(oid) = next else { return Ok(false) };
            let commit = self.read(oid)?.ok_or_else(|| missing(oid))?;
            next = commit.parents.first().copied();
        }
        Ok(true)
    }

    /// Keeps the ids of objects that exist. libgit2 would look for new packs at each miss; once is enough.
    pub(crate) fn existing<'a>(&self, oids: &'a [Oid]) -> impl Iterator<Item = Oid> + use<'_, 'a> {
        let exists = |oid: Oid| self.odb.exists_ext(to_git2(oid), OdbLookupFlags::NO_REFRESH);
        if !oids.iter().all(|&oid| exists(oid)) {
            // If this fails, libgit2 still has the packs that it knew before.
            let _: Result<(), git2::Error> = self.odb.refresh();
        }
        oids.iter().copied().filter(move |&oid| exists(oid))
    }

    /// Reads the commit that an object is, or that a tag leads to. `None` if there is no readable one.
    pub(super) fn peel(&self, mut oid: Oid) -> Option<Commit> {
        loop {
            let object = self.odb.read(to_git2(oid)).ok()?;
            if object.kind() != ObjectType::Tag {
                return self.read(oid).ok()?;
            }
            let line = object.data().split(|&byte| byte == b'\n').next()?;
            oid = oid.format().parse(line.strip_prefix(b"object ")?)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    fn oid(digit: u8) -> Oid {
        Oid::sha1([digit; 20])
    }

    fn parse(rest: &str) -> Option<Commit> {
        let content = format!("tree {TREE}\n{rest}");
        Commit::parse(oid(9), ObjectType::Commit, content.as_bytes()).ok()
    }

    #[test]
    fn a_commit_without_an_author_a_date_or_a_message_is_read() {
        for rest in [
            "",
            "author\ncommitter\n\nm\n",
            "author A 1\ncommitter A <a\n\nm\n",
            "committer A <a@example.org>\n\nm\n",
            "\nparent x",
            "x\n parent x\nauthor",
        ] {
            let header = parse(rest).expect("a header");
            assert_eq!((&header.parents[..], header.time), (&[][..], 0), "{rest:?}");
        }
    }

    #[test]
    fn parents_are_those_behind_the_tree() {
        let (one, two) = (oid(1), oid(2));
        let header = parse(&format!(
            "parent {one}\nparent {two}\nauthor A <a> 1 +0000\nparent {two}\ncommitter A <a> 7 +0000\n\nparent x\n"
        ))
        .expect("a header");
        assert_eq!(header.tree.to_string(), TREE);
        assert_eq!((&header.parents[..], header.time), (&[one, two][..], 7));
        assert_eq!(parse("parent 1\n"), None);
        assert!(Commit::parse(one, ObjectType::Commit, b"author A <a> 1 +0000\n").is_err());
    }

    #[test]
    fn the_time_is_read_behind_any_name_and_zero_where_it_cannot_be() {
        for (committer, expected) in [
            ("A <a@b> 1700000000 +0100", 1_700_000_000),
            ("> A > <a>b> -5 +0000", -5),
            (" <> 7 +0000", 7),
            ("A <a@b>", 0),
            ("A <a@b> soon", 0),
            ("A <a@b> 99999999999999999999 +0000", 0),
            ("", 0),
        ] {
            let header = parse(&format!("committer {committer}\n")).expect("a header");
            assert_eq!(header.time, expected, "{committer}");
        }
    }
}
