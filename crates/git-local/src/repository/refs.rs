//! Reads refs and `HEAD` as git does: a ref is a file of its own, or a line of `packed-refs`.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use git_wire::oid::Oid;

use super::{RefFormat, Repository, failure};
use crate::LocalError;
use crate::loose_ref::{self, LooseRef, REFTABLE, STUB};
use crate::reftable::{self, Value};

/// git replaces a ref in one step; other programs (isomorphic-git) first empty its file and then fill it, which may take
/// them a while on a busy machine. A ref that stays unreadable for longer than all of these waits is corrupt.
const FILL_ATTEMPTS: u32 = 200;
const FILL_WAIT: Duration = Duration::from_millis(5);

/// The beginning of the name of the directory in which `git refs migrate` prepares the new refs.
const CONVERSION: &str = "ref_migration.";

/// Whether `git refs migrate` is at work, or has left its directory behind.
pub(super) fn is_being_converted(git_dir: &Path) -> bool {
    let names = fs::read_dir(git_dir).into_iter().flatten().flatten();
    names
        .map(|entry| entry.file_name())
        .any(|name| name.as_encoded_bytes().starts_with(CONVERSION.as_bytes()))
}

/// The value of one ref, not followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ref {
    Points(Oid),
    Symbolic(String),
    Missing,
}

/// The state of `HEAD`.
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

/// Whether git accepts this as the name of a ref.
pub(super) fn is_valid_name(refname: &str) -> bool {
    // git2 panics at a NUL.
    !refname.contains('\0') && git2::Reference::is_valid_name(refname)
}

impl Repository {
    /// Reads the `HEAD` of this worktree.
    ///
    /// # Errors
    ///
    /// Fails if `HEAD` cannot be read.
    pub fn head_branch(&self) -> Result<Head, LocalError> {
        let target = match self.read_ref("HEAD")? {
            Ref::Symbolic(target) => target,
            Ref::Points(_) => return Ok(Head::Detached),
            Ref::Missing => {
                self.ensure_present()?;
                return Err(self.unreadable("HEAD", "it does not exist"));
            }
        };
        let Some(branch) = target.strip_prefix("refs/heads/").map(str::to_owned) else {
            return Ok(Head::Detached);
        };
        let tip = self.branch_tip(&target)?;
        Ok(tip.map_or(Head::Unborn(branch.clone()), |_| Head::Branch(branch)))
    }

    /// Reads the commit that a ref points to, by its full name, through symbolic refs. `None` if there is no such ref.
    /// It does not check that the commit exists.
    ///
    /// # Errors
    ///
    /// Fails if the ref is unreadable or corrupt (after waiting for a writer to finish), or the repository is gone.
    pub fn branch_tip(&self, refname: &str) -> Result<Option<Oid>, LocalError> {
        let (_, tip) = self.resolve(refname)?;
        if tip.is_none() {
            self.ensure_present()?;
        }
        Ok(tip)
    }

    /// Follows symbolic refs: the name of the last ref, and the commit it points to.
    pub(super) fn resolve(&self, refname: &str) -> Result<(String, Option<Oid>), LocalError> {
        let mut name = refname.to_owned();
        for _ in 0..loose_ref::MAX_DEPTH {
            match self.read_ref(&name)? {
                Ref::Points(oid) => return Ok((name, Some(oid))),
                Ref::Missing => return Ok((name, None)),
                Ref::Symbolic(target) => name = target,
            }
        }
        Err(self.unreadable(refname, "the chain of symbolic refs is too long"))
    }

    /// Reads one ref.
    pub(super) fn read_ref(&self, refname: &str) -> Result<Ref, LocalError> {
        match self.formats.refs {
            RefFormat::Files => self.read_file(refname),
            RefFormat::Reftable => self.read_table(refname),
        }
    }

    fn read_table(&self, refname: &str) -> Result<Ref, LocalError> {
        let tables = self.ref_base(refname).join(REFTABLE);
        let value = reftable::read(&tables, refname);
        match value.map_err(|error| self.unreadable(refname, &error.to_string()))? {
            None => Ok(Ref::Missing),
            Some(Value::Symbolic(target)) if is_valid_name(&target) => Ok(Ref::Symbolic(target)),
            Some(Value::Symbolic(_)) => Err(self.unreadable(refname, "it names no valid ref")),
            Some(Value::Id(bytes)) => Oid::from_bytes(&bytes)
                .filter(|oid| oid.format() == self.formats.objects)
                .map(Ref::Points)
                .ok_or_else(|| self.unreadable(refname, "its id is of another object format")),
        }
    }

    /// Reads a ref from the files. Its own file wins over `packed-refs`, and is read first: git writes the packed ref before
    /// it removes the file.
    fn read_file(&self, refname: &str) -> Result<Ref, LocalError> {
        let file = self.ref_base(refname).join(refname);
        let read = once_filled(|| loose_ref::read(&file));
        match read.map_err(|error| self.unreadable(refname, &error.to_string()))? {
            Some(LooseRef::Points(oid)) if oid.format() == self.formats.objects => Ok(Ref::Points(oid)),
            Some(LooseRef::Symbolic(target)) => Ok(Ref::Symbolic(target)),
            Some(LooseRef::Broken | LooseRef::Points(_)) => Err(self.unreadable(
                refname,
                "its file contains neither an object id nor the name of a ref",
            )),
            None => {
                let packed = self
                    .find_packed(|name| name == refname.as_bytes())
                    .map_err(|error| self.unreadable(refname, &format!("packed-refs: {error}")))?;
                Ok(packed.and_then(|(_, oid)| oid).map_or(Ref::Missing, Ref::Points))
            }
        }
    }

    /// Finds the first ref of `packed-refs` whose name matches. Its id is `None` if it is malformed.
    pub(super) fn find_packed(
        &self,
        matches: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<(String, Option<Oid>)>> {
        let content = match fs::read(self.common_dir.join("packed-refs")) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A line that starts with `#` is a header; with `^`, the target of the tag above.
        let found = content.split(|&byte| byte == b'\n').find_map(|line| {
            let space = line.iter().position(|&byte| byte == b' ')?;
            let (id, name) = (&line[..space], &line[space + 1..]);
            let name = name.strip_suffix(b"\r").unwrap_or(name);
            let is_found = !id.starts_with(b"#") && matches(name);
            is_found.then(|| {
                (
                    String::from_utf8_lossy(name).into_owned(),
                    self.formats.objects.parse(id),
                )
            })
        });
        Ok(found)
    }

    pub(super) fn ref_base(&self, refname: &str) -> &Path {
        loose_ref::base(&self.common_dir, &self.git_dir, refname)
    }

    fn unreadable(&self, refname: &str, problem: &str) -> LocalError {
        let place = self.common_dir.display();
        failure(format_args!("reading {refname} in {place}"), problem)
    }

    /// Tells a missing ref from a missing repository, and from one whose refs are just being converted: an unmounted volume
    /// is not a deleted branch.
    fn ensure_present(&self) -> Result<(), LocalError> {
        let head = self.git_dir.join("HEAD");
        head.symlink_metadata().map_err(|error| {
            failure(
                format_args!("the repository is gone: cannot read {}", head.display()),
                error,
            )
        })?;
        // In this order: if the conversion has just ended, the refs are no longer where they were.
        if !is_being_converted(&self.git_dir) && self.has_refs() {
            return Ok(());
        }
        let place = self.common_dir.display();
        Err(failure(
            format_args!("reading the refs in {place}"),
            "git refs migrate is converting them, or was interrupted",
        ))
    }

    /// Whether the refs are still stored as they were when the repository was opened.
    pub(super) fn has_refs(&self) -> bool {
        match self.formats.refs {
            RefFormat::Files => !matches!(
                loose_ref::read(&self.git_dir.join("HEAD")),
                Ok(Some(LooseRef::Symbolic(target))) if target == STUB
            ),
            RefFormat::Reftable => self.common_dir.join(REFTABLE).join(reftable::LIST).exists(),
        }
    }
}

/// Reads the file of a ref again while it looks as if another program were about to fill it.
pub(super) fn once_filled(
    mut read: impl FnMut() -> io::Result<Option<LooseRef>>,
) -> io::Result<Option<LooseRef>> {
    let mut attempt = 1;
    loop {
        let content = match read()? {
            Some(LooseRef::Symbolic(target)) if !is_valid_name(&target) => Some(LooseRef::Broken),
            content => content,
        };
        if content != Some(LooseRef::Broken) || attempt == FILL_ATTEMPTS {
            return Ok(content);
        }
        attempt += 1;
        thread::sleep(FILL_WAIT);
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
    fn white_space_in_head_is_ignored() {
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
        let linked = sandbox.link(&work, "linked");
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
    fn a_packed_ref_is_found_by_its_whole_name_and_followed_when_the_file_is_replaced() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let repository = sandbox.open(&work);
        let [one, two] = [1, 2].map(|digit| Oid::sha1([digit; 20]));
        let write = |content: String| fs::write(work.join(".git/packed-refs"), content).expect("writes");
        let tip = |name: &str| repository.branch_tip(name).expect("readable");
        write(format!(
            "# pack-refs with: peeled fully-peeled sorted \n{two} refs/heads/a/b\n{one} refs/heads/main\r\n{two} refs/heads/main2\n{one} refs/tags/v1\n^{two}\n"
        ));
        for (name, expected) in [
            ("refs/heads/main", Some(one)),
            ("refs/heads/a/b", Some(two)),
            ("refs/heads/mai", None),
            ("refs/heads/a", None),
        ] {
            assert_eq!(tip(name), expected, "{name}");
        }
        write(format!("{two} refs/heads/main\n"));
        assert_eq!(tip("refs/heads/main"), Some(two));
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
    fn a_tag_with_the_name_of_the_branch_is_ignored() {
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
    fn a_reader_waits_for_a_ref_that_is_being_written() {
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
    fn a_corrupt_ref_or_a_missing_repository_is_a_failure_and_no_missing_branch() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        fs::write(work.join(".git/refs/heads/main"), "").expect("writes");
        let corrupt = repository.branch_tip("refs/heads/main").expect_err("corrupt");
        assert!(corrupt.message().contains("refs/heads/main"), "{corrupt}");
        fs::remove_dir_all(&work).expect("removes");
        let gone = repository.branch_tip("refs/heads/main").expect_err("gone");
        assert!(gone.message().contains("is gone"), "{gone}");
        repository.head_branch().expect_err("gone");
    }
}
