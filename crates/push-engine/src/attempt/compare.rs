//! The local tip of this moment, compared with what the remote advertises.

use std::sync::Arc;

use git_local::LocalError;
use git_local::repository::{LocalBranch, Relation};
use git_wire::oid::Oid;

use super::RemotePusher;
use super::evidence::Found;
use super::progress::{Phase, Progress};
use super::route::Route;
use super::send::Push;
use crate::event::Regression;
use crate::failure::{Failure, Kind};
use crate::state::{Divergence, Lost, RemoteTip};
use crate::transport::Session;

/// What is to be done.
pub(super) enum Comparison<'a> {
    /// There is no local branch.
    NoBranch,
    /// The remote has this local tip.
    UpToDate(Oid),
    /// The local tip is a fast-forward of the remote's.
    Ahead(Push<'a>),
    /// The remote has commits that the local tip does not contain.
    Diverged(Divergence),
}

/// The local tip and how it stands to the remote's.
struct Compared {
    tip: Oid,
    relation: Relation,
    /// The commits between the two, if they were counted before.
    counted: Option<u64>,
    /// The boundary of a shallow clone.
    shallow: Vec<Oid>,
}

fn compare_with(branch: &LocalBranch, remote: Option<Oid>) -> Result<Option<Compared>, LocalError> {
    let Some(tip) = branch.tip()? else { return Ok(None) };
    Ok(Some(Compared {
        tip,
        relation: branch.relation(tip, remote)?,
        counted: branch.counted(tip, remote),
        shallow: branch.repository().shallow_commits()?,
    }))
}

/// What a remote has lost that had confirmed `known`. That is news and no condition of a push: if the history cannot be read,
/// there is none.
fn lost_since(
    branch: &LocalBranch,
    compared: Option<&Compared>,
    known: Option<Oid>,
    remote: Option<Oid>,
) -> Option<Lost> {
    let (compared, known) = (compared?, known?);
    if !matches!(compared.relation, Relation::Ahead | Relation::Absent) {
        return None;
    }
    let lost = branch
        .repository()
        .lost(compared.tip, known, remote)
        .inspect_err(|failure| tracing::debug!(%failure, "what the remote has lost is unknown"))
        .ok()?;
    lost.map(|(commits, is_all)| Lost {
        regression: Regression {
            from: known,
            to: remote,
            commits,
        },
        is_all,
    })
}

impl RemotePusher {
    /// Compares with what the remote advertises over `session`.
    pub(super) async fn compare(
        &self,
        session: &dyn Session,
        route: &Arc<Route>,
        progress: &mut Progress,
    ) -> Result<Comparison<'_>, Failure> {
        progress.times.connected = Some(progress.times.now());
        let refname = &self.branch.target().refname;
        if session.advertisement().is_broken(refname) {
            let message = format!("the remote's {refname} is corrupt: the remote itself cannot read it");
            return Err(Failure::new(Kind::RemoteError, message));
        }
        let remote = session.advertisement().tip(refname);
        let format = session.advertisement().object_format();
        let (config_of, known) = (Arc::clone(route), progress.terms.known);
        let (compared, lost, update) = self
            .branch
            .ask(move |branch| {
                let own = branch.repository().formats().objects;
                if let Some(format) = format.filter(|&format| format != own) {
                    return Ok(Err(Failure::other_format(format, own)));
                }
                let compared = compare_with(branch, remote)?;
                let lost = lost_since(branch, compared.as_ref(), known, remote);
                let mut update = None;
                // Kept for the next start, which may find a tip there that is not here. What the remote has lost is not
                // forgotten before it has it again.
                let relation = compared
                    .as_ref()
                    .filter(|_| lost.is_none())
                    .map(|compared| compared.relation);
                if let (Some(Relation::Same | Relation::Ahead | Relation::Behind), Some(remote)) =
                    (relation, remote)
                {
                    update = branch.remember_remote(remote, &config_of.config);
                }
                Ok(Ok((compared, lost, update)))
            })
            .await??;
        self.tracking.write(update);
        progress.remote = remote.map_or(RemoteTip::Absent, RemoteTip::At);
        // An earlier push of this attempt may have brought it back.
        let before = progress.lost.filter(|_| progress.unconfirmed.is_some());
        progress.lost = lost.or(before);
        let Some(compared) = compared else {
            self.findings.clear();
            return Ok(Comparison::NoBranch);
        };
        match (compared.relation, remote) {
            (
                relation @ (Relation::BehindUnknown
                | Relation::Diverged
                | Relation::DivergedUnknown
                | Relation::Unknowable),
                Some(remote),
            ) => Ok(self
                .look_closer(route, compared.tip, remote, relation, progress)
                .await),
            (Relation::Same | Relation::Behind, _) => {
                self.findings.clear();
                self.division().end();
                Ok(Comparison::UpToDate(compared.tip))
            }
            (_, previous) => {
                self.findings.clear();
                Ok(Comparison::Ahead(self.push(compared, previous)))
            }
        }
    }

    /// Tells a branch that is merely behind from a divergence, by the remote's commits where they can be looked at.
    async fn look_closer(
        &self,
        route: &Arc<Route>,
        tip: Oid,
        remote: Oid,
        relation: Relation,
        progress: &mut Progress,
    ) -> Comparison<'_> {
        let was_behind = relation == Relation::BehindUnknown;
        let unseen = self.divergence(tip, remote, relation, None);
        if !was_behind {
            progress.phase = Phase::Looking(unseen.clone());
        }
        let is_here = relation == Relation::Diverged;
        let found = Box::pin(self.look(route, tip, remote, is_here)).await;
        progress.phase = Phase::Comparing;
        match found {
            Some(found) if found.distance.ahead.commits > 0 => {
                Comparison::Diverged(self.divergence(tip, remote, relation, Some(&found)))
            }
            None if !was_behind => Comparison::Diverged(unseen),
            _ => {
                self.division().end();
                Comparison::UpToDate(tip)
            }
        }
    }

    /// The push of the local tip to a remote that is at `confirmed`, if it is a fast-forward.
    pub(super) async fn fast_forward_from(&self, confirmed: Oid) -> Option<Push<'_>> {
        let compared = self
            .branch
            .ask(move |branch| compare_with(branch, Some(confirmed)))
            .await;
        match compared {
            Ok(Some(compared)) if compared.relation == Relation::Ahead => {
                Some(self.push(compared, Some(confirmed)))
            }
            _ => None,
        }
    }

    fn push(&self, compared: Compared, previous: Option<Oid>) -> Push<'_> {
        Push {
            refname: &self.branch.target().refname,
            tip: compared.tip,
            previous,
            counted: compared.counted,
            shallow: compared.shallow,
            is_divisible: true,
            step: 1,
            steps: 1,
        }
    }

    fn divergence(&self, tip: Oid, remote: Oid, relation: Relation, found: Option<&Found>) -> Divergence {
        let refname = &self.branch.target().refname;
        let comparable = relation != Relation::Unknowable || found.is_some();
        let message = if let Some(Found { distance, .. }) = found {
            let (there, here) = (distance.behind, distance.ahead.commits);
            format!(
                "the remote's {refname} is at {remote}, which the local {tip} does not contain (commits only there: {there}, only here: {here})"
            )
        } else if comparable {
            format!("the remote's {refname} is at {remote}, which the local {tip} does not contain")
        } else {
            format!(
                "the remote's {refname} is at {remote}, which this repository lacks, and no earlier tip of the remote is known, so it is unclear whether {tip} has unpushed commits"
            )
        };
        let failure = Failure::non_fast_forward(message, remote);
        Divergence {
            tip,
            failure: match found {
                Some(found) => failure.with_evidence(Arc::clone(&found.evidence)),
                None => failure,
            },
            comparable,
            preserved: None,
        }
    }
}
