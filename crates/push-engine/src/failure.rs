//! A failed attempt, in terms that an operator can act on: the one place where the messages of git, of ssh, of servers and
//! of the operating system become a [`Kind`].
//!
//! The entry points are the `Failure::from_…` functions. The messages of each program are a `table` in a module of their own:
//! `servers` (the same over every transport), `git`, `ssh`, `tls`, `http`. `git` also has the functions that search the
//! tables, and so decides the order of the search. `credential` explains why git had no credential, and `essence` removes
//! the lines of git that explain nothing.
//!
//! This module does not decide when to retry: `state` retries every failure except a divergence, and [`Kind::is_retryable`]
//! tells JavaScript the same. Every message passes [`redact`] on its way in, so no secret reaches an event, a log or a
//! status.

mod credential;
mod essence;
mod git;
mod http;
mod kind;
mod servers;
mod ssh;
mod table;
mod tail;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use git_local::{LocalError, redact};
use git_wire::oid::{ObjectFormat, Oid};
use git_wire::send_pack::WireError;

pub(crate) use credential::{without_credential, without_git_credential};
pub(crate) use essence::{essence, without_progress};
pub(crate) use git::{
    is_about_missing_objects, is_about_size, is_declined_by_pre_push, is_fatal, is_last_word, lost_race,
    would_lose_commits,
};
pub use git::{is_lost_race, is_silent};
pub(crate) use http::meaning_of_status;
pub use kind::Kind;
pub use ssh::{ShellComplaint, complaint_of_shell, is_question};
#[cfg(test)]
pub(crate) use tail::LIMIT as TAIL_LIMIT;
pub(crate) use tail::Tail;
pub use tls::TlsFault;

use crate::event::Evidence;

/// The bytes of a foreign text that are looked at.
const TEXT_LIMIT: usize = 4096;

const OTHER_FORMAT_HINT: &str = "make a remote repository of the same format (git init --bare --object-format=...), or push from a clone of this remote; ids of one format cannot be converted to the other";

/// A failed attempt: its kind and its message, with secrets removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    message: String,
    remote_commit: Option<Oid>,
    evidence: Option<Arc<Evidence>>,
    retry_after: Option<Duration>,
    hint: Option<&'static str>,
    tls: Option<TlsFault>,
}

impl Failure {
    /// Makes a failure of this kind; removes secrets from the message.
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        let message = redact(message.as_ref().trim()).into_owned();
        Self {
            kind,
            message,
            remote_commit: None,
            evidence: None,
            retry_after: None,
            hint: None,
            tls: None,
        }
    }

    /// There is no TLS connection, because of this fault.
    #[must_use]
    pub fn from_tls(fault: TlsFault, message: impl AsRef<str>) -> Self {
        Self {
            tls: Some(fault),
            ..Self::new(fault.kind(), message).with_hint(fault.hint())
        }
    }

    /// The branches have diverged; the remote's tip is the evidence.
    #[must_use]
    pub fn non_fast_forward(message: impl AsRef<str>, remote_commit: Oid) -> Self {
        Self {
            remote_commit: Some(remote_commit),
            ..Self::new(Kind::NonFastForward, message)
        }
    }

    /// Adds what is known of a divergence.
    #[must_use]
    pub fn with_evidence(self, evidence: Arc<Evidence>) -> Self {
        Self {
            evidence: Some(evidence),
            ..self
        }
    }

    /// The remote's objects have ids of another format, so it cannot take these.
    #[must_use]
    pub fn other_format(remote: ObjectFormat, local: ObjectFormat) -> Self {
        let message = format!(
            "the remote repository has the object format {remote}, and this one {local}: git cannot push from one to the other"
        );
        Self::new(Kind::Rejected, message).with_hint(OTHER_FORMAT_HINT)
    }

    /// The operating system reported an error while talking to the remote.
    #[must_use]
    pub fn from_remote_io(context: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => Kind::Timeout,
            _ => Kind::Network,
        };
        Self::new(kind, format!("{context}: {error}"))
    }

    /// The server refused to update the ref, with this reason behind `ng` and these other messages.
    #[must_use]
    pub fn from_rejection(reference: &str, reason: &str, server_messages: &str) -> Self {
        let (reason, messages) = (cleaned(reason), without_progress(&cleaned(server_messages)));
        let kind = git::kind_of_rejection(&reason, &messages);
        Self::new(
            kind,
            format!("the server refused to update {reference}: {reason}\n{messages}"),
        )
    }

    /// The server could not store the pack, with this reason behind `unpack` and these other messages.
    #[must_use]
    pub fn from_unpack_error(reason: &str, server_messages: &str) -> Self {
        let (reason, messages) = (cleaned(reason), without_progress(&cleaned(server_messages)));
        let kind = git::kind_of_unpack_error(&reason, &messages);
        Self::new(
            kind,
            format!("the server could not store the pack: {reason}\n{messages}"),
        )
    }

    /// The connection broke; the standard error of the connecting program, or of the server's, tells why.
    #[must_use]
    pub fn from_broken_connection(context: &str, stderr: &str) -> Self {
        let stderr = cleaned(stderr);
        let end = format!("the connection ended {context}");
        let kind = git::kind_of_broken_connection(&stderr);
        Self::new(kind, with_end(&stderr, &end)).with_hint_of_ssh(&stderr)
    }

    /// The connecting program ended before the server sent anything, and gave no reason: the network, the server or the
    /// program itself may be the cause.
    #[must_use]
    pub fn from_silent_end(context: &str, stderr: &str) -> Self {
        let end = format!("the connecting program ended {context}, and gave no reason");
        Self::new(Kind::Unknown, with_end(&cleaned(stderr), &end))
    }

    /// The connecting program asked a question, which is never answered.
    #[must_use]
    pub fn from_question(stderr: &str) -> Self {
        let stderr = cleaned(stderr);
        let end = "the program asked a question that a service cannot answer";
        let kind = git::kind_of_broken_connection(&stderr);
        Self::new(kind, with_end(&stderr, end)).with_hint_of_ssh(&stderr)
    }

    /// The server gave up in the middle of the protocol, with this message.
    #[must_use]
    pub fn from_server_message(message: &str) -> Self {
        let message = cleaned(message);
        let kind = git::kind_of_remote_messages(&message).unwrap_or(Kind::RemoteError);
        Self::new(kind, format!("the server gave up: {message}"))
    }

    /// A command of the git CLI failed; its standard error tells why.
    #[must_use]
    pub fn from_git_cli(command: &str, stderr: &str) -> Self {
        let stderr = cleaned(stderr);
        if stderr.is_empty() {
            return Self::new(Kind::Unknown, format!("{command} failed and gave no reason"));
        }
        let message = format!("{command} failed: {stderr}");
        if let Some(fault) = TlsFault::of_git(&stderr) {
            return Self::from_tls(fault, message);
        }
        let kind = git::kind_of_git_cli(&stderr).unwrap_or(Kind::Unknown);
        let failure = Self::new(kind, message).with_hint_of_ssh(&stderr);
        let is_by_ssh = stderr.to_ascii_lowercase().contains(git::UNREAD);
        match kind {
            Kind::Rejected if stderr.contains(git::OTHER_FORMAT) => failure.or_hint(OTHER_FORMAT_HINT),
            _ if is_by_ssh => failure.or_hint_of_ssh(),
            _ => failure,
        }
    }

    /// `git clone` failed; its standard error tells why.
    #[must_use]
    pub fn from_git_clone(stderr: &str) -> Self {
        if git::is_about_storing(stderr) {
            return Self::new(Kind::Local, format!("git clone failed: {}", cleaned(stderr)));
        }
        Self::from_git_cli("git clone", stderr)
    }

    /// Something did not happen in time; `what` begins the message.
    #[must_use]
    pub fn timed_out(what: &str, limit: Duration) -> Self {
        Self::new(Kind::Timeout, format!("{what} within {} s", limit.as_secs_f64()))
    }

    /// Adds the messages of the server and its hooks from before the connection ended, which may tell why it did.
    #[must_use]
    pub fn with_server_messages(self, server_messages: &str) -> Self {
        let messages = without_progress(&cleaned(server_messages));
        let kind = match self.kind {
            Kind::Network => git::kind_of_remote_messages(&messages).unwrap_or(Kind::Network),
            known => known,
        };
        Self {
            kind,
            hint: self.hint.filter(|_| kind == self.kind),
            tls: self.tls.filter(|_| kind == self.kind),
            ..self
        }
        .add("\n", &messages)
    }

    /// Adds to the message.
    #[must_use]
    pub fn and(self, text: &str) -> Self {
        self.add("; ", text)
    }

    fn add(self, separator: &str, text: &str) -> Self {
        let message = format!("{}{separator}{text}", self.message);
        self.reworded(&message)
    }

    /// The server asked for a wait of at least this long.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        Self {
            retry_after: Some(delay),
            ..self
        }
    }

    /// Sets a hint that tells more than the kind does.
    #[must_use]
    pub const fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Sets this hint unless there is one already.
    #[must_use]
    fn or_hint(mut self, hint: &'static str) -> Self {
        self.hint.get_or_insert(hint);
        self
    }

    fn with_hint_of_ssh(self, stderr: &str) -> Self {
        let hint = ssh::hint_of(stderr, self.kind).or(self.hint);
        Self { hint, ..self }
    }

    /// The same failure with another message.
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

    /// The fault of TLS, if that is the cause.
    #[must_use]
    pub const fn tls_fault(&self) -> Option<TlsFault> {
        self.tls
    }

    /// The message, without secrets.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The remote's tip, if it is the evidence for the failure.
    #[must_use]
    pub const fn remote_commit(&self) -> Option<Oid> {
        self.remote_commit
    }

    /// What is known of the divergence, if that is the failure and its commits could be looked at.
    #[must_use]
    pub const fn evidence(&self) -> Option<&Arc<Evidence>> {
        self.evidence.as_ref()
    }

    /// How long the server asked to wait, if it did.
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

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        Self::new(Kind::Local, error.message())
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io(error) => Self::from_remote_io("the connection broke", &error),
            WireError::UnexpectedEof { context } => Self::from_broken_connection(context, ""),
            WireError::Remote(message) => Self::from_server_message(&message),
            WireError::Protocol(_) => Self::new(Kind::RemoteError, error.to_string()),
            WireError::Pack(error) => Self::new(Kind::Local, error.to_string()),
        }
    }
}

/// A text of a commit, which anybody may have written, as one line of at most so many characters, without secrets.
pub(crate) fn foreign_line(text: &[u8], most: usize) -> String {
    // Long enough for any line that is kept, and short enough for a message of megabytes.
    let text = String::from_utf8_lossy(&text[..text.len().min(TEXT_LIMIT)]);
    text::one_line(&redact(&text), most)
}

/// The end of another program's output, as clean text.
fn cleaned(text: &str) -> String {
    Tail::from(text).text()
}

fn with_end(text: &str, end: &str) -> String {
    if text.is_empty() {
        end.to_owned()
    } else {
        format!("{text} ({end})")
    }
}
