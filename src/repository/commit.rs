//! The header of a commit as it is stored: what git needs of it to walk a history and to send it.
//!
//! libgit2 refuses a commit whose author or date it cannot make sense of. git and its servers take such commits, which
//! old importers have written by the thousand, so they are read here without those lines.

use std::collections::HashSet;

use super::{Repository, failure, shallow_commits, to_git2};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// The commits of a repository, each with the parents that are there to be read: none behind the boundary of a shallow
/// clone.
pub(super) struct Commits<'repo> {
    odb: &'repo git2::Odb<'static>,
    shallow: HashSet<Oid>,
}

impl<'repo> Commits<'repo> {
    /// # Errors
    ///
    /// When that boundary cannot be read.
    pub(super) fn of(repository: &'repo Repository) -> Result<Self, Failure> {
        let odb = repository.odb();
        let shallow = shallow_commits(repository.common_dir())?.into_iter().collect();
        Ok(Self { odb, shallow })
    }

    /// Reads one; `None` where it is not there.
    ///
    /// # Errors
    ///
    /// When it is corrupt, or no commit.
    pub(super) fn read(&self, oid: Oid) -> Result<Option<CommitHeader>, Failure> {
        let object = match self.odb.read(to_git2(oid)) {
            Ok(object) => object,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(failure(format_args!("reading commit {oid}"), error.message())),
        };
        let unusable = |what: &str| Failure::new(Kind::Local, format!("reading commit {oid}: {what}"));
        if object.kind() != git2::ObjectType::Commit {
            return Err(unusable("it is not a commit"));
        }
        let mut header =
            CommitHeader::parse(object.data()).ok_or_else(|| unusable("its header is malformed"))?;
        if self.shallow.contains(&oid) {
            header.parents.clear();
        }
        Ok(Some(header))
    }
}

/// The lines of a commit's header that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CommitHeader {
    pub(crate) tree: Oid,
    pub(crate) parents: Vec<Oid>,
    /// When it was committed, in seconds. 0 where that cannot be read, as in git.
    pub(crate) time: i64,
}

impl CommitHeader {
    /// Reads a commit's content. Its lines come in a fixed order: tree, parents, author, committer. `None` where an id is
    /// malformed.
    pub(crate) fn parse(content: &[u8]) -> Option<Self> {
        let mut lines = content
            .split(|&byte| byte == b'\n')
            .take_while(|line| !line.is_empty())
            .peekable();
        let tree = Oid::from_hex(lines.next()?.strip_prefix(b"tree ")?)?;
        let mut parents = Vec::new();
        while let Some(parent) = lines.peek().and_then(|line| line.strip_prefix(b"parent ")) {
            parents.push(Oid::from_hex(parent)?);
            lines.next();
        }
        let time = lines
            .find_map(|line| line.strip_prefix(b"committer "))
            .and_then(parse_time)
            .unwrap_or(0);
        Some(Self { tree, parents, time })
    }
}

/// The seconds in `Name <mail> 1700000000 +0100`.
fn parse_time(committer: &[u8]) -> Option<i64> {
    let after_mail = committer.rsplit(|&byte| byte == b'>').next()?;
    str::from_utf8(after_mail)
        .ok()?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    fn oid(digit: u8) -> Oid {
        Oid::from_bytes([digit; 20])
    }

    fn parse(rest: &str) -> Option<CommitHeader> {
        CommitHeader::parse(format!("tree {TREE}\n{rest}").as_bytes())
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
            assert_eq!((header.parents, header.time), (Vec::new(), 0), "{rest:?}");
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
        assert_eq!((header.parents, header.time), (vec![one, two], 7));
        assert_eq!(parse("parent 1\n"), None);
        assert_eq!(CommitHeader::parse(b"author A <a> 1 +0000\n"), None);
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
