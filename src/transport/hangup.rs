//! The failures of every session whose remote falls silent or hangs up, whatever carries it.

use std::time::Duration;

use super::activity::Overdue;
use super::child::Child;
use crate::failure::{self, Failure, Kind};
use crate::send_pack::WireError;

/// What is awaited, for the messages of failures.
pub(super) const ADVERTISING: &str = "before the remote had said what it has";
pub(super) const PUSHING: &str = "before the remote had confirmed the push";

/// How long a connection over TCP is idle before its peer is asked for a sign of life, how often it is asked again, and
/// after how many questions without an answer it is dead: a minute and a half in all. A peer that lives answers
/// though the program behind it is busy.
pub(super) const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
pub(super) const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
pub(super) const KEEPALIVE_TRIES: u32 = 4;

/// Nothing moved for as long as the idle limit.
pub(super) fn silence(limit: Option<Duration>, context: &str) -> Failure {
    let seconds = limit.unwrap_or_default().as_secs_f64();
    Failure::new(
        Kind::Timeout,
        format!("the remote was silent for {seconds} s {context}"),
    )
}

/// A push reached one of its limits.
pub(super) fn overdue(overdue: Overdue) -> Failure {
    match overdue {
        Overdue::Silent(limit) => silence(Some(limit), PUSHING),
        Overdue::Unreported(limit) => {
            let seconds = limit.as_secs_f64();
            let message = format!(
                "the remote was sent everything, and did not say within {seconds} s what became of it (if its hooks take longer, raise reportTimeoutMs)"
            );
            Failure::new(Kind::Timeout, message)
        }
    }
}

/// Finds the cause behind an error of the wire: what the remote's process said, if it said anything.
pub(super) async fn failure_of(error: WireError, child: Option<&mut Child>, context: &str) -> Failure {
    let is_of_program = child.is_some() && context == ADVERTISING;
    let words = match child {
        Some(child) if matches!(error, WireError::Io(_) | WireError::UnexpectedEof { .. }) => {
            child.last_words().await
        }
        _ => String::new(),
    };
    match error {
        WireError::Io(_) | WireError::UnexpectedEof { .. } if is_of_program && failure::is_silent(&words) => {
            Failure::from_silent_end(context, &words)
        }
        WireError::Io(_) | WireError::UnexpectedEof { .. } if !words.is_empty() => {
            Failure::from_hangup(context, &words)
        }
        error => error.into(),
    }
}
