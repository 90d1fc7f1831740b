//! The one redactor: removes secrets in URLs, which git and its servers repeat in their messages, and the parts of credential
//! helpers that git repeats.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Begins the part of a URL that may hold secrets.
const START: &str = "://";

/// Removes user names, passwords and queries from every URL in a text: `https://user:token@host/path?token=x` becomes
/// `https://***@host/path?***`. The user of an ssh URL is an account name, not a secret, and stays without its password.
/// Also removes the parts of credential helpers that git and shells repeat: a malformed line, a helper's command, a trace.
///
/// A URL ends at white space or a quote, unless that is part of its user and password. If a password was not escaped
/// correctly, more than the password may be removed.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    match redact_up_to(text, |c| c.is_whitespace() || "'\"<>|`".contains(c)) {
        Cow::Borrowed(text) => redact_helpers(text),
        Cow::Owned(text) => Cow::Owned(redact_helpers(&text).into_owned()),
    }
}

/// The same for a text that is a single URL, path or name, with any characters. `user:password@host/path`, which lacks its
/// scheme and so reads as `host:path`, loses the password too.
#[must_use]
pub fn redact_url(url: &str) -> Cow<'_, str> {
    if !url.contains(START)
        && let Some((host, path)) = url.split_once(':')
        && !host.contains('/')
        && let Some((_, behind)) = authority(path).rsplit_once('@')
    {
        let rest = &path[authority(path).len()..];
        return Cow::Owned(format!("{host}:***@{behind}{rest}"));
    }
    redact_up_to(url, |_| false)
}

/// Hides the lines in which git or a shell repeats the command or the output of a credential helper.
fn redact_helpers(text: &str) -> Cow<'_, str> {
    const NO_LINE: &str = "invalid credential line: ";
    const QUIT: (&str, &str) = ("credential helper '", "' told us to quit");
    let hide = |line: &str| {
        if let Some((before, _)) = line.split_once(NO_LINE) {
            return Some(format!("{before}{NO_LINE}***"));
        }
        if let Some((before, helper)) = line.split_once(QUIT.0) {
            let (_, behind) = helper.rsplit_once(QUIT.1)?;
            return Some(format!("{before}{}***{}{behind}", QUIT.0, QUIT.1));
        }
        if line.trim_start_matches('+').starts_with(' ') && line.starts_with('+') {
            return Some("+ ***".to_owned());
        }
        // A shell names a helper by its whole command: `<helper> get: 1: ...`, `<helper> get: line 1: ...`.
        [" get: ", " store: ", " erase: "].iter().find_map(|action| {
            let (_, complaint) = line.split_once(action)?;
            let is_of_shell =
                complaint.starts_with("line ") || complaint.starts_with(|c: char| c.is_ascii_digit());
            is_of_shell.then(|| format!("***{action}{complaint}"))
        })
    };
    if !text.split('\n').any(|line| hide(line).is_some()) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Cow<'_, str>> = text
        .split('\n')
        .map(|line| hide(line).map_or(Cow::Borrowed(line), Cow::Owned))
        .collect();
    Cow::Owned(lines.join("\n"))
}

/// The place of the `@` that ends the user and password of a URL, if they contain a character that would end a URL in a
/// text. `url` ends at that character, `after` continues behind it.
fn end_of_broken_userinfo(url: &str, after: &str) -> Option<usize> {
    let behind = &after[url.len()..];
    let line = &behind[..behind.find('\n').unwrap_or(behind.len())];
    if authority(url).len() < url.len() || url.contains('@') || line.is_empty() {
        return None;
    }
    let has_password = match url.split_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        // Not a port, so it is a password, which may contain white space.
        Some(_) => true,
        // Perhaps a user name or token. White space ends the URL, unless a colon follows.
        None => line.trim_start().starts_with(':'),
    };
    let start = if has_password { line.find('@')? } else { 0 };
    let end = line[start..].find(char::is_whitespace);
    let searched = &line[..end.map_or(line.len(), |end| start + end)];
    searched.rfind('@').map(|at| url.len() + at)
}

fn redact_up_to(text: &str, is_end: impl Fn(char) -> bool) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let (before, after) = rest.split_at(at + START.len());
        redacted.push_str(before);
        let url_end = after.find(&is_end).unwrap_or(after.len());
        let url = &after[..url_end];
        if let Some(at) = end_of_broken_userinfo(url, after) {
            redacted.push_str("***");
            rest = &after[at..];
            continue;
        }
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
            // The scheme was given twice.
            redacted.push_str(scheme);
            rest = &after[host_start + scheme.len()..];
            continue;
        }
        redacted.push_str(host);
        // The path may contain another URL: `https://proxy/https://user:token@host`.
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

/// A URL up to its path, query or fragment.
fn authority(url: &str) -> &str {
    &url[..url.find(['/', '?', '#']).unwrap_or(url.len())]
}

/// The user and password before the host. If a password contains an unescaped slash, its first part looks like a host with
/// a non-numeric port; so does the part of it that git repeats.
fn userinfo(url: &str) -> Option<&str> {
    let authority = authority(url);
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    };
    // Without digits it may be the start of a password with an unescaped `/`, `?` or `#`; before `//` it is a scheme.
    let is_scheme = url[authority.len()..].starts_with("//");
    let is_port =
        |port: &str| (!port.is_empty() || is_scheme) && port.bytes().all(|byte| byte.is_ascii_digit());
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

/// Whether a text is an IPv6 address, with or without a zone.
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

    #[test]
    fn an_unescaped_character_hides_no_password() {
        for character in (' '..='~').filter(|character| !"/?#@".contains(*character)) {
            for url in [
                format!("http://bob:SEC{character}RET@h/x"),
                format!("ssh://bob:SEC{character}RET@h/x"),
                format!("http://bob{character}:SECRET@h/x"),
            ] {
                for text in [url.clone(), format!("fatal: unable to access '{url}/': no route")] {
                    let shown = redact(&text);
                    assert!(!shown.contains("SEC") && !shown.contains("RET"), "{shown}");
                    assert!(shown.contains("@h/x"), "{shown}");
                }
                let shown = redact_url(&url).into_owned();
                assert!(!shown.contains("SEC") && !shown.contains("RET"), "{shown}");
            }
        }
        for character in "/?#@".chars() {
            for scheme in ["http", "ssh"] {
                let shown = redact(&format!("{scheme}://bob:{character}SECRET@h/x")).into_owned();
                assert!(!shown.contains("SECRET") && shown.ends_with("@h/x"), "{shown}");
            }
        }
        assert_eq!(redact("http://tok\"en@h/x"), "http://***@h/x");
        assert_eq!(
            redact("at 'http://h' by a@b, 'http://h:80' or http://h, not a@b"),
            "at 'http://h' by a@b, 'http://h:80' or http://h, not a@b"
        );
    }

    #[test]
    fn a_forgotten_scheme_hides_no_password() {
        assert_eq!(redact_url("bob:SECRET@h/x"), "bob:***@h/x");
        assert_eq!(redact_url("git@h:o/r@v1"), "git@h:o/r@v1");
        for plain in ["origin", "/srv/a:b@c", "git@github.com:o/r.git"] {
            assert_eq!(redact_url(plain), plain);
        }
    }

    #[test]
    fn the_repeated_parts_of_a_credential_helper_are_hidden() {
        for (said, expected) in [
            (
                "warning: invalid credential line: ghp_SECRET\nfatal: no",
                "warning: invalid credential line: ***\nfatal: no",
            ),
            (
                "fatal: credential helper '!f() { : SECRET; }; f' told us to quit",
                "fatal: credential helper '***' told us to quit",
            ),
            (
                "nosuch --token=SECRET get: 1: nosuch: not found",
                "*** get: 1: nosuch: not found",
            ),
            (
                "nosuch --token=SECRET get: line 1: nosuch: command not found",
                "*** get: line 1: nosuch: command not found",
            ),
            ("+ TOKEN=SECRET\n++ echo SECRET\nfailed", "+ ***\n+ ***\nfailed"),
            ("cannot get: no", "cannot get: no"),
        ] {
            assert_eq!(redact(said), expected);
        }
    }
}
