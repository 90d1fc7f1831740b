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
        let kind = kind_of_unpack_messages(server_messages).unwrap_or_else(|| kind_of_rejection(reason));
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
            kind_of_unpack_messages(server_messages).unwrap_or(Kind::RemoteError),
            with_server_messages(
                &format!("the server could not store the pack: {reason}"),
                server_messages,
            ),
        )
    }

    /// The connection ended early; what the other side's process said on its standard error tells why.
    #[must_use]
    pub fn from_hangup(context: &str, stderr: &str) -> Self {
        // ssh ends its lines as for a terminal.
        let said = stderr.trim().replace("\r\n", "\n");
        let kind = kind_of_stderr(&said).unwrap_or(Kind::Network);
        if said.is_empty() {
            Self::new(kind, format!("the connection ended {context}"))
        } else {
            Self::new(kind, format!("{said} (the connection ended {context})"))
        }
    }

    /// A git command failed; what it said on its standard error tells why.
    #[must_use]
    pub fn from_git(command: &str, stderr: &str) -> Self {
        let said = stderr.trim();
        let kind = find_words(&GIT_WORDS, said)
            .or_else(|| kind_of_stderr(said))
            .or_else(|| find_words(&GIT_LAST_RESORT, said))
            .unwrap_or(Kind::Unknown);
        if said.is_empty() {
            Self::new(kind, format!("{command} failed and did not say why"))
        } else {
            Self::new(kind, format!("{command} failed: {said}"))
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

/// What the server says about a pack that it cannot or will not unpack tells more than the report.
fn kind_of_unpack_messages(messages: &str) -> Option<Kind> {
    const WORDS: [(&str, Kind); 3] = [
        ("pack exceeds maximum allowed size", Kind::Rejected),
        ("fsck error in packed object", Kind::Rejected),
        // No byte of it came: the git command here died over the local repository.
        ("eof before pack header was fully read", Kind::Local),
    ];
    find_words(&WORDS, messages)
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
const STDERR_WORDS: &[(&str, Kind)] = &[
    ("Host key verification failed", Kind::HostKey),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Kind::HostKey),
    ("no matching host key type", Kind::HostKey),
    ("Permission denied (", Kind::Auth),
    ("Too many authentication failures", Kind::Auth),
    ("ERROR: Permission to ", Kind::Auth),
    ("marked as read only", Kind::Auth),
    ("not allowed to push", Kind::Auth),
    ("Bad configuration option", Kind::Local),
    ("Bad owner or permissions on ", Kind::Local),
    ("Authentication failed", Kind::Auth),
    ("could not read Username", Kind::Auth),
    ("could not read Password", Kind::Auth),
    ("access denied", Kind::Auth),
    ("Connection timed out", Kind::Timeout),
    ("Operation timed out", Kind::Timeout),
    // What OpenSSH's ServerAliveInterval leads to.
    (" not responding", Kind::Timeout),
    ("Connection refused", Kind::Network),
    ("Could not resolve host", Kind::Network),
    ("Name or service not known", Kind::Network),
    ("Temporary failure in name resolution", Kind::Network),
    ("No route to host", Kind::Network),
    ("Network is unreachable", Kind::Network),
    ("Connection reset", Kind::Network),
    ("Connection closed by", Kind::Network),
    ("Broken pipe", Kind::Network),
    ("kex_exchange_identification", Kind::Network),
    ("banner exchange", Kind::Network),
    ("Unable to negotiate with ", Kind::RemoteError),
    ("does not appear to be a git repository", Kind::RemoteError),
    ("not a git repository", Kind::RemoteError),
    ("epository not found", Kind::RemoteError),
    ("No space left on device", Kind::RemoteError),
    ("dubious ownership", Kind::RemoteError),
    (
        "could not be found or you don't have permission",
        Kind::RemoteError,
    ),
    // The remote shell's words for a server without git: bash and zsh, dash and busybox, fish, Windows, git-shell.
    ("command not found", Kind::RemoteError),
    (": not found", Kind::RemoteError),
    ("receive-pack: No such file or directory", Kind::RemoteError),
    ("Unknown command", Kind::RemoteError),
    (
        "is not recognized as an internal or external command",
        Kind::RemoteError,
    ),
    ("unrecognized command", Kind::RemoteError),
    ("service not enabled", Kind::Rejected),
    ("unable to access", Kind::Network),
];

fn kind_of_stderr(stderr: &str) -> Option<Kind> {
    find_words(STDERR_WORDS, stderr)
}

fn find_words(table: &[(&str, Kind)], text: &str) -> Option<Kind> {
    table
        .iter()
        .find(|(words, _)| text.contains(words))
        .map(|&(_, kind)| kind)
}

/// Wordings of the git command itself in the C locale, which say more than what it repeats of others.
const GIT_WORDS: [(&str, Kind); 21] = [
    ("cannot exec '", Kind::Local),
    ("is not a git command", Kind::Local),
    ("Unable to find remote helper", Kind::Local),
    ("unknown option", Kind::Local),
    ("bad config", Kind::Local),
    ("src refspec", Kind::Local),
    ("uses plaintext credentials", Kind::Local),
    ("' not allowed", Kind::Local),
    ("failed to sign the push certificate", Kind::Local),
    ("does not support --signed push", Kind::Rejected),
    ("does not support push options", Kind::Rejected),
    ("terminal prompts disabled", Kind::Auth),
    ("returned error: 401", Kind::Auth),
    ("returned error: 403", Kind::Auth),
    ("returned error: 407", Kind::Auth),
    // How it puts a 404.
    ("/' not found", Kind::RemoteError),
    ("returned error: 413", Kind::Rejected),
    ("returned error: 4", Kind::RemoteError),
    ("returned error: 5", Kind::RemoteError),
    ("SSL certificate problem", Kind::Network),
    ("server certificate verification failed", Kind::Network),
];

/// What git says in the end of nearly every failure to talk to a remote.
const GIT_LAST_RESORT: [(&str, Kind); 5] = [
    ("early EOF", Kind::Network),
    // curl's number and words follow, those of its TLS library among them.
    ("RPC failed; curl ", Kind::Network),
    ("unexpected disconnect", Kind::Network),
    ("the remote end hung up", Kind::Network),
    ("Could not read from remote repository", Kind::Network),
];

/// Whether a shell of this machine complains that it cannot find the program to run. It begins its complaints with
/// the name it was given: that tells them from those of a shell on the server.
#[must_use]
pub fn is_missing_program(stderr: &str, shell_name: &str) -> bool {
    stderr
        .split_once(shell_name)
        .and_then(|(before, rest)| {
            let is_at_start = before.is_empty() || before.ends_with('\n');
            rest.strip_prefix(": ").filter(|_| is_at_start)
        })
        .and_then(|rest| rest.lines().next())
        .is_some_and(|line| line.contains("not found") || line.contains("No such file or directory"))
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
    fn what_is_said_of_a_pack_tells_more_than_the_report() {
        for (said, kind) in [
            ("fatal: pack exceeds maximum allowed size", Kind::Rejected),
            (
                "error: object 1: missingEmail\nfatal: fsck error in packed object",
                Kind::Rejected,
            ),
            (
                "error: remote unpack failed: eof before pack header was fully read",
                Kind::Local,
            ),
            ("fatal: write error: No space left on device", Kind::RemoteError),
        ] {
            let failures = [
                Failure::from_unpack_error("unpack-objects abnormal exit", said),
                Failure::from_rejection("refs/heads/main", "unpacker error", said),
            ];
            for failure in failures {
                assert_eq!(failure.kind(), kind, "{failure}");
            }
        }
    }

    #[test]
    fn the_git_command_s_words_for_a_broken_transfer_or_program_are_known() {
        for (said, kind) in [
            (
                "error: RPC failed; curl 56 GnuTLS recv error (-9): Error decoding the received TLS packet.\nfatal: expected flush after ref listing",
                Kind::Network,
            ),
            (
                "send-pack: unexpected disconnect while reading sideband packet\nerror: error in sideband demultiplexer",
                Kind::Network,
            ),
            (
                "fatal: repository 'https://host/data.git/' not found",
                Kind::RemoteError,
            ),
            (
                "fatal: cannot exec '/opt/ssh': No such file or directory\nfatal: unable to fork",
                Kind::Local,
            ),
            (
                "bash: line 1: /opt/git-receive-pack: No such file or directory",
                Kind::RemoteError,
            ),
        ] {
            assert_eq!(Failure::from_git("git push", said).kind(), kind, "{said}");
        }
    }

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

    const UNKNOWN_HOST_KEY: &str = "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\r\nHost key verification failed.\r\n";
    const CHANGED_HOST_KEY: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\nOffending ED25519 key in /etc/ssh/known_hosts:1\r\nHost key for h has changed and you have requested strict checking.\r\nHost key verification failed.\r\n";
    const OLD_HOST_KEY_TYPE: &str = "Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-rsa\r\n";
    const OLD_KEY_EXCHANGE: &str = "Unable to negotiate with 192.0.2.1 port 22: no matching key exchange method found. Their offer: diffie-hellman-group1-sha1\r\n";
    const NO_KEY_FILE: &str = "Warning: Identity file /etc/key not accessible: No such file or directory.\ngit@github.com: Permission denied (publickey).\r\n";
    const UNPROTECTED_KEY: &str = "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\nPermissions 0644 for '/etc/key' are too open.\r\nLoad key \"/etc/key\": bad permissions\r\ngit@github.com: Permission denied (publickey,password).\r\n";
    const TOO_MANY_KEYS: &str =
        "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures\r\n";
    const GITHUB_NO_REPOSITORY: &str =
        "ERROR: Repository not found.\nfatal: Could not read from remote repository.\n";
    const GITHUB_NO_WRITE_ACCESS: &str = "ERROR: Permission to org/data.git denied to deploy key\n";
    const GITHUB_READ_ONLY_KEY: &str =
        "ERROR: The key you are authenticating with has been marked as read only.\n";
    const GITLAB_NO_REPOSITORY: &str = "ERROR: The project you were looking for could not be found or you don't have permission to view it.\n";
    const NO_GIT_BASH: &str = "bash: line 1: git-receive-pack: command not found\n";
    const NO_GIT_DASH: &str = "sh: 1: git-receive-pack: not found\n";
    const NO_GIT_ZSH: &str = "zsh:1: command not found: git-receive-pack\n";
    const NO_GIT_FISH: &str = "fish: Unknown command: git-receive-pack\n";
    const NO_GIT_WINDOWS: &str = "'git-receive-pack' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n";

    #[test]
    fn what_ssh_and_its_servers_say_is_told_apart() {
        for (stderr, kind) in [
            (UNKNOWN_HOST_KEY, Kind::HostKey),
            (CHANGED_HOST_KEY, Kind::HostKey),
            (OLD_HOST_KEY_TYPE, Kind::HostKey),
            (OLD_KEY_EXCHANGE, Kind::RemoteError),
            (NO_KEY_FILE, Kind::Auth),
            (UNPROTECTED_KEY, Kind::Auth),
            (TOO_MANY_KEYS, Kind::Auth),
            (GITHUB_NO_REPOSITORY, Kind::RemoteError),
            (GITHUB_NO_WRITE_ACCESS, Kind::Auth),
            (GITHUB_READ_ONLY_KEY, Kind::Auth),
            (GITLAB_NO_REPOSITORY, Kind::RemoteError),
            (NO_GIT_BASH, Kind::RemoteError),
            (NO_GIT_DASH, Kind::RemoteError),
            (NO_GIT_ZSH, Kind::RemoteError),
            (NO_GIT_FISH, Kind::RemoteError),
            (NO_GIT_WINDOWS, Kind::RemoteError),
            (
                "fatal: unrecognized command 'git-receive-pack'\n",
                Kind::RemoteError,
            ),
            (
                "ssh: Could not resolve hostname h: Name does not resolve\r\n",
                Kind::Network,
            ),
            ("ssh: Could not resolve hostname h: Try again\r\n", Kind::Network),
            (
                "ssh: connect to host h port 22: No route to host\r\n",
                Kind::Network,
            ),
            (
                "ssh: connect to host h port 22: Operation timed out\r\n",
                Kind::Timeout,
            ),
            ("Timeout, server h not responding.\r\n", Kind::Timeout),
            ("Connection timed out during banner exchange\r\n", Kind::Timeout),
            (
                "kex_exchange_identification: Connection closed by remote host\r\n",
                Kind::Network,
            ),
            (
                "kex_exchange_identification: read: Connection reset by peer\r\n",
                Kind::Network,
            ),
            ("client_loop: send disconnect: Broken pipe\r\n", Kind::Network),
            (
                "command-line: line 0: Bad configuration option: nosuch\r\n",
                Kind::Local,
            ),
            ("Bad owner or permissions on /root/.ssh/config\r\n", Kind::Local),
        ] {
            let failure = Failure::from_hangup("before the advertisement", stderr);
            assert_eq!(failure.kind(), kind, "{stderr}");
            assert!(!failure.message().contains('\r'), "{failure}");
        }
    }

    #[test]
    fn a_program_missing_here_is_told_from_one_missing_on_the_server() {
        let command = "ssh -i /key";
        for (stderr, is_missing) in [
            ("ssh -i /key: 1: ssh: not found", true),
            ("ssh -i /key: line 1: ssh: command not found", true),
            ("ssh -i /key: line 0: ssh: not found (the connection ended)", true),
            ("ssh -i /key: line 0: ssh: Permission denied", false),
            ("warning\nssh -i /key: 1: exec: ssh: not found\nmore", true),
            (
                "ssh -i /key: 1: /opt/ssh: No such file or directory (and so on)",
                true,
            ),
            ("bash: line 1: git-receive-pack: command not found", false),
            ("ssh: Could not resolve hostname h: not found", false),
        ] {
            assert_eq!(is_missing_program(stderr, command), is_missing, "{stderr}");
        }
    }

    #[test]
    fn a_failed_git_command_is_told_by_its_own_words_before_those_of_others() {
        for (stderr, kind) in [
            (
                "git: 'remote-x' is not a git command. See 'git --help'.\nfatal: remote helper 'x' aborted session",
                Kind::Local,
            ),
            ("error: unknown option `porcelain'", Kind::Local),
            ("error: src refspec 12 does not match any", Kind::Local),
            ("fatal: transport 'ext' not allowed", Kind::Local),
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                Kind::Auth,
            ),
            (
                "fatal: unable to access 'https://h/r/': The requested URL returned error: 403",
                Kind::Auth,
            ),
            (
                "fatal: unable to access 'https://h/r/': The requested URL returned error: 503",
                Kind::RemoteError,
            ),
            (
                "fatal: unable to access 'https://h/r/': Failed to connect to h port 1",
                Kind::Network,
            ),
            (
                "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                Kind::Auth,
            ),
            ("fatal: the remote end hung up unexpectedly", Kind::Network),
            ("fatal: something else", Kind::Unknown),
            ("", Kind::Unknown),
        ] {
            assert_eq!(Failure::from_git("git push", stderr).kind(), kind, "{stderr}");
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
