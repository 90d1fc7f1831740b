//! What goes into the pack of a push, and whether only git can push it.
//!
//! A partial clone lacks objects that its promisor remote has. Most pushes need none of them: what the remote's tips reach is
//! never read. If one is needed, either the remote has it, since it is the promisor, and checks that it does; or only git can
//! fetch it.

use std::sync::Arc;

use git_local::pack::{self, PackRequest};
use git_local::url::Promisors;
use git_wire::oid::Oid;

use super::RemotePusher;
use super::route::Route;
use crate::failure::{self, Failure};
use crate::transport::{Session, permitted};

/// How a push is made.
pub(super) enum Plan {
    /// Over the session, with this pack.
    Send(Planned),
    /// By the git CLI, for this reason.
    ByGit(String),
}

/// The pack of a push over a session.
pub(super) struct Planned {
    pub(super) request: PackRequest,
    /// Whether git may make it: in a partial clone, versions before 2.45 may fetch what it lacks.
    pub(super) suits_git: bool,
}

/// Adds to a refusal what the server cannot know: that this clone left out the objects that it lacks.
pub(super) fn explained(refusal: Failure, leaves_out: bool) -> Failure {
    if leaves_out && failure::is_about_missing_objects(refusal.message()) {
        refusal.and("this partial clone does not send objects that it lacks, because the remote has promised them; one of its own may be lost: run git fsck here")
    } else {
        refusal
    }
}

impl RemotePusher {
    /// Plans the push of a tip over a session.
    pub(super) async fn plan(&self, session: &dyn Session, route: &Route, tip: Oid) -> Result<Plan, Failure> {
        let advertisement = session.advertisement();
        let mut planned = Planned {
            request: PackRequest {
                tip,
                remote_has: advertisement.tips().collect(),
                leave_out_missing: false,
            },
            suits_git: true,
        };
        if !route.transport.takes_pack() {
            return Ok(Plan::Send(planned));
        }
        let promisors = Promisors::read(&route.config, &self.destination.root)?;
        if promisors.are_none() {
            return Ok(Plan::Send(planned));
        }
        planned.suits_git = false;
        if promisors.are_only(&route.remote) && advertisement.checks_connectivity() {
            planned.request.leave_out_missing = true;
            return Ok(Plan::Send(planned));
        }
        let asked = planned.request.clone();
        let missing = self
            .branch
            .ask(move |branch| pack::first_missing(branch.repository().objects(), &asked))
            .await?;
        Ok(match missing {
            None => Plan::Send(planned),
            Some(oid) => Plan::ByGit(permitted(
                self.destination.transport,
                format!(
                    "this partial clone lacks the object {oid}, which only git can fetch from its promisor"
                ),
            )?),
        })
    }

    /// The same route by the git CLI, for this reason.
    pub(super) fn by_git(&self, route: &Route, reason: String) -> Result<Arc<Route>, Failure> {
        tracing::debug!(reason, "the git CLI is needed");
        let target = self.branch.target();
        let by_git = self.destination.by_git(route, target, reason, self.settings())?;
        self.note.set(&by_git);
        Ok(by_git)
    }
}
