//! Child processes: each runs in a process group of its own, and is always ended and reaped. If this process is killed
//! first, the group's [watchdog](super::watchdog) ends it.
//!
//! There is no `pre_exec`, so the standard library uses `posix_spawn`: a fork of a Node process with gigabytes of memory
//! takes tens of milliseconds (measured: 70 ms at 2 GB against 0.14 ms).

use std::io;
use std::pin::pin;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::Background;
use super::process::Process;
#[cfg(unix)]
use super::watchdog::Watchdog;
use crate::failure::{Tail, is_question};

/// The time to clean up (git removes its lock files on SIGTERM) before a child is killed.
pub(super) const KILL_GRACE: Duration = Duration::from_millis(100);

/// Poll interval: the end of a process group raises no event.
#[cfg(unix)]
const GROUP_POLL: Duration = Duration::from_millis(5);

/// How long to wait for the last output of a child that has exited.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// How much standard output [`communicate`] keeps.
const OUTPUT_LIMIT: usize = 1024 * 1024;

/// A running child. Dropping it ends the whole process group.
#[derive(Debug)]
pub(super) struct Child {
    state: watch::Receiver<State>,
    /// Makes the supervising task check whether the child has exited.
    prompt: Arc<Notify>,
    /// Dropping it tells the supervising task to end the group.
    _alive: oneshot::Sender<()>,
}

/// What is known of a child.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The end of the standard error.
    pub(super) stderr: Tail,
    stderr_has_ended: bool,
    has_asked: bool,
    has_exited: bool,
    /// The status of a child that has exited, unless it was reaped elsewhere.
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts a child with pipes to all three of its standard streams.
    pub(super) fn spawn(
        command: Command,
        background: &Background,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let (mut group, pipes) = Group::spawn(command)?;
        let stdin = ChildStdin::from_std(pipes.stdin)?;
        let stdout = ChildStdout::from_std(pipes.stdout)?;
        let stderr = ChildStderr::from_std(pipes.stderr)?;

        let (alive, released) = oneshot::channel();
        let (sender, state) = watch::channel(State::default());
        let prompt = Arc::new(Notify::new());
        background.spawn({
            let (sender, mut state) = (sender.clone(), state.clone());
            let (background, prompt) = (background.clone(), Arc::clone(&prompt));
            async move {
                // A hook may leave a process behind that keeps the pipe open, so reading ends after the child's exit.
                let exited = async {
                    let _ = state.wait_for(|state| state.has_exited).await;
                    sleep(LAST_OUTPUT).await;
                };
                tokio::select! {
                    () = read_stderr(stderr, &sender) => {}
                    () = exited => {}
                    () = background.ended() => {}
                }
                sender.send_modify(|state| state.stderr_has_ended = true);
                prompt.notify_one();
            }
        });
        background.spawn({
            let (background, prompt) = (background.clone(), Arc::clone(&prompt));
            async move {
                let must_end = tokio::select! {
                    _ = group.leader.exited(&prompt) => false,
                    _ = released => true,
                    () = background.ended() => true,
                };
                if must_end {
                    group.end().await;
                }
                let status = group.leader.exited(&prompt).await;
                sender.send_modify(|state| {
                    state.has_exited = true;
                    state.status = status;
                });
                group.release().await;
            }
        });
        let child = Self {
            state,
            prompt,
            _alive: alive,
        };
        Ok((child, stdin, stdout))
    }

    /// The state of the child as it changes.
    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The end of the child's standard error, after the child has closed it or a second has passed.
    pub(super) async fn last_stderr(&mut self) -> String {
        let _ = timeout(LAST_OUTPUT, self.state.wait_for(|state| state.stderr_has_ended)).await;
        self.state.borrow().stderr.text()
    }

    /// Waits until the child's standard error ends with a question; returns the text.
    pub(super) async fn question(&mut self) -> String {
        if self.state.wait_for(|state| state.has_asked).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.state.borrow().stderr.text()
    }

    /// Passes the standard output on as it comes, until the child has exited; returns as [`Child::exited`].
    pub(super) async fn read_to_exit(
        &mut self,
        mut stdout: ChildStdout,
        take: &mut (dyn FnMut(&[u8]) + Send),
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
                let _ = timeout(LAST_OUTPUT, reading).await;
            }
        }
        self.exited().await
    }

    /// Returns when the child has exited and was reaped, with its status unless it was reaped elsewhere. Call it only if
    /// the child is expected to exit: it makes the supervising task check at once.
    pub(super) async fn exited(&mut self) -> Option<ExitStatus> {
        self.prompt.notify_one();
        self.state.wait_for(|state| state.has_exited).await.ok()?.status
    }
}

async fn read_stderr(mut pipe: ChildStderr, state: &watch::Sender<State>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        state.send_modify(|state| {
            state.stderr.push(&chunk[..length]);
            state.has_asked |= is_question(&String::from_utf8_lossy(state.stderr.bytes()));
        });
    }
}

/// The output of a child that has exited.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    /// The end of the standard error; read only if there is no standard output.
    pub(crate) stderr: String,
}

/// Runs a child that answers one question, such as `git credential`. Dropping the future ends its group.
pub(crate) async fn communicate(
    command: Command,
    input: Vec<u8>,
    background: &Background,
) -> io::Result<Output> {
    let (mut child, mut stdin, pipe) = Child::spawn(command, background)?;
    let asking = async {
        // A child may exit before it has read everything.
        let _ = stdin.write_all(&input).await;
        drop(stdin);
    };
    let mut stdout = Vec::new();
    let mut take = |bytes: &[u8]| {
        if stdout.len() < OUTPUT_LIMIT {
            stdout.extend_from_slice(bytes);
        }
    };
    let answering = child.read_to_exit(pipe, &mut take);
    tokio::join!(asking, answering);
    // The child may have left a daemon behind that keeps the pipe open.
    let stderr = if stdout.is_empty() {
        child.last_stderr().await
    } else {
        String::new()
    };
    Ok(Output { stdout, stderr })
}

/// The other ends of a child's standard streams.
struct Pipes {
    stdin: std::process::ChildStdin,
    stdout: std::process::ChildStdout,
    stderr: std::process::ChildStderr,
}

/// A child with its process group.
#[derive(Debug)]
struct Group {
    leader: Process,
    #[cfg(unix)]
    watchdog: Option<Watchdog>,
}

#[cfg(unix)]
impl Group {
    fn spawn(mut command: Command) -> io::Result<(Self, Pipes)> {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let search_path = command
            .get_envs()
            .find_map(|(name, value)| (name == "PATH").then_some(value?.to_owned()));
        let (leader, pipes) = spawn_with_pipes(command)?;
        // There is no watchdog on a machine without a shell.
        let watchdog = Watchdog::over(leader.id(), search_path.as_deref())
            .inspect_err(|error| tracing::debug!(%error, "a child has no watchdog"))
            .ok();
        Ok((Self { leader, watchdog }, pipes))
    }

    /// Ends the whole group, first by SIGTERM, then by SIGKILL, and reaps the child.
    ///
    /// The child may be gone long before its own children, which clean up as well: all of them get the grace period.
    async fn end(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

        let id = self.leader.id().and_then(|id| i32::try_from(id).ok());
        let Some(group) = id.and_then(Pid::from_raw) else {
            return;
        };
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

    /// Whether both of this process's own children in the group have exited; reaps them.
    fn has_exited(&mut self) -> bool {
        let watchdog_has = self.watchdog.as_mut().is_none_or(Watchdog::has_exited);
        self.leader.has_exited() && watchdog_has
    }

    /// Leaves the rest of the group alone after the child has exited.
    async fn release(self) {
        if let Some(watchdog) = self.watchdog {
            watchdog.dismiss().await;
        }
    }
}

#[cfg(not(unix))]
impl Group {
    fn spawn(command: Command) -> io::Result<(Self, Pipes)> {
        let (leader, pipes) = spawn_with_pipes(command)?;
        Ok((Self { leader }, pipes))
    }

    async fn end(&mut self) {
        self.leader.kill();
    }

    async fn release(self) {}
}

fn spawn_with_pipes(mut command: Command) -> io::Result<(Process, Pipes)> {
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
    let pipes = Pipes {
        stdin,
        stdout,
        stderr,
    };
    Ok((child, pipes))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use tokio::time::Instant;

    use crate::failure::TAIL_LIMIT;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
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
        let stderr = child.last_stderr().await;
        assert!(
            stderr.ends_with("the reason") && stderr.len() <= TAIL_LIMIT,
            "{stderr}"
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
        let output = Command::new("python3")
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
        again_where_sigchld_is_ignored("both_outputs_are_read_until_the_exit");
    }

    #[tokio::test]
    async fn both_outputs_are_read_until_the_exit() {
        let background = Background::default();
        let script = "echo output; echo error >&2";
        let (mut child, _stdin, stdout) = Child::spawn(shell(script), &background).expect("sh exists");
        let mut output = Vec::new();
        child
            .read_to_exit(stdout, &mut |bytes| output.extend_from_slice(bytes))
            .await;
        assert_eq!(
            (output.as_slice(), &*child.last_stderr().await),
            (&b"output\n"[..], "error")
        );
        background.close(Instant::now() + Duration::from_secs(30)).await;
    }

    #[tokio::test]
    async fn the_exit_is_noticed_though_another_process_keeps_the_pipes_open() {
        let background = Background::default();
        let script = "sleep 1000 & exit 3";
        let (mut child, _stdin, _stdout) = Child::spawn(shell(script), &background).expect("sh exists");
        let exited = timeout(Duration::from_secs(30), child.exited());
        let status = exited.await.expect("in time");
        assert_eq!(status.and_then(|status| status.code()), Some(3));
        background.close(Instant::now()).await;
    }
}
