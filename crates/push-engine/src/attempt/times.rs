//! The times of an attempt's steps, for the daemon's own log. The benchmark divides a push by them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

/// Durations since the attempt started.
#[derive(Debug, Clone)]
pub(super) struct Times {
    start: Instant,
    /// The same on the clock that other programs can read.
    started: Option<Duration>,
    /// The advertisement was read; none over a kept connection.
    pub(super) connected: Option<Duration>,
    /// The local tip and what the remote has were compared.
    pub(super) looked: Option<Duration>,
    packed: Arc<OnceLock<Duration>>,
    /// The remote's report was read.
    pub(super) reported: Option<Duration>,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            started: monotonic(),
            connected: None,
            looked: None,
            packed: Arc::default(),
            reported: None,
        }
    }
}

impl Times {
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Notes, from the task that makes the pack, that all of it was made.
    pub(super) fn on_packed(&self) -> impl FnOnce() + Send + use<> {
        let (start, packed) = (self.start, Arc::clone(&self.packed));
        move || {
            // The pack of a second try within the attempt is not logged.
            let _ = packed.set(start.elapsed());
        }
    }

    /// Logs the steps of an attempt that got a report.
    pub(super) fn log(&self) {
        if self.reported.is_none() {
            return;
        }
        let ms = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64() * 1e3);
        tracing::debug!(
            started_ms = ms(self.started),
            connected_ms = ms(self.connected),
            looked_ms = ms(self.looked),
            packed_ms = ms(self.packed.get().copied()),
            reported_ms = ms(self.reported),
            ended_ms = ms(Some(self.now())),
            "the steps of an attempt"
        );
    }
}

/// The clock of `process.hrtime()`: with it, the benchmark measures how long a change of the ref went unnoticed.
#[cfg(target_os = "linux")]
fn monotonic() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::Monotonic).try_into().ok()
}

#[cfg(not(target_os = "linux"))]
const fn monotonic() -> Option<Duration> {
    None
}
