//! A report comes to the same however the sideband cuts it up, and whatever else is said meanwhile.

use arbitrary::Unstructured;
use git_wire::pkt_line::{Packet, PacketReader, encode, encode_flush};
use git_wire::send_pack::WireError;
use push_engine::failure::Failure;

use super::report_status::{Outcome, is_alike, is_clean, is_fit_for_people, outcome, read};
use super::stream::{ARRIVALS, run, wire};

/// How much of a server's messages is kept for certain.
const KEPT: usize = 8 * 1024;

/// The input is a report, up to the first NUL, and then how it is cut up and what is said in between.
///
/// # Panics
///
/// When a property does not hold.
pub fn check(input: &[u8]) {
    let (report, cutting) = input.split_at(input.iter().position(|&byte| byte == 0).unwrap_or(input.len()));
    let report = wire(report);
    let Multiplexed {
        wire,
        said,
        is_intact,
    } = Multiplexed::new(&report, &mut Unstructured::new(cutting));

    let cut = read(ARRIVALS[0], &wire, true);
    for arrival in &ARRIVALS[1..] {
        is_alike(&cut, &read(*arrival, &wire, true));
    }
    let whole = read(ARRIVALS[0], &report, false);
    if is_intact {
        match (&cut, &whole) {
            (Ok(cut), Ok(whole)) => {
                assert_eq!((&cut.unpack, &cut.reference), (&whole.unpack, &whole.reference));
                // What comes behind the report is not waited for.
                let end = end_of(&report);
                let heard: Vec<u8> = said
                    .into_iter()
                    .filter(|(at, _)| *at < end)
                    .flat_map(|(_, words)| words)
                    .collect();
                if heard.len() <= KEPT {
                    let at_once = Multiplexed::at_once(&heard, &report);
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
        Ok(report) => is_fit_for_people(report),
        Err(WireError::Remote(message)) => is_clean(&Failure::from_server_message(message)),
        Err(_) => {}
    }
}

/// A report on the sideband.
struct Multiplexed {
    wire: Vec<u8>,
    /// What was said for people, each with the bytes of the report that came before.
    said: Vec<(usize, Vec<u8>)>,
    /// Whether the server neither gave up nor sent nonsense.
    is_intact: bool,
}

impl Multiplexed {
    fn new(whole: &[u8], cutting: &mut Unstructured<'_>) -> Self {
        let mut report = whole;
        let mut multiplexed = Self {
            wire: Vec::new(),
            said: Vec::new(),
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
                    let words = cutting.bytes(length).unwrap_or_default();
                    multiplexed
                        .said
                        .push((whole.len() - report.len(), words.to_vec()));
                    [&[2], words].concat()
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

    fn at_once(said: &[u8], report: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        encode(&[&[2], said].concat(), &mut wire);
        encode_report(report, &mut wire);
        wire
    }
}

/// Where a report that is one ends: behind its flush.
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
