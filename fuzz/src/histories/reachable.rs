//! The objects that a commit needs, found from the bytes of objects alone.

use std::collections::HashSet;

use git2::{ObjectFormat, ObjectType, Oid};

use super::store::id_length;
use super::{Store, Stored};

/// Adds an object and all objects that it reaches. Objects that were added before are not read again.
pub(super) fn reach(store: &Store, from: Oid, reached: &mut HashSet<Oid>) {
    let mut pending = vec![from];
    while let Some(oid) = pending.pop() {
        if !reached.insert(oid) {
            continue;
        }
        let stored = store.get(oid).expect("it was written");
        pending.extend(references(store.format, &stored));
    }
}

/// The objects that an object refers to, except commits of submodules.
fn references(format: ObjectFormat, stored: &Stored) -> Vec<Oid> {
    match stored.kind {
        ObjectType::Tree => {
            let length = id_length(format);
            let mut references = Vec::new();
            let mut rest = &stored.content[..];
            while !rest.is_empty() {
                let nul = rest.iter().position(|&byte| byte == 0).expect("a name ends");
                if !rest.starts_with(b"160000 ") {
                    references.push(Oid::from_bytes(&rest[nul + 1..nul + 1 + length]).expect("an id"));
                }
                rest = &rest[nul + 1 + length..];
            }
            references
        }
        ObjectType::Commit => [named(format, stored, "tree "), parents(format, stored)].concat(),
        ObjectType::Tag => named(format, stored, "object "),
        _ => Vec::new(),
    }
}

/// The parents of a commit.
pub(super) fn parents(format: ObjectFormat, commit: &Stored) -> Vec<Oid> {
    named(format, commit, "parent ")
}

/// The ids behind this word in the first lines of a commit or tag.
fn named(format: ObjectFormat, stored: &Stored, word: &str) -> Vec<Oid> {
    stored
        .content
        .split(|&byte| byte == b'\n')
        .take_while(|line| {
            [&b"tree "[..], b"parent ", b"object "]
                .iter()
                .any(|known| line.starts_with(known))
        })
        .filter_map(|line| line.strip_prefix(word.as_bytes()))
        .map(|hex| {
            let hex = std::str::from_utf8(hex).expect("an id");
            Oid::from_str_ext(hex, format).expect("an id")
        })
        .collect()
}
