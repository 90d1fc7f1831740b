//! Sends requests to one server, and answers a 401 with credentials: with each of them once in an attempt.

use git_local::url::{HttpUrl, decoded_path};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::client::SharedClient;
use super::credential::{Credential, Helpers, Query};
use super::proxy::ProxyRules;
use super::status;
use crate::failure::Failure;
use crate::transport::activity::Activity;

/// git asks its helpers at most this often if their answer takes several steps.
const MAX_QUESTIONS: usize = 2;

/// The path of the advertisement below the base URL.
pub(super) const INFO_REFS: &str = "info/refs";

/// The requests of one attempt.
pub(super) struct Requester {
    pub(super) client: Client,
    pub(super) shared: SharedClient,
    pub(super) proxy: ProxyRules,
    /// Sent with every request.
    pub(super) headers: HeaderMap,
    pub(super) login: Login,
    /// The activity of the session that the requests belong to.
    pub(super) activity: Activity,
}

/// The credential that the requests carry, and where the next one comes from.
pub(super) struct Login {
    helpers: Helpers,
    query: Query,
    /// The credential of the URL, until it was tried.
    of_url: Option<Credential>,
    /// How often the helpers were asked.
    questions: usize,
    current: Option<Credential>,
    is_approved: bool,
}

impl Login {
    /// Sends no credential until the server asks for one.
    pub(super) fn new(url: &HttpUrl, helpers: Helpers) -> Self {
        let query = Query {
            protocol: url.scheme(),
            host: url.authority(),
            path: decoded_path(&url.path),
            username: url.username.clone(),
            challenges: Vec::new(),
        };
        // For a name without a password git asks the helpers.
        let of_url = url.password.as_ref().map(|password| {
            Credential::from_url(&query, url.username.as_deref().unwrap_or_default(), password)
        });
        Self {
            of_url,
            ..Self::without_credentials(query, helpers)
        }
    }

    fn without_credentials(query: Query, helpers: Helpers) -> Self {
        Self {
            helpers,
            query,
            of_url: None,
            questions: 0,
            current: None,
            is_approved: false,
        }
    }

    /// Follows a redirect. Another server must not receive the credentials; for another repository of the same server
    /// helpers may have another one.
    pub(super) fn follow(&mut self, from: &Url, to: &Url) {
        if from.origin() != to.origin() {
            let query = Query {
                protocol: if to.scheme() == "https" { "https" } else { "http" },
                host: to.authority().to_owned(),
                path: Vec::new(),
                username: None,
                challenges: Vec::new(),
            };
            *self = Self::without_credentials(query, self.helpers.clone());
        }
        let path = to.path();
        self.query.path = decoded_path(path.strip_suffix(INFO_REFS).unwrap_or(path));
    }

    fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        let header = self.current.as_ref().and_then(Credential::header);
        // A credential that cannot be a header is not sent, and so refused like any wrong one.
        match header.map(HeaderValue::try_from) {
            Some(Ok(mut value)) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            _ => request,
        }
    }

    /// Takes the next credential, or tells why there is none. `challenges` are the server's.
    async fn refused(&mut self, challenges: Vec<Vec<u8>>) -> Result<(), String> {
        let tried = self.current.take();
        self.is_approved = false;
        self.query.challenges = challenges;
        let step = tried
            .as_ref()
            .filter(|tried| tried.continues() && self.questions < MAX_QUESTIONS);
        if step.is_none()
            && let Some(credential) = &tried
        {
            self.helpers.reject(&self.query, credential).await;
        }
        let next = if let Some(credential) = self.of_url.take() {
            credential
        } else {
            let refused = match &tried {
                Some(tried) if tried.is_from_url => "it refused the user and password of the URL",
                Some(_) if step.is_some() => "it asks for another step of the login",
                Some(_) => {
                    return Err(
                        "it refused the credentials of git's credential helper or askpass program".to_owned(),
                    );
                }
                None => "it asks for credentials",
            };
            if self.questions > 0 && step.is_none() {
                return Err(refused.to_owned());
            }
            self.questions += 1;
            let filled = self.helpers.fill(&self.query, step).await;
            filled.map_err(|reason| format!("{refused}, and {reason}"))?
        };
        if next.is_basic() {
            accepts_basic(&self.query.challenges)?;
        }
        self.current = Some(next);
        Ok(())
    }

    /// The server has accepted the credential.
    fn accepted(&mut self) {
        if let Some(credential) = &self.current
            && !self.is_approved
        {
            self.is_approved = true;
            self.helpers.approve(&self.query, credential);
        }
    }
}

/// Whether a server with these challenges accepts a user name and password.
fn accepts_basic(challenges: &[Vec<u8>]) -> Result<(), String> {
    let challenges: Vec<_> = challenges.iter().map(|c| String::from_utf8_lossy(c)).collect();
    let is_basic = |challenge: &str| challenge.to_ascii_lowercase().contains("basic");
    if challenges.is_empty() || challenges.iter().any(|challenge| is_basic(challenge)) {
        return Ok(());
    }
    let schemes = challenges
        .iter()
        .filter_map(|challenge| challenge.split_whitespace().next());
    Err(format!(
        "it accepts only {}, but the native transport can send a user name and password only with Basic: set the option transport to 'git-cli', or set http.extraHeader",
        schemes.collect::<Vec<_>>().join(" or ")
    ))
}

impl Requester {
    /// Sends a request until its answer is not a 401. `prepare` makes it anew each time. Returns any answer that is not an
    /// error.
    pub(super) async fn send(
        &mut self,
        url: &Url,
        prepare: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, Refused> {
        loop {
            let response = self.send_once(url, prepare(&self.client)).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                self.answer_challenge(url, response).await?;
                continue;
            }
            let response = self.successful(url, response).await?;
            self.login.accepted();
            return Ok(response);
        }
    }

    /// Sends a request once: its body is gone afterwards, or the login is that of an earlier push.
    pub(super) async fn send_only(&self, url: &Url, request: RequestBuilder) -> Result<Response, Refused> {
        let response = self.send_once(url, request).await?;
        self.successful(url, response).await
    }

    async fn send_once(&self, url: &Url, request: RequestBuilder) -> Result<Response, Refused> {
        let request = request.headers(self.headers.clone());
        // As in curl, a configured header replaces the login.
        let request = if self.headers.contains_key(AUTHORIZATION) {
            request
        } else {
            self.login.apply(request)
        };
        request.send().await.map_err(|error| {
            let may_have_acted = !error.is_connect();
            let context = if may_have_acted {
                format!("the connection to {} broke", shown(url))
            } else {
                format!("could not connect to {}", shown(url))
            };
            let failure = status::of_error(&context, error, self.proxy.shown_for(url).as_deref());
            if failure.tls_fault().is_some() {
                self.shared.forget();
            }
            Refused {
                failure,
                may_have_acted,
            }
        })
    }

    async fn successful(&self, url: &Url, response: Response) -> Result<Response, Refused> {
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(self.refusal(url, response, None).await);
        }
        Ok(response)
    }

    async fn answer_challenge(&mut self, url: &Url, response: Response) -> Result<(), Refused> {
        // The request has been answered: from here on a helper may hang, not the server.
        self.activity.unsent();
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).into_iter();
        let challenges = challenges.map(|value| value.as_bytes().to_owned()).collect();
        let answered = if self.headers.contains_key(AUTHORIZATION) {
            Err("it refused the Authorization header of http.extraHeader".to_owned())
        } else {
            self.login.refused(challenges).await
        };
        match answered {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.refusal(url, response, Some(&reason)).await),
        }
    }

    /// The failure of an answer. `reason` is why a 401 could not be answered.
    async fn refusal(&self, url: &Url, mut response: Response, reason: Option<&str>) -> Refused {
        let mut said = status::page(&mut response).await;
        if let Some(credential) = &self.login.current {
            said = credential.redact(&said);
        }
        let (status, headers) = (response.status(), response.headers());
        Refused {
            failure: status::of_status(status, headers, &said, &shown(url), reason),
            may_have_acted: !status.is_client_error(),
        }
    }
}

/// A request without success.
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// The server may have done what the request asks for.
    pub(super) may_have_acted: bool,
}

/// A URL for messages, without user, password and query.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_only_to_a_server_that_accepts_basic() {
        for (challenges, is_accepted) in [
            (&[][..], true),
            (&["Basic realm=\"x\""], true),
            (&["Negotiate", "basic"], true),
            (&["Negotiate, Basic realm=\"x\""], true),
            (&["Negotiate"], false),
            (&["Digest realm=\"x\"", "NTLM"], false),
        ] {
            let challenges: Vec<_> = challenges.iter().map(|&c| c.into()).collect();
            assert_eq!(accepts_basic(&challenges).is_ok(), is_accepted, "{challenges:?}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url = "https://u:hunter2@h:8443/r?token=hunter2";
        assert_eq!(shown(&url.parse().expect("a URL")), "https://h:8443/r");
    }
}
