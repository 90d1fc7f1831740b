//! The commits that a remote lacks, and their pack.

use std::io::Write;

use super::channel::ChannelWriter;
use super::encode::Encoder;
use super::enumerate::Enumeration;
use super::objects::Objects;
use super::stream::{PackStream, not_written};
use super::{PackRequest, PackStats};
use crate::LocalError;
use crate::repository::{Commit, ObjectStore};

/// Bytes of entries that are encoded before the pack begins.
const ENTRY_BUDGET: usize = 4 * 1024 * 1024;

/// The commits that a remote lacks.
pub struct Backlog<'r> {
    objects: Objects,
    /// Parents before children.
    commits: Vec<Commit>,
    request: &'r PackRequest,
}

impl<'r> Backlog<'r> {
    /// Lists the commits.
    ///
    /// # Errors
    ///
    /// If a commit is missing or damaged in the repository.
    pub fn list(store: impl Into<ObjectStore>, request: &'r PackRequest) -> Result<Self, LocalError> {
        let mut objects = Objects::new(store.into());
        let commits = objects.missing_commits(request.tip, &request.remote_has)?;
        Ok(Self {
            objects,
            commits,
            request,
        })
    }

    /// The number of commits.
    #[must_use]
    pub const fn commits(&self) -> usize {
        self.commits.len()
    }

    /// Writes the pack.
    ///
    /// # Errors
    ///
    /// As for [`write_pack`](super::write_pack).
    pub fn write(mut self, out: &mut dyn Write) -> Result<PackStats, LocalError> {
        let mut listed = Vec::new();
        let mut entries = Vec::new();
        let mut entry_bytes = 0;
        let mut enumeration = if self.request.leave_out_missing {
            Enumeration::leaving_out()
        } else {
            Enumeration::default()
        };
        let mut encoder = Encoder::default();
        for commit in &self.commits {
            out.flush().map_err(|error| not_written(&error))?;
            enumeration.list_commit(&mut self.objects, commit, &mut listed)?;
            for &object in &listed[entries.len()..] {
                let mut entry = Vec::new();
                if entry_bytes < ENTRY_BUDGET && self.objects.keeps(object.oid) {
                    encoder.encode(&mut self.objects, object, &mut entry)?;
                    entry_bytes += entry.len();
                }
                entries.push(entry.into_boxed_slice());
            }
        }
        drop(enumeration);
        let mut pack = PackStream::start(out, self.request.tip.format(), listed.len())?;
        for (&object, entry) in listed.iter().zip(entries) {
            if entry.is_empty() {
                encoder.encode(&mut self.objects, object, &mut pack)?;
            } else {
                pack.write_all(&entry).map_err(|error| not_written(&error))?;
            }
        }
        Ok(PackStats {
            commits: self.commits.len(),
            objects: listed.len(),
            bytes: pack.finish()?,
        })
    }

    /// Makes the pack and sends it, or the failure.
    ///
    /// # Errors
    ///
    /// As for [`write_pack`](super::write_pack).
    pub fn stream(self, mut writer: ChannelWriter) -> Result<PackStats, LocalError> {
        let made = self.write(&mut writer);
        match &made {
            Ok(_) => writer.finish().map_err(|error| not_written(&error))?,
            Err(failure) => writer.fail(failure.clone()),
        }
        made
    }
}
