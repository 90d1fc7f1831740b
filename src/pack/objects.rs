//! Reads objects of the local repository, and keeps the last few: the two passes over a push, and two
//! successive commits, look at the same trees.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::enumerate::Listed;
use super::loose::LooseObjects;
use super::recent::{self, RecentTrees};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::repository::{Database, ObjectStore, libgit2, shallow_commits, to_git2};

/// Bytes of objects that are kept, however many they are.
const BUDGET: usize = 1024 * 1024;

/// The last few are kept even where they are large: two successive commits need the old and the new version of a
/// directory, and of the one that holds it.
const FEW: usize = 4;
const BUDGET_OF_FEW: usize = 16 * 1024 * 1024;

/// After how many bytes of packed objects libgit2's own cache is emptied. It keeps up to 16 MB of what deltas are
/// made against for each pack, and has no switch for that.
const REOPEN_AFTER: usize = 2 * 1024 * 1024;

/// An object's type and content.
pub(super) struct Object {
    pub(super) kind: git2::ObjectType,
    /// The content behind the header that it is hashed with.
    stored: Vec<u8>,
    start: usize,
}

impl Object {
    pub(super) fn new(kind: git2::ObjectType, content: &[u8]) -> Self {
        let mut stored = format!("{kind} {}\0", content.len()).into_bytes();
        let start = stored.len();
        stored.reserve_exact(content.len());
        stored.extend_from_slice(content);
        Self { kind, stored, start }
    }

    /// From a header and the content, which starts at `start`.
    pub(super) const fn from_stored(kind: git2::ObjectType, stored: Vec<u8>, start: usize) -> Self {
        Self { kind, stored, start }
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.stored[self.start..]
    }

    /// Whether it is what it is called; libgit2 does not look.
    pub(super) fn has_id(&self, oid: Oid) -> bool {
        Sha1::digest(&self.stored)[..] == *oid.as_bytes()
    }
}

/// The repository's objects.
pub(super) struct Objects<'r> {
    store: ObjectStore,
    /// Opened when something is not to be found in loose objects.
    odb: Option<Database>,
    /// Bytes read from `odb` since it was opened.
    read_bytes: usize,
    loose: LooseObjects,
    loose_misses: Misses,
    recent: &'r RecentTrees,
    /// Where the history of a shallow clone ends.
    pub(super) shallow: HashSet<Oid>,
    sent_large_trees: Vec<Listed>,
    kept: HashMap<Oid, Arc<Object>>,
    oldest_first: VecDeque<Oid>,
    kept_bytes: usize,
}

impl<'r> Objects<'r> {
    /// # Errors
    ///
    /// When the boundary of a shallow clone cannot be read.
    pub(super) fn new(store: ObjectStore, recent: &'r RecentTrees) -> Result<Self, Failure> {
        libgit2::set_up();
        let shallow = shallow_commits(store.common_dir())?;
        Ok(Self {
            odb: None,
            read_bytes: 0,
            loose: LooseObjects::new(store.directories()),
            store,
            loose_misses: Misses::default(),
            recent,
            shallow: shallow.into_iter().collect(),
            sent_large_trees: Vec::new(),
            kept: HashMap::new(),
            oldest_first: VecDeque::new(),
            kept_bytes: 0,
        })
    }

    pub(super) fn read(&mut self, oid: Oid) -> Result<Arc<Object>, Failure> {
        if let Some(object) = self.kept.get(&oid) {
            return Ok(Arc::clone(object));
        }
        let object = match self.recent.get(oid) {
            Some(tree) => tree,
            None => Arc::new(self.load(oid)?),
        };
        self.keep(oid, &object);
        Ok(object)
    }

    fn load(&mut self, oid: Oid) -> Result<Object, Failure> {
        if self.loose_misses.is_worth_a_look() {
            let found = self.loose.read(oid);
            self.loose_misses.note(found.is_some());
            if let Some(object) = found {
                return Ok(object);
            }
        }
        if self.read_bytes > REOPEN_AFTER {
            // Closed before it is opened again: what two have open at a time is never freed.
            self.odb = None;
            self.read_bytes = 0;
        }
        let object = match self.odb()?.read(to_git2(oid)) {
            Ok(read) => Object::new(read.kind(), read.data()),
            Err(error) => return Err(unreadable(oid, &error)),
        };
        self.read_bytes += object.data().len();
        if object.has_id(oid) {
            Ok(object)
        } else {
            Err(Failure::new(
                Kind::Local,
                format!("object {oid} of the local repository is damaged: its content has another id"),
            ))
        }
    }

    fn odb(&mut self) -> Result<&git2::Odb<'static>, Failure> {
        Ok(match &mut self.odb {
            Some(odb) => odb,
            // By a spelling of its own, so that what libgit2 keeps of the packs ends with this one.
            closed => closed.insert(self.store.open(".")?),
        })
    }

    /// Those that this repository has. A miss would make libgit2 look for new packs each time; once is enough.
    pub(super) fn present(&mut self, oids: &HashSet<Oid>) -> Result<Vec<Oid>, Failure> {
        let odb = self.odb()?;
        let exists = |oid: Oid| odb.exists_ext(to_git2(oid), git2::OdbLookupFlags::NO_REFRESH);
        if oids.iter().any(|&oid| !exists(oid)) {
            // Where this fails, what was known before is still known.
            let _: Result<(), git2::Error> = odb.refresh();
        }
        Ok(oids.iter().copied().filter(|&oid| exists(oid)).collect())
    }

    /// Notes what was sent, as far as the next push may want it.
    pub(super) fn note_sent(&mut self, listed: Listed) {
        let is_large = self.kept.get(&listed.oid).is_some_and(|object| {
            object.kind == git2::ObjectType::Tree && object.data().len() >= recent::MIN_SIZE
        });
        if is_large {
            self.sent_large_trees.push(listed);
        }
    }

    /// Hands the large trees that were sent on to the next push.
    pub(super) fn hand_on(&self) {
        let mut superseded = HashSet::new();
        for listed in self.sent_large_trees.iter().rev() {
            let Some(object) = self.kept.get(&listed.oid) else {
                continue;
            };
            superseded.insert(listed.base);
            if !superseded.contains(&listed.oid) {
                self.recent.keep(listed.oid, Arc::clone(object), listed.base);
            }
        }
    }

    /// Bytes in an object, without reading all of it where its storage allows that.
    pub(super) fn size(&mut self, oid: Oid) -> Result<usize, Failure> {
        if let Some(object) = self.kept.get(&oid) {
            return Ok(object.data().len());
        }
        match self.odb()?.read_header(to_git2(oid)) {
            Ok((size, _)) => Ok(size),
            Err(error) => Err(unreadable(oid, &error)),
        }
    }

    fn keep(&mut self, oid: Oid, object: &Arc<Object>) {
        let size = object.data().len();
        if size > BUDGET_OF_FEW / 2 {
            return;
        }
        self.kept.insert(oid, Arc::clone(object));
        self.oldest_first.push_back(oid);
        self.kept_bytes += size;
        while self.kept_bytes > BUDGET && (self.oldest_first.len() > FEW || self.kept_bytes > BUDGET_OF_FEW) {
            let Some(oldest) = self.oldest_first.pop_front() else {
                break;
            };
            if let Some(dropped) = self.kept.remove(&oldest) {
                self.kept_bytes -= dropped.data().len();
            }
        }
    }
}

/// Where to look first: what was written together is packed together, and each look for a file that is not there
/// costs as much as reading a small object.
#[derive(Default)]
struct Misses {
    in_a_row: u32,
    /// Objects for which nobody looks among the loose ones.
    to_skip: u32,
}

impl Misses {
    const FEW: u32 = 4;
    /// At most so many objects in a row are read without a look among the loose ones.
    const MOST_SKIPPED: u32 = 255;

    const fn is_worth_a_look(&mut self) -> bool {
        let is_worth_it = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        is_worth_it
    }

    fn note(&mut self, was_found: bool) {
        if was_found {
            *self = Self::default();
        } else {
            self.in_a_row += 1;
            // The bases of what is loose are often packed, so a few misses mean nothing.
            let doubled = 1_u32.checked_shl(self.in_a_row.saturating_sub(Self::FEW));
            self.to_skip = doubled.map_or(Self::MOST_SKIPPED, |skip| (skip - 1).min(Self::MOST_SKIPPED));
        }
    }
}

/// An object that should be there cannot be read.
pub(super) fn unreadable(oid: Oid, error: &git2::Error) -> Failure {
    Failure::new(
        Kind::Local,
        format!(
            "object {oid} cannot be read from the local repository: {}",
            error.message()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_for_loose_objects_become_rare_where_there_are_none_and_frequent_again_where_there_are() {
        let mut misses = Misses::default();
        let looks = |misses: &mut Misses, objects: u32| {
            (0..objects)
                .filter(|_| {
                    let is_looked = misses.is_worth_a_look();
                    if is_looked {
                        misses.note(false);
                    }
                    is_looked
                })
                .count()
        };
        assert_eq!(looks(&mut misses, 5), 5);
        // Seven that become rarer, then one in 256.
        assert_eq!(looks(&mut misses, 100_000), 7 + (100_000 - 254) / 256);
        misses.note(true);
        assert_eq!(looks(&mut misses, 5), 5);
    }
}
