//! Large trees of the last push: the next one compares its own with them.
//!
//! Reading the tree of a directory with 100,000 files takes longer than all else in a push of one of them, and
//! the new version of one push is the old version of the next.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::objects::Object;
use crate::oid::Oid;

/// Bytes of trees that are kept.
const BUDGET: usize = 8 * 1024 * 1024;

/// Smaller trees are read fast enough.
pub(super) const MIN_SIZE: usize = 64 * 1024;

/// How long they are kept. An idle daemon holds none.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// The trees that one daemon keeps from one push to the next. Clones share them.
#[derive(Clone, Default)]
pub struct RecentTrees(Arc<Mutex<VecDeque<Kept>>>);

struct Kept {
    oid: Oid,
    tree: Arc<Object>,
    since: Instant,
}

impl fmt::Debug for RecentTrees {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.with(|kept| kept.len());
        formatter.debug_tuple("RecentTrees").field(&count).finish()
    }
}

impl RecentTrees {
    pub(super) fn get(&self, oid: Oid) -> Option<Arc<Object>> {
        self.with(|kept| {
            kept.iter()
                .find(|kept| kept.oid == oid)
                .map(|kept| Arc::clone(&kept.tree))
        })
    }

    /// Keeps a tree in the place of the version before it.
    pub(super) fn keep(&self, oid: Oid, tree: Arc<Object>, previous: Oid) {
        self.with(|kept| {
            kept.retain(|kept| kept.oid != oid && kept.oid != previous);
            kept.push_back(Kept {
                oid,
                tree,
                since: Instant::now(),
            });
            while kept.iter().map(|kept| kept.tree.data().len()).sum::<usize>() > BUDGET {
                kept.pop_front();
            }
        });
    }

    /// Drops what no push has used for a while; to be called now and then.
    pub fn forget_unused(&self) {
        self.forget_older_than(KEPT_FOR);
    }

    fn forget_older_than(&self, age: Duration) {
        self.with(|kept| kept.retain(|kept| kept.since.elapsed() < age));
    }

    fn with<T>(&self, with: impl FnOnce(&mut VecDeque<Kept>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(size: usize) -> Arc<Object> {
        Arc::new(Object::new(git2::ObjectType::Tree, &vec![0; size]))
    }

    const fn oid(byte: u8) -> Oid {
        Oid::from_bytes([byte; 20])
    }

    #[test]
    fn a_tree_takes_the_place_of_its_previous_version() {
        let recent = RecentTrees::default();
        recent.keep(oid(1), tree(10), Oid::ZERO);
        recent.keep(oid(2), tree(10), oid(1));
        assert!(recent.get(oid(1)).is_none());
        assert!(recent.get(oid(2)).is_some());
    }

    #[test]
    fn the_oldest_make_room() {
        let recent = RecentTrees::default();
        for byte in 1..=3 {
            recent.keep(oid(byte), tree(BUDGET / 2), Oid::ZERO);
        }
        assert!(recent.get(oid(1)).is_none());
        assert!(recent.get(oid(2)).is_some() && recent.get(oid(3)).is_some());
        recent.keep(oid(4), tree(BUDGET + 1), Oid::ZERO);
        assert!((1..=4).all(|byte| recent.get(oid(byte)).is_none()));
    }

    #[test]
    fn what_is_not_used_is_dropped() {
        let recent = RecentTrees::default();
        recent.keep(oid(1), tree(10), Oid::ZERO);
        recent.forget_unused();
        assert!(recent.get(oid(1)).is_some());
        recent.forget_older_than(Duration::ZERO);
        assert!(recent.get(oid(1)).is_none());
    }
}
