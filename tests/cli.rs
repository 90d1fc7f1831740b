//! Pushes by the git CLI, to real repositories, with real hooks and a real remote helper.

#![cfg(target_os = "linux")]

#[path = "support/formats.rs"]
mod formats;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use formats::with_formats;
use git_local::config::{Config, Environment};
use git_local::repository::Target;
use git_local::url::Remote;
use git_wire::oid::Oid;
use git_wire::send_pack::{Command as Update, Report};
use push_engine::attempt::{Destination, RemotePusher, TransportNote};
use push_engine::branch::{FormatsNote, SharedBranch};
use push_engine::daemon::Pusher;
use push_engine::event::SentPush;
use push_engine::failure::{Failure, Kind};
use push_engine::options::{Timeouts, TransportChoice};
use push_engine::state::{Divergence, Outcome, Terms};
use push_engine::transport::{self, LocalRepository, Settings, Transport};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep, timeout};

const MAIN: &str = "refs/heads/main";
const PATIENCE: Duration = Duration::from_secs(60);

/// A repository with one commit, its bare remote `origin`, and the environment in which pushes run.
struct Sandbox {
    directory: tempfile::TempDir,
    environment: Environment,
}

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self::empty(tempfile::tempdir().expect("a temporary directory"));
        sandbox.git_in(".", &["init", "-q", "--bare", "-b", "main", "remote.git"]);
        sandbox.git_in(".", &["init", "-q", "-b", "main", "work"]);
        sandbox.git(&["remote", "add", "origin", "../remote.git"]);
        sandbox.commit("first");
        sandbox
    }

    fn empty(directory: tempfile::TempDir) -> Self {
        let path = std::env::var_os("PATH").expect("there is a git in it");
        let environment = with_formats(Environment::default())
            .with("PATH", path)
            .with("HOME", directory.path())
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_CONFIG_NOSYSTEM", "1");
        let environment = [("AUTHOR", "A"), ("COMMITTER", "C")].into_iter().fold(
            environment,
            |environment, (role, name)| {
                environment
                    .with(format!("GIT_{role}_NAME"), name)
                    .with(format!("GIT_{role}_EMAIL"), "x@example.com")
            },
        );
        Self {
            directory,
            environment,
        }
    }

    fn with(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.environment = self.environment.with(name, value.as_ref());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        // git shows resolved paths.
        self.directory.path().canonicalize().expect("exists").join(name)
    }

    fn git_in(&self, directory: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.path(directory))
            .env_clear()
            .envs(self.environment.iter())
            .output()
            .expect("git runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_in("work", arguments)
    }

    fn commit(&self, message: &str) -> Oid {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.tip()
    }

    fn tip(&self) -> Oid {
        let tip = self.git(&["rev-parse", "HEAD"]);
        tip.parse().expect("an id")
    }

    /// Puts a commit on the remote that the local branch does not contain.
    fn diverge(&self) -> Oid {
        self.git(&["checkout", "-q", "--detach"]);
        let other = self.commit("another writer's");
        self.git(&["push", "-q", "../remote.git", "HEAD:refs/heads/main"]);
        self.git(&["checkout", "-q", "main"]);
        self.commit("the local commit");
        other
    }

    /// The ref on the remote; `None` if it is not there.
    fn remote_tip(&self, remote: &str, refname: &str) -> Option<Oid> {
        let refs = self.git_in(remote, &["for-each-ref", "--format=%(objectname)", refname]);
        (!refs.is_empty()).then(|| refs.parse().expect("an id"))
    }

    fn script(&self, path: &str, lines: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("not the root")).expect("made");
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
        path
    }

    fn pusher(&self, remote: &str, transport: TransportChoice) -> RemotePusher {
        self.pusher_from("work", "work/.git", remote, transport)
    }

    fn pusher_from(
        &self,
        root: &str,
        git_dir: &str,
        remote: &str,
        transport: TransportChoice,
    ) -> RemotePusher {
        let git_dir = self.path(git_dir);
        let target = Target {
            git_dir: git_dir.clone(),
            refname: MAIN.to_owned(),
            remote_name: (remote == "origin").then(|| remote.to_owned()),
        };
        let side = SharedBranch::new(target, Environment::default(), FormatsNote::default());
        let route = Destination {
            remote: remote.to_owned(),
            root: self.path(root),
            common_dir: git_dir,
            environment: self.environment.clone(),
            transport,
            timeouts: Timeouts {
                connect: Some(PATIENCE),
                idle: Some(PATIENCE),
                report: None,
                attempt: Some(PATIENCE),
            },
            keep_connection: PATIENCE,
            max_pack_bytes: u64::MAX,
        };
        RemotePusher::new(side, route, TransportNote::default())
    }

    /// Makes one attempt and ends everything that it started.
    async fn attempt(&self, remote: &str, transport: TransportChoice) -> Outcome {
        let pusher = self.pusher(remote, transport);
        let attempted = pusher.attempt(Terms::default()).await;
        pusher.close(Instant::now() + PATIENCE).await;
        attempted.outcome
    }

    async fn push(&self) -> Outcome {
        self.attempt("origin", TransportChoice::GitCli).await
    }

    /// The transport alone, without the decisions of an attempt.
    fn transport(&self, remote: &str, wanted: TransportChoice) -> Result<Box<dyn Transport>, Failure> {
        let (root, git_dir) = (self.path("work"), self.path("work/.git"));
        let config = Config::load(&self.environment, &git_dir, &git_dir).expect("well-formed");
        let remote = Remote::resolve(&config, remote, &root).expect("a remote");
        let repository = LocalRepository {
            root: &root,
            git_dir: &git_dir,
            common_dir: &git_dir,
            refname: MAIN,
            config: &config,
        };
        let settings = Settings {
            idle_timeout: Some(PATIENCE),
            environment: self.environment.clone(),
            ..Settings::default()
        };
        transport::for_remote(&remote, &repository, wanted, settings)
    }

    /// Pushes the local tip, whatever the state of the remote.
    async fn push_regardless(&self) -> Report {
        let transport = self
            .transport("origin", TransportChoice::GitCli)
            .expect("git is here");
        let mut session = transport.connect().await.expect("the remote is there");
        let update = Update::new(MAIN, session.advertisement().tip(MAIN), self.tip()).expect("valid");
        let (_, pack) = tokio::sync::mpsc::channel(1);
        session.push(&update, &[], pack).await.expect("a report")
    }
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed { failure, .. } => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn is_pushed(outcome: &Outcome, expected: Oid) -> bool {
    matches!(outcome, Outcome::Pushed(push) if push.commit == expected)
}

#[tokio::test]
async fn a_branch_is_created_then_advanced_then_up_to_date() {
    let sandbox = Sandbox::new();
    let first = sandbox.tip();
    let created = Outcome::Pushed(SentPush {
        commit: first,
        previous: None,
        commits: 1,
        bytes: 0,
    });
    assert_eq!(sandbox.push().await, created);
    sandbox.commit("second");
    let third = sandbox.commit("third");
    let advanced = Outcome::Pushed(SentPush {
        commit: third,
        previous: Some(first),
        commits: 2,
        bytes: 0,
    });
    assert_eq!(sandbox.push().await, advanced);
    assert_eq!(sandbox.push().await, Outcome::UpToDate(Some(third)));
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(third));
    sandbox.git_in("remote.git", &["fsck", "--strict"]);
}

#[tokio::test]
async fn no_setting_makes_it_force_or_push_anything_else() {
    let sandbox = Sandbox::new();
    sandbox.git(&["tag", "-a", "-m", "annotated", "v1"]);
    sandbox.git(&["branch", "side"]);
    for (key, value) in [
        ("remote.origin.push", "+refs/heads/*:refs/heads/*"),
        ("remote.origin.mirror", "true"),
        ("push.default", "matching"),
        ("push.followTags", "true"),
        ("push.useForceIfIncludes", "true"),
        ("push.recurseSubmodules", "on-demand"),
        ("push.autoSetupRemote", "true"),
    ] {
        sandbox.git(&["config", key, value]);
    }
    assert!(is_pushed(&sandbox.push().await, sandbox.tip()));
    let refs = sandbox.git_in("remote.git", &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, MAIN);

    let other = sandbox.diverge();
    match sandbox.push().await {
        Outcome::Diverged(Divergence { failure, .. }) => assert_eq!(failure.remote_commit(), Some(other)),
        outcome => panic!("{outcome:?}"),
    }
    let report = sandbox.push_regardless().await;
    assert_eq!(report.reference, Err("non-fast-forward".to_owned()));
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(other));
}

#[tokio::test]
async fn a_tag_with_the_name_of_the_branch_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.git(&["tag", "main"]);
    sandbox.git(&["push", "-q", "origin", "refs/tags/main"]);
    let tip = sandbox.commit("second");
    assert!(is_pushed(&sandbox.push().await, tip));
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(tip));
}

#[tokio::test]
async fn a_pre_push_hook_runs_and_sees_the_remote_by_its_name() {
    let sandbox = Sandbox::new()
        .with("LC_ALL", "de_DE.UTF-8")
        .with("LANGUAGE", "de");
    let record = sandbox.path("record");
    sandbox.script(
        "work/.git/hooks/pre-push",
        &format!(
            "{{ echo $1 $2; cat; echo \"${{LC_ALL-unset}} ${{LANGUAGE-unset}} $LANG $LC_MESSAGES $GIT_TERMINAL_PROMPT\"; }} >>'{}'",
            record.display()
        ),
    );
    let tip = sandbox.tip();
    assert!(is_pushed(
        &sandbox.attempt("origin", TransportChoice::Auto).await,
        tip
    ));
    let zero = Oid::zero(tip.format());
    assert_eq!(
        fs::read_to_string(record).expect("the hook wrote it"),
        format!("origin ../remote.git\n{tip} {tip} {MAIN} {zero}\nunset unset de_DE.UTF-8 C 0\n")
    );
}

#[tokio::test]
async fn the_pre_push_hook_of_a_bare_repository_runs_where_git_runs_it() {
    let sandbox = Sandbox::new();
    sandbox.git_in(".", &["clone", "-q", "--bare", "work", "bare.git"]);
    sandbox.git_in("bare.git", &["config", "remote.origin.url", "../remote.git"]);
    sandbox.script("bare.git/hooks/pre-push", "pwd >record");
    let pusher = sandbox.pusher_from("bare.git", "bare.git", "origin", TransportChoice::Auto);
    let outcome = pusher.attempt(Terms::default()).await.outcome;
    assert!(is_pushed(&outcome, sandbox.tip()), "{outcome:?}");
    let bare = sandbox.path("bare.git");
    let record = fs::read_to_string(bare.join("record")).expect("the hook wrote it");
    assert_eq!(Path::new(record.trim()), bare);
}

#[tokio::test]
async fn a_diverged_tip_is_preserved_under_a_name_of_its_own() {
    let sandbox = Sandbox::new();
    assert!(is_pushed(&sandbox.push().await, sandbox.tip()));
    let other = sandbox.diverge();
    let pusher = sandbox.pusher("origin", TransportChoice::GitCli);
    match pusher
        .attempt(Terms {
            preserve: true,
            ..Terms::default()
        })
        .await
        .outcome
    {
        Outcome::Diverged(Divergence {
            preserved: Some(Ok(refname)),
            ..
        }) => assert_eq!(sandbox.remote_tip("remote.git", &refname), Some(sandbox.tip())),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(other));
}

#[tokio::test]
async fn a_pre_push_hook_that_declines_is_quoted() {
    let sandbox = Sandbox::new();
    let hook = sandbox.script(
        "work/.git/hooks/pre-push",
        "echo not before noon; echo seriously >&2; exit 1",
    );
    match sandbox.push().await {
        Outcome::Failed {
            failure, unconfirmed, ..
        } => {
            assert_eq!(failure.kind(), Kind::Rejected);
            for text in [hook.to_str().expect("text"), "not before noon", "seriously"] {
                assert!(failure.message().contains(text), "{failure}");
            }
            assert_eq!(unconfirmed, None);
        }
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), None);
}

#[tokio::test]
async fn the_end_of_a_remote_hooks_long_message_is_quoted() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "remote.git/hooks/pre-receive",
        "dd if=/dev/zero bs=1024 count=1500 2>/dev/null | tr '\\0' 'x' | fold -w 100; echo; echo the reason; exit 1",
    );
    let failure = failure(sandbox.push().await);
    assert_eq!(failure.kind(), Kind::Rejected);
    assert!(
        failure.message().contains("pre-receive hook declined"),
        "{failure}"
    );
    assert!(failure.message().ends_with("the reason"), "{failure}");
    assert!(failure.message().len() < 10_000);
}

#[tokio::test]
async fn a_flood_of_output_does_not_hide_a_success() {
    let sandbox = Sandbox::new();
    let flood = "dd if=/dev/zero bs=1024 count=1500 2>/dev/null | tr '\\0' 'x' | fold -w 100; echo";
    sandbox.script("remote.git/hooks/post-receive", flood);
    sandbox.script("work/.git/hooks/pre-push", flood);
    assert!(is_pushed(&sandbox.push().await, sandbox.tip()));
}

#[tokio::test]
async fn a_process_that_a_hook_leaves_behind_does_not_delay_the_push() {
    let sandbox = Sandbox::new();
    let record = sandbox.path("left");
    sandbox.script(
        "work/.git/hooks/pre-push",
        &format!("sleep 1000 & echo $! >'{}'", record.display()),
    );
    let outcome = sandbox.push().await;
    let left = fs::read_to_string(record).expect("the hook wrote it");
    let ended = Command::new("kill").arg(left.trim()).status();
    assert!(ended.expect("kill runs").success(), "the sleep was still there");
    assert!(is_pushed(&outcome, sandbox.tip()));
}

const HELPER: &str = r#"
while read -r word service; do
    case "$word" in
    capabilities) printf 'connect\n\n' ;;
    connect) BEFORE; echo; exec "$service" "${2#x::}" ;;
    esac
done"#;

impl Sandbox {
    /// Puts `git-remote-x` into `PATH`; it does `before` whenever a connection is made for a push.
    fn with_helper(self, before: &str) -> Self {
        let before = format!("[ \"$service\" = git-upload-pack ] || {{ {before}; }}");
        self.script("bin/git-remote-x", &HELPER.replace("BEFORE", &before));
        let path = self.environment.get("PATH").expect("set");
        let path = format!("{}:{path}", self.path("bin").display());
        self.with("PATH", path)
    }

    fn helper_url(&self) -> String {
        format!("x::{}", self.path("remote.git").display())
    }
}

#[tokio::test]
async fn a_remote_helper_is_used_by_url_and_by_name() {
    let sandbox = Sandbox::new().with_helper(":");
    let url = sandbox.helper_url();
    let first = sandbox.tip();
    assert!(is_pushed(
        &sandbox.attempt(&url, TransportChoice::Auto).await,
        first
    ));
    sandbox.git(&["config", "remote.origin.vcs", "x"]);
    sandbox.git(&["config", "remote.origin.url", &url]);
    let second = sandbox.commit("second");
    assert!(is_pushed(
        &sandbox.attempt("origin", TransportChoice::Auto).await,
        second
    ));
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(second));
}

#[tokio::test]
async fn the_transport_has_a_name_and_a_reason() {
    let sandbox = Sandbox::new();
    let native = sandbox
        .transport("origin", TransportChoice::Auto)
        .expect("it is local");
    assert_eq!((native.name(), native.why()), ("local", None));
    let helper = sandbox
        .transport("x::y", TransportChoice::Auto)
        .expect("git is here");
    assert_eq!(helper.name(), "git-cli");
    assert!(helper.why().is_some_and(|why| why.contains("git-remote-x")));
    let failure = sandbox
        .transport("x::y", TransportChoice::Native)
        .err()
        .expect("native cannot");
    assert!(failure.message().contains("git-remote-x"), "{failure}");
}

#[tokio::test]
async fn a_helper_that_is_not_installed_is_named() {
    let sandbox = Sandbox::new();
    let failure = failure(sandbox.attempt("missing::y", TransportChoice::Auto).await);
    assert_eq!(failure.kind(), Kind::Local);
    assert!(failure.message().contains("remote-missing"), "{failure}");
}

#[tokio::test]
async fn without_git_the_failure_names_the_reason_for_it() {
    let sandbox = Sandbox::new();
    let sandbox = sandbox.with("PATH", "");
    let failure = failure(sandbox.attempt("x::y", TransportChoice::Auto).await);
    assert_eq!(failure.kind(), Kind::Local);
    for text in ["git-remote-x", "install git"] {
        assert!(failure.message().contains(text), "{failure}");
    }
}

#[tokio::test]
async fn a_missing_remote_is_reported_with_gits_message() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "remote.origin.url", "/nonexistent/r.git"]);
    let failure = failure(sandbox.push().await);
    assert_eq!(failure.kind(), Kind::RemoteError);
    assert!(failure.message().contains("/nonexistent/r.git"), "{failure}");
}

#[tokio::test]
async fn the_push_url_is_read_instead_of_the_fetch_url() {
    let sandbox = Sandbox::new();
    let decoy = sandbox.path("decoy.git");
    sandbox.git_in(".", &["init", "-q", "--bare", "decoy.git"]);
    sandbox.git(&["push", "-q", "../decoy.git", "main"]);
    for (key, value) in [
        ("remote.origin.url", "../decoy.git"),
        ("remote.origin.pushurl", "here:remote.git"),
        ("url.../.insteadOf", "here:"),
        // Would redirect the rewritten URL, if it were rewritten again.
        (&*format!("url.{}/.insteadOf", decoy.display()), "../"),
    ] {
        sandbox.git(&["config", key, value]);
    }
    let tip = sandbox.tip();
    assert!(is_pushed(&sandbox.push().await, tip));
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(tip));
    assert_eq!(sandbox.push().await, Outcome::UpToDate(Some(tip)));
}

#[tokio::test]
async fn a_remote_with_two_urls_is_up_to_date_when_both_are() {
    let sandbox = Sandbox::new();
    sandbox.git_in(".", &["init", "-q", "--bare", "second.git"]);
    for url in ["../remote.git", "../second.git"] {
        sandbox.git(&["config", "--add", "remote.origin.pushurl", url]);
    }
    let first = sandbox.tip();
    sandbox.git(&["push", "-q", "../remote.git", "main"]);
    assert!(is_pushed(
        &sandbox.attempt("origin", TransportChoice::Auto).await,
        first
    ));
    assert_eq!(sandbox.remote_tip("second.git", MAIN), Some(first));

    // The first URL accepts the push, the second now has another writer's commit.
    sandbox.git(&["checkout", "-q", "--detach"]);
    let other = sandbox.commit("another writer's");
    sandbox.git(&["push", "-q", "../second.git", "HEAD:main"]);
    sandbox.git(&["checkout", "-q", "main"]);
    let local = sandbox.commit("the local commit");
    match sandbox.attempt("origin", TransportChoice::Auto).await {
        Outcome::Diverged(Divergence { failure, .. }) => assert_eq!(failure.remote_commit(), Some(other)),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(local));
    assert_eq!(sandbox.remote_tip("second.git", MAIN), Some(other));
}

#[tokio::test]
async fn a_password_in_a_url_is_on_no_command_line_and_in_no_message() {
    let sandbox = Sandbox::new();
    let record = sandbox.path("arguments");
    let git = sandbox.script(
        "bin/git",
        &format!("echo \"$@\" >>'{}'; exit 128", record.display()),
    );
    let sandbox = sandbox.with("PATH", git.parent().expect("a directory"));
    let url = "https://user:hunter2@127.0.0.1:1/r.git";
    let failure = failure(sandbox.attempt(url, TransportChoice::GitCli).await);
    assert!(!failure.message().contains("hunter2"), "{failure}");
    let arguments = fs::read_to_string(record).expect("git was run");
    assert!(
        arguments.contains("ls-remote") && !arguments.contains("hunter2"),
        "{arguments}"
    );
}

/// Moves the remote's branch to another writer's commit, which the remote has under another name.
fn hijack(sandbox: &Sandbox, commit: Oid) -> String {
    sandbox.git(&["push", "-q", "../remote.git", &format!("{commit}:refs/other/x")]);
    let remote = sandbox.path("remote.git");
    format!("git --git-dir='{}' update-ref {MAIN} {commit}", remote.display())
}

#[tokio::test]
async fn a_race_lost_before_git_reads_the_refs_is_decided_again() {
    let sandbox = Sandbox::new();
    assert!(is_pushed(&sandbox.push().await, sandbox.tip()));
    sandbox.git(&["checkout", "-q", "--detach"]);
    let other = sandbox.commit("another writer's");
    sandbox.git(&["checkout", "-q", "main"]);
    sandbox.commit("the local commit");
    let script = hijack(&sandbox, other);
    let sandbox = sandbox.with_helper(&script);
    match sandbox
        .attempt(&sandbox.helper_url(), TransportChoice::Auto)
        .await
    {
        Outcome::Diverged(Divergence { failure, .. }) => assert_eq!(failure.remote_commit(), Some(other)),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(other));
}

#[tokio::test]
async fn a_race_lost_after_git_has_read_the_refs_is_decided_again() {
    let sandbox = Sandbox::new();
    assert!(is_pushed(&sandbox.push().await, sandbox.tip()));
    let between = sandbox.commit("pushed by another process meanwhile");
    let tip = sandbox.commit("the local commit");
    // The hook runs after git has read the remote's refs and before it updates them.
    let script = hijack(&sandbox, between);
    let once = sandbox.path("once");
    sandbox.script(
        "work/.git/hooks/pre-push",
        &format!("cat >/dev/null; mkdir '{}' || exit 0; {script}", once.display()),
    );
    let pushed = Outcome::Pushed(SentPush {
        commit: tip,
        previous: Some(between),
        commits: 1,
        bytes: 0,
    });
    assert_eq!(sandbox.push().await, pushed);
    assert!(once.exists(), "the hook ran");
}

#[tokio::test]
async fn a_held_lock_has_its_own_kind() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("remote.git/refs/heads/main.lock"), "").expect("written");
    assert_eq!(failure(sandbox.push().await).kind(), Kind::RemoteLock);
}

#[tokio::test]
async fn dropping_an_attempt_ends_git_and_its_hanging_hook() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("started");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    sandbox.script(
        "work/.git/hooks/pre-push",
        &format!(
            "trap '' TERM; sleep 1000 & echo $! >'{}'; wait; sleep 1000",
            fifo.display()
        ),
    );
    let receiver = pipe::OpenOptions::new()
        .read_write(true)
        .open_receiver(&fifo)
        .expect("a pipe");
    let mut started = BufReader::new(receiver).lines();

    let pusher = sandbox.pusher("origin", TransportChoice::GitCli);
    tokio::select! {
        attempted = pusher.attempt(Terms::default()) => panic!("{:?}", attempted.outcome),
        line = timeout(PATIENCE, started.next_line()) => {
            line.expect("the hook starts").expect("a line").expect("a line");
        }
    }
    let work = sandbox.path("work");
    assert!(!running_in(&work).is_empty(), "the hook hangs");
    // The deadline is never reached: a dropped attempt ends at once.
    pusher.close(Instant::now() + PATIENCE).await;
    let gone = timeout(PATIENCE, async {
        while !running_in(&work).is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(gone.await.is_ok(), "{:?}", running_in(&work));
}

/// The processes whose current directory is below this one, by their ids.
fn running_in(directory: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("Linux");
    processes
        .filter_map(Result::ok)
        // The link of a zombie cannot be read.
        .filter(|process| {
            fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory))
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The directory of the sandbox, and the transport, for a process that ignores SIGCHLD.
const PUSH_FROM: &str = "TEST_PUSH_FROM";
const PUSH_BY: &str = "TEST_PUSH_BY";

/// Part of the next test, in a process of its own, where the system reaps the children and their status is lost.
#[tokio::test]
async fn one_attempt_from_a_service_that_ignores_sigchld() {
    let Some(from) = std::env::var_os(PUSH_FROM) else {
        return;
    };
    let sandbox = Sandbox::empty(tempfile::tempdir_in(&from).expect("made"));
    let transport = match std::env::var(PUSH_BY).as_deref() {
        Ok("git") => TransportChoice::GitCli,
        _ => TransportChoice::Auto,
    };
    let pusher = sandbox.pusher_from("../work", "../work/.git", "origin", transport);
    let outcome = timeout(PATIENCE, pusher.attempt(Terms::default()))
        .await
        .expect("in time")
        .outcome;
    pusher.close(Instant::now() + PATIENCE).await;
    fs::write(Path::new(&from).join("outcome"), format!("{outcome:?}")).expect("written");
}

#[test]
fn a_service_that_ignores_sigchld_pushes_and_distinguishes_success_from_failure() {
    const IGNORE: &str = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
    let sandbox = Sandbox::new();
    let attempt = |transport: &str| {
        let output = Command::new("python3")
            .args(["-c", IGNORE])
            .arg(std::env::current_exe().expect("this one"))
            .args(["--exact", "one_attempt_from_a_service_that_ignores_sigchld"])
            .envs([
                (PUSH_FROM, sandbox.path(".").as_os_str()),
                (PUSH_BY, transport.as_ref()),
            ])
            .output()
            .expect("python3 is there");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        fs::read_to_string(sandbox.path("outcome")).expect("written")
    };
    let tip = sandbox.commit("second");
    // git's own receive-pack cannot wait for its children there, unless a shell starts it; but nothing hangs.
    let outcome = attempt("local");
    assert!(
        outcome.starts_with("Pushed") || outcome.contains("abnormal exit"),
        "{outcome}"
    );
    let outcome = attempt("git");
    assert!(
        outcome.starts_with("Pushed") || outcome.starts_with("UpToDate"),
        "{outcome}"
    );
    assert_eq!(sandbox.remote_tip("remote.git", MAIN), Some(tip));
    sandbox.commit("declined");
    sandbox.script("work/.git/hooks/pre-push", "echo no luck today; exit 1");
    let outcome = attempt("git");
    assert!(
        outcome.contains("Rejected") && outcome.contains("no luck today"),
        "{outcome}"
    );
    fs::rename(sandbox.path("remote.git"), sandbox.path("away.git")).expect("renamed");
    let outcome = attempt("git");
    assert!(
        outcome.contains("does not appear to be a git repository"),
        "{outcome}"
    );
}
