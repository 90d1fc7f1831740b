//! The sending of one push: its command, and its pack, which is made while it is sent.

use std::sync::atomic::Ordering;

use git_wire::oid::Oid;
use git_wire::send_pack::{Command, Report};

use super::RemotePusher;
use super::packing::{Made, Packed, Packing};
use super::plan::Planned;
use super::progress::Progress;
use super::route::Route;
use crate::branch::panicked;
use crate::event::SentPush;
use crate::failure::{self, Failure, Kind};
use crate::transport::{PushFailure, Session, is_worth_progress};

/// One push of a branch.
#[derive(Debug)]
pub(super) struct Push<'a> {
    pub(super) refname: &'a str,
    pub(super) tip: Oid,
    /// The remote's tip: the branch is moved from there and from nowhere else.
    pub(super) previous: Option<Oid>,
    /// The commits between the two, if they were counted before.
    pub(super) counted: Option<u64>,
    /// The boundary of the local repository, if it is a shallow clone.
    pub(super) shallow: Vec<Oid>,
    /// Whether it may be made in steps.
    pub(super) is_divisible: bool,
    /// Which step it is, from 1, and about how many there are.
    pub(super) step: u32,
    pub(super) steps: u32,
}

impl Push<'_> {
    /// Whether another step follows it.
    pub(super) const fn is_step(&self) -> bool {
        self.step < self.steps
    }

    const fn sent(&self, packed: Packed) -> SentPush {
        SentPush {
            commit: self.tip,
            previous: self.previous,
            commits: packed.commits,
            bytes: packed.bytes,
        }
    }
}

/// How often in a row the remote may refuse to move the branch from the same tip before it counts as locked. The
/// lock of another push lasts for a moment, and the winner of a race moves the branch.
const REFUSALS: usize = 2;

/// Refusals because the branch had moved. There is no limit while it moves: another writer, such as a second daemon, is
/// bringing the same commits.
#[derive(Default)]
pub(super) struct LostRaces {
    /// The tip from which the branch could not be moved the last time; `None` if it did not exist.
    from: Option<Oid>,
    in_a_row: usize,
}

impl LostRaces {
    /// Whether to decide again from a fresh advertisement after this refusal.
    pub(super) fn go_on_after(&mut self, report: &Report, from: Option<Oid>) -> bool {
        let before = if self.from == from { self.in_a_row } else { 0 };
        (self.from, self.in_a_row) = (from, before + 1);
        let is_lost_race = |reason: &String| failure::is_lost_race(reason);
        report.unpack.is_ok()
            && report.reference.as_ref().is_err_and(is_lost_race)
            && self.in_a_row < REFUSALS
    }
}

/// Whether a success needs no second advertisement.
pub(super) fn is_certain(session: &dyn Session, report: &Report) -> bool {
    session.compares_old_values() && !report.is_doubtful
}

/// Whether the remote may not have been able to use the pack.
fn may_blame_pack(report: &Report) -> bool {
    let lacks_objects = |reason: &String| failure::is_about_missing_objects(reason);
    report.unpack.is_err() || report.reference.as_ref().is_err_and(lacks_objects)
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

impl RemotePusher {
    /// Sends the command and the pack. If the pack would be too large, it shortens the push to its next step.
    pub(super) async fn send(
        &self,
        session: &mut dyn Session,
        route: &Route,
        push: &mut Push<'_>,
        planned: &mut Planned,
        progress: &mut Progress,
    ) -> Result<(Report, SentPush), Failure> {
        progress.times.looked = Some(progress.times.now());
        let (pack, packed) = self
            .pack_or_shorten(session, route, push, planned, progress)
            .await?;
        let command = Command::new(push.refname, push.previous, push.tip)
            .map_err(|error| Failure::new(Kind::Local, error.to_string()))?
            .with_progress(push.counted.is_none_or(is_worth_progress));
        progress.sending = Some(push.sent(Packed::default()));
        let reported = session.push(&command, &push.shallow, pack).await;
        progress.times.reported = Some(progress.times.now());
        match reported {
            Ok(report) => {
                progress.sending = None;
                let made = packed
                    .await
                    .unwrap_or_else(|panic| Made::from(Err(panicked(&panic))));
                if report.is_success() {
                    self.packs_here.store(false, Ordering::Relaxed);
                    return Ok((report, push.sent(made.result?)));
                }
                let failure = refusal(push.refname, &report);
                if failure::is_about_size(failure.message()) {
                    return Err(failure);
                }
                if let (true, Some(request)) = (may_blame_pack(&report), made.by_git)
                    && let Some(fault) = self.fault_of_pack(request).await
                {
                    return Err(fault);
                }
                // A report that comes before the end of the pack refuses it, and cuts its generation short.
                Ok((report, push.sent(made.result.unwrap_or_default())))
            }
            Err(PushFailure { failure, sent: true }) => {
                let packed = packed.await.ok().and_then(|made| made.result.ok());
                progress.sending = Some(push.sent(packed.unwrap_or_default()));
                Err(failure)
            }
            Err(PushFailure { failure, .. }) => {
                progress.sending = None;
                if failure.kind() == Kind::Local
                    && let Ok(Made {
                        by_git: Some(request),
                        ..
                    }) = packed.await
                    && let Some(fault) = self.fault_of_pack(request).await
                {
                    return Err(fault);
                }
                Err(failure)
            }
        }
    }

    async fn pack_or_shorten(
        &self,
        session: &dyn Session,
        route: &Route,
        push: &mut Push<'_>,
        planned: &mut Planned,
        progress: &Progress,
    ) -> Result<Packing, Failure> {
        push.is_divisible &= route.transport.takes_steps();
        push.step = self.division().next_step();
        push.steps = push.step;
        let mut most = self.division().limit.most();
        loop {
            self.transfer.begin(push.tip, (push.step, push.steps));
            let on_packed = progress.times.on_packed();
            let packing = if route.transport.takes_pack() {
                self.pack(session, push, planned, most, on_packed).await
            } else {
                self.count(push, planned, most).await
            };
            if let Some(packing) = packing {
                return Ok(packing);
            }
            self.shorten(push, &mut planned.request).await?;
            // The step is as short as it can be, however large.
            most = u64::MAX;
        }
    }

    /// Makes the next packs smaller if the connection broke under this one.
    pub(super) fn note_break(&self, failure: &Failure) {
        if matches!(failure.kind(), Kind::Network | Kind::Timeout | Kind::Unknown) {
            let bytes = self.transfer.bytes();
            self.division().limit.broke(bytes);
        }
    }
}
