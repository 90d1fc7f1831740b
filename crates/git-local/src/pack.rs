//! Makes the thin pack of what the remote lacks, in time proportional to the change and not to the repository.
//!
//! A pack starts with the number of its objects, so all of them are listed before the first is sent: a walk along the missing
//! commits reads their trees. What that walk has just read is encoded at once, as it would otherwise be read twice; the
//! others are read and encoded one by one, while the pack is sent.
//!
//! It does not look for files that were renamed and changed at once, reuse stored deltas, or check the repository: a damaged
//! object that it does not touch stays unnoticed. It does not know the shallow boundary of a remote; a server that lacks more
//! than its tips suggest refuses the push.

mod channel;
mod delta;
mod digest;
mod encode;
mod enumerate;
mod objects;
mod stream;
mod tree;

use std::io::Write;

use bytes::Bytes;
use git_wire::oid::Oid;
use tokio::sync::mpsc::Sender;

use crate::LocalError;
use crate::repository::ObjectStore;
pub use channel::ChannelWriter;
use objects::Objects;

/// Bytes of entries that are encoded before the pack begins.
const ENTRY_BUDGET: usize = 4 * 1024 * 1024;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRequest {
    /// The commit that the remote is to have, with all of its history.
    pub tip: Oid,
    /// What the remote advertised. Ids that this repository lacks are ignored.
    pub remote_has: Vec<Oid>,
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
    let mut objects = Objects::new(store.into());
    let commits = objects.missing_commits(request.tip, &request.remote_has)?;
    let mut listed = Vec::new();
    let mut entries = Vec::new();
    let mut entry_bytes = 0;
    let mut enumeration = enumerate::Enumeration::default();
    let mut encoder = encode::Encoder::default();
    for commit in &commits {
        out.flush().map_err(|error| stream::not_written(&error))?;
        enumeration.list_commit(&mut objects, commit, &mut listed)?;
        for &object in &listed[entries.len()..] {
            let mut entry = Vec::new();
            if entry_bytes < ENTRY_BUDGET && objects.keeps(object.oid) {
                encoder.encode(&mut objects, object, &mut entry)?;
                entry_bytes += entry.len();
            }
            entries.push(entry.into_boxed_slice());
        }
    }
    drop(enumeration);
    let mut pack = stream::PackStream::start(out, request.tip.format(), listed.len())?;
    for (&object, entry) in listed.iter().zip(entries) {
        if entry.is_empty() {
            encoder.encode(&mut objects, object, &mut pack)?;
        } else {
            pack.write_all(&entry)
                .map_err(|error| stream::not_written(&error))?;
        }
    }
    Ok(PackStats {
        commits: commits.len(),
        objects: listed.len(),
        bytes: pack.finish()?,
    })
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
    let mut writer = ChannelWriter::new(sender);
    let made = write_pack(store, request, &mut writer);
    match &made {
        Ok(_) => writer.finish().map_err(|error| stream::not_written(&error))?,
        Err(failure) => writer.fail(failure.clone()),
    }
    made
}
