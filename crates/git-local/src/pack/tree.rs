//! Reads tree objects as they are stored: `mode SP name NUL id`, over and over, in git's order.

use std::cmp::Ordering;

use git_wire::oid::{ObjectFormat, Oid};

/// What an entry refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Tree,
    Blob,
    /// A commit of another repository: a submodule, whose objects are not ours to send.
    Link,
}

/// One entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    pub(super) name: &'t [u8],
    pub(super) kind: EntryKind,
    pub(super) oid: Oid,
}

impl Entry<'_> {
    /// Compares as git orders the entries of a tree: as if the name of a directory ended with a slash.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let common = self.name.len().min(other.name.len());
        self.name[..common]
            .cmp(&other.name[..common])
            .then_with(|| self.byte_at(common).cmp(&other.byte_at(common)))
    }

    fn byte_at(&self, at: usize) -> u8 {
        match self.name.get(at) {
            Some(&byte) => byte,
            None if self.kind == EntryKind::Tree && self.name.len() == at => b'/',
            None => 0,
        }
    }
}

/// Bytes of an entry with a short name.
const SHORT_ENTRY: usize = 32;

/// Parses a tree; `None` if it is malformed.
pub(super) fn parse(mut tree: &[u8], format: ObjectFormat) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::with_capacity(tree.len() / SHORT_ENTRY);
    while !tree.is_empty() {
        let nul = tree.iter().position(|&byte| byte == 0)?;
        let space = tree[..nul].iter().position(|&byte| byte == b' ')?;
        let (oid, rest) = tree[nul + 1..].split_at_checked(format.id_length())?;
        entries.push(Entry {
            name: &tree[space + 1..nul],
            kind: match &tree[..space] {
                b"40000" | b"040000" => EntryKind::Tree,
                b"160000" => EntryKind::Link,
                _ => EntryKind::Blob,
            },
            oid: Oid::from_bytes(oid)?,
        });
        tree = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: EntryKind) -> Entry<'_> {
        Entry {
            name: name.as_bytes(),
            kind,
            oid: Oid::zero(ObjectFormat::Sha1),
        }
    }

    #[test]
    fn a_directory_sorts_as_if_its_name_ended_with_a_slash() {
        let sorted = [
            entry("a", EntryKind::Blob),
            entry("a-b", EntryKind::Blob),
            entry("a.b", EntryKind::Tree),
            entry("a", EntryKind::Tree),
            entry("a0", EntryKind::Link),
            entry("b", EntryKind::Tree),
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
        let read: Vec<_> = parse(&tree, ObjectFormat::Sha1)
            .expect("a tree")
            .iter()
            .map(|entry| (entry.name, entry.kind, entry.oid.as_bytes()[0]))
            .collect();
        assert_eq!(
            read,
            [
                (&b"f"[..], EntryKind::Blob, 1),
                (b"d", EntryKind::Tree, 2),
                (b"l", EntryKind::Link, 3)
            ]
        );
        assert_eq!(parse(b"", ObjectFormat::Sha1), Some(Vec::new()));
    }

    #[test]
    fn a_truncated_tree_is_malformed() {
        let tree = [b"100644 f\0".as_slice(), &[1; 20]].concat();
        for length in 1..tree.len() {
            assert_eq!(parse(&tree[..length], ObjectFormat::Sha1), None);
        }
    }
}
