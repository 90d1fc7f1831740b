//! The thin pack of what the remote lacks, in time proportional to the change and not to the repository.
//!
//! A pack starts with the number of its objects, so all of them are found before the first is sent: by a walk along the
//! missing commits, which reads their trees. Those are encoded at once, as deltas against their previous versions where that
//! is smaller, and wait in memory, up to a limit. Whatever else was found is listed, and read and encoded while it is sent.
//!
//! It looks for no renames with changes, reuses no stored deltas, and does not check the repository: a
//! damaged object that it does not touch stays unnoticed. The remote's own shallow boundary is not known to
//! it; a server that lacks more than its tips suggest refuses the push.

mod channel;
mod commit;
mod delta;
mod encode;
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

use crate::failure::Failure;
use crate::oid::Oid;
use crate::repository::ObjectStore;
use commit::Commit;
use objects::Objects;

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
    store: impl Into<ObjectStore>,
    request: &PackRequest,
    recent: &RecentTrees,
    out: &mut dyn Write,
) -> Result<PackStats, Failure> {
    let mut objects = Objects::new(store.into(), recent)?;
    let commits = history::missing_commits(&mut objects, request.tip, &request.remote_has)?;
    write_commits(&mut objects, &commits, out)
}

fn write_commits(
    objects: &mut Objects<'_>,
    commits: &[Commit],
    out: &mut dyn Write,
) -> Result<PackStats, Failure> {
    let mut enumeration = enumerate::Enumeration::default();
    let mut encoder = encode::Encoder::default();
    let mut early = encode::Early::default();
    let mut late = Vec::new();
    for commit in commits {
        out.flush().map_err(|error| stream::not_written(&error))?;
        for &listed in enumeration.list_commit(objects, commit)? {
            if listed.is_blob || early.is_full() {
                late.push(listed);
            } else {
                early.add(|out| encoder.encode(objects, listed, out))?;
                objects.note_sent(listed);
            }
        }
    }
    drop(enumeration);
    let count = early.count() + late.len();
    let mut pack = stream::PackStream::start(out, count)?;
    early
        .write_to(&mut pack)
        .map_err(|error| stream::not_written(&error))?;
    for &listed in &late {
        encoder.encode(objects, listed, &mut pack)?;
        objects.note_sent(listed);
    }
    let bytes = pack.finish()?;
    objects.hand_on();
    Ok(PackStats {
        commits: commits.len(),
        objects: count,
        bytes,
    })
}
