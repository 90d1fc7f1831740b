//! Writes loose objects, including those that libgit2 would refuse to write.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::{ObjectFormat, ObjectType, Oid, Repository};
use sha1::Sha1;
use sha2::{Digest, Sha256};

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
    pub fn oid(&self, format: ObjectFormat) -> Oid {
        let header = header(self.kind, &self.content);
        let hash = hash(format, &[header.as_bytes(), &self.content].concat());
        Oid::from_bytes(&hash).expect("an id")
    }
}

/// Bytes in an id.
#[must_use]
pub const fn id_length(format: ObjectFormat) -> usize {
    match format {
        ObjectFormat::Sha1 => 20,
        ObjectFormat::Sha256 => 32,
    }
}

/// The hash of an object format.
pub(super) fn hash(format: ObjectFormat, bytes: &[u8]) -> Vec<u8> {
    match format {
        ObjectFormat::Sha1 => Sha1::digest(bytes).to_vec(),
        ObjectFormat::Sha256 => Sha256::digest(bytes).to_vec(),
    }
}

fn header(kind: ObjectType, content: &[u8]) -> String {
    format!("{kind} {}\0", content.len())
}

/// The objects of a repository that were written here.
#[derive(Debug)]
pub struct Store {
    objects: PathBuf,
    /// Its hash.
    pub format: ObjectFormat,
    known: RefCell<HashMap<Oid, Rc<Stored>>>,
}

impl Store {
    /// Writes to a repository.
    #[must_use]
    pub fn new(repository: &Repository) -> Self {
        Self {
            objects: repository.commondir().join("objects"),
            format: repository.object_format(),
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
    /// If it cannot be written.
    pub fn write(&self, kind: ObjectType, content: &[u8]) -> Oid {
        let stored = Stored {
            kind,
            content: content.to_vec(),
        };
        let oid = stored.oid(self.format);
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

    /// Removes an object from the repository.
    pub(super) fn lose(&self, oid: Oid) {
        fs::remove_file(self.path(oid)).expect("it was written");
    }

    /// Restores a removed object.
    pub(super) fn restore(&self, oid: Oid) {
        let stored = self.get(oid).expect("it was written");
        self.put(oid, &stored);
    }
}
