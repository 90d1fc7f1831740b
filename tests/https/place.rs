//! A local repository, repositories behind a web server, and the pusher between them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use git_local::config::Environment;
use git_local::repository::Target;
use push_engine::attempt::{Destination, RemotePusher, TransportNote};
use push_engine::branch::{FormatsNote, SharedBranch};
use push_engine::daemon::Pusher;
use push_engine::failure::Failure;
use push_engine::options::{Timeouts, TransportChoice};
use push_engine::state::{Outcome, Terms};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::formats::with_formats;
use crate::server::Apache;

/// Long enough for anything but a hang.
const LIMIT: Option<Duration> = Some(Duration::from_secs(120));

/// The repositories and the server of one test. Dropping it ends the server.
pub(crate) struct Place {
    // Dropped before the directory is.
    pub(crate) apache: Apache,
    pub(crate) env: Environment,
    config: Vec<(String, String)>,
    /// The longest time from the last byte sent to the report.
    pub(crate) report: Option<Duration>,
    /// How long a pusher keeps its connection and advertisement; zero by default.
    pub(crate) keep_connection: Duration,
    pub(crate) transport: TransportChoice,
    /// The transport of the last attempt.
    pub(crate) note: TransportNote,
    root: TempDir,
}

impl Place {
    /// A server with an empty repository `r.git`, and a local one with a single commit. `None` where there are
    /// no servers.
    pub(crate) fn new() -> Option<Self> {
        if !crate::server::can_run() {
            return None;
        }
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = root.path();
        fs::create_dir(dir.join("home")).expect("a directory");
        let apache = Apache::start(dir);
        let env = with_formats(Environment::default())
            .with("PATH", std::env::var_os("PATH").unwrap_or_default())
            .with("HOME", dir.join("home"))
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_SSL_CAINFO", dir.join("ca.pem"));
        let place = Self {
            apache,
            env,
            config: Vec::new(),
            report: LIMIT,
            keep_connection: Duration::ZERO,
            transport: TransportChoice::Native,
            note: TransportNote::default(),
            root,
        };
        place.git(
            place.dir(),
            &["init", "--quiet", "--initial-branch=main", "local"],
        );
        place.git(place.dir(), &["init", "--quiet", "--bare", "repositories/r.git"]);
        place.git(&place.remote(), &["config", "http.receivepack", "true"]);
        place.commit("one");
        place.open_to_server();
        Some(place)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn local(&self) -> PathBuf {
        self.dir().join("local")
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.dir().join("repositories/r.git")
    }

    /// The URL of the repository that needs no login.
    pub(crate) fn url(&self) -> String {
        self.apache.url("anonymous")
    }

    /// If root starts the server, it runs as a user of its own.
    pub(crate) fn open_to_server(&self) {
        let dir = self.dir().display();
        let script = format!(
            "if [ $(id -u) = 0 ]; then chmod 755 '{dir}' && chown -R www-data: '{dir}/repositories'; fi"
        );
        let done = Command::new("sh").args(["-c", &script]).status();
        assert!(done.expect("there is a shell").success());
    }

    /// Sets configuration for the pusher alone.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.config.push((key.to_owned(), value.into()));
    }

    pub(crate) fn var(&mut self, name: &str, value: impl Into<std::ffi::OsString>) {
        self.env = self.env.clone().with(name, value);
    }

    pub(crate) fn without(&mut self, name: &str) {
        self.env = self.env.clone().without(name);
    }

    pub(crate) fn commit(&self, content: &str) {
        let file = self.local().join("file");
        fs::write(file, content).expect("writable");
        self.git(&self.local(), &["add", "--all"]);
        self.git(&self.local(), &["commit", "--quiet", "--message=x"]);
    }

    /// Makes a commit whose pack has about this size.
    pub(crate) fn commit_noise(&self, size: usize) {
        self.commit(&noise(size));
    }

    /// Makes history by `git fast-import`.
    pub(crate) fn import(&self, stream: &[u8]) {
        let mut child = self
            .command(&self.local(), &["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("git is installed");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(stream).expect("git reads it");
        drop(stdin);
        assert!(child.wait().expect("a child").success());
    }

    pub(crate) fn hook(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let hook = self.remote().join("hooks/pre-receive");
        fs::write(&hook, script).expect("writable");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("own file");
        self.open_to_server();
    }

    fn command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(dir).env_clear();
        command.envs(self.env.iter());
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "t");
            command.env(format!("GIT_{role}_EMAIL"), "t@example.com");
        }
        // The server's repositories belong to its user.
        command.env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", "safe.directory");
        command.env("GIT_CONFIG_VALUE_0", "*");
        command
    }

    pub(crate) fn git(&self, dir: &Path, args: &[&str]) -> String {
        let output = self.command(dir, args).output().expect("git is installed");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The pusher to a URL, with the configuration as it is now.
    pub(crate) fn pusher(&self, url: &str) -> RemotePusher {
        let mut env = self.env.clone();
        if !self.config.is_empty() {
            env = env.with("GIT_CONFIG_COUNT", self.config.len().to_string());
        }
        for (index, (key, value)) in self.config.iter().enumerate() {
            env = env
                .with(format!("GIT_CONFIG_KEY_{index}"), key)
                .with(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        let git_dir = self.local().join(".git");
        let target = Target {
            git_dir: git_dir.clone(),
            refname: "refs/heads/main".to_owned(),
            remote_name: None,
        };
        let side = SharedBranch::new(target, Environment::default(), FormatsNote::default());
        let route = Destination {
            remote: url.to_owned(),
            root: self.local(),
            common_dir: git_dir,
            environment: env,
            transport: self.transport,
            timeouts: Timeouts {
                connect: LIMIT,
                idle: LIMIT,
                report: self.report,
                attempt: LIMIT,
            },
            keep_connection: self.keep_connection,
            max_pack_bytes: u64::MAX,
        };
        RemotePusher::new(side, route, self.note.clone())
    }

    /// Pushes once, and waits for its background work.
    pub(crate) async fn push(&self, url: &str) -> Outcome {
        let pusher = self.pusher(url);
        let outcome = pusher.attempt(Terms::default()).await.outcome;
        close(&pusher).await;
        outcome
    }

    /// Makes one attempt of a pusher, and fails the test unless the remote has the tip afterwards.
    pub(crate) async fn attempt_well(&self, pusher: &RemotePusher) {
        self.assert_pushed(&pusher.attempt(Terms::default()).await.outcome);
    }

    /// Configures the client's certificate.
    pub(crate) fn show_certificate(&mut self) {
        for (key, file) in [("http.sslCert", "client.pem"), ("http.sslKey", "client.key")] {
            let file = self.dir().join(file);
            self.set(key, file.to_str().expect("text"));
        }
    }

    /// Pushes once, and fails the test unless the remote has the tip afterwards.
    pub(crate) async fn push_well(&self, url: &str) {
        self.assert_pushed(&self.push(url).await);
    }

    pub(crate) fn assert_pushed(&self, outcome: &Outcome) {
        assert!(matches!(outcome, Outcome::Pushed { .. }), "{outcome:?}");
        let local = self.git(&self.local(), &["rev-parse", "main"]);
        assert_eq!(self.git(&self.remote(), &["rev-parse", "main"]), local);
    }

    /// Pushes once, and returns why that failed.
    pub(crate) async fn push_badly(&self, url: &str) -> Failure {
        failure_of(self.push(url).await)
    }
}

pub(crate) fn failure_of(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed { failure, .. } => failure,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn close(pusher: &RemotePusher) {
    pusher.close(Instant::now() + Duration::from_secs(30)).await;
}

/// Text that compresses badly.
pub(crate) fn noise(length: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(length)
        .collect()
}
