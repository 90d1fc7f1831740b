//! A remote as `git push <remote>` finds it: by name in the configuration, else as a URL or path.

use std::fmt;
use std::path::Path;

use super::RemoteUrl;
use crate::config::{Config, Entry};
use crate::failure::{Failure, redact};

/// Where to push, and the settings that belong to it.
///
/// The older files `remotes/<name>` and `branches/<name>` in a repository are not read: git warns of their removal.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// The name of a configured remote; `None` for a URL or path.
    pub name: Option<String>,
    /// The first URL to push to, as configured and rewritten by `insteadOf`. May hold secrets.
    pub url: String,
    /// The same taken apart. A relative path has become absolute.
    pub parsed: RemoteUrl,
    /// The other URLs that `git push` pushes to after the first. May hold secrets.
    pub further_urls: Vec<String>,
    /// `remote.<name>.receivepack`: the program to run on the other side.
    pub receive_pack: Option<String>,
    /// `remote.<name>.proxy`; an empty one turns the proxy off. May hold secrets.
    pub proxy: Option<String>,
}

/// No remote could be made of what was given. The message is for people and holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError {
    message: String,
}

impl ResolveError {
    fn new(message: impl AsRef<str>) -> Self {
        Self {
            message: redact(message.as_ref()).into_owned(),
        }
    }

    /// What was given, what was expected, what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ResolveError {}

impl From<Failure> for ResolveError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.message())
    }
}

impl Remote {
    /// Finds what `git push <given>` would push to, from a repository whose working tree (or, if bare, itself)
    /// is at `root`.
    ///
    /// # Errors
    ///
    /// A single word that is neither a remote nor a path; a URL that [`RemoteUrl::parse`] refuses; a setting
    /// of the remote without a value.
    pub fn resolve(config: &Config, given: &str, root: &Path) -> Result<Self, ResolveError> {
        let setting = |name: &str| format!("remote.{given}.{name}");
        // git takes no notice of a section whose name could be an absolute path.
        let entries = |name: &str| {
            config
                .entries_of(&setting(name))
                .filter(|_| !given.starts_with('/'))
        };
        let instead = Rewrites::read(config, "insteadof")?;
        let push_instead = Rewrites::read(config, "pushinsteadof")?;

        let push_urls = url_list(entries("pushurl"))?;
        let configured_urls = url_list(entries("url"))?;
        let is_configured = !push_urls.is_empty() || !configured_urls.is_empty();
        let name = (is_configured && !given.is_empty()).then(|| given.to_owned());

        let urls = if configured_urls.is_empty() {
            vec![given.to_owned()]
        } else {
            configured_urls
        };
        let targets = if push_urls.is_empty() {
            let rewritten: Vec<String> = urls.iter().filter_map(|url| push_instead.apply(url)).collect();
            if rewritten.is_empty() {
                urls.iter().map(|url| instead.apply_or_keep(url)).collect()
            } else {
                rewritten
            }
        } else {
            push_urls.iter().map(|url| instead.apply_or_keep(url)).collect()
        };
        let mut targets = targets.into_iter();
        let url = targets.next().unwrap_or_default();

        let vcs = last(entries("vcs"))?;
        if name.is_none() && vcs.is_none() && url == given && is_missing_word(given, root) {
            return Err(not_found(config, given));
        }
        let parsed = match vcs {
            Some(vcs) => RemoteUrl::Helper {
                name: vcs,
                address: url.clone(),
            },
            None => absolute(
                RemoteUrl::parse(&url).map_err(|error| ResolveError::new(error.to_string()))?,
                root,
            ),
        };
        Ok(Self {
            name,
            url,
            parsed,
            further_urls: targets.collect(),
            receive_pack: first(entries("receivepack"))?,
            proxy: last(entries("proxy"))?,
        })
    }

    /// Whether git gives this remote to a program of its own, `git-remote-<name>`: for a scheme that it does not
    /// know, for `name::address`, or by `remote.<name>.vcs`.
    #[must_use]
    pub fn uses_remote_helper(&self) -> bool {
        matches!(self.parsed, RemoteUrl::Helper { .. })
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Remote")
            .field("name", &self.name.as_deref().map(redact))
            .field("parsed", &self.parsed)
            .field("further_urls", &self.further_urls.len())
            .field("receive_pack", &self.receive_pack)
            .finish_non_exhaustive()
    }
}

/// `url.<base>.insteadOf` or `pushInsteadOf`: pairs of base and prefix, in the order in which git tries them.
struct Rewrites<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Rewrites<'a> {
    fn read(config: &'a Config, name: &str) -> Result<Self, ResolveError> {
        let mut pairs = Vec::new();
        for entry in config.entries() {
            if entry.section() == "url"
                && entry.name() == name
                && let Some(base) = entry.subsection()
            {
                pairs.push((base, entry.required()?));
            }
        }
        // git keeps the prefixes by base, in the order of the bases' first appearance.
        let bases: Vec<&str> = pairs.iter().map(|&(base, _)| base).collect();
        pairs.sort_by_key(|&(base, _)| bases.iter().position(|&other| other == base));
        Ok(Self(pairs))
    }

    /// Puts the base in the place of the longest prefix that fits; of two alike the first.
    fn apply(&self, url: &str) -> Option<String> {
        let fitting = self.0.iter().filter(|(_, prefix)| url.starts_with(prefix));
        // `max_by_key` takes the last of equals.
        let (base, prefix) = fitting.rev().max_by_key(|(_, prefix)| prefix.len())?;
        Some(format!("{base}{}", &url[prefix.len()..]))
    }

    fn apply_or_keep(&self, url: &str) -> String {
        self.apply(url).unwrap_or_else(|| url.to_owned())
    }
}

/// A list of URLs, which an empty one empties.
fn url_list<'a>(entries: impl Iterator<Item = &'a Entry>) -> Result<Vec<String>, ResolveError> {
    let mut urls = Vec::new();
    for entry in entries {
        match entry.required()? {
            "" => urls.clear(),
            url => urls.push(url.to_owned()),
        }
    }
    Ok(urls)
}

fn first<'a>(mut entries: impl Iterator<Item = &'a Entry>) -> Result<Option<String>, ResolveError> {
    let value = entries.next().map(Entry::required).transpose()?;
    Ok(value.map(str::to_owned))
}

fn last<'a>(entries: impl Iterator<Item = &'a Entry>) -> Result<Option<String>, ResolveError> {
    first(entries.last().into_iter())
}

/// Whether it can only have been meant as a name: nothing about it says URL or path, and no repository is
/// there, with or without the `.git` that receive-pack would try.
fn is_missing_word(given: &str, root: &Path) -> bool {
    let is_word = !given.contains(['/', ':']) && !matches!(given, "." | "..") && !given.starts_with('~');
    let exists = |name: &str| root.join(name).exists();
    given.is_empty() || (is_word && !exists(given) && !exists(&format!("{given}.git")))
}

fn not_found(config: &Config, given: &str) -> ResolveError {
    let names = config.subsections("remote").join(", ");
    let configured = if names.is_empty() {
        "no remotes are configured".to_owned()
    } else {
        format!("the configured remotes are: {names}")
    };
    let advice = if given.is_empty() {
        "name one of them, or give a URL or a path".to_owned()
    } else {
        format!("add it with `git remote add {given} <url>`, or give a URL or a path")
    };
    ResolveError::new(format!(
        "'{given}' is neither a remote nor a path that exists; {configured}; {advice}"
    ))
}

/// A relative path is one below the root, except `~`, which receive-pack expands.
fn absolute(url: RemoteUrl, root: &Path) -> RemoteUrl {
    match url {
        RemoteUrl::Local(path) if !path.to_string_lossy().starts_with('~') => {
            RemoteUrl::Local(root.join(path))
        }
        other => other,
    }
}
