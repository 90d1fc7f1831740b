//! Where the objects of a repository are: its own directory, or that of `GIT_OBJECT_DIRECTORY`, and its alternates, by
//! git's rules (`object-file.c` of git 2.47).
//!
//! libgit2 reads alternates of its own accord, but neither the environment nor quoted lines, and it takes a relative line
//! that does not begin with a dot for one below the current directory.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::open::OpenError;
use super::place::path_of;
use crate::config::Environment;
use crate::failure::{Failure, Kind};

/// How deep alternates may nest.
const MAX_DEPTH: usize = 5;

const OWN: &str = "GIT_OBJECT_DIRECTORY";
const ALTERNATES: &str = "GIT_ALTERNATE_OBJECT_DIRECTORIES";
const SEPARATOR: u8 = if cfg!(windows) { b';' } else { b':' };

/// The directories of a repository's objects, and what else is needed to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStore {
    /// Where `shallow` is.
    common_dir: PathBuf,
    /// Its own, then those of its alternates.
    directories: Vec<PathBuf>,
}

impl From<&Self> for ObjectStore {
    fn from(store: &Self) -> Self {
        store.clone()
    }
}

/// A repository of libgit2's, in no particular environment.
impl From<&git2::Repository> for ObjectStore {
    fn from(repository: &git2::Repository) -> Self {
        Self::find(repository.commondir(), repository.path(), &Environment::default())
    }
}

impl ObjectStore {
    /// Finds them. Relative paths in the environment are below `root`, where git would run.
    pub(super) fn find(common_dir: &Path, root: &Path, environment: &Environment) -> Self {
        let own = match environment.get_os(OWN) {
            Some(directory) => root.join(directory),
            None => common_dir.join("objects"),
        };
        let mut alternates = Alternates {
            own: own.canonicalize().unwrap_or_else(|_| own.clone()),
            found: Vec::new(),
        };
        if let Some(given) = environment.get_os(ALTERNATES) {
            alternates.add_all(given.as_encoded_bytes(), SEPARATOR, root, 0);
        }
        alternates.add_those_of(&own, 0);
        Self {
            common_dir: common_dir.to_owned(),
            directories: [vec![own], alternates.found].concat(),
        }
    }

    pub(crate) fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    #[cfg(test)]
    fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Each directory, and when a pack last came or went in it; `None` where that cannot be told.
    pub(super) fn state(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let changed = |directory: &PathBuf| {
            let packs = directory.join("pack").metadata();
            packs.and_then(|packs| packs.modified()).ok()
        };
        let directories = self.directories.iter();
        directories
            .map(|directory| (directory.clone(), changed(directory)))
            .collect()
    }

    /// git takes no repository whose own objects are nowhere.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let own = &self.directories[0];
        if own.is_dir() {
            return Ok(());
        }
        Err(OpenError::NotFound {
            message: format!(
                "there are no objects at {}: check the repository, and {OWN} in the environment",
                own.display()
            ),
        })
    }

    /// Opens them as one database. `spelling` is put behind each path: libgit2 shares packs and their caches between all that
    /// open them by the same path.
    ///
    /// # Errors
    ///
    /// When git2 cannot pass a path on.
    pub(crate) fn open(&self, spelling: &str) -> Result<Database, Failure> {
        let failure = |what: &str| {
            Failure::new(
                Kind::Local,
                format!("the local object database cannot be opened: {what}"),
            )
        };
        let mut database = Database {
            odb: git2::Odb::new().map_err(|error| failure(error.message()))?,
            open: Vec::new(),
        };
        for directory in &self.directories {
            let path = match directory.to_str() {
                Some(path) => path.to_owned(),
                None => database
                    .path_of_open(directory)
                    .map_err(|error| failure(&format!("{}: {error}", directory.display())))?,
            };
            let path = format!("{path}/{spelling}");
            // What it does not like about alternates further down was found above, or is to be had from nowhere.
            if let Err(error) = database.odb.add_disk_alternate(&path) {
                tracing::debug!(path, %error, "libgit2 read not all of the alternates");
            }
        }
        Ok(database)
    }
}

/// An open object database.
pub(crate) struct Database {
    odb: git2::Odb<'static>,
    /// Directories that are read by their descriptors.
    open: Vec<File>,
}

impl Database {
    /// A path that is UTF-8, which git2 insists on, to a directory whose own is not.
    #[cfg(target_os = "linux")]
    fn path_of_open(&mut self, directory: &Path) -> io::Result<String> {
        use std::os::fd::AsRawFd;

        let open = File::open(directory)?;
        let path = format!("/proc/self/fd/{}", open.as_raw_fd());
        self.open.push(open);
        Ok(path)
    }

    #[cfg(not(target_os = "linux"))]
    fn path_of_open(&mut self, _directory: &Path) -> io::Result<String> {
        self.open.clear();
        Err(io::Error::other("the path is not UTF-8"))
    }
}

impl Deref for Database {
    type Target = git2::Odb<'static>;

    fn deref(&self) -> &Self::Target {
        &self.odb
    }
}

/// The environment, with the directories of objects by their whole paths, so that they are the same wherever they are read.
pub(super) fn absolute(mut environment: Environment, root: &Path) -> Environment {
    if let Some(own) = environment.get_os(OWN).map(|own| root.join(own)) {
        environment = environment.with(OWN, own);
    }
    if let Some(given) = environment.get_os(ALTERNATES) {
        let mut rest = given.as_encoded_bytes();
        let mut paths = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = next_entry(rest, SEPARATOR);
            rest = after;
            if !entry.is_empty() {
                paths.push(quoted(root.join(path_of(&entry)).as_os_str().as_encoded_bytes()));
            }
        }
        environment = environment.with(ALTERNATES, path_of(&paths.join(&SEPARATOR)));
    }
    environment
}

/// A path as [`unquote`] reads it, where it cannot stand as it is.
fn quoted(path: &[u8]) -> Vec<u8> {
    if !path.contains(&SEPARATOR) {
        return path.to_vec();
    }
    let mut quoted = vec![b'"'];
    for &byte in path {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

struct Alternates {
    own: PathBuf,
    found: Vec<PathBuf>,
}

impl Alternates {
    fn add_those_of(&mut self, objects: &Path, depth: usize) {
        // One that cannot be read is none.
        if let Ok(lines) = fs::read(objects.join("info/alternates")) {
            let base = objects.canonicalize().unwrap_or_else(|_| objects.to_owned());
            self.add_all(&lines, b'\n', &base, depth);
        }
    }

    fn add_all(&mut self, mut list: &[u8], separator: u8, base: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        // The list is a C string.
        list = &list[..list.iter().position(|&byte| byte == 0).unwrap_or(list.len())];
        while !list.is_empty() {
            let (entry, rest) = next_entry(list, separator);
            list = rest;
            if !entry.is_empty() {
                self.add(&base.join(path_of(&entry)), depth);
            }
        }
    }

    fn add(&mut self, directory: &Path, depth: usize) {
        // One that is not there is passed over, as by git.
        let Ok(directory) = directory.canonicalize() else {
            return;
        };
        if !directory.is_dir() || directory == self.own || self.found.contains(&directory) {
            return;
        }
        self.found.push(directory.clone());
        self.add_those_of(&directory, depth + 1);
    }
}

/// Takes the first entry off a list: a comment, which is empty, a path quoted as in C, or whatever stands up to the
/// separator.
fn next_entry(list: &[u8], separator: u8) -> (Vec<u8>, &[u8]) {
    let end = list
        .iter()
        .position(|&byte| byte == separator)
        .unwrap_or(list.len());
    let (entry, end) = if list.starts_with(b"#") {
        (Vec::new(), end)
    } else if let Some((unquoted, length)) = unquote(list) {
        (unquoted, length)
    } else {
        (list[..end].to_vec(), end)
    };
    // What stands behind a closing quote is taken for the separator, whatever it is.
    (entry, list.get(end + 1..).unwrap_or_default())
}

/// Reads a string quoted as in C (`unquote_c_style` in git's `quote.c`), with the length of what was read. `None` where it is
/// not quoted, or not rightly so.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut bytes = text.iter().copied().enumerate();
    bytes.next().filter(|&(_, first)| first == b'"')?;
    let mut unquoted = Vec::new();
    loop {
        let (at, byte) = bytes.next()?;
        unquoted.push(match byte {
            b'"' => return Some((unquoted, at + 1)),
            b'\\' => match bytes.next()?.1 {
                b'a' => 0x07,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                byte @ (b'\\' | b'"') => byte,
                first @ b'0'..=b'3' => {
                    let mut digit = || Some(bytes.next()?.1).filter(|digit| matches!(digit, b'0'..=b'7'));
                    let (second, third) = (digit()?, digit()?);
                    ((first - b'0') << 6) | ((second - b'0') << 3) | (third - b'0')
                }
                _ => return None,
            },
            byte => byte,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &str) -> Vec<String> {
        let mut rest = list.as_bytes();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = next_entry(rest, b':');
            entries.push(String::from_utf8_lossy(&entry).into_owned());
            rest = after;
        }
        entries
    }

    #[test]
    fn entries_are_plain_quoted_or_comments() {
        for (list, expected) in [
            ("/a:/b", &["/a", "/b"][..]),
            ("/a", &["/a"]),
            ("/a::/b:", &["/a", "", "/b"]),
            ("#/a:/b", &["", "/b"]),
            (" #a", &[" #a"]),
            (r#""/a:b":/c"#, &["/a:b", "/c"]),
            (r#""/a\"\\\101\t\n":"/c""#, &["/a\"\\A\t\n", "/c"]),
            // What is not quoted to its end is taken as it is.
            (r#""/a:/b"#, &["\"/a", "/b"]),
            (r#""/a\q":/b"#, &["\"/a\\q\"", "/b"]),
            (r#""/a\48":/b"#, &["\"/a\\48\"", "/b"]),
            (r#""/a"x/b"#, &["/a", "/b"]),
            (r#"/a"b":c"#, &["/a\"b\"", "c"]),
        ] {
            assert_eq!(entries(list), expected, "{list}");
        }
    }

    #[test]
    fn alternates_nest_to_gits_depth_and_end_in_a_circle() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().canonicalize().expect("exists");
        let objects = |index: usize| root.join(format!("{index}/objects"));
        for index in 0..9 {
            fs::create_dir_all(objects(index).join("info")).expect("creates");
            let line = format!("# next\n../../{}/objects\n\n/nowhere\n", (index + 1) % 9);
            fs::write(objects(index).join("info/alternates"), line).expect("writes");
        }
        let store = ObjectStore::find(&root.join("0"), &root, &Environment::default());
        let expected: Vec<PathBuf> = (0..=MAX_DEPTH + 1).map(objects).collect();
        assert_eq!(store.directories(), expected);

        fs::write(
            objects(2).join("info/alternates"),
            "../../0/objects\n../../1/objects/",
        )
        .expect("writes");
        let store = ObjectStore::find(&root.join("0"), &root, &Environment::default());
        assert_eq!(store.directories(), [objects(0), objects(1), objects(2)]);
    }

    #[test]
    fn the_environment_comes_before_the_files_and_relative_paths_are_below_the_root() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().canonicalize().expect("exists");
        for name in ["own/info", "a:b", "c", "objects"] {
            fs::create_dir_all(root.join(name)).expect("creates");
        }
        fs::write(root.join("own/info/alternates"), "../c\n").expect("writes");
        let environment = Environment::default()
            .with("GIT_OBJECT_DIRECTORY", "own")
            .with("GIT_ALTERNATE_OBJECT_DIRECTORIES", r#""a:b":own:objects"#);
        let store = ObjectStore::find(&root, &root, &environment);
        let expected = ["own", "a:b", "objects", "c"].map(|name| root.join(name));
        assert_eq!(store.directories(), expected);
        let moved = absolute(environment, &root);
        assert_eq!(ObjectStore::find(&root, Path::new("/"), &moved), store);
    }
}
