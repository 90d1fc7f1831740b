//! The commits that a remote lacks, and their pack.

use std::io::{self, Write};

use git_wire::oid::ObjectFormat;

use super::channel::ChannelWriter;
use super::encode::Encoder;
use super::enumerate::{Enumeration, Listed};
use super::objects::Objects;
use super::stream::{PackStream, not_written};
use super::{PackRequest, PackStats, step};
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

    /// Lists the objects of the pack. `None` if it would have more than about `most` bytes and there is more than one commit to
    /// divide. `check` is called before each commit is read.
    ///
    /// # Errors
    ///
    /// If an object is missing or damaged in the repository, or `check` fails.
    fn list_objects(
        mut self,
        most: u64,
        mut check: impl FnMut() -> io::Result<()>,
    ) -> Result<Option<Listing>, LocalError> {
        let mut listed = Vec::new();
        let mut entries = Vec::new();
        let mut entry_bytes = 0;
        let mut enumeration = Enumeration::new(self.request.leave_out_missing);
        let mut encoder = Encoder::default();
        let mut bytes = 0;
        let is_divisible = self.commits.len() > 1;
        for commit in &self.commits {
            check().map_err(|error| not_written(&error))?;
            enumeration.list_commit(&mut self.objects, commit, &mut listed)?;
            for &object in &listed[entries.len()..] {
                let mut entry = Vec::new();
                if entry_bytes < ENTRY_BUDGET && self.objects.keeps(object.oid) {
                    encoder.encode(&mut self.objects, object, &mut entry)?;
                    entry_bytes += entry.len();
                }
                if is_divisible && most < u64::MAX {
                    bytes += match entry.len() {
                        0 => step::about(&mut self.objects, &object)?,
                        length => length as u64,
                    };
                }
                entries.push(entry.into_boxed_slice());
            }
            if bytes > most {
                return Ok(None);
            }
        }
        Ok(Some(Listing {
            objects: self.objects,
            format: self.request.tip.format(),
            commits: self.commits.len(),
            listed,
            entries,
            encoder,
        }))
    }

    /// Writes the pack.
    ///
    /// # Errors
    ///
    /// As for [`write_pack`](super::write_pack).
    pub fn write(self, out: &mut dyn Write) -> Result<PackStats, LocalError> {
        match self.list_objects(u64::MAX, || out.flush())? {
            Some(listing) => listing.write(out, |_| ()),
            None => Err(LocalError::new("a bug: no pack is as large")),
        }
    }

    /// Makes the pack and sends it, or the failure. `begins` is told the number of its objects once they are listed. `None` if
    /// it would have more than about `most` bytes and there is more than one commit to divide: then nothing is sent.
    ///
    /// # Errors
    ///
    /// As for [`write_pack`](super::write_pack).
    pub fn stream(
        self,
        mut writer: ChannelWriter,
        most: u64,
        begins: impl FnOnce(usize),
        on_object: impl FnMut(usize),
    ) -> Result<Option<PackStats>, LocalError> {
        let made = self.list_objects(most, || writer.flush()).and_then(|listing| {
            let Some(listing) = listing else { return Ok(None) };
            begins(listing.listed.len());
            listing.write(&mut writer, on_object).map(Some)
        });
        match &made {
            Ok(_) => writer.finish().map_err(|error| not_written(&error))?,
            Err(failure) => writer.fail(failure.clone()),
        }
        made
    }
}

/// The objects of a pack.
struct Listing {
    objects: Objects,
    format: ObjectFormat,
    commits: usize,
    listed: Vec<Listed>,
    /// For each object its entry, or nothing if it is not encoded yet.
    entries: Vec<Box<[u8]>>,
    encoder: Encoder,
}

impl Listing {
    /// Writes the pack, and tells how many objects are written after each.
    fn write(
        mut self,
        out: &mut dyn Write,
        mut on_object: impl FnMut(usize),
    ) -> Result<PackStats, LocalError> {
        let objects = self.listed.len();
        let mut pack = PackStream::start(out, self.format, objects)?;
        for (at, (object, entry)) in self.listed.into_iter().zip(self.entries).enumerate() {
            if entry.is_empty() {
                self.encoder.encode(&mut self.objects, object, &mut pack)?;
            } else {
                pack.write_all(&entry).map_err(|error| not_written(&error))?;
            }
            on_object(at + 1);
        }
        Ok(PackStats {
            commits: self.commits,
            objects,
            bytes: pack.finish()?,
        })
    }
}
