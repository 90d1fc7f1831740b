//! Reads objects of the local repository, checks their ids, and keeps the last few: finding and encoding what to send, and
//! two successive commits, read the same trees.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use git_wire::oid::Oid;
use git2::{ErrorCode, ObjectType};

use super::digest::Digest;
use crate::LocalError;
use crate::repository::{Commit, Commits, Database, ObjectStore, libgit2, missing_commits, to_git2};

/// Bytes of objects that are kept.
const BUDGET: usize = 2 * 1024 * 1024;

/// After how many bytes of objects libgit2's own cache is emptied. For each pack it keeps up to 16 MB of what deltas are made
/// against, and has no switch for that.
const REOPEN_AFTER: usize = 2 * 1024 * 1024;

/// An object's type and content.
pub(super) struct Object {
    pub(super) kind: ObjectType,
    pub(super) data: Vec<u8>,
}

impl Object {
    /// Whether the content has this id; libgit2 does not check that.
    fn has_id(&self, oid: Oid) -> bool {
        let mut digest = Digest::new(oid.format());
        digest.update(format!("{} {}\0", self.kind, self.data.len()).as_bytes());
        digest.update(&self.data);
        digest.finish() == oid
    }
}

/// The repository's objects.
pub(super) struct Objects {
    store: ObjectStore,
    database: Option<Database>,
    /// Bytes read since the database was opened.
    read_bytes: usize,
    kept: HashMap<Oid, Arc<Object>>,
    oldest_first: VecDeque<Oid>,
    kept_bytes: usize,
}

impl Objects {
    pub(super) fn new(store: ObjectStore) -> Self {
        libgit2::set_up();
        Self {
            store,
            database: None,
            read_bytes: 0,
            kept: HashMap::new(),
            oldest_first: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    /// The commits that a remote lacks, parents before children.
    ///
    /// # Errors
    ///
    /// As for [`missing_commits`].
    pub(super) fn missing_commits(
        &mut self,
        tip: Oid,
        remote_has: &[Oid],
    ) -> Result<Vec<Commit>, LocalError> {
        let common_dir = self.store.common_dir().to_owned();
        missing_commits(Commits::new(self.database()?, &common_dir)?, tip, remote_has)
    }

    /// Whether a commit and its first parents are so many or more.
    ///
    /// # Errors
    ///
    /// If one of them is missing or damaged.
    pub(super) fn has_first_parents(&mut self, tip: Oid, commits: u64) -> Result<bool, LocalError> {
        let common_dir = self.store.common_dir().to_owned();
        Commits::new(self.database()?, &common_dir)?.has_first_parents(tip, commits)
    }

    /// Keeps the ids of objects that this repository has.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened.
    pub(super) fn existing(&mut self, oids: &[Oid]) -> Result<Vec<Oid>, LocalError> {
        let common_dir = self.store.common_dir().to_owned();
        let commits = Commits::new(self.database()?, &common_dir)?;
        Ok(commits.existing(oids).collect())
    }

    /// Whether the repository has an object.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened.
    pub(super) fn has(&mut self, oid: Oid) -> Result<bool, LocalError> {
        Ok(self.kept.contains_key(&oid) || self.database()?.exists(to_git2(oid)))
    }

    /// Reads an object.
    ///
    /// # Errors
    ///
    /// If it is missing or damaged.
    pub(super) fn read(&mut self, oid: Oid) -> Result<Arc<Object>, LocalError> {
        self.find(oid)?
            .ok_or_else(|| LocalError::new(format!("object {oid} is missing from the local repository")))
    }

    /// Reads an object; `None` if it is missing.
    ///
    /// # Errors
    ///
    /// If it is damaged.
    pub(super) fn find(&mut self, oid: Oid) -> Result<Option<Arc<Object>>, LocalError> {
        if let Some(object) = self.kept.get(&oid) {
            return Ok(Some(Arc::clone(object)));
        }
        let object = match self.database()?.read(to_git2(oid)) {
            Ok(read) => Object {
                kind: read.kind(),
                data: read.data().to_vec(),
            },
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(oid, &error)),
        };
        if !object.has_id(oid) {
            let message =
                format!("object {oid} of the local repository is damaged: its content has another id");
            return Err(LocalError::new(message));
        }
        self.read_bytes += object.data.len();
        let object = Arc::new(object);
        self.keep(oid, &object);
        Ok(Some(object))
    }

    /// Whether the object was read lately, so that reading it again costs nothing.
    pub(super) fn keeps(&self, oid: Oid) -> bool {
        self.kept.contains_key(&oid)
    }

    /// Reads which tree a commit has; `None` if the commit is missing.
    ///
    /// # Errors
    ///
    /// If the commit is damaged or malformed.
    pub(super) fn tree_of(&mut self, commit: Oid) -> Result<Option<Oid>, LocalError> {
        let Some(object) = self.find(commit)? else {
            return Ok(None);
        };
        Commit::parse(commit, object.kind, &object.data).map(|commit| Some(commit.tree))
    }

    /// About the bytes that an object takes in a pack as a whole: its content if it was read lately, its file if it is loose,
    /// else its content.
    ///
    /// # Errors
    ///
    /// If the object is missing or damaged.
    pub(super) fn about(&mut self, oid: Oid) -> Result<(u64, Option<ObjectType>), LocalError> {
        if !self.keeps(oid)
            && let Some(length) = self.store.loose_length(oid)
        {
            return Ok((length, None));
        }
        let (size, kind) = self.header(oid)?;
        Ok((size as u64, Some(kind)))
    }

    /// Reads the size and the type of an object, without its content if its storage allows that.
    ///
    /// # Errors
    ///
    /// If the object is missing or damaged.
    pub(super) fn header(&mut self, oid: Oid) -> Result<(usize, ObjectType), LocalError> {
        if let Some(object) = self.kept.get(&oid) {
            return Ok((object.data.len(), object.kind));
        }
        let header = self.database()?.read_header(to_git2(oid));
        header.map_err(|error| unreadable(oid, &error))
    }

    fn database(&mut self) -> Result<&Database, LocalError> {
        if self.read_bytes > REOPEN_AFTER {
            // Closed before it is opened again: libgit2 never frees what two databases share.
            self.database = None;
            self.read_bytes = 0;
        }
        Ok(match &mut self.database {
            Some(open) => open,
            // By a spelling of its own, so that libgit2 shares no packs with the database of the repository.
            closed => closed.insert(self.store.open(".")?),
        })
    }

    fn keep(&mut self, oid: Oid, object: &Arc<Object>) {
        self.kept_bytes += object.data.len();
        self.kept.insert(oid, Arc::clone(object));
        self.oldest_first.push_back(oid);
        while self.kept_bytes > BUDGET
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            if let Some(dropped) = self.kept.remove(&oldest) {
                self.kept_bytes -= dropped.data.len();
            }
        }
    }
}

fn unreadable(oid: Oid, error: &git2::Error) -> LocalError {
    let message = format!(
        "object {oid} cannot be read from the local repository: {}",
        error.message()
    );
    LocalError::new(message)
}
