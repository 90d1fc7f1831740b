//! The sending of one push: its command, and its pack, which is made while it is sent.

use git_local::LocalError;
use git_local::pack::{PackRequest, PackStats};
use git_wire::oid::Oid;
use git_wire::send_pack::{Command, Report};
use tokio::spawn;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::instrument::WithSubscriber;

use super::RemotePusher;
use super::progress::Progress;
use super::route::Route;
use crate::event::SentPush;
use crate::failure::{Failure, Kind};
use crate::transport::{PackReceiver, PushFailure, Session};
use crate::turns;

/// Pieces of the pack that are ready before the remote takes them: the back-pressure on its generation.
const PACK_PIECES: usize = 8;

/// The numbers of a pack that was not made, or whose commits could not be counted.
const EMPTY: PackStats = PackStats {
    commits: 0,
    objects: 0,
    bytes: 0,
};

/// One push of a branch.
#[derive(Debug)]
pub(super) struct Push<'a> {
    pub(super) refname: &'a str,
    pub(super) tip: Oid,
    /// The remote's tip: the branch is moved from there and from nowhere else.
    pub(super) previous: Option<Oid>,
    /// The boundary of the local repository, if it is a shallow clone.
    pub(super) shallow: Vec<Oid>,
}

impl Push<'_> {
    const fn sent(&self, stats: PackStats) -> SentPush {
        SentPush {
            commit: self.tip,
            previous: self.previous,
            commits: stats.commits as u64,
            bytes: stats.bytes,
        }
    }
}

/// Whether a success needs no second advertisement.
pub(super) fn is_certain(session: &dyn Session, report: &Report) -> bool {
    session.compares_old_values() && !report.is_doubtful
}

/// The failure behind a report that is no success.
pub(super) fn refusal(refname: &str, report: &Report) -> Failure {
    match (&report.unpack, &report.reference) {
        (Err(reason), _) => Failure::from_unpack_error(reason, &report.messages),
        (_, Err(reason)) => Failure::from_rejection(refname, reason, &report.messages),
        (Ok(()), Ok(())) => Failure::new(Kind::Unknown, "a bug: the report is a success"),
    }
}

/// The failure of a push that the remote reported as a success, although its own advertisement shows no change.
pub(super) fn unmoved(refname: &str, at: Option<Oid>) -> Failure {
    let state = at.map_or_else(
        || "still does not exist".to_owned(),
        |at| format!("is still at {at}"),
    );
    let message = format!(
        "the remote reported success, but its {refname} {state}: a hook on the server may redirect pushes, or the remote is a cluster whose servers disagree"
    );
    Failure::new(Kind::RemoteError, message)
}

type Packing = (PackReceiver, JoinHandle<Result<PackStats, LocalError>>);

impl RemotePusher {
    /// Sends the command and the pack of this request.
    pub(super) async fn send(
        &self,
        session: &mut dyn Session,
        route: &Route,
        push: &Push<'_>,
        request: PackRequest,
        progress: &mut Progress,
    ) -> Result<(Report, SentPush), Failure> {
        progress.steps.looked = Some(progress.steps.now());
        let command = Command::new(push.refname, push.previous, push.tip)
            .map_err(|error| Failure::new(Kind::Local, error.to_string()))?;
        let (pack, packed) = if route.transport.takes_pack() {
            self.pack(request, progress.steps.on_packed())
        } else {
            self.count(request)
        };
        progress.sending = Some(push.sent(EMPTY));
        let reported = session.push(&command, &push.shallow, pack).await;
        progress.steps.reported = Some(progress.steps.now());
        match reported {
            Ok(report) => {
                progress.sending = None;
                let stats = packed
                    .await
                    .unwrap_or_else(|panic| Err(LocalError::new(format!("a bug: {panic}"))));
                // A report that comes before the end of the pack refuses it, and cuts its generation short.
                let stats = if report.is_success() {
                    stats?
                } else {
                    stats.unwrap_or(EMPTY)
                };
                Ok((report, push.sent(stats)))
            }
            Err(PushFailure { failure, sent }) => {
                progress.sending = if sent {
                    let stats = packed.await.ok().and_then(Result::ok).unwrap_or(EMPTY);
                    Some(push.sent(stats))
                } else {
                    None
                };
                Err(failure)
            }
        }
    }

    /// Makes the pack on a blocking thread. `on_packed` is called when all of it is made.
    fn pack(&self, request: PackRequest, on_packed: impl FnOnce() + Send + 'static) -> Packing {
        let (sender, pack) = mpsc::channel(PACK_PIECES);
        let branch = self.branch.clone();
        let packing = turns::pack(move || {
            let made = branch.stream_pack(&request, sender);
            on_packed();
            made
        });
        let packed = async {
            let made = packing.await;
            made.unwrap_or_else(|panic| Err(LocalError::new(format!("a bug: {panic}"))))
        };
        (pack, spawn(packed.with_current_subscriber()))
    }

    /// Counts the commits of a pack that the transport makes itself. Its size is not known.
    fn count(&self, request: PackRequest) -> Packing {
        let (_, pack) = mpsc::channel(PACK_PIECES);
        let branch = self.branch.clone();
        let counting = async move {
            let counted = branch.ask(move |branch| {
                let ahead = branch.repository().ahead(request.tip, &request.remote_has)?;
                Ok(usize::try_from(ahead.commits).unwrap_or(usize::MAX))
            });
            let commits = counted.await.unwrap_or_default();
            Ok(PackStats { commits, ..EMPTY })
        };
        (pack, spawn(counting.with_current_subscriber()))
    }
}
