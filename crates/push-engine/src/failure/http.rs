//! The meaning of HTTP statuses, unless the server explains itself better.

use super::table::Table;
use super::{Failure, Kind, servers};

/// The texts before the status in git's messages, in lower case.
const BEFORE_STATUS: [&str; 3] = ["returned error: ", "http code = ", "rpc failed; http "];

/// The errors of hyper-util about the answer of a proxy to CONNECT, for which it has no type: the kind, and advice.
const TUNNEL: Table<(Kind, &str)> = Table(&[
    ("proxy authorization required", (Kind::Auth, "")),
    (
        "tunnel error: unsuccessful",
        (
            Kind::Network,
            " (the proxy refused: check its rules, and the user and password in its URL)",
        ),
    ),
]);

impl Failure {
    /// A request got no answer; `cause` is the client's error with its causes.
    pub(crate) fn from_unanswered_request(context: &str, cause: &str, is_timeout: bool) -> Self {
        let otherwise = if is_timeout { Kind::Timeout } else { Kind::Network };
        let (kind, advice) = TUNNEL.find(cause).unwrap_or((otherwise, ""));
        Self::new(kind, format!("{context}: {cause}{advice}"))
    }
}

/// The kind of an unsuccessful status, and its meaning as part of a sentence. `page` is the answer's plain text.
pub(crate) fn meaning_of_status(status: u16, page: &str) -> (Kind, &'static str) {
    let (kind, meaning) = match status {
        401 => (Kind::Auth, "the credentials were not accepted"),
        402 => (Kind::Rejected, "the account has reached a limit of its plan"),
        403 => (
            Kind::Auth,
            "the account may not push there, or the server does not allow pushing over HTTP",
        ),
        404 => (
            Kind::RemoteError,
            "there is no such repository, or it is private and the credentials give no access to it (GitHub answers so in both cases)",
        ),
        407 => (Kind::Auth, "the proxy did not accept the credentials in its URL"),
        408 | 504 => (Kind::Timeout, "the server gave up waiting"),
        411 => (
            Kind::RemoteError,
            "the server does not accept chunked requests: set http.postBuffer to more than the size of the pack",
        ),
        413 => (
            Kind::Rejected,
            "the push is larger than the server allows: raise its limit for request bodies",
        ),
        429 => (Kind::RemoteError, "the server limits the rate of requests"),
        503 => (Kind::RemoteError, "the server is not available now"),
        500..=599 => (Kind::RemoteError, "the server failed"),
        _ => (Kind::RemoteError, "the server refused the request"),
    };
    match servers::kind_of(page) {
        // These always ask for credentials, whatever the page says.
        Some(_) if matches!(status, 401 | 407) => (kind, meaning),
        Some(told) if told != kind => (told, "the server refused the request"),
        _ => (kind, meaning),
    }
}

/// The kind of the status in a message of git, if there is one.
pub(super) fn kind_in(message: &str) -> Option<Kind> {
    let message = message.to_ascii_lowercase();
    let status = BEFORE_STATUS.iter().find_map(|before| {
        let (_, rest) = message.split_once(before)?;
        rest.get(..3)?.parse().ok()
    })?;
    Some(meaning_of_status(status, "").0)
}
