//! Takes the secrets out of text: those that stand in URLs, which git and its servers like to repeat.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// What begins the part of a URL that may hold secrets.
const START: &str = "://";

/// Removes user names, passwords and queries from every URL in a text: `https://user:token@host/path?token=x` becomes
/// `https://***@host/path?***`. The user of an ssh URL is an account name, not a secret, and stays without its password.
///
/// A URL ends at white space and at what quotes it, as nothing tells where a password with such a character would.
/// Where a password was not escaped as it should have been, more than the password may go.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    redact_up_to(text, |c| c.is_whitespace() || "'\"<>|`".contains(c))
}

/// The same for a text that is one URL and nothing else, whatever characters are in it.
#[must_use]
pub(crate) fn redact_url(url: &str) -> Cow<'_, str> {
    redact_up_to(url, |_| false)
}

fn redact_up_to(text: &str, is_end: impl Fn(char) -> bool) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let (before, after) = rest.split_at(at + START.len());
        redacted.push_str(before);
        let url_end = after.find(&is_end).unwrap_or(after.len());
        let url = &after[..url_end];
        let host_start = match userinfo(url) {
            Some(userinfo) => {
                let is_ssh = before.trim_end_matches(START).ends_with("ssh");
                match userinfo.split_once(':') {
                    Some((user, _)) if is_ssh => {
                        redacted.push_str(user);
                        redacted.push_str(":***");
                    }
                    None if is_ssh => redacted.push_str(userinfo),
                    _ => redacted.push_str("***"),
                }
                redacted.push('@');
                userinfo.len() + 1
            }
            None => 0,
        };
        let host = authority(&url[host_start..]);
        let path_start = host_start + host.len();
        let path = &url[path_start..];
        if let Some(scheme) = host.strip_suffix(':').filter(|_| path.starts_with("//")) {
            // It was a scheme, given twice.
            redacted.push_str(scheme);
            rest = &after[host_start + scheme.len()..];
            continue;
        }
        redacted.push_str(host);
        // Another URL may follow in it: `https://proxy/https://user:token@host`.
        let path_end = path.find(START).unwrap_or(path.len());
        match path[..path_end].split_once('?') {
            Some((before_query, after_query)) if !(after_query.is_empty() && path_end == path.len()) => {
                redacted.push_str(before_query);
                redacted.push_str("?***");
                rest = &after[url_end..];
            }
            _ => rest = &after[path_start..],
        }
    }
    if redacted.is_empty() {
        return Cow::Borrowed(text);
    }
    redacted.push_str(rest);
    Cow::Owned(redacted)
}

/// Up to the path, the query or the fragment.
fn authority(url: &str) -> &str {
    &url[..url.find(['/', '?', '#']).unwrap_or(url.len())]
}

/// What stands before the host. A password with a slash in it, which should have been escaped, looks like a host with a
/// port that is no number; so does what git repeats of it.
fn userinfo(url: &str) -> Option<&str> {
    let authority = authority(url);
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let behind_address = host
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .filter(|(address, _)| is_address(address))
        .map_or(host, |(_, behind)| behind);
    let is_behind = behind_address.len() < host.len();
    let is_odd_host = match behind_address.split_once(':') {
        Some((before, port)) => !is_port(port) || (is_behind && !before.is_empty()),
        None => is_behind && !behind_address.is_empty(),
    };
    if is_odd_host || userinfo.is_some_and(|userinfo| userinfo.contains(':')) {
        url.rsplit_once('@').map(|(userinfo, _)| userinfo)
    } else {
        userinfo
    }
}

/// Whether it is an IPv6 address, with a zone or without.
fn is_address(text: &str) -> bool {
    let (address, _zone) = text.split_once('%').unwrap_or((text, ""));
    address.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_secrets() {
        for (text, expected) in [
            ("no url at all", "no url at all"),
            ("https://github.com/o/r", "https://github.com/o/r"),
            ("https://tok@github.com/o/r", "https://***@github.com/o/r"),
            (
                "fatal: 'https://u:p@h/r' and http://a:b@c:8080?x",
                "fatal: 'https://***@h/r' and http://***@c:8080?***",
            ),
            (
                "is 'https://h/r?token=t': is it https://h/r? or https://h/https://u:p@g",
                "is 'https://h/r?***': is it https://h/r? or https://h/https://***@g",
            ),
            ("https://u:p@ss@h/r", "https://***@h/r"),
            ("https://u:p/ss@h/r", "https://***@h/r"),
            ("https://u:p?s#s/@h:1/r", "https://***@h:1/r"),
            ("https://u:p@s/s@h/r", "https://***@h/r"),
            (
                "https://h:8080/r@v1 https://[::1]:80/@x",
                "https://h:8080/r@v1 https://[::1]:80/@x",
            ),
            ("https://https://u:p@h/r", "https://https://***@h/r"),
            ("x://ssh://u:p@h/r", "x://ssh://***@h/r"),
            (
                "https://proxy/https://u:p@h/info/refs?service=x",
                "https://proxy/https://***@h/info/refs?***",
            ),
            ("ssh://git@h/r", "ssh://git@h/r"),
            ("ssh://git:pw@h/r", "ssh://git:***@h/r"),
            ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}
