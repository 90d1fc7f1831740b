//! Errors of the exchange with a server.

use std::error::Error;
use std::fmt;
use std::io;

/// Why the exchange with the server failed.
#[derive(Debug)]
pub enum WireError {
    /// Reading or writing failed.
    Io(io::Error),
    /// The server ended the connection too early.
    UnexpectedEof {
        /// Where in the exchange, as in "the connection ended {context}".
        context: &'static str,
    },
    /// The server's bytes are not the protocol, or use a part of it that is not supported here.
    Protocol(String),
    /// The server gave up with this message: an `ERR` packet, or the fatal band of its sideband.
    Remote(String),
    /// The pack could not be made.
    Pack(Box<dyn Error + Send + Sync>),
}

impl WireError {
    /// The server sent `got` where the protocol has `expected`.
    pub(super) fn unexpected(expected: &str, got: &[u8]) -> Self {
        let shown = &got[..got.len().min(200)];
        Self::Protocol(format!("expected {expected}, got \"{}\"", shown.escape_ascii()))
    }
}

/// A message of the server as text.
pub(super) fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message.trim_ascii()).into_owned()
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(formatter, "the connection broke: {error}"),
            Self::UnexpectedEof { context } => write!(formatter, "the connection ended {context}"),
            Self::Protocol(message) => write!(
                formatter,
                "the server does not speak the push protocol: {message}"
            ),
            Self::Remote(message) => write!(formatter, "the server gave up: {message}"),
            Self::Pack(error) => write!(formatter, "the pack could not be made: {error}"),
        }
    }
}

impl Error for WireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Pack(error) => Some(&**error),
            Self::UnexpectedEof { .. } | Self::Protocol(_) | Self::Remote(_) => None,
        }
    }
}

/// Understands the errors of [`PacketReader`](crate::pkt_line::PacketReader).
impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::UnexpectedEof {
                context: "inside a packet",
            },
            io::ErrorKind::InvalidData => Self::Protocol(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

/// A push that ended without a report.
#[derive(Debug)]
pub struct SendError {
    /// Whether the whole request may have reached the server. If so, the ref may have been updated, and only its
    /// advertisement can tell.
    pub sent: bool,
    /// What went wrong.
    pub source: WireError,
    /// The server's messages until then, as in [`Report::messages`](super::Report::messages).
    pub messages: String,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, formatter)
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
