//! Reads loose objects: files with one zlib stream of `type SP size NUL content` each.
//!
//! libgit2 can read them too. This takes half of its time, which for the tree of a large directory is most of a
//! push: the size is known after a few bytes, so the rest is inflated in one step to where it stays. What it
//! cannot make sense of it leaves to libgit2, which may know another copy, and has the words for what is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use flate2::{Decompress, FlushDecompress};
use libdeflater::Decompressor;

use super::objects::Object;
use crate::oid::Oid;

/// More than deflate makes of one byte. A header that claims more is wrong, and no reason to take memory.
const MAX_RATIO: usize = 1032;

/// Room for the longest type, the longest size, and what ends them.
const MAX_HEADER: usize = 32;

/// Those of the repository's own directory and of its alternates.
pub(super) struct LooseObjects {
    directories: Vec<PathBuf>,
    header: Decompress,
    decompressor: Decompressor,
}

impl LooseObjects {
    pub(super) fn new(directories: &[PathBuf]) -> Self {
        Self {
            directories: directories.to_vec(),
            header: Decompress::new(true),
            decompressor: Decompressor::new(),
        }
    }

    /// An object that is there, is whole, and is what it is called.
    pub(super) fn read(&mut self, oid: Oid) -> Option<Object> {
        let name = oid.to_string();
        let name = Path::new(&name[..2]).join(&name[2..]);
        for index in 0..self.directories.len() {
            let object = fs::read(self.directories[index].join(&name))
                .ok()
                .and_then(|compressed| self.inflate(&compressed))
                .filter(|object| object.has_id(oid));
            if object.is_some() {
                return object;
            }
        }
        None
    }

    fn inflate(&mut self, compressed: &[u8]) -> Option<Object> {
        let mut start = [0; MAX_HEADER];
        self.header.reset(true);
        self.header
            .decompress(compressed, &mut start, FlushDecompress::None)
            .ok()?;
        let read = usize::try_from(self.header.total_out()).ok()?;
        let Header { kind, length, size } = Header::parse(&start[..read])?;
        let whole = length.checked_add(size)?;
        if whole > compressed.len().saturating_mul(MAX_RATIO) {
            return None;
        }
        let mut stored = vec![0; whole];
        let inflated = self.decompressor.zlib_decompress(compressed, &mut stored).ok()?;
        (inflated == whole).then(|| Object::from_stored(kind, stored, length))
    }
}

struct Header {
    kind: git2::ObjectType,
    /// Bytes up to the content.
    length: usize,
    /// Bytes of the content.
    size: usize,
}

impl Header {
    fn parse(start: &[u8]) -> Option<Self> {
        let end = start.iter().position(|&byte| byte == 0)?;
        let (kind, size) = str::from_utf8(&start[..end]).ok()?.split_once(' ')?;
        Some(Self {
            kind: match kind {
                "commit" => git2::ObjectType::Commit,
                "tree" => git2::ObjectType::Tree,
                "blob" => git2::ObjectType::Blob,
                "tag" => git2::ObjectType::Tag,
                _ => return None,
            },
            length: end + 1,
            size: size.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::repository::from_git2;

    fn deflated(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(bytes).expect("a Vec takes everything");
        encoder.finish().expect("a Vec takes everything")
    }

    fn inflate(compressed: &[u8]) -> Option<Object> {
        LooseObjects::new(&[]).inflate(compressed)
    }

    /// A repository with one blob, and the file of that.
    fn with_blob(content: &[u8]) -> (tempfile::TempDir, git2::Repository, git2::Oid, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let repository = git2::Repository::init_bare(directory.path()).expect("a repository");
        let id = repository.blob(content).expect("a blob");
        let name = id.to_string();
        let file = directory.path().join("objects").join(&name[..2]).join(&name[2..]);
        (directory, repository, id, file)
    }

    #[test]
    fn every_kind_is_read_as_libgit2_reads_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let repository = git2::Repository::init_bare(directory.path()).expect("a repository");
        let who = git2::Signature::new("A", "a@example.org", &git2::Time::new(0, 0)).expect("a name");
        let blob = repository.blob(b"content").expect("a blob");
        let mut builder = repository.treebuilder(None).expect("a builder");
        builder.insert("file", blob, 0o100_644).expect("an entry");
        let tree_id = builder.write().expect("a tree");
        let tree = repository.find_tree(tree_id).expect("there");
        let commit = repository
            .commit(None, &who, &who, "m", &tree, &[])
            .expect("a commit");
        let target = repository.find_object(commit, None).expect("there");
        let tag = repository.tag("v1", &target, &who, "m", false).expect("a tag");
        let odb = repository.odb().expect("objects");
        let mut loose = LooseObjects::new(&[directory.path().join("objects")]);
        for id in [blob, tree_id, commit, tag] {
            let theirs = odb.read(id).expect("there");
            let ours = loose.read(from_git2(id)).expect("there");
            assert_eq!((ours.kind, ours.data()), (theirs.kind(), theirs.data()));
        }
        assert!(loose.read(Oid::from_bytes([7; 20])).is_none());
    }

    #[test]
    fn one_that_is_not_whole_in_the_first_place_is_looked_for_in_the_next() {
        let (first, _, id, file) = with_blob(b"one");
        let (second, ..) = with_blob(b"one");
        let places = [first.path().join("objects"), second.path().join("objects")];
        let mut loose = LooseObjects::new(&places);
        fs::remove_file(&file).expect("ours");
        assert_eq!(loose.read(from_git2(id)).expect("there").data(), b"one");
        fs::write(&file, "damaged").expect("writable");
        assert_eq!(loose.read(from_git2(id)).expect("there").data(), b"one");
    }

    #[test]
    fn a_file_cut_short_is_no_object_at_any_length() {
        let (directory, _, id, file) = with_blob(&b"some content ".repeat(20));
        let whole = fs::read(&file).expect("readable");
        let mut loose = LooseObjects::new(&[directory.path().join("objects")]);
        let id = from_git2(id);
        assert!(loose.read(id).is_some());
        fs::remove_file(&file).expect("ours");
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).expect("writable");
            assert!(loose.read(id).is_none(), "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn another_object_in_its_place_is_none() {
        let (directory, repository, id, file) = with_blob(b"one");
        let other = repository.blob(b"two").expect("a blob").to_string();
        fs::remove_file(&file).expect("ours");
        fs::copy(
            directory
                .path()
                .join("objects")
                .join(&other[..2])
                .join(&other[2..]),
            &file,
        )
        .expect("writable");
        let mut loose = LooseObjects::new(&[directory.path().join("objects")]);
        assert!(loose.read(from_git2(id)).is_none());
    }

    #[test]
    fn a_size_that_is_not_that_of_the_content_is_no_object() {
        for header in [
            "blob 4\0",
            "blob 6\0",
            "blob 99999999999999999\0",
            "blob 18446744073709551615\0",
            "blob 18446744073709551616\0",
            "blob -5\0",
            "blob \0",
            "blob\0",
            "thing 5\0",
            "blob 5",
        ] {
            assert!(
                inflate(&deflated(format!("{header}hello").as_bytes(), 6)).is_none(),
                "{header:?}"
            );
        }
        assert_eq!(
            inflate(&deflated(b"blob 5\0hello", 6)).expect("valid").data(),
            b"hello"
        );
    }

    proptest! {
        #[test]
        fn content_survives_at_every_level(
            content in proptest::collection::vec(0_u8..8, 0..20_000),
            level in 0_u32..10,
        ) {
            let stored = [format!("tree {}\0", content.len()).as_bytes(), &content].concat();
            let object = inflate(&deflated(&stored, level)).expect("valid");
            prop_assert_eq!(object.kind, git2::ObjectType::Tree);
            prop_assert_eq!(object.data(), &content[..]);
        }

        #[test]
        fn changed_bytes_never_give_another_object(
            content in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<proptest::sample::Index>(),
            flip in 1_u8..,
        ) {
            let (directory, _, id, file) = with_blob(&content);
            let mut damaged = fs::read(&file).expect("readable");
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            fs::remove_file(&file).expect("ours");
            fs::write(&file, damaged).expect("writable");
            // Some bits of a zlib stream mean nothing.
            let read = LooseObjects::new(&[directory.path().join("objects")]).read(from_git2(id));
            prop_assert!(read.is_none_or(|object| object.data() == content));
        }
    }
}
