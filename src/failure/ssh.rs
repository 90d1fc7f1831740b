//! The words of OpenSSH, of the C library under it, and of the shells at both of its ends.
//!
//! OpenSSH is not translated, and the C library speaks English to it (it sets no locale for messages). A shell
//! on this side gets English messages from the transport.

use super::Kind;
use super::words::{self, Words};

const SSH: &Words = &[
    ("host key verification failed", Kind::HostKey),
    ("remote host identification has changed", Kind::HostKey),
    ("no matching host key type", Kind::HostKey),
    ("permission denied (", Kind::Auth),
    ("too many authentication failures", Kind::Auth),
    ("authentication failed", Kind::Auth),
    // The account's shell on the server is `nologin`.
    ("account is currently not available", Kind::Auth),
    ("bad configuration option", Kind::Local),
    // What follows `-o` is none of its settings.
    ("command-line line ", Kind::Local),
    ("can't open user config file ", Kind::Local),
    ("bad owner or permissions on ", Kind::Local),
    ("connection timed out", Kind::Timeout),
    ("operation timed out", Kind::Timeout),
    // What OpenSSH's ServerAliveInterval leads to.
    (" not responding", Kind::Timeout),
    ("connection refused", Kind::Network),
    ("could not resolve host", Kind::Network),
    ("name or service not known", Kind::Network),
    ("temporary failure in name resolution", Kind::Network),
    ("no route to host", Kind::Network),
    ("network is unreachable", Kind::Network),
    ("connection reset", Kind::Network),
    ("connection closed by", Kind::Network),
    ("broken pipe", Kind::Network),
    ("kex_exchange_identification", Kind::Network),
    ("banner exchange", Kind::Network),
    ("unable to negotiate with ", Kind::RemoteError),
    // The remote shell's words for a server without git: bash and zsh, dash and busybox, fish, Windows, git-shell.
    ("command not found", Kind::RemoteError),
    (": not found", Kind::RemoteError),
    ("receive-pack: no such file or directory", Kind::RemoteError),
    ("unknown command", Kind::RemoteError),
    (
        "is not recognized as an internal or external command",
        Kind::RemoteError,
    ),
    ("unrecognized command", Kind::RemoteError),
];

/// The kind of what ssh and the shell behind it said.
pub(super) fn kind_of(said: &str) -> Option<Kind> {
    words::find(SSH, said)
}

/// Whether a shell that git has started on this machine complains that it cannot find the program of its command. git
/// gives it that command as its name, so that a word of the name is the program; a server's shell has its own. The command
/// that ends with a quoted path is the receive-pack of a remote on this machine, not ssh.
pub(super) fn is_missing_command(said: &str) -> bool {
    said.lines().any(|line| {
        let Some((name, complaint)) = line.split_once(": ") else {
            return false;
        };
        let mut parts = complaint.rsplit(": ");
        let says_so = parts.next().is_some_and(|words| {
            ["not found", "command not found", "No such file or directory"].contains(&words)
        });
        let program = parts.next();
        let is_receive_pack = name.ends_with('\'');
        says_so && !is_receive_pack && name.split_whitespace().any(|word| Some(word) == program)
    })
}

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
