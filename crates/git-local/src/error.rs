//! The error of everything that is read on this machine.

use std::fmt;

use crate::redaction::redact;

/// Something on this machine could not be read, written or understood. The message has no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalError(String);

impl LocalError {
    /// Makes an error of this message, without the secrets in it.
    pub fn new(message: impl AsRef<str>) -> Self {
        Self(redact(message.as_ref().trim()).into_owned())
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for LocalError {}
