//! The HTTP client of a daemon, which is replaced when the settings that shape it change.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy};

use super::settings::ClientSettings;
use super::status::chain;
use crate::failure::{Failure, Kind};
use crate::transport::activity::{KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_TRIES};
use crate::turns::{self, Lane};

/// The client that all attempts of a daemon share, so that connections and TLS sessions are used again.
#[derive(Clone, Default)]
pub struct SharedClient {
    keep_for: Duration,
    idle_timeout: Option<Duration>,
    client: Arc<Mutex<Option<(ClientSettings, Client)>>>,
    lane: Lane,
}

impl SharedClient {
    /// Keeps connections for `keep_for` after their last use; zero, the default, keeps none after an attempt. If the system
    /// supports it, a connection ends when its peer has not acknowledged data for `idle_timeout`.
    #[must_use]
    pub fn new(keep_for: Duration, idle_timeout: Option<Duration>) -> Self {
        Self {
            keep_for,
            idle_timeout,
            client: Arc::default(),
            lane: Lane::default(),
        }
    }

    /// The client for these settings.
    pub(super) async fn get(&self, settings: ClientSettings) -> Result<Client, Failure> {
        if let Some((of, client)) = &*self.lock()
            && *of == settings
        {
            return Ok(client.clone());
        }
        let shared = self.clone();
        let built = self.lane.read(move || {
            let client = shared.build(&settings)?;
            if !shared.keep_for.is_zero() {
                *shared.lock() = Some((settings, client.clone()));
            }
            Ok(client)
        });
        built.await
    }

    fn build(&self, settings: &ClientSettings) -> Result<Client, Failure> {
        let mut tls = settings.tls.load()?;
        let mut builder = Client::builder();
        if settings.is_http1_only {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            builder = builder.http1_only();
        } else {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        if let Some(agent) = &settings.agent {
            builder = builder.user_agent(agent.clone());
        }
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        {
            builder = builder.tcp_user_timeout(self.idle_timeout);
        }
        #[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
        let _ = self.idle_timeout;
        let proxy = settings.proxy.clone();
        builder
            .tls_backend_preconfigured(tls)
            .dns_resolver(Resolver)
            .proxy(Proxy::custom(move |url| proxy.proxy_for(url)))
            .redirect(Policy::none())
            .referer(false)
            // A connection that is not kept still serves all requests of its attempt.
            .pool_idle_timeout((!self.keep_for.is_zero()).then_some(self.keep_for))
            .tcp_keepalive(KEEPALIVE_AFTER)
            .tcp_keepalive_interval(KEEPALIVE_EVERY)
            .tcp_keepalive_retries(KEEPALIVE_TRIES)
            // As in curl.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .build()
            .map_err(|error| Failure::new(Kind::Local, format!("HTTP cannot be set up: {}", chain(&error))))
    }

    /// Drops the client, so that the next one opens new connections, and reads the trusted certificates anew.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(ClientSettings, Client)>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The system's resolver, in turns with the other daemons.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is that of the URL.
            let addresses = turns::look_up(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for SharedClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedClient")
    }
}
