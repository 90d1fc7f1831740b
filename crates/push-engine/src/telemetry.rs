//! The daemon's own log: JSON lines on standard error, or the caller's logger.
//!
//! Each daemon has its own subscriber, attached to its tasks and to what they run on blocking threads: the daemons of a
//! process share their threads, but may have different loggers, and none touches the global subscriber.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt as format};

/// Switches the JSON lines on and filters them, in the syntax of tracing's [`Targets`]: `debug`, `warn`,
/// `info,push_engine::transport=debug`, …
pub const LOG_VARIABLE: &str = "GIT_PUSH_DAEMON_LOG";

/// One line for the caller's logger.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// How serious it is; never below debug.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The fields.
    pub fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    String(String),
    /// A number.
    Number(f64),
    /// A boolean.
    Bool(bool),
}

/// Where the lines go.
pub type Sink = Box<dyn Fn(Record) + Send + Sync>;

/// Builds the subscriber of one daemon. `filter` is the value of [`LOG_VARIABLE`]; without it nothing goes to
/// standard error, and without a sink nothing to a logger.
#[must_use]
pub fn dispatch(sink: Option<Sink>, filter: Option<&str>) -> Dispatch {
    if sink.is_none() && filter.is_none() {
        // A registry takes 30 KB, even one that records nothing.
        return Dispatch::none();
    }
    let lines = filter.map(|filter| {
        format::layer()
            .json()
            .with_writer(std::io::stderr)
            .with_filter(targets(filter))
    });
    Dispatch::new(Registry::default().with(lines).with(sink.map(ToLogger)))
}

/// A malformed filter lets `info` and above through: a typing error must not hide a failure.
fn targets(filter: &str) -> Targets {
    filter
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(Level::INFO))
}

/// The crates whose events are the daemon's, as the targets of their events begin.
const CRATES: [&str; 4] = ["git_local", "git_push_daemon", "git_wire", "push_engine"];

struct ToLogger(Sink);

impl<S: Subscriber> Layer<S> for ToLogger {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        // Other crates' events are not the daemon's, and trace is for its developers.
        let is_ours = metadata
            .target()
            .split("::")
            .next()
            .is_some_and(|name| CRATES.contains(&name));
        if *metadata.level() > Level::DEBUG || !is_ours {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        (self.0)(Record {
            level: *metadata.level(),
            message: fields.message,
            fields: fields.others,
        });
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        self.others.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::String(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bool(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::Number(value));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JavaScript has no other number, and counts are small"
    )]
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Number(value as f64));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JavaScript has no other number, and counts are small"
    )]
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Number(value as f64));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JavaScript has no other number, and counts are small"
    )]
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.push(field, Value::Number(value as f64));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.push(field, Value::String(format!("{value:?}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn the_callers_logger_gets_message_fields_and_level() {
        let records = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&records);
        let dispatch = dispatch(
            Some(Box::new(move |record| {
                sink.lock().expect("unpoisoned").push(record);
            })),
            None,
        );
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::warn!(attempt = 3_u32, remote = "origin", "it {}", "broke");
            tracing::trace!("too much");
            tracing::error!(target: "another_crate", "not ours");
        });
        let records = records.lock().expect("unpoisoned");
        let [record] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!((record.level, record.message.as_str()), (Level::WARN, "it broke"));
        assert!(
            record.fields.contains(&("attempt", Value::Number(3.0))),
            "{record:?}"
        );
        assert!(
            record
                .fields
                .contains(&("remote", Value::String("origin".into()))),
            "{record:?}"
        );
    }
}
