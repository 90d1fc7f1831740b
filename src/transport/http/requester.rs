//! Sends requests to one server, and answers its 401 with credentials: each once in an attempt.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::INFO_REFS;
use super::client::SharedClient;
use super::proxy::ProxyRules;
use super::status;
use crate::credential::{Authorization, Credential, Helpers, NoCredential, Request, Source};
use crate::failure::{Failure, Kind};
use crate::transport::activity::Activity;
use crate::url::{HttpUrl, decoded_path};

/// git asks its helpers at most this often where their answer takes several steps.
const MAX_QUESTIONS: usize = 2;

/// The requests of one attempt.
pub(super) struct Requester {
    pub(super) client: Client,
    pub(super) shared: SharedClient,
    pub(super) proxy: ProxyRules,
    /// What goes with every request.
    pub(super) headers: HeaderMap,
    pub(super) login: Login,
    /// That of the session which the requests are part of.
    pub(super) activity: Activity,
}

/// Who we say we are.
pub(super) struct Login {
    helpers: Helpers,
    /// What the helpers are asked for.
    request: Request,
    /// What the URL gives and was not tried.
    of_url: Option<Credential>,
    /// How often the helpers were asked.
    questions: usize,
    current: Option<Credential>,
    is_approved: bool,
}

impl Login {
    /// Nobody, until the server asks.
    pub(super) fn new(url: &HttpUrl, helpers: Helpers) -> Self {
        let request = Request {
            protocol: url.scheme(),
            host: url.authority(),
            path: url.decoded_path(),
            username: url.username().map(<[u8]>::to_owned),
            challenges: Vec::new(),
        };
        // A name without a password is a question to the helpers, as for git.
        let of_url = url
            .password()
            .map(|password| Credential::from_url(&request, url.username().unwrap_or_default(), password));
        Self {
            helpers,
            request,
            of_url,
            questions: 0,
            current: None,
            is_approved: false,
        }
    }

    /// Forgets who we were: a redirect led to another server, which must not learn of it.
    pub(super) fn move_to(&mut self, url: &Url) {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        self.request = Request {
            protocol: if url.scheme() == "https" { "https" } else { "http" },
            host: format!("{}{port}", url.host_str().unwrap_or_default()),
            path: Vec::new(),
            username: None,
            challenges: Vec::new(),
        };
        self.of_url = None;
        self.current = None;
        self.questions = 0;
        self.is_approved = false;
        self.move_within(url);
    }

    /// A redirect led to another repository of the same server, for which helpers may know another credential.
    pub(super) fn move_within(&mut self, url: &Url) {
        let path = url.path();
        self.request.path = decoded_path(path.strip_suffix(INFO_REFS).unwrap_or(path));
    }

    fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self.current.as_ref().and_then(Credential::authorization) {
            None => request,
            Some(authorization) => match HeaderValue::try_from(authorization.header()) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    request.header(AUTHORIZATION, value)
                }
                // What cannot be a header is not sent, and refused like any wrong credential.
                Err(_) => request,
            },
        }
    }

    /// Takes the next credential, or tells why there is none. `challenges` are the server's.
    async fn refused(&mut self, challenges: Vec<Vec<u8>>) -> Result<(), String> {
        let tried = self.current.take();
        self.is_approved = false;
        self.request.challenges.clone_from(&challenges);
        let step = tried
            .as_ref()
            .filter(|tried| tried.continues() && self.questions < MAX_QUESTIONS);
        if step.is_none()
            && let Some(credential) = &tried
        {
            self.helpers.reject(&self.request, credential).await;
        }
        if let Some(credential) = self.of_url.take() {
            takes_basic(&challenges)?;
            self.current = Some(credential);
            return Ok(());
        }
        let refused = match tried.as_ref().map(Credential::source) {
            Some(Source::Url) => "it refused the user and password of the URL",
            Some(Source::Helper) if step.is_some() => "it asks for another step",
            Some(Source::Helper) => {
                return Err("it refused what git's credential helpers or askpass program gave".to_owned());
            }
            None => "it asks for credentials",
        };
        if self.questions > 0 && step.is_none() {
            return Err(refused.to_owned());
        }
        self.questions += 1;
        match self.helpers.fill(&self.request, step).await {
            Ok(credential) => {
                if let Some(Authorization::Basic(..)) = credential.authorization() {
                    takes_basic(&challenges)?;
                }
                self.current = Some(credential);
                Ok(())
            }
            Err(NoCredential(reason)) => Err(format!("{refused}, and {reason}")),
        }
    }

    /// The server has accepted who we are.
    fn accepted(&mut self) {
        if let Some(credential) = &self.current
            && !self.is_approved
        {
            self.is_approved = true;
            self.helpers.approve(&self.request, credential);
        }
    }

    fn redact(&self, text: &str) -> String {
        match &self.current {
            Some(credential) => credential.redact(text),
            None => text.to_owned(),
        }
    }
}

/// Whether a server that asks so would look at a user name and password.
fn takes_basic(challenges: &[Vec<u8>]) -> Result<(), String> {
    let challenges: Vec<_> = challenges
        .iter()
        .map(|challenge| String::from_utf8_lossy(challenge).into_owned())
        .collect();
    let scheme = |challenge: &String| challenge.split_whitespace().next().unwrap_or_default().to_owned();
    let schemes: Vec<String> = challenges.iter().map(scheme).collect();
    let is_basic = |challenge: &String| challenge.to_ascii_lowercase().contains("basic");
    if challenges.is_empty() || challenges.iter().any(is_basic) {
        return Ok(());
    }
    Err(format!(
        "it asks for {}, and a user name and password can only be sent by Basic: set http.extraHeader, or the option transport to 'git'",
        schemes.join(" or ")
    ))
}

impl Requester {
    /// Sends a request until its answer is something other than a 401. `prepare` makes it anew each time.
    ///
    /// Whatever else is answered is returned, except for the statuses of errors.
    pub(super) async fn send(
        &mut self,
        url: &Url,
        prepare: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, Refused> {
        loop {
            let mut response = self.send_once(url, prepare(&self.client)).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                self.answer_challenge(url, response).await?;
                continue;
            }
            if response.status().is_client_error() || response.status().is_server_error() {
                return Err(self.refusal(url, &mut response, None).await);
            }
            self.login.accepted();
            return Ok(response);
        }
    }

    /// Sends a request once, whatever is answered: its body is gone afterwards, or the login is that of an earlier one.
    pub(super) async fn send_only(
        &mut self,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Response, Refused> {
        let mut response = self.send_once(url, request).await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(self.refusal(url, &mut response, None).await);
        }
        Ok(response)
    }

    async fn send_once(&self, url: &Url, request: RequestBuilder) -> Result<Response, Refused> {
        let request = request.headers(self.headers.clone());
        // curl, too, lets a header that was configured take the place of its own.
        let request = if self.headers.contains_key(AUTHORIZATION) {
            request
        } else {
            self.login.apply(request)
        };
        request.send().await.map_err(|error| {
            let was_sent = !error.is_connect();
            let context = if was_sent {
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
                by_server: false,
                was_sent,
            }
        })
    }

    async fn answer_challenge(&mut self, url: &Url, mut response: Response) -> Result<(), Refused> {
        // What was sent has been answered: a helper that hangs now is not a server that works.
        self.activity.unsent();
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).into_iter();
        let challenges = challenges.map(|value| value.as_bytes().to_owned()).collect();
        let reason = if self.headers.contains_key(AUTHORIZATION) {
            Err("it refused the Authorization header of http.extraHeader".to_owned())
        } else {
            self.login.refused(challenges).await
        };
        match reason {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.refusal(url, &mut response, Some(&reason)).await),
        }
    }

    async fn refusal(&self, url: &Url, response: &mut Response, reason: Option<&str>) -> Refused {
        let (status, headers) = (response.status(), response.headers().clone());
        let said = self.login.redact(&status::page(response).await);
        let mut failure = status::of_status(status, &headers, &said, &shown(url));
        if let Some(reason) = reason {
            let said = if said.is_empty() {
                said
            } else {
                format!("\nremote: {said}")
            };
            failure = Failure::new(
                Kind::Auth,
                format!("{} answered {status}: {reason}{said}", shown(url)),
            );
        }
        Refused {
            failure,
            by_server: status.is_client_error(),
            was_sent: true,
        }
    }
}

/// A request without success.
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// The server said plainly that it did nothing.
    pub(super) by_server: bool,
    /// The server may have seen the request.
    pub(super) was_sent: bool,
}

/// A URL for messages: without user, password, and query.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_only_to_who_asks_for_basic() {
        for (challenges, is_taken) in [
            (&[][..], true),
            (&["Basic realm=\"x\""], true),
            (&["Negotiate", "basic"], true),
            (&["Negotiate, Basic realm=\"x\""], true),
            (&["Negotiate"], false),
            (&["Digest realm=\"x\"", "NTLM"], false),
        ] {
            let challenges: Vec<_> = challenges.iter().map(|&c| c.into()).collect();
            assert_eq!(takes_basic(&challenges).is_ok(), is_taken, "{challenges:?}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url = "https://u:hunter2@h:8443/r?token=hunter2";
        assert_eq!(shown(&url.parse().expect("a URL")), "https://h:8443/r");
    }
}
