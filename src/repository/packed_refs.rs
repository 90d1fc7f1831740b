//! `packed-refs`: many refs in one file, for those without a file of their own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::oid::Oid;

/// Looks refs up in the file, which is read again only once it has been replaced.
pub(super) struct PackedRefs {
    path: PathBuf,
    known: RefCell<Known>,
}

/// What was looked up in one state of the file.
#[derive(Default)]
struct Known {
    version: Option<Version>,
    refs: HashMap<String, Option<Oid>>,
}

/// Tells one state of the file from the next.
#[derive(PartialEq, Eq)]
struct Version {
    length: u64,
    modified: Option<std::time::SystemTime>,
    #[cfg(unix)]
    changed: (u64, i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            changed: {
                use std::os::unix::fs::MetadataExt;
                (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
            },
        }
    }
}

impl PackedRefs {
    pub(super) fn new(common_dir: &Path) -> Self {
        Self {
            path: common_dir.join("packed-refs"),
            known: RefCell::default(),
        }
    }

    /// What a ref points to.
    pub(super) fn get(&self, refname: &str) -> io::Result<Option<Oid>> {
        let Some(mut file) = self.open()? else {
            return Ok(None);
        };
        let version = Version::of(&file.metadata()?);
        let known = &mut *self.known.borrow_mut();
        if known.version.as_ref() != Some(&version) {
            *known = Known {
                version: Some(version),
                refs: HashMap::new(),
            };
        }
        if let Some(&oid) = known.refs.get(refname) {
            return Ok(oid);
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let oid = lines(&content)
            .find(|(_, name)| *name == refname.as_bytes())
            .and_then(|(oid, _)| oid);
        known.refs.insert(refname.to_owned(), oid);
        Ok(oid)
    }

    /// The name of a ref below this one, as in a directory, if there is one.
    pub(super) fn any_below(&self, refname: &str) -> io::Result<Option<String>> {
        let Some(mut file) = self.open()? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let below = format!("{refname}/").into_bytes();
        let found = lines(&content).find(|(_, name)| name.starts_with(&below));
        Ok(found.map(|(_, name)| String::from_utf8_lossy(name).into_owned()))
    }

    fn open(&self) -> io::Result<Option<File>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Each ref with what it points to. A line that begins with `#` is a header, with `^` what a tag leads to.
fn lines(content: &[u8]) -> impl Iterator<Item = (Option<Oid>, &[u8])> {
    content.split(|&byte| byte == b'\n').filter_map(|line| {
        let (id, rest) = line.split_at_checked(Oid::HEX_LENGTH)?;
        let name = rest.strip_prefix(b" ").filter(|_| id[0] != b'#')?;
        Some((Oid::from_hex(id), name.strip_suffix(b"\r").unwrap_or(name)))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_ref_is_found_by_its_whole_name_and_followed_when_the_file_is_replaced() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let packed = PackedRefs::new(directory.path());
        let get = |name: &str| packed.get(name).expect("readable");
        assert_eq!(get("refs/heads/main"), None);
        let [one, two] = [1, 2].map(|digit| Oid::from_bytes([digit; 20]));
        let write = |content: String| {
            let new = directory.path().join("packed-refs.new");
            fs::write(&new, content).expect("writes");
            fs::rename(new, directory.path().join("packed-refs")).expect("replaces");
        };
        write(format!(
            "# pack-refs with: peeled fully-peeled sorted \n{two} refs/heads/a/b\n{one} refs/heads/main\n{two} refs/heads/main2\n{one} refs/tags/v1\n^{two}\n"
        ));
        for _ in 0..2 {
            assert_eq!(get("refs/heads/main"), Some(one));
            assert_eq!(get("refs/heads/mai"), None);
            assert_eq!(get("refs/heads/a"), None);
        }
        let below = |name: &str| packed.any_below(name).expect("readable");
        assert_eq!(below("refs/heads/a").as_deref(), Some("refs/heads/a/b"));
        assert_eq!(below("refs/heads/main"), None);
        write(format!("{two} refs/heads/main\n"));
        assert_eq!(get("refs/heads/main"), Some(two));
    }
}
