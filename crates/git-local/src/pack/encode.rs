//! Encodes objects as entries of a pack: a header, and the deflated object or delta.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git_wire::oid::Oid;
use git2::ObjectType;

use super::delta;
use super::enumerate::Listed;
use super::objects::{Object, Objects};
use super::stream::not_written;
use crate::LocalError;

const REF_DELTA: u8 = 7;

/// Larger objects are deflated while they are sent.
const LARGE: usize = 1024 * 1024;

/// Encodes one object after the other.
pub(super) struct Encoder {
    /// One for all objects: its tables are large, and most objects are small.
    deflater: ZlibEncoder<Vec<u8>>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            deflater: ZlibEncoder::new(Vec::new(), Compression::default()),
        }
    }
}

impl Encoder {
    /// Writes the entry of an object: a delta if that is smaller.
    ///
    /// # Errors
    ///
    /// If the object cannot be read, or `out` does not accept the entry.
    pub(super) fn encode(
        &mut self,
        objects: &mut Objects,
        listed: Listed,
        out: &mut dyn Write,
    ) -> Result<(), LocalError> {
        let object = objects.read(listed.oid)?;
        let mut entry = Vec::new();
        if let Some(base) = listed.base
            && let Some(delta) = delta_of(objects, &object, base)
        {
            let deflated = self.deflate(&delta);
            // A delta that is far smaller is so after deflating too.
            if delta.len() <= object.data.len() / 2
                || deflated.len() + base.as_bytes().len() < self.deflate(&object.data).len()
            {
                entry = header(REF_DELTA, delta.len());
                entry.extend_from_slice(base.as_bytes());
                entry.extend_from_slice(&deflated);
            }
        }
        if entry.is_empty() {
            entry = header(type_number(object.kind), object.data.len());
            if object.data.len() > LARGE {
                let written = write_large(&entry, &object.data, out);
                return written.map_err(|error| not_written(&error));
            }
            entry.append(&mut self.deflate(&object.data));
        }
        out.write_all(&entry).map_err(|error| not_written(&error))
    }

    fn deflate(&mut self, data: &[u8]) -> Vec<u8> {
        let written = self.deflater.write_all(data);
        let deflated = written.and_then(|()| self.deflater.reset(Vec::new()));
        deflated.expect("a Vec accepts everything")
    }
}

fn write_large(header: &[u8], data: &[u8], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(header)?;
    let mut deflater = ZlibEncoder::new(out, Compression::default());
    deflater.write_all(data)?;
    deflater.finish().map(drop)
}

/// The type and the inflated size: four bits of the size in the first byte, seven in each that follows.
fn header(type_number: u8, size: usize) -> Vec<u8> {
    let mut header = Vec::new();
    let mut byte = (type_number << 4) | (size.to_le_bytes()[0] & 0x0f);
    let mut rest = size >> 4;
    while rest > 0 {
        header.push(byte | 0x80);
        byte = rest.to_le_bytes()[0] & 0x7f;
        rest >>= 7;
    }
    header.push(byte);
    header
}

const fn type_number(kind: ObjectType) -> u8 {
    match kind {
        ObjectType::Commit => 1,
        ObjectType::Tree => 2,
        ObjectType::Tag => 4,
        // The object database gives no other kind to an object that it has.
        ObjectType::Blob | ObjectType::Any => 3,
    }
}

/// The delta against the base, if the base can be one. A base that cannot be read costs only bytes.
fn delta_of(objects: &mut Objects, object: &Object, base: Oid) -> Option<Vec<u8>> {
    if object.data.len() > delta::MAX_SIZE || objects.header(base).ok()?.0 > delta::MAX_SIZE {
        return None;
    }
    let base = objects.read(base).ok().filter(|base| base.kind == object.kind)?;
    delta::encode(&base.data, &object.data)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[test]
    fn deflated_data_inflates_to_itself() {
        let mut encoder = Encoder::default();
        for length in [0, 1, 100, 10_000, 1_000_000] {
            let data: Vec<u8> = (0..length).map(|at: usize| at.to_le_bytes()[at % 2]).collect();
            let mut inflated = Vec::new();
            ZlibDecoder::new(&encoder.deflate(&data)[..])
                .read_to_end(&mut inflated)
                .expect("a zlib stream");
            assert_eq!(inflated, data, "{length} bytes");
        }
    }
}
