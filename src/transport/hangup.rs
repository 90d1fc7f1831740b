//! The failures of every session whose remote falls silent or hangs up, whatever carries it.

use std::time::Duration;

use super::child::Child;
use crate::failure::{Failure, Kind};
use crate::send_pack::WireError;

/// What is awaited, for the messages of failures.
pub(super) const ADVERTISING: &str = "before the remote had said what it has";
pub(super) const PUSHING: &str = "before the remote had confirmed the push";

/// Nothing moved for as long as the idle limit.
pub(super) fn silence(limit: Option<Duration>, context: &str) -> Failure {
    let seconds = limit.unwrap_or_default().as_secs_f64();
    Failure::new(
        Kind::Timeout,
        format!("the remote was silent for {seconds} s {context}"),
    )
}

/// Finds the cause behind an error of the wire: what the remote's process said, if it said anything.
pub(super) async fn failure_of(error: WireError, child: Option<&mut Child>, context: &str) -> Failure {
    let words = match child {
        Some(child) if matches!(error, WireError::Io(_) | WireError::UnexpectedEof { .. }) => {
            child.last_words().await
        }
        _ => String::new(),
    };
    match error {
        WireError::Io(_) | WireError::UnexpectedEof { .. } if !words.is_empty() => {
            Failure::from_hangup(context, &words)
        }
        WireError::Io(error) => Failure::from_remote_io("the connection broke", &error),
        WireError::UnexpectedEof { context } => Failure::from_hangup(context, ""),
        WireError::Remote(words) => Failure::from_server_words(&words),
        WireError::Pack(failure) => failure,
        WireError::Protocol(_) => Failure::new(Kind::RemoteError, error.to_string()),
    }
}
