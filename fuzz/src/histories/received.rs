//! A strict reader of packs by `gitformat-pack`, which shares no code with their writer.

use std::collections::HashMap;
use std::rc::Rc;

use flate2::{Decompress, FlushDecompress, Status};
use git2::{ObjectFormat, ObjectType, Oid};

use super::Stored;
use super::store::{hash, id_length};

/// As in `git pack-objects`.
const MAX_DEPTH: usize = 50;

/// The objects of a pack in its order.
pub(super) struct Received {
    pub(super) objects: Vec<(Oid, Rc<Stored>)>,
}

/// Reads a pack. `remote` gives the objects that the server had before.
///
/// # Panics
///
/// If a server would refuse the pack: missing or additional bytes, a wrong checksum, a delta whose base is neither on the
/// remote nor earlier in the pack, a chain that is too long, or a duplicate object.
pub(super) fn receive(
    pack: &[u8],
    format: ObjectFormat,
    remote: impl Fn(Oid) -> Option<Rc<Stored>>,
) -> Received {
    let length = id_length(format);
    let (body, sum) = pack.split_at(pack.len() - length);
    assert_eq!(hash(format, body), sum, "the pack's sum");
    let rest = body.strip_prefix(b"PACK\0\0\0\x02").expect("a pack of version 2");
    let (count, mut rest) = rest.split_first_chunk::<4>().expect("the number of objects");
    let mut depths: HashMap<Oid, usize> = HashMap::new();
    let mut by_id: HashMap<Oid, Rc<Stored>> = HashMap::new();
    let mut objects = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (number, size) = header(&mut rest);
        let (stored, depth) = match number {
            1..=4 => {
                let kind = [
                    ObjectType::Commit,
                    ObjectType::Tree,
                    ObjectType::Blob,
                    ObjectType::Tag,
                ][usize::from(number) - 1];
                let content = inflate(&mut rest, size);
                (Stored { kind, content }, 0)
            }
            7 => {
                let (base, after) = rest.split_at(length);
                rest = after;
                let base = Oid::from_bytes(base).expect("the base of a delta");
                let (old, depth) = match by_id.get(&base) {
                    Some(old) => (Rc::clone(old), depths[&base]),
                    None => (
                        remote(base).unwrap_or_else(|| panic!("the base {base} is nowhere")),
                        0,
                    ),
                };
                let delta = inflate(&mut rest, size);
                let content = apply(&old.content, &delta);
                let kind = old.kind;
                (Stored { kind, content }, depth + 1)
            }
            other => panic!("an object of type {other} is never sent"),
        };
        assert!(depth <= MAX_DEPTH, "a chain of {depth} deltas");
        let oid = stored.oid(format);
        let stored = Rc::new(stored);
        assert!(depths.insert(oid, depth).is_none(), "{oid} comes twice");
        by_id.insert(oid, Rc::clone(&stored));
        objects.push((oid, stored));
    }
    assert!(rest.is_empty(), "{} bytes behind the last object", rest.len());
    Received { objects }
}

/// The type and the inflated size.
fn header(rest: &mut &[u8]) -> (u8, usize) {
    let first = byte(rest);
    let mut size = usize::from(first & 0x0f);
    let mut shift = 4;
    let mut last = first;
    while last & 0x80 != 0 {
        last = byte(rest);
        size |= usize::from(last & 0x7f) << shift;
        shift += 7;
    }
    ((first >> 4) & 7, size)
}

fn byte(rest: &mut &[u8]) -> u8 {
    let (first, after) = rest.split_first().expect("more of the pack");
    *rest = after;
    *first
}

fn inflate(rest: &mut &[u8], size: usize) -> Vec<u8> {
    let mut inflate = Decompress::new(true);
    // One byte more than allowed, to notice too much data.
    let mut content = Vec::with_capacity(size + 1);
    let status = inflate
        .decompress_vec(rest, &mut content, FlushDecompress::Finish)
        .expect("a zlib stream");
    assert_eq!(status, Status::StreamEnd);
    assert_eq!(content.len(), size, "the size in the header");
    *rest = &rest[usize::try_from(inflate.total_in()).expect("in memory")..];
    content
}

fn apply(base: &[u8], delta: &[u8]) -> Vec<u8> {
    let mut rest = delta;
    assert_eq!(delta_size(&mut rest), base.len(), "the base's size");
    let size = delta_size(&mut rest);
    let mut target = Vec::with_capacity(size);
    while !rest.is_empty() {
        let instruction = byte(&mut rest);
        if instruction & 0x80 == 0 {
            assert_ne!(instruction, 0, "a reserved instruction");
            let (new, after) = rest.split_at(usize::from(instruction));
            target.extend_from_slice(new);
            rest = after;
            continue;
        }
        let mut field = |bits: std::ops::Range<u32>| {
            bits.clone()
                .filter(|bit| instruction & (1 << bit) != 0)
                .map(|bit| usize::from(byte(&mut rest)) << (8 * (bit - bits.start)))
                .sum::<usize>()
        };
        let offset = field(0..4);
        let length = match field(4..7) {
            0 => 0x1_0000,
            length => length,
        };
        target.extend_from_slice(&base[offset..offset + length]);
    }
    assert_eq!(target.len(), size, "the target's size");
    target
}

fn delta_size(rest: &mut &[u8]) -> usize {
    let mut size = 0;
    let mut shift = 0;
    loop {
        let byte = byte(rest);
        size |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return size;
        }
    }
}
