//! The errors that starting a daemon throws, each with the stable code that JavaScript sees.

use napi::Error;

use git_local::redact;

/// The `code` of an error that `startPushDaemon` throws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// An option is missing, unknown or wrong.
    InvalidOption,
    /// There is no repository.
    RepositoryNotFound,
    /// git does not know its format version, or an extension of it.
    UnsupportedRepository,
    /// git's `safe.directory` does not list it.
    RepositoryNotOwned,
    /// No such remote.
    RemoteNotFound,
    /// HEAD names no branch with a commit.
    NoBranch,
    /// A daemon for this repository, remote and branch is already running.
    AlreadyRunning,
    /// The system does not provide what a daemon needs: a readable repository, a thread, a callback.
    System,
}

impl AsRef<str> for Misuse {
    fn as_ref(&self) -> &str {
        match self {
            Self::InvalidOption => "ERR_PUSH_DAEMON_INVALID_OPTION",
            Self::RepositoryNotFound => "ERR_PUSH_DAEMON_REPOSITORY_NOT_FOUND",
            Self::UnsupportedRepository => "ERR_PUSH_DAEMON_UNSUPPORTED_REPOSITORY",
            Self::RepositoryNotOwned => "ERR_PUSH_DAEMON_REPOSITORY_NOT_OWNED",
            Self::RemoteNotFound => "ERR_PUSH_DAEMON_REMOTE_NOT_FOUND",
            Self::NoBranch => "ERR_PUSH_DAEMON_NO_BRANCH",
            Self::AlreadyRunning => "ERR_PUSH_DAEMON_ALREADY_RUNNING",
            Self::System => "ERR_PUSH_DAEMON_SYSTEM",
        }
    }
}

impl Misuse {
    /// Makes the error. Secrets are removed from the message: any given value may contain one.
    pub(super) fn error(self, message: impl AsRef<str>) -> Error<Self> {
        Error::new(self, redact(message.as_ref()).into_owned())
    }
}

/// N-API itself failed.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub(super) fn from_napi(error: Error) -> Error<Misuse> {
    Misuse::System.error(format!("Node-API failed: {}", error.reason))
}
