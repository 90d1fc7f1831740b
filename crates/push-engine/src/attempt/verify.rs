//! Reads the remote while in sync, by its advertisement alone.
//!
//! A kept connection is no use for that, since its advertisement was read when it was opened.

use git_wire::oid::Oid;

use super::RemotePusher;
use super::compare::Comparison;
use super::progress::Progress;
use crate::failure::Failure;
use crate::state::{Terms, Verdict, Verified};
use crate::turns::VERIFICATIONS;

impl RemotePusher {
    /// Reads the remote, which was last known to be at `known`.
    pub(super) async fn read_remote(&self, known: Option<Oid>) -> Verified {
        tracing::debug!("reading the remote while in sync");
        let mut progress = Progress {
            terms: Terms {
                known,
                ..Terms::default()
            },
            ..Progress::default()
        };
        let reading = self.within_limit(Box::pin(self.verdict(&mut progress)));
        let verdict = VERIFICATIONS.run(Box::pin(reading)).await;
        let survey = self.survey_after(progress.remote, None).await;
        Verified {
            verdict: verdict.unwrap_or_else(Verdict::Failed),
            remote: progress.remote,
            lost: progress.lost,
            survey,
        }
    }

    async fn verdict(&self, progress: &mut Progress) -> Result<Verdict, Failure> {
        let mut route = self.find_route().await?;
        let session = self.connect_or_detour(&mut route).await?;
        let compared = self.compare(&*session, &route, progress).await;
        session.finish();
        Ok(match compared? {
            Comparison::UpToDate(tip) => Verdict::Holds(Some(tip)),
            Comparison::NoBranch => Verdict::Holds(None),
            Comparison::Ahead(push) => Verdict::Lacks(push.tip),
            Comparison::Diverged(_) => Verdict::Diverged,
        })
    }
}
