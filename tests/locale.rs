//! A translated git changes nothing: child processes write English messages to the daemon, whatever the user's language.
//!
//! Needs a git with translations, such as Debian's. No locale has to be generated: `C.UTF-8`, which containers have, is
//! translated too if `LANGUAGE` is set.

#![cfg(target_os = "linux")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "only the sandbox is used here")]
mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use git_local::config::Environment;
use push_engine::failure::{Failure, Kind};
use support::{Sandbox, attempt, close, failure_of, report};

/// Where a git with German messages may be.
const GITS: [&str; 2] = ["/usr/bin/git", "/usr/local/bin/git"];

/// git's message in a directory that is no repository.
fn message_of(git: &Path, environment: &Environment) -> String {
    let output = Command::new(git)
        .args(["-C", "/", "rev-parse", "--git-dir"])
        .env_clear()
        .envs(environment.iter())
        .output()
        .expect("it runs");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn in_language(language: &str) -> Environment {
    Environment::default()
        .with("LC_ALL", "C.UTF-8")
        .with("LANGUAGE", language)
}

/// Finds a git with German messages.
fn translated_git() -> Option<PathBuf> {
    let gits = GITS.iter().map(PathBuf::from).filter(|git| git.exists());
    let found = gits.into_iter().find(|git| {
        let (german, english) = (
            message_of(git, &in_language("de")),
            message_of(git, &Environment::default()),
        );
        german != english && english.contains("not a git repository")
    });
    if found.is_none() {
        let missing = "no git with German messages: apt install git";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        report(&format!("SKIPPED the tests of translated messages: {missing}"));
    }
    found
}

/// A sandbox whose git shows German messages to its user.
fn german(git: &Path) -> Sandbox {
    let mut sandbox = Sandbox::new();
    let programs = sandbox.path("programs");
    std::fs::create_dir(&programs).expect("new");
    symlink(git, programs.join("git")).expect("new");
    let path = format!(
        "{}:{}",
        programs.display(),
        std::env::var("PATH").expect("there is one")
    );
    sandbox.var("PATH", path);
    sandbox.var("LC_ALL", "C.UTF-8");
    sandbox.var("LANGUAGE", "de");
    // Otherwise the test would prove nothing.
    let shown = message_of(&programs.join("git"), &sandbox.env);
    assert!(!shown.contains("not a git repository"), "{shown}");
    sandbox
}

async fn failure(sandbox: &Sandbox, remote: &str) -> Failure {
    let pusher = sandbox.pusher(remote);
    let outcome = attempt(&pusher).await;
    close(&pusher).await;
    failure_of(outcome)
}

fn assert_english(failure: &Failure, kind: Kind, expected: &str) {
    assert_eq!(failure.kind(), kind, "{failure}");
    assert!(failure.message().contains(expected), "{failure}");
}

/// The messages of a local receive-pack are understood. Returns the remote that refused.
async fn assert_understood(sandbox: &Sandbox) -> PathBuf {
    let missing = failure(sandbox, "/nonexistent").await;
    assert_english(
        &missing,
        Kind::RemoteError,
        "does not appear to be a git repository",
    );

    let remote = sandbox.bare("remote.git");
    sandbox.git(&remote, &["config", "receive.maxInputSize", "1"]);
    let limited = failure(sandbox, &remote.display().to_string()).await;
    assert_english(&limited, Kind::Rejected, "pack exceeds maximum allowed size");
    remote
}

#[tokio::test]
async fn a_repository_on_this_machine_is_understood() {
    let Some(git) = translated_git() else { return };
    let sandbox = german(&git);
    assert_understood(&sandbox).await;
}

#[tokio::test]
async fn git_push_and_its_helpers_are_understood() {
    let Some(git) = translated_git() else { return };
    let sandbox = german(&git);
    // A pre-push hook makes the daemon use `git push`.
    sandbox.script("work/.git/hooks/pre-push", "#!/bin/sh\nexit 0\n");
    let remote = assert_understood(&sandbox).await;

    sandbox.git(&remote, &["config", "--unset", "receive.maxInputSize"]);
    let lock = remote.join("refs/heads/main.lock");
    std::fs::write(&lock, "").expect("writable");
    let locked = failure(&sandbox, &remote.display().to_string()).await;
    assert_english(&locked, Kind::RemoteLock, "File exists");
}

#[tokio::test]
async fn a_missing_ssh_program_is_understood_in_any_language_of_the_shell() {
    let Some(git) = translated_git() else { return };
    let mut sandbox = german(&git);
    sandbox.var("GIT_SSH_COMMAND", "no-such-ssh -o x=y");
    sandbox.var("GIT_SSH_VARIANT", "ssh");
    let failure = failure(&sandbox, "ssh://h.invalid/r.git").await;
    assert_english(&failure, Kind::Local, "install OpenSSH");
}

#[tokio::test]
async fn a_missing_credential_is_reported_in_english() {
    let Some(git) = translated_git() else { return };
    let sandbox = german(&git);
    let server = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = server.local_addr().expect("bound").port();
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = server.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    sandbox.config("[credential]\n\thelper = \"!true\"\n");
    let failure = failure(&sandbox, &format!("http://127.0.0.1:{port}/r.git")).await;
    serving.abort();
    assert_english(&failure, Kind::Auth, "terminal prompts disabled");
}
