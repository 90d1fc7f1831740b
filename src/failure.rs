//! What went wrong in an attempt, in the terms an operator acts on: the one place where the words of git, of ssh,
//! of the servers and of the operating system are turned into a [`Kind`].
//!
//! Whose words they are decides where they stand: `servers` (the same over every transport), `git`, `ssh`,
//! `http`. It decides nothing about retrying beyond [`Kind::is_retryable`]; when to retry is `state`'s business.
//! Every message passes [`redact`] on its way in, so no secret reaches an event, a log or a status.

mod git;
mod http;
mod kind;
mod redaction;
mod servers;
mod ssh;
#[cfg(test)]
mod tests;
mod tls;
mod words;

use std::fmt;
use std::io;
use std::time::Duration;

use crate::oid::Oid;

pub use git::{is_lost_race, is_silent};
pub(crate) use http::of_status;
pub use kind::Kind;
pub use redaction::redact;
pub(crate) use redaction::redact_url;
pub(crate) use ssh::{LOCAL_HINT as SSH_LOCAL_HINT, UNKNOWN_HINT as SSH_UNKNOWN_HINT};
pub use ssh::{ShellComplaint, complaint_of_shell, is_question};
pub use tls::TlsFault;

/// A failed attempt: its kind and what was said, with secrets removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    message: String,
    remote_commit: Option<Oid>,
    retry_after: Option<Duration>,
    hint: Option<&'static str>,
    tls: Option<TlsFault>,
}

impl Failure {
    /// A failure of this kind; secrets are removed from the message.
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        let message = redact(message.as_ref().trim()).into_owned();
        Self {
            kind,
            message,
            remote_commit: None,
            retry_after: None,
            hint: None,
            tls: None,
        }
    }

    /// There is no TLS connection, for this reason.
    #[must_use]
    pub fn from_tls(fault: TlsFault, message: impl AsRef<str>) -> Self {
        Self {
            tls: Some(fault),
            ..Self::new(fault.kind(), message).with_hint(fault.hint())
        }
    }

    /// A diverged branch, with the remote's tip as evidence.
    #[must_use]
    pub fn non_fast_forward(message: impl AsRef<str>, remote_commit: Oid) -> Self {
        Self {
            remote_commit: Some(remote_commit),
            ..Self::new(Kind::NonFastForward, message)
        }
    }

    /// An error of the operating system while talking to the remote.
    #[must_use]
    pub fn from_remote_io(context: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => Kind::Timeout,
            _ => Kind::Network,
        };
        Self::new(kind, format!("{context}: {error}"))
    }

    /// What the server wrote behind `ng <ref>`, and what it and its hooks said besides.
    #[must_use]
    pub fn from_rejection(reference: &str, reason: &str, server_messages: &str) -> Self {
        Self::new(
            git::kind_of_rejection(reason, server_messages),
            with_server_messages(
                &format!("the server refused to update {reference}: {reason}"),
                server_messages,
            ),
        )
    }

    /// What the server wrote behind `unpack`, when it was not `ok`, and what it said besides.
    #[must_use]
    pub fn from_unpack_error(reason: &str, server_messages: &str) -> Self {
        Self::new(
            git::kind_of_unpack_error(reason, server_messages),
            with_server_messages(
                &format!("the server could not store the pack: {reason}"),
                server_messages,
            ),
        )
    }

    /// The connection ended early; what the other side's process said on its standard error tells why.
    #[must_use]
    pub fn from_hangup(context: &str, stderr: &str) -> Self {
        let said = words::plain(stderr);
        let kind = git::kind_of_end(&said);
        if said.is_empty() {
            Self::new(kind, format!("the connection ended {context}"))
        } else {
            Self::new(kind, format!("{said} (the connection ended {context})")).with_hint_of_ssh(&said)
        }
    }

    /// The program that connects ended before the server said anything, and did not say why: nothing tells whether the
    /// network, the server or the program itself is the cause.
    #[must_use]
    pub fn from_silent_end(context: &str, stderr: &str) -> Self {
        let said = words::plain(stderr);
        let end = format!("the program that connects ended {context}, and did not say why");
        let message = if said.is_empty() {
            end
        } else {
            format!("{said} ({end})")
        };
        Self::new(Kind::Unknown, message)
    }

    /// The program that connects asks a question, which nobody is there to answer.
    #[must_use]
    pub fn from_question(program_words: &str) -> Self {
        let said = words::plain(program_words);
        Self::new(
            git::kind_of_end(&said),
            format!("{said} (it asks, and nobody is there to answer)"),
        )
        .with_hint_of_ssh(&said)
    }

    /// The server gave up in the middle of the protocol, in these words.
    #[must_use]
    pub fn from_server_words(words: &str) -> Self {
        let said = words::plain(words);
        let kind = git::kind_of_hangup(&said).unwrap_or(Kind::RemoteError);
        Self::new(kind, format!("the server gave up: {said}"))
    }

    /// A git command failed; what it said on its standard error tells why.
    #[must_use]
    pub fn from_git(command: &str, stderr: &str) -> Self {
        let said = words::plain(stderr);
        if let Some(fault) = TlsFault::in_words(&said) {
            return Self::from_tls(fault, format!("{command} failed: {said}"));
        }
        let kind = git::kind_of_command(&said).unwrap_or(Kind::Unknown);
        if said.is_empty() {
            Self::new(kind, format!("{command} failed and did not say why"))
        } else {
            let failure = Self::new(kind, format!("{command} failed: {said}")).with_hint_of_ssh(&said);
            let is_by_ssh = said.to_ascii_lowercase().contains(git::UNREAD);
            match kind {
                Kind::Local if is_by_ssh => failure.or_hint(ssh::LOCAL_HINT),
                Kind::Unknown if is_by_ssh => failure.or_hint(ssh::UNKNOWN_HINT),
                _ => failure,
            }
        }
    }

    /// What should have happened did not within its time: `what` is the beginning of a sentence.
    #[must_use]
    pub fn timed_out(what: &str, limit: Duration) -> Self {
        Self::new(Kind::Timeout, format!("{what} within {} s", limit.as_secs_f64()))
    }

    /// Adds what the server and its hooks had said before a connection ended, which may tell why it did.
    #[must_use]
    pub fn with_server_messages(self, server_messages: &str) -> Self {
        let kind = match self.kind {
            Kind::Network => git::kind_of_hangup(server_messages).unwrap_or(Kind::Network),
            told => told,
        };
        let message = with_server_messages(&self.message, server_messages);
        Self {
            retry_after: self.retry_after,
            remote_commit: self.remote_commit,
            hint: self.hint.filter(|_| kind == self.kind),
            tls: self.tls.filter(|_| kind == self.kind),
            ..Self::new(kind, message)
        }
    }

    /// Adds to what was said.
    #[must_use]
    pub fn and(self, words: &str) -> Self {
        let message = format!("{}; {words}", self.message);
        self.reworded(&message)
    }

    /// The server asked us, in seconds, to wait at least this long.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        Self {
            retry_after: Some(delay),
            ..self
        }
    }

    /// Says what to do where that is more than follows from the kind.
    #[must_use]
    pub const fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The same, where nothing was said about it before.
    #[must_use]
    pub(crate) fn or_hint(mut self, hint: &'static str) -> Self {
        self.hint.get_or_insert(hint);
        self
    }

    fn with_hint_of_ssh(self, said: &str) -> Self {
        match ssh::hint_of(said, self.kind) {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }

    /// The same failure in other words.
    #[must_use]
    pub(crate) fn reworded(self, message: &str) -> Self {
        let message = redact(message.trim()).into_owned();
        Self { message, ..self }
    }

    /// One line that tells the operator what to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint.unwrap_or(self.kind.hint())
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What was wrong with TLS, if that is what failed.
    #[must_use]
    pub const fn tls_fault(&self) -> Option<TlsFault> {
        self.tls
    }

    /// What was said, without secrets.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The remote's tip, where it is the evidence for the failure.
    #[must_use]
    pub const fn remote_commit(&self) -> Option<Oid> {
        self.remote_commit
    }

    /// How long the server asked us to wait, if it did.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Failure {}

fn with_server_messages(text: &str, server_messages: &str) -> String {
    let said = server_messages.trim();
    if said.is_empty() {
        text.to_owned()
    } else {
        format!("{text}\n{said}")
    }
}
