//! The HTTP client of a daemon: one, as long as the settings that shape it stay the same.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Proxy};
use tokio::task::spawn_blocking;

use super::settings::ClientSettings;
use crate::failure::{Failure, Kind};
use crate::transport::activity::{KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_TRIES};

/// The client, shared by all attempts of a daemon so that connections and TLS sessions are used again.
#[derive(Clone, Default)]
pub struct SharedClient {
    keep_for: Duration,
    /// How long a server may leave unacknowledged what was sent.
    idle_timeout: Option<Duration>,
    client: Arc<Mutex<Option<(ClientSettings, Client)>>>,
}

impl SharedClient {
    /// Keeps connections for `keep_for` after their last use; zero, as by default, keeps none after an attempt. One whose
    /// peer leaves unacknowledged for `idle_timeout` what was sent to it is dead, where the system can tell.
    #[must_use]
    pub fn new(keep_for: Duration, idle_timeout: Option<Duration>) -> Self {
        Self {
            keep_for,
            idle_timeout,
            client: Arc::default(),
        }
    }

    /// The client for these settings.
    pub(super) async fn get(&self, settings: ClientSettings) -> Result<Client, Failure> {
        if let Some((of, client)) = &*self.lock()
            && *of == settings
        {
            return Ok(client.clone());
        }
        let (for_build, keep_for, idle_timeout) = (settings.clone(), self.keep_for, self.idle_timeout);
        let client = spawn_blocking(move || build(&for_build, keep_for, idle_timeout))
            .await
            .unwrap_or_else(|panic| Err(Failure::new(Kind::Local, format!("a bug: {panic}"))))?;
        if !keep_for.is_zero() {
            *self.lock() = Some((settings, client.clone()));
        }
        Ok(client)
    }

    /// Drops the client, so that the next one reads the trusted certificates anew.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(ClientSettings, Client)>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedClient").finish_non_exhaustive()
    }
}

fn build(
    settings: &ClientSettings,
    keep_for: Duration,
    idle_timeout: Option<Duration>,
) -> Result<Client, Failure> {
    // One that is not kept ends with its attempt, whose requests share a connection all the same.
    let idle_limit = (!keep_for.is_zero()).then_some(keep_for);
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
        builder = builder.tcp_user_timeout(idle_timeout);
    }
    #[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
    let _ = idle_timeout;
    let proxy = settings.proxy.clone();
    builder
        .tls_backend_preconfigured(tls)
        .proxy(Proxy::custom(move |url| proxy.proxy_for(url)))
        .redirect(Policy::none())
        .referer(false)
        .pool_idle_timeout(idle_limit)
        .tcp_keepalive(KEEPALIVE_AFTER)
        .tcp_keepalive_interval(KEEPALIVE_EVERY)
        .tcp_keepalive_retries(KEEPALIVE_TRIES)
        // As curl reads them.
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        .build()
        .map_err(|error| Failure::new(Kind::Local, format!("HTTP cannot be set up: {}", chain(&error))))
}

/// An error with its causes, each once: the last ones tell what really happened.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
