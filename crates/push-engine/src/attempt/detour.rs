//! The git CLI in place of the native TLS, where that cannot connect and git's own may: it supports other versions,
//! ciphers and keys, or judges a certificate differently.
//!
//! An attempt tries git at most once. If git connects, the next pushes use it at once, until the configuration changes or
//! [`LIMIT`] has passed: by then the server may have been updated.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::route::Route;
use crate::failure::{Failure, Kind, TlsFault};
use crate::options::TransportChoice;

/// How long pushes use git without trying the native TLS first.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// The last route that only git could take.
#[derive(Debug, Default)]
pub(super) struct Detour(RefCell<Option<Taken>>);

#[derive(Debug)]
struct Taken {
    native: Arc<Route>,
    by_git: Arc<Route>,
    until: Instant,
}

impl Detour {
    /// The route by git that lately worked in place of this one.
    pub(super) fn instead_of(&self, route: &Route) -> Option<Arc<Route>> {
        let taken = self.0.borrow();
        let taken = taken
            .as_ref()
            .filter(|taken| *taken.native == *route && Instant::now() < taken.until)?;
        Some(Arc::clone(&taken.by_git))
    }

    /// Lets the native route be tried first again.
    pub(super) fn forget(&self) {
        *self.0.borrow_mut() = None;
    }

    /// Remembers that git connected where the native route did not.
    pub(super) fn take(&self, native: Arc<Route>, by_git: Arc<Route>) {
        *self.0.borrow_mut() = Some(Taken {
            native,
            by_git,
            until: Instant::now() + LIMIT,
        });
    }
}

/// The fault for which git may be tried in place of `route`; else the failure to report.
pub(super) fn fault_for_git(
    failure: Failure,
    route: &Route,
    wanted: TransportChoice,
) -> Result<(Failure, TlsFault), Failure> {
    match failure.tls_fault() {
        Some(fault) if fault.is_for_git() && route.transport.why().is_none() => {
            match wanted {
                TransportChoice::Native if fault.is_limit_of_ours() => Err(failure
                    .and("git push may still connect: set the option transport to 'auto' or 'git-cli'")),
                TransportChoice::Auto => Ok((failure, fault)),
                _ => Err(failure),
            }
        }
        _ => Err(failure),
    }
}

/// The native failure, with the advice to install git if that is likely to help.
pub(super) fn without_git(native: Failure, fault: TlsFault, missing: &Failure) -> Failure {
    tracing::debug!(failure = %missing, "git cannot be tried");
    if fault.is_limit_of_ours() {
        native.and("git push may still connect, but git is not in PATH: install git or fix PATH")
    } else {
        native
    }
}

/// The failure to report when both fail: git's if it got further or is more precise, else the native one.
pub(super) fn of_both(native: Failure, fault: TlsFault, by_git: Failure) -> Failure {
    let has_connected = matches!(
        by_git.kind(),
        Kind::Auth | Kind::Rejected | Kind::RemoteLock | Kind::RemoteError
    );
    match by_git.tls_fault() {
        Some(_) if fault.is_limit_of_ours() => by_git,
        None if has_connected => by_git,
        _ => native.and(&format!("git does not connect either: {}", by_git.message())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures_util::future::BoxFuture;
    use git_local::config::{Config, Environment};
    use git_local::url::Remote;
    use tokio::time::advance;

    use super::*;
    use crate::transport::{Session, Transport};

    struct Named(&'static str);

    impl Transport for Named {
        fn name(&self) -> &'static str {
            self.0
        }

        fn why(&self) -> Option<&str> {
            (self.0 == "git-cli").then_some("")
        }

        fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
            unreachable!("this test connects to nothing")
        }
    }

    fn route(transport: &'static str, setting: &str) -> Arc<Route> {
        let nowhere = Path::new("/nonexistent");
        let environment = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_COUNT", "1")
            .with("GIT_CONFIG_KEY_0", "a.b")
            .with("GIT_CONFIG_VALUE_0", setting);
        let config = Config::load(&environment, nowhere, nowhere).expect("well-formed");
        Arc::new(Route {
            remote: Remote::resolve(&config, "https://h/r.git", nowhere).expect("a URL"),
            transport: Box::new(Named(transport)),
            config,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn git_is_used_for_an_hour_on_the_same_route_only() {
        let detour = Detour::default();
        assert!(detour.instead_of(&route("https", "1")).is_none());
        detour.take(route("https", "1"), route("git-cli", "1"));
        let taken = detour.instead_of(&route("https", "1")).expect("it is known");
        assert_eq!(taken.transport.name(), "git-cli");
        assert!(detour.instead_of(&route("https", "2")).is_none());
        assert!(detour.instead_of(&route("git-cli", "1")).is_none());
        advance(LIMIT).await;
        assert!(detour.instead_of(&route("https", "1")).is_none());
        detour.take(route("https", "1"), route("git-cli", "1"));
        detour.forget();
        assert!(detour.instead_of(&route("https", "1")).is_none());
    }

    #[test]
    fn the_more_precise_of_two_failures_is_reported() {
        let of = |fault| Failure::from_tls(fault, format!("{fault:?}"));
        let (strange, limit) = (TlsFault::UnknownAuthority, TlsFault::NoAlternativeName);
        for (fault, by_git, expected, told) in [
            (strange, of(TlsFault::NotAccepted), strange.hint(), "NotAccepted"),
            (
                limit,
                of(TlsFault::WrongName),
                TlsFault::WrongName.hint(),
                "WrongName",
            ),
            (limit, Failure::new(Kind::Auth, "no"), Kind::Auth.hint(), "no"),
            (strange, Failure::new(Kind::Timeout, "no"), strange.hint(), "no"),
        ] {
            let failure = of_both(of(fault), fault, by_git);
            assert_eq!(failure.hint(), expected, "{failure}");
            assert!(failure.message().contains(told), "{failure}");
        }
    }

    #[test]
    fn git_is_tried_for_faults_of_tls_alone_and_where_it_may_be_used() {
        let of = |fault| Failure::from_tls(fault, "x");
        for (failure, transport, wanted, is_tried) in [
            (of(TlsFault::WrongName), "https", TransportChoice::Auto, true),
            (of(TlsFault::WrongName), "https", TransportChoice::Native, false),
            (of(TlsFault::WrongName), "git-cli", TransportChoice::Auto, false),
            (of(TlsFault::Expired), "https", TransportChoice::Auto, false),
            (
                Failure::new(Kind::Network, "x"),
                "https",
                TransportChoice::Auto,
                false,
            ),
        ] {
            let tried = fault_for_git(failure, &route(transport, "1"), wanted);
            assert_eq!(tried.is_ok(), is_tried, "{tried:?}");
        }
    }
}
