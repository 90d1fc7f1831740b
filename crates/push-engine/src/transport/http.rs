//! Smart HTTP: the advertisement by GET, the push by POST (gitprotocol-http(5)).
//!
//! The dumb protocol, which needs `WebDAV` to push, is refused.

mod client;
mod credential;
mod proxy;
mod requester;
mod session;
mod settings;
mod status;
mod tls;
mod tls_fault;

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use reqwest::header::{CACHE_CONTROL, LOCATION, PRAGMA};
use reqwest::{Response, Url};

use credential::Helpers;
use proxy::ProxyRules;
use requester::{INFO_REFS, Login, Requester, shown};
use session::{HttpSession, reader_of};
use status::content_type;

pub use client::SharedClient;
use git_local::config::{Config, Environment};
use git_local::url::{HttpUrl, Remote};
use git_wire::oid::Oid;
use git_wire::pkt_line::{Packet, PacketReader};
use git_wire::send_pack::{Advertisement, WireError};
pub use settings::unsupported_settings;

use super::activity::{ADVERTISING, Activity, Limits};
use super::{LocalRepository, Session, Settings, Transport};
use crate::failure::{Failure, Kind};

/// As many as git lets curl follow.
const MAX_REDIRECTS: usize = 20;

const SERVICE: &str = "service=git-receive-pack";

/// Whether the proxy to a remote has a user without a password. The attempt reports settings that cannot be read.
#[must_use]
pub fn lacks_proxy_password(
    url: &HttpUrl,
    remote: &Remote,
    config: &Config,
    environment: &Environment,
) -> bool {
    let general = || config.url_match("http", "proxy", &remote.url)?.value();
    let configured = remote.proxy.as_deref().or_else(general);
    ProxyRules::new(configured, environment)
        .ok()
        .zip(Url::parse(&url.without_credentials()).ok())
        .is_some_and(|(rules, url)| rules.lacks_password(&url))
}

/// Pushes to an `http://` or `https://` URL.
#[derive(Debug)]
pub struct HttpTransport {
    url: HttpUrl,
    remote: Remote,
    config: Config,
    root: PathBuf,
    helpers: Helpers,
    settings: Settings,
}

impl HttpTransport {
    /// `url` is the remote's. The settings that [`unsupported_settings`] names are ignored.
    #[must_use]
    pub fn new(url: HttpUrl, remote: Remote, repository: &LocalRepository<'_>, settings: Settings) -> Self {
        Self {
            helpers: Helpers::new(repository, &settings),
            url,
            remote,
            config: repository.config.clone(),
            root: repository.root.to_owned(),
            settings,
        }
    }

    async fn open(&self, activity: &Activity) -> Result<HttpSession, Failure> {
        let reader = settings::SettingsReader {
            config: &self.config,
            environment: &self.settings.environment,
            url: &self.remote.url,
            root: &self.root,
        };
        let settings = reader.read(self.remote.proxy.as_deref())?;
        let mut requester = Requester {
            proxy: settings.client.proxy.clone(),
            client: self.settings.http.get(settings.client).await?,
            shared: self.settings.http.clone(),
            headers: settings.headers,
            login: Login::new(&self.url, self.helpers.clone()),
            activity: activity.clone(),
        };
        let asked = self.info_refs()?;
        let mut url = asked.clone();
        let mut response = self.get(&mut requester, &url).await?;
        let mut redirects = 0;
        while response.status().is_redirection() {
            let next = redirected(&url, &response)?;
            if !settings.follows_redirects {
                return Err(self.lost(&format!(
                    "redirects to {}, which http.followRedirects does not allow: set the remote to the new URL",
                    shown(&next)
                )));
            }
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(self.lost(&format!("redirects more than {MAX_REDIRECTS} times")));
            }
            tracing::debug!(to = shown(&next), "following a redirect");
            requester.login.follow(&url, &next);
            if next.origin() != url.origin() {
                requester.headers = reader.headers_elsewhere(next.as_str())?;
            }
            url = next;
            response = self.get(&mut requester, &url).await?;
        }
        let base = base_of(&asked, &url).ok_or_else(|| {
            self.lost(&format!(
                "redirects to {}, which does not look like the URL of a repository: set the remote to the new URL",
                shown(&url)
            ))
        })?;
        let advertisement = read_advertisement(response, &shown(&base), activity).await?;
        Ok(HttpSession::new(
            requester,
            base,
            advertisement,
            settings.post_buffer,
            &self.settings,
        ))
    }

    /// The URL of the advertisement, put together as git does.
    fn info_refs(&self) -> Result<Url, Failure> {
        let base = self.url.without_credentials();
        let slash = if base.ends_with('/') { "" } else { "/" };
        let joint = if base.contains('?') { '&' } else { '?' };
        let url = format!("{base}{slash}{INFO_REFS}{joint}{SERVICE}");
        Url::parse(&url)
            .map_err(|error| Failure::new(Kind::Local, format!("{} is not a valid URL: {error}", self.url)))
    }

    /// Requests the advertisement. A kept connection that the server has closed meanwhile is no failure.
    async fn get(&self, requester: &mut Requester, url: &Url) -> Result<Response, Failure> {
        let prepare = |client: &reqwest::Client| {
            client
                .get(url.clone())
                .header(PRAGMA, "no-cache")
                .header(CACHE_CONTROL, "no-cache")
        };
        let mut sent = requester.send(url, prepare).await;
        if let Err(refused) = &sent
            && refused.may_have_acted
            && refused.failure.kind() == Kind::Network
        {
            tracing::debug!(failure = %refused.failure, "asking again over a new connection");
            sent = requester.send(url, prepare).await;
        }
        sent.map_err(|refused| refused.failure)
    }

    /// The redirects do not lead to a repository.
    fn lost(&self, problem: &str) -> Failure {
        Failure::new(Kind::RemoteError, format!("{} {problem}", self.url))
    }
}

impl Transport for HttpTransport {
    fn name(&self) -> &'static str {
        self.url.scheme()
    }

    /// A kept advertisement saves a request.
    fn may_be_kept(&self) -> bool {
        true
    }

    fn waits_for_helper(&self) -> bool {
        self.helpers.is_asking()
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let activity = Activity::new();
            let limits = Limits::of_silence(self.settings.idle_timeout);
            let opened = activity.guard(limits, ADVERTISING, self.open(&activity));
            Ok(Box::new(opened.await??) as Box<dyn Session>)
        })
    }
}

/// The URL that a redirect leads to.
fn redirected(from: &Url, response: &Response) -> Result<Url, Failure> {
    let refused = |problem: &str| {
        let (from, status) = (shown(from), response.status());
        Failure::new(Kind::RemoteError, format!("{from} answered {status} {problem}"))
    };
    let location = response.headers().get(LOCATION);
    let location = location
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| refused("without the URL to redirect to"))?;
    let mut to = from
        .join(location)
        .map_err(|_| refused("with an invalid URL to redirect to"))?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(refused("with a URL to redirect to that is not http or https"));
    }
    // The server does not choose the user, and a fragment is never sent.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    to.set_fragment(None);
    Ok(to)
}

/// The base URL for the push: where the advertisement was found, without the part that was appended to the configured URL.
fn base_of(asked: &Url, found: &Url) -> Option<Url> {
    let appended = &asked.as_str()[asked.as_str().rfind(INFO_REFS)?..];
    found.as_str().strip_suffix(appended)?.parse().ok()
}

async fn read_advertisement(
    mut response: Response,
    url: &str,
    activity: &Activity,
) -> Result<Advertisement, Failure> {
    const EXPECTED: &str = "application/x-git-receive-pack-advertisement";
    let found = content_type(response.headers());
    if found != EXPECTED {
        let beginning = response.chunk().await.ok().flatten().unwrap_or_default();
        let message = if is_dumb(&beginning) {
            format!(
                "{url} answers with the dumb HTTP protocol, which cannot push: the server must run git http-backend"
            )
        } else {
            format!("{url} is not a git server: expected an answer of the type {EXPECTED}, got '{found}'")
        };
        return Err(Failure::new(Kind::RemoteError, message));
    }
    let mut reader = reader_of(response, activity);
    let read = async {
        read_service_header(&mut reader).await?;
        let advertisement = Advertisement::read(&mut reader).await?;
        // Only after the end of its answer can a connection be used again.
        reader.discard().await?;
        Ok(advertisement)
    };
    read.await.map_err(|error: WireError| error.into())
}

/// Whether it is the file `info/refs`: lines of an id, a tab and a name.
fn is_dumb(beginning: &[u8]) -> bool {
    let id = beginning.split(|&byte| byte == b'\t').next();
    id.is_some_and(|id| id.len() < beginning.len() && Oid::from_hex(id).is_some())
}

/// Reads `# service=git-receive-pack` and the flush packet behind it.
async fn read_service_header<R>(reader: &mut PacketReader<R>) -> Result<(), WireError>
where
    R: tokio::io::AsyncRead + Unpin,
{
    let expected = format!("# {SERVICE}");
    match reader.read().await? {
        Some(Packet::Data(line)) if line.trim_ascii_end() == expected.as_bytes() => {}
        Some(Packet::Data(line)) if line.starts_with(b"ERR ") => {
            let message = String::from_utf8_lossy(&line[4..]).trim().to_owned();
            return Err(WireError::Remote(message));
        }
        other => {
            let message = format!("expected '{expected}', got {other:?}");
            return Err(WireError::Protocol(message));
        }
    }
    loop {
        match reader.read().await? {
            // git takes any packet without a payload for the end.
            Some(Packet::Data(line)) if !line.is_empty() => {}
            Some(_) => return Ok(()),
            None => {
                let context = "inside the service header";
                return Err(WireError::UnexpectedEof { context });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn the_base_is_where_a_redirect_led_to() {
        let asked = url("https://h/o/r.git/info/refs?service=git-receive-pack");
        for (found, base) in [
            (asked.as_str(), Some("https://h/o/r.git/")),
            (
                "https://h2:8443/x/info/refs?service=git-receive-pack",
                Some("https://h2:8443/x/"),
            ),
            ("https://h/login?next=/o/r.git", None),
            ("https://h/o/r.git/info/refs", None),
        ] {
            let told = base_of(&asked, &url(found));
            assert_eq!(told.map(String::from).as_deref(), base, "{found}");
        }
    }
}
