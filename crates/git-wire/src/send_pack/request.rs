//! The request to the server: one ref to create or to move.

use super::{Advertisement, WireError};
use crate::oid::{ObjectFormat, Oid};
use crate::pkt_line::{encode, encode_flush};

/// A ref name must fit in a packet; git itself stores none as long as this.
const MAX_REFNAME: usize = 4096;

/// A ref to create, or to move from a known value. It cannot be a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    refname: String,
    old: Option<Oid>,
    new: Oid,
    wants_progress: bool,
}

impl Command {
    /// Moves `refname` from `old` to `new`, or creates it if `old` is `None`.
    ///
    /// # Errors
    ///
    /// One of the ids is zero, which would mean deletion, or the name is not a full ref name.
    pub fn new(refname: impl Into<String>, old: Option<Oid>, new: Oid) -> Result<Self, WireError> {
        let refname = refname.into();
        if new.is_zero() || old.is_some_and(|old| old.is_zero()) {
            return Err(WireError::Protocol(format!(
                "an update of {} needs the ids of commits, not zeros",
                refname.escape_debug()
            )));
        }
        let is_name = refname.starts_with("refs/")
            && refname.len() <= MAX_REFNAME
            && !refname.chars().any(|c| c == ' ' || c.is_control());
        if !is_name {
            return Err(WireError::Protocol(format!(
                "\"{}\" is not the full name of a ref",
                refname.escape_debug()
            )));
        }
        Ok(Self {
            refname,
            old,
            new,
            wants_progress: false,
        })
    }

    /// With this, the server tells how far it is in storing the pack.
    #[must_use]
    pub fn with_progress(self, wants_progress: bool) -> Self {
        Self {
            wants_progress,
            ..self
        }
    }

    /// The full name of the ref.
    #[must_use]
    pub fn refname(&self) -> &str {
        &self.refname
    }

    /// The value that the server must still have; `None` if the ref must not exist.
    #[must_use]
    pub const fn old_oid(&self) -> Option<Oid> {
        self.old
    }

    /// The new value.
    #[must_use]
    pub const fn new_oid(&self) -> Oid {
        self.new
    }
}

/// Everything that precedes the pack.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What the server offers.
    pub advertisement: &'a Advertisement,
    /// The update.
    pub command: &'a Command,
    /// The commits whose parents the local repository lacks.
    pub shallow: &'a [Oid],
    /// The name of this program, without spaces.
    pub agent: &'a str,
}

impl Request<'_> {
    /// Encodes it: the shallow commits, the command with the capabilities to use of those offered, and a flush.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut request = Vec::new();
        for oid in self.shallow {
            encode(format!("shallow {oid}").as_bytes(), &mut request);
        }
        let Command {
            refname, old, new, ..
        } = self.command;
        let line = format!(
            "{} {new} {refname}\0{}",
            old.unwrap_or(Oid::zero(new.format())),
            self.capabilities(new.format())
        );
        encode(line.as_bytes(), &mut request);
        encode_flush(&mut request);
        request
    }

    fn capabilities(&self, format: ObjectFormat) -> String {
        let offers = |capability: &str| self.advertisement.supports(capability);
        let agent = format!("agent={}", self.agent);
        let format = format!("object-format={format}");
        let reports = ["report-status-v2", "report-status"];
        let report = reports.into_iter().find(|report| offers(report));
        let others = [
            ("side-band-64k", offers("side-band-64k")),
            ("quiet", offers("quiet") && !self.command.wants_progress),
            (&format, offers("object-format")),
            (&agent, offers("agent")),
        ];
        let others = others.into_iter().filter(|(_, is_used)| *is_used);
        report
            .into_iter()
            .chain(others.map(|(capability, _)| capability))
            .fold(String::new(), |all, capability| all + " " + capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt_line::PacketReader;

    fn oid(digit: char) -> Oid {
        digit.to_string().repeat(40).parse().expect("40 digits")
    }

    fn advertisement(capabilities: &str) -> Advertisement {
        let mut bytes = Vec::new();
        let line = format!("{} refs/heads/main\0{capabilities}\n", oid('a'));
        encode(line.as_bytes(), &mut bytes);
        encode_flush(&mut bytes);
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(Advertisement::read(&mut PacketReader::new(&bytes[..])))
            .expect("valid")
    }

    fn encode_request(advertisement: &Advertisement, command: &Command, shallow: &[Oid]) -> Vec<u8> {
        let request = Request {
            advertisement,
            command,
            shallow,
            agent: "git/1",
        };
        request.encode()
    }

    #[test]
    fn only_offered_capabilities_are_requested() {
        let command = Command::new("refs/heads/main", Some(oid('a')), oid('b')).expect("valid");
        for (offered, asked) in [
            (
                "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta object-format=sha1 agent=git/2.47",
                " report-status-v2 side-band-64k quiet object-format=sha1 agent=git/1",
            ),
            ("report-status delete-refs", " report-status"),
            ("", ""),
        ] {
            let mut expected = Vec::new();
            let line = format!("{} {} refs/heads/main\0{asked}", oid('a'), oid('b'));
            encode(line.as_bytes(), &mut expected);
            encode_flush(&mut expected);
            assert_eq!(encode_request(&advertisement(offered), &command, &[]), expected);
        }
        let command = command.with_progress(true);
        let request = encode_request(&advertisement("report-status quiet"), &command, &[]);
        assert!(request.ends_with(b"\0 report-status0000"));
    }

    #[test]
    fn a_creation_starts_from_zeros_and_shallow_commits_come_first() {
        let command = Command::new("refs/heads/new", None, oid('b')).expect("valid");
        let request = encode_request(&advertisement(""), &command, &[oid('c')]);
        let text = String::from_utf8_lossy(&request);
        assert!(text.starts_with(&format!("0034shallow {}", oid('c'))), "{text}");
        assert!(text.contains(&format!(
            "{} {} refs/heads/new\0",
            Oid::zero(ObjectFormat::Sha1),
            oid('b')
        )));
    }

    #[test]
    fn no_command_can_delete_or_name_anything_but_a_ref() {
        let good = oid('a');
        for (refname, old, new) in [
            ("refs/heads/main", Some(good), Oid::zero(ObjectFormat::Sha1)),
            ("refs/heads/main", Some(Oid::zero(ObjectFormat::Sha1)), good),
            ("main", None, good),
            ("refs/heads/a b", None, good),
            ("refs/heads/a\0delete-refs", None, good),
            ("refs/heads/a\n", None, good),
        ] {
            assert!(Command::new(refname, old, new).is_err(), "{refname:?}");
        }
        assert!(Command::new(format!("refs/heads/{}", "x".repeat(5000)), None, good).is_err());
    }
}
