//! The parts of a URL or path, and how they are shown.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use crate::redact_url;

/// A URL or path, by the way in which git connects to it.
#[derive(Clone, PartialEq, Eq)]
pub enum RemoteUrl {
    /// A path on this machine, as it was written. `git receive-pack` expands a `~` at its start.
    Local(PathBuf),
    /// The path of a `file://` URL.
    File(PathBuf),
    /// `ssh://`, `git+ssh://`, `ssh+git://`, or scp's `host:path`.
    Ssh {
        /// The part before the last `@`, in which ssh looks for the user.
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
    /// A URL for the program `git-remote-<name>`: `name::address`, or one with a scheme that is none of the above.
    Helper {
        /// The helper's name.
        name: String,
        /// The address for the helper.
        address: String,
    },
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
            } => formatter.write_str(&shown_ssh(user.as_deref(), host, *port, path)),
            Self::Git { authority, path, .. } => {
                let slash = if path.starts_with('/') { "" } else { "/" };
                formatter.write_str(&redact_url(&format!("git://{authority}{slash}{path}")))
            }
            Self::Http(url) => url.fmt(formatter),
            Self::Helper { name, address } => {
                let is_whole_url = address
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with("://"));
                let address = redact_url(address);
                if is_whole_url {
                    formatter.write_str(&address)
                } else {
                    write!(formatter, "{name}::{address}")
                }
            }
        }
    }
}

fn shown_ssh(user: Option<&str>, host: &str, port: Option<u16>, path: &str) -> String {
    let user = match user.map(|user| user.split_once(':').ok_or(user)) {
        None => String::new(),
        Some(Err(user)) => format!("{user}@"),
        Some(Ok((user, _password))) => format!("{user}:***@"),
    };
    let shown = match port {
        _ if path.starts_with(['/', '~']) => {
            let (address, _zone) = host.split_once('%').unwrap_or((host, ""));
            let host = match address.parse::<Ipv6Addr>() {
                Ok(_) => format!("[{host}]"),
                Err(_) => host.to_owned(),
            };
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let slash = if path.starts_with('/') { "" } else { "/" };
            format!("ssh://{user}{host}{port}{slash}{path}")
        }
        Some(port) => format!("[{user}{host}:{port}]:{path}"),
        None if host.contains(':') => format!("{user}[{host}]:{path}"),
        None => format!("{user}{host}:{path}"),
    };
    // An `@` in the path may be the end of a password with a slash in it.
    redact_url(&shown).into_owned()
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

/// The parts of an `http://` or `https://` URL, with the secrets kept apart.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether its scheme is `https`.
    pub is_https: bool,
    /// The host as it was written, an IPv6 address in its brackets.
    pub host: String,
    /// The port, if one was given.
    pub port: Option<u16>,
    /// The rest behind host and port, with escapes and query: empty, or with its first slash.
    pub path: String,
    /// The user name, decoded: bytes, as git and servers accept any.
    pub username: Option<Vec<u8>>,
    /// The password or token, decoded: a secret.
    pub password: Option<Vec<u8>>,
}

impl HttpUrl {
    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Host and port, as git names them to credential helpers.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The URL to request, without user name and password. The query may be a secret, so this is not for messages.
    #[must_use]
    pub fn without_credentials(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_credentials = self.username.is_some() || self.password.is_some();
        let shown = match self.path.rsplit_once('@').filter(|_| has_credentials) {
            // It may be the end of a password with a slash in it.
            Some((_, behind)) => format!("{}://***@{behind}", self.scheme()),
            None => self.without_credentials(),
        };
        let shown = redact_url(&shown);
        // A query or a fragment may be a secret too.
        match shown.split_once(['?', '#']) {
            Some((before, _)) => write!(formatter, "{before}?***"),
            None => formatter.write_str(&shown),
        }
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
