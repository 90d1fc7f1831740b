//! Any text given as a remote is refused or parsed. It never becomes an option of a program, and is shown without secrets.

use std::net::Ipv6Addr;

use git_local::url::{HttpUrl, RemoteUrl};

/// The schemes that need no helper.
const KNOWN: [&str; 7] = ["ssh", "git+ssh", "ssh+git", "git", "file", "http", "https"];

/// The secret that must not be shown.
const SECRET: &str = "hunter2";

/// The input is read twice: as a URL or path, and as lines that are the parts of a URL with a password.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match RemoteUrl::parse(&text) {
        Ok(url) => {
            assert_safe_to_use(&url);
            assert_shown_faithfully(&text, &url);
        }
        Err(error) => {
            assert!(error.message().starts_with("cannot push to '"), "{error}");
        }
    }
    assert_no_secret(&text);
}

/// No part of it looks like an option, or ends a line of a protocol.
fn assert_safe_to_use(url: &RemoteUrl) {
    match url {
        RemoteUrl::Local(path) => assert!(!path.to_string_lossy().starts_with('-'), "{url}"),
        RemoteUrl::File(path) => assert!(path.is_absolute(), "{url}"),
        RemoteUrl::Ssh { user, host, path, .. } => {
            let destination = match user {
                Some(user) => format!("{user}@{host}"),
                None => host.clone(),
            };
            assert!(!destination.starts_with('-'), "{destination}");
            assert!(!path.starts_with('-'), "{path}");
            assert!(!host.is_empty() && !path.is_empty());
        }
        RemoteUrl::Git {
            authority,
            host,
            path,
            ..
        } => {
            assert!(!host.is_empty() && !path.is_empty());
            assert!(!format!("{authority}{path}").contains(['\n', '\0']));
        }
        RemoteUrl::Http(url) => assert_safe_http(url),
        RemoteUrl::Helper { name, .. } => {
            assert!(!name.is_empty() && !name.starts_with('-'), "{name}");
            assert!(!name.contains('/'), "{name} is the name of a program");
        }
    }
}

fn assert_safe_http(url: &HttpUrl) {
    let has_line_break = |text: &[u8]| text.iter().any(|byte| b"\n\r".contains(byte));
    assert!(!url.host.is_empty());
    for part in [url.host.as_bytes(), url.path.as_bytes()]
        .into_iter()
        .chain(url.username.as_deref())
        .chain(url.password.as_deref())
    {
        assert!(!has_line_break(part), "{part:?} would be lines of a request");
    }
    assert!(url.path.is_empty() || url.path.starts_with(['/', '?', '#']));
    // The requested URL names the same place, without user and password.
    match RemoteUrl::parse(&url.without_credentials()) {
        Ok(RemoteUrl::Http(again)) => {
            assert_eq!((&again.username, &again.password), (&None, &None));
            assert_eq!(
                (again.scheme(), &again.host, again.port, &again.path),
                (url.scheme(), &url.host, url.port, &url.path)
            );
        }
        other => panic!("{other:?}"),
    }
}

/// Unless a secret was left out, the text that is shown names the same place as the text that was given.
fn assert_shown_faithfully(given: &str, url: &RemoteUrl) {
    let shown = url.to_string();
    assert!(format!("{url:?}").contains(&shown), "both show the same");
    let is_whole = match url {
        RemoteUrl::Http(url) => url.username.is_none() && url.password.is_none() && !shown.contains("***"),
        // A host name with a bracket or a colon is not valid, so its text need not parse to the same again.
        RemoteUrl::Ssh { user, host, .. } => {
            is_name_or_address(host)
                && !user.as_deref().is_some_and(|user| user.contains(['[', ']', ':']))
                && !shown.contains("***")
        }
        // The URL of a helper that is named like a known scheme is shown as a URL of that scheme.
        RemoteUrl::Helper { name, .. } => !KNOWN.contains(&name.as_str()) && !shown.contains("***"),
        _ => !shown.contains("***"),
    };
    // Escapes are shown decoded, and git reads brackets that enclose no address in its own way.
    if is_whole && !given.contains(['?', '#', '%', '[']) {
        assert_eq!(
            RemoteUrl::parse(&shown).as_ref(),
            Ok(url),
            "{given:?} is shown as {shown:?}"
        );
    }
}

fn is_name_or_address(host: &str) -> bool {
    let is_address = host.parse::<Ipv6Addr>().is_ok();
    is_address || !host.contains(['[', ']', ':', '/'])
}

fn assert_no_secret(text: &str) {
    let mut lines = text.lines().map(|line| line.replace(SECRET, "-"));
    let mut next = || lines.next().unwrap_or_default();
    let scheme = match &*next() {
        start @ ("http" | "https" | "ssh" | "git+ssh" | "ssh+git" | "git" | "ftp" | "x::https") => {
            start.to_owned()
        }
        _ => "https".to_owned(),
    };
    // A user's name ends at a colon. With a slash or a bracket in it, it would be read as a host.
    let user = next().replace([':', '/', '?', '#', '['], "-");
    let (left, right) = (next(), next());
    let (host, path) = (next(), next());
    // Digits before a slash can be a port, and colons an address; the rest is then a path, so no password can be recognized.
    let start = left.split(['/', '?', '#']).next().unwrap_or_default();
    let is_cut = start.len() < left.len();
    let number = start.strip_prefix('+').unwrap_or(start);
    let could_be_port = is_cut && number.bytes().all(|byte| byte.is_ascii_digit());
    let name = format!("{user}:{start}");
    let address = name.rsplit('@').next().and_then(|host| host.split('%').next());
    let could_be_address = is_cut && address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    // git searches for `@[` anywhere in the URL, and reads the host behind it.
    if could_be_port || could_be_address || format!("{user}:{left}{right}").contains("@[") {
        return;
    }
    let given = format!("{scheme}://{user}:{left}{SECRET}{right}@{host}/{path}");
    let shown = match RemoteUrl::parse(&given) {
        Ok(url) => format!("{url} {url:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SECRET), "{given:?} is shown as {shown:?}");
}
