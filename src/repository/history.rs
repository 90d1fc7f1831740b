//! How commits are related: which is an ancestor of which, and how many lie between.
//!
//! Commits are read as they were written: replacements and grafts are local notions that no remote knows of, so
//! they are not consulted. Only the boundary of a shallow clone is, because beyond it nothing can be read.
//! (libgit2's own walks look for that boundary in the wrong place in a linked worktree, and only once.)

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::commit::Commits;
use super::{Ahead, Relation, Repository, to_git2};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// From which sides a commit was reached.
type Paint = u8;
const LOCAL: Paint = 1;
const REMOTE: Paint = 2;

impl Repository {
    /// Whether this repository has the commit.
    #[must_use]
    pub fn has_commit(&self, oid: Oid) -> bool {
        self.odb()
            .read_header(to_git2(oid))
            .is_ok_and(|(_, kind)| kind == git2::ObjectType::Commit)
    }

    /// How the tip of the local branch stands to the remote's (`None` where the remote has no such branch).
    /// `last_known` is the last tip that was known to be on the remote; it is asked only where the remote's
    /// tip is not in this repository.
    ///
    /// # Errors
    ///
    /// Fails where a commit of the two histories is missing or corrupt.
    pub fn relation(
        &self,
        local: Oid,
        remote: Option<Oid>,
        last_known: impl FnOnce() -> Result<Option<Oid>, Failure>,
    ) -> Result<Relation, Failure> {
        let Some(remote) = remote else {
            return Ok(Relation::Absent);
        };
        if remote == local {
            return Ok(Relation::Same);
        }
        if self.chain(local, remote)?.is_some() {
            return Ok(Relation::Ahead);
        }
        if self.has_commit(remote) {
            return Walk::new(self)?.relation(local, remote);
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

    /// Whether `descendant` contains `ancestor`. A commit that is not in this repository is nobody's ancestor.
    ///
    /// # Errors
    ///
    /// Fails where `descendant` or a commit in its history is missing or corrupt.
    pub fn is_ancestor_or_same(&self, ancestor: Oid, descendant: Oid) -> Result<bool, Failure> {
        if self.chain(descendant, ancestor)?.is_some() {
            return Ok(true);
        }
        if !self.has_commit(ancestor) {
            return Ok(false);
        }
        let mut walk = Walk::new(self)?;
        walk.paint(descendant, LOCAL, Missing::Fails)?;
        walk.paint(ancestor, REMOTE, Missing::Fails)?;
        // The way from the descendant to the ancestor leads only through commits that the ancestor does not
        // reach; when none of those is left, there is no way.
        while !walk.is_painted(ancestor, LOCAL) && walk.waiting_with(LOCAL) {
            walk.step(Missing::Ends)?;
        }
        Ok(walk.is_painted(ancestor, LOCAL))
    }

    /// The commits that `local` contains and none of `remote_has` does; ids in `remote_has` that are not in this
    /// repository are ignored. Like git's own counts it trusts that commits are not older than their parents.
    ///
    /// # Errors
    ///
    /// Fails where a commit in the history of `local` is missing or corrupt.
    pub fn ahead(&self, local: Oid, remote_has: &[Oid]) -> Result<Ahead, Failure> {
        if remote_has.contains(&local) {
            return Ok(Ahead {
                commits: 0,
                oldest: None,
            });
        }
        let mut walk = Walk::new(self)?;
        walk.paint(local, LOCAL, Missing::Fails)?;
        for &oid in remote_has {
            walk.paint(oid, REMOTE, Missing::Ends)?;
        }
        let mut oldest_seen = i64::MAX;
        while walk.waiting_with(LOCAL) || walk.next_time().is_some_and(|time| time >= oldest_seen) {
            if let Some(time) = walk.step(Missing::Ends)? {
                oldest_seen = oldest_seen.min(time);
            }
        }
        let only_local = || walk.commits.values().filter(|commit| commit.paint == LOCAL);
        Ok(Ahead {
            commits: only_local().fold(0, |count, _| count + 1),
            oldest: only_local().map(|commit| commit.time).min().and_then(system_time),
        })
    }

    /// How many commits `remote` contains and `local` does not; `None` where `remote` is not in this repository.
    ///
    /// # Errors
    ///
    /// As for [`Repository::ahead`], with the sides exchanged.
    pub fn behind(&self, local: Oid, remote: Oid) -> Result<Option<u64>, Failure> {
        if !self.has_commit(remote) {
            return Ok(None);
        }
        self.ahead(remote, &[local]).map(|ahead| Some(ahead.commits))
    }
}

/// Seconds since 1970, as git stores them.
pub(super) fn system_time(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds >= 0 {
        UNIX_EPOCH.checked_add(distance)
    } else {
        UNIX_EPOCH.checked_sub(distance)
    }
}

/// What a commit on the remote's side that is not here means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The question cannot be answered.
    Fails,
    /// The remote's side ends there; on the local side it is a failure nevertheless.
    Ends,
}

/// A walk from tips to their ancestors, youngest first, that paints each commit with the sides it is reached from.
struct Walk<'repo> {
    stored: Commits<'repo>,
    commits: HashMap<Oid, Painted>,
    queue: BinaryHeap<(i64, Oid)>,
    /// How many commits in the queue have each paint.
    waiting: [usize; (LOCAL | REMOTE) as usize + 1],
}

struct Painted {
    paint: Paint,
    is_queued: bool,
    time: i64,
    parents: Vec<Oid>,
}

impl<'repo> Walk<'repo> {
    fn new(repository: &'repo Repository) -> Result<Self, Failure> {
        Ok(Self {
            stored: Commits::of(repository)?,
            commits: HashMap::new(),
            queue: BinaryHeap::new(),
            waiting: [0; _],
        })
    }

    /// Independent of commit times: a walk that ends without an answer has seen all commits that could give it.
    fn relation(mut self, local: Oid, remote: Oid) -> Result<Relation, Failure> {
        self.paint(local, LOCAL, Missing::Fails)?;
        self.paint(remote, REMOTE, Missing::Fails)?;
        loop {
            if self.is_painted(remote, LOCAL) {
                return Ok(Relation::Ahead);
            }
            if self.is_painted(local, REMOTE) {
                return Ok(Relation::Behind);
            }
            if !self.waiting_with(LOCAL) && !self.waiting_with(REMOTE) {
                return Ok(Relation::Diverged);
            }
            self.step(Missing::Fails)?;
        }
    }

    fn is_painted(&self, oid: Oid, paint: Paint) -> bool {
        self.commits
            .get(&oid)
            .is_some_and(|commit| commit.paint & paint != 0)
    }

    fn waiting_with(&self, paint: Paint) -> bool {
        self.waiting[usize::from(paint)] > 0
    }

    fn next_time(&self) -> Option<i64> {
        self.queue.peek().map(|&(time, _)| time)
    }

    /// Passes the paint of the youngest waiting commit on to its parents. Returns the commit's time where only the
    /// local side has reached it so far.
    fn step(&mut self, missing: Missing) -> Result<Option<i64>, Failure> {
        let Some((time, oid)) = self.queue.pop() else {
            return Ok(None);
        };
        let Some(commit) = self.commits.get_mut(&oid) else {
            return Ok(None);
        };
        commit.is_queued = false;
        let paint = commit.paint;
        let parents = commit.parents.clone();
        self.waiting[usize::from(paint)] -= 1;
        for parent in parents {
            self.paint(parent, paint, missing)?;
        }
        Ok((paint == LOCAL).then_some(time))
    }

    fn paint(&mut self, oid: Oid, paint: Paint, missing: Missing) -> Result<(), Failure> {
        let commit = match self.commits.entry(oid) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match self.stored.read(oid)? {
                Some(header) => entry.insert(Painted {
                    paint: 0,
                    is_queued: false,
                    time: header.time,
                    parents: header.parents,
                }),
                None if is_optional(paint, missing) => return Ok(()),
                None => {
                    return Err(Failure::new(
                        Kind::Local,
                        format!("commit {oid} is missing from the local repository"),
                    ));
                }
            },
        };
        if commit.paint & paint == paint {
            return Ok(());
        }
        if commit.is_queued {
            self.waiting[usize::from(commit.paint)] -= 1;
        } else {
            commit.is_queued = true;
            self.queue.push((commit.time, oid));
        }
        commit.paint |= paint;
        self.waiting[usize::from(commit.paint)] += 1;
        Ok(())
    }
}

/// What both sides have in common decides nothing, so its far end may be missing.
fn is_optional(paint: Paint, missing: Missing) -> bool {
    match paint {
        LOCAL => false,
        REMOTE => missing == Missing::Ends,
        _ => true,
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

    const MISSING: Oid = Oid::from_bytes([7; 20]);

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
            (
                two,
                Some(MISSING),
                Some(Oid::from_bytes([8; 20])),
                Relation::Unknowable,
            ),
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
