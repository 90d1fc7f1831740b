//! git's configuration as git itself sees it: every place it is read from, in git's order, with includes.
//!
//! The facts are those of `git-config(1)` in git 2.47: FILES, ENVIRONMENT, Includes, Conditional includes. Reading it here,
//! not through a library, gives the daemon the same answers as the `git` on the machine, `GIT_CONFIG_COUNT`
//! and `git -c` included. It deliberately does not write configuration, run `git`, or know what any key means.

mod condition;
mod environment;
mod load;
mod parameters;
mod syntax;
mod url_match;
mod value;
mod wildmatch;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::failure::{Failure, Kind};

pub use environment::Environment;

/// Which of git's places an entry was read from; the names are those of `git config --show-scope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The machine's file, `/etc/gitconfig` or `GIT_CONFIG_SYSTEM`.
    System,
    /// The user's files, or `GIT_CONFIG_GLOBAL`.
    Global,
    /// The repository's `config`.
    Local,
    /// The worktree's `config.worktree`.
    Worktree,
    /// The environment: `GIT_CONFIG_COUNT` and `git -c`.
    Command,
}

impl Scope {
    /// The name that git gives it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Global => "global",
            Self::Local => "local",
            Self::Worktree => "worktree",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Where an entry was read, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scope: Scope,
    line: Option<(Arc<Path>, usize)>,
}

impl Origin {
    /// The place.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// The file, unless the entry came from the environment.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.line.as_ref().map(|(file, _)| &**file)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some((file, line)) => write!(formatter, "line {line} of {}", file.display()),
            None => formatter.write_str("the environment (GIT_CONFIG_COUNT or git -c)"),
        }
    }
}

/// One assignment. Its `Debug` leaves the value out: a header or a URL may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    key: String,
    value: Option<String>,
    origin: Origin,
}

impl Entry {
    /// The whole key, `section.name` or `section.subsection.name`, with section and name in lower case.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value; `None` for a key without `=`, which git reads as true. Bytes that are not UTF-8 were replaced.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Where it was read.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What stands between the first and the last dot of the key, if there is more than one.
    #[must_use]
    pub fn subsection(&self) -> Option<&str> {
        split_key(&self.key).1
    }

    /// What stands before the first dot of the key, in lower case.
    #[must_use]
    pub fn section(&self) -> &str {
        split_key(&self.key).0
    }

    /// What stands behind the last dot of the key, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        split_key(&self.key).2
    }

    fn is_in(&self, section: &str, name: &str) -> bool {
        self.section() == section && self.name() == name
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("key", &crate::failure::redact(&self.key))
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Section, subsection and name of a whole key.
fn split_key(key: &str) -> (&str, Option<&str>, &str) {
    match (key.find('.'), key.rfind('.')) {
        (Some(first), Some(last)) if first < last => {
            (&key[..first], Some(&key[first + 1..last]), &key[last + 1..])
        }
        (Some(only), _) => (&key[..only], None, &key[only + 1..]),
        _ => ("", None, key),
    }
}

/// The spelling under which a key is stored: section and name in lower case, the subsection as it is.
fn canonical_key(key: &str) -> Cow<'_, str> {
    let (section, subsection, name) = split_key(key);
    if !section
        .bytes()
        .chain(name.bytes())
        .any(|byte| byte.is_ascii_uppercase())
    {
        return Cow::Borrowed(key);
    }
    let section = section.to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    Cow::Owned(match subsection {
        Some(subsection) => format!("{section}.{subsection}.{name}"),
        None => format!("{section}.{name}"),
    })
}

/// Every entry that applies to a repository, in the order in which git reads them: later ones win.
#[derive(Clone, Default)]
pub struct Config {
    entries: Vec<Entry>,
    expansion: value::Expansion,
}

impl Config {
    /// Reads the configuration of the repository whose shared directory is `common_dir` and whose own is
    /// `git_dir` (another one only in a linked worktree).
    ///
    /// The system file is `GIT_CONFIG_SYSTEM`, else `etc/gitconfig` under the prefix of the first `git` in
    /// `PATH`, as git's Makefile sets it (`/etc/gitconfig` for the prefix `/usr`, or without a `git`). A git built
    /// with another `sysconfdir` needs `GIT_CONFIG_SYSTEM`: only git itself knows what it was built with.
    ///
    /// # Errors
    ///
    /// A file that git would refuse: malformed, unreadable, or including itself. The message names file and
    /// line. A missing file is no error.
    pub fn load(env: &Environment, common_dir: &Path, git_dir: &Path) -> Result<Self, Failure> {
        load::load(env, common_dir, git_dir)
    }

    /// What git asks before it trusts a repository: the system's files, the user's and the environment, none of which
    /// a repository can change. Conditions on a repository do not hold.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_protected(env: &Environment) -> Result<Self, Failure> {
        load::load_protected(env)
    }

    /// A repository's own `config` (or a worktree's) alone, without what it includes: where git looks for the format of
    /// the repository.
    ///
    /// # Errors
    ///
    /// As [`Config::load`], and where the file may not be read.
    pub fn load_file(path: &Path) -> Result<Self, Failure> {
        load::load_file(path, Scope::Local)
    }

    /// Every entry in order, the `include` directives among them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that decides about a key: the last one.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let key = canonical_key(key);
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// Every entry of a key, for lists whose values have rules of their own.
    pub fn entries_of(&self, key: &str) -> impl Iterator<Item = &Entry> + use<'_> {
        let key = canonical_key(key).into_owned();
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    /// The value of a key. A key without `=` has none; [`Config::entry`] tells it from an absent one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entry(key)?.value()
    }

    /// The values of a key that makes a list. An empty value discards those before it, as git's lists do.
    #[must_use]
    pub fn get_all(&self, key: &str) -> Vec<&str> {
        collect_list(self.entries_of(key).filter_map(Entry::value))
    }

    /// A key as git's bool: true, yes, on, a number other than 0, or no `=` at all; false, no, off, 0, or empty.
    ///
    /// # Errors
    ///
    /// The value is none of these.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Failure> {
        self.entry(key).map(Entry::bool).transpose()
    }

    /// A key as an integer, with git's suffixes k, m and g for the powers of 1024.
    ///
    /// # Errors
    ///
    /// The value is no such number, or does not fit.
    pub fn int(&self, key: &str) -> Result<Option<i64>, Failure> {
        self.entry(key).map(Entry::int).transpose()
    }

    /// A key as a path: `~/` and `~user/` are home directories, `%(prefix)/` is where git is installed.
    ///
    /// # Errors
    ///
    /// There is no value, or the home directory is not known.
    pub fn path(&self, key: &str) -> Result<Option<PathBuf>, Failure> {
        self.entry(key).map(|entry| self.path_of(entry)).transpose()
    }

    /// An entry's value as a path, for entries found by [`Config::url_match`].
    ///
    /// # Errors
    ///
    /// As [`Config::path`].
    pub fn path_of(&self, entry: &Entry) -> Result<PathBuf, Failure> {
        let value = entry.required()?;
        self.expansion
            .expand(value)
            .ok_or_else(|| entry.bad("cannot expand the home directory in the path", value))
    }

    /// The names of a section's subsections, in order of their first appearance.
    #[must_use]
    pub fn subsections(&self, section: &str) -> Vec<&str> {
        let section = section.to_ascii_lowercase();
        let mut names = Vec::new();
        for entry in &self.entries {
            if let (own, Some(name), _) = split_key(&entry.key)
                && own == section
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// The entry for `key` in `section` that applies to a URL, by the rules of `http.<url>.*` in
    /// `git-config(1)`: of the subsections that match, the one with the longest host, then the longest path, then
    /// a user name; a plain `section.key` matches every URL.
    #[must_use]
    pub fn url_match(&self, section: &str, key: &str, url: &str) -> Option<&Entry> {
        self.url_matches(section, key, url).pop()
    }

    /// The values for `key` in `section` that git would add up for a URL, such as `http.extraHeader`: each
    /// that matches no worse than those before it. An empty value discards those before it.
    #[must_use]
    pub fn url_match_all(&self, section: &str, key: &str, url: &str) -> Vec<&str> {
        collect_list(
            self.url_matches(section, key, url)
                .into_iter()
                .filter_map(Entry::value),
        )
    }

    /// The matching entries, each no worse than the one before.
    fn url_matches(&self, section: &str, key: &str, url: &str) -> Vec<&Entry> {
        let Some(url) = url_match::Url::parse(url) else {
            return Vec::new();
        };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        let mut matching = Vec::new();
        let mut best = url_match::Rank::default();
        for entry in self.entries.iter().filter(|entry| entry.is_in(&section, &key)) {
            let rank = match entry.subsection() {
                None => Some(url_match::Rank::default()),
                Some(pattern) => {
                    url_match::Url::parse_pattern(pattern).and_then(|pattern| pattern.rank(&url))
                }
            };
            if let Some(rank) = rank.filter(|rank| *rank >= best) {
                best = rank;
                matching.push(entry);
            }
        }
        matching
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.entries).finish()
    }
}

impl Entry {
    /// The value as git's bool.
    ///
    /// # Errors
    ///
    /// As [`Config::bool`].
    pub fn bool(&self) -> Result<bool, Failure> {
        value::parse_bool(self.value())
            .ok_or_else(|| self.bad("expected true or false, got", self.value().unwrap_or_default()))
    }

    /// The value as an integer.
    ///
    /// # Errors
    ///
    /// As [`Config::int`].
    pub fn int(&self) -> Result<i64, Failure> {
        let value = self.required()?;
        value::parse_int(value)
            .ok_or_else(|| self.bad("expected a number, with k, m or g at its end or not, got", value))
    }

    /// The value, where a key without one is a mistake.
    ///
    /// # Errors
    ///
    /// The key has no `=`.
    pub fn required(&self) -> Result<&str, Failure> {
        self.value().ok_or_else(|| {
            Failure::new(
                Kind::Local,
                format!("{} in {} needs a value", self.key, self.origin),
            )
        })
    }

    fn bad(&self, problem: &str, value: &str) -> Failure {
        Failure::new(
            Kind::Local,
            format!("{} in {}: {problem} '{value}'", self.key, self.origin),
        )
    }
}

fn collect_list<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut list = Vec::new();
    for value in values {
        if value.is_empty() {
            list.clear();
        } else {
            list.push(value);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let mut env = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_COUNT", pairs.len().to_string());
        for (index, (key, value)) in pairs.iter().enumerate() {
            env = env
                .with(format!("GIT_CONFIG_KEY_{index}"), *key)
                .with(format!("GIT_CONFIG_VALUE_{index}"), *value);
        }
        Config::load(&env, Path::new("/nonexistent"), Path::new("/nonexistent")).expect("well-formed")
    }

    #[test]
    fn a_key_is_found_whatever_the_case_of_its_section_and_name() {
        let config = config(&[("Remote.Origin.PushURL", "x")]);
        assert_eq!(config.get("REMOTE.Origin.pushurl"), Some("x"));
        assert_eq!(config.get("remote.origin.pushurl"), None);
        assert_eq!(config.subsections("Remote"), ["Origin"]);
    }

    #[test]
    fn the_last_value_wins_and_an_empty_one_resets_a_list() {
        let config = config(&[("a.b", "1"), ("a.b", ""), ("a.b", "2"), ("a.b", "3")]);
        assert_eq!(config.get("a.b"), Some("3"));
        assert_eq!(config.get_all("a.b"), ["2", "3"]);
    }

    #[test]
    fn a_bad_value_is_reported_with_its_key_and_place() {
        let config = config(&[("a.b", "maybe")]);
        let message = config.bool("a.b").expect_err("no bool").to_string();
        assert!(
            message.contains("a.b") && message.contains("the environment") && message.contains("'maybe'"),
            "{message}"
        );
        assert!(config.int("a.b").is_err());
        assert_eq!(config.int("a.c").expect("absent"), None);
    }

    #[test]
    fn headers_add_up_from_general_to_special_and_an_empty_one_discards() {
        let special = "http.https://h.example.extraheader";
        let url = "https://h.example/r.git";
        let both = config(&[("http.extraheader", "A: 1"), (special, "B: 2")]);
        assert_eq!(both.url_match_all("http", "extraHeader", url), ["A: 1", "B: 2"]);
        let special_first = config(&[(special, "B: 2"), ("http.extraheader", "A: 1")]);
        assert_eq!(special_first.url_match_all("http", "extraHeader", url), ["B: 2"]);
        let discarded = config(&[("http.extraheader", "A: 1"), (special, "")]);
        assert!(discarded.url_match_all("http", "extraHeader", url).is_empty());
    }

    #[test]
    fn debug_output_holds_no_value() {
        let config = config(&[
            ("http.extraheader", "Authorization: hunter2"),
            ("url.https://u:hunter2@h/.insteadof", "x"),
        ]);
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
