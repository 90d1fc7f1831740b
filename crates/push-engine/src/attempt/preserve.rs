//! `onDivergence: 'preserve'`: keeping a diverged local tip on the remote under another name.

use std::sync::PoisonError;
use std::time::SystemTime;

use git_wire::oid::Oid;

use super::RemotePusher;
use super::plan::Plan;
use super::progress::Progress;
use super::route::Route;
use super::send::{Push, is_certain, refusal};
use crate::failure::{Failure, Kind};
use crate::state::{Divergence, Preserved};
use crate::transport::Session;

/// Where diverged tips are kept on the remote.
const CONFLICTS: &str = "refs/heads/conflicts/";

/// The branch that keeps a diverged tip: `refs/heads/conflicts/20261123T143000Z` (UTC), with a number behind
/// it where the remote has one of that second.
fn conflict_ref(now: SystemTime, taken: &[(Oid, String)]) -> String {
    let stamp = humantime::format_rfc3339_seconds(now).to_string();
    let stamp: String = stamp
        .chars()
        .filter(|character| !"-:".contains(*character))
        .collect();
    let mut refname = format!("{CONFLICTS}{stamp}");
    let mut number = 1;
    while taken.iter().any(|(_, name)| *name == refname) {
        number += 1;
        refname = format!("{CONFLICTS}{stamp}-{number}");
    }
    refname
}

impl RemotePusher {
    /// Ends a session that found the remote diverged, once the local tip is preserved if that is wanted. A session over
    /// which that failed is cut off.
    pub(super) async fn end_diverged(
        &self,
        mut session: Box<dyn Session>,
        route: &Route,
        mut divergence: Divergence,
        preserve: bool,
    ) -> Divergence {
        if preserve {
            let preserved = self.preserve(&mut *session, route, divergence.tip).await;
            let has_failed = preserved.is_err();
            divergence.preserved = Some(preserved);
            if has_failed {
                return divergence;
            }
        }
        session.finish();
        divergence
    }

    /// Puts the local tip on the remote under a name of its own, over the connection that found the
    /// divergence. A tip that is kept there already (a restart forgets that) stays where it is.
    async fn preserve(&self, session: &mut dyn Session, route: &Route, tip: Oid) -> Preserved {
        let refs = session.advertisement().refs();
        if let Some((_, kept)) = refs
            .iter()
            .find(|(oid, name)| *oid == tip && name.starts_with(CONFLICTS))
        {
            return Ok(kept.clone());
        }
        let refname = self.conflict_ref(tip, refs);
        let mut push = Push {
            refname: &refname,
            tip,
            previous: None,
            counted: None,
            shallow: self
                .branch
                .ask(|branch| branch.repository().shallow_commits())
                .await?,
            is_divisible: false,
            step: 1,
            steps: 1,
        };
        let mut planned = match self.plan(session, route, tip).await? {
            Plan::Send(planned) => planned,
            Plan::ByGit(reason) => {
                let by_git = self.by_git(route, reason)?;
                let mut session = self.connect(&by_git).await?;
                return Box::pin(self.preserve(&mut *session, &by_git, tip)).await;
            }
        };
        let progress = &mut Progress::default();
        let sending = self.send(session, route, &mut push, &mut planned, progress);
        let (report, _) = sending.await?;
        if !report.is_success() {
            return Err(refusal(&refname, &report));
        }
        if !is_certain(session, &report) {
            let session = self.connect(route).await?;
            let found = session.advertisement().tip(&refname);
            session.finish();
            if found != Some(tip) {
                let message =
                    format!("the remote reported that it created {refname} at {tip}, but it did not");
                return Err(Failure::new(Kind::RemoteError, message));
            }
        }
        Ok(refname)
    }

    /// The name under which the tip is preserved, unless another tip has taken it meanwhile.
    fn conflict_ref(&self, tip: Oid, taken: &[(Oid, String)]) -> String {
        let mut conflict = self.conflict.lock().unwrap_or_else(PoisonError::into_inner);
        match &*conflict {
            Some((chosen_for, refname))
                if *chosen_for == tip && !taken.iter().any(|(_, name)| name == refname) =>
            {
                refname.clone()
            }
            _ => {
                let refname = conflict_ref(SystemTime::now(), taken);
                *conflict = Some((tip, refname.clone()));
                refname
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_conflict_branch_is_named_by_the_utc_time() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_444_200);
        assert_eq!(conflict_ref(time, &[]), "refs/heads/conflicts/20261123T143000Z");
    }

    #[test]
    fn conflict_branches_of_the_same_second_are_numbered() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_444_200);
        let mut taken = Vec::new();
        for expected in ["20261123T143000Z", "20261123T143000Z-2", "20261123T143000Z-3"] {
            let refname = conflict_ref(time, &taken);
            assert_eq!(refname, format!("refs/heads/conflicts/{expected}"));
            taken.push((Oid::sha1([1; 20]), refname));
        }
    }
}
