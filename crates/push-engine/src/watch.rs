//! Tells when one branch ref may have changed: by file events on Linux, and by a poll on every system.
//!
//! The refs that one process follows share one source of file events, and the processor time that polling may take: the
//! more there are, the rarer is the poll of each.
//!
//! It never reads the tip. Its owner calls [`RefWatcher::rearm`] and then reads the ref, in this order, so that a change
//! either precedes the read or wakes the owner. Events can get lost (full queues, limits, network file systems), so the
//! poll runs even where they work.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::collections::HashSet;
use std::future::pending;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

#[cfg(target_os = "linux")]
use self::linux::{FileEvents, Hub};

/// The poll interval of a few refs where file events work: a commit whose event got lost is seen within this time.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The poll interval of a few refs where file events are missing or unreliable.
pub const POLL_INTERVAL_WITHOUT_EVENTS: Duration = Duration::from_millis(200);

/// The time between two polls of any refs, where file events work. A poll takes some 0.3 ms of a processor.
const POLL_SPACING: Duration = Duration::from_millis(60);

/// The same where they do not.
const POLL_SPACING_WITHOUT_EVENTS: Duration = Duration::from_millis(2);

/// The poll interval of one of so many refs.
fn poll_interval(refs: u32, has_events: bool) -> Duration {
    if has_events {
        POLL_INTERVAL.max(POLL_SPACING * refs)
    } else {
        POLL_INTERVAL_WITHOUT_EVENTS.max(POLL_SPACING_WITHOUT_EVENTS * refs)
    }
}

/// What the watchers of one runtime share.
#[derive(Clone, Default)]
pub struct Watches(Arc<Shared>);

#[derive(Default)]
struct Shared {
    refs: AtomicU32,
    /// Why file events are unavailable, as far as that was told: the reason is often the same for all.
    told: Mutex<HashSet<String>>,
    #[cfg(target_os = "linux")]
    hub: Mutex<std::sync::Weak<Hub>>,
}

impl Watches {
    fn note_poll(&self, reason: Option<&str>) {
        // Told by the first daemon that has a log.
        let is_new = |reason: &str| {
            let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
            tracing::enabled!(tracing::Level::WARN) && told.insert(reason.to_owned())
        };
        match reason {
            Some(reason) if cfg!(target_os = "linux") && is_new(reason) => {
                tracing::warn!(
                    reason,
                    "file events are unavailable: polling this branch; other daemons may do the same"
                );
            }
            Some(reason) => tracing::debug!(reason, "polling the branch"),
            None => {
                let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.is_empty() {
                    tracing::debug!("file events work again");
                } else {
                    told.clear();
                    tracing::info!("file events work again");
                }
            }
        }
    }
}

/// Watches the files that hold the value of one ref. Dropping it ends the watch.
pub struct RefWatcher {
    /// `None` where the system has no file events, or refuses them.
    events: Option<FileEvents>,
    poll: Mutex<Poll>,
    watches: Watches,
}

struct Poll {
    due: Instant,
    /// Why file events cannot be relied on, if they cannot.
    reason: Option<String>,
}

impl Poll {
    fn postpone(&mut self, refs: u32) {
        let has_events = self.reason.is_none();
        let interval = poll_interval(refs, has_events);
        // Refs that were followed at the same moment are not polled at the same moment.
        let early = if interval > poll_interval(1, has_events) {
            interval.mul_f64(fastrand::f64() / 4.0)
        } else {
            Duration::ZERO
        };
        self.due = Instant::now() + interval - early;
    }
}

impl RefWatcher {
    /// Makes a watcher of a ref, by its full name, within a tokio runtime. This never fails: without file events, the watcher
    /// only polls. It reads no file; [`RefWatcher::rearm`] does.
    ///
    /// Branches are in `common_dir`; `git_dir` has the per-worktree refs that a symbolic branch may name.
    #[must_use]
    pub fn start(watches: &Watches, common_dir: &Path, git_dir: &Path, refname: &str) -> Self {
        Self::with(watches, FileEvents::start(watches, common_dir, git_dir, refname))
    }

    /// Only polls.
    #[cfg(test)]
    pub(crate) fn without_events() -> Self {
        Self::with(&Watches::default(), Err("this test wants none".to_owned()))
    }

    fn with(watches: &Watches, events: Result<FileEvents, String>) -> Self {
        let (events, reason) = match events {
            Ok(events) => (Some(events), None),
            Err(reason) => (None, Some(reason)),
        };
        if let Some(reason) = &reason {
            watches.note_poll(Some(reason));
        }
        watches.0.refs.fetch_add(1, Ordering::Relaxed);
        let due = Instant::now();
        Self {
            events,
            poll: Mutex::new(Poll { due, reason }),
            watches: watches.clone(),
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
                self.watches.note_poll(reason.as_deref());
                poll.reason = reason;
            }
        }
        poll.postpone(self.refs());
    }

    /// Resolves when the ref may have changed, or the poll is due; often more than once for one change. Cancel-safe.
    pub async fn changed(&self) {
        let due = self.poll().due;
        tokio::select! {
            () = self.event() => {}
            () = sleep_until(due) => {
                // Holds until the next `rearm`: an unreadable repository must not make the owner spin.
                self.poll().postpone(self.refs());
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

    /// How many refs are followed.
    fn refs(&self) -> u32 {
        self.watches.0.refs.load(Ordering::Relaxed)
    }
}

impl Drop for RefWatcher {
    fn drop(&mut self) {
        self.watches.0.refs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The systems without file events have no value of this type.
#[cfg(not(target_os = "linux"))]
enum FileEvents {}

#[cfg(not(target_os = "linux"))]
impl FileEvents {
    fn start(
        _watches: &Watches,
        _common_dir: &Path,
        _git_dir: &Path,
        _refname: &str,
    ) -> Result<Self, String> {
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

    #[test]
    fn many_refs_are_polled_more_rarely() {
        for (refs, with_events, without) in [(1, 1_000, 200), (16, 1_000, 200), (1_000, 60_000, 2_000)] {
            assert_eq!(poll_interval(refs, true), Duration::from_millis(with_events));
            assert_eq!(poll_interval(refs, false), Duration::from_millis(without));
        }
    }

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
