//! Tree objects as they are stored: `mode SP name NUL id`, over and over, in git's order.
//!
//! libgit2 would allocate for every entry of a tree; a directory of 100,000 files is compared here without
//! allocating for any.

use std::cmp::Ordering;

use super::delta::common_prefix;
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
    /// From the next entry on.
    rest: &'t [u8],
    next: Option<Entry<'t>>,
}

impl<'t> Entries<'t> {
    pub(super) fn new(tree: &'t [u8]) -> Result<Self, Malformed> {
        Self::at(tree)
    }

    fn at(rest: &'t [u8]) -> Result<Self, Malformed> {
        let next = if rest.is_empty() {
            None
        } else {
            Some(parse(rest).ok_or(Malformed)?)
        };
        Ok(Self { rest, next })
    }

    /// The entry at hand.
    pub(super) const fn current(&self) -> Option<&Entry<'t>> {
        self.next.as_ref()
    }

    /// Moves on, and returns the entry that was at hand.
    pub(super) fn advance(&mut self) -> Result<Option<Entry<'t>>, Malformed> {
        let Some(entry) = self.next else { return Ok(None) };
        let length = length_of_first(self.rest).ok_or(Malformed)?;
        *self = Self::at(&self.rest[length..])?;
        Ok(Some(entry))
    }

    /// Moves both on to where they differ, or to their ends. That takes a fraction of the time of looking at
    /// each entry.
    pub(super) fn skip_common(&mut self, other: &mut Entries<'_>) -> Result<(), Malformed> {
        let common = common_prefix(self.rest, other.rest);
        let length = if common == self.rest.len() && common == other.rest.len() {
            common
        } else {
            let mut length = 0;
            while let Some(entry) =
                length_of_first(&self.rest[length..]).filter(|entry| length + entry <= common)
            {
                length += entry;
            }
            length
        };
        if length > 0 {
            *self = Self::at(&self.rest[length..])?;
            *other = Entries::at(&other.rest[length..])?;
        }
        Ok(())
    }
}

/// Bytes of the first entry of a tree, as far as that can be told from its name's end.
fn length_of_first(tree: &[u8]) -> Option<usize> {
    let length = tree.iter().position(|&byte| byte == 0)? + 1 + Oid::LENGTH;
    (length <= tree.len()).then_some(length)
}

fn parse(tree: &[u8]) -> Option<Entry<'_>> {
    let nul = tree.iter().position(|&byte| byte == 0)?;
    let space = tree[..nul].iter().position(|&byte| byte == b' ')?;
    let oid = tree[nul + 1..].first_chunk()?;
    Some(Entry {
        name: &tree[space + 1..nul],
        kind: match &tree[..space] {
            b"40000" | b"040000" => Kind::Tree,
            b"160000" => Kind::Link,
            _ => Kind::Blob,
        },
        oid: Oid::from_bytes(*oid),
    })
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

    /// Sorted entries, one of a few names each.
    fn written(names: &[u8]) -> Vec<u8> {
        names
            .iter()
            .flat_map(|&name| [b"100644 name-", &[name][..], b"\0", &[name / 2; 20]].concat())
            .collect()
    }

    fn rest_of(entries: &mut Entries<'_>) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| entries.advance().expect("a tree"))
            .map(|entry| entry.name.to_vec())
            .collect()
    }

    #[test]
    fn only_whole_equal_entries_are_skipped() {
        for (old, new, old_left, new_left) in [
            ("abc", "abc", 0, 0),
            ("abc", "abcd", 0, 1),
            ("abcd", "abc", 1, 0),
            ("abc", "axc", 2, 2),
            ("abc", "xbc", 3, 3),
            ("abc", "abx", 1, 1),
            ("", "abc", 0, 3),
            ("", "", 0, 0),
        ] {
            let (old_tree, new_tree) = (written(old.as_bytes()), written(new.as_bytes()));
            let mut new_entries = Entries::new(&new_tree).expect("a tree");
            let mut old_entries = Entries::new(&old_tree).expect("a tree");
            new_entries.skip_common(&mut old_entries).expect("trees");
            assert_eq!(rest_of(&mut old_entries).len(), old_left, "{old} {new}");
            assert_eq!(rest_of(&mut new_entries).len(), new_left, "{old} {new}");
        }
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        let tree = [b"100644 f\0".as_slice(), &[1; 20]].concat();
        for length in 1..tree.len() {
            assert_eq!(Entries::new(&tree[..length]).err(), Some(Malformed));
        }
    }
}
