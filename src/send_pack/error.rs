//! How the exchange with a server can fail, before it is known what that means for the push.

use std::fmt;
use std::io;

use crate::failure::Failure;

/// Why talking to the server failed.
#[derive(Debug)]
pub enum WireError {
    /// Reading or writing failed.
    Io(io::Error),
    /// The server ended the connection too early.
    UnexpectedEof {
        /// Where in the exchange, as in "the connection ended {context}".
        context: &'static str,
    },
    /// What the server sent is not the protocol, or is a part of it that we do not speak.
    Protocol(String),
    /// The server gave up and said why: an `ERR` packet, or the fatal band of its sideband.
    Remote(String),
    /// Our own side could not produce the pack.
    Pack(Failure),
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
            Self::Pack(failure) => write!(formatter, "the pack could not be made: {failure}"),
        }
    }
}

impl std::error::Error for WireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Pack(failure) => Some(failure),
            Self::UnexpectedEof { .. } | Self::Protocol(_) | Self::Remote(_) => None,
        }
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A push that ended without a report.
#[derive(Debug)]
pub struct SendError {
    /// Whether all of the request may have reached the server: if so the ref may have been updated, and
    /// only its advertisement can tell.
    pub sent: bool,
    /// What went wrong.
    pub source: WireError,
    /// What the server had said for people until then, as in [`Report::messages`](super::Report::messages).
    pub messages: String,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, formatter)?;
        if self.messages.is_empty() {
            Ok(())
        } else {
            write!(formatter, "\n{}", self.messages)
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
