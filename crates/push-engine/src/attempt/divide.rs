//! Pushes a backlog whose pack would be too large in steps: each is an attempt of its own, and moves the branch to a commit on
//! the way to the tip.

use std::sync::{Arc, MutexGuard, PoisonError};

use git_local::pack::{Described, PackRequest, Step};
use git_local::repository::Chain;

use super::RemotePusher;
use super::limit::PackLimit;
use super::send::Push;
use crate::failure::Failure;
use crate::turns;

/// How far a backlog has come that is pushed in steps.
#[derive(Debug)]
pub(super) struct Division {
    pub(super) limit: PackLimit,
    /// The way to the tip that was divided last.
    chain: Option<Chain>,
    /// The steps that have arrived.
    arrived: u32,
}

impl Division {
    /// Begins with the limit of the option.
    pub(super) const fn new(most: u64) -> Self {
        Self {
            limit: PackLimit::new(most),
            chain: None,
            arrived: 0,
        }
    }

    /// The number of the next step, from 1.
    pub(super) const fn next_step(&self) -> u32 {
        self.arrived + 1
    }

    /// A push has arrived, which had a pack of so many bytes.
    pub(super) fn arrived(&mut self, push: &Push<'_>, bytes: u64) {
        if push.is_step() {
            self.arrived += 1;
            self.limit.arrived(bytes);
        } else {
            self.end();
        }
    }

    /// The remote has everything.
    pub(super) fn end(&mut self) {
        self.arrived = 0;
        self.chain = None;
        self.limit.reset_link();
    }
}

/// A step, and how many commits of the chain are behind it.
struct Found {
    step: Step,
    behind: usize,
}

impl RemotePusher {
    pub(super) fn division(&self) -> MutexGuard<'_, Division> {
        self.division.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shortens a push to the next step within the limit.
    pub(super) async fn shorten(
        &self,
        push: &mut Push<'_>,
        request: &mut PackRequest,
    ) -> Result<(), Failure> {
        let most = self.division().limit.most();
        let Some(Found { step, behind }) = self.step(push, request, most).await? else {
            return Ok(());
        };
        let number = push.step;
        let further = behind.div_ceil(step.length);
        tracing::debug!(to = %step.tip, number, about_bytes = step.bytes, further, "a step of a large backlog");
        push.steps = number.saturating_add(u32::try_from(further).unwrap_or(u32::MAX));
        push.counted = push.counted.filter(|_| behind == 0);
        push.tip = step.tip;
        request.tip = step.tip;
        Ok(())
    }

    /// Lowers the limit after the server refused the pack of a push as too large.
    ///
    /// # Errors
    ///
    /// With the refusal, and what is too large, if the push cannot be shortened.
    pub(super) async fn lower_limit(
        &self,
        push: &Push<'_>,
        request: &PackRequest,
        refusal: Failure,
    ) -> Result<(), Failure> {
        let Some(Found { step: whole, .. }) = self.step(push, request, u64::MAX).await? else {
            return Err(refusal);
        };
        if whole.length == 1 {
            return Err(self.explained_by(whole, refusal).await);
        }
        let handed_over = self.transfer.bytes();
        self.division().limit.refused(whole.bytes, handed_over);
        tracing::warn!(
            about_bytes = whole.bytes,
            "the remote refused a pack as too large: pushing in smaller steps: {}",
            refusal.message()
        );
        Ok(())
    }

    /// Adds to a refusal what is too large in a commit that cannot be divided.
    async fn explained_by(&self, least: Step, refusal: Failure) -> Failure {
        let tip = least.tip;
        let told = format!("the commit {tip} alone is too large, so it cannot be pushed in smaller steps");
        let Some((_, largest)) = least.largest else {
            return refusal.and(&told);
        };
        let branch = self.branch.clone();
        let described = turns::pack(move || Described::find(&branch.objects()?, tip, largest)).await;
        match described {
            Ok(Described { path, size }) => refusal.and(&format!(
                "{told}; its largest object is {} ({largest}) with {size} bytes",
                path.as_deref().unwrap_or("one of a commit that it merges")
            )),
            // A partial clone may lack its trees.
            Err(_) => refusal.and(&format!("{told}; its largest object is {largest}")),
        }
    }

    /// The longest step of a push within this limit; `None` if it cannot be divided.
    async fn step(
        &self,
        push: &Push<'_>,
        request: &PackRequest,
        most: u64,
    ) -> Result<Option<Found>, Failure> {
        if !push.is_divisible {
            return Ok(None);
        }
        let (tip, from) = (push.tip, push.previous);
        let known = self.division().chain.take();
        let known = known.filter(|chain| chain.leads(from, tip));
        let (branch, mut request) = (self.branch.clone(), request.clone());
        // What is missing here can only be sent by others, and its size is not known.
        request.leave_out_missing = true;
        // Dropped with this future.
        let alive = Arc::new(());
        let is_wanted = Arc::downgrade(&alive);
        let (found, chain) = turns::pack(move || {
            let repository = branch.open()?;
            let chain = known.map_or_else(|| repository.chain(tip, from), Ok)?;
            let ahead = chain.after(from);
            let is_wanted = || is_wanted.strong_count() > 0;
            let step = Step::longest(repository.objects(), ahead, &request, most, is_wanted)?;
            let found = step.map(|step| Found {
                step,
                behind: ahead.len() - step.length,
            });
            Ok((found, chain))
        })
        .await?;
        drop(alive);
        self.division().chain = Some(chain);
        Ok(found)
    }
}
