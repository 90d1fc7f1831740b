//! The connection that is kept ready for the next push: what it saves, and that its loss is never reported.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use push_engine::attempt::RemotePusher;
use push_engine::daemon::Pusher;
use push_engine::event::SentPush;
use push_engine::failure::Kind;
use push_engine::state::{Divergence, Outcome};
use rustix::process::{Pid, Signal, kill_process};

use crate::push::{
    assert_nothing_is_left, install_hook, make_fifo, processes, production_command, remote_tip, server,
};
use crate::support::sshd::Sshd;
use crate::support::{Sandbox, attempt, close, failure_of, pushed};

/// Longer than any test takes.
const KEEP: Duration = Duration::from_secs(600);

/// The longest wait for a condition that raises no event.
const LIMIT: Duration = Duration::from_secs(30);

/// A server, and a pusher that keeps its connections. Every start of ssh is recorded.
struct Kept {
    sandbox: Sandbox,
    url: String,
    log: Log,
    _logging: tracing::subscriber::DefaultGuard,
    _sshd: Sshd,
}

/// The daemon's log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn count(&self, text: &str) -> usize {
        let log = self.0.lock().expect("no panic");
        String::from_utf8_lossy(&log).matches(text).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const READY: &str = "a connection is ready for the next push";
const USED: &str = "using the kept connection";

impl Kept {
    fn new() -> Option<Self> {
        let (mut sandbox, sshd, url) = server()?;
        sandbox.keep_connection = KEEP;
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer({
                let log = log.clone();
                move || log.clone()
            })
            .finish();
        let mut kept = Self {
            url,
            sandbox,
            log,
            _logging: tracing::subscriber::set_default(subscriber),
            _sshd: sshd,
        };
        let ssh = kept.logging_ssh("ssh-wrapper", "");
        kept.sandbox.var("GIT_SSH_COMMAND", ssh);
        kept.sandbox.var("GIT_SSH_VARIANT", "ssh");
        Some(kept)
    }

    /// A program that records its process id and becomes ssh.
    fn logging_ssh(&self, name: &str, lines: &str) -> PathBuf {
        let (log, ssh) = (self.sandbox.path("calls"), production_command(&self.sandbox));
        let content = format!(
            "#!/bin/sh\necho $$ >>'{}'\n{lines}\nexec {ssh} \"$@\"\n",
            log.display()
        );
        self.sandbox.script(name, &content)
    }

    fn pusher(&self) -> RemotePusher {
        self.sandbox.pusher(&self.url)
    }

    fn remote(&self) -> PathBuf {
        self.sandbox.path("remote.git")
    }

    /// The process ids of all ssh programs so far.
    fn calls(&self) -> Vec<i32> {
        let log = fs::read_to_string(self.sandbox.path("calls")).unwrap_or_default();
        log.lines().map(|id| id.parse().expect("a process id")).collect()
    }

    /// Waits until this many ssh programs were started.
    async fn calls_are(&self, count: usize) {
        until("ssh is started", || self.calls().len() == count).await;
    }

    /// Waits until this many connections have read their advertisement ahead of a push.
    async fn is_ready(&self, count: usize) {
        until("a connection is ready", || self.log.count(READY) == count).await;
    }

    /// The processes of git on the server.
    fn receive_packs(&self) -> Vec<i32> {
        let remote = self.remote().display().to_string();
        let processes = fs::read_dir("/proc").expect("Linux").flatten();
        processes
            .filter_map(|process| {
                let line = fs::read(process.path().join("cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                let id = process.file_name().to_string_lossy().parse().ok()?;
                (line.starts_with("git") && line.contains("receive-pack") && line.contains(&remote))
                    .then_some(id)
            })
            .collect()
    }

    /// Pushes the first commit and waits until the next connection is ready.
    async fn start(&self, pusher: &RemotePusher) -> String {
        let tip = pushed(&attempt(pusher).await);
        self.is_ready(1).await;
        assert_eq!(self.calls().len(), 2);
        tip
    }

    /// Makes a commit, pushes it and returns it.
    async fn push(&self, pusher: &RemotePusher, message: &str) -> String {
        let commit = self.sandbox.commit(message);
        assert_eq!(pushed(&attempt(pusher).await), commit, "{message}");
        assert_eq!(remote_tip(&self.sandbox), commit, "{message}");
        commit
    }

    /// Puts another writer's commit on the remote's branch.
    fn elsewhere(&self) -> String {
        let other = self.sandbox.path("elsewhere");
        let (base, remote) = (self.sandbox.path(""), self.remote().display().to_string());
        self.sandbox.git(
            &base,
            &["clone", "--quiet", "--branch=main", &remote, "elsewhere"],
        );
        self.sandbox
            .git(&other, &["commit", "--quiet", "--allow-empty", "-m", "elsewhere"]);
        self.sandbox.git(&other, &["push", "--quiet", "origin", "main"]);
        self.sandbox.git(&other, &["rev-parse", "HEAD"])
    }

    /// Ends the pusher, which must have used kept connections this often, and logged nothing above debug level.
    async fn end(&self, pusher: &RemotePusher, used: usize) {
        close(pusher).await;
        assert_nothing_is_left(&self.sandbox).await;
        assert_eq!(self.log.count(USED), used);
        for level in [" WARN ", " ERROR ", " INFO "] {
            assert_eq!(self.log.count(level), 0, "{level}");
        }
    }
}

/// Waits for a condition that raises no event.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect(what);
}

async fn until_gone(process: i32) {
    // A zombie would still be listed.
    let path = PathBuf::from(format!("/proc/{process}"));
    until("the process has ended and was reaped", || !path.exists()).await;
}

fn kill(process: i32) {
    let id = Pid::from_raw(process).expect("a process id");
    kill_process(id, Signal::KILL).expect("it runs");
}

fn locks_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "lock") || name.starts_with("incoming-") {
            found.push(path.clone());
        }
        if path.is_dir() {
            found.extend(locks_below(&path));
        }
    }
    found
}

fn previous(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Pushed(SentPush { previous, .. }) => previous.map(|oid| oid.to_string()),
        other => panic!("a push was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn each_push_in_a_row_takes_one_connection() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    for number in 2..6 {
        kept.push(&pusher, "another").await;
        kept.is_ready(number).await;
    }
    kept.end(&pusher, 4).await;
    assert_eq!(kept.calls().len(), 6);
}

#[tokio::test]
async fn a_burst_of_pushes_waits_for_the_connection_that_is_being_made() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    pushed(&attempt(&pusher).await);
    for _ in 0..5 {
        kept.push(&pusher, "at once").await;
    }
    kept.calls_are(7).await;
    kept.end(&pusher, 5).await;
    assert_eq!(kept.calls().len(), 7);
}

#[tokio::test]
async fn a_connection_that_found_everything_there_carries_the_next_push() {
    let Some(kept) = Kept::new() else { return };
    let remote = kept.remote().display().to_string();
    kept.sandbox
        .git(&kept.sandbox.work(), &["push", "--quiet", &remote, "main"]);
    let pusher = kept.pusher();
    let outcome = attempt(&pusher).await;
    assert!(matches!(outcome, Outcome::UpToDate { .. }), "{outcome:?}");
    kept.push(&pusher, "the second").await;
    kept.calls_are(2).await;
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn nothing_is_kept_if_keeping_is_disabled() {
    let Some(mut kept) = Kept::new() else { return };
    kept.sandbox.keep_connection = Duration::ZERO;
    let pusher = kept.pusher();
    for count in 1..4 {
        kept.push(&pusher, "one of some").await;
        assert_nothing_is_left(&kept.sandbox).await;
        assert_eq!(kept.calls().len(), count);
    }
    kept.end(&pusher, 0).await;
}

#[tokio::test]
async fn an_unused_connection_ends_by_itself_and_is_not_renewed() {
    let Some(mut kept) = Kept::new() else { return };
    kept.sandbox.keep_connection = Duration::from_millis(300);
    let pusher = kept.pusher();
    pushed(&attempt(&pusher).await);
    kept.calls_are(2).await;
    until_gone(kept.calls()[1]).await;
    assert_nothing_is_left(&kept.sandbox).await;
    assert_eq!(kept.calls().len(), 2);
    kept.push(&pusher, "later").await;
    kept.end(&pusher, 0).await;
}

#[tokio::test]
async fn a_kept_connection_holds_no_lock_on_the_remote() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    assert_eq!(locks_below(&kept.remote()), [""; 0].map(PathBuf::from));
    kept.elsewhere();
    kept.sandbox
        .git(&kept.remote(), &["gc", "--quiet", "--prune=now"]);
    kept.end(&pusher, 0).await;
}

#[tokio::test]
async fn closing_ends_a_kept_connection_at_once() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    let before = Instant::now();
    kept.end(&pusher, 0).await;
    // `close` may wait a minute for work that ends by itself.
    assert!(before.elapsed() < LIMIT, "{:?}", before.elapsed());
    until("nothing is left on the server", || {
        kept.receive_packs().is_empty()
    })
    .await;
}

#[tokio::test]
async fn closing_ends_a_connection_that_never_gets_ready_at_once() {
    let Some(mut kept) = Kept::new() else { return };
    let hang = "[ $(wc -l <\"$0-calls\" 2>/dev/null || echo 0) = 0 ] || sleep 1000\necho >>\"$0-calls\"";
    let ssh = kept.logging_ssh("hanging", hang);
    kept.sandbox.var("GIT_SSH_COMMAND", ssh);
    let pusher = kept.pusher();
    pushed(&attempt(&pusher).await);
    kept.calls_are(2).await;
    let before = Instant::now();
    close(&pusher).await;
    assert!(before.elapsed() < LIMIT, "{:?}", before.elapsed());
    until_gone(kept.calls()[1]).await;
}

#[tokio::test]
async fn a_connection_whose_ssh_was_killed_is_reaped_and_replaced() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    let ssh = kept.calls()[1];
    kill(ssh);
    until_gone(ssh).await;
    kept.push(&pusher, "after the end").await;
    kept.calls_are(4).await;
    kept.end(&pusher, 0).await;
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_reaped_and_replaced() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    until("only one is left", || kept.receive_packs().len() == 1).await;
    kill(kept.receive_packs()[0]);
    until_gone(kept.calls()[1]).await;
    kept.push(&pusher, "after the end").await;
    kept.end(&pusher, 0).await;
}

#[tokio::test]
async fn a_connection_that_dies_in_use_is_replaced() {
    let Some(kept) = Kept::new() else { return };
    // The second connection, which is the kept one, ends at the first byte of its request.
    let pipe = kept.sandbox.path("pipe");
    make_fifo(&pipe);
    let (calls, pipe) = (kept.sandbox.path("calls"), pipe.display().to_string());
    let dying = format!(
        "if [ \"$(wc -l <'{}')\" -eq 2 ]; then\n\
         exec 3<>'{pipe}'\n\
         {} \"$@\" <&3 &\n\
         head -c 1 >/dev/null; kill -9 $!; exit 255\n\
         fi",
        calls.display(),
        production_command(&kept.sandbox)
    );
    kept.logging_ssh("ssh-wrapper", &dying);
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    kept.push(&pusher, "the last words").await;
    kept.end(&pusher, 1).await;
}

/// A hook that kills the ssh of a kept connection in the middle of its push.
fn kill_in_hook(kept: &Kept, hook: &str, condition: &str, then: &str) -> PathBuf {
    let armed = kept.sandbox.path("armed");
    fs::write(&armed, kept.calls()[1].to_string()).expect("writable");
    let shown = armed.display();
    let content = format!(
        "if {condition} && [ -e '{shown}' ]; then kill -9 $(cat '{shown}'); rm '{shown}'; {then}; fi"
    );
    install_hook(&kept.remote(), hook, &content);
    armed
}

#[tokio::test]
async fn a_push_that_arrived_over_a_broken_connection_is_reported() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    let first = kept.start(&pusher).await;
    let armed = kill_in_hook(&kept, "reference-transaction", "[ \"$1\" = committed ]", "true");
    let commit = kept.sandbox.commit("unheard");
    match attempt(&pusher).await {
        Outcome::Pushed(SentPush {
            commit: tip,
            previous,
            commits,
            bytes,
        }) => {
            assert_eq!(tip.to_string(), commit);
            assert_eq!(previous.map(|oid| oid.to_string()), Some(first));
            assert_eq!(commits, 1);
            assert!(bytes > 0);
        }
        other => panic!("{other:?}"),
    }
    assert!(!armed.exists());
    // The connection that found the commit carries the next push.
    assert_eq!(kept.calls().len(), 3);
    kept.push(&pusher, "the next").await;
    kept.calls_are(4).await;
    kept.end(&pusher, 2).await;
}

#[tokio::test]
async fn a_push_that_did_not_arrive_over_a_broken_connection_is_repeated() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    let first = kept.start(&pusher).await;
    let armed = kill_in_hook(&kept, "pre-receive", "true", "exit 1");
    let commit = kept.sandbox.commit("lost at first");
    let outcome = attempt(&pusher).await;
    assert_eq!(pushed(&outcome), commit);
    assert_eq!(previous(&outcome), Some(first));
    assert!(!armed.exists());
    assert_eq!(remote_tip(&kept.sandbox), commit);
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn a_kept_connection_does_not_hide_another_writers_commit() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    let other = kept.elsewhere();
    kept.sandbox.commit("the local commit");
    match attempt(&pusher).await {
        Outcome::Diverged(Divergence { failure, .. }) => {
            assert_eq!(failure.remote_commit().map(|oid| oid.to_string()), Some(other));
        }
        other => panic!("{other:?}"),
    }
    assert_nothing_is_left(&kept.sandbox).await;
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn a_commit_on_top_of_another_writers_is_pushed_despite_an_older_connection() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    let other = kept.elsewhere();
    let remote = kept.remote().display().to_string();
    let work = kept.sandbox.work();
    kept.sandbox
        .git(&work, &["pull", "--quiet", "--ff-only", &remote, "main"]);
    let commit = kept.sandbox.commit("on top of the other");
    let outcome = attempt(&pusher).await;
    assert_eq!(pushed(&outcome), commit);
    assert_eq!(previous(&outcome), Some(other));
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn a_commit_that_another_writer_pushed_is_not_reported_as_pushed() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    kept.sandbox.commit("brought by hand");
    let remote = kept.remote().display().to_string();
    kept.sandbox
        .git(&kept.sandbox.work(), &["push", "--quiet", &remote, "main"]);
    let outcome = attempt(&pusher).await;
    assert!(matches!(outcome, Outcome::UpToDate { .. }), "{outcome:?}");
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn a_branch_that_was_deleted_or_reset_meanwhile_is_pushed_again() {
    for change in [
        &["update-ref", "-d", "refs/heads/main"][..],
        &["update-ref", "refs/heads/main", "refs/heads/main~1"],
    ] {
        let Some(kept) = Kept::new() else { return };
        kept.sandbox.commit("the second");
        let pusher = kept.pusher();
        kept.start(&pusher).await;
        kept.sandbox.git(&kept.remote(), change);
        kept.push(&pusher, "the third").await;
        kept.end(&pusher, 1).await;
    }
}

#[tokio::test]
async fn a_commit_on_objects_that_the_remote_has_collected_arrives_whole() {
    let Some(kept) = Kept::new() else { return };
    let (work, remote) = (kept.sandbox.work(), kept.remote());
    let url = remote.display().to_string();
    kept.sandbox.git(&work, &["branch", "side"]);
    let pusher = kept.pusher();
    // Another branch of the remote, which the next commit contains.
    kept.sandbox.git(&work, &["switch", "--quiet", "side"]);
    fs::write(work.join("file"), "the side's").expect("writable");
    kept.sandbox.git(&work, &["add", "file"]);
    kept.sandbox.commit("on the side");
    kept.sandbox.git(&work, &["push", "--quiet", &url, "side"]);
    kept.sandbox.git(&work, &["switch", "--quiet", "main"]);
    kept.start(&pusher).await;
    kept.sandbox
        .git(&remote, &["update-ref", "-d", "refs/heads/side"]);
    kept.sandbox
        .git(&remote, &["reflog", "expire", "--expire=now", "--all"]);
    kept.sandbox.git(&remote, &["gc", "--quiet", "--prune=now"]);
    kept.sandbox
        .git(&work, &["merge", "--quiet", "--no-ff", "-m", "merged", "side"]);
    let tip = pushed(&attempt(&pusher).await);
    assert_eq!(remote_tip(&kept.sandbox), tip);
    // One push failed to unpack; the next one used a new connection.
    kept.calls_are(4).await;
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn a_repository_that_was_replaced_under_a_kept_connection_is_noticed_at_once() {
    let Some(kept) = Kept::new() else { return };
    // A git with reftables would write the ref where the path now leads, and the objects where it works.
    let with_files = || {
        let init = ["init", "--quiet", "--bare", "--ref-format=files", "remote.git"];
        kept.sandbox.git(&kept.sandbox.path(""), &init);
    };
    fs::remove_dir_all(kept.remote()).expect("it is there");
    with_files();
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    let old = kept.sandbox.path("old.git");
    fs::rename(kept.remote(), &old).expect("it is there");
    with_files();
    let commit = kept.sandbox.commit("into the old one");
    // The process on the server still works in the directory that it was started for.
    assert_eq!(pushed(&attempt(&pusher).await), commit);
    assert_eq!(kept.sandbox.git(&old, &["rev-parse", "main"]), commit);
    // The next connection sees the repository to which the URL now leads.
    let check = tokio::time::timeout(LIMIT, pusher.remote_moved());
    check.await.expect("the replacement is noticed");
    let outcome = attempt(&pusher).await;
    assert_eq!((pushed(&outcome), previous(&outcome)), (commit.clone(), None));
    assert_eq!(remote_tip(&kept.sandbox), commit);
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn a_repository_that_was_removed_under_a_kept_connection_is_a_failure() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    fs::remove_dir_all(kept.remote()).expect("it is there");
    kept.sandbox.commit("into nowhere");
    let failure = failure_of(attempt(&pusher).await);
    assert_eq!(failure.kind(), Kind::RemoteError, "{failure}");
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn a_hook_that_declines_runs_once() {
    let Some(kept) = Kept::new() else { return };
    let pusher = kept.pusher();
    kept.start(&pusher).await;
    let asked = kept.sandbox.path("asked");
    let decline = format!("echo asked >>'{}'; exit 1", asked.display());
    install_hook(&kept.remote(), "pre-receive", &decline);
    kept.sandbox.commit("declined");
    let failure = failure_of(attempt(&pusher).await);
    assert_eq!(failure.kind(), Kind::Rejected, "{failure}");
    assert_eq!(fs::read_to_string(&asked).expect("it ran"), "asked\n");
    assert_nothing_is_left(&kept.sandbox).await;
    kept.end(&pusher, 1).await;
}

#[tokio::test]
async fn another_command_or_address_is_used_at_once() {
    let Some(mut kept) = Kept::new() else { return };
    kept.sandbox.env = kept.sandbox.env.clone().without("GIT_SSH_COMMAND");
    let (first, second) = (
        kept.logging_ssh("first", ""),
        kept.logging_ssh("second", ": >\"$0-ran\""),
    );
    let other = kept.sandbox.bare("other.git");
    let other_url = kept.url.replace("remote.git", "other.git");
    let work = kept.sandbox.work();
    let set = |key: &str, value: &str| kept.sandbox.git(&work, &["config", key, value]);
    set("core.sshCommand", &first.display().to_string());
    set("remote.x.url", &kept.url);
    let pusher = kept.sandbox.pusher("x");
    kept.start(&pusher).await;
    let kept_ssh = kept.calls()[1];

    set("core.sshCommand", &second.display().to_string());
    kept.push(&pusher, "by another command").await;
    assert!(kept.sandbox.path("second-ran").exists());
    until_gone(kept_ssh).await;
    kept.is_ready(2).await;

    set("remote.x.url", &other_url);
    let commit = kept.sandbox.commit("to another place");
    let outcome = attempt(&pusher).await;
    assert_eq!((pushed(&outcome), previous(&outcome)), (commit.clone(), None));
    assert_eq!(kept.sandbox.git(&other, &["rev-parse", "main"]), commit);
    kept.end(&pusher, 0).await;
}

#[tokio::test]
async fn the_next_push_does_not_wait_for_a_hook_after_this_one() {
    use tokio::io::AsyncWriteExt;
    use tokio::net::unix::pipe;

    let Some(kept) = Kept::new() else { return };
    let (leave, once) = (kept.sandbox.path("leave"), kept.sandbox.path("once"));
    make_fifo(&leave);
    fs::write(&once, "").expect("writable");
    let hook = format!(
        "[ -e '{once}' ] || exit 0; rm '{once}'; read line <'{leave}'; touch '{once}'",
        once = once.display(),
        leave = leave.display()
    );
    install_hook(&kept.remote(), "post-receive", &hook);
    let mut options = pipe::OpenOptions::new();
    options.read_write(true);
    let mut gate = options.open_sender(&leave).expect("a fifo");
    let pusher = kept.pusher();
    pushed(&attempt(&pusher).await);
    until("the hook runs", || !once.exists()).await;
    kept.push(&pusher, "the second").await;
    kept.push(&pusher, "the third").await;
    assert!(!once.exists(), "the first hook still waits");
    gate.write_all(b"\n").await.expect("the test holds the pipe open");
    until("the hook has ended", || once.exists()).await;
    kept.end(&pusher, 2).await;
}

#[tokio::test]
async fn connections_that_ssh_itself_multiplexes_are_kept_as_well() {
    let Some(mut kept) = Kept::new() else { return };
    let command = format!(
        "{} -o ControlMaster=auto -o ControlPath={}",
        production_command(&kept.sandbox),
        kept.sandbox.path("%C").display()
    );
    kept.sandbox.var("GIT_SSH_COMMAND", command);
    let pusher = kept.pusher();
    for message in ["one", "two", "three"] {
        kept.push(&pusher, message).await;
    }
    // The next connection is opened in the background.
    until("one is kept", || {
        !processes(&kept.sandbox, "known_hosts").is_empty()
    })
    .await;
    kept.end(&pusher, 2).await;
}
