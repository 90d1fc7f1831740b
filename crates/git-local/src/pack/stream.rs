//! Writes the frame of a pack (`gitformat-pack`, version 2): its header, the given entries, and its trailer, the hash of all of it.

use std::io::{self, Write};

use git_wire::oid::ObjectFormat;

use super::digest::Digest;
use crate::LocalError;

/// One pack, to which its entries are written.
pub(super) struct PackStream<'w> {
    out: &'w mut dyn Write,
    digest: Digest,
    bytes: u64,
}

impl<'w> PackStream<'w> {
    /// Starts a pack of `count` objects.
    pub(super) fn start(
        out: &'w mut dyn Write,
        format: ObjectFormat,
        count: usize,
    ) -> Result<Self, LocalError> {
        let count = u32::try_from(count)
            .map_err(|_| LocalError::new("a pack holds at most 4,294,967,295 objects"))?;
        let mut pack = Self {
            out,
            digest: Digest::new(format),
            bytes: 0,
        };
        pack.write_all(b"PACK")
            .and_then(|()| pack.write_all(&2_u32.to_be_bytes()))
            .and_then(|()| pack.write_all(&count.to_be_bytes()))
            .map_err(|error| not_written(&error))?;
        Ok(pack)
    }

    /// Writes the trailer, and returns the bytes of the whole pack.
    pub(super) fn finish(self) -> Result<u64, LocalError> {
        let Self { out, digest, bytes } = self;
        let digest = digest.finish();
        out.write_all(digest.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| not_written(&error))?;
        Ok(bytes + digest.as_bytes().len() as u64)
    }
}

/// Counts and hashes what is written.
impl Write for PackStream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(super) fn not_written(error: &io::Error) -> LocalError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        LocalError::new("the pack was cancelled")
    } else {
        LocalError::new(format!("the pack could not be written: {error}"))
    }
}
