//! How the actor reads the branch.

use git_wire::oid::Oid;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Branch, Request};
use crate::failure::Failure;
use crate::state::Survey;

/// Reads the branch and compares it with the remote's tip. Without `counts` this is the tip alone: counting
/// the whole history would delay its push, or its first check, for nothing if the remote already has it.
pub(super) async fn read(branch: &impl Branch, remote: Option<Oid>, counts: bool) -> Result<Survey, Failure> {
    if counts {
        return branch.survey(remote).await;
    }
    let tip = branch.tip().await?;
    Ok(Survey {
        tip,
        ..Survey::default()
    })
}

/// Reads the branch, and the tip that the remote is known to have.
pub(super) async fn first_read(branch: &impl Branch) -> (Option<Survey>, Option<Oid>) {
    let remote = branch.last_known_remote().await;
    let survey = read(branch, remote, remote.is_some())
        .await
        .inspect_err(|failure| tracing::debug!(%failure, "the branch could not be read"))
        .ok();
    (survey, remote)
}

/// Keeps the requests that come while the branch is first read, with their times. Returns when the daemon must end without
/// that read: the disk may hang.
pub(super) async fn end_requested(
    requests: &mut mpsc::UnboundedReceiver<Request>,
    early: &mut Vec<(Instant, Request)>,
) {
    let mut stop_by: Option<Instant> = None;
    loop {
        let request = tokio::select! {
            request = requests.recv() => request.unwrap_or(Request::Abort),
            () = sleep_until_some(stop_by) => return,
        };
        let came = Instant::now();
        if let Request::Stop { timeout } = request {
            let by = came + timeout;
            stop_by = Some(stop_by.map_or(by, |earlier| earlier.min(by)));
        }
        let is_abort = request == Request::Abort;
        early.push((came, request));
        if is_abort {
            return;
        }
    }
}

/// Never returns without a deadline.
pub(super) async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
