//! The commits to which a branch can be moved one after the other on the way to a new tip.

use git_wire::oid::Oid;

use super::Repository;
use super::history::missing;
use crate::LocalError;

/// First parents of a tip; each contains the remote's tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    from: Option<Oid>,
    /// The oldest comes first, the tip last.
    commits: Vec<Oid>,
}

impl Chain {
    /// The commits after what the branch is at by now.
    #[must_use]
    pub fn after(&self, oid: Option<Oid>) -> &[Oid] {
        let found = self.commits.iter().position(|&commit| Some(commit) == oid);
        &self.commits[found.map_or(0, |at| at + 1)..]
    }

    /// Whether it leads from what the branch is at to this tip.
    #[must_use]
    pub fn leads(&self, from: Option<Oid>, tip: Oid) -> bool {
        let begins = from == self.from || from.is_some_and(|from| self.commits.contains(&from));
        begins && self.commits.last() == Some(&tip)
    }
}

impl Repository {
    /// Follows the first parents of `tip` to `from`, or to the root if the branch does not exist yet.
    ///
    /// # Errors
    ///
    /// If a commit is missing or damaged.
    pub fn chain(&self, tip: Oid, from: Option<Oid>) -> Result<Chain, LocalError> {
        let commits = self.commits()?;
        let mut chain = Vec::new();
        let mut next = Some(tip);
        while let Some(oid) = next.filter(|&oid| Some(oid) != from) {
            let commit = commits.read(oid)?.ok_or_else(|| missing(oid))?;
            next = commit.parents.first().copied();
            chain.push(oid);
        }
        chain.reverse();
        if let Some(from) = from.filter(|_| next.is_none()) {
            // It was merged: its first merge and all later commits contain it.
            let (mut low, mut high) = (0, chain.len() - 1);
            while low < high {
                let middle = usize::midpoint(low, high);
                if self.is_ancestor_or_same(from, chain[middle])? {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            chain.drain(..low);
        }
        Ok(Chain { from, commits: chain })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sandbox;
    use super::*;

    #[test]
    fn a_chain_has_the_first_parents_that_contain_what_the_branch_is_at() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let [root, one, two] = ["root", "one", "two"].map(|message| sandbox.commit(&work, message));
        sandbox.git(&work, &["checkout", "-q", "-b", "side", &root.to_string()]);
        let side = sandbox.commit(&work, "side");
        sandbox.git(&work, &["checkout", "-q", "main"]);
        sandbox.git(&work, &["merge", "-q", "-m", "merge", "side"]);
        let merge: Oid = sandbox.git(&work, &["rev-parse", "main"]).parse().expect("an id");
        let three = sandbox.commit(&work, "three");
        let repository = sandbox.open(&work);
        for (from, expected) in [
            (None, vec![root, one, two, merge, three]),
            (Some(root), vec![one, two, merge, three]),
            (Some(two), vec![merge, three]),
            (Some(side), vec![merge, three]),
            (Some(merge), vec![three]),
            (Some(three), vec![]),
        ] {
            let chain = repository.chain(three, from).expect("readable");
            assert_eq!(chain.commits, expected, "from {from:?}");
        }
        let chain = repository.chain(three, None).expect("readable");
        assert_eq!(chain.after(Some(two)), [merge, three]);
        assert_eq!(chain.after(None).len(), 5);
        for (from, tip, expected) in [
            (None, three, true),
            (Some(two), three, true),
            (Some(side), three, false),
            (None, merge, false),
        ] {
            assert_eq!(chain.leads(from, tip), expected, "from {from:?} to {tip}");
        }
    }
}
