//! Writes loose objects, any that git could have, also those that libgit2 would not write.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::{ObjectType, Oid};
use sha1::{Digest, Sha1};

/// An object's type and content.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    /// The type.
    pub kind: ObjectType,
    /// The content, without its header.
    pub content: Vec<u8>,
}

impl Stored {
    /// The id that git gives it.
    #[must_use]
    pub fn oid(&self) -> Oid {
        let mut digest = Sha1::new();
        digest.update(header(self.kind, &self.content));
        digest.update(&self.content);
        Oid::from_bytes(&digest.finalize()).expect("20 bytes")
    }
}

fn header(kind: ObjectType, content: &[u8]) -> String {
    format!("{kind} {}\0", content.len())
}

/// The objects of a repository that were written here.
#[derive(Debug)]
pub struct Store {
    objects: PathBuf,
    known: RefCell<HashMap<Oid, Rc<Stored>>>,
}

impl Store {
    /// Writes to the repository whose shared directory this is.
    #[must_use]
    pub fn new(common_dir: &Path) -> Self {
        Self {
            objects: common_dir.join("objects"),
            known: RefCell::default(),
        }
    }

    /// How many objects were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.borrow().len()
    }

    /// An object that was written here.
    #[must_use]
    pub fn get(&self, oid: Oid) -> Option<Rc<Stored>> {
        self.known.borrow().get(&oid).cloned()
    }

    /// Writes an object, and returns its id.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, kind: ObjectType, content: &[u8]) -> Oid {
        let stored = Stored {
            kind,
            content: content.to_vec(),
        };
        let oid = stored.oid();
        if !self.known.borrow().contains_key(&oid) {
            self.put(oid, &stored);
            self.known.borrow_mut().insert(oid, Rc::new(stored));
        }
        oid
    }

    fn put(&self, oid: Oid, stored: &Stored) {
        let path = self.path(oid);
        fs::create_dir_all(path.parent().expect("a fan-out directory")).expect("writable");
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder
            .write_all(header(stored.kind, &stored.content).as_bytes())
            .and_then(|()| encoder.write_all(&stored.content))
            .expect("a Vec takes everything");
        fs::write(path, encoder.finish().expect("a Vec takes everything")).expect("writable");
    }

    fn path(&self, oid: Oid) -> PathBuf {
        let hex = oid.to_string();
        let (directory, file) = hex.split_at(2);
        self.objects.join(directory).join(file)
    }

    /// Takes an object away from the repository.
    pub(super) fn lose(&self, oid: Oid) {
        fs::remove_file(self.path(oid)).expect("it was written");
    }

    /// Gives it back.
    pub(super) fn restore(&self, oid: Oid) {
        let stored = self.get(oid).expect("it was written");
        self.put(oid, &stored);
    }
}
