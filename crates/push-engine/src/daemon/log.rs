//! The events in the daemon's own log.

use crate::event::{Event, SentPush};

/// Logs an event.
pub(super) fn log(event: &Event) {
    match event {
        Event::Push {
            push,
            attempt,
            duration,
        } => {
            let SentPush {
                commit,
                commits,
                bytes,
                ..
            } = push;
            tracing::debug!(%commit, commits, attempt, bytes, duration_ms = duration.as_millis(), "pushed");
        }
        Event::Error {
            commit,
            attempt,
            duration,
            failure,
        } => {
            let commit = commit.map(|commit| commit.to_string());
            tracing::debug!(
                commit,
                attempt,
                duration_ms = duration.map(|duration| duration.as_millis()),
                kind = failure.kind().as_str(),
                "push failed: {}",
                failure.message()
            );
        }
        Event::Retry {
            attempt, next_delay, ..
        } => {
            tracing::debug!(attempt, next_delay_ms = next_delay.as_millis(), "retrying");
        }
        Event::Recovered {
            commit,
            failed_attempts,
            down,
        } => {
            tracing::debug!(%commit, failed_attempts, down_ms = down.as_millis(), "recovered");
        }
        Event::Preserved { commit, reference } => {
            tracing::info!(%commit, reference, "the diverged local tip is preserved on the remote");
        }
    }
}
