//! Writes a pack (`gitformat-pack`, version 2): header, deflated objects, SHA-1 trailer.

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress, Status};
use sha1::{Digest, Sha1};

use super::delta;
use super::enumerate::Listed;
use super::objects::{Object, Objects};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// Deflated bytes are handed on in pieces of this size.
const PIECE: usize = 32 * 1024;

/// Writes one pack.
pub(super) struct PackStream<'w> {
    out: Summed<'w>,
    deflate: Deflate,
}

impl<'w> PackStream<'w> {
    /// Starts a pack of `count` objects.
    pub(super) fn start(out: &'w mut dyn Write, count: u32) -> Result<Self, Failure> {
        let mut out = Summed {
            out,
            digest: Sha1::new(),
            bytes: 0,
        };
        out.write_all(b"PACK")
            .and_then(|()| out.write_all(&2_u32.to_be_bytes()))
            .and_then(|()| out.write_all(&count.to_be_bytes()))
            .map_err(|error| not_written(&error))?;
        Ok(Self {
            out,
            deflate: Deflate::new(),
        })
    }

    /// Writes an object, as a delta where that is smaller.
    pub(super) fn object(&mut self, objects: &mut Objects<'_>, listed: Listed) -> Result<(), Failure> {
        let object = objects.read(listed.oid)?;
        let written = match delta_of(objects, &object, listed.base) {
            // Far smaller before it is deflated means smaller afterwards.
            Some(delta) if delta.len() <= object.data().len() / 2 => self.delta(listed.base, &delta),
            Some(delta) => {
                let deflated_delta = self.deflate.deflated(&delta);
                let deflated = self.deflate.deflated(object.data());
                if deflated_delta.len() + Oid::LENGTH < deflated.len() {
                    self.header(REF_DELTA, delta.len())
                        .and_then(|()| self.out.write_all(listed.base.as_bytes()))
                        .and_then(|()| self.out.write_all(&deflated_delta))
                } else {
                    self.header(type_number(object.kind), object.data().len())
                        .and_then(|()| self.out.write_all(&deflated))
                }
            }
            None => self
                .header(type_number(object.kind), object.data().len())
                .and_then(|()| self.deflate.write(object.data(), &mut self.out)),
        };
        written.map_err(|error| not_written(&error))
    }

    /// Writes the trailer, and returns the bytes of the whole pack.
    pub(super) fn finish(self) -> Result<u64, Failure> {
        let Summed { out, digest, bytes } = self.out;
        let digest = digest.finalize();
        out.write_all(&digest)
            .and_then(|()| out.flush())
            .map_err(|error| not_written(&error))?;
        Ok(bytes + digest.len() as u64)
    }

    fn delta(&mut self, base: Oid, delta: &[u8]) -> io::Result<()> {
        self.header(REF_DELTA, delta.len())?;
        self.out.write_all(base.as_bytes())?;
        self.deflate.write(delta, &mut self.out)
    }

    /// The type and the inflated size: four bits of size in the first byte, seven in each that follows.
    fn header(&mut self, type_number: u8, size: usize) -> io::Result<()> {
        let mut header = Vec::with_capacity(10);
        let mut byte = (type_number << 4) | (size.to_le_bytes()[0] & 0x0f);
        let mut rest = size >> 4;
        while rest > 0 {
            header.push(byte | 0x80);
            byte = rest.to_le_bytes()[0] & 0x7f;
            rest >>= 7;
        }
        header.push(byte);
        self.out.write_all(&header)
    }
}

const REF_DELTA: u8 = 7;

const fn type_number(kind: git2::ObjectType) -> u8 {
    match kind {
        git2::ObjectType::Commit => 1,
        git2::ObjectType::Tree => 2,
        git2::ObjectType::Tag => 4,
        // The object database gives no other kind for an object that it has.
        git2::ObjectType::Blob | git2::ObjectType::Any => 3,
    }
}

/// The delta against the base, if the base can be one. A base that cannot be read costs only bytes.
fn delta_of(objects: &mut Objects<'_>, object: &Object, base: Oid) -> Option<Vec<u8>> {
    let is_worth_it = !base.is_zero()
        && object.data().len() <= delta::MAX_SIZE
        && objects.size(base).is_ok_and(|size| size <= delta::MAX_SIZE);
    if !is_worth_it {
        return None;
    }
    let base = objects.read(base).ok()?;
    if base.kind != object.kind {
        return None;
    }
    delta::encode(base.data(), object.data())
}

pub(super) fn not_written(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::new(Kind::Local, "the pack was cancelled: nobody reads it any more")
    } else {
        Failure::new(Kind::Local, format!("the pack could not be written: {error}"))
    }
}

/// Counts and hashes what is written.
struct Summed<'w> {
    out: &'w mut dyn Write,
    digest: Sha1,
    bytes: u64,
}

impl Write for Summed<'_> {
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

/// One deflater for all objects: its tables are large, and most objects are small.
struct Deflate {
    compress: Compress,
    piece: Vec<u8>,
}

impl Deflate {
    fn new() -> Self {
        Self {
            compress: Compress::new(Compression::default(), true),
            piece: Vec::with_capacity(PIECE),
        }
    }

    fn deflated(&mut self, data: &[u8]) -> Vec<u8> {
        let mut deflated = Vec::new();
        self.write(data, &mut deflated).expect("a Vec takes everything");
        deflated
    }

    fn write(&mut self, data: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.compress.reset();
        let mut rest = data;
        loop {
            self.piece.clear();
            let before = self.compress.total_in();
            let status = self
                .compress
                .compress_vec(rest, &mut self.piece, FlushCompress::Finish)
                .map_err(io::Error::other)?;
            out.write_all(&self.piece)?;
            let consumed = usize::try_from(self.compress.total_in() - before).map_err(io::Error::other)?;
            rest = &rest[consumed..];
            if status == Status::StreamEnd {
                return Ok(());
            }
        }
    }
}
