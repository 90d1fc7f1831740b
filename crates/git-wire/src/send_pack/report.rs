//! The server's report: whether it stored the pack and moved the ref.

use bytes::BytesMut;
use tokio::io::AsyncRead;

use super::WireError;
use super::error::text;
use crate::pkt_line::{MAX_PACKET, Packet, PacketReader, take_packet};

const NO_REPORT: WireError = WireError::UnexpectedEof {
    context: "before the server's report",
};

/// The server's report on a push. Its texts are the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether the pack was stored; otherwise the server's reason.
    pub unpack: Result<(), String>,
    /// Whether the ref was updated; otherwise the server's reason.
    pub reference: Result<(), String>,
    /// Whether the server says that it updated another ref instead, or to another value, as its `proc-receive` hook can
    /// (`option refname` and `option new-oid` in gitprotocol-pack(5)), or that it failed after all, right after the
    /// report.
    pub is_doubtful: bool,
    /// The messages of the server and its hooks: the last 64 KiB at least.
    pub messages: String,
}

impl Report {
    /// Whether the server accepted the update. The ref then has the new value, unless the report `is_doubtful` or the
    /// server does not keep its word.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.unpack.is_ok() && self.reference.is_ok()
    }
}

/// Reads the report on `refname`, and no further: the server's later work (the post-receive hook, housekeeping)
/// continues, and [`PacketReader::discard`] reads its messages. `on_message` is called with those that come before.
///
/// # Errors
///
/// Reading failed, the server gave up, or the answer is not a report on the ref.
pub async fn read_report<R: AsyncRead + Unpin>(
    reader: &mut PacketReader<R>,
    sideband: bool,
    refname: &str,
    on_message: &mut dyn FnMut(&[u8]),
) -> Result<Report, WireError> {
    ReportReader::new(sideband, refname, on_message)
        .read(reader)
        .await
}

/// Reads a report, and keeps the server's messages even if no report comes.
pub(super) struct ReportReader<'a> {
    refname: &'a str,
    sideband: bool,
    /// The start of a packet of the report that the sideband has cut.
    pending: BytesMut,
    messages: Vec<u8>,
    unpack: Option<Result<(), String>>,
    reference: Option<Result<(), String>>,
    is_doubtful: bool,
    on_message: &'a mut dyn FnMut(&[u8]),
}

impl<'a> ReportReader<'a> {
    pub(super) fn new(sideband: bool, refname: &'a str, on_message: &'a mut dyn FnMut(&[u8])) -> Self {
        Self {
            refname,
            sideband,
            pending: BytesMut::new(),
            messages: Vec::new(),
            unpack: None,
            reference: None,
            is_doubtful: false,
            on_message,
        }
    }

    /// The server's messages so far.
    pub(super) fn messages(&self) -> String {
        text(&self.messages)
    }

    /// Cancel-safe: another call continues where this one stopped.
    pub(super) async fn read<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut PacketReader<R>,
    ) -> Result<Report, WireError> {
        loop {
            let packet = reader.read().await?.ok_or(NO_REPORT)?;
            let is_complete = if self.sideband {
                self.demultiplex(&packet)?
            } else {
                self.packet(&packet)?
            };
            if is_complete {
                while let Some(packet) = reader.take_read().filter(|_| self.sideband) {
                    self.is_doubtful |=
                        matches!(&packet, Packet::Data(payload) if payload.first() == Some(&3));
                }
                return self.report();
            }
        }
    }

    /// Whether the report is complete.
    fn demultiplex(&mut self, packet: &Packet) -> Result<bool, WireError> {
        let Packet::Data(payload) = packet else {
            return Err(NO_REPORT);
        };
        match payload.split_first() {
            Some((1, data)) => {
                self.pending.extend_from_slice(data);
                while let Some(packet) = take_packet(&mut self.pending)? {
                    if self.packet(&packet)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Some((2, message)) => {
                (self.on_message)(message);
                self.messages.extend_from_slice(message);
                // Drops the front only now and then, so that the cost stays linear.
                if self.messages.len() > 2 * MAX_PACKET {
                    self.messages.drain(..self.messages.len() - MAX_PACKET);
                }
                Ok(false)
            }
            Some((3, message)) => Err(WireError::Remote(text(message))),
            _ => match payload.strip_prefix(b"ERR ") {
                Some(message) => Err(WireError::Remote(text(message))),
                None => Err(WireError::unexpected("a sideband packet", payload)),
            },
        }
    }

    /// Whether the report is complete.
    fn packet(&mut self, packet: &Packet) -> Result<bool, WireError> {
        match packet {
            Packet::Flush => Ok(true),
            Packet::Data(payload) => {
                self.line(payload.strip_suffix(b"\n").unwrap_or(payload))?;
                Ok(false)
            }
            Packet::Delim | Packet::ResponseEnd => Err(WireError::Protocol(format!(
                "unexpected {packet:?} in the report"
            ))),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), WireError> {
        if self.unpack.is_none() {
            self.unpack = match (line.strip_prefix(b"unpack "), line.strip_prefix(b"ERR ")) {
                (Some(b"ok"), _) => Some(Ok(())),
                (Some(reason), _) => Some(Err(text(reason))),
                (None, Some(message)) => return Err(WireError::Remote(text(message))),
                (None, None) => return Err(WireError::unexpected("\"unpack\" in the report", line)),
            };
        } else if let Some(name) = line.strip_prefix(b"ok ") {
            // A refusal of the same ref is final, whichever comes first.
            if name == self.refname.as_bytes() && self.reference.is_none() {
                self.reference = Some(Ok(()));
            }
        } else if let Some(rest) = line.strip_prefix(b"ng ") {
            let (name, reason) = match rest.iter().position(|&byte| byte == b' ') {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, &b"no reason given"[..]),
            };
            if name == self.refname.as_bytes() {
                self.reference = Some(Err(text(reason)));
            }
        } else if let Some(option) = line.strip_prefix(b"option ") {
            let is_of_another = option
                .strip_prefix(b"refname ")
                .is_some_and(|name| name != self.refname.as_bytes());
            self.is_doubtful |= is_of_another || option.starts_with(b"new-oid ");
        } else {
            return Err(WireError::unexpected("the status of a ref in the report", line));
        }
        Ok(())
    }

    fn report(&mut self) -> Result<Report, WireError> {
        let Some(unpack) = self.unpack.take() else {
            return Err(WireError::Protocol("the report is empty".to_owned()));
        };
        let reference = match self.reference.take() {
            Some(reference) => reference,
            // git lists the ref as well, but the reason is clear without.
            None if unpack.is_err() => Err("unpacker error".to_owned()),
            None => {
                let problem = format!("the report does not mention {}", self.refname);
                return Err(WireError::Protocol(problem));
            }
        };
        Ok(Report {
            unpack,
            reference,
            is_doubtful: self.is_doubtful,
            messages: self.messages(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt_line::{encode, encode_flush};

    const MAIN: &str = "refs/heads/main";

    fn lines(lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            encode(line.as_bytes(), &mut bytes);
        }
        encode_flush(&mut bytes);
        bytes
    }

    fn on_band(band: u8, bytes: &[u8], packet_length: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in bytes.chunks(packet_length) {
            encode(&[&[band], chunk].concat(), &mut out);
        }
        out
    }

    fn read(bytes: &[u8], sideband: bool) -> Result<Report, WireError> {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(read_report(
                &mut PacketReader::new(bytes),
                sideband,
                MAIN,
                &mut |_| (),
            ))
    }

    #[test]
    fn unpack_ok_and_ok_for_the_ref_is_success() {
        for sideband in [false, true] {
            let mut bytes = lines(&["unpack ok\n", "ok refs/heads/main\n", "option fall-through\n"]);
            if sideband {
                bytes = on_band(1, &bytes, 1000);
            }
            let report = read(&bytes, sideband).expect("a report");
            assert!(report.is_success() && !report.is_doubtful);
        }
    }

    #[test]
    fn a_failure_right_after_the_report_makes_it_doubtful() {
        for (band, is_doubtful) in [(3, true), (2, false)] {
            let mut bytes = Vec::new();
            let report = lines(&["unpack ok", "ok refs/heads/main"]);
            encode(&[&[1], &report[..]].concat(), &mut bytes);
            encode(&[&[band], &b"disk full\n"[..]].concat(), &mut bytes);
            encode_flush(&mut bytes);
            let report = read(&bytes, true).expect("a report");
            assert!(report.is_success());
            assert_eq!(report.is_doubtful, is_doubtful, "band {band}");
        }
    }

    #[test]
    fn an_update_of_something_else_makes_it_doubtful() {
        for (option, is_doubtful) in [
            ("option refname refs/heads/main", false),
            ("option refname refs/pull/1/head", true),
            ("option new-oid 1111111111111111111111111111111111111111", true),
            ("option forced-update", false),
        ] {
            let report = lines(&["unpack ok", "ok refs/heads/main", option]);
            let report = read(&report, false).expect("a report");
            assert!(report.is_success(), "{option}");
            assert_eq!(report.is_doubtful, is_doubtful, "{option}");
        }
    }

    #[test]
    fn a_report_that_the_sideband_cuts_anywhere_is_put_together() {
        let report = lines(&["unpack ok\n", "ng refs/heads/main hook declined\n"]);
        for length in 1..report.len() {
            let mut bytes = on_band(2, b"declined: \x1b[31mno\x1b[0m\n", 5);
            bytes.extend(on_band(1, &report, length));
            assert_eq!(
                read(&bytes, true).expect("a report"),
                Report {
                    unpack: Ok(()),
                    reference: Err("hook declined".to_owned()),
                    is_doubtful: false,
                    messages: "declined: \x1b[31mno\x1b[0m".to_owned(),
                }
            );
        }
    }

    #[test]
    fn only_ok_for_both_the_pack_and_the_ref_is_success() {
        for (report, is_error) in [
            (&["unpack ok"][..], true),
            (&["unpack ok", "ok refs/heads/other"], true),
            (&["unpack ok", "ok refs/heads/main2"], true),
            (&["ok refs/heads/main"], true),
            (&[], true),
            (&["unpack ok", "fine refs/heads/main"], true),
            (&["unpack index-pack abnormal exit"], false),
            (&["unpack disk full", "ng refs/heads/main unpacker error"], false),
            (&["unpack disk full", "ok refs/heads/main"], false),
            (
                &["unpack ok", "ok refs/heads/main", "ng refs/heads/main no"],
                false,
            ),
            (
                &["unpack ok", "ng refs/heads/main no", "ok refs/heads/main"],
                false,
            ),
            (&["unpack ok", "ng refs/heads/main"], false),
        ] {
            match read(&lines(report), false) {
                Ok(verdict) => assert!(!is_error && !verdict.is_success(), "{report:?}: {verdict:?}"),
                Err(error) => assert!(
                    is_error && matches!(error, WireError::Protocol(_)),
                    "{report:?}: {error}"
                ),
            }
        }
    }

    #[test]
    fn the_fatal_band_and_err_packets_are_the_servers_message() {
        for (bytes, sideband) in [
            (on_band(3, b"fatal: disk full\n", 100), true),
            (lines(&["ERR fatal: disk full"]), false),
            (lines(&["ERR fatal: disk full"]), true),
        ] {
            match read(&bytes, sideband) {
                Err(WireError::Remote(message)) => assert_eq!(message, "fatal: disk full"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_report_ends_with_its_own_flush_and_later_messages_stay_unread() {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(async {
                let mut bytes = on_band(1, &lines(&["unpack ok", "ok refs/heads/main"]), 1000);
                bytes.extend(on_band(2, b"post-receive says something", 3));
                encode_flush(&mut bytes);
                let mut reader = PacketReader::new(&bytes[..]);
                let report = read_report(&mut reader, true, MAIN, &mut |_| ())
                    .await
                    .expect("a report");
                assert_eq!(report.messages, "");
                reader.discard().await.expect("readable");
                assert_eq!(reader.read().await.expect("readable"), None);
            });
    }

    #[tokio::test]
    async fn messages_are_told_as_they_come() {
        let mut bytes = on_band(2, b"Resolving deltas:  50% (1/2)\r", 60_000);
        bytes.extend(on_band(1, &lines(&["unpack ok", "ok refs/heads/main"]), 1000));
        bytes.extend(on_band(2, b"later", 60_000));
        let mut told = Vec::new();
        let mut on_message = |message: &[u8]| told.push(String::from_utf8_lossy(message).into_owned());
        let mut reader = PacketReader::new(&bytes[..]);
        let report = read_report(&mut reader, true, MAIN, &mut on_message).await;
        assert!(report.expect("a report").is_success());
        assert_eq!(told, ["Resolving deltas:  50% (1/2)\r"]);
    }

    #[test]
    fn a_server_that_stops_before_its_report_is_an_early_end() {
        for bytes in [Vec::new(), on_band(2, b"hello", 9), lines(&[])] {
            assert!(matches!(read(&bytes, true), Err(WireError::UnexpectedEof { .. })));
        }
    }

    #[test]
    fn keepalive_packets_are_harmless_and_unknown_bands_are_errors() {
        let mut bytes = Vec::new();
        encode(&[2], &mut bytes);
        encode(&[1], &mut bytes);
        bytes.extend(on_band(1, &lines(&["unpack ok", "ok refs/heads/main"]), 1000));
        assert!(read(&bytes, true).expect("a report").is_success());
        for packet in [&[4_u8][..], &[]] {
            let mut bytes = Vec::new();
            encode(packet, &mut bytes);
            assert!(matches!(read(&bytes, true), Err(WireError::Protocol(_))));
        }
    }
}
