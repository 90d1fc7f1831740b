//! Packets are read alike however their bytes arrive, as the protocol defines, and with bounded memory.

use std::io::ErrorKind;

use bytes::Bytes;
use git_wire::pkt_line::{MAX_PACKET, MAX_PAYLOAD, Packet, PacketReader, encode, encode_flush};

use super::stream::{ARRIVALS, Arrival, run_cancelled};

/// How the stream of packets ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    BetweenPackets,
    InsideAPacket,
    NoPacket,
}

/// The input is read as the stream of a server, and as payload that is to be sent.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let expected = read_by_specification(input);
    for arrival in ARRIVALS {
        assert_eq!(read(arrival, input), expected, "{arrival:?}");
    }
    let mut again = Vec::new();
    for packet in &expected.0 {
        match packet {
            Packet::Data(payload) => encode(payload, &mut again),
            Packet::Flush => encode_flush(&mut again),
            Packet::Delim => again.extend_from_slice(b"0001"),
            Packet::ResponseEnd => again.extend_from_slice(b"0002"),
        }
    }
    assert_eq!(
        read_by_specification(&again),
        (expected.0, End::BetweenPackets),
        "what was read can be sent"
    );

    let mut sent = Vec::new();
    let pieces: Vec<&[u8]> = input.split(|&byte| byte == 0).collect();
    for piece in &pieces {
        encode(&piece[..piece.len().min(MAX_PAYLOAD)], &mut sent);
    }
    let received: Vec<Packet> = pieces
        .iter()
        .map(|piece| Packet::Data(Bytes::copy_from_slice(&piece[..piece.len().min(MAX_PAYLOAD)])))
        .collect();
    assert_eq!(read(ARRIVALS[0], &sent), (received, End::BetweenPackets));
}

fn read(arrival: Arrival, input: &[u8]) -> (Vec<Packet>, End) {
    let stream = arrival.of(input);
    let largest_buffer = std::rc::Rc::clone(&stream.largest_buffer);
    let mut reader = PacketReader::new(stream);
    let mut packets = Vec::new();
    let end = loop {
        match run_cancelled(async || reader.read().await) {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => break End::BetweenPackets,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break End::InsideAPacket,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                assert!(error.to_string().len() < 500, "{error}");
                break End::NoPacket;
            }
        }
    };
    // Twice the need, because buffers grow by doubling.
    assert!(
        largest_buffer.get() <= 2 * MAX_PACKET + 8 * 1024,
        "{largest_buffer:?}"
    );
    (packets, end)
}

/// A second reading, by `gitprotocol-common`, "pkt-line Format" alone.
fn read_by_specification(mut rest: &[u8]) -> (Vec<Packet>, End) {
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let Some((digits, after)) = rest.split_at_checked(4) else {
            return (packets, End::InsideAPacket);
        };
        let is_number = digits.iter().all(u8::is_ascii_hexdigit);
        let length = std::str::from_utf8(digits)
            .ok()
            .filter(|_| is_number)
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        rest = after;
        packets.push(match length {
            Some(0) => Packet::Flush,
            Some(1) => Packet::Delim,
            Some(2) => Packet::ResponseEnd,
            Some(length @ 4..=MAX_PACKET) => {
                let Some((payload, after)) = rest.split_at_checked(length - 4) else {
                    return (packets, End::InsideAPacket);
                };
                rest = after;
                Packet::Data(Bytes::copy_from_slice(payload))
            }
            _ => return (packets, End::NoPacket),
        });
    }
    (packets, End::BetweenPackets)
}
