//! Lists the objects that a commit adds: those in its trees that no parent has under the same name.
//!
//! It works commit by commit, parents first, so that every object of the parents' trees is either on the remote or listed
//! already, and its old version can serve as the base of its delta. An object that is taken to be on the remote is remembered,
//! and never listed afterwards. Without that memory a revert makes a cycle: A as a delta of B, and B as a delta of A.
//!
//! An old version that this repository lacks (a partial clone lacks most) only costs bytes: then everything below its new
//! version counts as new. An object to list must be here, unless the remote has promised what is missing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use git_wire::oid::Oid;
use git2::ObjectType;

use super::objects::{Object, Objects};
use super::tree::{self, Entry, EntryKind};
use crate::LocalError;
use crate::repository::Commit;

/// The longest chain of deltas, as in `git pack-objects`.
const MAX_DEPTH: u8 = 50;

/// An object to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) oid: Oid,
    /// The object that it may be a delta of.
    pub(super) base: Option<Oid>,
}

/// Finds the objects to send.
#[derive(Default)]
pub(super) struct Enumeration {
    /// The objects that are listed, each with the length of its chain of deltas.
    depths: HashMap<Oid, u8>,
    /// Objects that are on the remote, as far as they were met.
    on_remote: HashSet<Oid>,
    /// The trees of the commits that are listed, for their children.
    trees: HashMap<Oid, Oid>,
    /// Whether new objects that this repository lacks are left out.
    leaves_out: bool,
    /// The first of them.
    left_out: Option<Oid>,
}

/// A new object of one commit, before it is known whether it only moved.
struct Candidate {
    oid: Oid,
    base: Option<Oid>,
    /// The tree that holds it, by its place among the candidates.
    parent: Option<usize>,
}

/// A changed tree to compare.
struct ChangedTree {
    candidate: usize,
    oid: Oid,
    /// The parents' trees at the same path, the first parent's first.
    old: Vec<Oid>,
}

impl Enumeration {
    /// With `leaves_out` it leaves out the new trees and files that this repository lacks. That is correct for a remote that
    /// has them with everything below.
    pub(super) fn new(leaves_out: bool) -> Self {
        Self {
            leaves_out,
            ..Self::default()
        }
    }

    /// The first object that was left out.
    pub(super) const fn left_out(&self) -> Option<Oid> {
        self.left_out
    }

    /// Lists the objects that a commit adds to its parents, all of which were listed before or are on the remote. A base is
    /// listed before its deltas.
    ///
    /// # Errors
    ///
    /// If a tree or a parent cannot be read.
    pub(super) fn list_commit(
        &mut self,
        objects: &mut Objects,
        commit: &Commit,
        listed: &mut Vec<Listed>,
    ) -> Result<(), LocalError> {
        let mut old = Vec::new();
        for &parent in &commit.parents {
            old.extend(match self.trees.get(&parent) {
                Some(&tree) => Some(tree),
                None => objects.tree_of(parent)?,
            });
        }
        self.list(commit.oid, None, listed);
        self.trees.insert(commit.oid, commit.tree);
        if old.contains(&commit.tree)
            || self.is_available(commit.tree)
            || self.is_left_out(objects, commit.tree)?
        {
            return Ok(());
        }
        let candidates = self.candidates(objects, commit.tree, old)?;
        let mut skipped = vec![false; candidates.len()];
        for (at, candidate) in candidates.iter().enumerate() {
            // If the remote has a tree, it has everything below the tree.
            skipped[at] =
                candidate.parent.is_some_and(|parent| skipped[parent]) || self.is_available(candidate.oid);
            if !skipped[at] {
                self.list(candidate.oid, candidate.base, listed);
            }
        }
        Ok(())
    }

    fn is_available(&self, oid: Oid) -> bool {
        self.depths.contains_key(&oid) || self.on_remote.contains(&oid)
    }

    fn is_left_out(&mut self, objects: &mut Objects, oid: Oid) -> Result<bool, LocalError> {
        if !self.leaves_out || objects.has(oid)? {
            return Ok(false);
        }
        self.left_out.get_or_insert(oid);
        self.note_on_remote(oid);
        Ok(true)
    }

    /// The new trees and blobs below a root, each tree before its entries.
    fn candidates(
        &mut self,
        objects: &mut Objects,
        root: Oid,
        old: Vec<Oid>,
    ) -> Result<Vec<Candidate>, LocalError> {
        let mut candidates = vec![Candidate {
            oid: root,
            base: old.first().copied(),
            parent: None,
        }];
        if let Some(&first) = old.first() {
            self.note_on_remote(first);
        }
        // A queue instead of recursion: directories may nest to any depth.
        let mut pending = VecDeque::from([ChangedTree {
            candidate: 0,
            oid: root,
            old,
        }]);
        while let Some(changed) = pending.pop_front() {
            self.compare(objects, &changed, &mut candidates, &mut pending)?;
        }
        Ok(candidates)
    }

    fn compare(
        &mut self,
        objects: &mut Objects,
        changed: &ChangedTree,
        candidates: &mut Vec<Candidate>,
        pending: &mut VecDeque<ChangedTree>,
    ) -> Result<(), LocalError> {
        let new_tree = as_tree(changed.oid, objects.read(changed.oid)?)?;
        let mut old_trees = Vec::new();
        for &oid in &changed.old {
            if let Some(object) = objects.find(oid)? {
                old_trees.push((oid, as_tree(oid, object)?));
            }
        }
        let mut parents = Vec::new();
        for (oid, tree) in &old_trees {
            parents.push(entries(*oid, tree)?.into_iter().peekable());
        }
        let mut old = Vec::new();
        for entry in entries(changed.oid, &new_tree)? {
            old.clear();
            for (parent, entries) in parents.iter_mut().enumerate() {
                while let Some(passed) = entries.next_if(|next| next.order(&entry).is_le()) {
                    let is_same_name = passed.order(&entry).is_eq();
                    if is_same_name && passed.kind == entry.kind {
                        old.push(passed.oid);
                    }
                    if parent == 0 && (!is_same_name || passed.oid != entry.oid) {
                        self.note_removed(&passed);
                    }
                }
            }
            if entry.kind == EntryKind::Link
                || old.contains(&entry.oid)
                || self.is_available(entry.oid)
                || self.is_left_out(objects, entry.oid)?
            {
                continue;
            }
            candidates.push(Candidate {
                oid: entry.oid,
                base: old.first().copied(),
                parent: Some(changed.candidate),
            });
            if entry.kind == EntryKind::Tree {
                pending.push_back(ChangedTree {
                    candidate: candidates.len() - 1,
                    oid: entry.oid,
                    old: old.clone(),
                });
            }
        }
        for removed in parents.into_iter().next().into_iter().flatten() {
            self.note_removed(&removed);
        }
        Ok(())
    }

    /// Notes an entry that the first parent has and this commit lacks: it may have moved.
    fn note_removed(&mut self, entry: &Entry<'_>) {
        if entry.kind != EntryKind::Link {
            self.note_on_remote(entry.oid);
        }
    }

    /// Notes an object of a parent's tree: unless it is listed, it is on the remote.
    fn note_on_remote(&mut self, oid: Oid) {
        if !self.depths.contains_key(&oid) {
            self.on_remote.insert(oid);
        }
    }

    fn list(&mut self, oid: Oid, base: Option<Oid>, listed: &mut Vec<Listed>) {
        let base = base.filter(|base| self.depths.get(base).is_none_or(|&depth| depth < MAX_DEPTH));
        let depth = base.map_or(0, |base| {
            self.note_on_remote(base);
            1 + self.depths.get(&base).copied().unwrap_or(0)
        });
        self.depths.insert(oid, depth);
        listed.push(Listed { oid, base });
    }
}

fn as_tree(oid: Oid, object: Arc<Object>) -> Result<Arc<Object>, LocalError> {
    if object.kind == ObjectType::Tree {
        Ok(object)
    } else {
        Err(malformed(oid))
    }
}

fn entries(oid: Oid, tree: &Object) -> Result<Vec<Entry<'_>>, LocalError> {
    tree::parse(&tree.data, oid.format()).ok_or_else(|| malformed(oid))
}

fn malformed(oid: Oid) -> LocalError {
    let message = format!("object {oid} of the local repository is not a valid tree");
    LocalError::new(message)
}
