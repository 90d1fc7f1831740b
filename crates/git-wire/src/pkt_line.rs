//! The packets that every git protocol is made of: four hexadecimal digits of length, then the payload
//! (`gitprotocol-common`, "pkt-line Format").
//!
//! It does not know what the packets mean. Any input gives packets or an error, never a panic, and never makes the
//! reader hold more than one packet. The errors are those of `std::io`: [`io::ErrorKind::UnexpectedEof`] when the stream
//! ends inside a packet, [`io::ErrorKind::InvalidData`] when the input is not a packet.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest packet that the protocol allows, its four digits of length included.
pub const MAX_PACKET: usize = 65_520;
/// The longest payload that fits in a packet.
pub const MAX_PAYLOAD: usize = MAX_PACKET - LENGTH_DIGITS;

const LENGTH_DIGITS: usize = 4;
/// The least to read at once, so that short packets do not cost a system call each.
const READ_AT_LEAST: usize = 8 * 1024;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A payload, possibly empty.
    Data(Bytes),
    /// `0000`: the end of a section.
    Flush,
    /// `0001`, of protocol version 2.
    Delim,
    /// `0002`, of protocol version 2 over a stateless connection.
    ResponseEnd,
}

/// Reads packets from a byte stream.
#[derive(Debug)]
pub struct PacketReader<R> {
    inner: R,
    buffer: BytesMut,
}

impl<R> PacketReader<R> {
    /// Reads packets from `inner`.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: BytesMut::new(),
        }
    }

    /// Returns the stream. Bytes that were read ahead are lost.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    /// Reads the next packet; `None` if the stream ended between two packets.
    ///
    /// Cancel-safe: the reader keeps the bytes of an unfinished packet, and the next call continues with them.
    ///
    /// # Errors
    ///
    /// Reading failed, the stream ended inside a packet, or the input is not a packet.
    pub async fn read(&mut self) -> io::Result<Option<Packet>> {
        loop {
            if let Some(packet) = take_packet(&mut self.buffer)? {
                return Ok(Some(packet));
            }
            // Room for one whole packet: the buffer never grows beyond that.
            self.buffer.reserve(match announced_length(&self.buffer)? {
                Some(length) => length.max(READ_AT_LEAST),
                None => READ_AT_LEAST,
            });
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Takes the next packet out of the bytes that were read ahead; `None` if they hold no whole packet.
    pub fn take_read(&mut self) -> Option<Packet> {
        take_packet(&mut self.buffer).ok().flatten()
    }

    /// Reads to the end of the stream and discards everything.
    ///
    /// # Errors
    ///
    /// Reading failed.
    pub async fn discard(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(READ_AT_LEAST);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Takes the first packet out of a buffer; `None` if the buffer does not hold all of it yet.
///
/// # Errors
///
/// The buffer starts with something that is not a packet.
pub(crate) fn take_packet(buffer: &mut BytesMut) -> io::Result<Option<Packet>> {
    let Some(length) = announced_length(buffer)? else {
        return Ok(None);
    };
    let special = match length {
        0 => Packet::Flush,
        1 => Packet::Delim,
        2 => Packet::ResponseEnd,
        _ if buffer.len() < length => return Ok(None),
        _ => {
            let mut packet = buffer.split_to(length);
            packet.advance(LENGTH_DIGITS);
            return Ok(Some(Packet::Data(packet.freeze())));
        }
    };
    buffer.advance(LENGTH_DIGITS);
    Ok(Some(special))
}

fn announced_length(buffer: &[u8]) -> io::Result<Option<usize>> {
    let Some(digits) = buffer.first_chunk::<LENGTH_DIGITS>() else {
        return Ok(None);
    };
    let length = digits.iter().try_fold(0_usize, |length, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some((length << 4) | value as usize)
    });
    // A length includes its own four digits, so 3 is impossible.
    if let Some(0..=2 | LENGTH_DIGITS..=MAX_PACKET) = length {
        return Ok(length);
    }
    // Shows enough of a shell's greeting or an HTML page to recognise it.
    let shown = &buffer[..buffer.len().min(80)];
    let message = format!("expected a git packet, got \"{}\"", shown.escape_ascii());
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Appends a packet with this payload.
///
/// # Panics
///
/// The payload is longer than [`MAX_PAYLOAD`].
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() <= MAX_PAYLOAD, "a payload must fit in a packet");
    out.extend_from_slice(format!("{:04x}", payload.len() + LENGTH_DIGITS).as_bytes());
    out.extend_from_slice(payload);
}

/// Appends a flush packet.
pub fn encode_flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> io::Result<Vec<Packet>> {
        let mut reader = PacketReader::new(bytes);
        let mut packets = Vec::new();
        block_on(async {
            while let Some(packet) = reader.read().await? {
                packets.push(packet);
            }
            Ok(packets)
        })
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn special_packets_differ_from_data() {
        let packets = read_all(b"0000000100020004000ahello\n").expect("valid");
        assert_eq!(
            packets,
            [
                Packet::Flush,
                Packet::Delim,
                Packet::ResponseEnd,
                Packet::Data(Bytes::new()),
                Packet::Data(Bytes::from_static(b"hello\n")),
            ]
        );
    }

    #[test]
    fn an_impossible_length_is_an_error_that_shows_the_input() {
        for (bytes, shown) in [
            (&b"0003"[..], "0003"),
            (b"fff1", "fff1"),
            (b"+123", "+123"),
            (b"Welcome to the shell\n", "Welcome to the shell\\n"),
        ] {
            let error = read_all(bytes).expect_err("not a packet");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(shown), "{error}");
        }
    }

    #[test]
    fn the_end_of_the_stream_inside_a_packet_is_an_error() {
        for bytes in [&b"0"[..], b"0005", b"000ahell"] {
            let error = read_all(bytes).expect_err("cut short");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_cancelled_read_loses_nothing() {
        use tokio::io::AsyncWriteExt;
        block_on(async {
            let (mut server, client) = tokio::io::duplex(64);
            let mut reader = PacketReader::new(client);
            server.write_all(b"000ahel").await.expect("room");
            tokio::select! {
                biased;
                packet = reader.read() => panic!("{packet:?}"),
                () = std::future::ready(()) => {}
            }
            server.write_all(b"lo\n").await.expect("room");
            assert_eq!(
                reader.read().await.expect("valid"),
                Some(Packet::Data(Bytes::from_static(b"hello\n")))
            );
        });
    }

    proptest! {
        #[test]
        fn any_payloads_round_trip(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..20)) {
            let mut bytes = Vec::new();
            for payload in &payloads {
                encode(payload, &mut bytes);
            }
            encode_flush(&mut bytes);
            let mut expected: Vec<Packet> = payloads.into_iter().map(|payload| Packet::Data(payload.into())).collect();
            expected.push(Packet::Flush);
            prop_assert_eq!(read_all(&bytes).expect("valid"), expected);
        }

        #[test]
        fn any_bytes_give_packets_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _: Result<_, _> = read_all(&bytes);
        }
    }

    #[test]
    fn the_longest_payload_round_trips() {
        let payload = vec![7; MAX_PAYLOAD];
        let mut bytes = Vec::new();
        encode(&payload, &mut bytes);
        assert_eq!(read_all(&bytes).expect("valid"), [Packet::Data(payload.into())]);
    }
}
