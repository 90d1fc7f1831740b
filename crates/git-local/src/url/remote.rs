//! A remote as `git push <remote>` finds it: by name in the configuration, else as a URL or path.

use std::fmt;
use std::path::Path;

use super::remote_url::RemoteUrl;
use crate::config::{Config, Entry};
use crate::{LocalError, redact};

/// Where to push, and the settings that belong to it.
///
/// The older files `remotes/<name>` and `branches/<name>` in a repository are not read: git warns of their removal.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// The name of a configured remote; `None` for a URL or path.
    pub name: Option<String>,
    /// The first URL to push to, as configured and rewritten by `insteadOf`. May hold secrets.
    pub url: String,
    /// The parts of `url`. A relative path has become absolute.
    pub parsed: RemoteUrl,
    /// The other URLs that `git push` pushes to after the first. May hold secrets.
    pub further_urls: Vec<String>,
    /// `remote.<name>.receivepack`: the program to run on the other side.
    pub receive_pack: Option<String>,
    /// `remote.<name>.proxy`; an empty one turns the proxy off. May hold secrets.
    pub proxy: Option<String>,
}

impl Remote {
    /// Finds the remote of `git push <given>` in a repository whose working tree (or, if bare, itself) is at `root`.
    ///
    /// # Errors
    ///
    /// A single word that is neither a remote nor a path; a URL that [`RemoteUrl::parse`] refuses; a setting
    /// of the remote without a value. The message has no secrets.
    pub fn resolve(config: &Config, given: &str, root: &Path) -> Result<Self, LocalError> {
        // git ignores a section whose name could be an absolute path.
        let entries = |name: &str| {
            let entries = config.entries_of(&format!("remote.{given}.{name}"));
            entries.filter(|_| !given.starts_with('/'))
        };
        let push_urls = url_list(entries("pushurl"))?;
        let urls = url_list(entries("url"))?;
        let is_configured = !push_urls.is_empty() || !urls.is_empty();
        let name = (is_configured && !given.is_empty()).then(|| given.to_owned());

        let instead = Rewrites::read(config, "insteadof")?;
        let push_instead = Rewrites::read(config, "pushinsteadof")?;
        let urls = if urls.is_empty() {
            vec![given.to_owned()]
        } else {
            urls
        };
        let mut targets: Vec<String> = Vec::new();
        if push_urls.is_empty() {
            targets.extend(urls.iter().filter_map(|url| push_instead.apply(url)));
        }
        if targets.is_empty() {
            let urls = if push_urls.is_empty() { urls } else { push_urls };
            targets.extend(urls.into_iter().map(|url| instead.apply(&url).unwrap_or(url)));
        }
        let mut targets = targets.into_iter();
        let url = targets.next().unwrap_or_default();

        let vcs = text(entries("vcs").last())?;
        if name.is_none() && vcs.is_none() && url == given && is_missing_word(given, root) {
            return Err(not_found(config, given));
        }
        let parsed = match vcs {
            Some(vcs) => RemoteUrl::Helper {
                name: vcs,
                address: url.clone(),
            },
            None => absolute(RemoteUrl::parse(&url)?, root),
        };
        Ok(Self {
            name,
            url,
            parsed,
            further_urls: targets.collect(),
            receive_pack: text(entries("receivepack").next())?,
            proxy: text(entries("proxy").last())?,
        })
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
    fn read(config: &'a Config, name: &'a str) -> Result<Self, LocalError> {
        let pairs = config.entries_in("url", name);
        let pairs = pairs.filter_map(|entry| Some((entry.subsection()?, entry)));
        let pairs = pairs.map(|(base, entry)| Ok((base, entry.required()?)));
        let mut pairs: Vec<(&str, &str)> = pairs.collect::<Result<_, LocalError>>()?;
        // git keeps the prefixes by base, in the order of the bases' first appearance.
        let bases: Vec<&str> = pairs.iter().map(|&(base, _)| base).collect();
        pairs.sort_by_key(|&(base, _)| bases.iter().position(|&other| other == base));
        Ok(Self(pairs))
    }

    /// Replaces the longest prefix that fits by its base; of two equally long ones the first.
    fn apply(&self, url: &str) -> Option<String> {
        let fitting = self.0.iter().filter(|(_, prefix)| url.starts_with(prefix));
        // `max_by_key` takes the last of equals.
        let (base, prefix) = fitting.rev().max_by_key(|(_, prefix)| prefix.len())?;
        Some(format!("{base}{}", &url[prefix.len()..]))
    }
}

/// The URL from which git fetches from a configured remote, as its parts. `None` if it has no URL, or one without a meaning.
pub(super) fn fetch_url(config: &Config, name: &str, root: &Path) -> Result<Option<RemoteUrl>, LocalError> {
    let urls = url_list(config.entries_of(&format!("remote.{name}.url")))?;
    let Some(url) = urls.into_iter().next() else {
        return Ok(None);
    };
    let url = rewritten(config, &url)?;
    Ok(RemoteUrl::parse(&url).ok().map(|url| absolute(url, root)))
}

/// A URL or path to fetch from, as `insteadOf` rewrites it.
pub(super) fn rewritten(config: &Config, given: &str) -> Result<String, LocalError> {
    let rewritten = Rewrites::read(config, "insteadof")?.apply(given);
    Ok(rewritten.unwrap_or_else(|| given.to_owned()))
}

/// A list of URLs. An empty one discards those before it.
fn url_list<'a>(entries: impl Iterator<Item = &'a Entry>) -> Result<Vec<String>, LocalError> {
    let mut urls = Vec::new();
    for entry in entries {
        match entry.required()? {
            "" => urls.clear(),
            url => urls.push(url.to_owned()),
        }
    }
    Ok(urls)
}

fn text(entry: Option<&Entry>) -> Result<Option<String>, LocalError> {
    let value = entry.map(Entry::required).transpose()?;
    Ok(value.map(str::to_owned))
}

/// Whether it can only be the name of a remote: it does not look like a URL or a path, and no repository is there, with or
/// without the `.git` that receive-pack would try.
fn is_missing_word(given: &str, root: &Path) -> bool {
    let is_word = !given.contains(['/', ':']) && !matches!(given, "." | "..") && !given.starts_with('~');
    let exists = |name: &str| root.join(name).exists();
    given.is_empty() || (is_word && !exists(given) && !exists(&format!("{given}.git")))
}

fn not_found(config: &Config, given: &str) -> LocalError {
    let names = config.subsections("remote").join(", ");
    let configured = match names.as_str() {
        "" => "no remotes are configured".to_owned(),
        names => format!("the configured remotes are: {names}"),
    };
    let advice = match given {
        "" => "name one of them, or give a URL or a path".to_owned(),
        _ => format!("add it with `git remote add {given} <url>`, or give a URL or a path"),
    };
    let message = format!("'{given}' is neither a remote nor a path that exists; {configured}; {advice}");
    LocalError::new(message)
}

/// A relative path is below the root, except `~`, which receive-pack expands.
pub(super) fn absolute(url: RemoteUrl, root: &Path) -> RemoteUrl {
    match url {
        RemoteUrl::Local(path) if !path.to_string_lossy().starts_with('~') => {
            RemoteUrl::Local(root.join(path))
        }
        other => other,
    }
}
