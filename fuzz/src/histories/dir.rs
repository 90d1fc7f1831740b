//! The files of a commit that is to be written.

use std::collections::BTreeMap;

use git2::{FileMode, ObjectType, Oid};

use super::Store;

/// A file, a directory or a submodule.
#[derive(Debug, Clone)]
pub enum Node {
    /// A blob and its mode.
    File(Oid, FileMode),
    /// A commit of another repository.
    Link(Oid),
    /// A directory.
    Dir(Dir),
}

/// A directory. Unlike an index it can be empty.
#[derive(Debug, Clone, Default)]
pub struct Dir(pub BTreeMap<String, Node>);

impl Dir {
    /// Puts a node at a path; files on the way become directories.
    pub fn set(&mut self, path: &str, node: Node) {
        match path.split_once('/') {
            None => {
                self.0.insert(path.to_owned(), node);
            }
            Some((first, rest)) => {
                let entry = self
                    .0
                    .entry(first.to_owned())
                    .or_insert_with(|| Node::Dir(Self::default()));
                if !matches!(entry, Node::Dir(_)) {
                    *entry = Node::Dir(Self::default());
                }
                if let Node::Dir(dir) = entry {
                    dir.set(rest, node);
                }
            }
        }
    }

    /// The node at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        match path.split_once('/') {
            None => self.0.get(path),
            Some((first, rest)) => match self.0.get(first)? {
                Node::Dir(dir) => dir.get(rest),
                _ => None,
            },
        }
    }

    /// Removes a path; an empty directory stays.
    pub fn remove(&mut self, path: &str) -> Option<Node> {
        match path.split_once('/') {
            None => self.0.remove(path),
            Some((first, rest)) => match self.0.get_mut(first)? {
                Node::Dir(dir) => dir.remove(rest),
                _ => None,
            },
        }
    }

    /// Writes its trees, and returns the id of the root tree.
    pub fn write(&self, store: &Store) -> Oid {
        let mut entries: Vec<(Vec<u8>, &'static str, &str, Oid)> = Vec::new();
        for (name, node) in &self.0 {
            let (mode, oid) = match node {
                Node::File(oid, FileMode::BlobExecutable) => ("100755", *oid),
                Node::File(oid, FileMode::Link) => ("120000", *oid),
                Node::File(oid, _) => ("100644", *oid),
                Node::Link(oid) => ("160000", *oid),
                Node::Dir(dir) => ("40000", dir.write(store)),
            };
            // A directory sorts as if its name ended with a slash.
            let mut order = name.clone().into_bytes();
            if matches!(node, Node::Dir(_)) {
                order.push(b'/');
            }
            entries.push((order, mode, name, oid));
        }
        entries.sort();
        let mut tree = Vec::new();
        for (_, mode, name, oid) in entries {
            tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            tree.extend_from_slice(oid.as_bytes());
        }
        store.write(ObjectType::Tree, &tree)
    }
}
