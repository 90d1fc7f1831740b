//! Watches a long push: once a second it makes an event of how far it has come, and twice a minute a line of the log.

use std::time::Duration;

use git_wire::oid::Oid;
use tokio::time::Instant;

use crate::transfer::{TransferPhase, TransferProgress, TransferState};

/// How long a push takes before it is watched, and how often it then is.
const EVERY: Duration = Duration::from_secs(1);

/// How often the log tells of it.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The watch of one attempt.
#[derive(Debug)]
pub(super) struct Meter {
    started: Instant,
    /// When to look next.
    pub(super) due: Instant,
    log_due: Instant,
    /// The bytes at the last look, and when that was.
    last: (Instant, u64),
    /// The present phase of the present push.
    phase: Option<(TransferPhase, Option<Oid>)>,
    phase_began: Instant,
    objects_before: u64,
    /// The last reading.
    pub(super) progress: Option<TransferProgress>,
}

impl Meter {
    /// Begins with an attempt.
    pub(super) fn start(now: Instant) -> Self {
        Self {
            started: now,
            due: now + EVERY,
            log_due: now + LOG_EVERY,
            last: (now, 0),
            phase: None,
            phase_began: now,
            objects_before: 0,
            progress: None,
        }
    }

    /// Reads the state of the push; `None` while nothing is pushed.
    pub(super) fn read(&mut self, state: Option<TransferState>, now: Instant) -> Option<TransferProgress> {
        self.due = now + EVERY;
        let state = state?;
        let (at, mut bytes) = std::mem::replace(&mut self.last, (now, state.bytes));
        if self.phase.is_none_or(|(_, commit)| commit != state.commit) {
            bytes = 0;
        }
        if self.phase != Some((state.phase, state.commit)) {
            self.phase = Some((state.phase, state.commit));
            self.phase_began = now;
            self.objects_before = state.objects;
        }
        let is_sending = state.phase == TransferPhase::Sending;
        Some(TransferProgress {
            elapsed: now - self.started,
            bytes_per_second: is_sending.then(|| per_second(state.bytes.saturating_sub(bytes), now - at)),
            remaining: self.remaining(&state, now),
            state,
        })
    }

    /// How much longer the phase takes if its objects go on at this rate.
    fn remaining(&self, state: &TransferState, now: Instant) -> Option<Duration> {
        let done = state
            .objects
            .checked_sub(self.objects_before)
            .filter(|&done| done > 0)?;
        let left = state.total_objects?.saturating_sub(state.objects);
        let so_far = (now - self.phase_began).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        Duration::try_from_secs_f64(so_far * left as f64 / done as f64).ok()
    }

    /// Logs it, now and then.
    pub(super) fn log(&mut self, progress: &TransferProgress, now: Instant) {
        if now < self.log_due {
            return;
        }
        self.log_due = now + LOG_EVERY;
        let TransferState {
            phase,
            commit,
            objects,
            total_objects,
            bytes,
            step,
            steps,
            server,
        } = &progress.state;
        tracing::info!(
            commit = commit.map(|commit| commit.to_string()),
            phase = phase.as_str(),
            objects,
            total_objects,
            bytes,
            bytes_per_second = progress.bytes_per_second,
            step,
            steps,
            server,
            elapsed_s = progress.elapsed.as_secs(),
            remaining_s = progress.remaining.map(|remaining| remaining.as_secs()),
            "a push is under way"
        );
    }
}

fn per_second(amount: u64, elapsed: Duration) -> u64 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    amount.saturating_mul(1000) / milliseconds
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::telemetry::{self, Value};

    fn state(phase: TransferPhase, objects: u64, bytes: u64) -> TransferState {
        TransferState {
            phase,
            objects,
            total_objects: Some(100),
            bytes,
            step: 1,
            steps: 1,
            ..TransferState::default()
        }
    }

    #[test]
    fn the_log_tells_of_it_every_half_minute() {
        let records = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&records);
        let take = move |record| sink.lock().expect("unpoisoned").push(record);
        let dispatch = telemetry::dispatch(Some(Box::new(take)), None);
        let start = Instant::now();
        let mut meter = Meter::start(start);
        tracing::dispatcher::with_default(&dispatch, || {
            for second in 1..=100 {
                let now = start + EVERY * second;
                let progress = meter.read(Some(state(TransferPhase::Sending, u64::from(second), 7)), now);
                meter.log(&progress.expect("a push is under way"), now);
            }
        });
        let records = records.lock().expect("unpoisoned");
        let elapsed: Vec<f64> = records
            .iter()
            .flat_map(|record| &record.fields)
            .filter_map(|field| match field {
                ("elapsed_s", Value::Number(seconds)) => Some(*seconds),
                _ => None,
            })
            .collect();
        assert_eq!(elapsed, [30.0, 60.0, 90.0]);
        assert!(
            records
                .iter()
                .all(|record| record.message == "a push is under way")
        );
        assert!(records[2].fields.contains(&("remaining_s", Value::Number(10.0))));
    }

    #[test]
    fn the_rate_is_that_since_the_last_look_and_the_rest_is_estimated_by_objects() {
        use TransferPhase::{Counting, Sending, Server};
        let start = Instant::now();
        let mut meter = Meter::start(start);
        assert_eq!(meter.due, start + EVERY);
        assert_eq!(meter.read(None, start + EVERY), None);
        for (seconds, state, rate, remaining) in [
            (2, state(Counting, 50, 0), None, None),
            (4, state(Sending, 10, 1000), Some(500), None),
            (5, state(Sending, 30, 4000), Some(3000), Some(3.5)),
            (8, state(Sending, 40, 4000), Some(0), Some(8.0)),
            (9, state(Server, 40, 4000), None, None),
        ] {
            let now = start + Duration::from_secs(seconds);
            let progress = meter.read(Some(state), now).expect("a push is under way");
            assert_eq!(progress.bytes_per_second, rate, "after {seconds} s");
            assert_eq!(
                progress.remaining.map(|remaining| remaining.as_secs_f64()),
                remaining,
                "after {seconds} s"
            );
            assert_eq!(progress.elapsed, now - start);
            assert_eq!(meter.due, now + EVERY);
        }
    }
}
