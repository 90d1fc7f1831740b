//! The remotes that have promised a partial clone the objects which it lacks.

use std::path::Path;

use super::remote::{Remote, fetch_url};
use super::remote_url::RemoteUrl;
use crate::LocalError;
use crate::config::Config;

/// The promisor remotes of a repository (`partial-clone` in git's technical documentation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promisors {
    /// Where git fetches from each; `None` if that is not known.
    urls: Vec<Option<RemoteUrl>>,
}

impl Promisors {
    /// Reads which remotes are promisors: those with `remote.<name>.promisor` or `remote.<name>.partialCloneFilter`, and that
    /// of `extensions.partialClone`. Relative paths are below `root`, where git would run.
    ///
    /// # Errors
    ///
    /// If a setting has no value or a wrong one.
    pub fn read(config: &Config, root: &Path) -> Result<Self, LocalError> {
        let mut names = Vec::new();
        for name in config.subsections("remote") {
            let is_promisor = config.bool(&format!("remote.{name}.promisor"))?.unwrap_or(false);
            let has_filter = config
                .entry(&format!("remote.{name}.partialclonefilter"))
                .is_some();
            if is_promisor || has_filter {
                names.push(name);
            }
        }
        if let Some(extension) = config.entry("extensions.partialClone") {
            let name = extension.required()?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let urls = names.into_iter().map(|name| fetch_url(config, name, root));
        Ok(Self {
            urls: urls.collect::<Result<_, _>>()?,
        })
    }

    /// Whether there are none: then this is no partial clone, and nothing may be missing.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.urls.is_empty()
    }

    /// Whether this remote has promised everything that is missing: it is the only promisor, and git pushes to where it fetches
    /// from.
    #[must_use]
    pub fn are_only(&self, remote: &Remote) -> bool {
        remote.further_urls.is_empty() && matches!(&*self.urls, [Some(url)] if *url == remote.parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    const ORIGIN: (&str, &str) = ("remote.origin.url", "https://h.example/r.git");
    const PROMISOR: (&str, &str) = ("remote.origin.promisor", "true");

    #[test]
    fn a_remote_is_the_only_promisor_where_pushes_go_to_what_is_fetched() {
        for (settings, given, expected) in [
            (&[ORIGIN][..], "origin", None),
            (&[ORIGIN, ("remote.origin.promisor", "false")], "origin", None),
            (&[ORIGIN, PROMISOR], "origin", Some(true)),
            (&[ORIGIN, PROMISOR], "https://h.example/r.git", Some(true)),
            (&[ORIGIN, PROMISOR], "https://h.example/other.git", Some(false)),
            (
                &[ORIGIN, ("remote.origin.partialCloneFilter", "blob:none")],
                "origin",
                Some(true),
            ),
            (
                &[ORIGIN, ("extensions.partialClone", "origin")],
                "origin",
                Some(true),
            ),
            (
                &[ORIGIN, PROMISOR, ("extensions.partialClone", "origin")],
                "origin",
                Some(true),
            ),
            (
                &[ORIGIN, ("extensions.partialClone", "gone")],
                "origin",
                Some(false),
            ),
            (
                &[ORIGIN, PROMISOR, ("remote.b.promisor", "true")],
                "origin",
                Some(false),
            ),
            (
                &[ORIGIN, PROMISOR, ("remote.origin.pushurl", "git@h.example:r.git")],
                "origin",
                Some(false),
            ),
            (
                &[
                    ORIGIN,
                    PROMISOR,
                    ("url.git@h.example:.pushInsteadOf", "https://h.example/"),
                ],
                "origin",
                Some(false),
            ),
            (
                &[
                    ORIGIN,
                    PROMISOR,
                    ("url.git@h.example:.insteadOf", "https://h.example/"),
                ],
                "origin",
                Some(true),
            ),
            (
                &[
                    ORIGIN,
                    PROMISOR,
                    ("remote.origin.pushurl", "https://h.example/r.git"),
                    ("remote.origin.pushurl", "/b"),
                ],
                "origin",
                Some(false),
            ),
            (
                &[("remote.origin.url", "../r.git"), PROMISOR],
                "origin",
                Some(true),
            ),
        ] {
            let environment = Environment::of_settings(settings);
            let root = Path::new("/srv/work");
            let config = Config::load(&environment, root, root).expect("well-formed");
            let remote = Remote::resolve(&config, given, root).expect("a remote");
            let promisors = Promisors::read(&config, root).expect("well-formed");
            let found = (!promisors.are_none()).then(|| promisors.are_only(&remote));
            assert_eq!(found, expected, "{settings:?} {given}");
        }
    }
}
