//! What became of `onDivergence: 'preserve'`: keeping a diverged local tip on the remote under another name.

use git_wire::oid::Oid;

use crate::backoff::Backoff;
use crate::failure::Kind;
use crate::state::Preserved;

/// The tips that were preserved, or could not be.
#[derive(Debug)]
pub(super) struct Preservation {
    /// The waits between tries.
    pub(super) backoff: Backoff,
    /// The local tip that the remote keeps.
    done: Option<Oid>,
    /// The local tip that could not be put there, and the kind of failure that was reported for it.
    reported: Option<(Oid, Kind)>,
}

impl Preservation {
    pub(super) const fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            done: None,
            reported: None,
        }
    }

    /// Whether `tip` is not on the remote yet.
    pub(super) fn is_due(&self, tip: Option<Oid>) -> bool {
        self.done.is_none() || self.done != tip
    }

    /// Takes the result of a try for `tip`, and returns whether it is news. A failure is repeated for as long as
    /// the branches are diverged, so only another kind of it is news.
    pub(super) fn take(&mut self, tip: Oid, preserved: &Preserved) -> bool {
        match preserved {
            Ok(_) => {
                self.done = Some(tip);
                self.reported = None;
                self.backoff.reset();
                true
            }
            Err(failure) => {
                let reported = Some((tip, failure.kind()));
                let is_news = self.reported != reported;
                self.reported = reported;
                is_news
            }
        }
    }
}
