//! Which proxy a request goes through: git's settings and curl's variables and rules.
//!
//! The facts are those of git-config(1) (`http.proxy`), curl(1) (ENVIRONMENT) and `CURLOPT_NOPROXY(3)`.

use std::net::IpAddr;

use reqwest::Url;

use crate::config::Environment;
use crate::failure::{Failure, Kind};

/// The proxies, and who is reached without one. The URLs may hold passwords, so there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ProxyRules {
    for_http: Option<Url>,
    for_https: Option<Url>,
    direct: String,
}

impl ProxyRules {
    /// `configured` counts for every URL; an empty one means no proxy at all.
    pub(super) fn new(configured: Option<&str>, environment: &Environment) -> Result<Self, Failure> {
        // Each of these outweighs those before it, and an empty one none. `HTTP_PROXY` is not read: a
        // CGI program's is set by whoever sends it a `Proxy:` header.
        let variable = |names: &[&'static str]| {
            let mut set = names
                .iter()
                .rev()
                .map(|&name| (name, environment.get(name).unwrap_or_default()));
            set.find(|(_, value)| !value.is_empty())
        };
        let parsed = |named: Option<(&str, &str)>| named.map(|(name, url)| parse(name, url)).transpose();
        let (for_http, for_https) = match configured {
            Some("") => (None, None),
            Some(url) => {
                let url = parse("http.proxy or remote.<name>.proxy", url)?;
                (Some(url.clone()), Some(url))
            }
            None => {
                let any = variable(&["ALL_PROXY", "all_proxy"]);
                (
                    parsed(variable(&["http_proxy"]).or(any))?,
                    parsed(variable(&["HTTPS_PROXY", "https_proxy"]).or(any))?,
                )
            }
        };
        let direct = variable(&["NO_PROXY", "no_proxy"]).map_or("", |(_, list)| list);
        Ok(Self {
            for_http,
            for_https,
            direct: direct.to_owned(),
        })
    }

    /// The proxy for a URL.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "https" => self.for_https.as_ref()?,
            _ => self.for_http.as_ref()?,
        };
        let is_direct = url.host_str().is_some_and(|host| is_listed(&self.direct, host));
        (!is_direct).then(|| proxy.clone())
    }

    /// Whether the proxy for a URL has a user without a password, for which git asks its credential helpers.
    pub(super) fn lacks_password(&self, url: &Url) -> bool {
        self.proxy_for(url)
            .is_some_and(|proxy| !proxy.username().is_empty() && proxy.password().is_none())
    }

    /// The proxy as it may be shown.
    pub(super) fn shown_for(&self, url: &Url) -> Option<String> {
        let proxy = self.proxy_for(url)?;
        let port = proxy.port_or_known_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port}", proxy.host_str()?))
    }
}

/// Reads a proxy as curl does: `http://` and port 1080 where nothing else is said.
fn parse(name: &str, text: &str) -> Result<Url, Failure> {
    let refused = |problem: &str| Failure::new(Kind::Local, format!("the proxy in {name} {problem}"));
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "socks" => "socks4".to_owned(),
        known @ ("http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h") => known.to_owned(),
        _ => {
            return Err(refused(
                "has a scheme other than http, https, socks4, socks4a, socks5 and socks5h",
            ));
        }
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..authority_end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = match scheme.as_str() {
        _ if has_port => "",
        "https" => ":443",
        _ => ":1080",
    };
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    let url = Url::parse(&format!("{scheme}://{authority}{port}")).map_err(|_| refused("is no URL"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refused("has no host"));
    }
    Ok(url)
}

/// Whether curl would reach a host without a proxy: `*`, the name itself, one of its parent domains (with a dot in
/// front or not), its address, or a block that has the address.
fn is_listed(list: &str, host: &str) -> bool {
    let host = bare(host);
    let address: Option<IpAddr> = host.parse().ok();
    list.split([',', ' ', '\t'])
        .filter(|item| !item.is_empty())
        .any(|item| match address {
            _ if item == "*" => true,
            Some(address) => covers(bare(item), address),
            None => {
                let item = item.strip_prefix('.').unwrap_or(item);
                let item = item.strip_suffix('.').unwrap_or(item);
                let host_end = host.len().checked_sub(item.len());
                !item.is_empty()
                    && host_end.is_some_and(|at| {
                        host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(item))
                            && (at == 0 || host.as_bytes()[at - 1] == b'.')
                    })
            }
        })
}

/// Without an address's brackets or a name's last dot.
fn bare(host: &str) -> &str {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or_else(|| host.strip_suffix('.').unwrap_or(host))
}

/// Whether an address is in a block such as `10.0.0.0/8`, or is the one that is written.
fn covers(block: &str, address: IpAddr) -> bool {
    let (block, bits) = match block.split_once('/') {
        Some((block, bits)) => (block, bits.parse::<u32>().ok()),
        None => (block, Some(128)),
    };
    let (Ok(block), Some(bits)) = (bare(block).parse::<IpAddr>(), bits) else {
        return false;
    };
    match (block, address) {
        (IpAddr::V4(block), IpAddr::V4(address)) => {
            let different = u32::from(block) ^ u32::from(address);
            different.leading_zeros() >= bits.min(32)
        }
        (IpAddr::V6(block), IpAddr::V6(address)) => {
            let different = u128::from(block) ^ u128::from(address);
            different.leading_zeros() >= bits.min(128)
        }
        _ => false,
    }
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
            assert_eq!(is_listed(list, host), expected, "{list} {host}");
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
