//! The route to the remote: what the caller has fixed, and what git's configuration makes of it at one moment.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use git_local::config::{Config, Environment};
use git_local::repository::Target;
use git_local::url::Remote;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::options::{Timeouts, TransportChoice};
use crate::transport::{self, GitCliTransport, LocalRepository, Session, Settings, Transport};

const HELPER_HINT: &str = "The credential helper (credential.helper) or askpass program did not answer: run `git credential fill` by hand, as the service's user and with its environment. A helper that needs a person (browser, keyring, terminal) cannot work in a service; for a slow one, raise connectTimeoutMs.";

/// Where the pushes go and how. Its `Debug` omits the remote: a URL may contain a secret.
#[derive(Clone)]
pub struct Destination {
    /// The remote, as the caller named it; each attempt resolves it anew.
    pub remote: String,
    /// Where git would run.
    pub root: PathBuf,
    /// The directory with the objects and the configuration.
    pub common_dir: PathBuf,
    /// The environment at the start; children get exactly this one.
    pub environment: Environment,
    /// Which transport to use.
    pub transport: TransportChoice,
    /// The limits of one attempt.
    pub timeouts: Timeouts,
    /// How long a connection is kept for the next push; zero is not at all.
    pub keep_connection: Duration,
    /// About the most bytes of a pack that can be divided.
    pub max_pack_bytes: u64,
}

/// The transport of the last attempt, shared with the status.
#[derive(Debug, Clone, Default)]
pub struct TransportNote(Arc<Mutex<Option<ChosenTransport>>>);

/// Which transport was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenTransport {
    /// Its name.
    pub transport: &'static str,
    /// The reason, if it is not the obvious choice.
    pub reason: Option<String>,
}

impl TransportNote {
    /// The last one; `None` before the first attempt.
    #[must_use]
    pub fn get(&self) -> Option<ChosenTransport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, route: &Route) {
        let chosen = ChosenTransport {
            transport: route.transport.name(),
            reason: route.transport.why().map(str::to_owned),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(chosen);
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Destination")
            .field("root", &self.root)
            .field("common_dir", &self.common_dir)
            .field("transport", &self.transport)
            .field("timeouts", &self.timeouts)
            .field("keep_connection", &self.keep_connection)
            .finish_non_exhaustive()
    }
}

/// How the remote is reached, by the configuration of one moment. Two routes are equal where git would do the same for
/// both: then a connection along the one can be used for the other.
pub(super) struct Route {
    pub(super) remote: Remote,
    pub(super) transport: Box<dyn Transport>,
    pub(super) config: Config,
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        // The transport's name tells whether a hook or a file makes it git's own client by now.
        self.remote == other.remote
            && self.transport.name() == other.transport.name()
            && self.config.entries() == other.config.entries()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Route")
            .field("transport", &self.transport.name())
            .finish_non_exhaustive()
    }
}

impl Route {
    pub(super) async fn connect(&self, limit: Option<Duration>) -> Result<Box<dyn Session>, Failure> {
        let mut connecting = self.transport.connect();
        let Some(limit) = limit else {
            return connecting.await;
        };
        match timeout(limit, &mut connecting).await {
            Ok(connected) => connected,
            Err(_) if self.transport.waits_for_helper() => Err(Failure::timed_out(
                "git's credential helper did not answer",
                limit,
            )
            .with_hint(HELPER_HINT)),
            Err(_) => Err(Failure::timed_out("the remote did not answer", limit)),
        }
    }
}

impl Destination {
    /// The route of this moment.
    pub(super) fn route(&self, target: &Target, settings: Settings) -> Result<Arc<Route>, Failure> {
        let config = Config::load(&self.environment, &self.common_dir, &target.git_dir)?;
        let remote = Remote::resolve(&config, &self.remote, &self.root)?;
        let source = self.source(target, &config);
        let transport = transport::for_remote(&remote, &source, self.transport, settings)?;
        Ok(Arc::new(Route {
            remote,
            transport,
            config,
        }))
    }

    /// The same route by the git CLI, for this reason.
    pub(super) fn by_git(
        &self,
        route: &Route,
        target: &Target,
        reason: String,
        settings: Settings,
    ) -> Result<Arc<Route>, Failure> {
        let source = self.source(target, &route.config);
        let transport = GitCliTransport::new(&route.remote, &source, reason, settings)?;
        Ok(Arc::new(Route {
            remote: route.remote.clone(),
            transport: Box::new(transport),
            config: route.config.clone(),
        }))
    }

    fn source<'a>(&'a self, target: &'a Target, config: &'a Config) -> LocalRepository<'a> {
        LocalRepository {
            root: &self.root,
            git_dir: &target.git_dir,
            common_dir: &self.common_dir,
            refname: &target.refname,
            config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use futures_util::future::{BoxFuture, pending};
    use std::path::Path;

    /// A transport that never connects.
    struct Hanging {
        waits_for_helper: bool,
    }

    impl Transport for Hanging {
        fn name(&self) -> &'static str {
            "hanging"
        }

        fn waits_for_helper(&self) -> bool {
            self.waits_for_helper
        }

        fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
            Box::pin(pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_helper_that_hangs_is_not_taken_for_the_remote() {
        let here = Path::new("/nonexistent");
        let environment = Environment::default().with("GIT_CONFIG_NOSYSTEM", "1");
        for (waits_for_helper, who) in [(true, "credential helper"), (false, "the remote")] {
            let config = Config::load(&environment, here, here).expect("nothing to read");
            let route = Route {
                remote: Remote::resolve(&config, "https://h.example/r.git", here).expect("a URL"),
                transport: Box::new(Hanging { waits_for_helper }),
                config,
            };
            let connected = route.connect(Some(Duration::from_secs(15))).await;
            let failure = connected.err().expect("it never connects");
            assert_eq!(failure.kind(), Kind::Timeout, "{failure}");
            assert!(failure.message().contains(who), "{failure}");
            let is_hinted = failure.hint().contains("credential.helper");
            assert_eq!(is_hinted, waits_for_helper, "{failure}");
        }
    }
}
