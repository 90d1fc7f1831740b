//! Which proxy a request goes through: git's settings, and curl's variables and rules.
//!
//! The sources are git-config(1) (`http.proxy`), curl(1) (ENVIRONMENT) and `CURLOPT_NOPROXY(3)`. The hosts of `NO_PROXY` are
//! matched by hyper-util. Its reader of proxy URLs is not used: it ignores a proxy that it cannot read, and has other ports
//! and variables than curl.

use git_local::config::Environment;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use crate::failure::{Failure, Kind};

/// The proxies, and the hosts that are reached without one. The URLs may hold passwords, so there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ProxyRules {
    for_http: Option<Url>,
    for_https: Option<Url>,
    direct: String,
}

impl ProxyRules {
    /// `configured` applies to every URL; an empty one means no proxy at all.
    pub(super) fn new(configured: Option<&str>, environment: &Environment) -> Result<Self, Failure> {
        // The first that is not empty counts. `HTTP_PROXY` is not read: in a CGI program a client sets it with a `Proxy:`
        // header.
        let variable = |names: &[&'static str]| {
            let set = names
                .iter()
                .filter_map(|&name| Some((name, environment.get(name)?)));
            set.into_iter().find(|(_, value)| !value.is_empty())
        };
        let parsed = |named: Option<(&str, &str)>| named.map(|(name, url)| parse(name, url)).transpose();
        let (for_http, for_https) = match configured {
            Some("") => (None, None),
            Some(url) => {
                let url = parse("http.proxy or remote.<name>.proxy", url)?;
                (Some(url.clone()), Some(url))
            }
            None => (
                parsed(variable(&["http_proxy", "all_proxy", "ALL_PROXY"]))?,
                parsed(variable(&[
                    "https_proxy",
                    "HTTPS_PROXY",
                    "all_proxy",
                    "ALL_PROXY",
                ]))?,
            ),
        };
        let direct = variable(&["no_proxy", "NO_PROXY"]).map_or("", |(_, list)| list);
        Ok(Self {
            for_http,
            for_https,
            direct: as_matcher_reads(direct),
        })
    }

    /// The proxy for a URL.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "https" => self.for_https.as_ref()?,
            _ => self.for_http.as_ref()?,
        };
        let host = url.host_str().unwrap_or_default();
        let uri = format!("http://{}", host.strip_suffix('.').unwrap_or(host));
        let rules = Matcher::builder().http("http://proxy").no(&self.direct).build();
        let is_direct = uri.parse().is_ok_and(|uri| rules.intercept(&uri).is_none());
        (!is_direct).then(|| proxy.clone())
    }

    /// Whether the proxy for a URL has a user without a password, for which git asks its credential helpers.
    pub(super) fn lacks_password(&self, url: &Url) -> bool {
        self.proxy_for(url)
            .is_some_and(|proxy| !proxy.username().is_empty() && proxy.password().is_none())
    }

    /// The proxy for messages, without its user and password.
    pub(super) fn shown_for(&self, url: &Url) -> Option<String> {
        let proxy = self.proxy_for(url)?;
        let port = proxy.port_or_known_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port}", proxy.host_str()?))
    }
}

/// Reads a proxy as curl does: with `http://` and port 1080 by default.
fn parse(name: &str, text: &str) -> Result<Url, Failure> {
    let refused = |problem: &str| Failure::new(Kind::Local, format!("the proxy in {name} {problem}"));
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = match scheme.to_ascii_lowercase() {
        scheme if scheme == "socks" => "socks4".to_owned(),
        scheme => scheme,
    };
    if !["http", "https", "socks4", "socks4a", "socks5", "socks5h"].contains(&scheme.as_str()) {
        return Err(refused(
            "has a scheme other than http, https, socks4, socks4a, socks5 and socks5h",
        ));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let has_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match scheme.as_str() {
        _ if has_port => "",
        "https" => ":443",
        _ => ":1080",
    };
    let url =
        Url::parse(&format!("{scheme}://{authority}{port}")).map_err(|_| refused("is not a valid URL"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refused("has no host"));
    }
    Ok(url)
}

/// Brings a list of hosts that curl would read into the matcher's form: separated by commas alone, addresses without
/// brackets, names without their last dot, and `*` for addresses too.
fn as_matcher_reads(list: &str) -> String {
    let items = list.split([',', ' ', '\t']).filter(|item| !item.is_empty());
    let items = items.map(|item| match item {
        "*" => "*,0.0.0.0/0,::/0",
        item => item.trim_start_matches('[').trim_end_matches([']', '.']),
    });
    items.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(configured: Option<&str>, variables: &[(&str, &str)], url: &str) -> Option<String> {
        let environment = variables
            .iter()
            .fold(Environment::default(), |environment, (name, value)| {
                environment.with(*name, *value)
            });
        let rules = ProxyRules::new(configured, &environment).expect("valid");
        rules
            .proxy_for(&url.parse().expect("a URL"))
            .map(|proxy| proxy.as_str().trim_end_matches('/').to_owned())
    }

    #[test]
    fn the_proxy_is_the_one_that_git_and_curl_would_take() {
        let https = "https://h.example/r";
        for (configured, variables, url, expected) in [
            (None, &[][..], https, None),
            (
                None,
                &[("https_proxy", "http://p:3128")],
                https,
                Some("http://p:3128"),
            ),
            (None, &[("HTTPS_PROXY", "p:3128")], https, Some("http://p:3128")),
            (
                None,
                &[("HTTPS_PROXY", "upper:1"), ("https_proxy", "lower:1")],
                https,
                Some("http://lower:1"),
            ),
            (None, &[("https_proxy", "")], https, None),
            (None, &[("http_proxy", "p:1")], https, None),
            (None, &[("HTTP_PROXY", "p:1")], "http://h.example/r", None),
            (None, &[("ALL_PROXY", "p")], https, Some("http://p:1080")),
            (
                None,
                &[("all_proxy", "socks5h://p")],
                https,
                Some("socks5h://p:1080"),
            ),
            (
                Some("c:8080"),
                &[("https_proxy", "p:1")],
                https,
                Some("http://c:8080"),
            ),
            (Some(""), &[("https_proxy", "p:1")], https, None),
            (Some("http://u:p%40@c"), &[], https, Some("http://u:p%40@c:1080")),
            (Some("c:1"), &[("NO_PROXY", "h.example")], https, None),
            (
                Some("c:1"),
                &[("NO_PROXY", "h.example"), ("no_proxy", "other")],
                https,
                Some("http://c:1"),
            ),
        ] {
            assert_eq!(
                chosen(configured, variables, url).as_deref(),
                expected,
                "{configured:?} {variables:?} {url}"
            );
        }
    }

    #[test]
    fn hosts_are_listed_by_curls_rules() {
        for (list, host, expected) in [
            ("*", "h.example", true),
            ("*", "127.0.0.1", true),
            ("a,*", "[::1]", true),
            ("h.example", "h.example.", true),
            ("", "h.example", false),
            ("h.example", "h.example", true),
            ("H.Example.", "h.example", true),
            ("example", "h.example", true),
            (".example", "h.example", true),
            (".h.example", "h.example", true),
            ("a, example", "h.example", true),
            ("a example", "h.example", true),
            ("ample", "h.example", false),
            ("x.h.example", "h.example", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("0.1", "127.0.0.1", false),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("fd00::/8", "[fd12::1]", true),
            ("fd00::/x", "[fd12::1]", false),
        ] {
            let url = format!("https://{host}/r");
            let proxy = chosen(Some("p"), &[("NO_PROXY", list)], &url);
            assert_eq!(proxy.is_none(), expected, "{list} {host}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        for proxy in ["ftp://u:hunter2@p", "http://u:hunter2@", "http://u:hunter2@p:x"] {
            let failure = ProxyRules::new(Some(proxy), &Environment::default())
                .err()
                .expect("no proxy");
            assert!(!failure.message().contains("hunter2"), "{failure}");
        }
    }
}
