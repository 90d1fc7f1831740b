//! A scratch repository beside the local objects, for commits that only the remote has. Nothing in it ever becomes a part of the
//! local repository.
//!
//! It is a private directory within the local git directory, where git keeps its own quarantines, with the local objects as
//! alternates and the local settings. A lock in it lasts as long as the process that made it, so what a dead process has left
//! is told from what another daemon uses.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git_local::LocalError;
use git_local::config::{Config, Entry, Scope};
use git_wire::oid::{ObjectFormat, Oid};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::transport::Background;
use crate::turns::Lane;

/// Begins the names of all quarantines.
const PREFIX: &str = "git-push-daemon-quarantine-";

const LOCK: &str = "lock";

/// How often a new directory is tried. Another daemon may take one for a leftover until it is locked.
const CREATIONS: u32 = 3;

/// How often, and at which interval, it is tried to remove a directory. A git that is being ended may still write into it.
const REMOVALS: u32 = 40;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(50);

/// What a quarantine takes over from the local repository.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    pub(super) config: &'a Config,
    pub(super) format: ObjectFormat,
    /// The directories of the local objects.
    pub(super) objects: &'a [PathBuf],
    /// The boundary of a shallow clone.
    pub(super) shallow: &'a [Oid],
    /// The local tip, from which a fetch finds out what is here.
    pub(super) tip: Oid,
}

/// A scratch repository. It is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Quarantine {
    directory: PathBuf,
    /// Held as long as the directory exists.
    lock: Option<File>,
    background: Background,
}

impl Quarantine {
    /// Makes one in the local git directory. Call it on a thread that may block.
    ///
    /// # Errors
    ///
    /// The disk refuses it, or a path of the local objects has a line break.
    pub(super) fn create(
        common_dir: &Path,
        contents: &Contents<'_>,
        background: Background,
    ) -> Result<Self, LocalError> {
        let failure = |error: io::Error| LocalError::new(format!("no quarantine can be made: {error}"));
        let quarantine = Self::claim(common_dir, background).map_err(failure)?;
        quarantine.fill(contents).map_err(failure)?;
        Ok(quarantine)
    }

    fn claim(common_dir: &Path, background: Background) -> io::Result<Self> {
        for _ in 0..CREATIONS {
            let name = format!("{PREFIX}{:016x}", fastrand::u64(..));
            let directory = common_dir.join(name);
            create_private(&directory)?;
            let lock = lock(&directory.join(LOCK)).ok().flatten();
            // Without the file, another daemon has removed the directory before it was locked.
            if lock.is_some() && directory.join(LOCK).exists() {
                return Ok(Self {
                    directory,
                    lock,
                    background,
                });
            }
            let _ = fs::remove_dir_all(&directory);
        }
        Err(io::Error::other("it cannot be locked"))
    }

    fn fill(&self, contents: &Contents<'_>) -> io::Result<()> {
        let write = |name: &str, text: &[u8]| fs::write(self.directory.join(name), text);
        fs::create_dir_all(self.directory.join("objects/info"))?;
        fs::create_dir_all(self.directory.join("objects/pack"))?;
        fs::create_dir_all(self.directory.join("refs/heads"))?;
        let mut alternates = Vec::new();
        for directory in contents.objects {
            let path = directory.as_os_str().as_encoded_bytes();
            if path.contains(&b'\n') {
                return Err(io::Error::other("a path of the local objects has a line break"));
            }
            alternates.extend_from_slice(path);
            alternates.push(b'\n');
        }
        write("objects/info/alternates", &alternates)?;
        write("refs/heads/ours", format!("{}\n", contents.tip).as_bytes())?;
        if !contents.shallow.is_empty() {
            let lines: Vec<_> = contents.shallow.iter().map(Oid::to_string).collect();
            write("shallow", format!("{}\n", lines.join("\n")).as_bytes())?;
        }
        write("config", settings(contents.config, contents.format).as_bytes())?;
        // Last: with it, this is a repository.
        write("HEAD", b"ref: refs/heads/none\n")
    }

    /// The git directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The bytes of the packs in a quarantine, of those that are being received too.
    pub(super) fn bytes(directory: &Path) -> u64 {
        let files = fs::read_dir(directory.join("objects/pack")).into_iter().flatten();
        files
            .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
            .sum()
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        let (directory, lock) = (std::mem::take(&mut self.directory), self.lock.take());
        if Handle::try_current().is_err() {
            let _ = fs::remove_dir_all(directory);
            return;
        }
        self.background.spawn(async move {
            let lane = Lane::default();
            for _ in 0..REMOVALS {
                let directory = directory.clone();
                let removed = lane.read(move || match fs::remove_dir_all(&directory) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(Failure::from(LocalError::new(error.to_string())))
                    }
                    _ => Ok(()),
                });
                match removed.await {
                    Ok(()) => break,
                    Err(failure) => tracing::debug!(%failure, "a quarantine could not be removed"),
                }
                sleep(REMOVAL_INTERVAL).await;
            }
            drop(lock);
        });
    }
}

/// Removes what dead processes have left in a git directory, and returns whether nothing of it is left. Call it on a thread that
/// may block.
pub(super) fn sweep(common_dir: &Path) -> bool {
    let mut is_clean = true;
    let entries = fs::read_dir(common_dir).into_iter().flatten();
    for entry in entries.filter_map(Result::ok) {
        let is_quarantine = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_quarantine && let Ok(Some(lock)) = lock(&entry.path().join(LOCK)) {
            let removed = fs::remove_dir_all(entry.path());
            tracing::debug!(path = %entry.path().display(), ?removed, "a dead process has left a quarantine");
            is_clean &= removed.is_ok();
            drop(lock);
        }
    }
    is_clean
}

fn create_private(directory: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Locks a file, which is made if it does not exist; `None` if another has locked it.
#[cfg(unix)]
fn lock(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};

    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(windows)]
fn lock(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    let mut options = File::options();
    options.write(true).create(true).truncate(false).share_mode(0);
    Ok(options.open(path).ok())
}

/// The configuration of the scratch repository: the local settings, which the environment and the user's files complete as for
/// the local repository, but for those that describe a repository.
fn settings(config: &Config, format: ObjectFormat) -> String {
    let mut text = format!(
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = {format}\n"
    );
    let is_local = |entry: &&Entry| matches!(entry.scope(), Scope::Local | Scope::Worktree);
    for entry in config.entries().iter().filter(is_local) {
        let describes_repository = matches!(entry.section(), "extensions" | "include" | "includeif")
            || matches!(
                entry.key(),
                "core.bare" | "core.worktree" | "core.repositoryformatversion" | "fetch.bundleuri"
            );
        if describes_repository {
            continue;
        }
        text.push('[');
        text.push_str(entry.section());
        if let Some(subsection) = entry.subsection() {
            text.push_str(" \"");
            push_escaped(&mut text, subsection);
            text.push('"');
        }
        text.push_str("]\n\t");
        text.push_str(entry.name());
        if let Some(value) = entry.value() {
            text.push_str(" = \"");
            push_escaped(&mut text, value);
            text.push('"');
        }
        text.push('\n');
    }
    text
}

fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '"' | '\\' => text.extend(['\\', character]),
            _ => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use git_local::config::Environment;
    use git_local::repository::testing::Sandbox;
    use tokio::time::Instant;

    use super::*;

    fn quarantines(common_dir: &Path) -> usize {
        let entries = fs::read_dir(common_dir).expect("readable");
        let names = entries.map(|entry| entry.expect("readable").file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(PREFIX))
            .count()
    }

    #[tokio::test]
    async fn a_sweep_removes_what_the_dead_have_left_and_nothing_of_the_living() {
        let sandbox = Sandbox::new();
        let git_dir = sandbox.init("work").join(".git");
        let tip = sandbox.commit(&sandbox.path("work"), "one");
        let config = Config::load(&Environment::default(), &git_dir, &git_dir).expect("well-formed");
        let contents = Contents {
            config: &config,
            format: ObjectFormat::Sha1,
            objects: &[git_dir.join("objects")],
            shallow: &[],
            tip,
        };
        let background = Background::default();
        let alive = Quarantine::create(&git_dir, &contents, background.clone()).expect("made");
        let mut dead = Quarantine::create(&git_dir, &contents, background.clone()).expect("made");
        // As when its process is killed: the lock ends, and nobody removes the directory.
        drop(dead.lock.take());
        assert!(sweep(&git_dir));
        assert_eq!(quarantines(&git_dir), 1);
        assert!(alive.directory().join("HEAD").exists());
        let shown = sandbox.git(alive.directory(), &["rev-parse", "refs/heads/ours"]);
        assert_eq!(shown, tip.to_string());
        drop((alive, dead));
        background.close(Instant::now() + Duration::from_secs(30)).await;
        assert_eq!(quarantines(&git_dir), 0);
    }

    #[test]
    fn the_settings_are_those_of_the_repository_but_for_what_describes_it() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let git_dir = work.join(".git");
        let odd = "a \"b\" \\ c\n\t#; d";
        sandbox.git(&work, &["config", "remote.o\"r\\i.g.proxy", odd]);
        sandbox.git(&work, &["config", "--add", "http.extraHeader", "A: 1"]);
        sandbox.git(&work, &["config", "--add", "http.extraHeader", "B: 2"]);
        sandbox.git(&work, &["config", "core.worktree", "/nonexistent"]);
        let environment = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_COUNT", "1")
            .with("GIT_CONFIG_KEY_0", "http.extraHeader")
            .with("GIT_CONFIG_VALUE_0", "C: 3");
        let config = Config::load(&environment, &git_dir, &git_dir).expect("well-formed");
        let file = sandbox.path("config");
        fs::write(&file, settings(&config, ObjectFormat::Sha256)).expect("written");
        let get = |key: &str| {
            let file = file.to_str().expect("UTF-8");
            sandbox.git(&work, &["config", "--file", file, "--get-all", key])
        };
        assert_eq!(get("remote.o\"r\\i.g.proxy"), odd);
        assert_eq!(get("http.extraheader"), "A: 1\nB: 2");
        assert_eq!(
            (&*get("core.bare"), &*get("extensions.objectformat")),
            ("true", "sha256")
        );
        let listed = sandbox.git(
            &work,
            &["config", "--file", file.to_str().expect("UTF-8"), "--list"],
        );
        assert!(!listed.contains("core.worktree"), "{listed}");
    }
}
