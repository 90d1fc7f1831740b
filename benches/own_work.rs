//! Our own client work in a push: from the remote's advertisement, parsed, to the last byte of the pack.
//!
//! `cargo bench --bench own_work` prints a line for each shape and size of repository: the median, the 90th
//! percentile and the size of the packs, for successive commits that change one file. What an attempt does is
//! done here in the same order; the remote and the waiting for it are left out. Each push follows the one
//! before, as in a daemon that runs for long.
//!
//! `-- --quick` leaves out the largest sizes.

#![expect(clippy::print_stdout, reason = "a table is the result")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use git_push_daemon::branch::{LocalSide, Target};
use git_push_daemon::oid::Oid;
use git_push_daemon::pack::{PackRequest, RecentTrees, write_pack};
use git_push_daemon::repository::Relation;

const PUSHES: usize = 40;
const MAIN: &str = "refs/heads/main";

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// `ab/cd/<number>.json`: the layout of a sharded store.
    Sharded,
    /// All files in one directory.
    Flat,
}

impl Shape {
    fn path(self, file: usize) -> String {
        match self {
            Self::Sharded => {
                let shard = file.wrapping_mul(0x9e37_79b1) >> 8;
                format!("{:02x}/{:02x}/{file:07}.json", shard & 0xff, (shard >> 8) & 0xff)
            }
            Self::Flat => format!("records/{file:07}.json"),
        }
    }
}

fn git(repository: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(input)
        .expect("git reads it");
    let output = child.wait_with_output().expect("a child");
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).expect("ASCII")
}

/// A packed first commit with all files, then commits in loose objects that change one file each.
fn fill(repository: &Path, shape: Shape, files: usize) {
    git(repository, &["init", "-q", "--bare", "."], b"");
    let committer = "committer A <a@example.org> 1700000000 +0000";
    let mut import = format!("commit {MAIN}\n{committer}\ndata 1\nx\n");
    let mut random = fastrand::Rng::with_seed(1);
    for file in 0..files {
        // All different: a tree is as large as its ids when it is deflated.
        let content = random.u128(..);
        writeln!(
            import,
            "M 100644 inline {}\ndata 32\n{content:032x}",
            shape.path(file)
        )
        .expect("memory");
    }
    git(
        repository,
        &["-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"],
        import.as_bytes(),
    );
    let mut import = String::new();
    for push in 0..PUSHES {
        let from = if push == 0 {
            format!("from {MAIN}^0\n")
        } else {
            String::new()
        };
        let content = format!("{:032x}", random.u128(..)).repeat(8);
        let path = shape.path(random.usize(..files));
        write!(
            import,
            "commit {MAIN}\n{committer}\ndata 1\nx\n{from}M 100644 inline {path}\ndata {}\n{content}\n",
            content.len()
        )
        .expect("memory");
    }
    git(
        repository,
        &["-c", "fastimport.unpackLimit=100000", "fast-import", "--quiet"],
        import.as_bytes(),
    );
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let only = std::env::var("ONLY").ok();
    println!("shape    files    first ms  median ms  p90 ms  pack bytes   relation open pack");
    for (shape, files) in [
        (Shape::Sharded, 1_000),
        (Shape::Sharded, 10_000),
        (Shape::Sharded, 100_000),
        (Shape::Sharded, 1_000_000),
        (Shape::Flat, 1_000),
        (Shape::Flat, 10_000),
        (Shape::Flat, 100_000),
    ] {
        if is_quick && files > 100_000 {
            continue;
        }
        if only
            .as_ref()
            .is_some_and(|only| *only != format!("{shape:?}{files}"))
        {
            continue;
        }
        let directory = tempfile::tempdir().expect("a directory");
        fill(directory.path(), shape, files);
        measure(directory.path(), shape, files);
    }
}

fn measure(repository: &Path, shape: Shape, files: usize) {
    let listed = git(repository, &["rev-list", "--reverse", MAIN], b"");
    let commits: Vec<Oid> = listed.lines().map(|line| line.parse().expect("an id")).collect();
    let target = Target {
        git_dir: repository.to_owned(),
        refname: MAIN.to_owned(),
        remote_name: None,
    };
    let side = LocalSide::open(target.clone()).expect("opens");
    let raw = git2::Repository::open(repository).expect("opens");
    let recent = RecentTrees::default();
    let mut times = Vec::new();
    let mut parts = [Duration::ZERO; 3];
    let mut bytes = 0;
    let repeat: usize = std::env::var("REPEAT")
        .ok()
        .map_or(1, |repeat| repeat.parse().expect("a number"));
    for pair in std::iter::repeat_n(commits.windows(2), repeat).flatten() {
        let (old, new) = (pair[0], pair[1]);
        let start = Instant::now();
        assert_eq!(side.relation(new, Some(old)).expect("readable"), Relation::Ahead);
        assert!(side.repository().shallow_commits().expect("readable").is_empty());
        let related = start.elapsed();
        let request = PackRequest {
            tip: new,
            remote_has: vec![old],
        };
        drop(LocalSide::open(target.clone()).expect("opens"));
        let opened = start.elapsed();
        let stats = write_pack(&raw, &request, &recent, &mut std::io::sink()).expect("a pack");
        times.push(start.elapsed());
        parts[0] += related;
        parts[1] += opened - related;
        parts[2] += start.elapsed() - opened;
        bytes += stats.bytes;
    }
    let first = times[0];
    let pushes = times.len();
    let [relation, open, pack] = parts.map(|part| ms(part / u32::try_from(pushes).expect("few")));
    times.sort_unstable();
    println!(
        "{:8} {files:7} {:9.2} {:10.2} {:7.2} {:11} {relation:8.2} {open:5.2} {pack:5.2}",
        format!("{shape:?}"),
        ms(first),
        ms(times[pushes / 2]),
        ms(times[pushes * 9 / 10]),
        bytes / pushes as u64,
    );
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
