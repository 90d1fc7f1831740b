//! What the configuration and the environment say about HTTP, read anew at each attempt (git-config(1), `http.*`).

use std::path::{Path, PathBuf};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::proxy::ProxyRules;
use super::tls::{Identity, TlsSettings, Trust};
use crate::config::{Config, Entry, Environment};
use crate::failure::{Failure, Kind};
use crate::user_agent::user_agent;

/// git's `http.postBuffer` where it is not set, and the least that git takes it for.
const DEFAULT_POST_BUFFER: usize = 1024 * 1024;
const LEAST_POST_BUFFER: usize = 65_520;

/// What a client is built from. It is built anew when any of this has changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ClientSettings {
    pub(super) tls: TlsSettings,
    pub(super) proxy: ProxyRules,
    /// What proxies are told too; `None` for nothing.
    pub(super) agent: Option<HeaderValue>,
    /// `http.version` forbids HTTP/2.
    pub(super) is_http1_only: bool,
}

/// What applies to each request.
pub(super) struct RequestSettings {
    /// The agent and `http.extraHeader`, for the configured URL.
    pub(super) headers: HeaderMap,
    pub(super) follows_redirects: bool,
    /// Packs up to this size are held in memory, so that they can be sent again.
    pub(super) post_buffer: usize,
}

/// Reads the settings for one URL, which is matched with its user name.
pub(super) struct Reader<'a> {
    pub(super) config: &'a Config,
    pub(super) environment: &'a Environment,
    /// The URL as configured.
    pub(super) url: &'a str,
    /// What relative paths are relative to.
    pub(super) root: &'a Path,
}

impl Reader<'_> {
    pub(super) fn client(&self, remote_proxy: Option<&str>) -> Result<ClientSettings, Failure> {
        let configured_proxy = match remote_proxy {
            Some(proxy) => Some(proxy),
            None => self.text("proxy")?,
        };
        Ok(ClientSettings {
            tls: self.tls()?,
            proxy: ProxyRules::new(configured_proxy, self.environment)?,
            agent: self.headers(self.url)?.remove(USER_AGENT),
            is_http1_only: self.text("version")? == Some("HTTP/1.1"),
        })
    }

    pub(super) fn requests(&self) -> Result<RequestSettings, Failure> {
        let post_buffer = match self.entry("postBuffer") {
            None => DEFAULT_POST_BUFFER,
            Some(entry) => usize::try_from(entry.int()?)
                .unwrap_or_default()
                .max(LEAST_POST_BUFFER),
        };
        let follows_redirects = match self.entry("followRedirects") {
            Some(entry) if entry.value() == Some("initial") => true,
            Some(entry) => entry.bool()?,
            None => true,
        };
        Ok(RequestSettings {
            headers: self.headers(self.url)?,
            follows_redirects,
            post_buffer,
        })
    }

    /// The headers for another place that a redirect led to. A general `http.extraHeader` may hold a token that
    /// is meant for the configured host: only what is configured for the place itself is sent there.
    pub(super) fn headers_elsewhere(&self, url: &str) -> Result<HeaderMap, Failure> {
        let general: Vec<&str> = self.config.get_all("http.extraHeader");
        let special = self.config.url_match_all("http", "extraHeader", url);
        let mut headers = self.own_headers()?;
        add_headers(
            &mut headers,
            special.into_iter().filter(|line| !general.contains(line)),
        )?;
        Ok(headers)
    }

    fn headers(&self, url: &str) -> Result<HeaderMap, Failure> {
        let mut headers = self.own_headers()?;
        add_headers(
            &mut headers,
            self.config.url_match_all("http", "extraHeader", url).into_iter(),
        )?;
        Ok(headers)
    }

    fn own_headers(&self) -> Result<HeaderMap, Failure> {
        let (source, agent) = match self.environment.get_os("GIT_HTTP_USER_AGENT") {
            Some(agent) => ("GIT_HTTP_USER_AGENT", agent.as_encoded_bytes()),
            None => match self.text("userAgent")? {
                Some(agent) => ("http.userAgent", agent.as_bytes()),
                None => ("GIT_USER_AGENT", user_agent(self.environment)),
            },
        };
        if agent.is_empty() {
            // As for curl: no such header is sent.
            return Ok(HeaderMap::new());
        }
        let agent = HeaderValue::from_bytes(agent).map_err(|_| {
            let message = format!("{source} has control characters, which no header can hold: remove them");
            Failure::new(Kind::Local, message)
        })?;
        Ok(HeaderMap::from_iter([(USER_AGENT, agent)]))
    }

    fn tls(&self) -> Result<TlsSettings, Failure> {
        let verifies = match self.entry("sslVerify") {
            _ if self.environment.get_os("GIT_SSL_NO_VERIFY").is_some() => false,
            Some(entry) => entry.bool()?,
            None => true,
        };
        let file = self.path("sslCAInfo", "GIT_SSL_CAINFO")?;
        let directory = self.path("sslCAPath", "GIT_SSL_CAPATH")?;
        let trust = if !verifies {
            Trust::Anyone
        } else if file.is_some() || directory.is_some() {
            Trust::only(file, directory.into_iter().collect())
        } else {
            let file = self.variable("SSL_CERT_FILE").map(|file| self.root.join(file));
            let directories = self.environment.get_os("SSL_CERT_DIR").map(|list| {
                std::env::split_paths(list)
                    .filter(|path| !path.as_os_str().is_empty())
                    .map(|path| self.root.join(path))
                    .collect()
            });
            match (file, directories) {
                (None, None) => Trust::Platform,
                (file, directories) => Trust::only(file, directories.unwrap_or_default()),
            }
        };
        let certificate = self.path("sslCert", "GIT_SSL_CERT")?;
        let key = self.path("sslKey", "GIT_SSL_KEY")?;
        Ok(TlsSettings {
            trust,
            // A certificate without a key file has the key in its own.
            identity: certificate
                .map(|certificate| Identity::new(certificate.clone(), key.unwrap_or(certificate))),
        })
    }

    /// A path for which a variable of git's own counts more than the configuration.
    fn path(&self, key: &str, variable: &str) -> Result<Option<PathBuf>, Failure> {
        if let Some(path) = self.variable(variable) {
            return Ok(Some(self.root.join(path)));
        }
        match self.entry(key) {
            Some(entry) if entry.value() != Some("") => Ok(Some(self.root.join(self.config.path_of(entry)?))),
            _ => Ok(None),
        }
    }

    fn variable(&self, name: &str) -> Option<&Path> {
        let value = self.environment.get_os(name)?;
        (!value.is_empty()).then(|| Path::new(value))
    }

    fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        self.entry(key).map(Entry::required).transpose()
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.config.url_match("http", key, self.url)
    }
}

/// Adds `Name: value` lines. The first of a name takes the place of what is there, the others are added to it.
fn add_headers<'a>(headers: &mut HeaderMap, lines: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut added: Vec<HeaderName> = Vec::new();
    for line in lines {
        // The line may be a secret even where it is no header, so it is not shown.
        let invalid = || {
            Failure::new(
                Kind::Local,
                "a value of http.extraHeader is not of the form 'Name: value'",
            )
        };
        let (name, value) = match line.split_once(':') {
            Some((name, value)) => (name, value.trim()),
            // As for curl: a header without a value.
            None => (line.strip_suffix(';').ok_or_else(invalid)?, ""),
        };
        let name: HeaderName = name.trim().parse().map_err(|_| invalid())?;
        if value.is_empty() && line.contains(':') {
            // As for curl: the header that would be sent otherwise is not.
            headers.remove(&name);
            continue;
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        if added.contains(&name) {
            headers.append(name, value);
        } else {
            headers.insert(name.clone(), value);
            added.push(name);
        }
    }
    Ok(())
}

/// Names the settings that apply to a URL and that this transport does not implement, so that git itself can be
/// used where one is set.
///
/// Settings that change no outcome are not among them: `http.lowSpeedLimit` and `lowSpeedTime` (the
/// daemon has its own timeouts), `maxRequests`, `minSessions`, `keepAlive*`, `noEPSV`, `sslTry`, `saveCookies`.
#[must_use]
pub fn unsupported_settings(config: &Config, environment: &Environment, url: &str) -> Vec<String> {
    let mut unsupported = Vec::new();
    for (key, is_harmless) in UNSUPPORTED {
        if let Some(entry) = config.url_match("http", key, url)
            && !is_harmless(entry)
        {
            unsupported.push(format!("http.{key}"));
        }
    }
    let set = UNSUPPORTED_VARIABLES
        .iter()
        .filter(|name| environment.get_os(name).is_some_and(|value| !value.is_empty()));
    unsupported.extend(set.map(|&name| name.to_owned()));
    unsupported
}

/// A setting, and whether a value of it asks for nothing that we lack.
type Unsupported = (&'static str, fn(&Entry) -> bool);

const UNSUPPORTED: [Unsupported; 21] = [
    ("cookieFile", is_empty),
    ("curloptResolve", is_empty),
    ("delegation", |entry| is_one_of(entry, &["none"])),
    ("emptyAuth", |entry| {
        is_false(entry) || is_one_of(entry, &["auto"])
    }),
    ("followRedirects", |entry| {
        is_false(entry) || is_one_of(entry, &["initial"])
    }),
    ("pinnedPubkey", is_empty),
    ("proactiveAuth", |entry| is_one_of(entry, &["none"])),
    ("proxyAuthMethod", |entry| is_one_of(entry, &["anyauth", "basic"])),
    ("proxySSLCAInfo", is_empty),
    ("proxySSLCert", is_empty),
    ("proxySSLCertPasswordProtected", is_false),
    ("proxySSLKey", is_empty),
    ("schannelCheckRevoke", |_| !cfg!(windows)),
    ("schannelUseSSLCAInfo", |_| !cfg!(windows)),
    ("sslBackend", is_empty),
    ("sslCertPasswordProtected", is_false),
    ("sslCertType", |entry| is_one_of(entry, &["PEM"])),
    ("sslCipherList", is_empty),
    ("sslKeyType", |entry| is_one_of(entry, &["PEM"])),
    ("sslVersion", is_empty),
    ("version", |entry| is_one_of(entry, &["HTTP/1.1", "HTTP/2"])),
];

const UNSUPPORTED_VARIABLES: [&str; 10] = [
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_PROXY_SSL_CAINFO",
    "GIT_PROXY_SSL_CERT",
    "GIT_PROXY_SSL_CERT_PASSWORD_PROTECTED",
    "GIT_PROXY_SSL_KEY",
    "GIT_SSL_CERT_PASSWORD_PROTECTED",
    "GIT_SSL_CERT_TYPE",
    "GIT_SSL_CIPHER_LIST",
    "GIT_SSL_KEY_TYPE",
    "GIT_SSL_VERSION",
];

fn is_empty(entry: &Entry) -> bool {
    entry.value().is_none_or(str::is_empty)
}

fn is_false(entry: &Entry) -> bool {
    entry.bool() == Ok(false)
}

fn is_one_of(entry: &Entry, values: &[&str]) -> bool {
    entry
        .value()
        .is_some_and(|value| value.is_empty() || values.iter().any(|known| known.eq_ignore_ascii_case(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://h.example/o/r.git";

    fn read<T>(environment: &Environment, read: impl Fn(&Reader<'_>) -> T) -> T {
        let nowhere = Path::new("/nonexistent");
        let config = Config::load(environment, nowhere, nowhere).expect("well-formed");
        read(&Reader {
            config: &config,
            environment,
            url: URL,
            root: Path::new("/root"),
        })
    }

    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general enough over lifetimes"
    )]
    fn requests(environment: &Environment) -> Result<RequestSettings, Failure> {
        read(environment, |reader| reader.requests())
    }

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let settings = requests(&Environment::of_settings(pairs)).expect("valid");
        let headers = settings
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()));
        headers.filter(|(name, _)| name != "user-agent").collect()
    }

    #[test]
    fn extra_headers_are_sent_all_and_stay_out_of_debug() {
        let sent = headers(&[
            ("http.extraheader", "X-A: 1"),
            ("http.https://h.example.extraheader", "X-A: 2"),
            ("http.https://other.example.extraheader", "X-A: 3"),
        ]);
        let header = |value: &str| ("x-a".to_owned(), value.to_owned());
        assert_eq!(sent, [header("1"), header("2")]);

        let secret = Environment::of_settings(&[("http.extraheader", "Authorization: Bearer hunter2")]);
        let settings = requests(&secret).expect("valid");
        assert!(!format!("{:?}", settings.headers).contains("hunter2"));
    }

    #[test]
    fn only_headers_that_are_configured_for_another_place_are_sent_there() {
        let configured = Environment::of_settings(&[
            ("http.extraheader", "Authorization: Bearer hunter2"),
            ("http.https://h.example.extraheader", "X-A: 1"),
            ("http.https://other.example.extraheader", "X-B: 1"),
        ]);
        let headers = read(&configured, |reader| {
            reader.headers_elsewhere("https://other.example/r")
        })
        .expect("valid");
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["user-agent", "x-b"]);
    }

    #[test]
    fn what_is_no_header_is_refused_without_showing_it() {
        let secret = Environment::of_settings(&[("http.extraheader", "hunter2")]);
        let failure = requests(&secret).err().expect("no header");
        assert!(
            failure.message().contains("http.extraHeader") && !failure.message().contains("hunter2"),
            "{failure}"
        );
    }

    #[test]
    fn the_user_agent_is_the_one_that_git_would_take() {
        let here = ("http.https://h.example.useragent", "here");
        let (general, elsewhere) = (
            ("http.useragent", "general"),
            ("http.https://other.example.useragent", "elsewhere"),
        );
        let (of_git, of_http) = (("GIT_USER_AGENT", "git's"), ("GIT_HTTP_USER_AGENT", "http's"));
        for (pairs, variables, expected) in [
            (&[][..], &[][..], Some("git/")),
            (&[elsewhere], &[], Some("git/")),
            (&[], &[of_git], Some("git's")),
            (&[general], &[of_git], Some("general")),
            (&[here, general], &[of_git], Some("here")),
            (&[here, general], &[of_git, of_http], Some("http's")),
            (
                &[("http.extraheader", "User-Agent: header")],
                &[of_http],
                Some("header"),
            ),
            (&[("http.extraheader", "User-Agent:")], &[], None),
            (&[("http.useragent", "")], &[of_git], None),
            (&[general], &[("GIT_HTTP_USER_AGENT", "")], None),
        ] {
            let mut environment = Environment::of_settings(pairs);
            for (name, value) in variables {
                environment = environment.with(*name, *value);
            }
            let settings = requests(&environment).expect("valid");
            let agent = settings.headers.get(USER_AGENT);
            let of_client = read(&environment, |reader| reader.client(None)).expect("valid");
            assert_eq!(agent, of_client.agent.as_ref(), "{pairs:?} {variables:?}");
            let agent = agent.map(|agent| agent.to_str().expect("text"));
            assert!(
                agent == expected
                    || expected == Some("git/") && agent.is_some_and(|agent| agent.starts_with("git/2.")),
                "{pairs:?} {variables:?}: {agent:?}"
            );
        }
    }

    #[test]
    fn an_agent_that_is_no_header_is_named_by_its_setting() {
        let configured = Environment::of_settings(&[]).with("GIT_USER_AGENT", "a\nb");
        let failure = requests(&configured).err().expect("no header");
        assert!(failure.message().starts_with("GIT_USER_AGENT "), "{failure}");
    }

    #[test]
    fn trust_comes_from_the_first_place_that_names_it() {
        let only = |file: &str| Trust::only(Some(PathBuf::from(file)), Vec::new());
        for (pairs, variables, expected) in [
            (&[][..], &[][..], Trust::Platform),
            (&[], &[("SSL_CERT_FILE", "/a")], only("/a")),
            (
                &[("http.sslcainfo", "b")],
                &[("SSL_CERT_FILE", "/a")],
                only("/root/b"),
            ),
            (
                &[("http.sslcainfo", "/b")],
                &[("GIT_SSL_CAINFO", "/c")],
                only("/c"),
            ),
            (
                &[("http.https://other.example.sslverify", "false")],
                &[],
                Trust::Platform,
            ),
            (
                &[("http.https://h.example/.sslverify", "false")],
                &[],
                Trust::Anyone,
            ),
            (
                &[("http.sslverify", "true")],
                &[("GIT_SSL_NO_VERIFY", "")],
                Trust::Anyone,
            ),
        ] {
            let mut environment = Environment::of_settings(pairs);
            for (name, value) in variables {
                environment = environment.with(*name, *value);
            }
            let settings = read(&environment, |reader| reader.client(None)).expect("valid");
            assert!(settings.tls.trust == expected, "{pairs:?} {variables:?}");
        }
    }

    #[test]
    fn settings_that_are_not_implemented_are_named_where_they_apply() {
        for (pairs, expected) in [
            (&[][..], &[][..]),
            (&[("http.cookiefile", "/c")], &["http.cookieFile"]),
            (&[("http.https://other.example.cookiefile", "/c")], &[]),
            (
                &[("http.followredirects", "true"), ("http.sslversion", "tlsv1.3")],
                &["http.followRedirects", "http.sslVersion"],
            ),
            (
                &[("http.followredirects", "initial"), ("http.emptyauth", "false")],
                &[],
            ),
            (
                &[("http.proxyauthmethod", "negotiate")],
                &["http.proxyAuthMethod"],
            ),
        ] {
            let environment = Environment::of_settings(pairs);
            let named = read(&environment, |reader| {
                unsupported_settings(reader.config, &environment, reader.url)
            });
            assert_eq!(named, expected, "{pairs:?}");
        }
    }
}
