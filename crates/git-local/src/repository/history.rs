//! How commits are related: which is an ancestor of which, and which of them a remote lacks.
//!
//! Replacements and grafts are ignored, as they are local and no remote knows of them. Only the boundary of a shallow clone
//! counts, because nothing can be read beyond it. (libgit2's own walks look for that boundary in the wrong place in a linked
//! worktree, read it only once, and refuse commits that git accepts.)

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use git_wire::oid::Oid;

use super::commit::{Commit, Commits};
use super::{Ahead, Relation, Repository, to_git2};
use crate::LocalError;

/// From which sides a commit was reached.
type Sides = u8;
const LOCAL: Sides = 1;
const REMOTE: Sides = 2;

/// How far [`missing_commits`] looks for a tip of the remote among the first ancestors before it reads the other tips.
const SHORT_CHAIN: usize = 64;

/// How many more commits of the remote are read once all others were: a commit with a wrong date may still lead to one that
/// was taken for missing.
const SLOP: usize = 16;

impl Repository {
    pub(super) fn commits(&self) -> Result<Commits<'_>, LocalError> {
        Commits::new(self.odb(), self.common_dir())
    }

    /// Whether this repository has the commit.
    #[must_use]
    pub fn has_commit(&self, oid: Oid) -> bool {
        self.odb()
            .read_header(to_git2(oid))
            .is_ok_and(|(_, kind)| kind == git2::ObjectType::Commit)
    }

    /// Compares the tip of the local branch with the remote's (`None` if the remote has no such branch). `last_known` returns
    /// the last tip that was known to be on the remote; it is called only if the remote's tip is not in this repository.
    ///
    /// # Errors
    ///
    /// If a commit of the two histories is corrupt, or one on which the answer depends is missing.
    pub fn relation(
        &self,
        local: Oid,
        remote: Option<Oid>,
        last_known: impl FnOnce() -> Result<Option<Oid>, LocalError>,
    ) -> Result<Relation, LocalError> {
        let Some(remote) = remote else {
            return Ok(Relation::Absent);
        };
        if remote == local {
            return Ok(Relation::Same);
        }
        if self.has_commit(remote) {
            let mut walk = Walk::from_both(self.commits()?, local, remote, Missing::Noted)?;
            loop {
                if walk.is_reached(remote, LOCAL) {
                    return Ok(Relation::Ahead);
                }
                if walk.is_reached(local, REMOTE) {
                    return Ok(Relation::Behind);
                }
                if !walk.waits(LOCAL) && !walk.waits(REMOTE) {
                    return walk.gap.map_or(Ok(Relation::Diverged), |gap| Err(missing(gap)));
                }
                walk.step()?;
            }
        }
        match last_known()? {
            Some(known) if known == local => Ok(Relation::BehindUnknown),
            Some(known) if self.has_commit(known) => Ok(if self.is_ancestor_or_same(local, known)? {
                Relation::BehindUnknown
            } else {
                Relation::DivergedUnknown
            }),
            _ => Ok(Relation::Unknowable),
        }
    }

    /// Whether `descendant` contains `ancestor`. A commit that is not in this repository is contained in none.
    ///
    /// # Errors
    ///
    /// If `descendant` or a commit in its history is missing or corrupt.
    pub fn is_ancestor_or_same(&self, ancestor: Oid, descendant: Oid) -> Result<bool, LocalError> {
        if !self.has_commit(ancestor) {
            return Ok(false);
        }
        let mut walk = Walk::from_both(self.commits()?, descendant, ancestor, Missing::Ends)?;
        // Every path to the ancestor leads through commits that the ancestor does not reach.
        while !walk.is_reached(ancestor, LOCAL) && walk.waits(LOCAL) {
            walk.step()?;
        }
        Ok(walk.is_reached(ancestor, LOCAL))
    }

    /// Counts the commits that `local` contains and none of `remote_has` does. Ids in `remote_has` that are not in this
    /// repository are ignored.
    ///
    /// # Errors
    ///
    /// If a commit in the history of `local` is missing or corrupt.
    pub fn ahead(&self, local: Oid, remote_has: &[Oid]) -> Result<Ahead, LocalError> {
        Ok(count(&missing_commits(self.commits()?, local, remote_has)?))
    }

    /// Counts the commits that `local` contains and `base` does not, and tells whether `local` contains `base`.
    ///
    /// # Errors
    ///
    /// As for [`Repository::ahead`].
    pub fn ahead_of(&self, local: Oid, base: Oid) -> Result<(Ahead, bool), LocalError> {
        let missing = missing_commits(self.commits()?, local, &[base])?;
        let contains = base == local || missing.iter().any(|commit| commit.parents.contains(&base));
        Ok((count(&missing), contains))
    }

    /// Counts the commits that a remote has lost which was at `known` and is at `remote`, and tells whether `known` contains
    /// `local`. `None` if it has lost none, is not at an ancestor of `known`, or neither of `known` and `local` contains the other.
    ///
    /// # Errors
    ///
    /// As for [`Repository::ahead`].
    pub fn lost(
        &self,
        local: Oid,
        known: Oid,
        remote: Option<Oid>,
    ) -> Result<Option<(u64, bool)>, LocalError> {
        if remote == Some(known) || !self.has_commit(known) {
            return Ok(None);
        }
        let is_all = self.is_ancestor_or_same(local, known)?;
        if !is_all && !self.is_ancestor_or_same(known, local)? {
            return Ok(None);
        }
        let (ahead, is_behind) = match remote {
            Some(remote) => self.ahead_of(known, remote)?,
            None => (self.ahead(known, &[])?, true),
        };
        Ok(is_behind.then_some((ahead.commits, is_all)))
    }

    /// Counts the commits that `remote` contains and `local` does not; `None` if `remote` is not in this repository.
    ///
    /// # Errors
    ///
    /// As for [`Repository::ahead`], with the sides exchanged.
    pub fn behind(&self, local: Oid, remote: Oid) -> Result<Option<u64>, LocalError> {
        if !self.has_commit(remote) {
            return Ok(None);
        }
        self.ahead(remote, &[local]).map(|ahead| Some(ahead.commits))
    }
}

pub(super) fn count(commits: &[Commit]) -> Ahead {
    Ahead {
        commits: commits.len() as u64,
        oldest: commits
            .iter()
            .map(|commit| commit.time)
            .min()
            .and_then(system_time),
    }
}

/// Converts seconds since 1970, as git stores them.
pub(super) fn system_time(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds >= 0 {
        UNIX_EPOCH.checked_add(distance)
    } else {
        UNIX_EPOCH.checked_sub(distance)
    }
}

/// Lists the commits that are reachable from a tip and from nothing that the remote has, parents before children.
///
/// What the remote has and this repository lacks, or cannot read, is ignored. A tag counts as its commit.
///
/// # Errors
///
/// If a commit in the history of the tip is missing or corrupt.
pub(crate) fn missing_commits(
    commits: Commits<'_>,
    tip: Oid,
    remote_has: &[Oid],
) -> Result<Vec<Commit>, LocalError> {
    let has: HashSet<Oid> = remote_has.iter().copied().collect();
    if let Some(chain) = short_chain(&commits, tip, &has)? {
        return Ok(chain);
    }
    let tips: Vec<Commit> = commits
        .existing(remote_has)
        .filter_map(|oid| commits.peel(oid))
        .collect();
    let mut walk = Walk::new(commits, Missing::Ends);
    for commit in tips {
        walk.reach(commit.oid, REMOTE)?;
    }
    walk.reach(tip, LOCAL)?;
    let (mut oldest, mut slop) = (i64::MAX, SLOP);
    while let Some((time, sides)) = walk.step()? {
        if sides == LOCAL {
            oldest = oldest.min(time);
            slop = SLOP;
        } else if !walk.waits(LOCAL) && time < oldest {
            slop -= 1;
            if slop == 0 {
                break;
            }
        }
    }
    Ok(walk.only_local(tip))
}

/// The common case: a few commits on top of what the remote has, without reading the remote's other tips.
fn short_chain(
    commits: &Commits<'_>,
    tip: Oid,
    remote_has: &HashSet<Oid>,
) -> Result<Option<Vec<Commit>>, LocalError> {
    let mut chain = Vec::new();
    let mut oid = tip;
    while !remote_has.contains(&oid) {
        let commit = commits.read(oid)?.ok_or_else(|| missing(oid))?;
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

pub(super) fn missing(oid: Oid) -> LocalError {
    let message = format!("commit {oid} is missing from the local repository");
    LocalError::new(message)
}

/// What it means that a commit is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The walk goes on: another commit may answer the question.
    Noted,
    /// The remote's side ends there, also at a corrupt commit; on the local side it is a failure.
    Ends,
}

/// A walk from tips to their ancestors, youngest first, that notes from which sides each commit is reached.
struct Walk<'db> {
    commits: Commits<'db>,
    missing: Missing,
    /// A commit that is missing, and that not both sides are known to contain.
    gap: Option<Oid>,
    nodes: HashMap<Oid, Node>,
    /// Among commits of the same second the local ones come first: they are often a chain on top of the others.
    queue: BinaryHeap<(i64, bool, Oid)>,
    /// How many commits in the queue were reached from each combination of sides.
    waiting: [usize; (LOCAL | REMOTE) as usize + 1],
}

struct Node {
    commit: Commit,
    sides: Sides,
    is_queued: bool,
}

impl<'db> Walk<'db> {
    fn new(commits: Commits<'db>, missing: Missing) -> Self {
        Self {
            commits,
            missing,
            gap: None,
            nodes: HashMap::new(),
            queue: BinaryHeap::new(),
            waiting: [0; _],
        }
    }

    fn from_both(
        commits: Commits<'db>,
        local: Oid,
        remote: Oid,
        missing: Missing,
    ) -> Result<Self, LocalError> {
        let mut walk = Self::new(commits, missing);
        walk.reach(local, LOCAL)?;
        walk.reach(remote, REMOTE)?;
        Ok(walk)
    }

    fn is_reached(&self, oid: Oid, side: Sides) -> bool {
        self.nodes.get(&oid).is_some_and(|node| node.sides & side != 0)
    }

    /// Whether commits that were reached from this side alone are in the queue.
    fn waits(&self, side: Sides) -> bool {
        self.waiting[usize::from(side)] > 0
    }

    /// Goes on from the youngest commit in the queue to its parents. Returns its time, and from where it was reached.
    fn step(&mut self) -> Result<Option<(i64, Sides)>, LocalError> {
        let Some((time, _, oid)) = self.queue.pop() else {
            return Ok(None);
        };
        let Some(node) = self.nodes.get_mut(&oid) else {
            return Ok(None);
        };
        node.is_queued = false;
        let (sides, parents) = (node.sides, node.commit.parents.clone());
        self.waiting[usize::from(sides)] -= 1;
        for parent in parents {
            self.reach(parent, sides)?;
        }
        Ok(Some((time, sides)))
    }

    /// Notes that a commit, and all of its ancestors that are known, is reached from these sides.
    fn reach(&mut self, oid: Oid, sides: Sides) -> Result<(), LocalError> {
        let mut pending = vec![(oid, sides)];
        while let Some((oid, sides)) = pending.pop() {
            match self.nodes.entry(oid) {
                Entry::Occupied(mut entry) => {
                    let node = entry.get_mut();
                    let before = node.sides;
                    node.sides |= sides;
                    if node.sides == before {
                        continue;
                    }
                    if node.is_queued {
                        self.waiting[usize::from(before)] -= 1;
                        self.waiting[usize::from(node.sides)] += 1;
                    } else {
                        pending.extend(node.commit.parents.iter().map(|&parent| (parent, node.sides)));
                    }
                }
                Entry::Vacant(entry) => {
                    let is_optional = sides != LOCAL && (sides != REMOTE || self.missing == Missing::Ends);
                    let commit = match self.commits.read(oid) {
                        Ok(Some(commit)) => commit,
                        _ if is_optional => continue,
                        Ok(None) if self.missing == Missing::Noted => {
                            self.gap = Some(oid);
                            continue;
                        }
                        Ok(None) => return Err(missing(oid)),
                        Err(failure) => return Err(failure),
                    };
                    self.queue.push((commit.time, sides == LOCAL, oid));
                    self.waiting[usize::from(sides)] += 1;
                    entry.insert(Node {
                        commit,
                        sides,
                        is_queued: true,
                    });
                }
            }
        }
        Ok(())
    }

    /// The commits that were reached from the local tip alone, parents before children.
    fn only_local(mut self, tip: Oid) -> Vec<Commit> {
        self.nodes.retain(|_, node| node.sides == LOCAL);
        let mut listed = Vec::new();
        let mut visited = HashSet::new();
        // Each commit with the number of its parents that were visited.
        let mut path: Vec<(Oid, usize)> = Vec::new();
        let mut next = Some(tip);
        loop {
            if let Some(oid) = next.take()
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
                next = Some(parent);
            } else {
                listed.push(*oid);
                path.pop();
            }
        }
        listed
            .iter()
            .filter_map(|oid| Some(self.nodes.remove(oid)?.commit))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::testing::Sandbox;
    use super::*;

    /// `main`: root - one - two; `side`: root - other.
    struct Fork {
        root: Oid,
        one: Oid,
        two: Oid,
        other: Oid,
    }

    fn fork(sandbox: &Sandbox, work: &Path) -> Fork {
        let root = sandbox.commit(work, "root");
        let one = sandbox.commit(work, "one");
        let two = sandbox.commit(work, "two");
        sandbox.git(work, &["checkout", "-q", "-b", "side", &root.to_string()]);
        let other = sandbox.commit(work, "other");
        Fork {
            root,
            one,
            two,
            other,
        }
    }

    const MISSING: Oid = Oid::sha1([7; 20]);

    #[test]
    fn what_a_remote_has_lost_is_counted_where_it_belongs_to_the_local_history() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let Fork {
            root,
            one,
            two,
            other,
        } = fork(&sandbox, &work);
        let repository = sandbox.open(&work);
        for (local, known, remote, expected) in [
            (two, two, Some(two), None),
            (two, two, Some(one), Some((1, true))),
            (two, two, None, Some((3, true))),
            // There is something new as well.
            (two, one, Some(root), Some((1, false))),
            (two, one, None, Some((2, false))),
            // The local branch was set back before.
            (one, two, Some(root), Some((2, true))),
            // The remote went on, or has another history.
            (two, one, Some(two), None),
            (two, two, Some(other), None),
            (other, two, Some(root), None),
            (two, MISSING, Some(one), None),
        ] {
            let lost = repository.lost(local, known, remote).expect("readable");
            assert_eq!(lost, expected, "{local} {known} {remote:?}");
        }
    }

    #[test]
    fn every_relation_is_told() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let Fork {
            root,
            one,
            two,
            other,
        } = fork(&sandbox, &work);
        let repository = sandbox.open(&work);
        for (local, remote, last_known, expected) in [
            (two, None, None, Relation::Absent),
            (two, Some(two), None, Relation::Same),
            (two, Some(one), None, Relation::Ahead),
            (two, Some(root), None, Relation::Ahead),
            (one, Some(two), None, Relation::Behind),
            (root, Some(two), None, Relation::Behind),
            (two, Some(other), None, Relation::Diverged),
            (two, Some(MISSING), None, Relation::Unknowable),
            (two, Some(MISSING), Some(two), Relation::BehindUnknown),
            (one, Some(MISSING), Some(two), Relation::BehindUnknown),
            (two, Some(MISSING), Some(one), Relation::DivergedUnknown),
            (two, Some(MISSING), Some(other), Relation::DivergedUnknown),
            (two, Some(MISSING), Some(Oid::sha1([8; 20])), Relation::Unknowable),
        ] {
            assert_eq!(
                repository
                    .relation(local, remote, || Ok(last_known))
                    .expect("readable"),
                expected,
                "{local} {remote:?} {last_known:?}"
            );
        }
    }

    #[test]
    fn unrelated_histories_are_diverged() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        sandbox.git(&work, &["checkout", "-q", "--orphan", "island"]);
        let island = sandbox.commit(&work, "island");
        let repository = sandbox.open(&work);
        assert_eq!(
            repository
                .relation(one, Some(island), || Ok(None))
                .expect("readable"),
            Relation::Diverged
        );
    }

    #[test]
    fn clocks_that_run_backwards_do_not_change_a_relation() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let root = sandbox.commit_at(&work, "root", 1_000);
        let one = sandbox.commit_at(&work, "one", 3_000);
        let two = sandbox.commit_at(&work, "two", 10);
        let three = sandbox.commit_at(&work, "three", 2_000);
        let repository = sandbox.open(&work);
        for (ancestor, descendant) in [(root, three), (one, two), (two, three), (one, three)] {
            assert_eq!(
                repository
                    .relation(descendant, Some(ancestor), || Ok(None))
                    .expect("readable"),
                Relation::Ahead
            );
            assert_eq!(
                repository
                    .relation(ancestor, Some(descendant), || Ok(None))
                    .expect("readable"),
                Relation::Behind
            );
            assert!(
                repository
                    .is_ancestor_or_same(ancestor, descendant)
                    .expect("readable")
            );
            assert!(
                !repository
                    .is_ancestor_or_same(descendant, ancestor)
                    .expect("readable")
            );
        }
    }

    #[test]
    fn a_missing_commit_is_nobodys_ancestor() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        assert!(!repository.is_ancestor_or_same(MISSING, one).expect("readable"));
        repository
            .is_ancestor_or_same(one, MISSING)
            .expect_err("the descendant's history is not here");
    }

    #[test]
    fn commits_the_remote_lacks_are_counted_with_the_time_of_the_oldest() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let root = sandbox.commit_at(&work, "root", 1_000);
        sandbox.commit_at(&work, "one", 2_000);
        let two = sandbox.commit_at(&work, "two", 3_000);
        sandbox.git(&work, &["checkout", "-q", "-b", "side", &root.to_string()]);
        let other = sandbox.commit_at(&work, "other", 2_500);
        sandbox.git(&work, &["checkout", "-q", "main"]);
        sandbox.git(&work, &["merge", "-q", "--no-ff", "--no-edit", "side"]);
        let repository = sandbox.open(&work);
        let tip = repository
            .branch_tip("refs/heads/main")
            .expect("readable")
            .expect("there");
        let ahead = |remote_has: &[Oid]| {
            let ahead = repository.ahead(tip, remote_has).expect("readable");
            let oldest = ahead
                .oldest
                .map(|time| time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs());
            (ahead.commits, oldest)
        };
        assert_eq!(ahead(&[tip]), (0, None));
        assert_eq!(ahead(&[two, other]).0, 1);
        assert_eq!(ahead(&[two]), (2, Some(2_500)));
        assert_eq!(ahead(&[root, MISSING]), (4, Some(2_000)));
        assert_eq!(ahead(&[MISSING]), (5, Some(1_000)));
        assert_eq!(ahead(&[]), (5, Some(1_000)));
        assert_eq!(repository.behind(root, tip).expect("readable"), Some(4));
        assert_eq!(repository.behind(tip, tip).expect("readable"), Some(0));
        assert_eq!(repository.behind(tip, root).expect("readable"), Some(0));
        assert_eq!(repository.behind(root, MISSING).expect("readable"), None);
    }

    #[test]
    fn commits_on_top_of_a_base_are_counted_whether_or_not_it_is_contained() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let root = sandbox.commit_at(&work, "root", 10);
        let one = sandbox.commit_at(&work, "one", 30);
        let two = sandbox.commit_at(&work, "two", 20);
        sandbox.git(&work, &["checkout", "-q", "-b", "side", &root.to_string()]);
        let side = sandbox.commit_at(&work, "side", 40);
        sandbox.git(&work, &["merge", "-q", "--no-edit", "main"]);
        let merge = sandbox.git(&work, &["rev-parse", "HEAD"]).parse().expect("an id");
        let repository = sandbox.open(&work);
        for (tip, base, expected) in [
            (two, root, (2, true)),
            (two, one, (1, true)),
            (two, two, (0, true)),
            (root, two, (0, false)),
            (two, side, (2, false)),
            (merge, two, (2, true)),
            (merge, side, (3, true)),
            (two, MISSING, (3, false)),
        ] {
            let (ahead, contains) = repository.ahead_of(tip, base).expect("readable");
            assert_eq!((ahead.commits, contains), expected, "{tip} {base}");
        }
        let (ahead, _) = repository.ahead_of(two, root).expect("readable");
        assert_eq!(ahead.oldest, Some(UNIX_EPOCH + Duration::from_secs(20)));
    }

    #[test]
    fn commits_of_the_same_second_are_counted_once_and_right() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let commits: Vec<Oid> = (0..20)
            .map(|index| sandbox.commit_at(&work, &index.to_string(), 1_000))
            .collect();
        let repository = sandbox.open(&work);
        for (index, &remote) in commits.iter().enumerate() {
            let ahead = repository.ahead(commits[19], &[remote]).expect("readable");
            assert_eq!(ahead.commits, 19 - index as u64);
        }
    }

    #[test]
    fn a_short_way_in_a_long_history_is_a_short_walk() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let commits: Vec<Oid> = (0..30)
            .map(|index| sandbox.commit_at(&work, &index.to_string(), 1_000 + index))
            .collect();
        // With its far end destroyed, only a walk that stays near the tip can answer.
        let root = commits[0].to_string();
        fs::remove_file(work.join(".git/objects").join(&root[..2]).join(&root[2..])).expect("removes");
        let repository = sandbox.open(&work);
        assert_eq!(
            repository
                .ahead(commits[29], &[commits[27]])
                .expect("near the tip")
                .commits,
            2
        );
        assert_eq!(
            repository
                .relation(commits[29], Some(commits[28]), || Ok(None))
                .expect("near the tip"),
            Relation::Ahead
        );
        let failure = repository
            .ahead(commits[29], &[])
            .expect_err("the root is missing");
        assert!(failure.message().contains(&root), "{failure}");
    }

    #[test]
    fn a_missing_commit_matters_only_where_the_answer_depends_on_it() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let root = sandbox.commit_at(&work, "root", 1_000);
        let remote = sandbox.commit_at(&work, "of the future", 5_000);
        let local = sandbox.commit_at(&work, "local", 2_000);
        sandbox.git(&work, &["checkout", "-q", "-b", "side", &root.to_string()]);
        let side = sandbox.commit_at(&work, "side", 3_000);
        let hex = root.to_string();
        fs::remove_file(work.join(".git/objects").join(&hex[..2]).join(&hex[2..])).expect("removes");
        let repository = sandbox.open(&work);
        let relation = |local, remote| repository.relation(local, Some(remote), || Ok(None));
        assert_eq!(relation(local, remote), Ok(Relation::Ahead));
        assert_eq!(relation(remote, local), Ok(Relation::Behind));
        let failure = relation(local, side).expect_err("both may descend from the root");
        assert!(failure.message().contains(&hex), "{failure}");
    }

    #[test]
    fn a_corrupt_commit_is_a_failure() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let two = sandbox.commit(&work, "two");
        let hex = two.to_string();
        let path = work.join(".git/objects").join(&hex[..2]).join(&hex[2..]);
        fs::remove_file(&path).expect("removes");
        fs::write(&path, "garbage").expect("writes");
        let repository = sandbox.open(&work);
        assert!(!repository.has_commit(two));
        let failure = repository.ahead(two, &[]).expect_err("corrupt");
        assert!(failure.message().contains(&hex), "{failure}");
    }

    #[test]
    fn only_a_commit_is_a_commit() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let tree: Oid = sandbox
            .git(&work, &["rev-parse", "main^{tree}"])
            .parse()
            .expect("an id");
        let repository = sandbox.open(&work);
        assert!(repository.has_commit(one));
        assert!(!repository.has_commit(tree));
    }

    #[test]
    fn commits_repacked_by_another_process_stay_readable() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        assert!(repository.has_commit(one));
        for message in ["two", "three"] {
            let tip = sandbox.commit(&work, message);
            sandbox.git(&work, &["gc", "-q", "--prune=now"]);
            assert_eq!(
                repository
                    .relation(tip, Some(one), || Ok(None))
                    .expect("readable"),
                Relation::Ahead
            );
        }
    }

    #[test]
    fn a_shallow_clone_ends_at_its_boundary_in_every_worktree() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let root = sandbox.commit(&work, "root");
        let boundary = sandbox.commit(&work, "one");
        let shallow = sandbox.path("shallow");
        sandbox.git(
            &work,
            &[
                "clone",
                "-q",
                "--depth=1",
                &format!("file://{}", work.display()),
                shallow.to_str().expect("UTF-8"),
            ],
        );
        let tip = sandbox.commit(&shallow, "two");
        let linked = sandbox.path("linked");
        sandbox.git(
            &shallow,
            &["worktree", "add", "-q", linked.to_str().expect("UTF-8")],
        );
        for path in [&shallow, &linked] {
            let repository = sandbox.open(path);
            assert_eq!(repository.shallow_commits().expect("readable"), [boundary]);
            assert_eq!(repository.ahead(tip, &[]).expect("readable").commits, 2);
            assert_eq!(
                repository
                    .relation(tip, Some(boundary), || Ok(None))
                    .expect("readable"),
                Relation::Ahead
            );
            assert!(!repository.is_ancestor_or_same(root, tip).expect("readable"));
        }

        let repository = sandbox.open(&shallow);
        sandbox.git(&shallow, &["fetch", "-q", "--unshallow"]);
        assert!(repository.shallow_commits().expect("readable").is_empty());
        assert!(repository.is_ancestor_or_same(root, tip).expect("readable"));
    }
}
