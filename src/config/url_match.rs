//! Which `section.<url>.*` applies to a URL: git's normal form of URLs and its order of matches.
//!
//! It compares; it does not say where a URL leads. That is `crate::url`'s.

use std::borrow::Cow;

/// How well a pattern matches, in the order of what counts: more of the host, more of the path, a user name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    host: usize,
    path: usize,
    has_user: bool,
}

/// A URL in git's normal form: scheme and host in lower case, escapes only where needed, no default port, no
/// dot segments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    scheme: String,
    user: Option<String>,
    host: String,
    port: String,
    /// With query and fragment.
    path: String,
}

/// Delimiters stay escaped where they were.
const RESERVED: &[u8] = b":/?#[]@!$&'()*+,;=";
const UNSAFE: &[u8] = b" <>\"%{}|\\^`";

impl Url {
    /// Reads a URL; `None` where git finds it invalid, as it does what has no scheme.
    pub(super) fn parse(url: &str) -> Option<Self> {
        Self::parse_with(url, "")
    }

    /// Reads the URL of a subsection, in whose host `*` stands for one label.
    pub(super) fn parse_pattern(url: &str) -> Option<Self> {
        Self::parse_with(url, "*")
    }

    fn parse_with(url: &str, also_in_host: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
        if !scheme.as_bytes().first()?.is_ascii_alphabetic() || !scheme.bytes().all(is_scheme_byte) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();

        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, authority) = match authority.split_once('@') {
            Some((userinfo, authority)) => {
                let user = normalised(userinfo)?;
                let user = user.split_once(':').map_or(&*user, |(user, _)| user).to_owned();
                (Some(user), authority)
            }
            None => (None, authority),
        };

        let has_host = !authority.is_empty() && !authority.starts_with(':');
        if !has_host && scheme != "file" {
            return None;
        }
        // A colon inside the brackets of an IPv6 address, or at the very start, is not a port's.
        let port_at = authority
            .rfind([':', ']'])
            .filter(|&at| at > 0 && authority.as_bytes()[at] == b':');
        let (host, port) = match port_at {
            Some(at) => (&authority[..at], &authority[at + 1..]),
            None => (authority, ""),
        };
        let is_host_char =
            |c: char| c.is_ascii_alphanumeric() || ".-_[:]".contains(c) || also_in_host.contains(c);
        if !host.chars().all(is_host_char) || (!has_host && !host.is_empty()) {
            return None;
        }

        Some(Self {
            port: normalised_port(&scheme, port)?,
            scheme,
            user,
            host: host.to_ascii_lowercase(),
            path: normalised_path(path)?,
        })
    }

    /// Whether this pattern covers `url`, and how well.
    pub(super) fn rank(&self, url: &Self) -> Option<Rank> {
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
    let labels = |name: &str| -> Vec<String> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            Vec::new()
        } else {
            name.split('.').map(str::to_owned).collect()
        }
    };
    let (pattern, host) = (labels(pattern), labels(host));
    pattern.len() == host.len()
        && pattern
            .iter()
            .zip(&host)
            .all(|(pattern, host)| pattern == "*" || pattern == host)
}

fn normalised_port(scheme: &str, port: &str) -> Option<String> {
    let digits = port.trim_start_matches('0');
    let is_default = matches!((scheme, digits), ("http", "80") | ("https", "443"));
    if port.is_empty() || is_default {
        return Some(String::new());
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits
        .parse::<u16>()
        .ok()
        .filter(|&number| number > 0)
        .map(|number| number.to_string())
}

/// Resolves `.` and `..`, and gives a path its first slash. `None` where `..` leads above the root.
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
    let mut path = String::from("/");
    path.push_str(&kept.join("/"));
    path.push_str(&normalised(rest)?);
    Some(path)
}

/// Escapes what must be and unescapes what need not be; `None` for an escape without two digits.
fn normalised(text: &str) -> Option<Cow<'_, str>> {
    let needs_escape = |byte: u8| byte <= 0x1f || byte >= 0x7f || UNSAFE.contains(&byte);
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
        if needs_escape(byte) || (was_escaped && RESERVED.contains(&byte)) {
            normal.push('%');
            normal.extend(
                [byte >> 4, byte & 0xf].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])),
            );
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
        Url::parse_pattern(pattern)
            .zip(Url::parse(url))
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
            assert_eq!(Url::parse(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in r"(https|file)?(://|:)?(%4|%|\.|/|\?|#|@|:|\[|\]|h|é|\*){0,30}") {
            let _ = Url::parse(&url);
            let _ = Url::parse_pattern(&url);
        }
    }
}
