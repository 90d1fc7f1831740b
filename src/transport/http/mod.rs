//! Smart HTTP: the advertisement by GET, the push by POST (gitprotocol-http(5)).
//!
//! The dumb protocol, which needs `WebDAV` to push, is refused.

mod client;
mod proxy;
mod requester;
mod session;
mod settings;
mod status;
mod tls;
mod tls_fault;

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, LOCATION, PRAGMA};
use reqwest::{Response, Url};

use proxy::ProxyRules;
use requester::{Login, Requester, shown};
use session::{HttpSession, reader_of};

pub use client::SharedClient;
pub use settings::unsupported_settings;

use super::activity::{ADVERTISING, Activity, Limits};
use super::{LocalRepository, Session, Settings, Transport};
use crate::config::{Config, Environment};
use crate::credential::Helpers;
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::pkt_line::{Packet, PacketReader};
use crate::send_pack::{Advertisement, WireError};
use crate::url::{HttpUrl, Remote};

/// As many as git lets curl follow.
const MAX_REDIRECTS: usize = 20;

/// What git asks for behind the base URL.
const INFO_REFS: &str = "info/refs";
const SERVICE: &str = "service=git-receive-pack";

/// Whether the proxy to a remote has a user without a password. Settings that cannot be read are for the attempt to tell of.
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
    /// `url` is the remote's. What [`unsupported_settings`] names is not heeded.
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
        let settings = &self.settings;
        let reader = settings::Reader {
            config: &self.config,
            environment: &settings.environment,
            url: &self.remote.url,
            root: &self.root,
        };
        let of_client = reader.client(self.remote.proxy.as_deref())?;
        let of_requests = reader.requests()?;
        let mut requester = Requester {
            proxy: of_client.proxy.clone(),
            client: settings.http.get(of_client).await?,
            shared: settings.http.clone(),
            headers: of_requests.headers.clone(),
            login: Login::new(&self.url, self.helpers.clone()),
            activity: activity.clone(),
        };
        let asked = self.info_refs()?;
        let (answer, found) = self
            .discover(
                &mut requester,
                &reader,
                of_requests.follows_redirects,
                asked.clone(),
            )
            .await?;
        let base = base_of(&asked, &found, &self.url)?;
        let advertisement = read_advertisement(answer, &shown(&base), activity).await?;
        Ok(HttpSession::new(
            requester,
            base,
            advertisement,
            of_requests.post_buffer,
            activity.clone(),
            settings,
        ))
    }

    /// The URL of the advertisement, put together as git does.
    fn info_refs(&self) -> Result<Url, Failure> {
        let base = self.url.without_credentials();
        let slash = if base.ends_with('/') { "" } else { "/" };
        let joint = if base.contains('?') { '&' } else { '?' };
        let url = format!("{base}{slash}{INFO_REFS}{joint}{SERVICE}");
        Url::parse(&url)
            .map_err(|error| Failure::new(Kind::Local, format!("{} cannot be requested: {error}", self.url)))
    }

    /// Asks for the advertisement wherever redirects lead, and returns where that was.
    async fn discover(
        &self,
        requester: &mut Requester,
        reader: &settings::Reader<'_>,
        follows_redirects: bool,
        asked: Url,
    ) -> Result<(Response, Url), Failure> {
        let mut url = asked;
        for _ in 0..=MAX_REDIRECTS {
            let prepare = |client: &reqwest::Client| {
                client
                    .get(url.clone())
                    .header(PRAGMA, "no-cache")
                    .header(CACHE_CONTROL, "no-cache")
            };
            let mut sent = requester.send(&url, prepare).await;
            if let Err(refused) = &sent
                && refused.was_sent
                && !refused.by_server
                && refused.failure.kind() == Kind::Network
            {
                // A kept connection that the server has closed meanwhile is no failure.
                tracing::debug!(failure = %refused.failure, "asking again over a new connection");
                sent = requester.send(&url, prepare).await;
            }
            let response = sent.map_err(|refused| refused.failure)?;
            if !response.status().is_redirection() {
                return Ok((response, url));
            }
            let next = redirected(&url, &response)?;
            if !follows_redirects {
                let message = format!(
                    "{} redirects to {}, and http.followRedirects forbids to follow: set the remote to the new URL",
                    shown(&url),
                    shown(&next)
                );
                return Err(Failure::new(Kind::RemoteError, message));
            }
            tracing::debug!(to = shown(&next), "following a redirect");
            if next.origin() == url.origin() {
                requester.login.move_within(&next);
            } else {
                requester.login.move_to(&next);
                requester.headers = reader.headers_elsewhere(next.as_str())?;
            }
            url = next;
        }
        Err(Failure::new(
            Kind::RemoteError,
            format!("{} redirects more than {MAX_REDIRECTS} times", self.url),
        ))
    }
}

impl Transport for HttpTransport {
    fn name(&self) -> &'static str {
        self.url.scheme()
    }

    /// What is kept is the advertisement, which saves a request.
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

/// Where a redirect leads to.
fn redirected(from: &Url, response: &Response) -> Result<Url, Failure> {
    let refused = |problem: &str| {
        let (from, status) = (shown(from), response.status());
        Failure::new(Kind::RemoteError, format!("{from} answered {status} {problem}"))
    };
    let location = response.headers().get(LOCATION);
    let location = location
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| refused("without saying where to"))?;
    let mut to = from
        .join(location)
        .map_err(|_| refused("with a place that is no URL"))?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(refused("with a place that is not reached by HTTP"));
    }
    // A server has no say in who we are, and a fragment is never sent.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    to.set_fragment(None);
    Ok(to)
}

/// The base URL for the push: where the advertisement was found, without what was added to the configured one.
fn base_of(asked: &Url, found: &Url, configured: &HttpUrl) -> Result<Url, Failure> {
    let tail = asked
        .as_str()
        .rfind(INFO_REFS)
        .map_or("", |at| &asked.as_str()[at..]);
    let base = found.as_str().strip_suffix(tail).filter(|_| !tail.is_empty());
    base.and_then(|base| Url::parse(base).ok()).ok_or_else(|| {
        let found = shown(found);
        Failure::new(
            Kind::RemoteError,
            format!("{configured} redirects to {found}, from which no URL of a repository can be told: set the remote to the new URL"),
        )
    })
}

/// The type of an answer as git reads it: without parameters and spaces, in lower case. The last of several counts, as for
/// curl.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get_all(CONTENT_TYPE).into_iter().next_back();
    let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let value = value.as_deref().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().chars();
    essence
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_ascii_lowercase())
        .collect()
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
                "{url} answers by the dumb HTTP protocol, which cannot push: the server must run git http-backend"
            )
        } else {
            format!("{url} is no git server: expected an answer of the type {EXPECTED}, got '{found}'")
        };
        return Err(Failure::new(Kind::RemoteError, message));
    }
    let mut reader = reader_of(response, activity);
    let read = async {
        read_service_header(&mut reader).await?;
        let advertisement = Advertisement::read(&mut reader).await?;
        // A connection can be used again once its answer was read to the end.
        reader.discard().await?;
        Ok(advertisement)
    };
    read.await.map_err(|error: WireError| error.into())
}

/// Whether it is the file `info/refs`: ids with a tab and a name behind each.
fn is_dumb(beginning: &[u8]) -> bool {
    let line = beginning.split_at_checked(Oid::HEX_LENGTH);
    line.is_some_and(|(id, rest)| Oid::from_hex(id).is_some() && rest.starts_with(b"\t"))
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
            let words = String::from_utf8_lossy(&line[4..]).trim().to_owned();
            return Err(WireError::Remote(words));
        }
        other => {
            return Err(WireError::Protocol(format!(
                "expected '{expected}', got {other:?}"
            )));
        }
    }
    loop {
        match reader.read().await? {
            // git takes any other packet than one with a payload for the end.
            Some(Packet::Data(line)) if !line.is_empty() => {}
            Some(_) => return Ok(()),
            None => {
                return Err(WireError::UnexpectedEof {
                    context: "inside the service header",
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::RemoteUrl;

    fn configured() -> HttpUrl {
        match RemoteUrl::parse("https://h/o/r.git").expect("well-formed") {
            RemoteUrl::Http(url) => url,
            other => panic!("{other}"),
        }
    }

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn a_content_type_is_read_as_git_reads_it() {
        for (values, expected) in [
            (&["text/plain"][..], "text/plain"),
            (&[" Text/PLAIN ; charset=utf-8"], "text/plain"),
            (&["text / plain;charset=\"utf-8\""], "text/plain"),
            (&["text/html", "text/plain"], "text/plain"),
            (&[""], ""),
            (&[], ""),
        ] {
            let values = values
                .iter()
                .map(|value| (CONTENT_TYPE, value.parse().expect("a value")));
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(name, value);
            }
            assert_eq!(content_type(&headers), expected, "{headers:?}");
        }
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
            let told = base_of(&asked, &url(found), &configured());
            assert_eq!(told.ok().map(String::from).as_deref(), base, "{found}");
        }
    }
}
