//! Whatever is given as a remote is refused or understood, never an option for a program, and shown without secrets.

use std::net::Ipv6Addr;

use git_local::url::{HttpUrl, RemoteUrl};

/// The schemes that are for no helper.
const KNOWN: [&str; 7] = ["ssh", "git+ssh", "ssh+git", "git", "file", "http", "https"];

/// What no text may show.
const SECRET: &str = "hunter2";

/// The input is a URL or path; then its lines are the parts of a URL with a password.
///
/// # Panics
///
/// When a property does not hold.
pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match RemoteUrl::parse(&text) {
        Ok(url) => {
            is_safe_to_use(&url);
            is_shown_as_it_is(&text, &url);
        }
        Err(error) => {
            assert!(error.message().starts_with("cannot push to '"), "{error}");
        }
    }
    shows_no_secret(&text);
}

/// No part of it can be taken for an option, or for the end of a line of a protocol.
fn is_safe_to_use(url: &RemoteUrl) {
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
        RemoteUrl::Http(url) => is_http(url),
        RemoteUrl::Helper { name, .. } => {
            assert!(!name.is_empty() && !name.starts_with('-'), "{name}");
            assert!(!name.contains('/'), "{name} is the name of a program");
        }
    }
}

fn is_http(url: &HttpUrl) {
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
    // What is requested leads to the same place, without anybody's name.
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

/// Unless something was left out, what is shown leads to the same place as what was given.
fn is_shown_as_it_is(given: &str, url: &RemoteUrl) {
    let shown = url.to_string();
    assert!(format!("{url:?}").contains(&shown), "both show the same");
    let is_whole = match url {
        RemoteUrl::Http(url) => url.username.is_none() && url.password.is_none() && !shown.contains("***"),
        // No name has a bracket or a colon in it: nobody has to read such a one again.
        RemoteUrl::Ssh { user, host, .. } => {
            is_name_or_address(host)
                && !user.as_deref().is_some_and(|user| user.contains(['[', ']', ':']))
                && !shown.contains("***")
        }
        // With the helper's name of a scheme that git knows itself, it is shown as that.
        RemoteUrl::Helper { name, .. } => !KNOWN.contains(&name.as_str()) && !shown.contains("***"),
        _ => !shown.contains("***"),
    };
    // An escape is shown as what it stands for, and of brackets around anything but an address git makes odd things.
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

fn shows_no_secret(text: &str) {
    let mut lines = text.lines().map(|line| line.replace(SECRET, "-"));
    let mut next = || lines.next().unwrap_or_default();
    let scheme = match &*next() {
        start @ ("http" | "https" | "ssh" | "git+ssh" | "ssh+git" | "git" | "ftp" | "x::https") => {
            start.to_owned()
        }
        _ => "https".to_owned(),
    };
    // A user's name ends at a colon; a slash in it, or a bracket, would make it a host, and what follows a path.
    let user = next().replace([':', '/', '?', '#', '['], "-");
    let (left, right) = (next(), next());
    let (host, path) = (next(), next());
    // Up to a slash digits could be a port, and colons an address; what follows is a path then: nobody could tell.
    let start = left.split(['/', '?', '#']).next().unwrap_or_default();
    let is_cut = start.len() < left.len();
    let number = start.strip_prefix('+').unwrap_or(start);
    let could_be_port = is_cut && number.bytes().all(|byte| byte.is_ascii_digit());
    let name = format!("{user}:{start}");
    let address = name.rsplit('@').next().and_then(|host| host.split('%').next());
    let could_be_address = is_cut && address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    // git looks for `@[` anywhere, and takes what follows for the host.
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
