//! Which `section.<url>.*` applies to a URL: git's normal form of URLs and its order of matches.
//!
//! This module only compares URLs; `crate::url` decides where they lead.

use std::borrow::Cow;

use percent_encoding::percent_encode_byte;

use super::entry::Entry;

/// The entries that match a URL, each no worse than the one before.
pub(super) fn matching<'a>(entries: impl Iterator<Item = &'a Entry>, url: &str) -> Vec<&'a Entry> {
    let Some(url) = NormalUrl::parse(url) else {
        return Vec::new();
    };
    let mut best = Rank::default();
    let mut matching = Vec::new();
    for entry in entries {
        let rank = match entry.subsection() {
            None => Some(Rank::default()),
            Some(pattern) => NormalUrl::parse_pattern(pattern).and_then(|pattern| pattern.rank(&url)),
        };
        if let Some(rank) = rank.filter(|rank| *rank >= best) {
            best = rank;
            matching.push(entry);
        }
    }
    matching
}

/// How well a pattern matches, in the order that decides: more of the host, more of the path, a user name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    host: usize,
    path: usize,
    has_user: bool,
}

/// A URL in git's normal form: scheme and host in lower case, escapes only where needed, a port, no dot
/// segments.
#[derive(Debug, PartialEq, Eq)]
struct NormalUrl {
    scheme: String,
    user: Option<String>,
    host: String,
    port: u16,
    /// With query and fragment.
    path: String,
}

impl NormalUrl {
    /// Reads a URL; `None` if git finds it invalid.
    fn parse(url: &str) -> Option<Self> {
        Self::parse_with(url, ".-_[:]")
    }

    /// Reads the URL of a subsection, in whose host `*` stands for one label.
    fn parse_pattern(url: &str) -> Option<Self> {
        Self::parse_with(url, ".-_[:]*")
    }

    fn parse_with(url: &str, punctuation_in_host: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
        if !scheme.as_bytes().first()?.is_ascii_alphabetic() || !scheme.bytes().all(is_in_scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();

        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, authority) = match authority.split_once('@') {
            Some((userinfo, authority)) => {
                let userinfo = normalised(userinfo)?;
                (userinfo.split(':').next().map(str::to_owned), authority)
            }
            None => (None, authority),
        };
        // A colon inside the brackets of an IPv6 address, or at the very start, does not begin a port.
        let port_at = authority
            .rfind([':', ']'])
            .filter(|&at| at > 0 && authority.as_bytes()[at] == b':');
        let (host, port) = match port_at {
            Some(at) => (&authority[..at], &authority[at + 1..]),
            None => (authority, ""),
        };
        let is_in_host = |c: char| c.is_ascii_alphanumeric() || punctuation_in_host.contains(c);
        let is_host = if host.is_empty() {
            scheme == "file"
        } else {
            !host.starts_with(':') && host.chars().all(is_in_host)
        };
        is_host.then_some(())?;
        Some(Self {
            port: port_of(&scheme, port)?,
            scheme,
            user,
            host: host.to_ascii_lowercase(),
            path: normalised_path(path)?,
        })
    }

    /// Whether this pattern covers `url`, and how well.
    fn rank(&self, url: &Self) -> Option<Rank> {
        let is_alike = self.scheme == url.scheme
            && (self.user.is_none() || self.user == url.user)
            && hosts_match(&self.host, &url.host)
            && self.port == url.port;
        Some(Rank {
            path: is_alike.then(|| covered_path(&self.path, &url.path))??,
            host: self.host.len(),
            has_user: self.user.is_some(),
        })
    }
}

/// The length of the part of `path` that `prefix` covers, up to and with a slash.
fn covered_path(prefix: &str, path: &str) -> Option<usize> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len() + 1)
}

/// Compares label by label; a `*` stands for any one label. A dot at the end of a name makes no difference.
fn hosts_match(pattern: &str, host: &str) -> bool {
    let labels = |name| str::strip_suffix(name, ".").unwrap_or(name).split('.');
    labels(pattern).count() == labels(host).count()
        && labels(pattern)
            .zip(labels(host))
            .all(|(pattern, host)| pattern == "*" || pattern == host)
}

/// The port, which is the scheme's default if none is given (0 for a scheme without one); `None` if it is invalid.
fn port_of(scheme: &str, port: &str) -> Option<u16> {
    match scheme {
        "http" if port.is_empty() => Some(80),
        "https" if port.is_empty() => Some(443),
        _ if port.is_empty() => Some(0),
        _ if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok().filter(|&port| port > 0),
        _ => None,
    }
}

/// Resolves `.` and `..`, and gives a path its first slash. `None` if `..` leads above the root.
fn normalised_path(text: &str) -> Option<String> {
    let (path, rest) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
    let mut kept: Vec<Cow<'_, str>> = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        let segment = normalised(segment)?;
        match &*segment {
            "." => {}
            ".." => drop(kept.pop()?),
            _ => kept.push(segment),
        }
    }
    Some(format!("/{}{}", kept.join("/"), normalised(rest)?))
}

/// Escapes what must be escaped and unescapes the rest; `None` for an escape without two digits.
fn normalised(text: &str) -> Option<Cow<'_, str>> {
    let needs_escape = |byte: u8| !byte.is_ascii_graphic() || b"<>\"%{}|\\^`".contains(&byte);
    if !text.bytes().any(needs_escape) {
        return Some(Cow::Borrowed(text));
    }
    let mut normal = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, was_escaped) = if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            (u8::try_from(high << 4 | low).ok()?, true)
        } else {
            (byte, false)
        };
        // Delimiters stay escaped where they were.
        if needs_escape(byte) || (was_escaped && b":/?#[]@!$&'()*+,;=".contains(&byte)) {
            normal.push_str(percent_encode_byte(byte));
        } else {
            normal.push(char::from(byte));
        }
    }
    Some(Cow::Owned(normal))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        NormalUrl::parse_pattern(pattern)
            .zip(NormalUrl::parse(url))
            .is_some_and(|(pattern, url)| pattern.rank(&url).is_some())
    }

    #[test]
    fn equal_urls_in_different_spelling_match() {
        for (pattern, url) in [
            ("https://h", "HTTPS://H:443/x"),
            ("http://h:0080/", "http://h"),
            ("https://h/a%7eb", "https://h/a~b"),
            ("https://h/a/./b/../c/", "https://h/a/c/d"),
            ("https://*.example.com", "https://git.example.com/"),
            ("https://u@h", "https://u:pw@h/"),
            ("https://[::1]:8443/", "https://[::1]:8443/x"),
        ] {
            assert!(matches(pattern, url), "{pattern} {url}");
        }
    }

    #[test]
    fn different_urls_do_not_match() {
        for (pattern, url) in [
            ("https://h/a", "https://h/ab"),
            ("http://h", "https://h"),
            ("https://h:8443", "https://h"),
            ("https://*.example.com", "https://example.com"),
            ("https://*.com", "https://git.example.com"),
            ("https://u@h", "https://h"),
            ("h", "https://h"),
        ] {
            assert!(!matches(pattern, url), "{pattern} {url}");
        }
    }

    #[test]
    fn invalid_urls_are_none() {
        for url in [
            "",
            "h",
            "://h",
            "https://",
            "https://h:x",
            "https://h:0",
            "https://h:65536",
            "https://h/%zz",
            "https://h/../x",
            "https://a b/",
            "1http://h",
        ] {
            assert_eq!(NormalUrl::parse(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in r"(https|file)?(://|:)?(%4|%|\.|/|\?|#|@|:|\[|\]|h|é|\*){0,30}") {
            let _ = NormalUrl::parse(&url);
            let _ = NormalUrl::parse_pattern(&url);
        }
    }
}
