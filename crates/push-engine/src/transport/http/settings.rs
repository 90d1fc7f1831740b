//! The settings of HTTP in the configuration and the environment (git-config(1), `http.*`), read anew at each attempt.

use std::path::{Path, PathBuf};

use git_local::config::{Config, Entry, Environment};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::proxy::ProxyRules;
use super::tls::{Identity, TlsSettings, Trust};
use crate::failure::{Failure, Kind};
use crate::user_agent::user_agent;

/// git's `http.postBuffer` if it is not set, and its minimum.
const DEFAULT_POST_BUFFER: usize = 1024 * 1024;
const LEAST_POST_BUFFER: usize = 65_520;

/// Everything that a client is built from: it is built anew when any of this has changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ClientSettings {
    pub(super) tls: TlsSettings,
    pub(super) proxy: ProxyRules,
    /// Sent to proxies too.
    pub(super) agent: Option<HeaderValue>,
    /// `http.version` forbids HTTP/2.
    pub(super) is_http1_only: bool,
}

/// The settings of one attempt.
pub(super) struct HttpSettings {
    pub(super) client: ClientSettings,
    /// The agent and `http.extraHeader`, for the configured URL.
    pub(super) headers: HeaderMap,
    pub(super) follows_redirects: bool,
    /// Packs up to this size are held in memory, so that they can be sent again.
    pub(super) post_buffer: usize,
}

/// Reads the settings for one URL, which is matched with its user name.
pub(super) struct SettingsReader<'a> {
    pub(super) config: &'a Config,
    pub(super) environment: &'a Environment,
    /// The URL as configured.
    pub(super) url: &'a str,
    /// The base of relative paths.
    pub(super) root: &'a Path,
}

impl SettingsReader<'_> {
    pub(super) fn read(&self, remote_proxy: Option<&str>) -> Result<HttpSettings, Failure> {
        let proxy = match remote_proxy {
            Some(proxy) => Some(proxy),
            None => self.text("proxy")?,
        };
        let headers = self.headers(&self.config.url_match_all("http", "extraHeader", self.url))?;
        let client = ClientSettings {
            tls: self.tls()?,
            proxy: ProxyRules::new(proxy, self.environment)?,
            agent: headers.get(USER_AGENT).cloned(),
            is_http1_only: self.text("version")? == Some("HTTP/1.1"),
        };
        let post_buffer = match self.entry("postBuffer") {
            None => DEFAULT_POST_BUFFER,
            Some(entry) => usize::try_from(entry.int()?)
                .unwrap_or_default()
                .max(LEAST_POST_BUFFER),
        };
        let follows_redirects = match self.entry("followRedirects") {
            Some(entry) if entry.value() != Some("initial") => entry.bool()?,
            _ => true,
        };
        Ok(HttpSettings {
            client,
            headers,
            follows_redirects,
            post_buffer,
        })
    }

    /// The headers for another server that a redirect led to. A general `http.extraHeader` may hold a token for the
    /// configured host, so only headers that are configured for the other server itself are sent there.
    pub(super) fn headers_elsewhere(&self, url: &str) -> Result<HeaderMap, Failure> {
        let general = self.config.get_all("http.extraHeader");
        let mut lines = self.config.url_match_all("http", "extraHeader", url);
        lines.retain(|line| !general.contains(line));
        self.headers(&lines)
    }

    /// The agent and `Name: value` lines. The first line of a name replaces the agent, further ones are added.
    fn headers(&self, lines: &[&str]) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        // As in curl, an empty agent is not sent.
        if let Some(agent) = self.agent()? {
            headers.insert(USER_AGENT, agent);
        }
        let mut added: Vec<HeaderName> = Vec::new();
        for line in lines {
            // A malformed line may be a secret all the same, so it is not shown.
            let invalid = || {
                let message = "a value of http.extraHeader is not of the form 'Name: value'";
                Failure::new(Kind::Local, message)
            };
            let (name, value) = match line.split_once(':') {
                Some((name, value)) => (name, value.trim()),
                // As in curl, a header without a value.
                None => (line.strip_suffix(';').ok_or_else(invalid)?, ""),
            };
            let name: HeaderName = name.trim().parse().map_err(|_| invalid())?;
            if value.is_empty() && line.contains(':') {
                // As in curl, the header is not sent.
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
        Ok(headers)
    }

    fn agent(&self) -> Result<Option<HeaderValue>, Failure> {
        let (setting, agent) = match self.environment.get_os("GIT_HTTP_USER_AGENT") {
            Some(agent) => ("GIT_HTTP_USER_AGENT", agent.as_encoded_bytes()),
            None => match self.text("userAgent")? {
                Some(agent) => ("http.userAgent", agent.as_bytes()),
                None => ("GIT_USER_AGENT", user_agent(self.environment)),
            },
        };
        let agent = HeaderValue::from_bytes(agent).map_err(|_| {
            let message = format!("{setting} has control characters, which no header can hold: remove them");
            Failure::new(Kind::Local, message)
        })?;
        Ok(Some(agent).filter(|agent| !agent.is_empty()))
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
            let file = self.variable("SSL_CERT_FILE");
            match (file, self.environment.get_os("SSL_CERT_DIR")) {
                (None, None) => Trust::Platform,
                (file, directories) => {
                    let directories = std::env::split_paths(directories.unwrap_or_default());
                    let directories = directories.filter(|path| !path.as_os_str().is_empty());
                    Trust::only(file, directories.map(|path| self.root.join(path)).collect())
                }
            }
        };
        let certificate = self.path("sslCert", "GIT_SSL_CERT")?;
        let key = self.path("sslKey", "GIT_SSL_KEY")?;
        // Without a key file the key is in the certificate's.
        let identity = certificate.map(|file| Identity::new(file.clone(), key.unwrap_or(file)));
        Ok(TlsSettings { trust, identity })
    }

    /// A path that git reads from a variable first.
    fn path(&self, key: &str, variable: &str) -> Result<Option<PathBuf>, Failure> {
        if let Some(path) = self.variable(variable) {
            return Ok(Some(path));
        }
        match self.entry(key) {
            Some(entry) if entry.value() != Some("") => Ok(Some(self.root.join(self.config.path_of(entry)?))),
            _ => Ok(None),
        }
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        let value = self.environment.get_os(name)?;
        (!value.is_empty()).then(|| self.root.join(value))
    }

    fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        Ok(self.entry(key).map(Entry::required).transpose()?)
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.config.url_match("http", key, self.url)
    }
}

/// Names the settings for a URL that this transport lacks, so that git itself can be used if one is set.
///
/// Settings without effect on the outcome are not among them: `http.lowSpeedLimit` and `lowSpeedTime` (the
/// daemon has its own timeouts), `maxRequests`, `minSessions`, `keepAlive*`, `noEPSV`, `sslTry`, `saveCookies`.
#[must_use]
pub fn unsupported_settings(config: &Config, environment: &Environment, url: &str) -> Vec<String> {
    let settings = UNSUPPORTED.iter().filter(|(key, harmless)| {
        let entry = config.url_match("http", key, url);
        entry.is_some_and(|entry| !is_harmless(entry, harmless))
    });
    let variables = UNSUPPORTED_VARIABLES
        .iter()
        .filter(|name| environment.get_os(name).is_some_and(|value| !value.is_empty()));
    settings
        .map(|(key, _)| format!("http.{key}"))
        .chain(variables.map(|&name| name.to_owned()))
        .collect()
}

/// Settings, and their values that need nothing this transport lacks: these, an empty one, and with `false` every false one.
const UNSUPPORTED: &[(&str, &[&str])] = &[
    ("cookieFile", &[]),
    ("curloptResolve", &[]),
    ("delegation", &["none"]),
    ("emptyAuth", &["false", "auto"]),
    ("followRedirects", &["false", "initial"]),
    ("pinnedPubkey", &[]),
    ("proactiveAuth", &["none"]),
    ("proxyAuthMethod", &["anyauth", "basic"]),
    ("proxySSLCAInfo", &[]),
    ("proxySSLCert", &[]),
    ("proxySSLCertPasswordProtected", &["false"]),
    ("proxySSLKey", &[]),
    #[cfg(windows)]
    ("schannelCheckRevoke", &[]),
    #[cfg(windows)]
    ("schannelUseSSLCAInfo", &[]),
    ("sslBackend", &[]),
    ("sslCertPasswordProtected", &["false"]),
    ("sslCertType", &["PEM"]),
    ("sslCipherList", &[]),
    ("sslKeyType", &["PEM"]),
    ("sslVersion", &[]),
    ("version", &["HTTP/1.1", "HTTP/2"]),
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

fn is_harmless(entry: &Entry, harmless: &[&str]) -> bool {
    let Some(value) = entry.value() else {
        return harmless.is_empty();
    };
    value.is_empty()
        || harmless.iter().any(|known| known.eq_ignore_ascii_case(value))
        || (harmless.contains(&"false") && entry.bool() == Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://h.example/o/r.git";

    fn read<T>(environment: &Environment, read: impl Fn(&SettingsReader<'_>) -> T) -> T {
        let config = Config::load_protected(environment).expect("well-formed");
        read(&SettingsReader {
            config: &config,
            environment,
            url: URL,
            root: Path::new("/root"),
        })
    }

    fn settings(environment: &Environment) -> Result<HttpSettings, Failure> {
        read(environment, |reader| reader.read(None))
    }

    fn with_variables(pairs: &[(&str, &str)], variables: &[(&str, &str)]) -> Environment {
        let settings = Environment::of_settings(pairs);
        variables.iter().fold(settings, |environment, (name, value)| {
            environment.with(*name, *value)
        })
    }

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let settings = settings(&Environment::of_settings(pairs)).expect("valid");
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
        let settings = settings(&secret).expect("valid");
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
    fn a_malformed_header_is_refused_without_showing_it() {
        let secret = Environment::of_settings(&[("http.extraheader", "hunter2")]);
        let failure = settings(&secret).err().expect("no header");
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
            let environment = with_variables(pairs, variables);
            let settings = settings(&environment).expect("valid");
            let agent = settings.headers.get(USER_AGENT);
            assert_eq!(agent, settings.client.agent.as_ref(), "{pairs:?} {variables:?}");
            let agent = agent.map(|agent| agent.to_str().expect("text"));
            assert!(
                agent == expected
                    || expected == Some("git/") && agent.is_some_and(|agent| agent.starts_with("git/2.")),
                "{pairs:?} {variables:?}: {agent:?}"
            );
        }
    }

    #[test]
    fn a_malformed_agent_is_named_by_its_setting() {
        let configured = Environment::of_settings(&[]).with("GIT_USER_AGENT", "a\nb");
        let failure = settings(&configured).err().expect("no header");
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
            let environment = with_variables(pairs, variables);
            let settings = settings(&environment).expect("valid");
            assert!(settings.client.tls.trust == expected, "{pairs:?} {variables:?}");
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
