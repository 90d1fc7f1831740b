//! Where a push goes: git's reading of a URL or path, and of the remotes in the configuration.
//!
//! The facts are those of `git-push(1)` (GIT URLS, REMOTES) and of what `git fetch-pack --diag-url` shows. Nothing
//! is looked up or connected to here. No `Display` and no `Debug` in this module shows a password or a token.

mod parse;
mod remote;

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

pub use parse::ParseUrlError;
pub use remote::{Remote, ResolveError};

use crate::failure::redact_url;

/// A URL's path as git names it to credential helpers.
pub(crate) fn decoded_path(path: &str) -> Vec<u8> {
    let mut path = parse::decoded_bytes(path.trim_start_matches('/'));
    let length = path.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
    path.truncate(length);
    path
}

/// A URL or path, by the way in which git connects to it.
#[derive(Clone, PartialEq, Eq)]
pub enum RemoteUrl {
    /// A path on this machine, as it was written. `git receive-pack` expands a `~` at its start.
    Local(PathBuf),
    /// The path of a `file://` URL.
    File(PathBuf),
    /// `ssh://`, `git+ssh://`, `ssh+git://`, or scp's `host:path`.
    Ssh {
        /// What stands before the last `@`, where ssh looks for the user.
        user: Option<String>,
        /// A name or an address, without brackets.
        host: String,
        /// Only if one was given.
        port: Option<u16>,
        /// The path for the remote shell, `~user/x` for a URL's `/~user/x`.
        path: String,
    },
    /// `git://`, the daemon without authentication.
    Git {
        /// Host and port as they were written: the virtual host that git names to the daemon.
        authority: String,
        /// A name or an address, without brackets.
        host: String,
        /// 9418 unless another was given.
        port: u16,
        /// The path.
        path: String,
    },
    /// `http://` and `https://`.
    Http(HttpUrl),
    /// What git gives to the program `git-remote-<name>`: `name::address`, or a URL with a scheme that is
    /// none of the above.
    Helper {
        /// The helper's name.
        name: String,
        /// What the helper is to make of it.
        address: String,
    },
}

impl RemoteUrl {
    /// Reads a URL or path by git's rules.
    ///
    /// # Errors
    ///
    /// git would refuse it as well: no path or host, an option in disguise, a scheme it dropped. Also refused
    /// are escapes that are not UTF-8 once decoded.
    pub fn parse(url: &str) -> Result<Self, ParseUrlError> {
        parse::parse(url)
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(formatter, "{}", path.display()),
            Self::File(path) => write!(formatter, "file://{}", path.display()),
            Self::Ssh {
                user,
                host,
                port,
                path,
            } => {
                let user = match user.as_deref().map(|user| user.split_once(':')) {
                    None => String::new(),
                    Some(None) => format!("{}@", user.as_deref().unwrap_or_default()),
                    Some(Some((user, _password))) => format!("{user}:***@"),
                };
                let is_address =
                    |host: &str| host.split('%').next().unwrap_or(host).parse::<Ipv6Addr>().is_ok();
                let shown = match port {
                    _ if path.starts_with(['/', '~']) => {
                        let host = if is_address(host) {
                            format!("[{host}]")
                        } else {
                            host.clone()
                        };
                        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                        let slash = if path.starts_with('/') { "" } else { "/" };
                        format!("ssh://{user}{host}{port}{slash}{path}")
                    }
                    Some(port) => format!("[{user}{host}:{port}]:{path}"),
                    None if host.contains(':') => format!("{user}[{host}]:{path}"),
                    None => format!("{user}{host}:{path}"),
                };
                // An `@` in the path may be the end of a password that has a slash in it.
                formatter.write_str(&redact_url(&shown))
            }
            Self::Git { authority, path, .. } => {
                let slash = if path.starts_with('/') { "" } else { "/" };
                formatter.write_str(&without_secrets(&format!("git://{authority}{slash}{path}")))
            }
            Self::Http(url) => fmt::Display::fmt(url, formatter),
            Self::Helper { name, address } => {
                let is_whole_url = address
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with("://"));
                let address = without_secrets(address);
                if is_whole_url {
                    formatter.write_str(&address)
                } else {
                    write!(formatter, "{name}::{address}")
                }
            }
        }
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Local(_) => "Local",
            Self::File(_) => "File",
            Self::Ssh { .. } => "Ssh",
            Self::Git { .. } => "Git",
            Self::Http(_) => "Http",
            Self::Helper { .. } => "Helper",
        };
        write!(formatter, "{variant}({self})")
    }
}

/// One whole URL for a message: all before its last `@` may be a password with any characters in it, and a query
/// a token. Stricter than `failure::redact`, which has to find URLs inside of sentences.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (userinfo, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    match rest.split_once('?') {
        Some((rest, _)) => format!("{scheme}://{userinfo}{rest}?***"),
        None => format!("{scheme}://{userinfo}{rest}"),
    }
}

/// The parts of an `http://` or `https://` URL, with the secrets kept apart.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    is_https: bool,
    host: String,
    port: Option<u16>,
    path: String,
    username: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
}

impl HttpUrl {
    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// The host as it was written, an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one was given.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// What follows host and port, escapes and query included: empty, or with its first slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path as git names it to credential helpers: decoded, with its query, without slashes at its ends.
    #[must_use]
    pub fn decoded_path(&self) -> Vec<u8> {
        decoded_path(&self.path)
    }

    /// The user name, decoded: bytes, as git and servers take any.
    #[must_use]
    pub fn username(&self) -> Option<&[u8]> {
        self.username.as_deref()
    }

    /// The password or token, decoded: a secret.
    #[must_use]
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }

    /// Host and port, as git names them to credential helpers.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The URL to request, without user name and password. A query stays: it may be a secret, so this is not
    /// for messages.
    #[must_use]
    pub fn without_credentials(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_credentials = self.username.is_some() || self.password.is_some();
        let (host, path) = match self.path.rsplit_once('@').filter(|_| has_credentials) {
            // It may be the end of a password that has a slash in it.
            Some((_, behind)) => ("***@".to_owned(), behind),
            None => (self.authority(), &*self.path),
        };
        let shown = format!("{}://{host}{path}", self.scheme());
        let shown = redact_url(&shown);
        // No query, and no fragment, which may be the same.
        match shown.split_once(['?', '#']) {
            Some((before, _)) => write!(formatter, "{before}?***")?,
            None => formatter.write_str(&shown)?,
        }
        Ok(())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HttpUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_displayed_or_debugged() {
        for (url, displayed) in [
            ("https://u:hunter2@h/r.git", "https://h/r.git"),
            ("https://hunter2@h:8443/r", "https://h:8443/r"),
            ("https://u:hunter2@hunter2@h/r", "https://h/r"),
            ("https://h/r?private_token=hunter2", "https://h/r?***"),
            ("https://u:p@ss/hunter2@h/r", "https://***@h/r"),
            ("https://u:p@ss/hunter2@h/r?x", "https://***@h/r?***"),
            ("https://@u:]/ hunter2@h/r", "https://***@h/r"),
            ("https://]:[::1]hunter2#@h/r", "https://***@h/r"),
            ("https://[u:]/hunter2@h/r", "https://***@h/r"),
            ("https://h/r#hunter2", "https://h/r?***"),
            ("ssh://git:hunter2@h/r", "ssh://git:***@h/r"),
            ("ssh://git:p@ss/hunter2@h/r", "ssh://git:***@h/r"),
            ("ssh://git:pass/hunter2@h/r", "ssh://git:***@h/r"),
            ("git://u:hunter2@h/r", "git://***@h/r"),
            ("ftp://u:hunter2@h/r", "ftp://***@h/r"),
            ("x::https://u:hunter2@h/r", "x::https://***@h/r"),
        ] {
            let url = RemoteUrl::parse(url).expect("well-formed");
            assert_eq!(url.to_string(), displayed);
            assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
        }
    }

    #[test]
    fn a_url_without_secrets_is_displayed_so_that_git_reads_it_alike() {
        for url in [
            "git@h:o/r.git",
            "ssh://git@h:22/r",
            "ssh://h/~u/r",
            "[u@h:22]:r",
            "u@[::1]:r",
            "ssh://[::1]:22/r",
            "git://h:1/r",
            "git://h/~u/r",
            "file:///srv/r",
            "/srv/r",
            "~/r",
            "https://h/r",
            "ext::sh -c x",
        ] {
            let parsed = RemoteUrl::parse(url).expect("well-formed");
            assert_eq!(parsed.to_string(), url);
        }
    }
}
