//! What went wrong in an attempt, in the terms an operator acts on: the one place where the words of
//! git, its servers and the operating system are turned into a [`Kind`].
//!
//! It decides nothing about retrying beyond [`Kind::is_retryable`]; when to retry is `state`'s business.
//! Every message passes [`redact`] on its way in, so no secret reaches an event, a log or a status.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::oid::Oid;

/// The kind of a failure. The names of the variants in JavaScript are those of [`Kind::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The remote branch has commits that the local branch does not contain.
    NonFastForward,
    /// The server understood the push and declined it: a hook, a protected or checked-out branch, a size limit.
    Rejected,
    /// The server did not accept who we are, or what we may do.
    Auth,
    /// The server's ssh host key is unknown or has changed.
    HostKey,
    /// The server could not be reached, or the connection broke.
    Network,
    /// A deadline passed: connecting, idle, or the whole attempt.
    Timeout,
    /// Another process on the server holds the lock of the ref.
    RemoteLock,
    /// The server failed: no such repository, disk full, corrupt repository, nonsense in the protocol.
    RemoteError,
    /// Our own side failed: the local repository, its disk, a program that could not be started.
    Local,
    /// None of the above could be told from what was said.
    Unknown,
}

impl Kind {
    /// Every kind, in the order of the README's table.
    pub const ALL: [Self; 10] = [
        Self::NonFastForward,
        Self::Rejected,
        Self::Auth,
        Self::HostKey,
        Self::Network,
        Self::Timeout,
        Self::RemoteLock,
        Self::RemoteError,
        Self::Local,
        Self::Unknown,
    ];

    /// The stable name that JavaScript sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NonFastForward => "non-fast-forward",
            Self::Rejected => "rejected",
            Self::Auth => "auth",
            Self::HostKey => "host-key",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::RemoteLock => "remote-lock",
            Self::RemoteError => "remote-error",
            Self::Local => "local",
            Self::Unknown => "unknown",
        }
    }

    /// gitsheets' two-valued `PushFailureReason`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NonFastForward => "non-fast-forward",
            _ => "unknown",
        }
    }

    /// Whether waiting can help. Only a diverged branch needs a person: everything else can change on the
    /// server (a hook, a rotated key, a freed disk) without anything changing here.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::NonFastForward)
    }

    /// One line that tells the operator what to do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NonFastForward => {
                "The remote branch has commits that this repository lacks; nothing is forced. Reconcile: fetch, then merge or rebase the local branch, or restore the remote branch."
            }
            Self::Rejected => {
                "The server declined the push: read its message, then change the hook, the branch protection or the size limit, or grant this account the right to push."
            }
            Self::Auth => {
                "The server did not accept the credentials: check that the deploy key or token is mounted, not expired, and may write to this repository."
            }
            Self::HostKey => {
                "The server's ssh host key is unknown or has changed: verify it, then add it to known_hosts."
            }
            Self::Network => {
                "The server could not be reached: check the address, DNS, the network policy and the server."
            }
            Self::Timeout => {
                "The server did not answer in time: check its load and the network between; a retry follows."
            }
            Self::RemoteLock => {
                "Another push holds the lock of the branch on the server: wait, and if it stays, remove the stale .lock file on the server."
            }
            Self::RemoteError => {
                "The server failed: check that the repository exists at this address, that its disk has room, and its logs."
            }
            Self::Local => {
                "This side failed: check the local repository (git fsck), its disk and permissions, and that the git and ssh programs are installed."
            }
            Self::Unknown => {
                "The cause could not be told: read the message, and try `git push` by hand with the same environment."
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A failed attempt: its kind and what was said, with secrets removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    message: String,
    remote_commit: Option<Oid>,
    retry_after: Option<Duration>,
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

    /// What the server wrote behind `ng <ref>` (or, from a hook-declined push, to its standard error).
    #[must_use]
    pub fn from_rejection(reference: &str, reason: &str, server_messages: &str) -> Self {
        let kind = kind_of_rejection(reason);
        Self::new(
            kind,
            with_server_messages(
                &format!("the server refused to update {reference}: {reason}"),
                server_messages,
            ),
        )
    }

    /// What the server wrote behind `unpack`, when it was not `ok`.
    #[must_use]
    pub fn from_unpack_error(reason: &str, server_messages: &str) -> Self {
        Self::new(
            Kind::RemoteError,
            with_server_messages(
                &format!("the server could not store the pack: {reason}"),
                server_messages,
            ),
        )
    }

    /// The connection ended early; what the other side's process said on its standard error tells why.
    #[must_use]
    pub fn from_hangup(context: &str, stderr: &str) -> Self {
        let said = stderr.trim();
        let kind = kind_of_stderr(said).unwrap_or(Kind::Network);
        if said.is_empty() {
            Self::new(kind, format!("the connection ended {context}"))
        } else {
            Self::new(kind, format!("{said} (the connection ended {context})"))
        }
    }

    /// The server asked us, in seconds, to wait at least this long.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        Self {
            retry_after: Some(delay),
            ..self
        }
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
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

/// The wordings of a lost compare-and-swap or a held lock in git's `refs` code (`refs/files-backend.c`,
/// `builtin/receive-pack.c`), which are never translated in report-status.
const LOCK_WORDS: [&str; 5] = [
    "failed to update ref",
    "incorrect old value",
    "cannot lock ref",
    "unable to create",
    "failed to lock",
];

/// Whether a refusal says that the ref moved or was locked: the advertisement must be read again.
#[must_use]
pub fn is_lost_race(reason: &str) -> bool {
    LOCK_WORDS.iter().any(|words| reason.contains(words))
}

fn kind_of_rejection(reason: &str) -> Kind {
    if reason.contains("non-fast-forward") || reason.contains("fetch first") {
        Kind::NonFastForward
    } else if is_lost_race(reason) {
        Kind::RemoteLock
    } else if [
        "unpacker error",
        "missing necessary objects",
        "bad pack",
        "unable to migrate objects",
    ]
    .iter()
    .any(|words| reason.contains(words))
    {
        Kind::RemoteError
    } else {
        Kind::Rejected
    }
}

/// Wordings of git, OpenSSH and the C library on standard error, most telling first.
const STDERR_WORDS: [(&str, Kind); 28] = [
    ("Host key verification failed", Kind::HostKey),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Kind::HostKey),
    ("No matching host key type", Kind::HostKey),
    ("Permission denied (", Kind::Auth),
    ("Too many authentication failures", Kind::Auth),
    ("Authentication failed", Kind::Auth),
    ("could not read Username", Kind::Auth),
    ("could not read Password", Kind::Auth),
    ("access denied", Kind::Auth),
    ("Connection timed out", Kind::Timeout),
    ("Operation timed out", Kind::Timeout),
    ("Connection refused", Kind::Network),
    ("Could not resolve host", Kind::Network),
    ("Name or service not known", Kind::Network),
    ("Temporary failure in name resolution", Kind::Network),
    ("No route to host", Kind::Network),
    ("Network is unreachable", Kind::Network),
    ("Connection reset", Kind::Network),
    ("Connection closed by", Kind::Network),
    ("Broken pipe", Kind::Network),
    ("does not appear to be a git repository", Kind::RemoteError),
    ("not a git repository", Kind::RemoteError),
    ("epository not found", Kind::RemoteError),
    ("No space left on device", Kind::RemoteError),
    ("dubious ownership", Kind::RemoteError),
    ("command not found", Kind::RemoteError),
    ("service not enabled", Kind::Rejected),
    ("unable to access", Kind::Network),
];

fn kind_of_stderr(stderr: &str) -> Option<Kind> {
    STDERR_WORDS
        .iter()
        .find(|(words, _)| stderr.contains(words))
        .map(|&(_, kind)| kind)
}

/// Removes user names, passwords and queries from every URL in a text: `https://user:token@host/path?token=x` becomes
/// `https://***@host/path?***`. The user of an ssh URL is an account name, not a secret, and stays without its password.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        redacted.push_str(before);
        let url_end = after
            .find(|c: char| c.is_whitespace() || "'\"<>|`".contains(c))
            .unwrap_or(after.len());
        let (url, behind) = after.split_at(url_end);
        let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
        if let Some((userinfo, host)) = authority.rsplit_once('@') {
            let is_ssh = before.trim_end_matches("://").ends_with("ssh");
            match userinfo.split_once(':') {
                Some((user, _)) if is_ssh => {
                    redacted.push_str(user);
                    redacted.push_str(":***");
                }
                None if is_ssh => redacted.push_str(userinfo),
                _ => redacted.push_str("***"),
            }
            redacted.push('@');
            redacted.push_str(host);
        } else {
            redacted.push_str(authority);
        }
        match path.split_once('?') {
            Some((path, query)) if !query.is_empty() => {
                redacted.push_str(path);
                redacted.push_str("?***");
                rest = behind;
            }
            // Another URL may follow in it: `https://proxy/https://user:token@host`.
            _ => rest = &after[authority.len()..],
        }
    }
    if redacted.is_empty() {
        return Cow::Borrowed(text);
    }
    redacted.push_str(rest);
    Cow::Owned(redacted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_diverged_branch_is_not_retried() {
        let terminal: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| !kind.is_retryable())
            .collect();
        assert_eq!(terminal, [Kind::NonFastForward]);
    }

    #[test]
    fn the_reason_is_one_of_gitsheets_two() {
        for kind in Kind::ALL {
            let expected = if kind == Kind::NonFastForward {
                "non-fast-forward"
            } else {
                "unknown"
            };
            assert_eq!(kind.reason(), expected, "{kind}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (reason, kind) in [
            ("non-fast-forward", Kind::NonFastForward),
            ("fetch first", Kind::NonFastForward),
            ("failed to update ref", Kind::RemoteLock),
            ("incorrect old value provided", Kind::RemoteLock),
            (
                "cannot lock ref 'refs/heads/main': is at 1 but expected 2",
                Kind::RemoteLock,
            ),
            ("pre-receive hook declined", Kind::Rejected),
            ("hook declined", Kind::Rejected),
            ("protected branch hook declined", Kind::Rejected),
            ("branch is currently checked out", Kind::Rejected),
            ("unpacker error", Kind::RemoteError),
            ("missing necessary objects", Kind::RemoteError),
        ] {
            assert_eq!(
                Failure::from_rejection("refs/heads/main", reason, "").kind(),
                kind,
                "{reason}"
            );
        }
    }

    #[test]
    fn standard_error_tells_why_a_connection_ended() {
        for (stderr, kind) in [
            ("git@h: Permission denied (publickey).\r\n", Kind::Auth),
            ("Host key verification failed.", Kind::HostKey),
            (
                "fatal: '/x' does not appear to be a git repository",
                Kind::RemoteError,
            ),
            (
                "ssh: connect to host h port 22: Connection refused",
                Kind::Network,
            ),
            (
                "ssh: connect to host h port 22: Connection timed out",
                Kind::Timeout,
            ),
            ("", Kind::Network),
            ("something else", Kind::Network),
        ] {
            assert_eq!(
                Failure::from_hangup("before the advertisement", stderr).kind(),
                kind,
                "{stderr}"
            );
        }
    }

    #[test]
    fn urls_lose_their_secrets() {
        for (text, expected) in [
            ("no url at all", "no url at all"),
            ("https://github.com/o/r", "https://github.com/o/r"),
            ("https://tok@github.com/o/r", "https://***@github.com/o/r"),
            (
                "fatal: 'https://u:p@h/r' and http://a:b@c:8080?x",
                "fatal: 'https://***@h/r' and http://***@c:8080?***",
            ),
            (
                "is 'https://h/r?token=t': is it https://h/r? or https://h/https://u:p@g",
                "is 'https://h/r?***': is it https://h/r? or https://h/https://***@g",
            ),
            ("https://u:p@ss@h/r", "https://***@h/r"),
            ("ssh://git@h/r", "ssh://git@h/r"),
            ("ssh://git:pw@h/r", "ssh://git:***@h/r"),
            ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ] {
            assert_eq!(redact(text), expected);
        }
        assert!(
            !Failure::new(Kind::Auth, "https://u:hunter2@h/")
                .message()
                .contains("hunter2")
        );
    }
}
