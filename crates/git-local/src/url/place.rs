//! Whether two URLs lead to the same repository, for the check that a repository belongs to a remote.

use std::path::{Path, PathBuf};

use super::remote::{Remote, absolute, fetch_url, rewritten};
use super::remote_url::RemoteUrl;
use crate::LocalError;
use crate::config::Config;

/// The ports that a URL means if it names none.
const SSH_PORT: u16 = 22;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// What tells one repository from another in a URL: not the credentials, a trailing slash, or the `.git` at the end.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Path(PathBuf),
    Host {
        scheme: &'static str,
        host: String,
        port: u16,
        path: String,
    },
    Helper {
        name: String,
        address: String,
    },
}

impl Place {
    fn of(url: &RemoteUrl) -> Self {
        match url {
            RemoteUrl::Local(path) | RemoteUrl::File(path) => Self::Path(real(path)),
            RemoteUrl::Ssh { host, port, path, .. } => {
                Self::host("ssh", host, port.unwrap_or(SSH_PORT), path)
            }
            RemoteUrl::Git { host, port, path, .. } => Self::host("git", host, *port, path),
            RemoteUrl::Http(url) => {
                let default = if url.is_https { HTTPS_PORT } else { HTTP_PORT };
                Self::host(url.scheme(), &url.host, url.port.unwrap_or(default), &url.path)
            }
            RemoteUrl::Helper { name, address } => Self::Helper {
                name: name.clone(),
                address: short(address).to_owned(),
            },
        }
    }

    /// The path's first slash does not count: `host:team/data` and `ssh://host/team/data` are the same to hosting services.
    fn host(scheme: &'static str, host: &str, port: u16, path: &str) -> Self {
        Self::Host {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
            path: short(path.trim_start_matches('/')).to_owned(),
        }
    }
}

/// The path without what git adds by itself when it looks for a repository.
fn short(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/')
}

/// The path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.to_str()
        .map_or_else(|| path.clone(), |text| PathBuf::from(short(text)))
}

impl RemoteUrl {
    /// Reads a URL or path as `git clone` does, with `insteadOf`. A relative path is below `current`.
    ///
    /// # Errors
    ///
    /// As [`RemoteUrl::parse`], or if a setting has no value.
    pub fn to_fetch(config: &Config, given: &str, current: &Path) -> Result<(String, Self), LocalError> {
        let url = rewritten(config, given)?;
        let parsed = absolute(Self::parse(&url)?, current);
        Ok((url, parsed))
    }

    /// Whether both lead to the same repository, whatever their credentials, a trailing slash and `.git` at the end.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        Place::of(self) == Place::of(other)
    }
}

/// The configured remotes of a repository, each with the URLs from which git fetches and to which it pushes. Relative paths are
/// below `root`. A remote whose URLs cannot be read has none.
#[must_use]
pub fn configured_remotes(config: &Config, root: &Path) -> Vec<(String, Vec<RemoteUrl>)> {
    let names = config.subsections("remote").into_iter();
    let remotes = names.map(|name| {
        let to_fetch = fetch_url(config, name, root).ok().flatten();
        let to_push = Remote::resolve(config, name, root).ok();
        let mut urls: Vec<RemoteUrl> = to_fetch.into_iter().collect();
        urls.extend(
            to_push
                .map(|remote| remote.parsed)
                .filter(|url| !urls.contains(url)),
        );
        (name.to_owned(), urls)
    });
    remotes.filter(|(_, urls)| !urls.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn is_same(one: &str, other: &str) -> bool {
        let parse = |url| RemoteUrl::parse(url).expect("well-formed");
        parse(one).is_same_place(&parse(other))
    }

    #[test]
    fn credentials_a_slash_and_the_suffix_make_no_other_place() {
        for (one, other) in [
            ("https://h.example/t/d.git", "https://u:p@H.example:443/t/d/"),
            ("http://h.example/t/d", "http://token@h.example:80/t/d.git/"),
            ("git@h.example:t/d.git", "ssh://other@h.example:22/t/d"),
            ("git://h.example/d", "git://h.example:9418/d.git"),
            ("/nowhere/d.git", "file:///nowhere/d/"),
            ("ext::sh -c x", "ext::sh -c x"),
        ] {
            assert!(is_same(one, other) && is_same(other, one), "{one} {other}");
        }
    }

    #[test]
    fn another_host_port_path_or_protocol_is_another_place() {
        for (one, other) in [
            ("https://h.example/d", "https://g.example/d"),
            ("https://h.example/d", "https://h.example:8443/d"),
            ("https://h.example/d", "https://h.example/e"),
            ("https://h.example/d", "https://h.example/D"),
            ("https://h.example/d", "http://h.example/d"),
            ("git@h.example:d", "git://h.example/d"),
            ("git@h.example:d", "ssh://git@h.example:2222/d"),
            ("/nowhere/d", "/nowhere/d/e"),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_link_leads_to_where_it_points() {
        let sandbox = tempfile::tempdir().expect("a directory");
        let (real, link) = (sandbox.path().join("d.git"), sandbox.path().join("link"));
        std::fs::create_dir(&real).expect("new");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&real, &link).expect("new");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        assert!(is_same(&text(&real), &text(&link)));
    }

    #[test]
    fn remotes_have_the_urls_for_both_directions_as_git_rewrites_them() {
        let environment = Environment::of_settings(&[
            ("remote.origin.url", "team:d.git"),
            ("remote.backup.url", "/srv/d.git"),
            ("remote.backup.pushurl", "https://h.example/d.git"),
            ("remote.nothing.fetch", "+refs/heads/*:refs/remotes/nothing/*"),
            ("url.https://t.example/.insteadOf", "team:"),
        ]);
        let config = Config::load_protected(&environment).expect("well-formed");
        let remotes = configured_remotes(&config, Path::new("/root"));
        let shown: Vec<String> = remotes
            .iter()
            .map(|(name, urls)| {
                let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
                format!("{name} {}", urls.join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "origin https://t.example/d.git",
                "backup /srv/d.git https://h.example/d.git"
            ]
        );
        let (url, parsed) = RemoteUrl::to_fetch(&config, "team:e", Path::new("/")).expect("a URL");
        assert_eq!(
            (url.as_str(), parsed.to_string().as_str()),
            ("https://t.example/e", "https://t.example/e")
        );
    }
}
