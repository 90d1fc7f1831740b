//! The common case of a history: a few commits in a row on top of one that is known. It is counted by reading these
//! commits and no other. A walk in the order of dates reads as many again as were committed within the same second.

use super::commit::Commits;
use super::history::system_time;
use super::{Ahead, Repository};
use crate::failure::Failure;
use crate::oid::Oid;

impl Repository {
    /// The commits in a row, each the only parent of the one before, that lead from `tip` back to `base`. `None` where they
    /// do not, there is a merge among them, or one that is older than `base`; a walk can tell then.
    ///
    /// # Errors
    ///
    /// Fails where a commit is corrupt.
    pub fn chain(&self, tip: Oid, base: Oid) -> Result<Option<Ahead>, Failure> {
        let mut ahead = Ahead {
            commits: 0,
            oldest: None,
        };
        if tip == base {
            return Ok(Some(ahead));
        }
        let commits = Commits::of(self)?;
        let Some(earliest) = commits.read(base)?.map(|base| base.time) else {
            return Ok(None);
        };
        let (mut oid, mut oldest) = (tip, i64::MAX);
        while oid != base {
            let Some(commit) = commits.read(oid)? else {
                return Ok(None);
            };
            let [parent] = *commit.parents else {
                return Ok(None);
            };
            if commit.time < earliest {
                return Ok(None);
            }
            oldest = oldest.min(commit.time);
            oid = parent;
            ahead.commits += 1;
        }
        ahead.oldest = system_time(oldest);
        Ok(Some(ahead))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::testing::Sandbox;
    use super::*;

    fn chain(repository: &Repository, tip: Oid, base: Oid) -> Option<u64> {
        let chain = repository.chain(tip, base).expect("readable");
        chain.map(|chain| chain.commits)
    }

    #[test]
    fn commits_in_a_row_are_counted_down_to_the_base() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let [zero, one, two] = [10, 30, 20].map(|seconds| sandbox.commit_at(&work, "in a row", seconds));
        let repository = sandbox.open(&work);
        assert_eq!(chain(&repository, two, zero), Some(2));
        assert_eq!(chain(&repository, two, two), Some(0));
        assert_eq!(chain(&repository, zero, two), None);
        let oldest = repository
            .chain(two, zero)
            .expect("readable")
            .expect("a row")
            .oldest;
        assert_eq!(oldest, Some(UNIX_EPOCH + Duration::from_secs(20)));
        assert_eq!(chain(&repository, two, one), None, "the clock went back");
        assert_eq!(chain(&repository, two, Oid::from_bytes([7; 20])), None);
    }

    #[test]
    fn a_merge_is_no_row() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let root = sandbox.commit(&work, "root");
        let base = sandbox.commit(&work, "base");
        sandbox.git(&work, &["checkout", "-q", "-b", "side", &root.to_string()]);
        sandbox.commit(&work, "side");
        sandbox.git(&work, &["merge", "-q", "--no-edit", "main"]);
        let merge = sandbox.git(&work, &["rev-parse", "HEAD"]).parse().expect("an id");
        let repository = sandbox.open(&work);
        assert_eq!(chain(&repository, merge, base), None);
        assert_eq!(repository.ahead(merge, &[base]).expect("readable").commits, 2);
    }
}
