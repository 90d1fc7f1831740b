//! Pushes of random histories, to refs that move at random. The server checks every object that comes, and
//! at the end of each history the remote is checked as a whole.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fastrand::Rng;
use git2::FileMode;

use crate::bench::{Bench, Dir, Node, Unpack, lines};

const HISTORIES: u64 = 110;
const PUSHES_PER_HISTORY: usize = 20;

/// Names whose order differs between files and directories.
const NAMES: [&str; 7] = ["a", "a.b", "a-b", "a0", "b", "c", "ä"];

#[test]
fn every_push_of_a_random_history_arrives_whole() {
    // One history again: RANDOM_HISTORY=<seed>.
    let only: Option<u64> = std::env::var("RANDOM_HISTORY")
        .ok()
        .map(|seed| seed.parse().expect("a number"));
    let (first, end) = only.map_or((0, HISTORIES), |seed| (seed, seed + 1));
    let next = AtomicU64::new(first);
    let pushes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let _told = TellSeed(seed);
                    pushes.fetch_add(push_history(seed), Ordering::Relaxed);
                }
            });
        }
    });
    let pushes = pushes.into_inner();
    assert_eq!(
        pushes,
        usize::try_from(end - first).expect("few") * PUSHES_PER_HISTORY
    );
    #[expect(
        clippy::print_stderr,
        reason = "the extent of a random test is part of its result"
    )]
    {
        eprintln!("{pushes} pushes of random histories");
    }
}

/// Tells which history failed.
struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "it is needed to run the history again")]
            {
                eprintln!("RANDOM_HISTORY={} failed", self.0);
            }
        }
    }
}

fn push_history(seed: u64) -> usize {
    let mut history = History {
        bench: Bench::new(if seed.is_multiple_of(2) {
            Unpack::Loose
        } else {
            Unpack::Packed
        }),
        random: Rng::with_seed(seed),
        commits: Vec::new(),
    };
    let mut tips = Vec::new();
    for _ in 0..PUSHES_PER_HISTORY {
        for _ in 0..history.random.usize(1..6) {
            history.commit();
        }
        let recent = history.commits.len().min(4);
        let at = if history.random.u8(0..5) == 0 {
            history.random.usize(0..history.commits.len())
        } else {
            history.commits.len() - 1 - history.random.usize(0..recent)
        };
        let tip = history.commits[at].0;
        let refname = format!("refs/heads/{}", history.random.u8(0..4));
        // To the value that it has, there is nothing to push.
        if tips.contains(&(refname.clone(), tip)) {
            history
                .bench
                .push_to(&format!("refs/heads/again-{}", tips.len()), tip);
        } else {
            history.bench.push_to(&refname, tip);
            tips.retain(|(name, _)| *name != refname);
            tips.push((refname, tip));
        }
    }
    for (refname, tip) in tips {
        assert_eq!(history.bench.remote_tip(&refname), Some(tip.to_string()));
    }
    history.bench.fsck();
    PUSHES_PER_HISTORY
}

struct History {
    bench: Bench,
    random: Rng,
    commits: Vec<(git2::Oid, Dir)>,
}

impl History {
    fn commit(&mut self) {
        let count = self.commits.len();
        let parent_count = match self.random.u8(0..20) {
            0 => 0,
            1..=15 => 1,
            16..=18 => 2,
            _ => 4,
        };
        let mut parents = Vec::new();
        let mut files = Dir::default();
        for _ in 0..parent_count.min(count) {
            let recent = if self.random.u8(0..4) == 0 {
                count
            } else {
                count.min(3)
            };
            let (oid, theirs) = &self.commits[count - 1 - self.random.usize(0..recent)];
            if parents.contains(oid) {
                continue;
            }
            for (name, node) in &theirs.0 {
                if !files.0.contains_key(name) || self.random.bool() {
                    files.0.insert(name.clone(), node.clone());
                }
            }
            parents.push(*oid);
        }
        if count > 0 && self.random.u8(0..8) == 0 {
            // A revert to some earlier state.
            files = self.commits[self.random.usize(0..count)].1.clone();
        }
        for _ in 0..self.random.usize(0..4) {
            self.edit(&mut files);
        }
        let seconds = if self.random.u8(0..5) == 0 {
            self.random.i64(0..2_000_000_000)
        } else {
            1_700_000_000 + i64::try_from(count / 3).expect("few")
        };
        let oid = self.bench.commit_at(seconds, &files, &parents);
        self.commits.push((oid, files));
    }

    fn edit(&mut self, files: &mut Dir) {
        let path = self.path();
        match self.random.u8(0..12) {
            0 => {
                files.remove(&path);
            }
            1 => {
                if let Some(node) = files.remove(&path) {
                    files.set(&self.path(), node);
                }
            }
            2 => {
                if let Some(node) = files.get(&path).cloned() {
                    files.set(&self.path(), node);
                }
            }
            3 => {
                if let Some(&Node::File(oid, _)) = files.get(&path) {
                    let mode = *self
                        .random
                        .choice(&[FileMode::Blob, FileMode::BlobExecutable])
                        .expect("two");
                    files.set(&path, Node::File(oid, mode));
                }
            }
            4 => {
                let digit = self.random.u8(1..4).to_string();
                files.set(
                    &path,
                    Node::Link(git2::Oid::from_str(&digit.repeat(40)).expect("40 digits")),
                );
            }
            5 => files.set(&path, Node::Dir(Dir::default())),
            6..=8 => {
                // One of a few contents, so that the same turns up again.
                let content = lines(&mut Rng::with_seed(self.random.u64(0..5)), 30);
                files.set(&path, self.bench.file(content));
            }
            _ => {
                let old = match files.get(&path) {
                    Some(&Node::File(oid, _)) => {
                        self.bench.local.find_blob(oid).expect("there").content().to_vec()
                    }
                    _ => Vec::new(),
                };
                let content = self.edited(&old);
                files.set(&path, self.bench.file(content));
            }
        }
    }

    fn path(&mut self) -> String {
        let depth = self.random.usize(1..4);
        let names: Vec<_> = (0..depth)
            .map(|_| *self.random.choice(&NAMES).expect("some"))
            .collect();
        names.join("/")
    }

    fn edited(&mut self, old: &[u8]) -> Vec<u8> {
        let from = self.random.usize(0..=old.len());
        let to = self.random.usize(from..=old.len()).min(from + 200);
        let count = self.random.usize(0..20);
        let added = lines(&mut self.random, count);
        [&old[..from], added.as_bytes(), &old[to..]].concat()
    }
}
