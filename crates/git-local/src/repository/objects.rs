//! Finds and opens the objects of a repository: its own directory, or that of `GIT_OBJECT_DIRECTORY`, and its alternates, by
//! git's rules (`object-file.c` of git 2.47).
//!
//! libgit2 reads alternates by itself, but knows neither the environment nor quoted lines, and resolves a relative line that
//! does not begin with a dot against the current directory.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use git_wire::oid::{ObjectFormat, Oid};

use super::open::OpenError;
use super::place::path_of;
use crate::LocalError;
use crate::config::Environment;

/// How deep alternates may nest.
const MAX_DEPTH: usize = 5;

const OWN: &str = "GIT_OBJECT_DIRECTORY";
const ALTERNATES: &str = "GIT_ALTERNATE_OBJECT_DIRECTORIES";
const SEPARATOR: u8 = if cfg!(windows) { b';' } else { b':' };

/// The directories of a repository's objects, and where the boundary of a shallow clone is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStore {
    common_dir: PathBuf,
    format: ObjectFormat,
    /// Its own, then those of its alternates.
    directories: Vec<PathBuf>,
}

impl From<&Self> for ObjectStore {
    fn from(store: &Self) -> Self {
        store.clone()
    }
}

/// The store of a repository that libgit2 has opened, in an empty environment.
impl From<&git2::Repository> for ObjectStore {
    fn from(repository: &git2::Repository) -> Self {
        let format = match repository.object_format() {
            git2::ObjectFormat::Sha1 => ObjectFormat::Sha1,
            git2::ObjectFormat::Sha256 => ObjectFormat::Sha256,
        };
        Self::find(
            repository.commondir(),
            repository.path(),
            &Environment::default(),
            format,
        )
    }
}

impl ObjectStore {
    /// Finds the directories. Relative paths in the environment are below `root`, where git would run.
    pub(super) fn find(
        common_dir: &Path,
        root: &Path,
        environment: &Environment,
        format: ObjectFormat,
    ) -> Self {
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
            format,
            directories: [vec![own], alternates.found].concat(),
        }
    }

    /// Its own directory, then those of its alternates.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    pub(crate) fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Estimates the number of objects that are not in packs, from a sixteenth of their directories. `git gc --auto` does the
    /// same from one of them.
    #[must_use]
    pub fn loose_objects(&self) -> usize {
        let fan_out = (0..16).map(|digit| format!("{digit:x}{digit:x}"));
        let sample = fan_out.flat_map(|name| self.directories.iter().map(move |own| own.join(&name)));
        let counted = sample.filter_map(|directory| Some(fs::read_dir(directory).ok()?.count()));
        counted.sum::<usize>() * 16
    }

    /// The length of the file of a loose object; `None` if it is not loose.
    pub(crate) fn loose_length(&self, oid: Oid) -> Option<u64> {
        let hex = oid.to_string();
        let (directory, name) = hex.split_at(2);
        let file = |own: &PathBuf| own.join(directory).join(name).metadata().ok();
        self.directories.iter().find_map(file).map(|file| file.len())
    }

    /// The bytes of all packs and loose objects. No pack of them is larger, but for the few objects that are stored as deltas of
    /// what is not sent.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let below = |own: &PathBuf| {
            let fan_out = (0..=0xff).map(|byte| format!("{byte:02x}"));
            let places = fan_out.chain(["pack".to_owned()]).map(|name| own.join(name));
            places.collect::<Vec<_>>()
        };
        let files = self
            .directories
            .iter()
            .flat_map(below)
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flat_map(|entries| entries.filter_map(Result::ok));
        files
            .filter(|file| {
                file.path()
                    .extension()
                    .is_none_or(|extension| extension == "pack")
            })
            .filter_map(|file| Some(file.metadata().ok()?.len()))
            .sum()
    }

    /// Each directory, and when a pack last came or went in it; `None` if that is unknown.
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

    /// Refuses a repository without a directory of its own objects, as git does.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let own = &self.directories[0];
        if own.is_dir() {
            return Ok(());
        }
        Err(OpenError::NotFound(format!(
            "there are no objects at {}: check the repository, and {OWN} in the environment",
            own.display()
        )))
    }

    /// Opens the directories as one database. `spelling` is appended to each path: libgit2 shares packs and their caches
    /// between all databases that open them by the same path.
    ///
    /// # Errors
    ///
    /// If git2 cannot pass a path on.
    pub(crate) fn open(&self, spelling: &str) -> Result<Database, LocalError> {
        let failure = |problem: &str| {
            let message = format!("the local object database cannot be opened: {problem}");
            LocalError::new(message)
        };
        let mut database = Database {
            odb: git2::Odb::new_ext(match self.format {
                ObjectFormat::Sha1 => git2::ObjectFormat::Sha1,
                ObjectFormat::Sha256 => git2::ObjectFormat::Sha256,
            })
            .map_err(|error| failure(error.message()))?,
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
            // libgit2 follows alternates by itself and may fail at one: `find` has found those that exist.
            if let Err(error) = database.odb.add_disk_alternate(&path) {
                tracing::debug!(path, %error, "libgit2 did not read all of the alternates");
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
    /// A path that is UTF-8, which git2 requires, to a directory whose own path is not.
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

/// Makes the paths of object directories in an environment absolute, so that they mean the same in any directory.
pub(super) fn absolute(mut environment: Environment, root: &Path) -> Environment {
    if let Some(own) = environment.get_os(OWN).map(|own| root.join(own)) {
        environment = environment.with(OWN, own);
    }
    if let Some(given) = environment.get_os(ALTERNATES) {
        let paths = paths_in(given.as_encoded_bytes(), SEPARATOR);
        let quoted: Vec<_> = paths.iter().map(|path| quoted(&root.join(path))).collect();
        environment = environment.with(ALTERNATES, path_of(&quoted.join(&SEPARATOR)));
    }
    environment
}

/// A path as [`unquote`] reads it; in quotes only if it needs them.
fn quoted(path: &Path) -> Vec<u8> {
    let path = path.as_os_str().as_encoded_bytes();
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
        // Most repositories have no such file; git ignores one that it cannot read.
        if let Ok(lines) = fs::read(objects.join("info/alternates")) {
            let base = objects.canonicalize().unwrap_or_else(|_| objects.to_owned());
            self.add_all(&lines, b'\n', &base, depth);
        }
    }

    fn add_all(&mut self, list: &[u8], separator: u8, base: &Path, depth: usize) {
        if depth <= MAX_DEPTH {
            for path in paths_in(list, separator) {
                self.add(&base.join(path), depth);
            }
        }
    }

    fn add(&mut self, directory: &Path, depth: usize) {
        // Like git, ignores one that does not exist.
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

/// Splits a list of paths, some of them quoted as in C, without its comments. It is a C string: a NUL ends it.
fn paths_in(list: &[u8], separator: u8) -> Vec<PathBuf> {
    let mut rest = list.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut paths = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == separator);
        let end = end.unwrap_or(rest.len());
        let (path, end) = if rest.starts_with(b"#") {
            (Vec::new(), end)
        } else {
            unquote(rest).unwrap_or_else(|| (rest[..end].to_vec(), end))
        };
        if !path.is_empty() {
            paths.push(path_of(&path));
        }
        // git takes any byte behind a closing quote for the separator.
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    paths
}

/// Reads a string quoted as in C (`unquote_c_style` in git's `quote.c`), and returns it with the length of what was read.
/// `None` if it is not quoted, or not correctly.
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

    #[test]
    fn entries_are_plain_quoted_or_comments() {
        for (list, expected) in [
            ("/a:/b", &["/a", "/b"][..]),
            ("/a", &["/a"]),
            ("/a::/b:", &["/a", "/b"]),
            ("#/a:/b", &["/b"]),
            (" #a", &[" #a"]),
            (r#""/a:b":/c"#, &["/a:b", "/c"]),
            (r#""/a\"\\\101\t\n":"/c""#, &["/a\"\\A\t\n", "/c"]),
            // Without a closing quote, or with a wrong escape, a path is taken as it is.
            (r#""/a:/b"#, &["\"/a", "/b"]),
            (r#""/a\q":/b"#, &["\"/a\\q\"", "/b"]),
            (r#""/a\48":/b"#, &["\"/a\\48\"", "/b"]),
            (r#""/a"x/b"#, &["/a", "/b"]),
            (r#"/a"b":c"#, &["/a\"b\"", "c"]),
        ] {
            let paths: Vec<&Path> = expected.iter().map(Path::new).collect();
            assert_eq!(paths_in(list.as_bytes(), b':'), paths, "{list}");
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
        let store = ObjectStore::find(
            &root.join("0"),
            &root,
            &Environment::default(),
            ObjectFormat::Sha1,
        );
        let expected: Vec<PathBuf> = (0..=MAX_DEPTH + 1).map(objects).collect();
        assert_eq!(store.directories, expected);

        fs::write(
            objects(2).join("info/alternates"),
            "../../0/objects\n../../1/objects/",
        )
        .expect("writes");
        let store = ObjectStore::find(
            &root.join("0"),
            &root,
            &Environment::default(),
            ObjectFormat::Sha1,
        );
        assert_eq!(store.directories, [objects(0), objects(1), objects(2)]);
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
        let store = ObjectStore::find(&root, &root, &environment, ObjectFormat::Sha1);
        let expected = ["own", "a:b", "objects", "c"].map(|name| root.join(name));
        assert_eq!(store.directories, expected);
        let moved = absolute(environment, &root);
        assert_eq!(
            ObjectStore::find(&root, Path::new("/"), &moved, ObjectFormat::Sha1),
            store
        );
    }
}
