//! The transports that reach a remote.
//!
//! A [`Transport`] connects and reads the advertisement; its [`Session`] carries at most one push. Neither decides whether
//! to push: `attempt` does. Everything that a session starts (children, sockets, tasks) belongs to a [`Background`], so that
//! the daemon can end it all.
//!
//! `git` stands for `git://` alone. Everything about the git command is called the git CLI.

mod activity;
mod background;
mod child;
mod choice;
mod cli;
mod git;
mod http;
mod kept;
mod local;
mod process;
mod program;
mod protocol;
mod session;
mod ssh;
#[cfg(unix)]
mod watchdog;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use background::Background;
pub(crate) use child::{Output, communicate};
pub(crate) use choice::permitted;
pub(crate) use cli::{CloneSource, Cloning, Encoding, Fetch, PackObjects, is_worth_progress};
pub use cli::{GitCliTransport, Porcelain, RefList, Verdict};
pub use git::GitTransport;
use git_local::LocalError;
use git_local::config::{Config, Environment};
use git_local::url::{Remote, RemoteUrl};
use git_wire::oid::Oid;
use git_wire::send_pack::{Advertisement, Command, Report};
pub use http::{HttpTransport, SharedClient, lacks_proxy_password, unsupported_settings};
pub use kept::Kept;
pub use local::LocalTransport;
pub(crate) use program::{command, with_english_messages};
pub use ssh::{SshAddress, SshTransport};

use crate::failure::{Failure, Kind};
use crate::options::TransportChoice;
use crate::transfer::Transfer;

/// A future on the daemon's own thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The pack, in pieces; the end of the channel is the end of the pack. Dropping it cancels the generation of the pack.
pub type PackReceiver = mpsc::Receiver<Result<Bytes, LocalError>>;

/// Connects to one remote.
pub trait Transport: Send + Sync {
    /// Its name, as in `status().transport`.
    fn name(&self) -> &'static str;

    /// The reason for the git CLI, as part of a sentence; `None` for a native transport.
    fn why(&self) -> Option<&str> {
        None
    }

    /// Whether connecting costs so much that a connection is kept ready for the next push.
    fn may_be_kept(&self) -> bool {
        false
    }

    /// Whether its sessions send the given pack. Otherwise they drop it and make their own.
    fn takes_pack(&self) -> bool {
        true
    }

    /// Whether it can push a commit that precedes the tip.
    fn takes_steps(&self) -> bool {
        true
    }

    /// Whether it is waiting for git's credential helpers and not for the remote.
    fn waits_for_helper(&self) -> bool {
        false
    }

    /// Connects and reads the advertisement. Dropping the future ends everything that it started.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>>;
}

/// A connection whose advertisement has been read.
pub trait Session: Send {
    /// The remote's advertisement.
    fn advertisement(&self) -> &Advertisement;

    /// Sends the command and the pack and reads the report; at most once. Dropping the future cancels the push.
    fn push<'a>(
        &'a mut self,
        command: &'a Command,
        shallow: &'a [Oid],
        pack: PackReceiver,
    ) -> LocalFuture<'a, Result<Report, PushFailure>>;

    /// Lets the remote finish its work after a push (hooks, gc) in the background. Dropping the session instead ends the
    /// connection at once.
    fn finish(self: Box<Self>);

    /// Does the same after a confirmed push, and returns the session for the next one if that needs no new connection. Its
    /// advertisement then has `refname` at `tip`.
    #[must_use]
    fn finish_for_next(self: Box<Self>, _refname: &str, _tip: Oid) -> Option<Box<dyn Session>> {
        self.finish();
        None
    }

    /// Resolves when the remote ends the session before anything was sent. Cancel-safe.
    fn hung_up(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Whether the remote's `ok` is true however old its advertisement is. Otherwise a success must be checked in another
    /// advertisement, and no session is kept.
    fn compares_old_values(&self) -> bool {
        self.advertisement().compares_old_values()
    }

    /// When the advertisement was read.
    fn advertised_at(&self) -> Instant;
}

/// A push without a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushFailure {
    /// What went wrong.
    pub failure: Failure,
    /// Whether the whole request may have arrived, so that the remote may have the commit after all.
    pub sent: bool,
}

/// What a transport needs besides the address.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The longest silence; `None` is no limit.
    pub idle_timeout: Option<Duration>,
    /// The longest time from the last byte of a push to its report; `None` is no limit.
    pub report_timeout: Option<Duration>,
    /// The environment of children.
    pub environment: Environment,
    /// The owner of children and tasks.
    pub background: Background,
    /// The HTTP client, which outlives the attempts.
    pub http: SharedClient,
    /// Where to tell how far a push has come.
    pub transfer: Transfer,
}

/// The parts of the local repository on which the connection to the remote depends.
#[derive(Debug, Clone, Copy)]
pub struct LocalRepository<'a> {
    /// Where git would run.
    pub root: &'a Path,
    /// The repository's own directory; differs from `common_dir` only in a linked worktree.
    pub git_dir: &'a Path,
    /// The directory with the hooks and the configuration.
    pub common_dir: &'a Path,
    /// The full name of the branch, here and on the remote.
    pub refname: &'a str,
    /// The current configuration.
    pub config: &'a Config,
}

/// Chooses the transport for a remote.
///
/// # Errors
///
/// No transport reaches the remote, or not the one that was chosen; or the git CLI is needed and not installed.
pub fn for_remote(
    remote: &Remote,
    repository: &LocalRepository<'_>,
    choice: TransportChoice,
    settings: Settings,
) -> Result<Box<dyn Transport>, Failure> {
    if let Some(reason) = choice::reason_for_git_cli(choice, remote, repository, &settings.environment)? {
        let transport = GitCliTransport::new(remote, repository, reason, settings)?;
        return Ok(Box::new(transport));
    }
    let (root, config) = (repository.root, repository.config);
    protocol::check(&remote.parsed, config, &settings.environment)?;
    Ok(match &remote.parsed {
        RemoteUrl::Local(path) | RemoteUrl::File(path) => {
            let receive_pack = remote.receive_pack.clone();
            Box::new(LocalTransport::new(path, root, receive_pack, settings))
        }
        RemoteUrl::Git {
            authority,
            host,
            port,
            path,
        } => Box::new(GitTransport::new(authority, host, *port, path, settings)),
        RemoteUrl::Ssh {
            user,
            host,
            port,
            path,
        } => {
            let address = SshAddress {
                user: user.as_deref(),
                host,
                port: *port,
                path,
                receive_pack: remote.receive_pack.as_deref(),
            };
            Box::new(SshTransport::new(address, config, root, settings)?)
        }
        RemoteUrl::Http(url) => {
            let url = url.clone();
            Box::new(HttpTransport::new(url, remote.clone(), repository, settings))
        }
        other @ RemoteUrl::Helper { .. } => {
            let message = format!("no transport reaches {other}");
            return Err(Failure::new(Kind::Local, message));
        }
    })
}
