//! Code that the tests against real servers share: repositories made by git, and pushes as the daemon makes them.

#[path = "formats.rs"]
mod formats;
pub(crate) mod sshd;

use std::ffi::OsStr;
use std::fs;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use git_local::config::Environment;
use git_local::repository::Target;
use push_engine::attempt::{Destination, RemotePusher, TransportNote};
use push_engine::branch::{FormatsNote, SharedBranch};
use push_engine::daemon::Pusher;
use push_engine::event::SentPush;
use push_engine::failure::Failure;
use push_engine::options::{Timeouts, TransportChoice};
use push_engine::state::{Outcome, Terms};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use self::formats::with_formats;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A home, a repository `work` and an environment of their own.
pub(crate) struct Sandbox {
    base: PathBuf,
    pub(crate) env: Environment,
    /// How long a pusher keeps its connection; not at all by default.
    pub(crate) keep_connection: Duration,
    pub(crate) max_pack_bytes: u64,
    _root: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With variables that are set before the repository is made.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let base = fs::canonicalize(root.path()).expect("it exists");
        fs::create_dir(base.join("home")).expect("home");
        let mut env = with_formats(Environment::default())
            .with("PATH", std::env::var_os("PATH").unwrap_or_default())
            .with("HOME", base.join("home"))
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("LC_ALL", "C");
        for role in ["AUTHOR", "COMMITTER"] {
            env = env
                .with(format!("GIT_{role}_NAME"), "A U Thor")
                .with(format!("GIT_{role}_EMAIL"), "author@example.com");
        }
        for &(name, value) in variables {
            env = env.with(name, value);
        }
        let sandbox = Self {
            base,
            env,
            keep_connection: Duration::ZERO,
            max_pack_bytes: u64::MAX,
            _root: root,
        };
        let base = &sandbox.base;
        sandbox.git(base, &["init", "--quiet", "--initial-branch=main", "work"]);
        // git's background work might still run when the sandbox is removed.
        sandbox.config("[maintenance]\n\tauto = false\n");
        sandbox.commit("the first");
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path("work")
    }

    pub(crate) fn bare(&self, name: &str) -> PathBuf {
        self.git(&self.base, &["init", "--quiet", "--bare", name]);
        let path = self.path(name);
        self.git(&path, &["config", "receive.autoGC", "false"]);
        path
    }

    pub(crate) fn var(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.env = self.env.clone().with(name, value.as_ref());
    }

    /// Adds to the configuration of the repository.
    pub(crate) fn config(&self, content: &str) {
        let path = self.work().join(".git/config");
        let whole = fs::read_to_string(&path).expect("git init wrote it") + content;
        fs::write(path, whole).expect("writable");
    }

    /// Writes an executable file.
    pub(crate) fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("not the root")).expect("directories");
        fs::write(&path, content).expect("writable");
        make_executable(&path);
        path
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        let work = self.work();
        self.git(&work, &["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&work, &["rev-parse", "HEAD"])
    }

    pub(crate) fn output(&self, directory: &Path, args: &[&str]) -> Output {
        output(&self.env, directory, args, "")
    }

    /// Runs git and returns what it printed, without the last line break.
    pub(crate) fn git(&self, directory: &Path, args: &[&str]) -> String {
        run(&self.env, directory, args, "")
    }

    /// A pusher of `main` to a remote, in the environment of this moment.
    pub(crate) fn pusher(&self, remote: &str) -> RemotePusher {
        self.pusher_with(remote, Some(PATIENCE))
    }

    pub(crate) fn pusher_with(&self, remote: &str, connect_timeout: Option<Duration>) -> RemotePusher {
        let git_dir = self.work().join(".git");
        let target = Target {
            git_dir: git_dir.clone(),
            refname: "refs/heads/main".to_owned(),
            remote_name: None,
        };
        let route = Destination {
            remote: remote.to_owned(),
            root: self.work(),
            common_dir: git_dir,
            environment: self.env.clone(),
            transport: TransportChoice::Auto,
            timeouts: Timeouts {
                connect: connect_timeout,
                idle: Some(PATIENCE),
                report: None,
                attempt: None,
            },
            keep_connection: self.keep_connection,
            max_pack_bytes: self.max_pack_bytes,
        };
        let branch = SharedBranch::new(target, Environment::default(), FormatsNote::default());
        RemotePusher::new(branch, route, TransportNote::default())
    }

    /// Makes one attempt and ends all that it left behind.
    pub(crate) async fn attempt(&self, remote: &str) -> Outcome {
        let pusher = self.pusher(remote);
        let outcome = attempt(&pusher).await;
        close(&pusher).await;
        outcome
    }

    /// Makes one attempt, which must fail.
    pub(crate) async fn failure(&self, remote: &str) -> Failure {
        failure_of(self.attempt(remote).await)
    }
}

/// Runs git in an environment, with this on its standard input, and returns what it printed, without the last line break.
pub(crate) fn run(environment: &Environment, directory: &Path, args: &[&str], input: &str) -> String {
    let output = output(environment, directory, args, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.trim_end().to_owned()
}

/// Runs git in an environment, with this on its standard input.
pub(crate) fn output(
    environment: &Environment,
    directory: &Path,
    args: &[impl AsRef<OsStr>],
    input: &str,
) -> Output {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("git reads it");
    drop(stdin);
    child.wait_with_output().expect("git ends")
}

pub(crate) fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("own file");
}

pub(crate) async fn attempt(pusher: &RemotePusher) -> Outcome {
    patiently(pusher.attempt(Terms::default())).await.outcome
}

pub(crate) async fn close(pusher: &RemotePusher) {
    patiently(pusher.close(Instant::now() + PATIENCE / 2)).await;
}

async fn patiently<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE * 2, future).await.expect("it ends")
}

pub(crate) fn failure_of(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed { failure, .. } => failure,
        other => panic!("a failure was expected, not {other:?}"),
    }
}

/// The commit that was pushed.
pub(crate) fn pushed(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Pushed(SentPush { commit, .. }) => commit.to_string(),
        other => panic!("a push was expected, not {other:?}"),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "what was compared, and what was not tested, is part of the result"
)]
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}
