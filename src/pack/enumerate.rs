//! Which objects of a commit the remote lacks: what its trees have that none of its parents' trees has at
//! the same name.
//!
//! It works commit by commit, parents first, so at any time every object of the parents' trees is either
//! on the remote or listed already. That is why the old version of an object can serve as its delta base.
//! An object that is taken to be on the remote is remembered, and never listed afterwards. Without that
//! memory a revert makes a cycle: A as a delta of B, and B as a delta of A.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::objects::{Object, Objects};
use super::tree::{Entries, Entry, Kind, Malformed};
use crate::failure::{self, Failure};
use crate::oid::Oid;
use crate::repository::Commit;

/// The longest chain of deltas, as in `git pack-objects`.
const MAX_DEPTH: u8 = 50;

/// An object to send. A backlog may hold one of these per object, so it is small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) oid: Oid,
    /// What it may be a delta of; [`Oid::ZERO`] for nothing.
    pub(super) base: Oid,
    /// A blob, which nobody has looked at yet; commits and trees have just been read.
    pub(super) is_blob: bool,
}

/// Finds the objects to send.
#[derive(Default)]
pub(super) struct Enumeration {
    /// Those of the commit at hand.
    listed: Vec<Listed>,
    /// What is listed, with the length of its chain of deltas.
    depths: HashMap<Oid, u8>,
    /// What is on the remote, as far as that was of interest.
    on_remote: HashSet<Oid>,
    /// The trees of the commits that are listed, for those that have them as parents.
    trees: HashMap<Oid, Oid>,
}

/// A new object of one commit, before it is known whether it only moved.
struct Candidate {
    oid: Oid,
    base: Option<Oid>,
    is_blob: bool,
    /// The tree that holds it, by its place among the candidates.
    parent: Option<usize>,
}

/// A changed tree to look into.
struct Changed {
    candidate: usize,
    oid: Oid,
    /// The parents' trees at the same path, the first parent's first.
    old: Vec<Oid>,
}

impl Enumeration {
    /// Lists what a commit adds to its parents, all of which were listed before or are on the remote. Bases come
    /// before what may be a delta of them.
    pub(super) fn list_commit(
        &mut self,
        objects: &mut Objects,
        commit: &Commit,
    ) -> Result<&[Listed], Failure> {
        self.listed.clear();
        self.add_commit(objects, commit)?;
        Ok(&self.listed)
    }

    fn add_commit(&mut self, objects: &mut Objects, commit: &Commit) -> Result<(), Failure> {
        let mut old = Vec::new();
        for &parent in &commit.parents {
            old.push(self.tree_of(objects, parent)?);
        }
        self.list(commit.oid, None, false);
        let root = commit.tree;
        self.trees.insert(commit.oid, root);
        if old.contains(&root) || self.is_available(root) {
            return Ok(());
        }
        let candidates = self.candidates(objects, root, old)?;
        let mut skipped = vec![false; candidates.len()];
        for (at, candidate) in candidates.iter().enumerate() {
            // What is below a tree that the remote has is there too.
            skipped[at] =
                candidate.parent.is_some_and(|parent| skipped[parent]) || self.is_available(candidate.oid);
            if !skipped[at] {
                self.list(candidate.oid, candidate.base, candidate.is_blob);
            }
        }
        Ok(())
    }

    fn tree_of(&self, objects: &mut Objects, commit: Oid) -> Result<Oid, Failure> {
        match self.trees.get(&commit) {
            Some(&tree) => Ok(tree),
            None => Ok(objects.tree_of(commit)?),
        }
    }

    fn is_available(&self, oid: Oid) -> bool {
        self.depths.contains_key(&oid) || self.on_remote.contains(&oid)
    }

    /// The new trees and blobs below a root, trees before what they hold.
    fn candidates(
        &mut self,
        objects: &mut Objects,
        root: Oid,
        old: Vec<Oid>,
    ) -> Result<Vec<Candidate>, Failure> {
        let mut candidates = vec![Candidate {
            oid: root,
            base: old.first().copied(),
            is_blob: false,
            parent: None,
        }];
        if let Some(&first) = old.first() {
            self.note_on_remote(first);
        }
        // A list rather than recursion: nothing limits how deep directories are nested.
        let mut pending = VecDeque::from([Changed {
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
        changed: &Changed,
        candidates: &mut Vec<Candidate>,
        pending: &mut VecDeque<Changed>,
    ) -> Result<(), Failure> {
        let new_tree = read_tree(objects, changed.oid)?;
        let mut old_trees = Vec::with_capacity(changed.old.len());
        for &oid in &changed.old {
            old_trees.push((oid, read_tree(objects, oid)?));
        }
        let mut old_entries = Vec::with_capacity(old_trees.len());
        for (oid, tree) in &old_trees {
            old_entries.push((
                *oid,
                Entries::new(&tree.data).map_err(|Malformed| malformed(*oid))?,
            ));
        }
        let mut new_entries = Entries::new(&new_tree.data).map_err(|Malformed| malformed(changed.oid))?;
        loop {
            // What is as it was in the first parent adds nothing, whatever the other parents have there.
            if let Some((_, first)) = old_entries.first_mut() {
                new_entries
                    .skip_common(first)
                    .map_err(|Malformed| malformed(changed.oid))?;
            }
            let Some(entry) = new_entries
                .advance()
                .map_err(|Malformed| malformed(changed.oid))?
            else {
                break;
            };
            let mut old = Vec::new();
            for (place, (oid, entries)) in old_entries.iter_mut().enumerate() {
                let is_first_parent = place == 0;
                if let Some(same) = self
                    .same_name(&entry, entries, is_first_parent)
                    .map_err(|Malformed| malformed(*oid))?
                {
                    old.push(same.oid);
                }
            }
            if entry.kind == Kind::Link || old.contains(&entry.oid) || self.is_available(entry.oid) {
                continue;
            }
            candidates.push(Candidate {
                oid: entry.oid,
                base: old.first().copied(),
                is_blob: entry.kind == Kind::Blob,
                parent: Some(changed.candidate),
            });
            if entry.kind == Kind::Tree {
                pending.push_back(Changed {
                    candidate: candidates.len() - 1,
                    oid: entry.oid,
                    old,
                });
            }
        }
        // What the first parent has behind the last entry was removed here.
        if let Some((oid, entries)) = old_entries.first_mut() {
            while let Some(gone) = entries.advance().map_err(|Malformed| malformed(*oid))? {
                self.note_removed(&gone);
            }
        }
        Ok(())
    }

    /// The entry of the same name and kind in an old tree, up to which it is advanced. What the first parent
    /// has and this commit has not at the same place may have moved, so it is noted.
    fn same_name<'t>(
        &mut self,
        entry: &Entry<'_>,
        old: &mut Entries<'t>,
        is_first_parent: bool,
    ) -> Result<Option<Entry<'t>>, Malformed> {
        while let Some(candidate) = old.current() {
            let order = candidate.order(entry);
            if order.is_gt() {
                break;
            }
            let Some(passed) = old.advance()? else { break };
            if is_first_parent && (order.is_lt() || passed.oid != entry.oid) {
                self.note_removed(&passed);
            }
            if order.is_eq() {
                return Ok((passed.kind == entry.kind).then_some(passed));
            }
        }
        Ok(None)
    }

    fn note_removed(&mut self, entry: &Entry<'_>) {
        if entry.kind != Kind::Link {
            self.note_on_remote(entry.oid);
        }
    }

    /// Notes an object of a parent's tree: unless it is listed, it is on the remote.
    fn note_on_remote(&mut self, oid: Oid) {
        if !self.depths.contains_key(&oid) {
            self.on_remote.insert(oid);
        }
    }

    fn list(&mut self, oid: Oid, base: Option<Oid>, is_blob: bool) {
        let (base, depth) = match base {
            None => (Oid::ZERO, 0),
            Some(base) => match self.depths.get(&base) {
                Some(&depth) if depth < MAX_DEPTH => (base, depth + 1),
                Some(_) => (Oid::ZERO, 0),
                None => {
                    self.on_remote.insert(base);
                    (base, 1)
                }
            },
        };
        self.depths.insert(oid, depth);
        self.listed.push(Listed { oid, base, is_blob });
    }
}

fn read_tree(objects: &mut Objects, oid: Oid) -> Result<Arc<Object>, Failure> {
    let object = objects.read(oid)?;
    if object.kind == git2::ObjectType::Tree {
        Ok(object)
    } else {
        Err(malformed(oid))
    }
}

fn malformed(oid: Oid) -> Failure {
    Failure::new(
        failure::Kind::Local,
        format!("object {oid} of the local repository is not a valid tree"),
    )
}
