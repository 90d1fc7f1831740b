//! Which files and directories tell of a ref, in git's "files" ref storage (gitrepository-layout).

#[cfg(target_os = "linux")]
use std::ffi::OsStr;
#[cfg(any(not(target_os = "linux"), test))]
use std::fs;
use std::path::{Path, PathBuf};

use crate::loose_ref::{self, LooseRef};
use crate::repository::is_shared;

/// The places that can change the value of a ref.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RefPaths {
    /// Parents before children, whether they exist or not.
    directories: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl RefPaths {
    /// Reads the ref's file only to see whether it is symbolic: then the files of its target belong to it.
    pub(super) fn find(common_dir: &Path, git_dir: &Path, refname: &str) -> Self {
        let mut paths = Self {
            directories: Vec::new(),
            files: vec![common_dir.join("packed-refs")],
        };
        // packed-refs is there, wherever the ref's own file is.
        paths.add_directory(common_dir.to_owned());
        let mut name = refname.to_owned();
        for _ in 0..=loose_ref::MAX_DEPTH {
            let base = if is_shared(&name) { common_dir } else { git_dir };
            let file = paths.add_ref(base, &name);
            match symbolic_target(&file) {
                Some(target) => name = target,
                None => break,
            }
        }
        paths
    }

    fn add_ref(&mut self, base: &Path, name: &str) -> PathBuf {
        let mut path = base.to_owned();
        for component in name.split('/') {
            self.add_directory(path.clone());
            path.push(component);
        }
        self.files.push(path.clone());
        path
    }

    fn add_directory(&mut self, directory: PathBuf) {
        if !self.directories.contains(&directory) {
            self.directories.push(directory);
        }
    }

    pub(super) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The names in a directory that lead to the files.
    #[cfg(target_os = "linux")]
    pub(super) fn names_in<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = &'a OsStr> {
        let paths = self.directories.iter().chain(&self.files);
        paths
            .filter(move |path| path.parent() == Some(directory))
            .filter_map(|path| path.file_name())
    }

    #[cfg(any(not(target_os = "linux"), test))]
    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.directories.iter().any(|directory| directory == path)
    }

    #[cfg(any(not(target_os = "linux"), test))]
    pub(super) fn is_file(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file == path)
    }
}

/// The target in `ref: refs/heads/main`.
fn symbolic_target(file: &Path) -> Option<String> {
    let Ok(Some(LooseRef::Symbolic(target))) = loose_ref::read(file) else {
        return None;
    };
    let is_inside = target.starts_with("refs/") && !target.split('/').any(|part| part == "..");
    is_inside.then_some(target)
}

/// Tells a directory from a later one at the same path. A number may be given again, so that this finds what
/// events did not report, and does not replace them.
#[cfg(any(not(target_os = "linux"), test))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectoryId {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
    #[cfg(not(unix))]
    created: Option<std::time::SystemTime>,
}

#[cfg(any(not(target_os = "linux"), test))]
impl DirectoryId {
    /// `None` where there is no directory.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        if !metadata.is_dir() {
            return None;
        }
        #[cfg(unix)]
        let id = {
            use std::os::unix::fs::MetadataExt as _;
            Self {
                device: metadata.dev(),
                inode: metadata.ino(),
            }
        };
        #[cfg(not(unix))]
        let id = Self {
            created: metadata.created().ok(),
        };
        Some(id)
    }
}

/// File systems on which another machine, or the host of a virtual one, can write without an event here: the `f_type`
/// values of statfs(2) and of the kernel's `magic.h`.
#[cfg(target_os = "linux")]
const REMOTE_FILE_SYSTEMS: [(u32, &str); 13] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x786F_4256, "vboxsf"),
];

/// Why events on this file system do not tell of every change, where they do not.
#[cfg(target_os = "linux")]
pub(super) fn why_events_are_unreliable(directory: &Path) -> Option<String> {
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the type of f_type varies with the target; the values have 32 bits"
    )]
    let kind = kind as u32;
    REMOTE_FILE_SYSTEMS
        .iter()
        .find(|&&(magic, _)| magic == kind)
        .map(|(_, name)| {
            format!(
                "{} is on {name}, where changes from elsewhere cause no file events",
                directory.display()
            )
        })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn why_events_are_unreliable(_directory: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_leads_from_the_repository_to_the_refs_parent() {
        let base = Path::new("/r");
        let paths = RefPaths::find(base, Path::new("/r/worktrees/w"), "refs/heads/a/b");
        assert_eq!(
            paths.directories(),
            ["/r", "/r/refs", "/r/refs/heads", "/r/refs/heads/a"].map(Path::new)
        );
        for file in ["/r/packed-refs", "/r/refs/heads/a/b"] {
            assert!(paths.is_file(Path::new(file)), "{file}");
        }
        for other in [
            "/r/HEAD",
            "/r/packed-refs.lock",
            "/r/packed-refs.new",
            "/r/refs/heads/a/b.lock",
            "/r/refs/heads/a/c",
            "/r/refs/heads/main",
            "/r/objects/00",
        ] {
            assert!(!paths.is_file(Path::new(other)), "{other}");
            assert!(!paths.is_directory(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_symbolic_ref_brings_the_paths_of_its_target() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (common, own) = (directory.path().join("r"), directory.path().join("w"));
        for (file, content) in [
            ("refs/heads/alias", "ref: refs/heads/a/b\n"),
            ("refs/heads/a/b", "ref: refs/worktree/x\n"),
        ] {
            let file = common.join(file);
            fs::create_dir_all(file.parent().expect("has a parent")).expect("creates");
            fs::write(file, content).expect("writes");
        }
        let paths = RefPaths::find(&common, &own, "refs/heads/alias");
        for file in [
            common.join("refs/heads/alias"),
            common.join("refs/heads/a/b"),
            own.join("refs/worktree/x"),
        ] {
            assert!(paths.is_file(&file), "{}", file.display());
            assert!(paths.is_directory(file.parent().expect("has a parent")));
        }
    }

    #[test]
    fn symbolic_refs_in_a_circle_end() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let heads = directory.path().join("refs/heads");
        fs::create_dir_all(&heads).expect("creates");
        fs::write(heads.join("a"), "ref: refs/heads/b").expect("writes");
        fs::write(heads.join("b"), "ref: refs/heads/a").expect("writes");
        let paths = RefPaths::find(directory.path(), directory.path(), "refs/heads/a");
        assert!(paths.is_file(&heads.join("b")));
    }

    #[test]
    fn a_symbolic_ref_cannot_lead_outside() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("ref");
        for target in ["ref: /etc/passwd", "ref: refs/../../etc/passwd", "ref:", "0123"] {
            fs::write(&file, target).expect("writes");
            assert_eq!(symbolic_target(&file), None, "{target}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_local_file_system_is_not_taken_for_a_remote_one() {
        // proc(5) is the one local file system that every Linux has at a known place.
        assert_eq!(why_events_are_unreliable(Path::new("/proc")), None);
    }
}
