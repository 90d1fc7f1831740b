//! The thin pack of what the remote lacks, in time proportional to the change and not to the repository.
//!
//! Two passes, because a pack starts with the number of its objects. The first one walks the missing commits
//! and lists their new objects; the second one reads them, makes deltas against their previous versions, and
//! streams. Only the list is held in memory.
//!
//! It looks for no renames with changes, reuses no stored deltas, and does not check the repository: a
//! damaged object that it does not touch stays unnoticed. The remote's own shallow boundary is not known to
//! it; a server that lacks more than its tips suggest refuses the push.

mod channel;
mod commit;
mod delta;
mod enumerate;
mod history;
mod loose;
mod objects;
mod recent;
mod stream;
mod tree;

use std::io::Write;

pub use channel::{ChannelWriter, stream_pack};
pub use recent::RecentTrees;

use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRequest {
    /// The commit that the remote is to have, with all of its history.
    pub tip: Oid,
    /// What the remote advertised. What this repository lacks of it is ignored.
    pub remote_has: Vec<Oid>,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackStats {
    /// Commits in the pack.
    pub commits: usize,
    /// Objects in the pack, the commits included.
    pub objects: usize,
    /// Size of the pack in bytes.
    pub bytes: u64,
}

/// Writes the pack of everything that is reachable from the tip and not from what the remote has. Where the
/// remote has the tip, the pack is valid and empty.
///
/// # Errors
///
/// When an object is missing or damaged in the repository, or `out` does not take the pack. `out` is flushed
/// before each commit is looked at, so that one that knows can tell that nobody reads any more.
pub fn write_pack(
    repository: &git2::Repository,
    request: &PackRequest,
    recent: &RecentTrees,
    out: &mut dyn Write,
) -> Result<PackStats, Failure> {
    let mut objects = objects::Objects::new(repository, recent);
    let commits = history::missing_commits(repository, request.tip, &request.remote_has)?;
    let mut enumeration = enumerate::Enumeration::default();
    for &oid in &commits {
        out.flush().map_err(|error| stream::not_written(&error))?;
        let commit = objects.commit(oid)?;
        enumeration.add_commit(&mut objects, &commit)?;
    }
    let listed = enumeration.into_listed();
    let count = u32::try_from(listed.len())
        .map_err(|_| Failure::new(Kind::Local, "a pack holds at most 4,294,967,295 objects"))?;
    let mut pack = stream::PackStream::start(out, count)?;
    for &entry in &listed {
        pack.object(&mut objects, entry)?;
    }
    let bytes = pack.finish()?;
    objects.hand_on(&listed);
    Ok(PackStats {
        commits: commits.len(),
        objects: listed.len(),
        bytes,
    })
}
