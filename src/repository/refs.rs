//! Branches and `HEAD`, as git reads them: a file for each, or a line of `packed-refs`.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::Repository;
use crate::failure::{Failure, Kind};
use crate::loose_ref::{self, LooseRef};
use crate::oid::Oid;

/// git replaces a ref in one step; others (isomorphic-git) empty its file first and then fill it, between which
/// a busy process may take its time. A ref that stays unreadable for longer than all of these waits is corrupt.
pub(super) const FILLING_ATTEMPTS: u32 = 200;
pub(super) const FILLING_WAIT: Duration = Duration::from_millis(5);

/// A ref, itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Raw {
    Points(Oid),
    Symbolic(String),
    Missing,
}

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
    refname.starts_with("refs/heads/") && is_valid_name(refname)
}

/// Whether git would take this as the name of a ref.
pub(super) fn is_valid_name(refname: &str) -> bool {
    // git2 cannot pass on a NUL: it panics.
    !refname.contains('\0') && git2::Reference::is_valid_name(refname)
}

impl Repository {
    /// What `HEAD` of this worktree says.
    ///
    /// # Errors
    ///
    /// Fails where `HEAD` cannot be read.
    pub fn head_branch(&self) -> Result<Head, Failure> {
        let target = match self.read_ref("HEAD")? {
            Raw::Symbolic(target) => target,
            Raw::Points(_) => return Ok(Head::Detached),
            Raw::Missing => {
                self.ensure_present()?;
                return Err(self.unreadable("HEAD", "it is not there"));
            }
        };
        let Some(branch) = target.strip_prefix("refs/heads/") else {
            return Ok(Head::Detached);
        };
        let branch = branch.to_owned();
        Ok(if self.branch_tip(&target)?.is_some() {
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
        let (_, tip) = self.resolve(refname)?;
        if tip.is_none() {
            self.ensure_present()?;
        }
        Ok(tip)
    }

    /// Follows symbolic refs: the name of the last one, and what it points to.
    pub(super) fn resolve(&self, refname: &str) -> Result<(String, Option<Oid>), Failure> {
        let mut name = refname.to_owned();
        for _ in 0..loose_ref::MAX_DEPTH {
            match self.read_ref(&name)? {
                Raw::Points(oid) => return Ok((name, Some(oid))),
                Raw::Missing => return Ok((name, None)),
                Raw::Symbolic(target) => name = target,
            }
        }
        Err(self.unreadable(refname, "symbolic refs lead on and on"))
    }

    /// Reads one ref, without following it. Its file goes before `packed-refs`, and is read before that: what packs a ref
    /// writes the one before it removes the other.
    pub(super) fn read_ref(&self, refname: &str) -> Result<Raw, Failure> {
        let file = self.ref_file(refname);
        match once_filled(|| loose_ref::read(&file)) {
            Ok(Some(LooseRef::Points(oid))) => Ok(Raw::Points(oid)),
            Ok(Some(LooseRef::Symbolic(target))) => Ok(Raw::Symbolic(target)),
            Ok(Some(LooseRef::Broken)) => Err(self.unreadable(
                refname,
                "its file holds neither an object id nor the name of a ref",
            )),
            Ok(None) => match self.packed_refs.get(refname) {
                Ok(packed) => Ok(packed.map_or(Raw::Missing, Raw::Points)),
                Err(error) => Err(self.unreadable(refname, format_args!("packed-refs: {error}"))),
            },
            Err(error) => Err(self.unreadable(refname, error)),
        }
    }

    pub(super) fn ref_file(&self, refname: &str) -> PathBuf {
        self.ref_base(refname).join(refname)
    }

    pub(super) fn ref_base(&self, refname: &str) -> &Path {
        loose_ref::base(&self.common_dir, &self.git_dir, refname)
    }

    fn unreadable(&self, refname: &str, problem: impl Display) -> Failure {
        let place = self.common_dir().display();
        Failure::new(Kind::Local, format!("reading {refname} in {place}: {problem}"))
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
fn once_filled(mut read: impl FnMut() -> io::Result<Option<LooseRef>>) -> io::Result<Option<LooseRef>> {
    let mut attempt = 1;
    loop {
        let content = match read()? {
            Some(LooseRef::Symbolic(target)) if !is_valid_name(&target) => Some(LooseRef::Broken),
            content => content,
        };
        if content != Some(LooseRef::Broken) || attempt == FILLING_ATTEMPTS {
            return Ok(content);
        }
        attempt += 1;
        thread::sleep(FILLING_WAIT);
    }
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
    fn head_is_read_whatever_white_space_is_in_it() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        for content in [
            "ref:   refs/heads/main  \n",
            "ref:\trefs/heads/main\r\n\n",
            "ref:refs/heads/main",
        ] {
            fs::write(work.join(".git/HEAD"), content).expect("writes");
            let head = repository.head_branch().expect("readable");
            assert_eq!(head, Head::Branch("main".into()), "{content:?}");
        }
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
        let file = work.join(".git/refs/heads/main");
        fs::write(&file, "").expect("emptied");
        let mut reads = 0;
        let read = once_filled(|| {
            reads += 1;
            if reads == 3 {
                fs::write(&file, format!("{tip}\n")).expect("filled");
            }
            loose_ref::read(&file)
        });
        assert_eq!((read.expect("readable"), reads), (Some(LooseRef::Points(tip)), 3));
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
}
