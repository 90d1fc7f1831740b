//! The parser of URLs and paths: git's choice of a way to connect, then the parts for that way.

use std::fmt;
use std::path::PathBuf;

use super::{HttpUrl, RemoteUrl, without_secrets};

const DEFAULT_GIT_PORT: u16 = 9418;

/// Why a URL cannot be pushed to, as a sentence without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseUrlError {
    message: String,
}

impl ParseUrlError {
    fn new(url: &str, problem: &str) -> Self {
        Self {
            message: format!("cannot push to '{}': {problem}", without_secrets(url)),
        }
    }
}

impl fmt::Display for ParseUrlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ParseUrlError {}

/// A sentence about what is wrong, without the URL.
type Problem = &'static str;

const NO_PATH: Problem = "there is no path in it";
const NO_HOST: Problem = "there is no host in it";
const OPTION_AS_HOST: Problem = "its host begins with '-', which ssh would take for an option";
const OPTION_AS_PATH: Problem = "its path begins with '-', which git would take for an option";

pub(super) fn parse(url: &str) -> Result<RemoteUrl, ParseUrlError> {
    parts(url).map_err(|problem| ParseUrlError::new(url, problem))
}

fn parts(url: &str) -> Result<RemoteUrl, Problem> {
    if url.is_empty() {
        return Err("it is empty");
    }
    if url.contains('\0') {
        return Err("there is a NUL byte in it");
    }
    let word_end = scheme_word_end(url);
    let (word, rest) = url.split_at(word_end);
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
        None if url.contains("://") => Err("what stands before '://' is no scheme that git knows"),
        None if is_local(url) => local(url).map(RemoteUrl::Local),
        None => ssh(url, ':'),
    }
}

/// The end of the longest start that could be a scheme or the name of a helper.
fn scheme_word_end(url: &str) -> usize {
    let is_word_char =
        |(at, c): (usize, char)| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '+' | '-' | '.'));
    url.char_indices()
        .find(|&at_and_char| !is_word_char(at_and_char))
        .map_or(url.len(), |(at, _)| at)
}

/// Whether it is a path and not scp's `host:path`: a slash stands before the first colon, or there is none. On
/// Windows a drive letter is a path too.
fn is_local(url: &str) -> bool {
    let has_drive =
        cfg!(windows) && matches!(url.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic());
    has_drive || url.find([':', '/']).is_none_or(|at| url.as_bytes()[at] == b'/')
}

fn local(path: &str) -> Result<PathBuf, Problem> {
    if path.starts_with('-') {
        return Err(OPTION_AS_PATH);
    }
    Ok(PathBuf::from(path))
}

fn decoded(text: &str) -> Result<String, Problem> {
    String::from_utf8(decoded_bytes(text)).map_err(|_| "its escapes do not decode to UTF-8")
}

/// Resolves escapes as git does: wherever two digits follow the `%`, except to a NUL.
pub(super) fn decoded_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| high << 4 | low)
                .filter(|&byte| byte != 0),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The place of the `]` that closes a host in brackets, else 0. git looks for `@[` anywhere, so do we.
fn bracket_end(text: &str) -> usize {
    let start = text.find("@[").map_or(0, |at| at + 1);
    text[start..]
        .strip_prefix('[')
        .and_then(|inside| inside.find(']'))
        .map_or(0, |length| start + 1 + length)
}

/// Splits at the first separator behind a host in brackets. `/~user` loses its slash, as does, for scp's
/// form, any single character before a `~`: a slip of git's, kept so that both push to the same place.
fn host_and_path(text: &str, separator: char) -> Result<(&str, &str), Problem> {
    let from = bracket_end(text);
    let at = from + text[from..].find(separator).ok_or(NO_PATH)?;
    let path = if separator == ':' {
        &text[at + 1..]
    } else {
        &text[at..]
    };
    let path = if path.as_bytes().get(1) == Some(&b'~') {
        &path[1..]
    } else {
        path
    };
    if path.is_empty() {
        return Err(NO_PATH);
    }
    Ok((&text[..at], path))
}

/// A host without its brackets, and the port behind it. What is no number stays part of the host.
fn host_and_port(text: &str) -> (String, Option<u16>) {
    let end = bracket_end(text);
    if end > 0 {
        let host = text[..end].replacen('[', "", 1);
        let port = text[end..]
            .split_once(':')
            .and_then(|(_, port)| port.parse().ok());
        return (host, port);
    }
    match text.split_once(':') {
        Some((host, "")) => (host.to_owned(), None),
        Some((host, port)) => match port.parse() {
            Ok(port) => (host.to_owned(), Some(port)),
            Err(_) => (text.to_owned(), None),
        },
        None => (text.to_owned(), None),
    }
}

fn ssh(text: &str, separator: char) -> Result<RemoteUrl, Problem> {
    let (host, path) = host_and_path(text, separator)?;
    let (destination, port) = host_and_port(host);
    // `[user@host:22]:path`, the scp-like form with a port.
    let (destination, port) = match destination.split_once(':') {
        Some((host, inner)) if port.is_none() => match inner.parse() {
            Ok(inner) => (host.to_owned(), Some(inner)),
            Err(_) => (destination, None),
        },
        _ => (destination, port),
    };
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

/// A host in a `file://` URL is passed over, as git does on Unix.
fn file(text: &str) -> Result<RemoteUrl, Problem> {
    let from = bracket_end(text);
    let at = from + text[from..].find('/').ok_or(NO_PATH)?;
    Ok(RemoteUrl::File(PathBuf::from(&text[at..])))
}

fn http(is_https: bool, text: &str) -> Result<RemoteUrl, Problem> {
    let (authority, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    let (username, password, authority) = match authority.rsplit_once('@') {
        Some((userinfo, authority)) => match userinfo.split_once(':') {
            Some((user, password)) => (
                Some(decoded_bytes(user)),
                Some(decoded_bytes(password)),
                authority,
            ),
            None => (Some(decoded_bytes(userinfo)), None, authority),
        },
        None => (None, None, authority),
    };
    let bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[bracket..].find(':') {
        Some(at) => (&authority[..bracket + at], &authority[bracket + at + 1..]),
        None => (authority, ""),
    };
    let port = if port.is_empty() {
        None
    } else {
        let number = port.bytes().all(|byte| byte.is_ascii_digit()).then_some(port);
        Some(
            number
                .and_then(|port| port.parse().ok())
                .ok_or("its port is no number up to 65535")?,
        )
    };
    if host.is_empty() {
        return Err(NO_HOST);
    }
    let has_line_break = |text: &[u8]| text.iter().any(|byte| b"\n\r".contains(byte));
    if has_line_break(host.as_bytes())
        || has_line_break(&decoded_bytes(path))
        || username.as_deref().is_some_and(has_line_break)
        || password.as_deref().is_some_and(has_line_break)
    {
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
        match parse(url) {
            Ok(RemoteUrl::Http(url)) => url,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn http_urls_come_apart() {
        let url = parsed_http("https://me%40x:p%3Aw@h.example:8443/o/r%20s.git?a=b");
        assert_eq!(url.scheme(), "https");
        assert_eq!(url.username(), Some(&b"me@x"[..]));
        assert_eq!(url.password(), Some(&b"p:w"[..]));
        assert_eq!(url.authority(), "h.example:8443");
        assert_eq!(url.path(), "/o/r%20s.git?a=b");
        assert_eq!(
            url.without_credentials(),
            "https://h.example:8443/o/r%20s.git?a=b"
        );

        let bare = parsed_http("http://[::1]:80");
        assert_eq!((bare.host(), bare.port(), bare.path()), ("[::1]", Some(80), ""));
        assert_eq!((bare.username(), bare.password()), (None, None));
        assert_eq!(parsed_http("http://h:/x").port(), None);
        assert_eq!(parsed_http("http://:token@h/x").password(), Some(&b"token"[..]));
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
            assert_eq!(parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_pushed_to_is_refused_without_its_secrets() {
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
            assert!(parse(url).is_err(), "{url}");
        }
        for url in [
            "https://u:hunter2@h:x/",
            "https://h:x/?token=hunter2",
            "https://u:x/hunter2@h/",
        ] {
            let error = parse(url).expect_err("a bad port");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in r"(ssh|git|file|http|https|x|rsync)?(::|://|:)?(%4|%|\.|/|~|-|@|@\[|:|\[|\]|h|é|2|\x00){0,30}") {
            if let Ok(url) = parse(&url) {
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
            let shown = match parse(&url) {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => error.to_string(),
            };
            for half in [&password[..4], &password[password.len() - 4..]] {
                prop_assert!(!shown.contains(half), "{}", shown);
            }
        }
    }
}
