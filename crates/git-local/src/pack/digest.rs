//! The hash of an object format.

use git_wire::oid::{ObjectFormat, Oid};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A hash that is being computed.
pub(super) enum Digest {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Digest {
    pub(super) fn new(format: ObjectFormat) -> Self {
        match format {
            ObjectFormat::Sha1 => Self::Sha1(Sha1::new()),
            ObjectFormat::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Oid {
        let oid = match self {
            Self::Sha1(digest) => Oid::from_bytes(&digest.finalize()),
            Self::Sha256(digest) => Oid::from_bytes(&digest.finalize()),
        };
        oid.expect("the hash has the length of an id")
    }
}
