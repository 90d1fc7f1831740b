//! The outcome of a report does not depend on how the sideband splits it, or on messages in between.

use arbitrary::Unstructured;
use git_wire::pkt_line::{Packet, PacketReader, encode, encode_flush};
use git_wire::send_pack::WireError;
use push_engine::failure::Failure;

use super::report_status::{Outcome, assert_alike, assert_can_be_logged, assert_clean, outcome, read};
use super::stream::{ARRIVALS, run, wire};

/// How many bytes of a server's messages are kept at least.
const KEPT: usize = 8 * 1024;

/// The input is a report, up to the first NUL, and then instructions that split it and insert messages.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let (report, cutting) = input.split_at(input.iter().position(|&byte| byte == 0).unwrap_or(input.len()));
    let report = wire(report);
    let Multiplexed {
        wire,
        messages,
        is_intact,
    } = Multiplexed::new(&report, &mut Unstructured::new(cutting));

    let cut = read(ARRIVALS[0], &wire, true);
    for arrival in &ARRIVALS[1..] {
        assert_alike(&cut, &read(*arrival, &wire, true));
    }
    let whole = read(ARRIVALS[0], &report, false);
    if is_intact {
        match (&cut, &whole) {
            (Ok(cut), Ok(whole)) => {
                assert_eq!((&cut.unpack, &cut.reference), (&whole.unpack, &whole.reference));
                // Messages behind the report are not read.
                let end = end_of(&report);
                let read_messages: Vec<u8> = messages
                    .into_iter()
                    .filter(|(at, _)| *at < end)
                    .flat_map(|(_, message)| message)
                    .collect();
                if read_messages.len() <= KEPT {
                    let at_once = Multiplexed::at_once(&read_messages, &report);
                    let at_once = read(ARRIVALS[0], &at_once, true).expect("the same report");
                    assert_eq!(cut.messages, at_once.messages);
                }
            }
            (Err(cut), Err(whole)) => assert_eq!(
                std::mem::discriminant(cut),
                std::mem::discriminant(whole),
                "{cut:?} and {whole:?}"
            ),
            _ => panic!("{cut:?} and, without a sideband, {whole:?}"),
        }
    } else if outcome(&cut) != Outcome::NoReport {
        assert_eq!(outcome(&cut), outcome(&whole));
    }
    match &cut {
        Ok(report) => assert_can_be_logged(report),
        Err(WireError::Remote(message)) => assert_clean(&Failure::from_server_message(message)),
        Err(_) => {}
    }
}

/// A report on the sideband.
struct Multiplexed {
    wire: Vec<u8>,
    /// The messages, each with the number of bytes of the report before it.
    messages: Vec<(usize, Vec<u8>)>,
    /// Whether the server neither gave up nor sent malformed packets.
    is_intact: bool,
}

impl Multiplexed {
    fn new(whole: &[u8], cutting: &mut Unstructured<'_>) -> Self {
        let mut report = whole;
        let mut multiplexed = Self {
            wire: Vec::new(),
            messages: Vec::new(),
            is_intact: true,
        };
        while !cutting.is_empty() && !report.is_empty() {
            let packet = match cutting.int_in_range(0..=15).unwrap_or(0) {
                0..=8 => {
                    let length = cutting.int_in_range(0..=report.len().min(70)).unwrap_or(0);
                    let (piece, rest) = report.split_at(length);
                    report = rest;
                    [&[1], piece].concat()
                }
                9..=13 => {
                    let length = cutting.int_in_range(0..=40).unwrap_or(0).min(cutting.len());
                    let message = cutting.bytes(length).unwrap_or_default();
                    multiplexed
                        .messages
                        .push((whole.len() - report.len(), message.to_vec()));
                    [&[2], message].concat()
                }
                14 => {
                    multiplexed.is_intact = false;
                    b"\x03fatal: it gave up\n".to_vec()
                }
                _ => {
                    multiplexed.is_intact = false;
                    let length = cutting.int_in_range(0..=8).unwrap_or(0).min(cutting.len());
                    cutting.bytes(length).unwrap_or_default().to_vec()
                }
            };
            encode(&packet, &mut multiplexed.wire);
        }
        encode_report(report, &mut multiplexed.wire);
        encode_flush(&mut multiplexed.wire);
        multiplexed
    }

    fn at_once(messages: &[u8], report: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        encode(&[&[2], messages].concat(), &mut wire);
        encode_report(report, &mut wire);
        wire
    }
}

/// The end of a valid report: behind its flush.
fn end_of(report: &[u8]) -> usize {
    let mut reader = PacketReader::new(report);
    let mut end = 0;
    loop {
        match run(reader.read()) {
            Ok(Some(Packet::Data(payload))) => end += payload.len() + 4,
            other => {
                assert!(
                    matches!(other, Ok(Some(Packet::Flush))),
                    "{other:?} ends no report"
                );
                return end + 4;
            }
        }
    }
}

fn encode_report(report: &[u8], wire: &mut Vec<u8>) {
    for piece in report.chunks(65_000) {
        encode(&[&[1], piece].concat(), wire);
    }
}
