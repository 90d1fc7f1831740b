//! The plain objects that cross to JavaScript. `index.js` gives them their public form.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use napi::bindgen_prelude::Either3;
use napi_derive::napi;

use git_wire::oid::Oid;
use push_engine::attempt::TransportNote;
use push_engine::branch::FormatsNote;
use push_engine::daemon::{Delivery, Ended, Receipt, Refusal, RequestId};
use push_engine::event::{Event, Status};
use push_engine::failure::Failure;
use push_engine::state::Now;
use push_engine::telemetry::{Record, Value};

use super::divergence::NativeDivergence;
use super::progress::NativeProgress;

/// A message; exactly one field is set.
#[napi(object, object_from_js = false)]
#[derive(Debug, Default)]
pub struct NativeMessage {
    /// For the listeners.
    pub event: Option<NativeEvent>,
    /// The reply to a request.
    pub reply: Option<NativeReply>,
    /// Whether work is under way.
    pub busy: Option<bool>,
    /// For the logger.
    pub log: Option<NativeLog>,
    /// The daemon has ended; nothing follows.
    pub ended: Option<NativeEnded>,
}

/// An event; which fields are set depends on its name.
#[napi(object, object_from_js = false)]
#[derive(Debug, Default)]
pub struct NativeEvent {
    /// `push`, `error`, …
    pub name: String,
    /// An object id.
    pub commit: Option<String>,
    /// The number of the attempt, from 1; 0 for a check at the start or while in sync.
    pub attempt: Option<u32>,
    /// How long the attempt took, in milliseconds.
    pub duration_ms: Option<f64>,
    /// The remote's tip before the push.
    pub previous: Option<String>,
    /// The number of pushed commits.
    pub commits: Option<f64>,
    /// The size of the pack in bytes; 0 if it is unknown.
    pub bytes: Option<f64>,
    /// The wait before the next attempt, in milliseconds.
    pub next_delay_ms: Option<f64>,
    /// The kind of the failure that is retried.
    pub kind: Option<&'static str>,
    /// The reason for the failure that is retried.
    pub reason: Option<&'static str>,
    /// The number of failed attempts before the recovery.
    pub failed_attempts: Option<u32>,
    /// The time from the first failure to the recovery, in milliseconds.
    pub down_ms: Option<f64>,
    /// Where the branch was on a remote that has lost commits.
    pub from: Option<String>,
    /// Where it is now.
    pub to: Option<String>,
    /// The ref that keeps a diverged tip.
    pub reference: Option<String>,
    /// The failure of an attempt.
    pub failure: Option<NativeFailure>,
    /// What only one side has, if the branches have diverged and it is known.
    pub divergence: Option<NativeDivergence>,
    /// How far a push has come.
    pub progress: Option<NativeProgress>,
}

/// A failure.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NativeFailure {
    /// The message.
    pub message: String,
    /// The kind.
    pub kind: &'static str,
    /// `non-fast-forward` or `unknown`.
    pub reason: &'static str,
    /// One line that tells the operator what to do.
    pub hint: &'static str,
    /// Whether waiting can help.
    pub retryable: bool,
    /// The remote's tip, if the branches have diverged.
    pub remote_commit: Option<String>,
}

/// The answer to a request: a failure, `stopped`, or a receipt.
#[napi(object, object_from_js = false)]
#[derive(Debug, Default)]
pub struct NativeReply {
    /// The request.
    pub id: u32,
    /// What was asked for.
    pub commit: Option<String>,
    /// The remote's tip.
    pub remote_commit: Option<String>,
    /// Milliseconds since the epoch.
    pub pushed_at: Option<f64>,
    /// The failure.
    pub failure: Option<NativeFailure>,
    /// The daemon stopped first.
    pub stopped: Option<bool>,
}

/// The end of the daemon.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NativeEnded {
    /// Whether the remote has every commit of the branch.
    pub drained: bool,
    /// The number of commits that the remote lacks.
    pub pending_commits: f64,
}

/// A line for the logger.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NativeLog {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The message.
    pub message: String,
    /// The fields.
    pub fields: HashMap<String, Either3<String, f64, bool>>,
}

/// The last failure.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NativeLastError {
    /// What went wrong.
    pub failure: NativeFailure,
    /// Milliseconds since the epoch.
    pub at: f64,
    /// The number of the attempt, from 1; 0 for a check at the start or while in sync.
    pub attempt: u32,
}

/// What the status shows besides the state.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) remote: String,
    pub(super) url: String,
    pub(super) branch: String,
    pub(super) transport: TransportNote,
    pub(super) formats: FormatsNote,
}

/// The status; points in time are milliseconds since the epoch.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NativeStatus {
    pub running: bool,
    pub state: &'static str,
    pub remote: String,
    pub url: String,
    pub transport: Option<String>,
    pub transport_reason: Option<String>,
    pub branch: String,
    pub object_format: &'static str,
    pub ref_format: &'static str,
    pub local_commit: Option<String>,
    pub remote_commit: Option<String>,
    pub pending_commits: f64,
    pub behind_commits: Option<f64>,
    pub oldest_pending_at: Option<f64>,
    pub lag_ms: f64,
    pub last_push_at: Option<f64>,
    pub verified_at: Option<f64>,
    pub last_error: Option<NativeLastError>,
    pub consecutive_failures: u32,
    pub current_attempt: Option<u32>,
    pub current_backoff_ms: Option<f64>,
    pub next_attempt_at: Option<f64>,
    pub started_at: f64,
    pub pushes: f64,
    pub commits: f64,
    pub failures: f64,
    pub bytes: f64,
    pub regressions: f64,
    pub divergence: Option<NativeDivergence>,
    pub progress: Option<NativeProgress>,
}

impl NativeStatus {
    pub(super) fn new(status: &Status, facts: &Facts, now: Now) -> Self {
        let chosen = facts.transport.get();
        let formats = facts.formats.get();
        Self {
            running: status.running,
            state: status.state.as_str(),
            remote: facts.remote.clone(),
            url: facts.url.clone(),
            transport: chosen.as_ref().map(|chosen| chosen.transport.to_owned()),
            transport_reason: chosen.and_then(|chosen| chosen.reason),
            branch: facts.branch.clone(),
            object_format: formats.objects.name(),
            ref_format: formats.refs.name(),
            local_commit: hex(status.local_commit),
            remote_commit: hex(status.remote_commit),
            pending_commits: number(status.pending_commits),
            behind_commits: status.behind_commits.map(number),
            oldest_pending_at: status.oldest_pending_at.map(epoch_ms),
            lag_ms: whole_ms(lag(status, now)),
            last_push_at: status.last_push_at.map(epoch_ms),
            verified_at: status.verified_at.map(epoch_ms),
            last_error: status.last_error.as_ref().map(|error| NativeLastError {
                failure: (&error.failure).into(),
                at: epoch_ms(error.at),
                attempt: error.attempt,
            }),
            consecutive_failures: status.consecutive_failures,
            current_attempt: status.current_attempt,
            current_backoff_ms: status.current_backoff.map(whole_ms),
            next_attempt_at: status.next_attempt_at.map(epoch_ms),
            started_at: epoch_ms(status.started_at),
            pushes: number(status.totals.pushes),
            commits: number(status.totals.commits),
            failures: number(status.totals.failures),
            bytes: number(status.totals.bytes),
            regressions: number(status.totals.regressions),
            divergence: status.divergence.as_deref().map(Into::into),
            progress: status.progress.as_ref().map(Into::into),
        }
    }
}

/// How long the oldest pending commit has been waiting: by its own time, and no shorter than the daemon has known of
/// pending commits, so that neither a commit dated in the future nor a wall clock that is set back hides an outage.
fn lag(status: &Status, now: Now) -> Duration {
    let dated = status
        .oldest_pending_at
        .and_then(|oldest| now.wall.duration_since(oldest).ok());
    let known = status
        .pending_since
        .map(|since| now.instant.saturating_duration_since(since));
    dated.max(known).unwrap_or_default()
}

impl From<Delivery> for NativeMessage {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Event(event) => Self {
                event: Some(event.into()),
                ..Self::default()
            },
            Delivery::Progress(progress) => Self {
                event: Some(NativeEvent {
                    name: "progress".to_owned(),
                    progress: Some((&progress).into()),
                    ..NativeEvent::default()
                }),
                ..Self::default()
            },
            Delivery::Reply { id, result } => Self {
                reply: Some(reply(id, result)),
                ..Self::default()
            },
            Delivery::Busy(busy) => Self {
                busy: Some(busy),
                ..Self::default()
            },
        }
    }
}

/// The progress or the end of a restore.
impl From<NativeEvent> for NativeMessage {
    fn from(event: NativeEvent) -> Self {
        Self {
            event: Some(event),
            ..Self::default()
        }
    }
}

impl From<Ended> for NativeMessage {
    fn from(ended: Ended) -> Self {
        let ended = NativeEnded {
            drained: ended.drained,
            pending_commits: number(ended.pending_commits),
        };
        Self {
            ended: Some(ended),
            ..Self::default()
        }
    }
}

impl From<Record> for NativeMessage {
    fn from(record: Record) -> Self {
        let fields = record.fields.into_iter().map(|(name, value)| {
            let value = match value {
                Value::String(text) => Either3::A(text),
                Value::Number(number) => Either3::B(number),
                Value::Bool(truth) => Either3::C(truth),
            };
            (name.to_owned(), value)
        });
        let log = NativeLog {
            level: record.level.as_str().to_ascii_lowercase(),
            message: record.message,
            fields: fields.collect(),
        };
        Self {
            log: Some(log),
            ..Self::default()
        }
    }
}

impl From<Event> for NativeEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Push {
                push,
                attempt,
                duration,
            } => Self {
                name: "push".to_owned(),
                commit: Some(push.commit.to_string()),
                duration_ms: Some(ms(duration)),
                previous: hex(push.previous),
                commits: Some(number(push.commits)),
                attempt: Some(attempt),
                bytes: Some(number(push.bytes)),
                ..Self::default()
            },
            Event::Error {
                commit,
                attempt,
                duration,
                failure,
            } => Self {
                name: "error".to_owned(),
                commit: hex(commit),
                attempt: Some(attempt),
                duration_ms: duration.map(ms),
                divergence: failure.evidence().map(|evidence| (&**evidence).into()),
                failure: Some((&failure).into()),
                ..Self::default()
            },
            Event::Retry {
                commit,
                attempt,
                next_delay,
                kind,
            } => Self {
                name: "retry".to_owned(),
                commit: hex(commit),
                attempt: Some(attempt),
                next_delay_ms: Some(whole_ms(next_delay)),
                kind: Some(kind.as_str()),
                reason: Some(kind.reason()),
                ..Self::default()
            },
            Event::Recovered {
                commit,
                failed_attempts,
                down,
            } => Self {
                name: "recovered".to_owned(),
                commit: Some(commit.to_string()),
                failed_attempts: Some(failed_attempts),
                down_ms: Some(whole_ms(down)),
                ..Self::default()
            },
            Event::Regressed {
                regression,
                next_delay,
            } => Self {
                name: "regressed".to_owned(),
                from: Some(regression.from.to_string()),
                to: hex(regression.to),
                commits: Some(number(regression.commits)),
                next_delay_ms: next_delay.map(whole_ms),
                ..Self::default()
            },
            Event::Preserved { commit, reference } => Self {
                name: "preserved".to_owned(),
                commit: Some(commit.to_string()),
                reference: Some(reference),
                ..Self::default()
            },
        }
    }
}

impl From<&Failure> for NativeFailure {
    fn from(failure: &Failure) -> Self {
        let kind = failure.kind();
        Self {
            message: failure.message().to_owned(),
            kind: kind.as_str(),
            reason: kind.reason(),
            hint: failure.hint(),
            retryable: kind.is_retryable(),
            remote_commit: hex(failure.remote_commit()),
        }
    }
}

fn reply(id: RequestId, result: Result<Receipt, Refusal>) -> NativeReply {
    match result {
        Ok(receipt) => NativeReply {
            id,
            commit: hex(receipt.commit),
            remote_commit: hex(receipt.remote_commit),
            pushed_at: receipt.pushed_at.map(epoch_ms),
            ..NativeReply::default()
        },
        Err(Refusal::Failed(failure)) => NativeReply {
            id,
            failure: Some((&failure).into()),
            ..NativeReply::default()
        },
        Err(Refusal::Stopped) => NativeReply {
            id,
            stopped: Some(true),
            ..NativeReply::default()
        },
    }
}

pub(super) fn hex(commit: Option<Oid>) -> Option<String> {
    commit.map(|commit| commit.to_string())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53, which no count here reaches"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// Milliseconds, with the microseconds behind the point.
pub(super) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

pub(super) fn whole_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round()
}

/// The latest moment that a `Date` of JavaScript can hold, in either direction. A commit can claim any time.
const DATE_LIMIT_MS: f64 = 8.64e15;

pub(super) fn epoch_ms(time: SystemTime) -> f64 {
    let ms = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => whole_ms(since),
        Err(before) => -whole_ms(before.duration()),
    };
    ms.clamp(-DATE_LIMIT_MS, DATE_LIMIT_MS)
}
