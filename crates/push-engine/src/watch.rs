//! Tells when one branch ref may have changed: by file events on Linux, and by a poll on every system.
//!
//! It never reads the tip. Its owner calls [`RefWatcher::rearm`] and then reads the ref, in this order, so that a change
//! either precedes the read or wakes the owner. Events can get lost (full queues, limits, network file systems), so the
//! poll runs even where they work.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::future::pending;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

#[cfg(target_os = "linux")]
use self::linux::FileEvents;

/// The poll interval where file events work: a commit whose event got lost is seen within this time.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The poll interval where file events are missing or unreliable.
pub const POLL_INTERVAL_WITHOUT_EVENTS: Duration = Duration::from_millis(200);

/// Watches the files that hold the value of one ref. Dropping it ends the watch.
pub struct RefWatcher {
    /// `None` where the system has no file events, or refuses them.
    events: Option<FileEvents>,
    poll: Mutex<Poll>,
}

struct Poll {
    due: Instant,
    /// Why file events cannot be relied on, if they cannot.
    reason: Option<String>,
}

impl Poll {
    fn postpone(&mut self) {
        let interval = match self.reason {
            Some(_) => POLL_INTERVAL_WITHOUT_EVENTS,
            None => POLL_INTERVAL,
        };
        self.due = Instant::now() + interval;
    }
}

impl RefWatcher {
    /// Starts to watch a ref, by its full name, within a tokio runtime. This never fails: without file events, the watcher
    /// only polls.
    ///
    /// Branches are in `common_dir`; `git_dir` has the per-worktree refs that a symbolic branch may name.
    #[must_use]
    pub fn start(common_dir: &Path, git_dir: &Path, refname: &str) -> Self {
        Self::with(FileEvents::start(common_dir, git_dir, refname))
    }

    /// Only polls.
    #[cfg(test)]
    pub(crate) fn without_events() -> Self {
        Self::with(Err("this test wants none".to_owned()))
    }

    fn with(events: Result<FileEvents, String>) -> Self {
        let (events, reason) = match events {
            Ok(events) => (Some(events), None),
            Err(reason) => (None, Some(reason)),
        };
        if let Some(reason) = &reason {
            note_poll(Some(reason));
        }
        let due = Instant::now();
        Self {
            events,
            poll: Mutex::new(Poll { due, reason }),
        }
    }

    /// Watches the directories that exist now, and postpones the poll. Call it on a thread that may block, after each
    /// wake and *before* reading the ref.
    pub fn rearm(&self) {
        let armed = self.events.as_ref().map(FileEvents::arm);
        let mut poll = self.poll();
        if let Some(armed) = armed {
            let reason = armed.err();
            if poll.reason != reason {
                note_poll(reason.as_deref());
                poll.reason = reason;
            }
        }
        poll.postpone();
    }

    /// Resolves when the ref may have changed, or the poll is due; often more than once for one change. Cancel-safe.
    pub async fn changed(&self) {
        let due = self.poll().due;
        tokio::select! {
            () = self.event() => {}
            () = sleep_until(due) => {
                // Holds until the next `rearm`: an unreadable repository must not make the owner spin.
                self.poll().postpone();
            }
        }
    }

    async fn event(&self) {
        match &self.events {
            Some(events) => events.changed().await,
            None => pending().await,
        }
    }

    fn poll(&self) -> MutexGuard<'_, Poll> {
        self.poll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_poll(reason: Option<&str>) {
    match reason {
        Some(reason) if cfg!(target_os = "linux") => {
            tracing::warn!(reason, "file events are unavailable: polling the branch instead");
        }
        Some(reason) => tracing::debug!(reason, "polling the branch"),
        None => tracing::info!("file events work again"),
    }
}

/// The systems without file events have no value of this type.
#[cfg(not(target_os = "linux"))]
enum FileEvents {}

#[cfg(not(target_os = "linux"))]
impl FileEvents {
    fn start(_common_dir: &Path, _git_dir: &Path, _refname: &str) -> Result<Self, String> {
        Err("file events are used on Linux only".to_owned())
    }

    fn arm(&self) -> Result<(), String> {
        match *self {}
    }

    async fn changed(&self) {
        match *self {}
    }
}

#[cfg(test)]
mod poll_tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_file_events_the_poll_wakes_at_its_interval_however_often_the_wait_is_cut_short() {
        let watcher = RefWatcher::without_events();
        watcher.changed().await;
        for is_rearmed in [true, false, true] {
            if is_rearmed {
                watcher.rearm();
            }
            let started = Instant::now();
            while tokio::time::timeout(POLL_INTERVAL_WITHOUT_EVENTS / 3, watcher.changed())
                .await
                .is_err()
            {}
            assert_eq!(started.elapsed(), POLL_INTERVAL_WITHOUT_EVENTS);
        }
    }
}
