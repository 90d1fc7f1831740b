//! A pack that is made while the connection is: that of a branch which has only moved on from the tip that the last
//! attempt left the remote at, as nearly every push finds it.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Push;
use super::packing::{EMPTY, PACK_PIECES};
use super::steps::Steps;
use crate::branch::SharedSide;
use crate::failure::Failure;
use crate::oid::Oid;
use crate::pack::PackStats;
use crate::transport::PackReceiver;

/// The pack, as far as it is made, and what it is good for. Dropping it ends its making.
pub(super) struct Guess {
    confirmed: Oid,
    /// When it began, since the attempt did.
    pub(super) began: Duration,
    /// What is in it, the tip last; hangs up where no few commits in a row lead on from `confirmed`.
    commits: oneshot::Receiver<Vec<Oid>>,
    pack: PackReceiver,
    packed: JoinHandle<Result<PackStats, Failure>>,
}

impl Guess {
    /// Begins on a blocking thread.
    pub(super) fn begin(side: &SharedSide, confirmed: Oid, steps: &Steps) -> Self {
        let (side, on_packed) = (side.clone(), steps.on_packed());
        let (name, commits) = oneshot::channel();
        let (sender, pack) = mpsc::channel(PACK_PIECES);
        let packed = spawn_blocking(move || {
            let made = side.stream_pack_from(confirmed, name, sender)?;
            if made.is_some() {
                on_packed();
            }
            Ok(made.unwrap_or(EMPTY))
        });
        Self {
            confirmed,
            began: steps.now(),
            commits,
            pack,
            packed,
        }
    }

    /// The pack and its making, if it is the one for this push to a remote that has `tips`.
    pub(super) async fn for_push(
        self,
        push: &Push<'_>,
        mut tips: impl Iterator<Item = Oid>,
    ) -> Option<(PackReceiver, JoinHandle<Result<PackStats, Failure>>)> {
        if push.previous != Some(self.confirmed) {
            return None;
        }
        let commits = self.commits.await.ok()?;
        let is_right = commits.last() == Some(&push.tip) && !tips.any(|tip| commits.contains(&tip));
        is_right.then_some((self.pack, self.packed))
    }
}
