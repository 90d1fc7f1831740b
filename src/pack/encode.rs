//! Encodes objects as entries of a pack: a header, and the deflated object or delta.

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress, Status};

use super::delta;
use super::enumerate::Listed;
use super::objects::{Object, Objects};
use super::stream::not_written;
use crate::failure::Failure;
use crate::oid::Oid;

/// Deflated bytes are handed on in pieces of this size.
const PIECE: usize = 32 * 1024;

/// Up to this size nothing is gained by compressing: what is so short is a delta with an id or two in it.
const STORED: usize = 64;

/// Bytes of entries that wait for the number of all of them.
const EARLY_LIMIT: usize = 4 * 1024 * 1024;

/// Encodes one object after the other.
#[derive(Default)]
pub(super) struct Encoder {
    deflate: Deflate,
}

impl Encoder {
    /// Encodes an object, as a delta where that is smaller.
    pub(super) fn encode(
        &mut self,
        objects: &mut Objects,
        listed: Listed,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let object = objects.read(listed.oid)?;
        let written = match delta_of(objects, &object, listed.base) {
            // Far smaller before it is deflated means smaller afterwards.
            Some(delta) if delta.len() <= object.data.len() / 2 => self.delta(listed.base, &delta, out),
            Some(delta) => {
                let deflated_delta = self.deflate.deflated(&delta);
                let deflated = self.deflate.deflated(&object.data);
                if deflated_delta.len() + Oid::LENGTH < deflated.len() {
                    header(REF_DELTA, delta.len(), out)
                        .and_then(|()| out.write_all(listed.base.as_bytes()))
                        .and_then(|()| out.write_all(&deflated_delta))
                } else {
                    header(type_number(object.kind), object.data.len(), out)
                        .and_then(|()| out.write_all(&deflated))
                }
            }
            None => header(type_number(object.kind), object.data.len(), out)
                .and_then(|()| self.deflate.write(&object.data, out)),
        };
        written.map_err(|error| not_written(&error))
    }

    fn delta(&mut self, base: Oid, delta: &[u8], out: &mut dyn Write) -> io::Result<()> {
        header(REF_DELTA, delta.len(), out)?;
        out.write_all(base.as_bytes())?;
        self.deflate.write(delta, out)
    }
}

/// Entries that were encoded before the number of all of them was known.
#[derive(Default)]
pub(super) struct Early {
    /// In pieces, so that they need not be copied to grow, and can be dropped one by one.
    pieces: Vec<Vec<u8>>,
    piece: Vec<u8>,
    bytes: usize,
    count: usize,
}

impl Early {
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= EARLY_LIMIT
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn add(
        &mut self,
        encode: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let before = self.piece.len();
        encode(&mut self.piece)?;
        self.bytes += self.piece.len() - before;
        self.count += 1;
        if self.piece.len() >= PIECE {
            self.pieces.push(std::mem::take(&mut self.piece));
        }
        Ok(())
    }

    pub(super) fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        for piece in self.pieces {
            out.write_all(&piece)?;
        }
        out.write_all(&self.piece)
    }
}

/// The type and the inflated size: four bits of size in the first byte, seven in each that follows.
fn header(type_number: u8, size: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut header = Vec::with_capacity(10);
    let mut byte = (type_number << 4) | (size.to_le_bytes()[0] & 0x0f);
    let mut rest = size >> 4;
    while rest > 0 {
        header.push(byte | 0x80);
        byte = rest.to_le_bytes()[0] & 0x7f;
        rest >>= 7;
    }
    header.push(byte);
    out.write_all(&header)
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
fn delta_of(objects: &mut Objects, object: &Object, base: Oid) -> Option<Vec<u8>> {
    let is_worth_it = !base.is_zero()
        && object.data.len() <= delta::MAX_SIZE
        && objects.size(base).is_ok_and(|size| size <= delta::MAX_SIZE);
    if !is_worth_it {
        return None;
    }
    let base = objects.read(base).ok()?;
    if base.kind != object.kind {
        return None;
    }
    delta::encode(&base.data, &object.data)
}

/// One deflater for all objects: its tables are large, and most objects are small.
struct Deflate {
    compress: Compress,
    piece: Vec<u8>,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            compress: Compress::new(Compression::default(), true),
            piece: Vec::with_capacity(PIECE),
        }
    }
}

impl Deflate {
    fn deflated(&mut self, data: &[u8]) -> Vec<u8> {
        let mut deflated = Vec::new();
        self.write(data, &mut deflated).expect("a Vec takes everything");
        deflated
    }

    fn write(&mut self, data: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if data.len() <= STORED {
            return out.write_all(&stored(data));
        }
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

/// A zlib stream (RFC 1950) of one block that is not compressed (RFC 1951, 3.2.4).
fn stored(data: &[u8]) -> Vec<u8> {
    const ZLIB: [u8; 2] = [0x78, 0x01];
    const LAST_BLOCK: u8 = 1;
    let length = u16::try_from(data.len()).expect("few bytes");
    let mut stream = Vec::with_capacity(data.len() + 11);
    stream.extend_from_slice(&ZLIB);
    stream.push(LAST_BLOCK);
    stream.extend_from_slice(&length.to_le_bytes());
    stream.extend_from_slice(&(!length).to_le_bytes());
    stream.extend_from_slice(data);
    stream.extend_from_slice(&adler32(data).to_be_bytes());
    stream
}

/// The sum at the end of a zlib stream; of few bytes, so that nothing overflows before the end.
fn adler32(data: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = a + u32::from(byte);
        (a, b + a)
    });
    ((b % MODULUS) << 16) | (a % MODULUS)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[test]
    fn what_is_deflated_inflates_to_itself_whether_it_is_short_or_long() {
        let mut deflate = Deflate::default();
        for length in (0..200).chain([STORED * 100, PIECE - 1, PIECE * 5]) {
            for byte in [0, 7, 255] {
                let data: Vec<u8> = (0..length)
                    .map(|at| if at % 3 == 0 { byte } else { low(at) })
                    .collect();
                let mut inflated = Vec::new();
                ZlibDecoder::new(&deflate.deflated(&data)[..])
                    .read_to_end(&mut inflated)
                    .expect("a zlib stream");
                assert_eq!(inflated, data, "{length} bytes");
            }
        }
    }

    fn low(value: usize) -> u8 {
        value.to_le_bytes()[0]
    }

    #[test]
    fn early_entries_are_written_as_they_were_encoded() {
        let mut early = Early::default();
        let entries: Vec<Vec<u8>> = (0..100_u8)
            .map(|byte| vec![byte; usize::from(byte) * 50])
            .collect();
        for entry in &entries {
            early
                .add(|out| out.write_all(entry).map_err(|error| not_written(&error)))
                .expect("a Vec takes everything");
        }
        assert_eq!((early.count(), early.is_full()), (entries.len(), false));
        let mut written = Vec::new();
        early.write_to(&mut written).expect("a Vec takes everything");
        assert_eq!(written, entries.concat());
    }
}
