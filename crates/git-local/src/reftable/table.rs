//! One table: an immutable file of sorted refs. Only its footer, the index and one block are read for a lookup.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use flate2::Crc;

use super::block::{Block, Content, Kind};
use super::{Record, Value, malformed};

/// An open table.
#[derive(Debug)]
pub struct Table<R> {
    source: R,
    id_length: usize,
    header_length: u64,
    /// Blocks begin at multiples of it; 0 if they follow each other immediately.
    block_size: u64,
    /// The position of the index's root; 0 without an index.
    ref_index: u64,
    /// The position behind the last block.
    end: u64,
}

impl<R: Read + Seek> Table<R> {
    /// Reads the header and the footer.
    ///
    /// # Errors
    ///
    /// Fails if the source cannot be read, or is not a whole table of a known version.
    pub fn open(mut source: R) -> io::Result<Self> {
        let length = source.seek(SeekFrom::End(0))?;
        let start = read_at(&mut source, 0, 28)?;
        let (header_length, id_length) = match start[..] {
            [b'R', b'E', b'F', b'T', 1, ..] => (24, 20),
            [b'R', b'E', b'F', b'T', 2, .., b's', b'h', b'a', b'1'] => (28, 20),
            [b'R', b'E', b'F', b'T', 2, .., b's', b'2', b'5', b'6'] => (28, 32),
            _ => return Err(malformed("it does not start as a reftable of version 1 or 2")),
        };
        let header = &start[..header_length];
        // The header again, five positions, and a checksum.
        let footer_length = header_length + 44;
        let end = length.checked_sub(footer_length as u64);
        let Some(end) = end.filter(|&end| end >= header_length as u64) else {
            return Err(malformed("it is shorter than a header and a footer"));
        };
        let footer = read_at(&mut source, end, footer_length)?;
        let (content, checksum) = footer.split_at(footer_length - 4);
        let mut crc = Crc::new();
        crc.update(content);
        if crc.sum().to_be_bytes() != checksum {
            return Err(malformed("the checksum of its footer is wrong"));
        }
        let Some(positions) = content.strip_prefix(header) else {
            return Err(malformed("its footer does not begin as its header"));
        };
        Ok(Self {
            source,
            id_length,
            header_length: header_length as u64,
            block_size: number(&header[5..8]),
            ref_index: number(&positions[..8]),
            end,
        })
    }

    /// Looks a ref up; `None` if the table says nothing about it.
    ///
    /// # Errors
    ///
    /// Fails if the table cannot be read or is malformed.
    pub fn find(&mut self, name: &[u8]) -> io::Result<Option<Record>> {
        // From the root of the index, or without one from the first refs, down to the refs.
        let (mut start, mut end) = (self.ref_index, self.end);
        loop {
            match self.seek_level(start, end, name)? {
                ControlFlow::Break(record) => return Ok(record),
                // Each level precedes the one above it, so that no byte is read twice.
                ControlFlow::Continue(below) if below < start => (start, end) = (below, start),
                ControlFlow::Continue(_) => return Err(malformed("its index does not lead to refs")),
            }
        }
    }

    /// Looks a ref up in one level, from a block that may have it on: its record, or the block below to go on from.
    fn seek_level(
        &mut self,
        start: u64,
        end: u64,
        name: &[u8],
    ) -> io::Result<ControlFlow<Option<Record>, u64>> {
        let mut position = start;
        while let Some(block) = self.block(position, end).map_err(in_block(position))? {
            let Some((found, content)) = block.seek(name).map_err(in_block(position))? else {
                position = block.end;
                continue;
            };
            let value = match content {
                Content::Block(below) => return Ok(ControlFlow::Continue(below)),
                _ if found != name => return Ok(ControlFlow::Break(None)),
                Content::Deletion => return Ok(ControlFlow::Break(Some(Record::Deletion))),
                Content::Id(id) => Value::Id(id.to_vec()),
                Content::Symbolic(target) => match str::from_utf8(target) {
                    Ok(target) => Value::Symbolic(target.to_owned()),
                    Err(_) => return Err(malformed("the target of a symbolic ref is not UTF-8")),
                },
            };
            return Ok(ControlFlow::Break(Some(Record::Value(value))));
        }
        // Only a table without refs has no first block.
        if position == start && start != 0 {
            return Err(malformed(format_args!("the block at byte {start} is missing")));
        }
        Ok(ControlFlow::Break(None))
    }

    /// Reads the block there, or behind the padding there. `None` at the end of the level, the refs or their index.
    fn block(&mut self, position: u64, level_end: u64) -> io::Result<Option<Block>> {
        // The header is a part of the first block.
        let start = if position == 0 {
            self.header_length
        } else {
            position
        };
        if start >= level_end {
            return Ok(None);
        }
        let header = read_at(&mut self.source, start, 4)?;
        let kind = match header[0] {
            b'r' => Kind::Ref,
            b'i' => Kind::Index,
            // Object ids and logs.
            b'o' | b'g' => return Ok(None),
            0 => {
                let next = position.checked_next_multiple_of(self.block_size);
                return match next.filter(|&next| next > position) {
                    Some(next) => self.block(next, level_end),
                    None => Err(malformed("a block was expected, not padding")),
                };
            }
            _ => return Err(malformed("its type is unknown")),
        };
        let body_start = start + header.len() as u64;
        let end = position + number(&header[1..]);
        let length = end.checked_sub(body_start).filter(|_| end <= level_end);
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
            return Err(malformed("its length is wrong"));
        };
        let body = read_at(&mut self.source, body_start, length)?;
        Block::new(kind, end, body, self.id_length).map(Some)
    }
}

/// Adds to an error which block it is about.
fn in_block(position: u64) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("the block at byte {position}: {error}"))
}

fn read_at(source: &mut (impl Read + Seek), position: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    source.seek(SeekFrom::Start(position))?;
    match source.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(malformed(format_args!(
            "it has less than {length} bytes at byte {position}"
        ))),
        result => result.map(|()| bytes),
    }
}

/// Reads a number of fixed length, of at most 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A table without blocks: this header and a footer.
    fn empty(header: &[u8]) -> Vec<u8> {
        let content = [header, &[0; 40]].concat();
        let mut crc = Crc::new();
        crc.update(&content);
        [header, &content, &crc.sum().to_be_bytes()].concat()
    }

    const HEADERS: [&[u8]; 3] = [
        b"REFT\x01\0\x10\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02",
        b"REFT\x02\0\x10\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02sha1",
        b"REFT\x02\0\x10\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02s256",
    ];

    #[test]
    fn an_empty_table_says_nothing() {
        for header in HEADERS {
            let mut table = Table::open(Cursor::new(empty(header))).expect("a table");
            assert_eq!(table.find(b"HEAD").expect("well-formed"), None);
        }
    }

    #[test]
    fn a_change_of_any_byte_of_header_or_footer_is_an_error() {
        for header in HEADERS {
            let bytes = empty(header);
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                Table::open(Cursor::new(changed)).expect_err("malformed");
            }
        }
    }

    impl<R: Read + Seek> Table<R> {
        /// Counts the levels of the index.
        pub(in super::super) fn index_levels(&mut self) -> usize {
            let (mut position, mut levels) = (self.ref_index, 0);
            loop {
                let block = self.block(position, self.end).expect("readable");
                match block.expect("a block").seek(b"").expect("well-formed") {
                    Some((_, Content::Block(below))) => (position, levels) = (below, levels + 1),
                    _ => return levels,
                }
            }
        }
    }
}
