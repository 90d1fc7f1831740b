//! Tree objects as they are stored: `mode SP name NUL id`, over and over, in git's order.
//!
//! libgit2 would allocate for every entry of a tree; a directory of 100,000 files is compared here without
//! allocating for any.

use std::cmp::Ordering;

use crate::oid::Oid;

/// What an entry refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tree,
    Blob,
    /// A commit of another repository: a submodule. Its objects are not ours to send.
    Link,
}

/// One entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    pub(super) name: &'t [u8],
    pub(super) kind: Kind,
    pub(super) oid: Oid,
}

impl Entry<'_> {
    /// The order of entries in a tree: as if the name of a tree ended with a slash.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let common = self.name.len().min(other.name.len());
        self.name[..common]
            .cmp(&other.name[..common])
            .then_with(|| self.byte_at(common).cmp(&other.byte_at(common)))
    }

    fn byte_at(&self, at: usize) -> u8 {
        match self.name.get(at) {
            Some(&byte) => byte,
            None if self.kind == Kind::Tree && self.name.len() == at => b'/',
            None => 0,
        }
    }
}

/// The bytes are not those of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The entries of a tree, with a look at the next one.
#[derive(Debug)]
pub(super) struct Entries<'t> {
    rest: &'t [u8],
    next: Option<Entry<'t>>,
}

impl<'t> Entries<'t> {
    pub(super) fn new(tree: &'t [u8]) -> Result<Self, Malformed> {
        let mut entries = Self {
            rest: tree,
            next: None,
        };
        entries.advance()?;
        Ok(entries)
    }

    /// The entry at hand.
    pub(super) const fn current(&self) -> Option<&Entry<'t>> {
        self.next.as_ref()
    }

    /// Moves on, and returns the entry that was at hand.
    pub(super) fn advance(&mut self) -> Result<Option<Entry<'t>>, Malformed> {
        let next = if self.rest.is_empty() {
            None
        } else {
            Some(self.parse().ok_or(Malformed)?)
        };
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn parse(&mut self) -> Option<Entry<'t>> {
        let space = self.rest.iter().position(|&byte| byte == b' ')?;
        let (mode, rest) = (&self.rest[..space], &self.rest[space + 1..]);
        let nul = rest.iter().position(|&byte| byte == 0)?;
        let (name, rest) = (&rest[..nul], &rest[nul + 1..]);
        let (oid, rest) = rest.split_first_chunk()?;
        self.rest = rest;
        Some(Entry {
            name,
            kind: match mode {
                b"40000" | b"040000" => Kind::Tree,
                b"160000" => Kind::Link,
                _ => Kind::Blob,
            },
            oid: Oid::from_bytes(*oid),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind) -> Entry<'_> {
        Entry {
            name: name.as_bytes(),
            kind,
            oid: Oid::ZERO,
        }
    }

    #[test]
    fn a_directory_sorts_as_if_its_name_ended_with_a_slash() {
        let sorted = [
            entry("a", Kind::Blob),
            entry("a-b", Kind::Blob),
            entry("a.b", Kind::Tree),
            entry("a", Kind::Tree),
            entry("a0", Kind::Link),
            entry("b", Kind::Tree),
        ];
        for pair in sorted.windows(2) {
            assert_eq!(pair[0].order(&pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(pair[1].order(&pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(sorted[0].order(&sorted[0]), Ordering::Equal);
    }

    #[test]
    fn entries_are_read_in_order() {
        let tree = [
            b"100644 f\0".as_slice(),
            &[1; 20],
            b"40000 d\0",
            &[2; 20],
            b"160000 l\0",
            &[3; 20],
        ]
        .concat();
        let mut entries = Entries::new(&tree).expect("a tree");
        let mut read = Vec::new();
        while let Some(entry) = entries.advance().expect("a tree") {
            read.push((entry.name, entry.kind, entry.oid.as_bytes()[0]));
        }
        assert_eq!(
            read,
            [
                (&b"f"[..], Kind::Blob, 1),
                (b"d", Kind::Tree, 2),
                (b"l", Kind::Link, 3)
            ]
        );
        assert!(Entries::new(b"").expect("the empty tree").current().is_none());
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        let tree = [b"100644 f\0".as_slice(), &[1; 20]].concat();
        for length in 1..tree.len() {
            assert_eq!(Entries::new(&tree[..length]).err(), Some(Malformed));
        }
    }
}
