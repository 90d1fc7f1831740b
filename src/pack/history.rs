//! Which commits the remote lacks: those reachable from a tip and from nothing that the remote has.

use std::collections::{BinaryHeap, HashMap, HashSet};

use super::commit::Commit;
use super::objects::Objects;
use crate::failure::Failure;
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
    objects: &mut Objects<'_>,
    tip: Oid,
    remote_has: &[Oid],
) -> Result<Vec<Commit>, Failure> {
    let has: HashSet<Oid> = remote_has.iter().copied().collect();
    if let Some(chain) = short_chain(objects, tip, |oid| has.contains(&oid))? {
        return Ok(chain);
    }
    let mut walk = Walk {
        objects,
        nodes: HashMap::new(),
        queue: BinaryHeap::new(),
        unpainted: 0,
    };
    for oid in walk.objects.present(&has)? {
        // A tag counts as its commit. What is no commit, or cannot be read, cannot shorten the walk.
        if let Some(commit) = walk.objects.peel_to_commit(oid) {
            walk.enqueue(commit, true);
        }
    }
    walk.reach(tip)?;
    walk.run()?;
    Ok(walk.parents_first(tip))
}

/// The common case, a few commits on top of what the remote has, without a look at its other tips.
pub(super) fn short_chain(
    objects: &mut Objects<'_>,
    tip: Oid,
    has: impl Fn(Oid) -> bool,
) -> Result<Option<Vec<Commit>>, Failure> {
    let mut chain = Vec::new();
    let mut oid = tip;
    while !has(oid) {
        let commit = objects.commit(oid)?;
        let [parent] = *commit.parents else {
            return Ok(None);
        };
        if chain.len() == SHORT_CHAIN {
            return Ok(None);
        }
        chain.push(commit);
        oid = parent;
    }
    chain.reverse();
    Ok(Some(chain))
}

/// Walks back from both sides at once, newest first, and paints what the remote has.
struct Walk<'w, 'r> {
    objects: &'w mut Objects<'r>,
    nodes: HashMap<Oid, Node>,
    queue: BinaryHeap<(i64, Oid)>,
    /// Commits in the queue that are not known to be on the remote.
    unpainted: usize,
}

struct Node {
    commit: Commit,
    remote_has: bool,
    is_queued: bool,
}

impl Walk<'_, '_> {
    fn enqueue(&mut self, commit: Commit, remote_has: bool) {
        let oid = commit.oid;
        if self.nodes.contains_key(&oid) {
            return;
        }
        self.queue.push((commit.time, oid));
        let node = Node {
            commit,
            remote_has,
            is_queued: true,
        };
        self.nodes.insert(oid, node);
        self.unpainted += usize::from(!remote_has);
    }

    fn reach(&mut self, oid: Oid) -> Result<(), Failure> {
        if !self.nodes.contains_key(&oid) {
            let commit = self.objects.commit(oid)?;
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
            let parents = node.commit.parents.clone();
            if node.remote_has {
                for parent in parents {
                    self.paint(parent);
                    // History that the remote has may have been pruned here: then there is less to paint.
                    if !self.nodes.contains_key(&parent)
                        && let Ok(commit) = self.objects.commit(parent)
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
    fn paint(&mut self, oid: Oid) {
        let mut pending = vec![oid];
        while let Some(oid) = pending.pop() {
            if let Some(node) = self.nodes.get_mut(&oid)
                && !node.remote_has
            {
                node.remote_has = true;
                self.unpainted -= usize::from(node.is_queued);
                pending.extend(&node.commit.parents);
            }
        }
    }

    /// The unpainted ancestors of the tip, and the tip, parents before children.
    fn parents_first(mut self, tip: Oid) -> Vec<Commit> {
        self.nodes.retain(|_, node| !node.remote_has);
        self.queue = BinaryHeap::new();
        let mut listed = Vec::new();
        let mut visited = HashSet::new();
        // Each with the number of its parents that were visited.
        let mut path: Vec<(Oid, usize)> = Vec::new();
        let mut enter = Some(tip);
        loop {
            if let Some(oid) = enter.take()
                && self.nodes.contains_key(&oid)
                && visited.insert(oid)
            {
                path.push((oid, 0));
            }
            let Some((oid, visited_parents)) = path.last_mut() else {
                break;
            };
            if let Some(&parent) = self.nodes[oid].commit.parents.get(*visited_parents) {
                *visited_parents += 1;
                enter = Some(parent);
            } else {
                listed.push(*oid);
                path.pop();
            }
        }
        let nodes = &mut self.nodes;
        listed
            .iter()
            .filter_map(|oid| Some(nodes.remove(oid)?.commit))
            .collect()
    }
}
