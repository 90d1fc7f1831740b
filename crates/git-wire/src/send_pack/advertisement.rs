//! The server's advertisement: its refs and its capabilities.

use std::collections::HashSet;

use tokio::io::AsyncRead;

use super::WireError;
use super::error::text;
use crate::oid::{ObjectFormat, Oid};
use crate::pkt_line::{Packet, PacketReader};

/// The largest advertisement that is read, in bytes of payload: about half a million refs. It bounds the memory that a
/// hostile server can use.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What a server advertised before a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertisement {
    format: Option<ObjectFormat>,
    refs: Vec<(Oid, String)>,
    /// Refs without a value: receive-pack gives the zero id to a ref file that it cannot read.
    broken: Vec<String>,
    /// The distinct ids of the refs and of the `.have` lines, in the server's order.
    tips: Vec<Oid>,
    capabilities: Vec<String>,
    shallow: Vec<Oid>,
}

impl Advertisement {
    /// Reads up to the flush packet that ends the advertisement.
    ///
    /// # Errors
    ///
    /// Reading failed, the server refused or sent something else, or its repository is not SHA-1.
    pub async fn read<R: AsyncRead + Unpin>(reader: &mut PacketReader<R>) -> Result<Self, WireError> {
        let mut parser = Parser::default();
        let mut bytes_read = 0;
        loop {
            match reader.read().await? {
                Some(Packet::Flush) => return Ok(parser.advertisement),
                Some(Packet::Data(payload)) => {
                    bytes_read += payload.len();
                    if bytes_read > MAX_BYTES {
                        let problem = format!("the advertisement is longer than {MAX_BYTES} bytes");
                        return Err(WireError::Protocol(problem));
                    }
                    parser.line(&payload)?;
                }
                Some(packet @ (Packet::Delim | Packet::ResponseEnd)) => {
                    return Err(WireError::Protocol(format!(
                        "unexpected {packet:?} in the advertisement"
                    )));
                }
                None if bytes_read == 0 => {
                    return Err(WireError::UnexpectedEof {
                        context: "before the server's first packet",
                    });
                }
                None => {
                    return Err(WireError::UnexpectedEof {
                        context: "inside the advertisement",
                    });
                }
            }
        }
    }

    /// Makes an advertisement of refs that were read in another way: without capabilities and shallow commits.
    #[must_use]
    pub fn from_refs(refs: Vec<(Oid, String)>) -> Self {
        let mut parser = Parser::default();
        for (oid, name) in refs {
            parser.advertisement.format = Some(oid.format());
            parser.add_ref(oid, name);
        }
        parser.advertisement
    }

    /// The object format of the server's repository; `None` where it did not tell: it named no format and no refs.
    #[must_use]
    pub const fn object_format(&self) -> Option<ObjectFormat> {
        self.format
    }

    /// The refs, in the server's order.
    #[must_use]
    pub fn refs(&self) -> &[(Oid, String)] {
        &self.refs
    }

    /// The object that a ref points to, if the server has the ref.
    #[must_use]
    pub fn tip(&self, refname: &str) -> Option<Oid> {
        let found = self.refs.iter().find(|(_, name)| name == refname);
        found.map(|&(oid, _)| oid)
    }

    /// Whether the server has a ref of this name that it cannot read.
    #[must_use]
    pub fn is_broken(&self, refname: &str) -> bool {
        self.broken.iter().any(|name| name == refname)
    }

    /// Every object that the server advertised, each once: the tips of its refs, and those of the repositories that it
    /// borrows objects from (`.have`).
    pub fn tips(&self) -> impl Iterator<Item = Oid> + '_ {
        self.tips.iter().copied()
    }

    /// Records that the server has moved a ref: it now has the new tip with its history.
    pub fn move_tip(&mut self, refname: &str, tip: Oid) {
        let before = self.tip(refname);
        match self.refs.iter_mut().find(|(_, name)| name == refname) {
            Some((at, _)) => *at = tip,
            None => self.refs.push((tip, refname.to_owned())),
        }
        // The old tip is part of that history.
        self.tips.retain(|&known| Some(known) != before && known != tip);
        self.tips.push(tip);
    }

    /// The commits whose parents the server's repository lacks.
    #[must_use]
    pub fn shallow(&self) -> &[Oid] {
        &self.shallow
    }

    /// The capabilities, with their values.
    #[must_use]
    pub fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    /// Whether the server has a capability, with or without a value.
    #[must_use]
    pub fn supports(&self, capability: &str) -> bool {
        self.value(capability).is_some()
    }

    /// Whether the server reports the outcome of a push.
    #[must_use]
    pub fn confirms_pushes(&self) -> bool {
        self.supports("report-status") || self.supports("report-status-v2")
    }

    /// Whether the server is known to compare the old value of a command with the ref's value under the ref's lock, so
    /// that its `ok` is true however old this advertisement is. Its agent tells: git itself, GitHub, and `JGit` with Gerrit.
    ///
    /// Dulwich compares, but answers `ok` in either case; go-git moves the ref without comparing. A server with no agent,
    /// or another one, may be one of these.
    #[must_use]
    pub fn compares_old_values(&self) -> bool {
        self.checks_connectivity() || self.agent().0 == "JGit"
    }

    /// Whether the server is known to refuse a push after which it would lack an object that the new tip reaches. Its agent
    /// tells: git itself (version 2.28 or newer, which names its object format) and GitHub
    /// (`github/spokes-receive-pack-...`, in the past `git/github-...`). `JGit` checks that only if it is told to.
    #[must_use]
    pub fn checks_connectivity(&self) -> bool {
        match self.agent() {
            ("git", version) => {
                version.starts_with("github-")
                    || version.starts_with(|first: char| first.is_ascii_digit())
                        && self.supports("object-format")
            }
            (name, _) => name == "github",
        }
    }

    /// The server's name and version, as it introduces itself. Without a slash it has no name.
    fn agent(&self) -> (&str, &str) {
        let agent = self.value("agent").unwrap_or_default();
        agent.split_once('/').unwrap_or_default()
    }

    /// The value of a capability; empty for one without a value.
    fn value(&self, capability: &str) -> Option<&str> {
        self.capabilities.iter().find_map(|offered| {
            let (name, value) = offered.split_once('=').unwrap_or((offered, ""));
            (name == capability).then_some(value)
        })
    }
}

#[derive(Default)]
struct Parser {
    advertisement: Advertisement,
    seen: HashSet<Oid>,
    capabilities_read: bool,
}

impl Parser {
    fn line(&mut self, payload: &[u8]) -> Result<(), WireError> {
        if let Some(message) = payload.strip_prefix(b"ERR ") {
            return Err(WireError::Remote(text(message)));
        }
        let line = payload.strip_suffix(b"\n").unwrap_or(payload);
        if self.capabilities_read {
            return self.reference(line);
        }
        match line.strip_prefix(b"version ") {
            Some(b"1") => return Ok(()),
            Some(version) => {
                let version = version.escape_ascii();
                let problem = format!(
                    "it answers in protocol version {version}, but only versions 0 and 1 support pushing"
                );
                return Err(WireError::Protocol(problem));
            }
            None => {}
        }
        self.capabilities_read = true;
        let (reference, capabilities) = match line.iter().position(|&byte| byte == 0) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        self.advertisement.capabilities = String::from_utf8_lossy(capabilities)
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        // Comes before the first id, whose length depends on the format.
        let format = self.advertisement.value("object-format").unwrap_or("sha1");
        let known = ObjectFormat::from_name(format).ok_or_else(|| {
            WireError::Protocol(format!(
                "the remote repository has the object format {}, but only sha1 and sha256 are known",
                format.escape_debug()
            ))
        })?;
        self.advertisement.format = Some(known);
        self.reference(reference)
    }

    fn reference(&mut self, line: &[u8]) -> Result<(), WireError> {
        let malformed = || WireError::unexpected("a ref in the advertisement", line);
        if let Some(hex) = line.strip_prefix(b"shallow ") {
            let oid = self.id(hex).ok_or_else(malformed)?;
            self.advertisement.shallow.push(oid);
            return Ok(());
        }
        let space = line.iter().position(|&byte| byte == b' ').ok_or_else(malformed)?;
        let (hex, name) = (&line[..space], &line[space + 1..]);
        let oid = self.id(hex).ok_or_else(malformed)?;
        match std::str::from_utf8(name) {
            Ok(name) => self.add_ref(oid, name.to_owned()),
            // Such a name cannot be the branch that is pushed, but the server has the object.
            Err(_) => self.add_tip(oid),
        }
        Ok(())
    }

    fn id(&self, hex: &[u8]) -> Option<Oid> {
        self.advertisement.format?.parse(hex)
    }

    fn add_ref(&mut self, oid: Oid, name: String) {
        self.add_tip(oid);
        match name.as_str() {
            // A server without refs sends its capabilities with this placeholder.
            ".have" | "capabilities^{}" => {}
            _ if oid.is_zero() => self.advertisement.broken.push(name),
            _ => self.advertisement.refs.push((oid, name)),
        }
    }

    fn add_tip(&mut self, oid: Oid) {
        if !oid.is_zero() && self.seen.insert(oid) {
            self.advertisement.tips.push(oid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt_line::{encode, encode_flush};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn oid(hex: &str) -> Oid {
        hex.parse().expect("40 digits")
    }

    fn read_bytes(bytes: &[u8]) -> Result<Advertisement, WireError> {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(Advertisement::read(&mut PacketReader::new(bytes)))
    }

    fn read(lines: &[&str]) -> Result<Advertisement, WireError> {
        let mut bytes = Vec::new();
        for line in lines {
            encode(line.as_bytes(), &mut bytes);
        }
        encode_flush(&mut bytes);
        read_bytes(&bytes)
    }

    #[test]
    fn a_ref_that_the_server_cannot_read_is_not_a_tip() {
        let zero = Oid::zero(ObjectFormat::Sha1);
        let advertised = read(&[&format!("{zero} refs/heads/odd\0report-status\n")]).expect("valid");
        let listed = Advertisement::from_refs(vec![(zero, "refs/heads/odd".to_owned())]);
        for advertisement in [advertised, listed] {
            assert!(advertisement.is_broken("refs/heads/odd"));
            assert_eq!(advertisement.tip("refs/heads/odd"), None);
            assert_eq!(advertisement.tips().count(), 0);
        }
    }

    #[test]
    fn refs_capabilities_borrowed_tips_and_shallow_commits_are_read() {
        let advertisement = read(&[
            "version 1\n",
            &format!("{A} refs/heads/main\0report-status side-band-64k agent=git/2.47 object-format=sha1\n"),
            &format!("{A} refs/heads/same"),
            &format!("{B} .have\n"),
            &format!("shallow {B}\n"),
        ])
        .expect("valid");
        assert_eq!(advertisement.tip("refs/heads/main"), Some(oid(A)));
        assert_eq!(advertisement.tip("refs/heads/same"), Some(oid(A)));
        assert_eq!(advertisement.tip(".have"), None);
        assert_eq!(advertisement.tips().collect::<Vec<_>>(), [oid(A), oid(B)]);
        assert_eq!(advertisement.shallow(), [oid(B)]);
        assert!(advertisement.supports("report-status"));
        assert!(advertisement.supports("agent"));
        assert!(!advertisement.supports("report"));
        assert!(!advertisement.supports("atomic"));
    }

    #[test]
    fn ids_are_of_the_format_that_the_server_names() {
        let long = "c".repeat(64);
        let zero = Oid::zero(ObjectFormat::Sha256);
        let named = "\0report-status object-format=sha256\n";
        let full = read(&[
            &format!("{long} refs/heads/main{named}"),
            &format!("shallow {long}"),
        ])
        .expect("valid");
        assert_eq!(full.object_format(), Some(ObjectFormat::Sha256));
        assert_eq!(full.tip("refs/heads/main"), Some(oid(&long)));
        assert_eq!(full.shallow(), [oid(&long)]);
        let empty = read(&[&format!("{zero} capabilities^{{}}{named}")]).expect("valid");
        assert_eq!(empty.object_format(), Some(ObjectFormat::Sha256));
        let old = read(&[&format!("{A} refs/heads/main\0report-status\n")]).expect("valid");
        assert_eq!(old.object_format(), Some(ObjectFormat::Sha1));
        assert_eq!(Advertisement::default().object_format(), None);
    }

    #[test]
    fn a_moved_ref_has_its_new_tip_and_the_others_keep_theirs() {
        let lines = [
            format!("{A} refs/heads/main\0report-status"),
            format!("{B} refs/heads/b"),
        ];
        let mut advertisement = read(&[&lines[0], &lines[1]]).expect("valid");
        let moved = oid(&"c".repeat(40));
        advertisement.move_tip("refs/heads/main", moved);
        assert_eq!(advertisement.tip("refs/heads/main"), Some(moved));
        assert_eq!(advertisement.tip("refs/heads/b"), Some(oid(B)));
        assert_eq!(advertisement.tips().collect::<Vec<_>>(), [oid(B), moved]);
        advertisement.move_tip("refs/heads/new", oid(A));
        assert_eq!(advertisement.tip("refs/heads/new"), Some(oid(A)));
        assert_eq!(advertisement.tips().count(), 3);
        assert!(advertisement.supports("report-status"));
    }

    #[test]
    fn an_empty_repository_has_capabilities_and_no_refs() {
        let zero = Oid::zero(ObjectFormat::Sha1);
        let advertisement = read(&[&format!("{zero} capabilities^{{}}\0report-status\n")]).expect("valid");
        assert_eq!(advertisement.refs(), []);
        assert_eq!(advertisement.tips().count(), 0);
        assert!(advertisement.supports("report-status"));
    }

    #[test]
    fn a_lone_flush_is_a_server_without_refs_and_capabilities() {
        assert_eq!(read(&[]).expect("valid"), Advertisement::default());
    }

    #[test]
    fn a_refusal_has_the_message_of_the_server() {
        match read(&["ERR access denied or repository not exported: /x\n"]) {
            Err(WireError::Remote(message)) => {
                assert_eq!(message, "access denied or repository not exported: /x");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unsupported_repository_is_refused_by_name() {
        let long = "c".repeat(64);
        for (line, word) in [
            (format!("{A} refs/heads/main\0object-format=md5"), "md5"),
            (
                format!("{A} refs/heads/main\0object-format=sha256"),
                "refs/heads/main",
            ),
            (
                format!("{long} refs/heads/main\0object-format=sha1"),
                "refs/heads/main",
            ),
            (
                format!("{long} refs/heads/main\0report-status"),
                "refs/heads/main",
            ),
            ("version 2\n".to_owned(), "version 2"),
            ("<html>".to_owned(), "<html>"),
            (format!("{A}refs/heads/main"), "refs/heads/main"),
            ("shallow x".to_owned(), "shallow x"),
        ] {
            match read(&[&line]) {
                Err(WireError::Protocol(message)) => assert!(message.contains(word), "{message}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_early_end_says_whether_anything_was_received() {
        for (bytes, expected) in [
            (&b""[..], "before the server's first packet"),
            (b"000eversion 1\n", "inside the advertisement"),
        ] {
            match read_bytes(bytes) {
                Err(WireError::UnexpectedEof { context }) => assert_eq!(context, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_name_that_is_not_utf_8_still_gives_a_tip() {
        let mut bytes = Vec::new();
        encode(&[A.as_bytes(), b" refs/heads/\xff"].concat(), &mut bytes);
        encode_flush(&mut bytes);
        let advertisement = read_bytes(&bytes).expect("valid");
        assert_eq!(advertisement.refs(), []);
        assert_eq!(advertisement.tips().collect::<Vec<_>>(), [oid(A)]);
    }

    #[test]
    fn an_endless_advertisement_is_cut_off() {
        let line = format!("{A} refs/heads/{}", "x".repeat(60_000));
        let mut bytes = Vec::new();
        while bytes.len() <= MAX_BYTES + 1024 * 1024 {
            encode(line.as_bytes(), &mut bytes);
        }
        assert!(matches!(read_bytes(&bytes), Err(WireError::Protocol(_))));
    }

    #[test]
    fn servers_that_compare_old_values_or_check_connectivity_are_known_by_their_agent() {
        for (capabilities, compares) in [
            ("report-status object-format=sha1 agent=git/2.47.3", true),
            (
                "report-status object-format=sha1 agent=git/2.39.5.(Apple.Git-154)",
                true,
            ),
            ("report-status agent=git/github-gcd21660c8f10", true),
            ("report-status agent=github/spokes-receive-pack-cafe", true),
            ("report-status agent=JGit/v6.10.0.202406032230-r", true),
            ("report-status agent=git/2.43-other", false),
            (
                "report-status object-format=sha1 agent=git/isomorphic-git@1.27.1",
                false,
            ),
            ("report-status object-format=sha1 agent=dulwich/1.2.21", false),
            ("report-status object-format=sha1 agent=go-git/5.x", false),
            ("report-status object-format=sha1 agent=git", false),
            ("report-status object-format=sha1", false),
            ("", false),
        ] {
            let line = format!("{A} refs/heads/main\0{capabilities}\n");
            let advertisement = read(&[&line]).expect("valid");
            assert_eq!(advertisement.compares_old_values(), compares, "{capabilities}");
            let checks = compares && !capabilities.contains("JGit");
            assert_eq!(advertisement.checks_connectivity(), checks, "{capabilities}");
        }
    }
}
