//! How two tips differ whose histories can both be read: what each has that the other lacks.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use git_wire::oid::Oid;

use super::commit::{Commit, Commits};
use super::history::{count, missing_commits, system_time};
use super::{Ahead, Repository, failure, to_git2};
use crate::LocalError;

/// How far a local tip and one of the remote are apart. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    /// The local tip.
    pub local: Oid,
    /// The remote's tip.
    pub remote: Oid,
    /// The commit where the histories part, as `git merge-base` finds it; `None` if they have no commit in common.
    pub base: Option<Oid>,
    /// The commits that only the local tip contains.
    pub ahead: Ahead,
    /// The number of commits that only the remote's tip contains.
    pub behind: u64,
}

/// A commit that only the remote has. The texts are as its author wrote them: any bytes of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignCommit {
    /// Its id.
    pub oid: Oid,
    /// The committer's time.
    pub committed_at: SystemTime,
    /// The author with the mail address.
    pub author: Vec<u8>,
    /// The first paragraph of the message.
    pub subject: Vec<u8>,
}

/// Two tips, and the commits that only the remote's contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// How far they are apart.
    pub distance: Distance,
    /// The newest of these commits, the newest first.
    pub newest: Vec<ForeignCommit>,
}

impl Repository {
    /// Compares two tips of which both are in this repository, and reads at most so many of the remote's newest commits.
    ///
    /// # Errors
    ///
    /// A commit on which the answer depends is missing or corrupt.
    pub fn fork(&self, local: Oid, remote: Oid, most: usize) -> Result<Fork, LocalError> {
        let commits = || Commits::to_missing_parents(self.odb(), self.common_dir());
        let ours = missing_commits(commits()?, local, &[remote])?;
        let theirs = missing_commits(commits()?, remote, &[local])?;
        let distance = Distance {
            local,
            remote,
            base: match (&*ours, &*theirs) {
                ([], _) => Some(local),
                (_, []) => Some(remote),
                _ => self.base_of(&commits()?, &ours, &theirs)?,
            },
            ahead: count(&ours),
            behind: theirs.len() as u64,
        };
        let newest = newest(&theirs, remote, most);
        let newest = newest.into_iter().map(|commit| self.foreign(commit));
        Ok(Fork {
            distance,
            newest: newest.collect::<Result<_, _>>()?,
        })
    }

    /// The newest commit of both histories that no other such commit contains. It is a parent on either side.
    fn base_of(
        &self,
        commits: &Commits<'_>,
        ours: &[Commit],
        theirs: &[Commit],
    ) -> Result<Option<Oid>, LocalError> {
        let mut own = HashSet::new();
        let mut their_parents = HashSet::new();
        for commit in theirs {
            own.insert(commit.oid);
            for &parent in &commit.parents {
                their_parents.insert(parent);
            }
        }
        for commit in ours {
            own.insert(commit.oid);
        }
        let mut both = Vec::new();
        for commit in ours {
            for &oid in &commit.parents {
                // Each once.
                if their_parents.remove(&oid) && !own.contains(&oid) {
                    both.extend(commits.read(oid)?);
                }
            }
        }
        let Some(mut base) = both.iter().max_by_key(|commit| (commit.time, commit.oid)) else {
            return Ok(None);
        };
        // Only one with a wrong date is contained in another.
        for commit in &both {
            if self.is_ancestor_or_same(base.oid, commit.oid)? {
                base = commit;
            }
        }
        Ok(Some(base.oid))
    }

    fn foreign(&self, commit: &Commit) -> Result<ForeignCommit, LocalError> {
        let oid = commit.oid;
        let object = self
            .odb()
            .read(to_git2(oid))
            .map_err(|error| failure(format_args!("reading commit {oid}"), &error))?;
        let (author, subject) = texts(object.data());
        Ok(ForeignCommit {
            oid,
            committed_at: system_time(commit.time).unwrap_or(UNIX_EPOCH),
            author: author.to_owned(),
            subject: subject.to_owned(),
        })
    }
}

/// The newest of these commits in the order of `git log` from their tip.
fn newest(commits: &[Commit], tip: Oid, most: usize) -> Vec<&Commit> {
    let mut reached = vec![tip];
    let mut waiting: Vec<&Commit> = commits.iter().filter(|commit| commit.oid == tip).collect();
    let mut newest = Vec::new();
    while newest.len() < most && !waiting.is_empty() {
        // The first of those with the latest time.
        let mut next = 0;
        for (index, commit) in waiting.iter().enumerate() {
            if commit.time > waiting[next].time {
                next = index;
            }
        }
        let commit = waiting.remove(next);
        newest.push(commit);
        for parent in &commit.parents {
            let found = commits.iter().find(|commit| commit.oid == *parent);
            if let Some(found) = found.filter(|found| !reached.contains(&found.oid)) {
                reached.push(found.oid);
                waiting.push(found);
            }
        }
    }
    newest
}

/// The author with the mail address, and the first paragraph of the message.
fn texts(commit: &[u8]) -> (&[u8], &[u8]) {
    let end = commit.windows(2).position(|pair| pair == b"\n\n");
    let (header, message) = commit.split_at(end.unwrap_or(commit.len()));
    let author = header
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"author "))
        .unwrap_or_default();
    let mail_ends = author.iter().rposition(|&byte| byte == b'>');
    let author = mail_ends.map_or(author, |end| &author[..=end]);
    let message = message.trim_ascii_start();
    let subject_ends = message.windows(2).position(|pair| pair == b"\n\n");
    let subject = &message[..subject_ends.unwrap_or(message.len())];
    (author, subject.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::Sandbox;
    use super::*;

    /// Compares with what git says of the branches `ours` and `theirs` and the branch `base`, if there is one.
    fn assert_as_git(sandbox: &Sandbox, work: &Path) -> Fork {
        let git = |arguments: &[&str]| sandbox.git(work, arguments);
        let tip = |branch: &str| git(&["rev-parse", branch]).parse::<Oid>().expect("an id");
        let (ours, theirs) = (tip("ours"), tip("theirs"));
        let fork = sandbox.open(work).fork(ours, theirs, 20).expect("readable");
        let Distance {
            base, ahead, behind, ..
        } = fork.distance;
        let counts = git(&["rev-list", "--left-right", "--count", "ours...theirs"]);
        assert_eq!(format!("{}\t{behind}", ahead.commits), counts);
        let bases = git(&["for-each-ref", "--format=%(objectname)", "refs/heads/base"]);
        assert_eq!(base.map(|base| base.to_string()).unwrap_or_default(), bases);
        let newest: Vec<_> = fork.newest.iter().map(|commit| commit.oid.to_string()).collect();
        assert_eq!(
            newest.join("\n"),
            git(&["log", "-20", "--format=%H", "ours..theirs"])
        );
        fork
    }

    fn branch(sandbox: &Sandbox, work: &Path, name: &str, at: &str) {
        sandbox.git(work, &["checkout", "-q", "-B", name, at]);
    }

    #[test]
    fn both_sides_are_compared_as_git_does() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit_at(&work, "root", 1000);
        branch(&sandbox, &work, "ours", "HEAD");
        sandbox.commit_at(&work, "ours 1", 1010);
        branch(&sandbox, &work, "theirs", "main");
        for number in 0..30 {
            // Some of the same second.
            sandbox.commit_at(&work, &format!("theirs {number}"), 1020 + number / 2);
        }
        branch(&sandbox, &work, "base", "main");
        let fork = assert_as_git(&sandbox, &work);
        let newest = &fork.newest[0];
        assert_eq!(
            (&*newest.author, &*newest.subject),
            (&b"A <a@example.com>"[..], &b"theirs 29"[..])
        );
        assert_eq!(newest.committed_at, system_time(1034).expect("a time"));

        // A merge of a part of theirs moves the base.
        branch(&sandbox, &work, "base", "theirs~10");
        branch(&sandbox, &work, "ours", "ours");
        sandbox.git(&work, &["merge", "-q", "--no-edit", "base"]);
        sandbox.commit_at(&work, "ours 2", 1);
        assert_as_git(&sandbox, &work);

        // Either side contains the other.
        branch(&sandbox, &work, "ours", "theirs~3");
        branch(&sandbox, &work, "base", "theirs~3");
        assert_as_git(&sandbox, &work);
        branch(&sandbox, &work, "ours", "theirs");
        sandbox.commit_at(&work, "on top", 2000);
        branch(&sandbox, &work, "base", "theirs");
        assert_as_git(&sandbox, &work);

        // Unrelated histories.
        sandbox.git(&work, &["checkout", "-q", "--orphan", "island"]);
        sandbox.commit_at(&work, "island", 3000);
        branch(&sandbox, &work, "ours", "island");
        sandbox.git(&work, &["branch", "-q", "-D", "base"]);
        assert_eq!(assert_as_git(&sandbox, &work).distance.base, None);
    }

    #[test]
    fn of_several_bases_one_that_no_other_contains_is_taken_whatever_the_dates() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit_at(&work, "root", 5000);
        // The later of two merged commits claims the earlier time.
        branch(&sandbox, &work, "base", "main");
        sandbox.commit_at(&work, "middle", 4000);
        sandbox.commit_at(&work, "late", 10);
        for side in ["ours", "theirs"] {
            branch(&sandbox, &work, side, "main");
            sandbox.commit_at(&work, side, 6000);
            sandbox.git(&work, &["merge", "-q", "--no-edit", "base"]);
        }
        assert_as_git(&sandbox, &work);
    }

    #[test]
    fn what_was_fetched_beyond_the_boundary_of_a_shallow_clone_counts() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let below = sandbox.commit_at(&work, "below", 1000);
        let boundary = sandbox.commit_at(&work, "boundary", 1010);
        let ours = sandbox.commit_at(&work, "ours", 1020);
        branch(&sandbox, &work, "theirs", "HEAD~2");
        let theirs = sandbox.commit_at(&work, "theirs", 1030);
        std::fs::write(work.join(".git/shallow"), format!("{boundary}\n")).expect("written");
        let distance = sandbox
            .open(&work)
            .fork(ours, theirs, 1)
            .expect("readable")
            .distance;
        assert_eq!(
            (distance.base, distance.ahead.commits, distance.behind),
            (Some(below), 2, 1)
        );
    }

    #[test]
    fn the_author_and_the_subject_of_any_commit_are_read() {
        for (commit, author, subject) in [
            (
                "tree x\nauthor A <a@b> 1 +0000\ncommitter C <c> 2 +0000\n\none\ntwo\n\nbody\n",
                "A <a@b>",
                "one\ntwo",
            ),
            ("author > A <a>b> 1\n\n\n\n  late\n", "> A <a>b>", "late"),
            ("author A 1\n", "A 1", ""),
            ("tree x\n\nauthor B <b> 1 +0000\n", "", "author B <b> 1 +0000"),
            ("", "", ""),
        ] {
            let found = texts(commit.as_bytes());
            assert_eq!(found, (author.as_bytes(), subject.as_bytes()), "{commit:?}");
        }
    }
}
