//! Ends a child's process group when this process was killed.
//!
//! A child ends by itself when the pipe on its standard input closes, but not while it waits for a hook or a stalled
//! network: it could then long outlive a process that received SIGKILL (or SIGTERM, which Node does not handle by default).
//! So a shell in the child's group reads a pipe on which nothing is sent, and sees its end when this process is gone. As a
//! member of the group, it also keeps the group's number from being reused. `PR_SET_PDEATHSIG` needs no process, but the
//! child would have to set it between `fork` and `exec`.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{ChildStdin, Command, Stdio};

use tokio::sync::Notify;

use super::process::Process;

/// Exits when it reads a line. If the pipe closes without one, the parent is dead: the script waits a second so that git's
/// receive-pack can exit by itself (a signal would leave half-received objects behind), then sends SIGTERM, at which git
/// removes its lock files, and a second later SIGKILL.
const SCRIPT: &str = "read -r line && exit; trap '' TERM; sleep 1; kill -TERM 0; sleep 1; kill -KILL 0";

/// The shell that waits for the end of this process.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Process,
    pipe: ChildStdin,
}

impl Watchdog {
    /// Starts a watchdog in the group whose leader has this process id. `search_path` is the `PATH` that has `sleep`.
    pub(super) fn over(leader: Option<u32>, search_path: Option<&OsStr>) -> io::Result<Self> {
        let group = leader
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(|| io::Error::other("the child was reaped already"))?;
        let mut command = Command::new("/bin/sh");
        std::os::unix::process::CommandExt::process_group(&mut command, group);
        let mut shell = command
            .args(["-c", SCRIPT])
            .env_clear()
            .envs(search_path.map(|path| ("PATH", path)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = shell.stdin.take();
        let shell = Process::new(shell);
        let pipe = pipe.ok_or_else(|| io::Error::other("the watchdog has no standard input"))?;
        Ok(Self { shell, pipe })
    }

    /// Whether the watchdog has ended with its group; reaps it.
    pub(super) fn has_exited(&mut self) -> bool {
        self.shell.has_exited()
    }

    /// Ends the watchdog, and nothing else of the group.
    pub(super) async fn dismiss(mut self) {
        // The pipe is empty, so this does not block. It fails if the shell has ended with its group.
        let _ = self.pipe.write_all(b"\n");
        drop(self.pipe);
        self.shell.exited(&Notify::new()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::ChildStdout;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A group of two processes. The second ignores SIGTERM and holds the first one's standard output.
    fn group() -> (Process, BufReader<ChildStdout>) {
        let mut command = Command::new("/bin/sh");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .args([
                "-c",
                "sh -c 'trap \"\" TERM; echo ready; while sleep 1; do :; done' & wait",
            ])
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("sh exists");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("read");
        (Process::new(child), output)
    }

    #[tokio::test]
    async fn the_group_ends_when_the_pipe_closes() {
        let (mut leader, mut output) = group();
        let path = std::env::var_os("PATH");
        // The pipe of a killed process closes.
        drop(Watchdog::over(leader.id(), path.as_deref()).expect("there is a shell"));
        timeout(LIMIT, leader.exited(&Notify::new()))
            .await
            .expect("in time");
        let mut rest = String::new();
        assert_eq!(output.read_line(&mut rest).expect("read"), 0);
    }

    #[tokio::test]
    async fn a_dismissed_watchdog_leaves_the_group_alone() {
        let (mut leader, _output) = group();
        let path = std::env::var_os("PATH");
        let watchdog = Watchdog::over(leader.id(), path.as_deref()).expect("there is a shell");
        timeout(LIMIT, watchdog.dismiss()).await.expect("in time");
        assert!(!leader.has_exited());
        drop(Watchdog::over(leader.id(), path.as_deref()).expect("there is a shell"));
        timeout(LIMIT, leader.exited(&Notify::new()))
            .await
            .expect("in time");
    }
}
