//! The watcher as its owner uses it: without a poll, so that a lost wake is a test that does not end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

/// For how long nothing may come where nothing is to come.
const QUIET: Duration = Duration::from_millis(200);

struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    /// A bare repository with one commit on `main`.
    fn new() -> Self {
        let sandbox = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        };
        sandbox.git(&["init", "-q", "--bare", "--initial-branch=main"]);
        let tree = sandbox.git(&["mktree"]);
        for message in ["one", "two"] {
            let commit = sandbox.git(&["commit-tree", "-m", message, &tree]);
            sandbox.git(&["update-ref", &format!("refs/tags/{message}"), &commit]);
        }
        sandbox.git(&["update-ref", "refs/heads/main", "refs/tags/one"]);
        sandbox
    }

    fn git_dir(&self) -> PathBuf {
        self.directory.path().canonicalize().expect("exists")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.directory.path())
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@example.com"),
                ("GIT_COMMITTER_NAME", "C"),
                ("GIT_COMMITTER_EMAIL", "c@example.com"),
            ])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("git runs");
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim_end()
            .to_owned()
    }

    fn watch(&self, refname: &str) -> Watched {
        Watched::start(&self.git_dir(), refname)
    }
}

struct Watched {
    events: FileEvents,
    runtime: Runtime,
}

impl Watched {
    fn start(git_dir: &Path, refname: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let events = {
            let _within = runtime.enter();
            FileEvents::start(git_dir, git_dir, refname).expect("file events")
        };
        Self { events, runtime }
    }

    fn wakes_within(&self, limit: Duration) -> bool {
        let changed = async { timeout(limit, self.events.changed()).await };
        self.runtime.block_on(changed).is_ok()
    }

    fn rearm(&self) {
        self.events.arm().expect("all directories are watched");
    }

    /// Acts as an owner does, until it sees the change.
    fn wait_until(&self, mut is_seen: impl FnMut() -> bool) {
        loop {
            self.rearm();
            if is_seen() {
                return;
            }
            assert!(self.wakes_within(TIMEOUT), "a change wakes the owner");
        }
    }

    /// Waits, without looking, for a change that was made before.
    fn wait(&self) {
        assert!(self.wakes_within(TIMEOUT), "the change wakes the owner");
    }
}

#[test]
fn a_commit_wakes() {
    let sandbox = Sandbox::new();
    let watched = sandbox.watch("refs/heads/main");
    sandbox.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    watched.wait();
}

#[test]
fn packing_refs_and_committing_after_it_wake() {
    let sandbox = Sandbox::new();
    let watched = sandbox.watch("refs/heads/main");
    sandbox.git(&["pack-refs", "--all"]);
    watched.wait_until(|| !sandbox.git_dir().join("refs/heads/main").exists());
    sandbox.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    watched.wait_until(|| sandbox.git_dir().join("refs/heads/main").exists());
}

#[test]
fn a_value_that_only_packed_refs_has_wakes() {
    let sandbox = Sandbox::new();
    sandbox.git(&["pack-refs", "--all"]);
    let watched = sandbox.watch("refs/heads/main");
    let packed = sandbox.git_dir().join("packed-refs");
    let content = fs::read_to_string(&packed).expect("packed");
    let two = sandbox.git(&["rev-parse", "two"]);
    let one = sandbox.git(&["rev-parse", "one"]);
    let replacement = sandbox.git_dir().join("packed-refs.new");
    fs::write(&replacement, content.replace(&one, &two)).expect("writes");
    fs::rename(&replacement, &packed).expect("replaces");
    watched.wait();
}

#[test]
fn a_branch_wakes_whose_directories_do_not_exist_yet() {
    let sandbox = Sandbox::new();
    let watched = sandbox.watch("refs/heads/a/b/c");
    sandbox.git(&["update-ref", "refs/heads/a/b/c", "refs/tags/one"]);
    watched.wait_until(|| sandbox.git_dir().join("refs/heads/a/b/c").exists());
    watched.rearm();
    sandbox.git(&["update-ref", "refs/heads/a/b/c", "refs/tags/two"]);
    let two = sandbox.git(&["rev-parse", "two"]);
    let tip = sandbox.git_dir().join("refs/heads/a/b/c");
    watched.wait_until(|| fs::read_to_string(&tip).is_ok_and(|content| content.trim() == two));
}

#[test]
fn a_branch_in_the_place_of_a_directory_and_back_wakes() {
    let sandbox = Sandbox::new();
    sandbox.git(&["update-ref", "refs/heads/a/b", "refs/tags/one"]);
    let watched = sandbox.watch("refs/heads/a/b");
    let heads = sandbox.git_dir().join("refs/heads");
    sandbox.git(&["update-ref", "-d", "refs/heads/a/b"]);
    watched.wait_until(|| !heads.join("a/b").exists());
    sandbox.git(&["update-ref", "refs/heads/a", "refs/tags/one"]);
    watched.wait_until(|| heads.join("a").is_file());
    sandbox.git(&["update-ref", "-d", "refs/heads/a"]);
    sandbox.git(&["update-ref", "refs/heads/a/b", "refs/tags/two"]);
    watched.wait_until(|| heads.join("a/b").exists());
}

#[test]
fn nothing_is_lost_while_directories_come_and_go() {
    let sandbox = Sandbox::new();
    let heads = sandbox.git_dir().join("refs/heads");
    let watched = sandbox.watch("refs/heads/a/b/c");
    let (next_round, rounds) = mpsc::channel::<u32>();
    let writer = {
        let heads = heads.clone();
        std::thread::spawn(move || {
            for round in rounds {
                let directory = heads.join("a/b");
                if round % 3 == 0 {
                    drop(fs::remove_dir_all(heads.join("a")));
                } else if round % 3 == 1 {
                    drop(fs::remove_dir_all(&directory));
                }
                fs::create_dir_all(&directory).expect("creates");
                let lock = directory.join("c.lock");
                fs::write(&lock, round.to_string()).expect("writes");
                fs::rename(&lock, directory.join("c")).expect("renames");
            }
        })
    };
    for round in 0..500 {
        next_round.send(round).expect("the writer runs");
        let expected = round.to_string();
        watched
            .wait_until(|| fs::read_to_string(heads.join("a/b/c")).is_ok_and(|content| content == expected));
    }
    drop(next_round);
    writer.join().expect("the writer ends well");
}

#[test]
fn a_symbolic_branch_wakes_with_its_target() {
    let sandbox = Sandbox::new();
    sandbox.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/deep/real"]);
    let watched = sandbox.watch("refs/heads/alias");
    sandbox.git(&["update-ref", "refs/heads/alias", "refs/tags/one"]);
    watched.wait_until(|| sandbox.git_dir().join("refs/heads/deep/real").exists());
}

/// Whether what `act` does wakes. What does not is told from what is late by another change, which does.
fn wakes(sandbox: &Sandbox, act: impl FnOnce(&Path)) -> bool {
    sandbox.git(&["pack-refs", "--all"]);
    sandbox.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    let watched = sandbox.watch("refs/heads/main");
    act(&sandbox.git_dir());
    let wakes = watched.wakes_within(QUIET);
    fs::remove_file(sandbox.git_dir().join("packed-refs")).expect("removes");
    watched.wait();
    wakes
}

#[test]
fn other_branches_objects_and_head_do_not_wake() {
    let sandbox = Sandbox::new();
    let wakes = wakes(&sandbox, |_| {
        sandbox.git(&["update-ref", "refs/heads/other", "refs/tags/one"]);
        sandbox.git(&["update-ref", "refs/heads/deep/er", "refs/tags/one"]);
        sandbox.git(&["update-ref", "refs/remotes/origin/main", "refs/tags/one"]);
        sandbox.git(&["symbolic-ref", "HEAD", "refs/heads/other"]);
        let tree = sandbox.git(&["mktree"]);
        sandbox.git(&["commit-tree", "-m", "unreferenced", &tree]);
    });
    assert!(!wakes);
}

#[test]
fn reading_does_not_wake() {
    let sandbox = Sandbox::new();
    let wakes = wakes(&sandbox, |git_dir| {
        sandbox.git(&["rev-parse", "main"]);
        sandbox.git(&["for-each-ref"]);
        fs::read(git_dir.join("refs/heads/main")).expect("readable");
        fs::read(git_dir.join("packed-refs")).expect("readable");
        fs::read_dir(git_dir.join("refs/heads"))
            .expect("readable")
            .for_each(drop);
    });
    assert!(!wakes);
}

/// The inotify descriptors of this process that watch a directory, told by its inode so that other tests' do not count.
fn descriptors_watching(directory: &Path) -> usize {
    use std::os::unix::fs::MetadataExt as _;
    let inode = directory.metadata().expect("exists").ino();
    let wanted = format!(" ino:{inode:x} ");
    fs::read_dir("/proc/self/fdinfo")
        .expect("readable")
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter(|info| {
            info.lines()
                .any(|line| line.starts_with("inotify") && line.contains(&wanted))
        })
        .count()
}

#[test]
fn dropping_releases_the_descriptor() {
    let sandbox = Sandbox::new();
    let heads = sandbox.git_dir().join("refs/heads");
    let watched = sandbox.watch("refs/heads/main");
    assert_eq!(descriptors_watching(&heads), 1);
    drop(watched);
    assert_eq!(descriptors_watching(&heads), 0);
}

#[test]
fn a_directory_in_the_place_of_another_is_watched_and_the_other_is_not() {
    let sandbox = Sandbox::new();
    let watched = sandbox.watch("refs/heads/main");
    let heads = sandbox.git_dir().join("refs/heads");
    let away = sandbox.git_dir().join("refs/away");
    fs::rename(&heads, &away).expect("renames");
    fs::create_dir(&heads).expect("creates");
    watched.wait();
    watched.rearm();
    assert_eq!(descriptors_watching(&heads), 1);
    assert_eq!(descriptors_watching(&away), 0);
}

#[test]
fn more_events_than_the_kernel_keeps_wake() {
    let sandbox = Sandbox::new();
    let watched = sandbox.watch("refs/heads/main");
    let heads = sandbox.git_dir().join("refs/heads");
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("readable");
    let kept: usize = kept.trim().parse().expect("a number");
    // Each is at least one event, of a name that does not matter.
    for number in 0..=kept {
        fs::write(heads.join(number.to_string()), "").expect("writes");
    }
    watched.wait();
}

#[test]
fn a_repository_that_is_not_there_is_no_error() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let watched = Watched::start(&directory.path().join("gone"), "refs/heads/main");
    watched.rearm();
}
