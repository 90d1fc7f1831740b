//! Waiting for child processes by asking for them, again and again, in growing steps.
//!
//! Nothing tells of an exit everywhere. `pidfd_open` fails on kernels before 5.10, in gVisor and under some seccomp
//! profiles. The handler of SIGCHLD belongs to the whole process: libuv replaces any other as soon as the service
//! runs a child of its own. A thread for each child would be two for each daemon. So a waiter asks at once when there
//! is a reason to (a pipe of the child has ended, a caller waits for the exit), and rarely otherwise. A child that
//! another part of the process has reaped, or that the system reaps because the service ignores SIGCHLD, has ended
//! as well, without a status.
//!
//! A process id is not given to another process before it is reaped, and only this module reaps here. Where others do,
//! the watchdog is still in the group, so that the group's number is not free.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// The first wait between two questions; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(1);

/// The longest: a child whose pipes another process keeps open stays a zombie for so long.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A started process that is reaped whatever happens.
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

    /// `None` once it was reaped: its number may belong to another process by then.
    pub(super) fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }

    /// Ends it at once.
    #[cfg(not(unix))]
    pub(super) fn kill(&mut self) {
        if let Some(child) = &mut self.running {
            let _ = child.kill();
        }
    }

    /// Asks whether it has exited, and reaps it.
    pub(super) fn has_exited(&mut self) -> bool {
        if let Some(child) = &mut self.running {
            let Some(status) = exit_of(child) else {
                return false;
            };
            self.status = status;
            self.running = None;
        }
        true
    }

    /// Returns when it has exited, with its status unless somebody else has reaped it. `prompt` makes it ask at once.
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

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_exited() {
            let running = self.running.take();
            let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
            orphans.waiting.extend(running);
            orphans.start();
        }
    }
}

/// `None` while it runs.
#[expect(
    clippy::option_option,
    reason = "a status can be lost, which is not the same as none yet"
)]
fn exit_of(child: &mut Child) -> Option<Option<ExitStatus>> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(Some(status)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
        // It is no child of ours any more.
        Err(_) => Some(None),
    }
}

/// The processes whose waiter is gone, as it is when a runtime ends before they do.
static ORPHANS: Mutex<Orphans> = Mutex::new(Orphans {
    waiting: Vec::new(),
    has_thread: false,
});

#[derive(Debug)]
struct Orphans {
    waiting: Vec<Child>,
    has_thread: bool,
}

impl Orphans {
    /// Has a thread reap them, which ends with the last of them. Without a thread they wait for the next orphan.
    fn start(&mut self) {
        if !self.has_thread {
            let thread = thread::Builder::new().name("git-push-daemon".to_owned());
            self.has_thread = thread.spawn(reap_orphans).is_ok();
        }
    }
}

fn reap_orphans() {
    let mut wait = FIRST_WAIT;
    loop {
        thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
        let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.waiting.retain_mut(|child| exit_of(child).is_none());
        if orphans.waiting.is_empty() {
            orphans.has_thread = false;
            return;
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
    async fn its_status_is_told_and_it_has_no_number_afterwards() {
        let mut process = Process::new(start("exit 7"));
        assert!(process.id().is_some());
        let status = end_of(&mut process).await.expect("ours");
        assert_eq!((status.code(), process.id()), (Some(7), None));
        assert_eq!(end_of(&mut process).await, Some(status));
    }

    #[tokio::test]
    async fn one_that_somebody_else_has_reaped_has_ended_without_a_status() {
        let child = start("exit 7");
        let id = i32::try_from(child.id()).ok();
        let mut process = Process::new(child);
        let id = id.and_then(rustix::process::Pid::from_raw);
        rustix::process::waitpid(id, rustix::process::WaitOptions::empty()).expect("it is a child");
        assert_eq!(end_of(&mut process).await, None);
    }

    #[tokio::test]
    async fn one_whose_waiter_is_dropped_is_reaped_all_the_same() {
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
