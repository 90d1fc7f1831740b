//! Waiting for child processes by polling at growing intervals.
//!
//! No notification of an exit works everywhere. `pidfd_open` fails on kernels before 5.10, in gVisor and under some seccomp
//! profiles. The handler of SIGCHLD belongs to the whole process: libuv replaces any other as soon as the service runs a
//! child of its own. A thread for each child would be two for each daemon. So a waiter polls at once when there is a reason
//! to (a pipe of the child has ended, a caller waits for the exit), and rarely otherwise. If another part of the process
//! has reaped a child, or the system reaps it because the service ignores SIGCHLD, the child has ended without a status.
//!
//! The system gives a process id to no other process before it is reaped, and only this module reaps here. If others do,
//! the watchdog is still in the group, so the group's number is not free.

use std::io;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// The first interval between two polls; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(1);

/// The longest interval. A child whose pipes another process keeps open stays a zombie for so long.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A started process that is always reaped.
#[derive(Debug)]
pub(super) struct Process {
    /// `None` once it was reaped.
    running: Option<Child>,
    status: Option<ExitStatus>,
}

impl Process {
    pub(super) const fn new(child: Child) -> Self {
        Self {
            running: Some(child),
            status: None,
        }
    }

    /// The process id; `None` once the process was reaped, as its number may then belong to another process.
    pub(super) fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }

    /// Kills the process.
    #[cfg(not(unix))]
    pub(super) fn kill(&mut self) {
        if let Some(child) = &mut self.running {
            let _ = child.kill();
        }
    }

    /// Whether the process has exited; reaps it.
    pub(super) fn has_exited(&mut self) -> bool {
        if let Some(child) = &mut self.running {
            match child.try_wait() {
                Ok(None) => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return false,
                // An error means that the child was reaped elsewhere.
                status => self.status = status.ok().flatten(),
            }
            self.running = None;
        }
        true
    }

    /// Returns when the process has exited, with its status unless it was reaped elsewhere. `prompt` makes it poll at once.
    pub(super) async fn exited(&mut self, prompt: &Notify) -> Option<ExitStatus> {
        let mut wait = FIRST_WAIT;
        while !self.has_exited() {
            wait = match timeout(wait, prompt.notified()).await {
                Ok(()) => FIRST_WAIT,
                Err(_) => (wait * 2).min(LONGEST_WAIT),
            };
        }
        self.status
    }
}

/// Happens to a running process only when a runtime ends before it does.
impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_exited()
            && let Some(mut child) = self.running.take()
        {
            let thread = thread::Builder::new().name("git-push-daemon".to_owned());
            let _ = thread.spawn(move || child.wait());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    const LIMIT: Duration = Duration::from_secs(30);

    fn start(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        command.spawn().expect("sh exists")
    }

    async fn end_of(process: &mut Process) -> Option<ExitStatus> {
        timeout(LIMIT, process.exited(&Notify::new()))
            .await
            .expect("in time")
    }

    fn is_there(id: u32) -> bool {
        std::path::Path::new(&format!("/proc/{id}")).exists()
    }

    #[tokio::test]
    async fn an_exited_process_has_a_status_and_no_id() {
        let mut process = Process::new(start("exit 7"));
        assert!(process.id().is_some());
        let status = end_of(&mut process).await.expect("ours");
        assert_eq!((status.code(), process.id()), (Some(7), None));
        assert_eq!(end_of(&mut process).await, Some(status));
    }

    #[tokio::test]
    async fn a_child_that_was_reaped_elsewhere_has_ended_without_a_status() {
        let child = start("exit 7");
        let id = i32::try_from(child.id()).ok();
        let mut process = Process::new(child);
        let id = id.and_then(rustix::process::Pid::from_raw);
        rustix::process::waitpid(id, rustix::process::WaitOptions::empty()).expect("it is a child");
        assert_eq!(end_of(&mut process).await, None);
    }

    #[tokio::test]
    async fn a_process_whose_waiter_is_dropped_is_reaped() {
        let mut child = start("read line");
        let (id, input) = (child.id(), child.stdin.take());
        drop(Process::new(child));
        assert!(is_there(id));
        drop(input);
        let reaped = async {
            while is_there(id) {
                tokio::time::sleep(FIRST_WAIT).await;
            }
        };
        timeout(LIMIT, reaped).await.expect("in time");
    }
}
