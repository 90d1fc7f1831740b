//! File events as the watcher uses them, without the poll, so that a lost event fails the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use git_local::repository::testing::Sandbox;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a test waits for an event that must not come.
const QUIET: Duration = Duration::from_millis(200);

/// A repository with the commits `one` and `two`, and `main` at the first.
struct Repo {
    sandbox: Sandbox,
}

impl Repo {
    fn new() -> Self {
        let repo = Self {
            sandbox: Sandbox::new(),
        };
        let work = repo.sandbox.init("work");
        for name in ["one", "two"] {
            repo.sandbox.commit(&work, name);
            repo.git(&["tag", name]);
        }
        repo.git(&["reset", "-q", "--soft", "one"]);
        repo
    }

    fn git_dir(&self) -> PathBuf {
        self.sandbox.path("work/.git")
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.sandbox.git(&self.sandbox.path("work"), arguments)
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
            FileEvents::start(&Watches::default(), git_dir, git_dir, refname).expect("file events")
        };
        // A failure shows at the next call.
        let _: Result<(), String> = events.arm();
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
    let repo = Repo::new();
    let watched = repo.watch("refs/heads/main");
    repo.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    watched.wait();
}

#[test]
fn packing_refs_and_committing_after_it_wake() {
    let repo = Repo::new();
    let watched = repo.watch("refs/heads/main");
    repo.git(&["pack-refs", "--all"]);
    watched.wait_until(|| !repo.git_dir().join("refs/heads/main").exists());
    repo.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    watched.wait_until(|| repo.git_dir().join("refs/heads/main").exists());
}

#[test]
fn a_new_value_in_packed_refs_alone_wakes() {
    let repo = Repo::new();
    repo.git(&["pack-refs", "--all"]);
    let watched = repo.watch("refs/heads/main");
    let packed = repo.git_dir().join("packed-refs");
    let content = fs::read_to_string(&packed).expect("packed");
    let two = repo.git(&["rev-parse", "two"]);
    let one = repo.git(&["rev-parse", "one"]);
    let replacement = repo.git_dir().join("packed-refs.new");
    fs::write(&replacement, content.replace(&one, &two)).expect("writes");
    fs::rename(&replacement, &packed).expect("replaces");
    watched.wait();
}

#[test]
fn a_branch_in_directories_that_do_not_exist_yet_wakes() {
    let repo = Repo::new();
    let watched = repo.watch("refs/heads/a/b/c");
    repo.git(&["update-ref", "refs/heads/a/b/c", "refs/tags/one"]);
    watched.wait_until(|| repo.git_dir().join("refs/heads/a/b/c").exists());
    watched.rearm();
    repo.git(&["update-ref", "refs/heads/a/b/c", "refs/tags/two"]);
    let two = repo.git(&["rev-parse", "two"]);
    let tip = repo.git_dir().join("refs/heads/a/b/c");
    watched.wait_until(|| fs::read_to_string(&tip).is_ok_and(|content| content.trim() == two));
}

#[test]
fn a_branch_in_the_place_of_a_directory_and_back_wakes() {
    let repo = Repo::new();
    repo.git(&["update-ref", "refs/heads/a/b", "refs/tags/one"]);
    let watched = repo.watch("refs/heads/a/b");
    let heads = repo.git_dir().join("refs/heads");
    repo.git(&["update-ref", "-d", "refs/heads/a/b"]);
    watched.wait_until(|| !heads.join("a/b").exists());
    repo.git(&["update-ref", "refs/heads/a", "refs/tags/one"]);
    watched.wait_until(|| heads.join("a").is_file());
    repo.git(&["update-ref", "-d", "refs/heads/a"]);
    repo.git(&["update-ref", "refs/heads/a/b", "refs/tags/two"]);
    watched.wait_until(|| heads.join("a/b").exists());
}

#[test]
fn nothing_is_lost_while_directories_come_and_go() {
    let repo = Repo::new();
    let heads = repo.git_dir().join("refs/heads");
    let watched = repo.watch("refs/heads/a/b/c");
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
    let repo = Repo::new();
    repo.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/deep/real"]);
    let watched = repo.watch("refs/heads/alias");
    repo.git(&["update-ref", "refs/heads/alias", "refs/tags/one"]);
    watched.wait_until(|| repo.git_dir().join("refs/heads/deep/real").exists());
}

/// Whether `act` wakes the owner. Another change afterwards shows that events still arrive.
fn wakes(repo: &Repo, act: impl FnOnce(&Path)) -> bool {
    repo.git(&["pack-refs", "--all"]);
    repo.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    let watched = repo.watch("refs/heads/main");
    act(&repo.git_dir());
    let wakes = watched.wakes_within(QUIET);
    fs::remove_file(repo.git_dir().join("packed-refs")).expect("removes");
    watched.wait();
    wakes
}

#[test]
fn other_branches_objects_and_head_do_not_wake() {
    let repo = Repo::new();
    let wakes = wakes(&repo, |_| {
        repo.git(&["update-ref", "refs/heads/other", "refs/tags/one"]);
        repo.git(&["update-ref", "refs/heads/deep/er", "refs/tags/one"]);
        repo.git(&["update-ref", "refs/remotes/origin/main", "refs/tags/one"]);
        repo.git(&["symbolic-ref", "HEAD", "refs/heads/other"]);
        let tree = repo.git(&["mktree"]);
        repo.git(&["commit-tree", "-m", "unreferenced", &tree]);
    });
    assert!(!wakes);
}

#[test]
fn reading_does_not_wake() {
    let repo = Repo::new();
    let wakes = wakes(&repo, |git_dir| {
        repo.git(&["rev-parse", "main"]);
        repo.git(&["for-each-ref"]);
        fs::read(git_dir.join("refs/heads/main")).expect("readable");
        fs::read(git_dir.join("packed-refs")).expect("readable");
        fs::read_dir(git_dir.join("refs/heads"))
            .expect("readable")
            .for_each(drop);
    });
    assert!(!wakes);
}

#[test]
fn refs_share_one_descriptor_and_the_end_of_one_ends_no_watch_of_another() {
    let (repo, elsewhere) = (Repo::new(), Repo::new());
    let shared = Watches::default();
    let mut watched = repo.watch("refs/heads/main");
    let start = |repo: &Repo, refname| {
        let _within = watched.runtime.enter();
        let events =
            FileEvents::start(&shared, &repo.git_dir(), &repo.git_dir(), refname).expect("file events");
        events.arm().expect("all directories are watched");
        events
    };
    let main = start(&repo, "refs/heads/main");
    let other = start(&repo, "refs/heads/other");
    let far = start(&elsewhere, "refs/heads/main");
    let heads = [&repo, &elsewhere].map(|repo| repo.git_dir().join("refs/heads"));
    // One is that of `watched`.
    assert_eq!(heads.each_ref().map(|heads| descriptors_watching(heads)), [2, 1]);

    watched.events = main;
    drop(other);
    repo.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    watched.wait();
    watched.rearm();
    repo.git(&["update-ref", "refs/heads/other", "refs/tags/two"]);
    elsewhere.git(&["update-ref", "refs/heads/main", "refs/tags/two"]);
    assert!(!watched.wakes_within(QUIET));

    watched.events = far;
    watched.wait();
    assert_eq!(heads.each_ref().map(|heads| descriptors_watching(heads)), [0, 1]);
}

/// Counts the inotify descriptors of this process that watch a directory, by its inode: other tests have their own.
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
    let repo = Repo::new();
    let heads = repo.git_dir().join("refs/heads");
    let watched = repo.watch("refs/heads/main");
    assert_eq!(descriptors_watching(&heads), 1);
    drop(watched);
    assert_eq!(descriptors_watching(&heads), 0);
}

#[test]
fn a_directory_that_replaces_another_is_watched_in_its_place() {
    let repo = Repo::new();
    let watched = repo.watch("refs/heads/main");
    let heads = repo.git_dir().join("refs/heads");
    let away = repo.git_dir().join("refs/away");
    fs::rename(&heads, &away).expect("renames");
    fs::create_dir(&heads).expect("creates");
    watched.wait();
    watched.rearm();
    assert_eq!(descriptors_watching(&heads), 1);
    assert_eq!(descriptors_watching(&away), 0);
}

#[test]
fn an_overflow_of_the_event_queue_wakes() {
    let repo = Repo::new();
    let watched = repo.watch("refs/heads/main");
    let heads = repo.git_dir().join("refs/heads");
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("readable");
    let kept: usize = kept.trim().parse().expect("a number");
    // Each file causes at least one event, with an irrelevant name.
    for number in 0..=kept {
        fs::write(heads.join(number.to_string()), "").expect("writes");
    }
    watched.wait();
}

#[test]
fn a_missing_repository_is_no_error() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let watched = Watched::start(&directory.path().join("gone"), "refs/heads/main");
    watched.rearm();
}
