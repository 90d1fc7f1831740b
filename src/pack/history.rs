//! Which commits the remote lacks: those reachable from a tip and from nothing that the remote has.

use std::collections::{BinaryHeap, HashMap, HashSet};

use git2::{Odb, OdbLookupFlags, Repository};

use super::commit::{Commit, peel_to_commit, read_commit};
use super::objects::to_git;
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// How far to look for the remote's tip among the first ancestors, before all that the remote has is
/// loaded.
const SHORT_CHAIN: usize = 64;
/// How many more commits that the remote has are looked at once all others were: a commit with a wrong
/// date may still lead to one that was taken for missing.
const SLOP: usize = 16;

/// Lists the commits to send, parents before children.
///
/// What the remote has and this repository lacks is ignored. Parents behind the boundary of a shallow
/// clone do not exist, as libgit2 has it.
pub(super) fn missing_commits(
    repository: &Repository,
    tip: Oid,
    remote_has: &[Oid],
) -> Result<Vec<git2::Oid>, Failure> {
    let has: HashSet<git2::Oid> = remote_has.iter().map(|&oid| to_git(oid)).collect();
    let tip = to_git(tip);
    if let Some(chain) = short_chain(repository, tip, &has)? {
        return Ok(chain);
    }
    let mut walk = Walk {
        repository,
        nodes: HashMap::new(),
        queue: BinaryHeap::new(),
        unpainted: 0,
    };
    for oid in present(repository, &has)? {
        // A tag counts as its commit. What is no commit, or cannot be read, cannot shorten the walk.
        if let Some(commit) = peel_to_commit(repository, oid) {
            walk.enqueue(commit, true);
        }
    }
    walk.reach(tip)?;
    walk.run()?;
    Ok(walk.parents_first(tip))
}

/// The common case, a few commits on top of what the remote has, without a look at its other tips.
fn short_chain(
    repository: &Repository,
    tip: git2::Oid,
    has: &HashSet<git2::Oid>,
) -> Result<Option<Vec<git2::Oid>>, Failure> {
    let mut chain = Vec::new();
    let mut oid = tip;
    while !has.contains(&oid) {
        let commit = read_commit(repository, oid)?;
        let [parent] = *commit.parents else {
            return Ok(None);
        };
        if chain.len() == SHORT_CHAIN {
            return Ok(None);
        }
        chain.push(oid);
        oid = parent;
    }
    chain.reverse();
    Ok(Some(chain))
}

/// Those that this repository has. A miss would make libgit2 look for new packs each time; once is enough.
fn present(repository: &Repository, oids: &HashSet<git2::Oid>) -> Result<Vec<git2::Oid>, Failure> {
    let odb = repository.odb().map_err(|error| {
        Failure::new(
            Kind::Local,
            format!("the local object database cannot be opened: {}", error.message()),
        )
    })?;
    let exists = |odb: &Odb<'_>, oid: git2::Oid| odb.exists_ext(oid, OdbLookupFlags::NO_REFRESH);
    if oids.iter().any(|&oid| !exists(&odb, oid)) {
        // Where this fails, what was known before is still known.
        let _: Result<(), git2::Error> = odb.refresh();
    }
    Ok(oids.iter().copied().filter(|&oid| exists(&odb, oid)).collect())
}

/// Walks back from both sides at once, newest first, and paints what the remote has.
struct Walk<'r> {
    repository: &'r Repository,
    nodes: HashMap<git2::Oid, Node>,
    queue: BinaryHeap<(i64, git2::Oid)>,
    /// Commits in the queue that are not known to be on the remote.
    unpainted: usize,
}

struct Node {
    parents: Box<[git2::Oid]>,
    remote_has: bool,
    is_queued: bool,
}

impl Walk<'_> {
    fn enqueue(&mut self, commit: Commit, remote_has: bool) {
        let oid = commit.id;
        if self.nodes.contains_key(&oid) {
            return;
        }
        let node = Node {
            parents: commit.parents,
            remote_has,
            is_queued: true,
        };
        self.nodes.insert(oid, node);
        self.queue.push((commit.time, oid));
        self.unpainted += usize::from(!remote_has);
    }

    fn reach(&mut self, oid: git2::Oid) -> Result<(), Failure> {
        if !self.nodes.contains_key(&oid) {
            let commit = read_commit(self.repository, oid)?;
            self.enqueue(commit, false);
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), Failure> {
        let mut oldest = i64::MAX;
        let mut slop = SLOP;
        while let Some((time, oid)) = self.queue.pop() {
            let Some(node) = self.nodes.get_mut(&oid) else {
                continue;
            };
            node.is_queued = false;
            let parents = node.parents.clone();
            if node.remote_has {
                for parent in parents {
                    self.paint(parent);
                    // History that the remote has may have been pruned here: then there is less to paint.
                    if !self.nodes.contains_key(&parent)
                        && let Ok(commit) = read_commit(self.repository, parent)
                    {
                        self.enqueue(commit, true);
                    }
                }
                if self.unpainted == 0 && time < oldest {
                    slop -= 1;
                    if slop == 0 {
                        break;
                    }
                }
            } else {
                self.unpainted -= 1;
                oldest = oldest.min(time);
                slop = SLOP;
                for parent in parents {
                    self.reach(parent)?;
                }
            }
        }
        Ok(())
    }

    /// Marks a commit, and all of its known ancestors, as one that the remote has.
    fn paint(&mut self, oid: git2::Oid) {
        let mut pending = vec![oid];
        while let Some(oid) = pending.pop() {
            if let Some(node) = self.nodes.get_mut(&oid)
                && !node.remote_has
            {
                node.remote_has = true;
                self.unpainted -= usize::from(node.is_queued);
                pending.extend(&node.parents);
            }
        }
    }

    /// The unpainted ancestors of the tip, and the tip, parents before children.
    fn parents_first(&self, tip: git2::Oid) -> Vec<git2::Oid> {
        let unpainted = |oid| self.nodes.get(&oid).filter(|node| !node.remote_has);
        let mut listed = Vec::new();
        let mut visited = HashSet::new();
        // Each with the number of its parents that were visited.
        let mut path: Vec<(git2::Oid, usize)> = Vec::new();
        let mut enter = Some(tip);
        loop {
            if let Some(oid) = enter.take()
                && unpainted(oid).is_some()
                && visited.insert(oid)
            {
                path.push((oid, 0));
            }
            let Some((oid, visited_parents)) = path.last_mut() else {
                return listed;
            };
            if let Some(&parent) = self.nodes[oid].parents.get(*visited_parents) {
                *visited_parents += 1;
                enter = Some(parent);
            } else {
                listed.push(*oid);
                path.pop();
            }
        }
    }
}
