//! Reads objects of the local repository, and keeps the last few: the two passes over a push, and two
//! successive commits, look at the same trees.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use sha1::{Digest, Sha1};

use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::repository::libgit2;

/// Bytes of objects that are kept.
const BUDGET: usize = 16 * 1024 * 1024;

/// An object's type and content.
pub(super) struct Object {
    pub(super) kind: git2::ObjectType,
    pub(super) data: Vec<u8>,
}

impl Object {
    /// Whether it is what it is called; libgit2 does not look.
    fn has_id(&self, oid: Oid) -> bool {
        let mut digest = Sha1::new();
        digest.update(format!("{} {}\0", self.kind, self.data.len()));
        digest.update(&self.data);
        digest.finalize()[..] == *oid.as_bytes()
    }
}

/// The repository's objects.
pub(super) struct Objects<'r> {
    odb: git2::Odb<'r>,
    kept: HashMap<Oid, Rc<Object>>,
    oldest_first: VecDeque<Oid>,
    kept_bytes: usize,
}

impl<'r> Objects<'r> {
    pub(super) fn new(repository: &'r git2::Repository) -> Result<Self, Failure> {
        libgit2::set_up();
        let odb = repository.odb().map_err(|error| {
            Failure::new(
                Kind::Local,
                format!("the local object database cannot be opened: {}", error.message()),
            )
        })?;
        Ok(Self {
            odb,
            kept: HashMap::new(),
            oldest_first: VecDeque::new(),
            kept_bytes: 0,
        })
    }

    pub(super) fn read(&mut self, oid: Oid) -> Result<Rc<Object>, Failure> {
        if let Some(object) = self.kept.get(&oid) {
            return Ok(Rc::clone(object));
        }
        let object = match self.odb.read(to_git(oid)) {
            Ok(read) => Rc::new(Object {
                kind: read.kind(),
                data: read.data().to_vec(),
            }),
            Err(error) => return Err(unreadable(oid, &error)),
        };
        if !object.has_id(oid) {
            return Err(Failure::new(
                Kind::Local,
                format!("object {oid} of the local repository is damaged: its content has another id"),
            ));
        }
        self.keep(oid, &object);
        Ok(object)
    }

    /// Bytes in an object, without reading all of it where its storage allows that.
    pub(super) fn size(&self, oid: Oid) -> Result<usize, Failure> {
        if let Some(object) = self.kept.get(&oid) {
            return Ok(object.data.len());
        }
        match self.odb.read_header(to_git(oid)) {
            Ok((size, _)) => Ok(size),
            Err(error) => Err(unreadable(oid, &error)),
        }
    }

    fn keep(&mut self, oid: Oid, object: &Rc<Object>) {
        let size = object.data.len();
        // Two trees of this size, the old and the new, are what a commit needs.
        if size > BUDGET / 2 {
            return;
        }
        while self.kept_bytes + size > BUDGET {
            let Some(oldest) = self.oldest_first.pop_front() else {
                break;
            };
            if let Some(dropped) = self.kept.remove(&oldest) {
                self.kept_bytes -= dropped.data.len();
            }
        }
        self.kept.insert(oid, Rc::clone(object));
        self.oldest_first.push_back(oid);
        self.kept_bytes += size;
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

pub(super) fn to_git(oid: Oid) -> git2::Oid {
    git2::Oid::from_bytes(oid.as_bytes()).expect("20 bytes are an id")
}

pub(super) fn from_git(oid: git2::Oid) -> Oid {
    Oid::from_bytes(
        oid.as_bytes()
            .try_into()
            .expect("only SHA-1 repositories are opened"),
    )
}
