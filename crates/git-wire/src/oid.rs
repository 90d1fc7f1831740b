//! A git object id: what the crates pass around instead of a library's type.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The hash that names the objects of a repository (gitformat, `extensions.objectFormat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ObjectFormat {
    /// SHA-1: ids of 20 bytes.
    #[default]
    Sha1,
    /// SHA-256: ids of 32 bytes.
    Sha256,
}

impl ObjectFormat {
    /// The format that git calls by this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// git's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Bytes in an id.
    #[must_use]
    pub const fn id_length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Reads an id of this format in hexadecimal digits, and nothing else.
    #[must_use]
    pub fn parse(self, hex: &[u8]) -> Option<Oid> {
        Oid::from_hex(hex).filter(|oid| oid.format() == self)
    }
}

impl fmt::Display for ObjectFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

const MAX_LENGTH: usize = ObjectFormat::Sha256.id_length();

/// The id of a git object: 20 bytes of SHA-1, or 32 of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oid {
    /// A shorter id is followed by zeros.
    bytes: [u8; MAX_LENGTH],
    format: ObjectFormat,
}

impl Oid {
    /// Takes the raw bytes of an id; their number tells its format.
    #[must_use]
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        let format = match raw.len() {
            20 => ObjectFormat::Sha1,
            32 => ObjectFormat::Sha256,
            _ => return None,
        };
        let mut bytes = [0; MAX_LENGTH];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { bytes, format })
    }

    /// Takes the raw bytes of a SHA-1 id.
    #[must_use]
    pub const fn sha1(raw: [u8; 20]) -> Self {
        let mut bytes = [0; MAX_LENGTH];
        let mut at = 0;
        while at < raw.len() {
            bytes[at] = raw[at];
            at += 1;
        }
        Self {
            bytes,
            format: ObjectFormat::Sha1,
        }
    }

    /// The id that stands for "no object" in git's protocols.
    #[must_use]
    pub const fn zero(format: ObjectFormat) -> Self {
        Self {
            bytes: [0; MAX_LENGTH],
            format,
        }
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.format.id_length()]
    }

    /// The format of the repository that the object is in.
    #[must_use]
    pub const fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Whether this is the [zero](Oid::zero) id.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.bytes == [0; MAX_LENGTH]
    }

    /// Reads exactly 40 or 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_LENGTH];
        if !hex.len().is_multiple_of(2) || hex.len() > 2 * MAX_LENGTH {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
        }
        Self::from_bytes(&bytes[..hex.len() / 2])
    }
}

/// An id is a hash already.
impl Hash for Oid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.bytes[..16]);
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The text was not an object id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOidError;

impl fmt::Display for ParseOidError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not 40 (SHA-1) or 64 (SHA-256) hexadecimal digits")
    }
}

impl std::error::Error for ParseOidError {}

impl FromStr for Oid {
    type Err = ParseOidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_hex(text.as_bytes()).ok_or(ParseOidError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_in_each_format() {
        let digits = "0123456789abcdef".repeat(4);
        for (format, hex) in [
            (ObjectFormat::Sha1, &digits[..40]),
            (ObjectFormat::Sha256, &digits),
        ] {
            let oid: Oid = hex.parse().expect("valid");
            assert_eq!((oid.format(), oid.to_string().as_str()), (format, hex));
            assert_eq!(Oid::from_bytes(oid.as_bytes()), Some(oid));
            assert_eq!(format.parse(hex.as_bytes()), Some(oid));
            assert_eq!(ObjectFormat::from_name(format.name()), Some(format));
        }
        assert_eq!(ObjectFormat::Sha256.parse(&digits.as_bytes()[..40]), None);
    }

    #[test]
    fn an_id_and_a_longer_one_that_begins_with_it_differ() {
        let short = Oid::zero(ObjectFormat::Sha1);
        assert_ne!(short, Oid::zero(ObjectFormat::Sha256));
        assert_eq!(short, Oid::sha1([0; 20]));
        assert!(short.is_zero());
        assert!(!Oid::sha1([1; 20]).is_zero());
    }

    #[test]
    fn anything_but_40_or_64_hex_digits_is_refused() {
        for length in [0, 1, 39, 41, 42, 63, 65, 66, 200] {
            assert_eq!("0".repeat(length).parse::<Oid>(), Err(ParseOidError), "{length}");
        }
        let odd = "g123456789abcdef0123456789abcdef01234567";
        assert_eq!(odd.parse::<Oid>(), Err(ParseOidError));
    }
}
