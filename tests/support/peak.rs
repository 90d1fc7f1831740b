//! How much memory a push takes at its peak, in a process of its own that does nothing else.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use git_local::config::Environment;
use git_local::repository::Target;
use push_engine::attempt::{Destination, RemotePusher, TransportNote};
use push_engine::branch::{FormatsNote, SharedBranch};
use push_engine::daemon::Pusher;
use push_engine::options::{Timeouts, TransportChoice};
use push_engine::state::{Outcome, Terms};
use tokio::time::Instant;

/// How much the memory of the process may grow during a push, in KiB, mapped packs included.
pub(crate) const LIMIT: u64 = 64 * 1024;

/// How many files the repository has, and how many commits the backlog.
const MANY: u64 = 10_000;

/// Long enough for anything but a hang.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));

/// What makes a test the process that pushes: the repository, the remote, and the file for what was measured.
const WORK: &str = "PEAK_OF_WORK";
const REMOTE: &str = "PEAK_OF_REMOTE";
const RESULT: &str = "PEAK_OF_RESULT";

/// Resets the peak of a process (proc(5), `clear_refs`).
const RESET_PEAK: &str = "5";

/// A push that is large in one respect.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// A first commit with 10,000 files.
    Files,
    /// One that changes a single one of them.
    Commit,
    /// 10,000 of these.
    Backlog,
}

impl Load {
    pub(crate) const ALL: [Self; 3] = [Self::Files, Self::Commit, Self::Backlog];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Files => "10,000 files",
            Self::Commit => "a commit among 10,000 files",
            Self::Backlog => "10,000 commits",
        }
    }

    /// How many commits it is.
    pub(crate) fn commits(self) -> u64 {
        match self {
            Self::Files | Self::Commit => 1,
            Self::Backlog => MANY,
        }
    }

    /// Puts it on `main`.
    pub(crate) fn commit(self, work: &Path, environment: &Environment) {
        let mut stream = String::new();
        for commit in 0..self.commits() {
            let from = if commit == 0 {
                "from refs/heads/main^0\n"
            } else {
                ""
            };
            let committer = "committer A U Thor <author@example.com> 1700000000 +0000";
            write!(stream, "commit refs/heads/main\n{committer}\ndata 1\nx\n{from}").expect("memory");
            let files = match self {
                Self::Files => 0..MANY,
                // Everywhere in turn, as a walk through all directories.
                Self::Commit | Self::Backlog => {
                    let file = commit * 7919 % MANY;
                    file..file + 1
                }
            };
            for file in files {
                let content = content(file, &format!("{self:?} {commit}"));
                let (directory, length) = (file / 100, content.len());
                write!(
                    stream,
                    "M 100644 inline records/{directory}/{file}.json\ndata {length}\n{content}\n"
                )
                .expect("memory");
            }
        }
        import(work, environment, &stream);
    }
}

/// About 1 KB, of which a revision changes one line.
fn content(file: u64, revision: &str) -> String {
    let mut random = fastrand::Rng::with_seed(file);
    let mut lines: Vec<String> = (0..20)
        .map(|_| {
            std::iter::repeat_with(|| random.alphanumeric())
                .take(50)
                .collect()
        })
        .collect();
    revision.clone_into(&mut lines[10]);
    lines.join("\n")
}

fn import(work: &Path, environment: &Environment, stream: &str) {
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(work)
        .env_clear()
        .envs(environment.iter())
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(stream.as_bytes()).expect("git reads it");
    drop(stdin);
    assert!(child.wait().expect("a child").success());
}

/// What was measured of a push, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    before: u64,
    peak: u64,
    /// What of the packs is mapped at the end.
    mapped: u64,
}

impl Measured {
    pub(crate) fn growth(self) -> u64 {
        self.peak.saturating_sub(self.before)
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { before, peak, mapped } = self;
        write!(
            formatter,
            "{} KiB more ({before} before, {peak} at the peak {mapped} of it mapped packs)",
            self.growth()
        )
    }
}

/// Runs the calling test in a process of its own, where [`push_if_child`] pushes `main` of `work`.
pub(crate) fn of_push(work: &Path, environment: &Environment, remote: &str, result: &Path) -> Measured {
    let this = thread::current();
    let test = this.name().expect("the test's own thread");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env_clear()
        .envs(environment.iter())
        .env(WORK, work)
        .env(REMOTE, remote)
        .env(RESULT, result)
        .output()
        .expect("it is running");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let measured = fs::read_to_string(result).expect("written by the child");
    fs::remove_file(result).expect("own file");
    let figures: Vec<u64> = measured
        .split(' ')
        .map(|figure| figure.parse().expect("a number"))
        .collect();
    let [before, peak, mapped] = figures[..] else {
        panic!("{measured}")
    };
    Measured { before, peak, mapped }
}

/// If this process was started by [`of_push`], pushes, measures, and returns true.
pub(crate) async fn push_if_child() -> bool {
    let Some(work) = std::env::var_os(WORK).map(PathBuf::from) else {
        return false;
    };
    let git_dir = work.join(".git");
    let objects = git_dir.join("objects");
    let target = Target {
        git_dir: git_dir.clone(),
        refname: "refs/heads/main".to_owned(),
        remote_name: None,
    };
    let side = SharedBranch::new(target, Environment::default(), FormatsNote::default());
    let route = Destination {
        remote: std::env::var(REMOTE).expect("set with the other one"),
        root: work,
        common_dir: git_dir,
        environment: std::env::vars_os().collect(),
        transport: TransportChoice::Native,
        timeouts: Timeouts {
            connect: PATIENCE,
            idle: PATIENCE,
            report: None,
            attempt: PATIENCE,
        },
        keep_connection: Duration::ZERO,
        max_pack_bytes: u64::MAX,
    };
    let pusher = RemotePusher::new(side, route, TransportNote::default());
    // If the reset is not possible, the peak is that of the whole life of the process, which is at least as high.
    let _ = fs::write("/proc/self/clear_refs", RESET_PEAK);
    let before = memory("VmRSS:");
    let outcome = pusher.attempt(Terms::default()).await.outcome;
    let peak = memory("VmHWM:");
    let mapped = mapped_below(&objects);
    pusher.close(Instant::now() + Duration::from_secs(30)).await;
    assert!(matches!(outcome, Outcome::Pushed { .. }), "{outcome:?}");
    let result = std::env::var_os(RESULT).expect("set with the other ones");
    fs::write(result, format!("{before} {peak} {mapped}")).expect("writable");
    true
}

/// A figure about this process, in KiB.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let figure = status.lines().find_map(|line| line.strip_prefix(name));
    let figure = figure.and_then(|figure| figure.trim().strip_suffix(" kB"));
    figure.and_then(|figure| figure.parse().ok()).expect("a size")
}

/// What is in memory of the mapped files below a directory, in KiB (proc(5), `smaps`).
fn mapped_below(directory: &Path) -> u64 {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("Linux");
    let directory = directory.display().to_string();
    let (mut is_below, mut sum) = (false, 0);
    for line in smaps.lines() {
        match line.strip_prefix("Rss:") {
            None if line.contains('-') && !line.contains(" kB") => is_below = line.contains(&directory),
            Some(size) if is_below => {
                let size = size.trim().trim_end_matches(" kB");
                sum += size.parse::<u64>().expect("a size");
            }
            _ => {}
        }
    }
    sum
}
