//! The ways of reaching a remote.
//!
//! A [`Transport`] connects and reads the advertisement; the [`Session`] it gives carries at most one push.
//! Neither decides whether to push: that is `attempt`'s business. Everything a session starts (children,
//! sockets, draining tasks) belongs to a [`Background`], so that the daemon can end it all.

mod activity;
mod background;
mod child;
mod converse;
mod git;
mod http;
mod local;
mod session;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

pub use background::Background;
pub(crate) use converse::converse;
pub use git::GitTransport;
pub use http::{HttpTransport, SharedClient, unsupported_settings};
pub use local::LocalTransport;

use crate::config::{Config, Environment};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::options::TransportChoice;
use crate::send_pack::{Advertisement, Command, PackReceiver, Report};
use crate::url::{Remote, RemoteUrl};

/// A future on the daemon's own thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One way of reaching a remote.
pub trait Transport {
    /// Its name, as `status().transport` shows it.
    fn name(&self) -> &'static str;

    /// Connects and reads what the remote advertises. Dropping the future leaves nothing behind.
    fn connect(&self) -> LocalFuture<'_, Result<Box<dyn Session>, Failure>>;
}

/// A connection whose advertisement has been read.
pub trait Session {
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
    /// What children get as their environment.
    pub environment: Environment,
    /// Whose children and tasks they are.
    pub background: Background,
    /// The HTTP client, which outlives the attempts.
    pub http: SharedClient,
}

/// Chooses the transport for a remote.
///
/// # Errors
///
/// When none of ours reaches it; the message names the scheme.
pub fn for_remote(
    remote: &Remote,
    config: &Config,
    root: &Path,
    choice: TransportChoice,
    settings: Settings,
) -> Result<Box<dyn Transport>, Failure> {
    let _ = choice;
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
        RemoteUrl::Http(url) => Ok(Box::new(HttpTransport::new(
            url.clone(),
            remote.clone(),
            config.clone(),
            root.to_owned(),
            settings,
        ))),
        other @ (RemoteUrl::Ssh { .. } | RemoteUrl::Helper { .. }) => {
            Err(Failure::new(Kind::Local, format!("no transport reaches {other}")))
        }
    }
}
