//! Pushes to a real sshd, and their failures.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use push_engine::failure::{Failure, Kind};

use crate::support::sshd::{Sshd, make_key};
use crate::support::{Sandbox, attempt, close, failure_of, make_executable, pushed};

/// The ssh command as in production, with the files of the sandbox.
pub(crate) fn production_command(sandbox: &Sandbox) -> String {
    format!(
        "ssh -i {} -F /dev/null -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes",
        sandbox.path("key").display(),
        sandbox.path("known_hosts").display()
    )
}

/// A server, a bare repository behind it, and its URL; the environment is production's.
pub(crate) fn server() -> Option<(Sandbox, Sshd, String)> {
    server_with("")
}

fn server_with(settings: &str) -> Option<(Sandbox, Sshd, String)> {
    let mut sandbox = Sandbox::new();
    let sshd = Sshd::start(&sandbox, settings)?;
    let url = sshd.url(&sandbox.bare("remote.git"));
    sandbox.var("GIT_SSH_COMMAND", production_command(&sandbox));
    Some((sandbox, sshd, url))
}

pub(crate) fn remote_tip(sandbox: &Sandbox) -> String {
    let remote = sandbox.path("remote.git");
    sandbox.git(&remote, &["fsck", "--strict"]);
    sandbox.git(&remote, &["rev-parse", "refs/heads/main"])
}

fn assert_failure(failure: &Failure, kind: Kind, text: &str) {
    assert_eq!(failure.kind(), kind, "{failure}");
    assert!(failure.message().contains(text), "{failure}");
}

/// The processes that have a file of the sandbox in their command: `known_hosts` for ssh, and the shell around it.
pub(crate) fn processes(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let marker = sandbox.path(file).display().to_string();
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&marker))
        .collect()
}

/// Waits until these processes are gone, which raises no event.
async fn assert_ends(sandbox: &Sandbox, file: &str) {
    let gone = async {
        while !processes(sandbox, file).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), gone).await;
    waited.unwrap_or_else(|_| panic!("left running: {:?}", processes(sandbox, file)));
}

pub(crate) async fn assert_nothing_is_left(sandbox: &Sandbox) {
    assert_ends(sandbox, "known_hosts").await;
}

#[tokio::test]
async fn a_commit_arrives_by_the_command_of_production() {
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    assert_eq!(
        pushed(&sandbox.attempt(&url).await),
        sandbox.git(&sandbox.work(), &["rev-parse", "HEAD"])
    );
    let second = sandbox.commit("the second");
    assert_eq!(pushed(&sandbox.attempt(&url).await), second);
    assert_eq!(remote_tip(&sandbox), second);
    assert_nothing_is_left(&sandbox).await;
}

#[tokio::test]
async fn the_scp_like_form_and_paths_below_the_home_are_understood() {
    let Some((sandbox, sshd, _)) = server() else {
        return;
    };
    let path = sandbox.bare("it's a !remote.git");
    let url = format!("[{}@127.0.0.1:{}]:{}", sshd.user, sshd.port, path.display());
    let tip = pushed(&sandbox.attempt(&url).await);
    assert_eq!(sandbox.git(&path, &["rev-parse", "main"]), tip);

    let missing = format!("[{}@127.0.0.1:{}]:~/no such/repository", sshd.user, sshd.port);
    let failure = sandbox.failure(&missing).await;
    assert_failure(&failure, Kind::RemoteError, "'~/no such/repository'");
}

#[tokio::test]
async fn core_ssh_command_is_used_without_the_variable() {
    let Some((mut sandbox, _sshd, url)) = server() else {
        return;
    };
    sandbox.env = sandbox.env.without("GIT_SSH_COMMAND");
    sandbox.config(&format!(
        "[core]\n\tsshCommand = {}\n",
        production_command(&sandbox)
    ));
    let tip = pushed(&sandbox.attempt(&url).await);
    assert_eq!(remote_tip(&sandbox), tip);
}

#[tokio::test]
async fn a_git_ssh_script_is_used_and_found_to_be_openssh() {
    let Some((mut sandbox, _sshd, url)) = server() else {
        return;
    };
    sandbox.env = sandbox.env.without("GIT_SSH_COMMAND");
    let command = format!("exec {} \"$@\"\n", production_command(&sandbox));
    // The second has no interpreter line; like git, the daemon runs it with a shell.
    for (name, first_line) in [("wrapper", "#!/bin/sh\n"), ("bare-wrapper", "")] {
        let script = sandbox.script(name, &format!("{first_line}{command}"));
        sandbox.var("GIT_SSH", script);
        let commit = sandbox.commit(name);
        assert_eq!(pushed(&sandbox.attempt(&url).await), commit, "{name}");
        assert_eq!(remote_tip(&sandbox), commit);
    }
}

#[tokio::test]
async fn version_1_of_the_protocol_is_spoken_where_it_is_configured() {
    let Some((sandbox, _sshd, url)) = server_with("AcceptEnv GIT_PROTOCOL") else {
        return;
    };
    sandbox.config("[protocol]\n\tversion = 1\n");
    let tip = pushed(&sandbox.attempt(&url).await);
    assert_eq!(remote_tip(&sandbox), tip);
}

#[tokio::test]
async fn a_refused_key_is_an_auth_failure() {
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    make_key(&sandbox.path("key"));
    let failure = sandbox.failure(&url).await;
    assert_failure(&failure, Kind::Auth, "Permission denied (publickey)");
    fs::remove_file(sandbox.path("key")).expect("it is there");
    let failure = sandbox.failure(&url).await;
    assert_failure(&failure, Kind::Auth, "No such file or directory");
}

#[tokio::test]
async fn a_key_with_a_passphrase_fails_without_a_prompt() {
    let Some((mut sandbox, _sshd, url)) = server() else {
        return;
    };
    let key = sandbox.path("key");
    let status = std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "opensesame", "-f"])
        .arg(&key)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("ssh-keygen runs").success());
    let asked = sandbox.path("asked");
    let content = format!("#!/bin/sh\ntouch {}\necho opensesame\n", asked.display());
    let askpass = sandbox.script("askpass", &content);
    sandbox.var("SSH_ASKPASS", askpass);
    sandbox.var("DISPLAY", ":0");
    let failure = sandbox.failure(&url).await;
    assert_failure(&failure, Kind::Auth, "Permission denied (publickey)");
    assert!(!asked.exists());

    // With `force`, the askpass program answers, as with git.
    sandbox.var("SSH_ASKPASS_REQUIRE", "force");
    let tip = pushed(&sandbox.attempt(&url).await);
    assert_eq!(remote_tip(&sandbox), tip);
    assert!(asked.exists());
}

#[tokio::test]
async fn a_rotated_key_is_used_by_the_next_attempt() {
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    let (key, valid) = (sandbox.path("key"), sandbox.path("valid"));
    fs::rename(&key, &valid).expect("it is there");
    make_key(&key);
    // ssh would offer the public key in that file, even if the private key does not belong to it.
    fs::remove_file(key.with_extension("pub")).expect("it was made");
    let pusher = sandbox.pusher(&url);
    assert_eq!(failure_of(attempt(&pusher).await).kind(), Kind::Auth);
    fs::rename(&valid, &key).expect("it is there");
    let tip = pushed(&attempt(&pusher).await);
    close(&pusher).await;
    assert_eq!(remote_tip(&sandbox), tip);
}

#[tokio::test]
async fn an_unknown_or_changed_host_key_is_a_host_key_failure() {
    let Some((sandbox, sshd, url)) = server() else {
        return;
    };
    let known_hosts = sandbox.path("known_hosts");
    fs::write(&known_hosts, "").expect("writable");
    let failure = sandbox.failure(&url).await;
    assert_failure(&failure, Kind::HostKey, "host key is known for");
    sshd.trust_another_key(&known_hosts);
    let failure = sandbox.failure(&url).await;
    assert_failure(&failure, Kind::HostKey, "REMOTE HOST IDENTIFICATION HAS CHANGED");
    assert!(!failure.message().contains('\r'), "{failure}");
    sshd.trust(&known_hosts);
    pushed(&sandbox.attempt(&url).await);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_a_network_failure() {
    let Some((sandbox, sshd, _)) = server() else {
        return;
    };
    let port = sshd.port;
    drop(sshd);
    let refused = format!("ssh://127.0.0.1:{port}/r");
    assert_failure(
        &sandbox.failure(&refused).await,
        Kind::Network,
        "Connection refused",
    );
    let unknown = "git@no-such-host.invalid:r";
    let failure = sandbox.failure(unknown).await;
    assert_failure(&failure, Kind::Network, "Could not resolve hostname");
}

#[tokio::test]
async fn a_silent_server_is_a_timeout_and_leaves_nothing_running() {
    let mut sandbox = Sandbox::new();
    sandbox.var("GIT_SSH_COMMAND", production_command(&sandbox));
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
    let port = silent.local_addr().expect("bound").port();
    let url = format!("ssh://127.0.0.1:{port}/r");
    let pusher = sandbox.pusher_with(&url, Some(Duration::from_millis(300)));
    assert_eq!(failure_of(attempt(&pusher).await).kind(), Kind::Timeout);
    close(&pusher).await;
    assert_nothing_is_left(&sandbox).await;
}

#[tokio::test]
async fn a_missing_repository_is_a_remote_error() {
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    let failure = sandbox.failure(&format!("{url}x")).await;
    assert_failure(
        &failure,
        Kind::RemoteError,
        "does not appear to be a git repository",
    );
}

#[tokio::test]
async fn a_server_without_git_is_a_remote_error() {
    let Some((sandbox, _sshd, url)) = server_with("SetEnv PATH=/nonexistent") else {
        return;
    };
    let failure = sandbox.failure(&url).await;
    assert_failure(&failure, Kind::RemoteError, "git-receive-pack");
    assert!(failure.message().contains("not found"), "{failure}");
}

#[tokio::test]
async fn the_receive_pack_of_the_remote_is_run() {
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    let script = sandbox.script("receive pack", "#!/bin/sh\nexec git receive-pack \"$2\"\n");
    sandbox.config(&format!(
        "[remote \"x\"]\n\turl = {url}\n\treceivepack = '{}' first\n",
        script.display()
    ));
    let tip = pushed(&sandbox.attempt("x").await);
    assert_eq!(remote_tip(&sandbox), tip);
}

#[tokio::test]
async fn a_missing_ssh_program_is_a_local_failure_with_advice() {
    let mut sandbox = Sandbox::new();
    let secret = "hunter2";
    let command = format!("no-such-sshpass -p {secret} ssh");
    for (variable, value) in [
        ("GIT_SSH_COMMAND", command.as_str()),
        ("GIT_SSH_COMMAND", "no-such-ssh"),
        ("GIT_SSH_COMMAND", ""),
        ("GIT_SSH", "/no/such/ssh"),
        ("PATH", "/nonexistent"),
    ] {
        let before = sandbox.env.clone();
        sandbox.var(variable, value);
        sandbox.var("GIT_SSH_VARIANT", "ssh");
        let failure = sandbox.failure("git@127.0.0.1:r").await;
        assert_failure(&failure, Kind::Local, "install OpenSSH's client");
        assert!(!failure.message().contains(secret), "{failure}");
        sandbox.env = before;
    }
}

#[tokio::test]
async fn a_password_in_an_ssh_url_is_not_shown() {
    let Some((mut sandbox, sshd, _)) = server() else {
        return;
    };
    let command = format!("{} -p {}", production_command(&sandbox), sshd.port);
    sandbox.var("GIT_SSH_COMMAND", command);
    let failure = sandbox.failure("ssh://no-such-user:hunter2@127.0.0.1/r").await;
    assert_failure(&failure, Kind::Auth, "no-such-user:***@127.0.0.1");
    assert!(!failure.message().contains("hunter2"), "{failure}");
}

#[tokio::test]
async fn ten_thousand_files_arrive() {
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    for directory in 0..100 {
        let directory = sandbox.work().join(format!("d{directory}"));
        fs::create_dir(&directory).expect("new");
        for file in 0..100 {
            let content = format!("{} {file}\n", directory.display());
            fs::write(directory.join(format!("f{file}")), content).expect("writable");
        }
    }
    sandbox.git(&sandbox.work(), &["add", "."]);
    let commit = sandbox.commit("many files");
    assert_eq!(pushed(&sandbox.attempt(&url).await), commit);
    assert_eq!(remote_tip(&sandbox), commit);
}

#[tokio::test]
async fn a_backlog_of_ten_thousand_commits_arrives() {
    use std::fmt::Write;

    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    pushed(&sandbox.attempt(&url).await);
    let mut stream = String::new();
    for number in 0..10_000 {
        let from = if number == 0 {
            "from refs/heads/main^0\n"
        } else {
            ""
        };
        write!(
            stream,
            "commit refs/heads/main\ncommitter C <c@example.com> {} +0000\ndata 1\nx\n{from}M 644 inline d{}/f{}\ndata <<E\n{number}\nE\n",
            1_700_000_000 + number,
            number % 10,
            number % 1000,
        )
        .expect("a string takes it all");
    }
    let file = sandbox.path("stream");
    fs::write(&file, stream).expect("writable");
    let import = std::process::Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(sandbox.work())
        .env_clear()
        .envs(sandbox.env.iter())
        .stdin(fs::File::open(&file).expect("just written"))
        .status();
    assert!(import.expect("git runs").success());
    let tip = sandbox.git(&sandbox.work(), &["rev-parse", "main"]);
    assert_eq!(pushed(&sandbox.attempt(&url).await), tip);
    assert_eq!(remote_tip(&sandbox), tip);
}

pub(crate) fn install_hook(remote: &Path, name: &str, content: &str) {
    let hook = remote.join("hooks").join(name);
    fs::create_dir_all(remote.join("hooks")).expect("a repository");
    fs::write(&hook, format!("#!/bin/sh\n{content}\n")).expect("writable");
    make_executable(&hook);
}

#[tokio::test]
async fn a_declining_hook_is_quoted() {
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    let decline = "echo 'no commits on Sundays' >&2; exit 1";
    install_hook(&sandbox.path("remote.git"), "pre-receive", decline);
    let failure = sandbox.failure(&url).await;
    assert_failure(&failure, Kind::Rejected, "pre-receive hook declined");
    assert!(failure.message().contains("no commits on Sundays"), "{failure}");
    assert_nothing_is_left(&sandbox).await;
}

pub(crate) fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo runs").success());
}

#[tokio::test]
async fn an_attempt_that_is_cancelled_in_the_middle_leaves_nothing_running() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::unix::pipe;

    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    let (entered, leave) = (sandbox.path("entered"), sandbox.path("leave"));
    make_fifo(&entered);
    make_fifo(&leave);
    let hang = format!(
        "exec 3<{}; echo > {}; read line <&3",
        leave.display(),
        entered.display()
    );
    install_hook(&sandbox.path("remote.git"), "pre-receive", &hang);
    let mut options = pipe::OpenOptions::new();
    // Otherwise, opening would wait for the hook to open the other end.
    options.read_write(true);
    let mut entered = options.open_receiver(entered).expect("a fifo");
    let mut leave = options.open_sender(leave).expect("a fifo");

    let pusher = sandbox.pusher(&url);
    tokio::select! {
        outcome = attempt(&pusher) => panic!("the hook hangs, so this cannot be: {outcome:?}"),
        read = entered.read_u8() => drop(read.expect("the hook wrote a line")),
    }
    assert_ne!(processes(&sandbox, "known_hosts"), [""; 0]);
    close(&pusher).await;
    assert_nothing_is_left(&sandbox).await;
    leave
        .write_all(b"\n")
        .await
        .expect("the test holds the pipe open");
    assert_ends(&sandbox, "remote.git").await;
}

#[tokio::test]
async fn closing_does_not_stop_a_hook_of_a_confirmed_push() {
    use push_engine::daemon::Pusher;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::unix::pipe;
    use tokio::time::Instant;

    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    let [entered, leave, done] = ["entered", "leave", "done"].map(|name| sandbox.path(name));
    for fifo in [&entered, &leave, &done] {
        make_fifo(fifo);
    }
    let slow = format!(
        "exec 3<{}; echo > {}; read line <&3; echo > {}",
        leave.display(),
        entered.display(),
        done.display()
    );
    install_hook(&sandbox.path("remote.git"), "post-receive", &slow);
    let mut options = pipe::OpenOptions::new();
    options.read_write(true);
    let mut entered = options.open_receiver(entered).expect("a fifo");
    let mut leave = options.open_sender(leave).expect("a fifo");
    let mut done = options.open_receiver(done).expect("a fifo");

    let pusher = sandbox.pusher(&url);
    let tip = pushed(&attempt(&pusher).await);
    assert_eq!(remote_tip(&sandbox), tip);
    entered.read_u8().await.expect("the hook wrote a line");
    let begun = Instant::now();
    let deadline = Duration::from_secs(600);
    pusher.close(begun + deadline).await;
    let taken = begun.elapsed();
    assert!(taken < deadline / 10, "{taken:?}");
    assert_nothing_is_left(&sandbox).await;
    // The hook still runs on the server.
    leave
        .write_all(b"\n")
        .await
        .expect("the test holds the pipe open");
    done.read_u8().await.expect("the hook came to its end");
}
