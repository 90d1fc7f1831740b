//! The kinds of failure: their names in JavaScript, and the advice to the operator.

use std::fmt;

/// The kind of a failure. [`Kind::as_str`] has its name in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The remote branch has commits that the local branch does not contain.
    NonFastForward,
    /// The server understood the push and declined it: a hook, a protected or checked-out branch, an archived
    /// repository, a limit of size or quota.
    Rejected,
    /// The server or proxy did not accept the credentials, or they do not allow this push.
    Auth,
    /// The server's ssh host key is unknown or has changed.
    HostKey,
    /// The server could not be reached, the connection broke, or the server's certificate was refused.
    Network,
    /// A time limit passed: connecting, silence, the report, or the whole attempt.
    Timeout,
    /// Another process on the server holds the lock of the ref.
    RemoteLock,
    /// The server failed: no such repository, disk full, corrupt repository, maintenance, a rate limit, an answer that is
    /// not the protocol.
    RemoteError,
    /// A fault on this machine: the repository, its disk, ssh, or a program that could not be started.
    Local,
    /// The cause is unknown: there was no message, or it was not recognized.
    Unknown,
}

impl Kind {
    /// Every kind, in the order of the runbook's table.
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

    /// The value for gitsheets' `PushFailureReason`, which has two.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NonFastForward => "non-fast-forward",
            _ => "unknown",
        }
    }

    /// Whether waiting can help. Only a diverged branch needs a person: everything else can change on the server (a hook,
    /// a rotated key, a freed disk, the end of maintenance) without any change here.
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
                "The server declined the push: read its message, then change the hook, the branch protection or the limit, unarchive the repository, or grant this account the right to push."
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
                "The server did not answer in time: check its load and the network in between; the daemon retries."
            }
            Self::RemoteLock => {
                "Another push holds the lock of the branch on the server: wait, and if it stays, remove the stale .lock file on the server."
            }
            Self::RemoteError => {
                "The server failed: check that the repository exists at this address, that the server's disk has room, and what its logs say."
            }
            Self::Local => {
                "The fault is on this machine: check the local repository (git fsck), its disk and permissions, and that the git and ssh programs are installed."
            }
            Self::Unknown => {
                "The cause is unknown: read the message, and try `git push` by hand with the same environment."
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
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
    fn the_runbook_lists_every_kind_and_whether_it_is_retried() {
        let (_, section) = include_str!("../../../../docs/runbook.md")
            .split_once("## Kinds of failure")
            .expect("the section");
        let (section, _) = section.split_once("\n### ").expect("the steps follow");
        let rows: Vec<Vec<&str>> = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let expected: Vec<[String; 2]> = Kind::ALL
            .into_iter()
            .map(|kind| {
                let is_retried = if kind.is_retryable() { "yes" } else { "no" };
                [format!("`{kind}`"), is_retried.to_owned()]
            })
            .collect();
        let told: Vec<[String; 2]> = rows
            .iter()
            .map(|row| [row[0].to_owned(), row[1].to_owned()])
            .collect();
        assert_eq!(told, expected);
        // Where it comes from, and what to do.
        assert!(
            rows.iter()
                .all(|row| row.len() == 4 && row.iter().all(|cell| !cell.is_empty()))
        );
    }
}
