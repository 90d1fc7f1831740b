//! The parser of URLs and paths: git's choice of how to connect, then the parts for it.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::remote_url::{HttpUrl, RemoteUrl};
use crate::{LocalError, redact_url};

const DEFAULT_GIT_PORT: u16 = 9418;

/// A sentence about what is wrong, without the URL.
type Problem = &'static str;

const NO_PATH: Problem = "there is no path in it";
const NO_HOST: Problem = "there is no host in it";
const OPTION_AS_HOST: Problem = "its host begins with '-', which ssh would take for an option";
const OPTION_AS_PATH: Problem = "its path begins with '-', which git would take for an option";

impl RemoteUrl {
    /// Reads a URL or path by git's rules.
    ///
    /// # Errors
    ///
    /// git would refuse it as well: no path or host, an option in disguise, a scheme that git dropped. Escapes that do not
    /// decode to UTF-8 are refused too. The message has no secrets.
    pub fn parse(url: &str) -> Result<Self, LocalError> {
        parts(url).map_err(|problem| {
            let message = format!("cannot push to '{}': {problem}", redact_url(url));
            LocalError::new(message)
        })
    }
}

fn parts(url: &str) -> Result<RemoteUrl, Problem> {
    if url.is_empty() {
        return Err("it is empty");
    }
    if url.contains('\0') {
        return Err("there is a NUL byte in it");
    }
    let (word, rest) = url.split_at(scheme_end(url));
    if let Some(address) = rest.strip_prefix("::") {
        return if word.is_empty() {
            Err("the name of the remote helper before '::' is missing")
        } else {
            Ok(RemoteUrl::Helper {
                name: word.to_owned(),
                address: address.to_owned(),
            })
        };
    }
    if word == "rsync" && rest.starts_with(':') {
        return Err("git does not support rsync any more");
    }
    match rest.strip_prefix("://").filter(|_| !word.is_empty()) {
        Some(after) => match word {
            "ssh" | "git+ssh" | "ssh+git" => ssh(&decoded(after)?, '/'),
            "git" => git(&decoded(after)?),
            "file" => file(&decoded(after)?),
            "http" | "https" => http(word == "https", after),
            scheme => Ok(RemoteUrl::Helper {
                name: scheme.to_owned(),
                address: url.to_owned(),
            }),
        },
        None if url.contains("://") => Err("git does not know the scheme before '://'"),
        None if !is_local(url) => ssh(url, ':'),
        None if url.starts_with('-') => Err(OPTION_AS_PATH),
        None => Ok(RemoteUrl::Local(PathBuf::from(url))),
    }
}

/// The end of the longest start that could be a scheme or the name of a helper.
fn scheme_end(url: &str) -> usize {
    let is_in_scheme = |at, c: char| c.is_ascii_alphanumeric() || (at > 0 && "+-.".contains(c));
    let end = url.char_indices().find(|&(at, c)| !is_in_scheme(at, c));
    end.map_or(url.len(), |(at, _)| at)
}

/// Whether it is a path and not scp's `host:path`: it has a slash before the first colon, or no colon. On Windows a drive
/// letter makes a path too.
fn is_local(url: &str) -> bool {
    let has_drive =
        cfg!(windows) && matches!(url.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic());
    has_drive || url.find([':', '/']).is_none_or(|at| url.as_bytes()[at] == b'/')
}

fn decoded(text: &str) -> Result<String, Problem> {
    String::from_utf8(decoded_bytes(text)).map_err(|_| "its escapes do not decode to UTF-8")
}

/// Resolves escapes as git does: wherever two digits follow the `%`, except to a NUL.
fn decoded_bytes(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace("%00", "%2500")).collect()
}

/// The path of an HTTP URL as git names it to credential helpers: decoded, with its query, without slashes at its ends.
#[must_use]
pub fn decoded_path(path: &str) -> Vec<u8> {
    let mut path = decoded_bytes(path.trim_start_matches('/'));
    while path.last() == Some(&b'/') {
        path.pop();
    }
    path
}

/// The place of the `]` that closes a host in brackets, else 0. Like git, it looks for `@[` anywhere.
fn bracket_end(text: &str) -> usize {
    let start = text.find("@[").map_or(0, |at| at + 1);
    text[start..]
        .strip_prefix('[')
        .and_then(|inside| inside.find(']'))
        .map_or(0, |length| start + 1 + length)
}

/// Splits at the first separator behind a host in brackets. `/~user` loses its slash. In scp's form any single character
/// before a `~` is lost: a mistake of git's, kept so that both push to the same place.
fn host_and_path(text: &str, separator: char) -> Result<(&str, &str), Problem> {
    let from = bracket_end(text);
    let at = from + text[from..].find(separator).ok_or(NO_PATH)?;
    let (host, path) = text.split_at(at);
    let path = path.strip_prefix(':').unwrap_or(path);
    match path.as_bytes() {
        [] => Err(NO_PATH),
        [_, b'~', ..] => Ok((host, &path[1..])),
        _ => Ok((host, path)),
    }
}

/// A host without its brackets, and the port behind it. If it is no number, it stays part of the host.
fn host_and_port(text: &str) -> (String, Option<u16>) {
    let end = bracket_end(text);
    if end > 0 {
        let host = text[..end].replacen('[', "", 1);
        let port = text[end..].split_once(':');
        return (host, port.and_then(|(_, port)| port.parse().ok()));
    }
    let Some((host, port)) = text.split_once(':') else {
        return (text.to_owned(), None);
    };
    match port.parse() {
        Ok(port) => (host.to_owned(), Some(port)),
        Err(_) if port.is_empty() => (host.to_owned(), None),
        Err(_) => (text.to_owned(), None),
    }
}

fn ssh(text: &str, separator: char) -> Result<RemoteUrl, Problem> {
    let (host, path) = host_and_path(text, separator)?;
    let (mut destination, mut port) = host_and_port(host);
    // `[user@host:22]:path`, scp's form with a port.
    if port.is_none()
        && let Some((host, inner)) = destination.split_once(':')
        && let Ok(inner) = inner.parse()
    {
        (destination, port) = (host.to_owned(), Some(inner));
    }
    if destination.starts_with('-') {
        return Err(OPTION_AS_HOST);
    }
    if path.starts_with('-') {
        return Err(OPTION_AS_PATH);
    }
    let (user, host) = match destination.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host.to_owned()),
        None => (None, destination),
    };
    if host.is_empty() {
        return Err(NO_HOST);
    }
    Ok(RemoteUrl::Ssh {
        user,
        host,
        port,
        path: path.to_owned(),
    })
}

fn git(text: &str) -> Result<RemoteUrl, Problem> {
    let (authority, path) = host_and_path(text, '/')?;
    let (host, port) = host_and_port(authority);
    if host.is_empty() {
        return Err(NO_HOST);
    }
    if text.contains('\n') {
        return Err("there is a line feed in it");
    }
    Ok(RemoteUrl::Git {
        authority: authority.to_owned(),
        host,
        port: port.unwrap_or(DEFAULT_GIT_PORT),
        path: path.to_owned(),
    })
}

/// A host in a `file://` URL is ignored, as by git on Unix.
fn file(text: &str) -> Result<RemoteUrl, Problem> {
    let from = bracket_end(text);
    let at = from + text[from..].find('/').ok_or(NO_PATH)?;
    Ok(RemoteUrl::File(PathBuf::from(&text[at..])))
}

fn http(is_https: bool, text: &str) -> Result<RemoteUrl, Problem> {
    let (authority, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    let (username, password, authority) = match authority.rsplit_once('@') {
        None => (None, None, authority),
        Some((userinfo, authority)) => match userinfo.split_once(':') {
            None => (Some(decoded_bytes(userinfo)), None, authority),
            Some((user, password)) => (
                Some(decoded_bytes(user)),
                Some(decoded_bytes(password)),
                authority,
            ),
        },
    };
    let bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[bracket..].find(':') {
        Some(at) => (&authority[..bracket + at], &authority[bracket + at + 1..]),
        None => (authority, ""),
    };
    let port = match port.parse() {
        Ok(number) if !port.starts_with('+') => Some(number),
        _ if port.is_empty() => None,
        _ => return Err("its port is not a number up to 65535"),
    };
    if host.is_empty() {
        return Err(NO_HOST);
    }
    let parts = [
        Some(host.into()),
        Some(decoded_bytes(path)),
        username.clone(),
        password.clone(),
    ];
    let mut bytes = parts.into_iter().flatten().flatten();
    if bytes.any(|byte| b"\n\r".contains(&byte)) {
        return Err("there is a line break in it");
    }
    Ok(RemoteUrl::Http(HttpUrl {
        is_https,
        host: host.to_owned(),
        port,
        path: path.to_owned(),
        username: username.filter(|user| !user.is_empty()),
        password,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed_http(url: &str) -> HttpUrl {
        match RemoteUrl::parse(url) {
            Ok(RemoteUrl::Http(url)) => url,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn http_urls_are_parsed() {
        let url = parsed_http("https://me%40x:p%3Aw@h.example:8443/o/r%20s.git?a=b");
        assert_eq!(url.scheme(), "https");
        assert_eq!(url.username.as_deref(), Some(&b"me@x"[..]));
        assert_eq!(url.password.as_deref(), Some(&b"p:w"[..]));
        assert_eq!(url.authority(), "h.example:8443");
        assert_eq!(url.path, "/o/r%20s.git?a=b");
        assert_eq!(
            url.without_credentials(),
            "https://h.example:8443/o/r%20s.git?a=b"
        );

        let bare = parsed_http("http://[::1]:80");
        assert_eq!((&*bare.host, bare.port, &*bare.path), ("[::1]", Some(80), ""));
        assert_eq!((bare.username, bare.password), (None, None));
        assert_eq!(parsed_http("http://h:/x").port, None);
        assert_eq!(
            parsed_http("http://:token@h/x").password.as_deref(),
            Some(&b"token"[..])
        );
    }

    #[test]
    fn unknown_schemes_and_double_colons_are_for_helpers() {
        for (url, name, address) in [
            ("ext::sh -c x %S", "ext", "sh -c x %S"),
            ("codecommit::us://r", "codecommit", "us://r"),
            ("s3://bucket/r", "s3", "s3://bucket/r"),
            ("FILE:///x", "FILE", "FILE:///x"),
            ("ftps://h/r", "ftps", "ftps://h/r"),
        ] {
            let expected = RemoteUrl::Helper {
                name: name.to_owned(),
                address: address.to_owned(),
            };
            assert_eq!(RemoteUrl::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_pushed_to_is_refused_without_its_secrets() {
        for url in [
            "",
            "a\0b",
            "::x",
            "rsync://h/x",
            "rsync:h/x",
            "/a://b",
            "host:",
            "ssh://h",
            "ssh:///x",
            "ssh://-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "h:-x",
            "-x",
            "git://h",
            "git:///x",
            "git://h/a%0ab",
            "file://h",
            "http:///x",
            "https://h:x/",
            "https://h:+1/",
            "https://h:65536/",
            "https://u%0a@h/",
            "https://h/%0d",
            "https://h/%0d%ff",
            "https://h/%ff\n",
            "ssh://h/%ff",
        ] {
            assert!(RemoteUrl::parse(url).is_err(), "{url}");
        }
        for url in [
            "https://u:hunter2@h:x/",
            "https://h:x/?token=hunter2",
            "https://u:x/hunter2@h/",
        ] {
            let error = RemoteUrl::parse(url).expect_err("a bad port");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in r"(ssh|git|file|http|https|x|rsync)?(::|://|:)?(%4|%|\.|/|~|-|@|@\[|:|\[|\]|h|é|2|\x00){0,30}") {
            if let Ok(url) = RemoteUrl::parse(&url) {
                let _ = format!("{url} {url:?}");
            }
        }

        #[test]
        fn no_password_is_shown(
            password in r#"[A-Z]{4}['"<>| @:]?[A-Z]{4}"#,
            start in "(https?|ssh|git|ftp|x::https)",
            user in "[a-z]{0,3}",
            host in "[a-z.:]{1,8}",
            path in "[a-z/?]{1,9}",
        ) {
            let url = format!("{start}://{user}:{password}@{host}/{path}");
            let shown = match RemoteUrl::parse(&url) {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => error.to_string(),
            };
            for half in [&password[..4], &password[password.len() - 4..]] {
                prop_assert!(!shown.contains(half), "{}", shown);
            }
        }
    }
}
