//! Branches, `HEAD` and remote-tracking refs.

use std::thread;
use std::time::Duration;

use super::{Repository, failure, from_git2, to_git2};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// What git writes into the reflog of a remote-tracking ref that a push moved.
const REFLOG_MESSAGE: &str = "update by push";

/// A ref is locked for the time of one small write, so a lock that stays for longer than all of these waits
/// was left behind.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// git replaces a ref in one step; others (isomorphic-git) empty its file first and then fill it, between which
/// a busy process may take its time. A ref that stays unreadable for longer than all of these waits is corrupt.
const FILLING_ATTEMPTS: u32 = 200;
const FILLING_WAIT: Duration = Duration::from_millis(5);

/// What `HEAD` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A branch with commits, by its short name.
    Branch(String),
    /// A branch without a commit yet, by its short name.
    Unborn(String),
    /// A commit, not a branch.
    Detached,
}

/// Whether this is the full name of a branch by the rules of `git check-ref-format`.
#[must_use]
pub fn is_valid_branch_refname(refname: &str) -> bool {
    // git2 cannot pass on a NUL: it panics.
    refname.starts_with("refs/heads/") && !refname.contains('\0') && git2::Reference::is_valid_name(refname)
}

impl Repository {
    /// What `HEAD` of this worktree says.
    ///
    /// # Errors
    ///
    /// Fails where `HEAD` cannot be read, or names a branch that is not UTF-8.
    pub fn head_branch(&self) -> Result<Head, Failure> {
        let doing = || format!("reading HEAD of {}", self.git_dir().display());
        let head = self
            .raw()
            .find_reference("HEAD")
            .map_err(|error| failure(doing(), &error))?;
        let target = head.symbolic_target().map_err(|error| failure(doing(), &error))?;
        let Some(branch) = target.and_then(|target| target.strip_prefix("refs/heads/")) else {
            return Ok(Head::Detached);
        };
        let tip = self.branch_tip(&format!("refs/heads/{branch}"))?;
        let branch = branch.to_owned();
        Ok(if tip.is_some() {
            Head::Branch(branch)
        } else {
            Head::Unborn(branch)
        })
    }

    /// The commit that a ref points to, by its full name; a symbolic ref is followed. `None` where there is no
    /// such ref. Costs the reading of one small file, or where the ref is packed a look at whether
    /// `packed-refs` changed. Whether the commit exists is not looked at.
    ///
    /// # Errors
    ///
    /// Fails where the ref is unreadable or corrupt (after waiting for a writer that is not done yet), and where
    /// the repository is gone.
    pub fn branch_tip(&self, refname: &str) -> Result<Option<Oid>, Failure> {
        match once_filled(|| self.raw().refname_to_id(refname)) {
            Ok(oid) => Ok(Some(from_git2(oid))),
            Err(error) if error.code() == git2::ErrorCode::NotFound => {
                self.ensure_present()?;
                Ok(None)
            }
            Err(error) => Err(failure(
                format_args!("reading {refname} in {}", self.common_dir().display()),
                &error,
            )),
        }
    }

    /// The last tip of a branch that was known to be on a named remote: `refs/remotes/<remote>/<branch>`.
    ///
    /// # Errors
    ///
    /// As for [`Repository::branch_tip`].
    pub fn remote_tracking_tip(&self, remote: &str, branch: &str) -> Result<Option<Oid>, Failure> {
        self.branch_tip(&tracking_refname(remote, branch))
    }

    /// Records what a named remote has: creates or moves `refs/remotes/<remote>/<branch>`, with git's own reflog
    /// message where reflogs are on. Writes nothing where the ref is there already.
    ///
    /// # Errors
    ///
    /// Fails where this repository lacks the commit, where another process keeps the ref locked, and where it
    /// cannot be written.
    pub fn set_remote_tracking_tip(&self, remote: &str, branch: &str, tip: Oid) -> Result<(), Failure> {
        let refname = tracking_refname(remote, branch);
        if self.branch_tip(&refname)? == Some(tip) {
            return Ok(());
        }
        if !self.has_commit(tip) {
            return Err(Failure::new(
                Kind::Local,
                format!("cannot point {refname} at {tip}: this repository has no such commit"),
            ));
        }
        let mut attempt = 1;
        loop {
            match self.raw().reference(&refname, to_git2(tip), true, REFLOG_MESSAGE) {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == git2::ErrorCode::Locked && attempt < LOCK_ATTEMPTS => {
                    attempt += 1;
                    thread::sleep(LOCK_WAIT);
                }
                Err(error) => {
                    return Err(failure(
                        format_args!("writing {refname} in {}", self.common_dir().display()),
                        &error,
                    ));
                }
            }
        }
    }

    /// Tells a missing ref from a missing repository: an unmounted volume is not a deleted branch.
    fn ensure_present(&self) -> Result<(), Failure> {
        let head = self.git_dir().join("HEAD");
        head.symlink_metadata().map(drop).map_err(|error| {
            Failure::new(
                Kind::Local,
                format!("the repository is gone, looking for {}: {error}", head.display()),
            )
        })
    }
}

/// Reads a ref whose file may be empty at this moment because somebody writes it.
fn once_filled<T>(mut read: impl FnMut() -> Result<T, git2::Error>) -> Result<T, git2::Error> {
    let mut attempt = 1;
    loop {
        match read() {
            // What libgit2 says of a file without an object id in it; it has no code of its own for that.
            Err(error)
                if error.class() == git2::ErrorClass::Reference
                    && error.code() == git2::ErrorCode::GenericError
                    && attempt < FILLING_ATTEMPTS =>
            {
                attempt += 1;
                thread::sleep(FILLING_WAIT);
            }
            result => return result,
        }
    }
}

fn tracking_refname(remote: &str, branch: &str) -> String {
    format!("refs/remotes/{remote}/{branch}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::Sandbox;
    use super::*;

    #[test]
    fn names_follow_check_ref_format() {
        for valid in ["refs/heads/main", "refs/heads/a/b", "refs/heads/ünï"] {
            assert!(is_valid_branch_refname(valid), "{valid}");
        }
        for invalid in [
            "main",
            "refs/heads/",
            "refs/tags/v1",
            "+refs/heads/main",
            "refs/heads/a b",
            "refs/heads/a..b",
            "refs/heads/a.lock",
            "refs/heads/.a",
            "refs/heads/a:b",
            "refs/heads/a\0b",
        ] {
            assert!(!is_valid_branch_refname(invalid), "{invalid:?}");
        }
    }

    #[test]
    fn head_is_a_branch_unborn_or_detached() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let repository = sandbox.open(&work);
        assert_eq!(
            repository.head_branch().expect("readable"),
            Head::Unborn("main".into())
        );
        sandbox.commit(&work, "one");
        assert_eq!(
            repository.head_branch().expect("readable"),
            Head::Branch("main".into())
        );
        sandbox.git(&work, &["checkout", "-q", "-b", "feature/x"]);
        assert_eq!(
            repository.head_branch().expect("readable"),
            Head::Branch("feature/x".into())
        );
        sandbox.git(&work, &["checkout", "-q", "--detach"]);
        assert_eq!(repository.head_branch().expect("readable"), Head::Detached);
    }

    #[test]
    fn a_linked_worktree_has_its_own_head_and_shares_the_branches() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let linked = sandbox.path("linked");
        sandbox.git(
            &work,
            &[
                "worktree",
                "add",
                "-q",
                "-b",
                "side",
                linked.to_str().expect("UTF-8"),
            ],
        );
        let repository = sandbox.open(&linked);
        assert_eq!(
            repository.head_branch().expect("readable"),
            Head::Branch("side".into())
        );
        let tip = sandbox.commit(&work, "two");
        assert_eq!(
            repository.branch_tip("refs/heads/main").expect("readable"),
            Some(tip)
        );
    }

    #[test]
    fn tips_follow_other_processes_loose_and_packed() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let repository = sandbox.open(&work);
        let tip = || repository.branch_tip("refs/heads/main").expect("readable");
        assert_eq!(tip(), None);
        let one = sandbox.commit(&work, "one");
        assert_eq!(tip(), Some(one));
        sandbox.git(&work, &["pack-refs", "--all"]);
        assert_eq!(tip(), Some(one));
        let two = sandbox.commit(&work, "two");
        assert_eq!(tip(), Some(two));
        sandbox.git(&work, &["pack-refs", "--all"]);
        assert_eq!(tip(), Some(two));
        assert!(repository.has_commit(two));
        sandbox.git(&work, &["update-ref", "-d", "refs/heads/main"]);
        assert_eq!(tip(), None);
    }

    #[test]
    fn a_directory_of_branches_is_not_a_branch() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        sandbox.git(&work, &["branch", "a/b/c"]);
        let repository = sandbox.open(&work);
        assert_eq!(
            repository.branch_tip("refs/heads/a/b/c").expect("readable"),
            Some(one)
        );
        assert_eq!(repository.branch_tip("refs/heads/a/b").expect("readable"), None);
        assert_eq!(
            repository.branch_tip("refs/heads/a/b/c/d").expect("readable"),
            None
        );
    }

    #[test]
    fn a_symbolic_branch_is_followed() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        sandbox.git(&work, &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
        sandbox.git(&work, &["symbolic-ref", "refs/heads/dangling", "refs/heads/none"]);
        let repository = sandbox.open(&work);
        assert_eq!(
            repository.branch_tip("refs/heads/alias").expect("readable"),
            Some(one)
        );
        assert_eq!(
            repository.branch_tip("refs/heads/dangling").expect("readable"),
            None
        );
    }

    #[test]
    fn a_tag_with_the_branchs_name_does_not_matter() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        sandbox.git(&work, &["tag", "main"]);
        let two = sandbox.commit(&work, "two");
        let repository = sandbox.open(&work);
        assert_eq!(
            repository.branch_tip("refs/heads/main").expect("readable"),
            Some(two)
        );
    }

    #[test]
    fn a_ref_that_is_being_written_is_waited_for() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let tip = sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        let file = work.join(".git/refs/heads/main");
        fs::write(&file, "").expect("emptied");
        let mut reads = 0;
        let read = once_filled(|| {
            reads += 1;
            if reads == 3 {
                fs::write(&file, format!("{tip}\n")).expect("filled");
            }
            repository.raw().refname_to_id("refs/heads/main")
        });
        assert_eq!((read.map(from_git2), reads), (Ok(tip), 3));
    }

    #[test]
    fn a_corrupt_ref_and_a_vanished_repository_are_failures_not_missing_branches() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        fs::write(work.join(".git/refs/heads/main"), "").expect("writes");
        let corrupt = repository.branch_tip("refs/heads/main").expect_err("corrupt");
        assert!(corrupt.message().contains("refs/heads/main"), "{corrupt}");
        fs::remove_dir_all(&work).expect("removes");
        let gone = repository.branch_tip("refs/heads/main").expect_err("gone");
        assert_eq!(gone.kind(), Kind::Local);
        assert!(gone.message().contains("is gone"), "{gone}");
        repository.head_branch().expect_err("gone");
    }

    #[test]
    fn a_tracking_ref_is_created_moved_and_left_alone() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let two = sandbox.commit(&work, "two");
        let repository = sandbox.open(&work);
        let tip = || {
            repository
                .remote_tracking_tip("origin", "feature/x")
                .expect("readable")
        };
        assert_eq!(tip(), None);
        for expected in [one, two, two] {
            repository
                .set_remote_tracking_tip("origin", "feature/x", expected)
                .expect("writes");
            assert_eq!(tip(), Some(expected));
        }
        let reflog = sandbox.git(
            &work,
            &["reflog", "show", "--format=%gs", "refs/remotes/origin/feature/x"],
        );
        assert_eq!(reflog, "update by push\nupdate by push");
    }

    #[test]
    fn a_tracking_ref_never_points_at_a_missing_commit() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        let missing = Oid::from_bytes([7; 20]);
        repository
            .set_remote_tracking_tip("origin", "main", missing)
            .expect_err("refused");
        assert_eq!(
            repository
                .remote_tracking_tip("origin", "main")
                .expect("readable"),
            None
        );
    }

    #[test]
    fn a_lock_is_waited_for_and_one_left_behind_is_a_failure() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        let directory = work.join(".git/refs/remotes/origin");
        let lock = directory.join("main.lock");
        fs::create_dir_all(&directory).expect("creates");
        fs::write(&lock, "").expect("locks");
        let failure = repository
            .set_remote_tracking_tip("origin", "main", one)
            .expect_err("locked");
        assert!(
            failure.message().contains("refs/remotes/origin/main"),
            "{failure}"
        );
        fs::remove_file(&lock).expect("unlocks");
        repository
            .set_remote_tracking_tip("origin", "main", one)
            .expect("writes");
    }
}
