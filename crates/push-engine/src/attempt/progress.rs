//! How far an attempt has come, and so its outcome when it fails or is cut off.

use std::sync::Arc;

use git_wire::oid::Oid;

use super::compare::Comparison;
use super::route::Route;
use super::times::Times;
use crate::event::SentPush;
use crate::failure::{Failure, Kind};
use crate::state::{Divergence, Lost, Outcome, RemoteTip, Terms};
use crate::transport::Session;

/// What the attempt found when it last compared the tips.
#[derive(Default)]
pub(super) enum Phase {
    /// It has found nothing to do yet.
    #[default]
    Comparing,
    /// There is work: it pushes this local tip.
    Pushing(Oid),
    /// The branches seem to have diverged; it looks at the remote's commits.
    Looking(Divergence),
    /// The branches have diverged; it may be preserving the local tip.
    Diverged(Divergence),
}

#[derive(Default)]
pub(super) struct Progress {
    pub(super) terms: Terms,
    pub(super) phase: Phase,
    /// The remote's tip, as last advertised.
    pub(super) remote: RemoteTip,
    /// What the remote has lost.
    pub(super) lost: Option<Lost>,
    /// The push that has left, or is leaving.
    pub(super) sending: Option<SentPush>,
    /// An earlier push of this attempt, whose outcome is not known.
    pub(super) unconfirmed: Option<SentPush>,
    /// The tip that the remote has confirmed, to be remembered by the configuration of this route.
    pub(super) confirmed: Option<(Oid, Arc<Route>)>,
    /// What to keep for the next push.
    pub(super) next: Option<Next>,
    pub(super) times: Times,
}

/// What the next push may be made over.
pub(super) struct Next {
    pub(super) route: Arc<Route>,
    pub(super) tip: Oid,
    /// `None` where there has to be a connection first.
    pub(super) session: Option<Box<dyn Session>>,
}

impl Progress {
    /// Forgets what the use of a kept connection led to, except for what it sent.
    pub(super) fn start_over(&mut self) {
        self.remote = RemoteTip::Unseen;
        self.unconfirmed = self.sending.take();
    }

    /// The earlier push, if a fresh advertisement shows that it has arrived.
    pub(super) fn arrived(&mut self, comparison: &Comparison<'_>, route: &Arc<Route>) -> Option<SentPush> {
        let remote = self.remote;
        let arrived = self.unconfirmed.take_if(|push| {
            remote == RemoteTip::At(push.commit)
                || matches!(comparison, Comparison::UpToDate(tip) if *tip == push.commit)
        });
        if let Some(push) = arrived {
            self.confirmed = Some((push.commit, Arc::clone(route)));
        }
        arrived
    }

    /// The outcome of an attempt that this failure has ended.
    pub(super) fn end_with(self, failure: Failure) -> Outcome {
        let unconfirmed = self.sending.or(self.unconfirmed);
        let (tip, had_work) = match (self.phase, self.remote) {
            (Phase::Looking(divergence), _) => return Outcome::Diverged(divergence),
            (Phase::Diverged(divergence), _) => {
                return Outcome::Diverged(Divergence {
                    preserved: Some(Err(failure)),
                    ..divergence
                });
            }
            // The remote judged it so although what it advertised allowed the update.
            (Phase::Pushing(tip), RemoteTip::At(at)) if failure.kind() == Kind::NonFastForward => {
                return Outcome::Diverged(Divergence {
                    tip,
                    failure: Failure::non_fast_forward(failure.message(), at),
                    comparable: true,
                    preserved: None,
                });
            }
            (Phase::Pushing(tip), _) => (Some(tip), true),
            (Phase::Comparing, _) => (None, false),
        };
        Outcome::Failed {
            tip,
            failure,
            had_work,
            unconfirmed,
        }
    }
}
