//! A push counts as a success only if the server's report has both `unpack ok` and `ok <ref>`.

use bytes::Bytes;
use git_wire::pkt_line::{Packet, PacketReader};
use git_wire::send_pack::{Report, WireError, read_report};
use push_engine::failure::Failure;

use super::stream::{ARRIVALS, Arrival, is_presentable, run, wire};

/// The ref that was pushed.
pub(super) const REFNAME: &str = "refs/heads/main";

/// The input is a report without a sideband, as [`wire`] has it.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let sent = wire(input);
    let first = read(ARRIVALS[0], &sent, false);
    for arrival in &ARRIVALS[1..] {
        assert_alike(&first, &read(*arrival, &sent, false));
    }
    assert_eq!(outcome(&first), outcome_by_specification(&sent), "{first:?}");
    match &first {
        Ok(report) => assert_can_be_logged(report),
        Err(WireError::Remote(message)) => assert_clean(&Failure::from_server_message(message)),
        Err(error) => assert!(error.to_string().len() < 2000, "{error}"),
    }
}

pub(super) fn read(arrival: Arrival, bytes: &[u8], sideband: bool) -> Result<Report, WireError> {
    run(read_report(
        &mut PacketReader::new(arrival.of(bytes)),
        sideband,
        REFNAME,
        &mut |_| (),
    ))
}

/// Asserts that two readings of the same bytes agree. The messages of protocol errors may differ: they quote only the bytes
/// that have arrived.
pub(super) fn assert_alike(one: &Result<Report, WireError>, other: &Result<Report, WireError>) {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(&one.unpack, &other.unpack);
            assert_eq!(&one.reference, &other.reference);
            assert_eq!(&one.messages, &other.messages);
        }
        (Err(WireError::Protocol(_)), Err(WireError::Protocol(_))) => {}
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        _ => panic!("{one:?} and {other:?}"),
    }
}

/// Asserts that the failures made from a report can be logged.
pub(super) fn assert_can_be_logged(report: &Report) {
    if let Err(reason) = &report.unpack {
        assert_clean(&Failure::from_unpack_error(reason, &report.messages));
    }
    if let Err(reason) = &report.reference {
        assert_clean(&Failure::from_rejection(REFNAME, reason, &report.messages));
    }
}

/// Asserts that a failure can be logged.
pub(super) fn assert_clean(failure: &Failure) {
    assert!(is_presentable(failure.message()), "{failure:?}");
    assert!(failure.message().len() < 64 * 1024);
}

/// The outcome of a push by its report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Refused,
    NoReport,
}

pub(super) fn outcome(read: &Result<Report, WireError>) -> Outcome {
    match read {
        Ok(report) if report.is_success() => Outcome::Success,
        Ok(_) => Outcome::Refused,
        Err(_) => Outcome::NoReport,
    }
}

/// A second reading by `gitprotocol-pack`, "Report Status", of the whole report at once.
fn outcome_by_specification(sent: &[u8]) -> Outcome {
    let mut reader = PacketReader::new(sent);
    let mut lines: Vec<Bytes> = Vec::new();
    loop {
        match run(reader.read()) {
            Ok(Some(Packet::Data(line))) => lines.push(match line.strip_suffix(b"\n") {
                Some(stripped) => Bytes::copy_from_slice(stripped),
                None => line,
            }),
            Ok(Some(Packet::Flush)) => break,
            _ => return Outcome::NoReport,
        }
    }
    let Some((unpack, fates)) = lines.split_first() else {
        return Outcome::NoReport;
    };
    let is_known = |line: &Bytes| {
        [&b"ok "[..], b"ng ", b"option "]
            .iter()
            .any(|word| line.starts_with(word))
    };
    if !unpack.starts_with(b"unpack ") || !fates.iter().all(is_known) {
        return Outcome::NoReport;
    }
    let is_unpacked = &unpack[..] == b"unpack ok";
    let ok = format!("ok {REFNAME}");
    let ng = format!("ng {REFNAME}");
    let is_confirmed = fates.iter().any(|line| line == ok.as_bytes());
    let is_refused = fates.iter().any(|line| {
        line.strip_prefix(ng.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
    });
    match (is_unpacked, is_confirmed, is_refused) {
        (true, true, false) => Outcome::Success,
        (true, false, false) => Outcome::NoReport,
        _ => Outcome::Refused,
    }
}
