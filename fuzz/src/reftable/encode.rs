//! Writes tables by the description of the format.

use std::collections::BTreeMap;

use flate2::Crc;
use git_local::reftable::{Record, Value};

/// The header's magic, its version, and the object format that follows in version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    TwoSha1,
    TwoSha256,
}

impl Version {
    pub(super) const fn id_length(self) -> usize {
        match self {
            Self::One | Self::TwoSha1 => 20,
            Self::TwoSha256 => 32,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::TwoSha1 | Self::TwoSha256 => 2,
        }
    }

    const fn object_format(self) -> &'static [u8] {
        match self {
            Self::One => b"",
            Self::TwoSha1 => b"sha1",
            Self::TwoSha256 => b"s256",
        }
    }
}

/// How a table is laid out.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) version: Version,
    /// At least as many bytes as the largest record needs in a block.
    pub(super) block_size: usize,
    pub(super) is_aligned: bool,
    pub(super) restart_interval: usize,
    /// Above more blocks than this there is an index.
    pub(super) root_blocks: usize,
}

/// The value of a ref that is written.
#[derive(Debug)]
pub(super) enum Written {
    Deletion,
    Id(Vec<u8>),
    /// Two ids.
    Peeled(Vec<u8>),
    Symbolic(String),
}

impl Written {
    /// The value that is read.
    pub(super) fn record(&self) -> Record {
        match self {
            Self::Deletion => Record::Deletion,
            Self::Id(id) => Record::Value(Value::Id(id.clone())),
            Self::Peeled(ids) => Record::Value(Value::Id(ids[..ids.len() / 2].to_vec())),
            Self::Symbolic(target) => Record::Value(Value::Symbolic(target.clone())),
        }
    }

    fn value_type(&self) -> u8 {
        match self {
            Self::Deletion => 0,
            Self::Id(_) => 1,
            Self::Peeled(_) => 2,
            Self::Symbolic(_) => 3,
        }
    }

    fn content(&self) -> Vec<u8> {
        let update = varint(5);
        match self {
            Self::Deletion => update,
            Self::Id(ids) | Self::Peeled(ids) => [update, ids.clone()].concat(),
            Self::Symbolic(target) => [&update, &varint(target.len()), target.as_bytes()].concat(),
        }
    }
}

/// The name, the type and the content of a record in a block.
type Entry = (Vec<u8>, u8, Vec<u8>);

/// A table of these refs, whose log block holds `log`.
pub(super) fn encode(refs: &BTreeMap<Vec<u8>, Written>, layout: &Layout, log: &[u8]) -> Vec<u8> {
    let mut table = b"REFT".to_vec();
    let block_size = if layout.is_aligned { layout.block_size } else { 0 };
    table.push(layout.version.number());
    table.extend(u24(block_size));
    table.extend([0; 16]);
    table.extend(layout.version.object_format());
    let header_length = table.len();

    let entries = refs
        .iter()
        .map(|(name, written)| (name.clone(), written.value_type(), written.content()));
    let mut index = write_level(&mut table, b'r', &entries.collect::<Vec<_>>(), layout);
    let mut root = 0;
    // An unaligned table of several blocks must have an index.
    let mut root_blocks = if layout.is_aligned { layout.root_blocks } else { 1 };
    while index.len() > root_blocks {
        align(&mut table, layout);
        root = table.len();
        index = write_level(&mut table, b'i', &index, layout);
        root_blocks = layout.root_blocks;
    }
    table.push(b'g');
    table.extend(u24(100_000));
    table.extend(log);

    table.extend_from_within(..header_length);
    table.extend((root as u64).to_be_bytes());
    table.extend([0; 36]);
    seal(&table).expect("it has a header and a footer")
}

/// Makes the header and the footer valid: the magic, the version, the object format, the checksum. `None` if the table is
/// too short for both.
pub(super) fn seal(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut table = bytes.to_vec();
    table.get_mut(..4)?.copy_from_slice(b"REFT");
    let version = match (*table.get(4)?, table.get(24..28)?) {
        (2, b"s256") => Version::TwoSha256,
        (2, _) => Version::TwoSha1,
        _ => Version::One,
    };
    table[4] = version.number();
    let object_format = version.object_format();
    table[24..24 + object_format.len()].copy_from_slice(object_format);
    let header_length = 24 + object_format.len();
    let footer = table.len().checked_sub(header_length + 44)?;
    if footer < header_length {
        return None;
    }
    table.copy_within(..header_length, footer);
    let checksum = table.len() - 4;
    let mut crc = Crc::new();
    crc.update(&table[footer..checksum]);
    table[checksum..].copy_from_slice(&crc.sum().to_be_bytes());
    Some(table)
}

/// Writes blocks of these entries; returns the entries of the index above them.
fn write_level(table: &mut Vec<u8>, block_type: u8, entries: &[Entry], layout: &Layout) -> Vec<Entry> {
    let mut index = Vec::new();
    let mut rest = entries;
    // The header is a part of the first block.
    let mut position = if block_type == b'r' { 0 } else { table.len() };
    while !rest.is_empty() {
        let count = write_block(table, position, block_type, rest, layout);
        index.push((rest[count - 1].0.clone(), 0, varint(position)));
        rest = &rest[count..];
        if !rest.is_empty() {
            align(table, layout);
        }
        position = table.len();
    }
    index
}

/// Writes one block that starts at a position; returns how many entries are in it.
fn write_block(
    table: &mut Vec<u8>,
    position: usize,
    block_type: u8,
    entries: &[Entry],
    layout: &Layout,
) -> usize {
    let start = table.len();
    table.extend([block_type, 0, 0, 0]);
    // With one entry in each block, an index would have levels without end.
    let minimum = if block_type == b'i' { 2 } else { 1 };
    let mut restarts = Vec::new();
    let mut count = 0;
    for (name, value_type, content) in entries {
        let is_restart = count % layout.restart_interval == 0;
        let shared = match entries.get(count.wrapping_sub(1)) {
            Some((last, ..)) if !is_restart => last.iter().zip(name).take_while(|(a, b)| a == b).count(),
            _ => 0,
        };
        let suffix = &name[shared..];
        let tagged_length = varint(suffix.len() << 3 | usize::from(*value_type));
        let entry = [&varint(shared), &tagged_length, suffix, content].concat();
        let restarts_length = 3 * (restarts.len() + usize::from(is_restart)) + 2;
        let length = table.len() - position + entry.len() + restarts_length;
        if count >= minimum && length > layout.block_size {
            break;
        }
        if is_restart {
            restarts.push(table.len() - position);
        }
        table.extend(entry);
        count += 1;
    }
    table.extend(restarts.iter().flat_map(|&restart| u24(restart)));
    table.extend(&u24(restarts.len())[1..]);
    let length = u24(table.len() - position);
    table[start + 1..start + 4].copy_from_slice(&length);
    count
}

fn align(table: &mut Vec<u8>, layout: &Layout) {
    if layout.is_aligned {
        table.resize(table.len().next_multiple_of(layout.block_size), 0);
    }
}

fn u24(number: usize) -> [u8; 3] {
    let [.., a, b, c] = number.to_be_bytes();
    [a, b, c]
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![low_bits(number)];
    while number > 0x7f {
        number = (number >> 7) - 1;
        bytes.insert(0, 0x80 | low_bits(number));
    }
    bytes
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7f).expect("7 bits")
}
