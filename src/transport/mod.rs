//! The ways of reaching a remote.
//!
//! A [`Transport`] connects and reads the advertisement; the [`Session`] it gives carries at most one push.
//! Neither decides whether to push: that is `attempt`'s business. Everything a session starts (children,
//! sockets, draining tasks) belongs to a [`Background`], so that the daemon can end it all.

mod activity;
mod background;
mod child;
mod choice;
mod cli;
mod converse;
mod git;
mod hangup;
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
pub use choice::{Choice, ChoiceKind};
pub use cli::{CliTransport, Porcelain, RefList, Verdict};
pub(crate) use converse::{Said, converse};
pub use git::GitTransport;
pub use http::{HttpTransport, SharedClient, lacks_proxy_password, unsupported_settings};
pub use kept::Kept;
pub use local::LocalTransport;
pub(crate) use program::{command, with_english_messages};
pub use ssh::{SshAddress, SshTransport};

use crate::config::{Config, Environment};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::options::TransportChoice;
use crate::send_pack::{Advertisement, Command, Report};
use crate::url::{Remote, RemoteUrl};

/// A future on the daemon's own thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The pack, in pieces; the end of the channel is the end of the pack. Dropping it cancels the generation of the pack.
pub type PackReceiver = mpsc::Receiver<Result<Bytes, Failure>>;

/// One way of reaching a remote.
pub trait Transport: Send + Sync {
    /// Its name, as `status().transport` shows it.
    fn name(&self) -> &'static str;

    /// Why it is this one and not one of this crate's own, as part of a sentence.
    fn why(&self) -> Option<&str> {
        None
    }

    /// Whether connecting costs so much that a connection is kept ready for the next push.
    fn may_be_kept(&self) -> bool {
        false
    }

    /// Whether its sessions send the pack that they are given. Where they do not, they make their own, and drop what they
    /// are given.
    fn takes_pack(&self) -> bool {
        true
    }

    /// Whether it waits for a credential helper of git's, and not for the remote.
    fn waits_for_helper(&self) -> bool {
        false
    }

    /// Connects and reads what the remote advertises. Dropping the future leaves nothing behind.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>>;
}

/// A connection whose advertisement has been read.
pub trait Session: Send {
    /// What the remote advertises.
    fn advertisement(&self) -> &Advertisement;

    /// Sends the command and the pack and reads the report; at most once. Dropping the future cancels the
    /// push.
    fn push<'a>(
        &'a mut self,
        command: &'a Command,
        shallow: &'a [Oid],
        pack: PackReceiver,
    ) -> LocalFuture<'a, Result<Report, PushFailure>>;

    /// Lets the remote finish what it does after a push (hooks, gc) in the background. A session that is
    /// dropped instead is cut off.
    fn finish(self: Box<Self>);

    /// Does the same after a push that was confirmed, and gives the session for the next one where that needs no
    /// connection of its own: its advertisement has `refname` at `tip`.
    #[must_use]
    fn finish_for_next(self: Box<Self>, _refname: &str, _tip: Oid) -> Option<Box<dyn Session>> {
        self.finish();
        None
    }

    /// Resolves when the remote has ended a session that nothing was sent on. Cancel-safe.
    fn hung_up(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Whether an `ok` of the remote is true however old its advertisement is. Where it may not be, a success is looked for
    /// in another advertisement before it is believed, and none is kept for the next push.
    fn compares_old_values(&self) -> bool {
        self.advertisement().compares_old_values()
    }

    /// When the remote itself last said what it has.
    fn advertised_at(&self) -> Instant;
}

/// A push without a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushFailure {
    /// What went wrong.
    pub failure: Failure,
    /// Whether the whole request may have arrived, so that the remote may have the commit all the same.
    pub sent: bool,
}

/// What a transport needs besides the address.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The longest silence; `None` is without limit.
    pub idle_timeout: Option<Duration>,
    /// The longest time from the last byte of a push to its report; `None` is without limit.
    pub report_timeout: Option<Duration>,
    /// What children get as their environment.
    pub environment: Environment,
    /// Whose children and tasks they are.
    pub background: Background,
    /// The HTTP client, which outlives the attempts.
    pub http: SharedClient,
}

/// The local repository, as far as the way to the remote depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Where git would run.
    pub root: &'a Path,
    /// The repository's own directory, another one than `common_dir` only in a linked worktree.
    pub git_dir: &'a Path,
    /// The directory with the hooks and the configuration.
    pub common_dir: &'a Path,
    /// The full name of the branch, here and on the remote.
    pub refname: &'a str,
    /// The configuration of this moment.
    pub config: &'a Config,
}

/// Chooses the transport for a remote.
///
/// # Errors
///
/// When none reaches it, or not in the way that was chosen; the message says why. When the git command is needed
/// and is not installed.
pub fn for_remote(
    remote: &Remote,
    source: &Source<'_>,
    choice: TransportChoice,
    settings: Settings,
) -> Result<Box<dyn Transport>, Failure> {
    let choice = Choice::make(choice, remote, source, &settings.environment)?;
    if choice.kind == ChoiceKind::Git {
        let transport = CliTransport::new(remote, source, choice.reason, settings)?;
        return Ok(Box::new(transport));
    }
    let root = source.root;
    protocol::check(&remote.parsed, source.config, &settings.environment)?;
    match &remote.parsed {
        RemoteUrl::Local(path) | RemoteUrl::File(path) => Ok(Box::new(LocalTransport::new(
            path,
            root,
            remote.receive_pack.clone(),
            settings,
        ))),
        RemoteUrl::Git {
            authority,
            host,
            port,
            path,
        } => Ok(Box::new(GitTransport::new(
            authority, host, *port, path, settings,
        ))),
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
            Ok(Box::new(SshTransport::new(
                address,
                source.config,
                root,
                settings,
            )?))
        }
        RemoteUrl::Http(url) => Ok(Box::new(HttpTransport::new(
            url.clone(),
            remote.clone(),
            source,
            settings,
        ))),
        other @ RemoteUrl::Helper { .. } => {
            Err(Failure::new(Kind::Local, format!("no transport reaches {other}")))
        }
    }
}
