//! Makes the thin pack of what the remote lacks, in time proportional to the change and not to the repository.
//!
//! A pack starts with the number of its objects, so all of them are listed before the first is sent: a walk along the missing
//! commits reads their trees. What that walk has just read is encoded at once, as it would otherwise be read twice; the
//! others are read and encoded one by one, while the pack is sent.
//!
//! A large backlog in packs is left to git by `push-engine`: git copies stored deltas, and what it does not check is looked
//! through here if the remote cannot use it.
//!
//! It does not look for files that were renamed and changed at once, reuse stored deltas, or check the repository: a damaged
//! object that it does not touch stays unnoticed. It does not know the shallow boundary of a remote; a server that lacks more
//! than its tips suggest refuses the push. It fetches nothing that a partial clone lacks: see [`first_missing`].

mod backlog;
mod channel;
mod delta;
mod digest;
mod encode;
mod enumerate;
mod objects;
mod step;
mod stream;
mod tree;

use std::io::Write;

use bytes::Bytes;
use git_wire::oid::Oid;
use tokio::sync::mpsc::Sender;

use crate::LocalError;
use crate::repository::ObjectStore;
pub use backlog::Backlog;
pub use channel::ChannelWriter;
use enumerate::Enumeration;
use objects::Objects;
pub use step::{Described, Step};

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRequest {
    /// The commit that the remote is to have, with all of its history.
    pub tip: Oid,
    /// What the remote advertised. Ids that this repository lacks are ignored.
    pub remote_has: Vec<Oid>,
    /// Whether trees and files that this repository lacks are left out. Only for a remote that has promised them, and that
    /// refuses a push after which an object is missing.
    pub leave_out_missing: bool,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackStats {
    /// Commits in the pack.
    pub commits: usize,
    /// Objects in the pack, including the commits.
    pub objects: usize,
    /// Size of the pack in bytes.
    pub bytes: u64,
}

/// Keeps what the remote has of what this repository has.
///
/// # Errors
///
/// If the objects cannot be opened.
pub fn on_remote(store: impl Into<ObjectStore>, request: &PackRequest) -> Result<Vec<Oid>, LocalError> {
    Objects::new(store.into()).existing(&request.remote_has)
}

/// Whether the remote has nothing of this repository, and at least so many commits have to be sent. It reads no more of them,
/// and only along first parents.
///
/// # Errors
///
/// If a commit is missing or damaged in the repository.
pub fn is_long_history(
    store: impl Into<ObjectStore>,
    request: &PackRequest,
    commits: u64,
) -> Result<bool, LocalError> {
    let mut objects = Objects::new(store.into());
    Ok(objects.existing(&request.remote_has)?.is_empty()
        && objects.has_first_parents(request.tip, commits)?)
}

/// Writes the pack of everything that is reachable from the tip and not from what the remote has. If the remote has the tip,
/// the pack is valid and empty.
///
/// # Errors
///
/// If an object is missing or damaged in the repository, or `out` does not accept the pack. `out` is flushed before each
/// commit is read, so that it can report that the pack was cancelled.
pub fn write_pack(
    store: impl Into<ObjectStore>,
    request: &PackRequest,
    out: &mut dyn Write,
) -> Result<PackStats, LocalError> {
    Backlog::list(store, request)?.write(out)
}

/// Finds a tree or file that the pack needs and this repository lacks, as a partial clone may. It takes about as long as
/// listing the objects of the pack.
///
/// # Errors
///
/// If a commit is missing, or an object is damaged.
pub fn first_missing(
    store: impl Into<ObjectStore>,
    request: &PackRequest,
) -> Result<Option<Oid>, LocalError> {
    let mut objects = Objects::new(store.into());
    let mut enumeration = Enumeration::new(true);
    let mut listed = Vec::new();
    for commit in &objects.missing_commits(request.tip, &request.remote_has)? {
        enumeration.list_commit(&mut objects, commit, &mut listed)?;
        if enumeration.left_out().is_some() {
            break;
        }
    }
    Ok(enumeration.left_out())
}

/// Makes a pack and sends it, or the failure, through a channel. To be called on a thread that may block.
///
/// # Errors
///
/// As for [`write_pack`]. Dropping the receiver cancels the pack.
pub fn stream_pack(
    store: impl Into<ObjectStore>,
    request: &PackRequest,
    sender: Sender<Result<Bytes, LocalError>>,
) -> Result<PackStats, LocalError> {
    let writer = ChannelWriter::new(sender);
    let made = match Backlog::list(store, request) {
        Ok(backlog) => backlog.stream(writer, u64::MAX, |_| (), |_| ()),
        Err(failure) => {
            writer.fail(failure.clone());
            Err(failure)
        }
    };
    made?.ok_or_else(|| LocalError::new("a bug: no pack is as large"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::repository::testing::Sandbox;

    /// Removes an object that is not in a pack, and returns its id.
    fn remove(sandbox: &Sandbox, work: &Path, revision: &str) -> Oid {
        let id = sandbox.git(work, &["rev-parse", revision]);
        fs::remove_file(work.join(".git/objects").join(&id[..2]).join(&id[2..])).expect("loose");
        id.parse().expect("an id")
    }

    /// Commits a file in a directory.
    fn commit(sandbox: &Sandbox, work: &Path, file: &str, content: &str) -> Oid {
        let path = work.join(file);
        fs::create_dir_all(path.parent().expect("not the root")).expect("creates");
        fs::write(path, content).expect("writes");
        sandbox.git(work, &["add", "."]);
        sandbox.commit(work, content)
    }

    fn packed(sandbox: &Sandbox, work: &Path, request: &PackRequest) -> Result<PackStats, LocalError> {
        write_pack(sandbox.open(work).objects(), request, &mut Vec::new())
    }

    #[test]
    fn what_the_remote_has_need_not_be_here() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let old = commit(&sandbox, &work, "a/file", "old");
        let request = PackRequest {
            tip: commit(&sandbox, &work, "a/file", "new"),
            remote_has: vec![old],
            leave_out_missing: false,
        };
        for lost in ["main~1:a/file", "main~1:a", "main~1:"] {
            remove(&sandbox, &work, lost);
            let stats = packed(&sandbox, &work, &request).expect("made");
            assert_eq!(stats.objects, 4, "without {lost}");
            let missing = first_missing(sandbox.open(&work).objects(), &request);
            assert_eq!(missing, Ok(None), "without {lost}");
        }
    }

    #[test]
    fn a_new_object_that_is_missing_is_named_or_left_out_with_everything_below() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let old = commit(&sandbox, &work, "file", "old");
        let mut request = PackRequest {
            tip: commit(&sandbox, &work, "a/b/file", "new"),
            remote_has: vec![old],
            leave_out_missing: false,
        };
        for (lost, left) in [("main:a/b/file", 4), ("main:a/b", 3), ("main:a", 2), ("main:", 1)] {
            let oid = remove(&sandbox, &work, lost);
            let missing = first_missing(sandbox.open(&work).objects(), &request);
            assert_eq!(missing, Ok(Some(oid)));
            request.leave_out_missing = false;
            let failure = packed(&sandbox, &work, &request).expect_err("it is needed");
            assert!(failure.message().contains(&oid.to_string()), "{failure}");
            request.leave_out_missing = true;
            let stats = packed(&sandbox, &work, &request).expect("made");
            assert_eq!(stats.objects, left, "without {lost}");
        }
    }
}
