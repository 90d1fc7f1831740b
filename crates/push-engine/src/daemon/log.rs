//! The events in the daemon's own log.

use std::time::Duration;

use crate::event::{Event, Regression, SentPush};

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
        Event::Regressed {
            regression: Regression { from, to, commits },
            next_delay,
        } => {
            let to = to.map(|to| to.to_string());
            let what_follows = match next_delay {
                None => "it is left as it is until the next commit or a flush".to_owned(),
                Some(Duration::ZERO) => "it is brought forward again at once".to_owned(),
                Some(delay) => {
                    let seconds = delay.as_secs_f64();
                    format!("that happens again and again, so it is brought forward in {seconds:.1} s")
                }
            };
            tracing::error!(
                %from,
                to,
                commits,
                "the remote lost {commits} {} that it had confirmed: {what_follows}",
                if *commits == 1 { "commit" } else { "commits" }
            );
        }
    }
}
