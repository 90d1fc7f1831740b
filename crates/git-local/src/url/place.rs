//! Whether two URLs lead to the same repository, for the check that a repository belongs to a remote.

use std::path::Path;

use super::remote::{Remote, absolute, fetch_url, rewritten};
use super::remote_url::RemoteUrl;
use crate::LocalError;
use crate::config::Config;

/// What tells one repository from another in a URL: not the credentials, a trailing slash, or the `.git` at the end.
fn place_of(url: &RemoteUrl) -> String {
    match url {
        RemoteUrl::Local(path) | RemoteUrl::File(path) => {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            short(&real.to_string_lossy()).to_owned()
        }
        RemoteUrl::Ssh { host, port, path, .. } => on_host("ssh", host, port.unwrap_or(22), path),
        RemoteUrl::Git { host, port, path, .. } => on_host("git", host, *port, path),
        RemoteUrl::Http(url) => {
            let default = if url.is_https { 443 } else { 80 };
            on_host(url.scheme(), &url.host, url.port.unwrap_or(default), &url.path)
        }
        RemoteUrl::Helper { name, address } => format!("{name}::{}", short(address)),
    }
}

/// The path's first slash does not count: `host:team/data` and `ssh://host/team/data` are the same to hosting services.
fn on_host(scheme: &str, host: &str, port: u16, path: &str) -> String {
    let path = short(path.trim_start_matches('/'));
    format!("{scheme}://{}:{port}/{path}", host.to_ascii_lowercase())
}

/// The path without what git adds by itself when it looks for a repository.
fn short(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/')
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
        place_of(self) == place_of(other)
    }
}

/// The configured remotes of a repository by their names: from where git fetches, and to where it pushes. Relative paths are
/// below `root`. A URL that cannot be read is left out.
#[must_use]
pub fn configured_remotes(config: &Config, root: &Path) -> Vec<(String, RemoteUrl)> {
    let mut remotes = Vec::new();
    for name in config.subsections("remote") {
        if let Ok(Some(url)) = fetch_url(config, name, root) {
            remotes.push((name.to_owned(), url));
        }
        if let Ok(remote) = Remote::resolve(config, name, root) {
            remotes.push((name.to_owned(), remote.parsed));
        }
    }
    remotes
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
            ("url.https://t.example/.insteadOf", "team:"),
        ]);
        let config = Config::load_protected(&environment).expect("well-formed");
        let remotes = configured_remotes(&config, Path::new("/root"));
        let shown: Vec<String> = remotes
            .iter()
            .map(|(name, url)| format!("{name} {url}"))
            .collect();
        assert_eq!(
            shown,
            [
                "origin https://t.example/d.git",
                "origin https://t.example/d.git",
                "backup /srv/d.git",
                "backup https://h.example/d.git"
            ]
        );
        let (url, parsed) = RemoteUrl::to_fetch(&config, "team:e", Path::new("/")).expect("a URL");
        assert_eq!(
            (url.as_str(), parsed.to_string().as_str()),
            ("https://t.example/e", "https://t.example/e")
        );
    }
}
