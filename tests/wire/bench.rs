//! A local and a remote repository, and the code that pushes from one to the other.

use std::cell::Cell;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use git_local::pack::{PackRequest, PackStats, stream_pack};
use git_wire::oid::Oid;
use git_wire::pkt_line::PacketReader;
use git_wire::send_pack::{Advertisement, Command, Report, Request, SendError, send};
use git2::{FileMode, ObjectFormat, Repository, RepositoryInitOptions};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::fuzz::histories::Store;
pub(crate) use crate::fuzz::histories::{Dir, Node};

pub(crate) const MAIN: &str = "refs/heads/main";

/// A bare local and a bare remote repository.
pub(crate) struct Bench {
    pub(crate) local: Repository,
    pub(crate) store: Store,
    pub(crate) remote: PathBuf,
    commits: Cell<i64>,
    directory: TempDir,
}

/// How receive-pack stores a pack: as loose objects, with `git unpack-objects`, or as a pack, with
/// `git index-pack`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unpack {
    Loose,
    Packed,
}

impl Bench {
    pub(crate) fn new(unpack: Unpack) -> Self {
        Self::of(format(), unpack, true)
    }

    /// Makes repositories of this object format. With `checks`, the server checks the objects that it receives.
    pub(crate) fn of(format: ObjectFormat, unpack: Unpack, checks: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = RepositoryInitOptions::new();
        options.bare(true).object_format(format);
        let local = Repository::init_opts(directory.path().join("local"), &options).expect("a repository");
        // The environment chooses how git stores the refs.
        let objects = format!("--object-format={}", format.str());
        run(git(directory.path()).args([
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            &objects,
            "remote",
        ]));
        let remote = directory.path().join("remote");
        let mut config = git2::Config::open(&remote.join("config")).expect("a repository");
        let limit = match unpack {
            Unpack::Loose => 1_000_000,
            Unpack::Packed => 1,
        };
        config.set_i32("transfer.unpackLimit", limit).expect("writable");
        config.set_bool("receive.fsckObjects", checks).expect("writable");
        // Thousands of pushes are made; none must survive a power failure.
        config.set_str("core.fsync", "none").expect("writable");
        config.set_bool("receive.autogc", false).expect("writable");
        Self {
            store: Store::new(&local),
            local,
            remote,
            commits: Cell::new(0),
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, content: impl AsRef<[u8]>) -> Node {
        let oid = self.local.blob(content.as_ref()).expect("a blob");
        Node::File(oid, FileMode::Blob)
    }

    /// Makes a commit that is dated later than all earlier ones.
    pub(crate) fn commit(&self, files: &Dir, parents: &[git2::Oid]) -> git2::Oid {
        self.commit_at(1_700_000_000 + self.commits.get(), files, parents)
    }

    pub(crate) fn commit_at(&self, seconds: i64, files: &Dir, parents: &[git2::Oid]) -> git2::Oid {
        self.commits.set(self.commits.get() + 1);
        let signature =
            git2::Signature::new("A", "a@example.org", &git2::Time::new(seconds, 0)).expect("a name");
        let tree = self
            .local
            .find_tree(files.write(&self.store))
            .expect("just written");
        let parents: Vec<_> = parents
            .iter()
            .map(|&oid| self.local.find_commit(oid).expect("a commit"))
            .collect();
        let message = format!("commit {}\n", self.commits.get());
        self.local
            .commit(
                None,
                &signature,
                &signature,
                &message,
                &tree,
                &parents.iter().collect::<Vec<_>>(),
            )
            .expect("a commit")
    }

    /// The path of a loose object in the local repository.
    pub(crate) fn loose(&self, oid: git2::Oid) -> PathBuf {
        let hex = oid.to_string();
        let (directory, file) = hex.split_at(2);
        self.local.path().join("objects").join(directory).join(file)
    }

    /// Removes an object from the local repository, and returns its path.
    pub(crate) fn lose(&self, oid: git2::Oid) -> PathBuf {
        let path = self.loose(oid);
        std::fs::remove_file(&path).expect("a loose object");
        path
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.remote)
    }

    /// Pushes to a ref of the remote, and expects that to succeed.
    pub(crate) fn push_to(&self, refname: &str, tip: git2::Oid) -> PackStats {
        let (report, stats) = self.connect().push(self.local.path(), refname, tip, &[]);
        let report = report.unwrap_or_else(|error| panic!("{refname} to {tip}: {error}"));
        assert!(report.is_success(), "{refname} to {tip}: {report:?}");
        stats.expect("what the server confirmed was made")
    }

    pub(crate) fn push(&self, tip: git2::Oid) -> PackStats {
        self.push_to(MAIN, tip)
    }

    /// The value of a ref of the remote, read by git.
    pub(crate) fn remote_tip(&self, refname: &str) -> Option<String> {
        let output = git(&self.remote)
            .args(["rev-parse", "--verify", "--quiet", refname])
            .output()
            .expect("git runs");
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Checks that the remote is whole and has this tip.
    pub(crate) fn check(&self, refname: &str, tip: git2::Oid) {
        assert_eq!(self.remote_tip(refname), Some(tip.to_string()));
        self.fsck();
    }

    pub(crate) fn fsck(&self) {
        run(git(&self.remote).args(["fsck", "--strict", "--full", "--no-progress"]));
    }

    /// Installs a hook of the remote.
    pub(crate) fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.remote.join("hooks").join(name);
        std::fs::create_dir_all(self.remote.join("hooks")).expect("writable");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("own file");
    }
}

/// What `git init` makes here: `GIT_DEFAULT_HASH`.
pub(crate) fn format() -> ObjectFormat {
    match std::env::var("GIT_DEFAULT_HASH").as_deref() {
        Ok("sha256") => ObjectFormat::Sha256,
        _ => ObjectFormat::Sha1,
    }
}

/// Runs a case once for each way in which a server stores a pack.
pub(crate) fn for_each_unpack(case: impl Fn(&Bench)) {
    for unpack in [Unpack::Loose, Unpack::Packed] {
        case(&Bench::new(unpack));
    }
}

/// Random lines, which compress badly.
pub(crate) fn lines(random: &mut fastrand::Rng, count: usize) -> String {
    let mut lines = String::new();
    for line in 0..count {
        writeln!(lines, "line {line}: {:032x}", random.u128(..)).expect("a String takes everything");
    }
    lines
}

pub(crate) fn oid(oid: git2::Oid) -> Oid {
    oid.to_string().parse().expect("40 digits")
}

/// `git`, without the settings of the user who runs the tests.
pub(crate) fn git(directory: &Path) -> Process {
    let mut process = Process::new("git");
    process
        .arg("-C")
        .arg(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .stdin(Stdio::null());
    process
}

pub(crate) fn run(process: &mut Process) -> String {
    let output = process.output().expect("the program runs");
    assert!(
        output.status.success(),
        "{process:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A `git receive-pack` whose advertisement was read.
pub(crate) struct Connection {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) child: Child,
    pub(crate) reader: PacketReader<ChildStdout>,
    pub(crate) writer: ChildStdin,
    pub(crate) advertisement: Advertisement,
}

impl Connection {
    pub(crate) fn open(remote: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut process = git(remote);
        process
            .arg("receive-pack")
            .arg(".")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let (child, reader, writer, advertisement) = runtime.block_on(async {
            let mut child = tokio::process::Command::from(process)
                .kill_on_drop(true)
                .spawn()
                .expect("git runs");
            let mut reader = PacketReader::new(child.stdout.take().expect("piped"));
            let writer = child.stdin.take().expect("piped");
            let advertisement = Advertisement::read(&mut reader).await.expect("an advertisement");
            (child, reader, writer, advertisement)
        });
        Self {
            runtime,
            child,
            reader,
            writer,
            advertisement,
        }
    }

    /// Pushes once and reads the report. Call [`finish`](Self::finish) afterwards.
    pub(crate) fn push_only(
        &mut self,
        local: &Path,
        refname: &str,
        tip: git2::Oid,
        shallow: &[Oid],
    ) -> (Result<Report, SendError>, Option<PackStats>) {
        let command =
            Command::new(refname, self.advertisement.tip(refname), oid(tip)).expect("a valid command");
        let request = PackRequest {
            tip: oid(tip),
            remote_has: self.advertisement.tips().collect(),
            leave_out_missing: false,
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let local = local.to_owned();
        self.runtime.block_on(async {
            let making = tokio::task::spawn_blocking(move || {
                let repository = Repository::open(local).expect("a repository");
                stream_pack(&repository, &request, sender)
            });
            let request = Request {
                advertisement: &self.advertisement,
                command: &command,
                shallow,
                agent: "git/1",
            };
            let mut quiet = |_: &[u8]| ();
            let sending = send(&mut self.reader, &mut self.writer, &request, receiver, &mut quiet);
            let report = sending.await;
            let stats = making.await.expect("no panic").ok();
            (report, stats)
        })
    }

    /// Waits for the server to end.
    pub(crate) fn finish(mut self) {
        drop(self.writer);
        self.runtime.block_on(async {
            self.reader.discard().await.expect("readable");
            self.child.wait().await.expect("own child");
        });
    }

    pub(crate) fn push(
        mut self,
        local: &Path,
        refname: &str,
        tip: git2::Oid,
        shallow: &[Oid],
    ) -> (Result<Report, SendError>, Option<PackStats>) {
        let result = self.push_only(local, refname, tip, shallow);
        self.finish();
        result
    }
}
