//! Child processes: each in a process group of its own, always ended and reaped. Where this process is killed before
//! it can do that, the group's [watchdog](super::watchdog) ends them.
//!
//! There is no `pre_exec`, so the standard library uses `posix_spawn`: a fork of a Node process with
//! gigabytes of memory takes tens of milliseconds (measured: 70 ms at 2 GB against 0.14 ms).

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::Background;
use super::process::Process;
#[cfg(unix)]
use super::watchdog::Watchdog;
use crate::failure;
use crate::tail::Tail;

/// How long a child may take to clean up (git removes its lock files on SIGTERM) before it is killed.
pub(super) const KILL_GRACE: Duration = Duration::from_millis(100);

/// How often it is looked whether a group has ended: nothing tells of it.
#[cfg(unix)]
const GROUP_POLL: Duration = Duration::from_millis(5);

/// How long the last words of a child that has hung up are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    NotYet,
    /// With its status, unless another part of the process has reaped it.
    Reaped(Option<ExitStatus>),
}

impl Exit {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as `wait_for` passes it")]
    const fn is_reaped(&self) -> bool {
        matches!(self, Self::Reaped(_))
    }
}

/// A running child. Dropping it ends the whole process group.
#[derive(Debug)]
pub(super) struct Child {
    /// The end of its standard error, which tells what went wrong; closed when there is no more.
    stderr: watch::Receiver<Tail>,
    has_asked: watch::Receiver<bool>,
    exit: watch::Receiver<Exit>,
    /// Says that there is a reason to look whether it has exited.
    look: Arc<Notify>,
    /// Dropping it tells the supervising task to end the group.
    _alive: oneshot::Sender<()>,
}

impl Child {
    /// Starts a child with pipes to all three of its standard streams.
    pub(super) fn spawn(
        command: std::process::Command,
        background: &Background,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let (mut started, pipes) = Group::spawn(command)?;
        let stdin = ChildStdin::from_std(pipes.stdin)?;
        let stdout = ChildStdout::from_std(pipes.stdout)?;
        let stderr_pipe = ChildStderr::from_std(pipes.stderr)?;

        let (tail, stderr) = watch::channel(Tail::default());
        let (alive, released) = oneshot::channel();
        let (reaped, exit) = watch::channel(Exit::NotYet);
        let (question, has_asked) = watch::channel(false);
        let look = Arc::new(Notify::new());
        background.spawn({
            let (background, look) = (background.clone(), Arc::clone(&look));
            let mut exit = exit.clone();
            async move {
                // A hook may leave a process behind that keeps the pipe open: the exit of the child ends this too.
                let exited = async {
                    let _ = exit.wait_for(Exit::is_reaped).await;
                    sleep(LAST_WORDS).await;
                };
                tokio::select! {
                    () = keep_tail(stderr_pipe, &tail, &question) => {}
                    () = exited => {}
                    () = background.ended() => {}
                }
                drop(tail);
                look.notify_one();
            }
        });
        background.spawn({
            let (background, look) = (background.clone(), Arc::clone(&look));
            async move {
                let must_end = tokio::select! {
                    _ = started.child.exited(&look) => false,
                    _ = released => true,
                    () = background.ended() => true,
                };
                if must_end {
                    started.end().await;
                }
                reaped.send_replace(Exit::Reaped(started.child.exited(&look).await));
                started.release().await;
            }
        });
        Ok((
            Self {
                stderr,
                has_asked,
                exit,
                look,
                _alive: alive,
            },
            stdin,
            stdout,
        ))
    }

    /// The end of its standard error, as it grows.
    pub(super) fn stderr(&self) -> watch::Receiver<Tail> {
        self.stderr.clone()
    }

    /// What the child said on its standard error, once it has said it all (or a second has passed).
    pub(super) async fn last_words(&mut self) -> String {
        let ended = async { while self.stderr.changed().await.is_ok() {} };
        let _ = timeout(LAST_WORDS, ended).await;
        self.said()
    }

    fn said(&self) -> String {
        let tail = self.stderr.borrow();
        String::from_utf8_lossy(tail.bytes()).trim().to_owned()
    }

    /// Returns when the child waits for an answer, as far as its standard error tells, with what it has said there.
    pub(super) async fn question(&mut self) -> String {
        if self.has_asked.wait_for(|&has| has).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.said()
    }

    /// Gives its standard output away as it comes, until it has exited; returns as [`Child::exited`].
    pub(super) async fn read_to_exit(
        &mut self,
        mut stdout: ChildStdout,
        mut take: impl FnMut(&[u8]),
    ) -> Option<ExitStatus> {
        let mut reading = pin!(async {
            let mut chunk = vec![0; 8192];
            while let Ok(length @ 1..) = stdout.read(&mut chunk).await {
                take(&chunk[..length]);
            }
        });
        tokio::select! {
            () = &mut reading => {}
            // A hook may leave a process behind that keeps the pipe open.
            _ = self.exited() => {
                let _ = timeout(LAST_WORDS, reading).await;
            }
        }
        self.exited().await
    }

    /// Returns when the child has exited and was reaped, with its status unless another part of the process has
    /// reaped it. Call it when the child is expected to exit: that has it looked at anew.
    pub(super) async fn exited(&mut self) -> Option<ExitStatus> {
        self.look.notify_one();
        match *self.exit.wait_for(Exit::is_reaped).await.ok()? {
            Exit::Reaped(status) => status,
            Exit::NotYet => None,
        }
    }
}

async fn keep_tail(mut pipe: ChildStderr, tail: &watch::Sender<Tail>, question: &watch::Sender<bool>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        tail.send_modify(|tail| tail.push(&chunk[..length]));
        if failure::is_question(&String::from_utf8_lossy(tail.borrow().bytes())) {
            question.send_replace(true);
        }
    }
}

/// The other ends of a child's standard streams.
struct Pipes {
    stdin: std::process::ChildStdin,
    stdout: std::process::ChildStdout,
    stderr: std::process::ChildStderr,
}

/// A child and its process group.
#[derive(Debug)]
struct Group {
    child: Process,
    #[cfg(unix)]
    watchdog: Option<Watchdog>,
}

#[cfg(unix)]
impl Group {
    fn spawn(mut command: std::process::Command) -> io::Result<(Self, Pipes)> {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let search_path = command
            .get_envs()
            .find_map(|(name, value)| (name == "PATH").then_some(value?.to_owned()));
        let (child, pipes) = piped(command)?;
        // Without a shell on this machine there is none.
        let watchdog = Watchdog::over(child.id(), search_path.as_deref())
            .inspect_err(|error| tracing::debug!(%error, "a child has no watchdog"))
            .ok();
        Ok((Self { child, watchdog }, pipes))
    }

    /// Asks the whole group to end, then makes it, and reaps the child.
    ///
    /// The child may be gone long before its own children, which clean up as well: all of them get the grace.
    async fn end(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

        // `id` is `None` once the child was reaped: its number may belong to another process by then.
        let group = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let Some(group) = group else { return };
        let _ = kill_process_group(group, Signal::TERM);
        let ending = async {
            while !self.has_exited() || test_kill_process_group(group).is_ok() {
                sleep(GROUP_POLL).await;
            }
        };
        if timeout(KILL_GRACE, ending).await.is_err() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Whether both of our own children in the group have exited; reaps them.
    fn has_exited(&mut self) -> bool {
        let watchdog_has = self.watchdog.as_mut().is_none_or(Watchdog::has_exited);
        self.child.has_exited() && watchdog_has
    }

    /// Lets go of what a child that has exited has left in its group.
    async fn release(self) {
        if let Some(watchdog) = self.watchdog {
            watchdog.dismiss().await;
        }
    }
}

#[cfg(not(unix))]
impl Group {
    fn spawn(command: std::process::Command) -> io::Result<(Self, Pipes)> {
        let (child, pipes) = piped(command)?;
        Ok((Self { child }, pipes))
    }

    async fn end(&mut self) {
        self.child.kill();
    }

    async fn release(self) {}
}

fn piped(mut command: std::process::Command) -> io::Result<(Process, Pipes)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let child = Process::new(child);
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(io::Error::other("a standard stream of the child is missing"));
    };
    Ok((
        child,
        Pipes {
            stdin,
            stdout,
            stderr,
        },
    ))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn shell(script: &str) -> std::process::Command {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn is_running(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn first_line(stdout: ChildStdout) -> String {
        use tokio::io::AsyncBufReadExt;
        let mut line = String::new();
        tokio::io::BufReader::new(stdout)
            .read_line(&mut line)
            .await
            .expect("read");
        line.trim().to_owned()
    }

    #[tokio::test]
    async fn a_dropped_child_ends_with_its_whole_group() {
        let background = Background::default();
        // The grandchild ignores the request to end, so only the kill reaches it.
        let script = "sh -c 'trap \"\" TERM; echo $$; sleep 1000 & wait; sleep 1000' & wait";
        let (child, _stdin, stdout) = Child::spawn(shell(script), &background).expect("sh exists");
        let grandchild: u32 = first_line(stdout).await.parse().expect("a process id");
        assert!(is_running(grandchild));
        drop(child);
        background.close(Instant::now() + Duration::from_secs(30)).await;
        let ended = timeout(Duration::from_secs(30), async {
            while is_running(grandchild) {
                sleep(GROUP_POLL).await;
            }
        });
        ended.await.expect("the grandchild was killed");
    }

    #[tokio::test]
    async fn only_the_end_of_a_flood_on_standard_error_is_kept() {
        let background = Background::default();
        let script = "i=0; while [ $i -lt 3000 ]; do echo 'noise noise noise' >&2; i=$((i+1)); done; echo the reason >&2";
        let (mut child, _stdin, _stdout) = Child::spawn(shell(script), &background).expect("sh exists");
        child.exited().await;
        let words = child.last_words().await;
        assert!(
            words.ends_with("the reason") && words.len() <= crate::tail::LIMIT,
            "{words}"
        );
    }

    #[tokio::test]
    async fn closing_waits_for_a_child_that_ends_by_itself() {
        let background = Background::default();
        let (mut child, stdin, _stdout) =
            Child::spawn(shell("cat >/dev/null"), &background).expect("sh exists");
        drop(stdin);
        child.exited().await;
        background.close(Instant::now() + Duration::from_secs(30)).await;
    }

    /// Runs a test of this module again, in a process that ignores SIGCHLD: the system reaps what it starts.
    fn again_where_sigchld_is_ignored(test: &str) {
        const IGNORE: &str = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
        let module = module_path!().split_once("::").expect("in the crate").1;
        let output = std::process::Command::new("python3")
            .args(["-c", IGNORE])
            .arg(std::env::current_exe().expect("this one"))
            .args(["--exact", "--include-ignored", &format!("{module}::{test}")])
            .output()
            .expect("python3 is there");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn children_end_where_the_service_ignores_sigchld() {
        again_where_sigchld_is_ignored("a_dropped_child_ends_with_its_whole_group");
        again_where_sigchld_is_ignored("closing_waits_for_a_child_that_ends_by_itself");
        again_where_sigchld_is_ignored("the_output_and_the_last_words_are_read_until_the_exit");
    }

    #[tokio::test]
    async fn the_output_and_the_last_words_are_read_until_the_exit() {
        let background = Background::default();
        let script = "echo output; echo words >&2";
        let (mut child, _stdin, stdout) = Child::spawn(shell(script), &background).expect("sh exists");
        let mut output = Vec::new();
        child
            .read_to_exit(stdout, |bytes| output.extend_from_slice(bytes))
            .await;
        assert_eq!(
            (output.as_slice(), &*child.last_words().await),
            (&b"output\n"[..], "words")
        );
        background.close(Instant::now() + Duration::from_secs(30)).await;
    }

    #[tokio::test]
    async fn a_child_whose_pipes_live_on_in_another_process_is_noticed() {
        let background = Background::default();
        let script = "sleep 1000 & exit 3";
        let (mut child, _stdin, _stdout) = Child::spawn(shell(script), &background).expect("sh exists");
        let exited = timeout(Duration::from_secs(30), child.exited());
        let status = exited.await.expect("in time");
        assert_eq!(status.and_then(|status| status.code()), Some(3));
        background.close(Instant::now()).await;
    }
}
