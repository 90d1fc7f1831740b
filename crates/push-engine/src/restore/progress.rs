//! How far a restore has come, read from the lines of git's progress.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Tail;
use crate::transfer::Amounts;

/// How often progress within one phase is told.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a restore is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestorePhase {
    /// Another process restores the same repository.
    Waiting,
    /// The remote has not answered yet.
    Connecting,
    /// The remote lists the objects to send.
    Counting,
    /// The remote looks for deltas between them.
    Compressing,
    /// The pack is being received.
    Receiving,
    /// The deltas of the pack are resolved and checked.
    Resolving,
    /// The clone is checked, flushed to the disk and put in place.
    Storing,
}

impl RestorePhase {
    /// The name that JavaScript sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Counting => "counting",
            Self::Compressing => "compressing",
            Self::Receiving => "receiving",
            Self::Resolving => "resolving",
            Self::Storing => "storing",
        }
    }

    fn of_title(title: &str) -> Option<Self> {
        Some(match title {
            "Enumerating objects" | "Counting objects" => Self::Counting,
            "Compressing objects" => Self::Compressing,
            "Receiving objects" => Self::Receiving,
            "Resolving deltas" => Self::Resolving,
            _ => return None,
        })
    }
}

/// How far a restore has come at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreProgress {
    /// What it is doing.
    pub phase: RestorePhase,
    /// Objects that this phase is through with.
    pub objects: u64,
    /// Objects of the phase in all, if they are known.
    pub total_objects: Option<u64>,
    /// Bytes of the pack that were received.
    pub bytes: u64,
    /// Bytes per second since the last time; `None` while nothing is received.
    pub bytes_per_second: Option<u64>,
    /// The last message of the server that is not progress.
    pub server: Option<String>,
    /// How long the restore has been running.
    pub elapsed: Duration,
    /// About how much longer this phase will take, if that can be told.
    pub remaining: Option<Duration>,
}

/// Receives the progress.
pub type Tell = Box<dyn Fn(RestoreProgress) + Send + Sync>;

/// Tells the progress: at the beginning of each phase, and once a second.
pub(super) struct Meter {
    begun: Instant,
    tell: Tell,
    noted: Mutex<Noted>,
}

struct Noted {
    phase: Option<RestorePhase>,
    phase_begun: Instant,
    server: Option<String>,
    /// When progress was last told, and the bytes at that time.
    told: Option<(Instant, u64)>,
}

impl Meter {
    pub(super) fn new(tell: Tell) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            tell,
            noted: Mutex::new(Noted {
                phase: None,
                phase_begun: begun,
                server: None,
                told: None,
            }),
        }
    }

    /// A phase has begun, of which there are no numbers.
    pub(super) fn begin(&self, phase: RestorePhase) {
        let nothing = Amounts {
            objects: 0,
            total: None,
            bytes: None,
        };
        self.note(phase, nothing);
    }

    /// Takes a line that git has written.
    pub(super) fn take_line(&self, line: &str) {
        let (is_of_server, line) = match line.strip_prefix("remote: ") {
            Some(line) => (true, line.trim()),
            None => (false, line),
        };
        let progress = line
            .split_once(':')
            .and_then(|(title, amounts)| Some((RestorePhase::of_title(title)?, Amounts::parse(amounts)?)));
        match progress {
            Some((phase, amounts)) => self.note(phase, amounts),
            None if is_of_server && !line.starts_with("Total ") => {
                let line = Tail::from(line).text();
                self.noted().server = Some(line).filter(|line| !line.is_empty());
            }
            None => {}
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, phase: RestorePhase, amounts: Amounts) {
        let now = Instant::now();
        let mut noted = self.noted();
        let is_new = noted.phase != Some(phase);
        if is_new {
            noted.phase = Some(phase);
            noted.phase_begun = now;
        }
        let is_due = noted.told.is_none_or(|(at, _)| now - at >= INTERVAL);
        if !is_new && !is_due {
            return;
        }
        let bytes = amounts.bytes.unwrap_or(0);
        let bytes_per_second = noted
            .told
            .filter(|_| phase == RestorePhase::Receiving)
            .and_then(|(at, before)| per_second(bytes.saturating_sub(before), now - at));
        noted.told = Some((now, bytes));
        let progress = RestoreProgress {
            phase,
            objects: amounts.objects,
            total_objects: amounts.total,
            bytes,
            bytes_per_second,
            server: noted.server.clone(),
            elapsed: now - self.begun,
            remaining: remaining(amounts, now - noted.phase_begun),
        };
        drop(noted);
        (self.tell)(progress);
    }
}

fn per_second(bytes: u64, elapsed: Duration) -> Option<u64> {
    let milliseconds = u64::try_from(elapsed.as_millis()).ok()?;
    bytes.saturating_mul(1000).checked_div(milliseconds)
}

/// By the objects of the phase so far.
fn remaining(amounts: Amounts, elapsed: Duration) -> Option<Duration> {
    let left = amounts.total?.checked_sub(amounts.objects)?;
    let milliseconds = u64::try_from(elapsed.as_millis()).ok()?;
    let remaining = milliseconds.checked_mul(left)?.checked_div(amounts.objects)?;
    Some(Duration::from_millis(remaining))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_phase_is_told_when_it_begins_and_then_once_a_second() {
        let told = Arc::<Mutex<Vec<RestoreProgress>>>::default();
        let meter = Meter::new({
            let told = Arc::clone(&told);
            Box::new(move |progress| told.lock().expect("one thread").push(progress))
        });
        meter.begin(RestorePhase::Connecting);
        for line in [
            "Cloning into bare repository 'x'...",
            "remote: Welcome, https://me:secret@h.example/x        ",
            "remote: Counting objects:  45% (9/20)        ",
            "remote: Counting objects:  50% (10/20)        ",
            "remote: Total 3 (delta 1), reused 0 (delta 0), pack-reused 0",
        ] {
            meter.take_line(line);
        }
        meter.take_line("Receiving objects:  10% (10/100), 1.00 MiB | 1.00 MiB/s");
        advance(Duration::from_secs(2)).await;
        meter.take_line("Receiving objects:  20% (20/100), 3.00 MiB | 1.00 MiB/s");
        meter.take_line("Receiving objects:  21% (21/100), 3.10 MiB | 1.00 MiB/s");
        meter.begin(RestorePhase::Storing);

        let told = told.lock().expect("one thread");
        let phases: Vec<&str> = told.iter().map(|progress| progress.phase.as_str()).collect();
        assert_eq!(
            phases,
            ["connecting", "counting", "receiving", "receiving", "storing"]
        );
        assert_eq!((told[1].objects, told[1].total_objects), (9, Some(20)));
        assert_eq!(
            told[1].server.as_deref(),
            Some("Welcome, https://***@h.example/x")
        );
        let receiving = &told[3];
        assert_eq!((receiving.objects, receiving.bytes), (20, 3 << 20));
        assert_eq!(receiving.bytes_per_second, Some(1 << 20));
        assert_eq!(receiving.remaining, Some(Duration::from_secs(8)));
        assert_eq!(receiving.elapsed, Duration::from_secs(2));
    }
}
