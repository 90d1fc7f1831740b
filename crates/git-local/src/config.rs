//! git's configuration as git itself sees it: every place that it reads, in git's order, with includes.
//!
//! The source is `git-config(1)` of git 2.47: FILES, ENVIRONMENT, Includes, Conditional includes. Reading it here gives the
//! daemon the same answers as the `git` on the machine, `GIT_CONFIG_COUNT` and `git -c` included. This module does not
//! write configuration, run `git`, or know what any key means.

mod condition;
mod entry;
mod environment;
mod expansion;
mod load;
mod parameters;
mod syntax;
mod url_match;
mod value;
mod wildmatch;

use std::fmt;
use std::path::{Path, PathBuf};

use condition::Directories;
use entry::canonical_key;
use expansion::Expansion;

pub use entry::{Entry, Scope};
pub use environment::Environment;

use crate::LocalError;

/// Every entry that applies to a repository, in the order in which git reads them: later ones win.
#[derive(Clone, Default)]
pub struct Config {
    entries: Vec<Entry>,
    expansion: Expansion,
}

impl Config {
    /// Reads the configuration of a repository. `git_dir` differs from `common_dir` only in a linked worktree.
    ///
    /// The system file is `GIT_CONFIG_SYSTEM`, else `etc/gitconfig` under the prefix of the first `git` in
    /// `PATH`, as git's Makefile sets it (`/etc/gitconfig` for the prefix `/usr`, or without a `git`). A git built
    /// with another `sysconfdir` needs `GIT_CONFIG_SYSTEM`: only git itself knows how it was built.
    ///
    /// # Errors
    ///
    /// git would refuse a file: malformed, unreadable, or including itself. The message names file and line. A
    /// missing file is no error.
    pub fn load(env: &Environment, common_dir: &Path, git_dir: &Path) -> Result<Self, LocalError> {
        Self::read(env, Some(Directories { common_dir, git_dir }))
    }

    /// Reads what git reads before it trusts a repository: the system's files, the user's and the environment, which a
    /// repository cannot change. Conditions on a repository do not hold.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_protected(env: &Environment) -> Result<Self, LocalError> {
        Self::read(env, None)
    }

    fn read(env: &Environment, repository: Option<Directories<'_>>) -> Result<Self, LocalError> {
        let expansion = Expansion::new(env);
        let entries = load::load(env, &expansion, repository)?;
        Ok(Self { entries, expansion })
    }

    /// Reads the `config` of a repository or a worktree alone, without its includes: it has the format of the repository.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_file(path: &Path) -> Result<Self, LocalError> {
        Ok(Self {
            entries: load::load_file(path)?,
            expansion: Expansion::default(),
        })
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

    /// Every entry of a name (in lower case) in a section and its subsections.
    pub fn entries_in<'a>(&'a self, section: &'a str, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.is_in(section, name))
    }

    /// The value of a key. A key without `=` has none; [`Config::entry`] distinguishes it from an absent one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entry(key)?.value()
    }

    /// The values of a list. An empty value discards those before it.
    #[must_use]
    pub fn get_all(&self, key: &str) -> Vec<&str> {
        list(self.entries_of(key))
    }

    /// A key as git's bool: true, yes, on, a number other than 0, or no `=` at all; false, no, off, 0, or empty.
    ///
    /// # Errors
    ///
    /// As [`Entry::bool`].
    pub fn bool(&self, key: &str) -> Result<Option<bool>, LocalError> {
        self.entry(key).map(Entry::bool).transpose()
    }

    /// A key as an integer, with git's suffixes k, m and g for the powers of 1024.
    ///
    /// # Errors
    ///
    /// As [`Entry::int`].
    pub fn int(&self, key: &str) -> Result<Option<i64>, LocalError> {
        self.entry(key).map(Entry::int).transpose()
    }

    /// A key as a path: `~/` and `~user/` are home directories, `%(prefix)/` is where git is installed.
    ///
    /// # Errors
    ///
    /// There is no value, or the home directory is unknown.
    pub fn path(&self, key: &str) -> Result<Option<PathBuf>, LocalError> {
        self.entry(key).map(|entry| self.path_of(entry)).transpose()
    }

    /// An entry's value as a path.
    ///
    /// # Errors
    ///
    /// As [`Config::path`].
    pub fn path_of(&self, entry: &Entry) -> Result<PathBuf, LocalError> {
        self.expansion.path_of(entry)
    }

    /// The names of a section's subsections, in order of their first appearance.
    #[must_use]
    pub fn subsections(&self, section: &str) -> Vec<&str> {
        let mut names = Vec::new();
        for entry in &self.entries {
            if let Some(name) = entry.subsection()
                && entry.section().eq_ignore_ascii_case(section)
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

    /// The values for `key` in `section` that git adds up for a URL, such as `http.extraHeader`: each that matches
    /// no worse than those before it. An empty value discards those before it.
    #[must_use]
    pub fn url_match_all(&self, section: &str, key: &str, url: &str) -> Vec<&str> {
        list(self.url_matches(section, key, url))
    }

    fn url_matches(&self, section: &str, key: &str, url: &str) -> Vec<&Entry> {
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        let entries = self.entries.iter().filter(|entry| entry.is_in(&section, &key));
        url_match::matching(entries, url)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.entries).finish()
    }
}

fn list<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a str> {
    let mut list = Vec::new();
    for value in entries.into_iter().filter_map(Entry::value) {
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
        Config::load_protected(&Environment::of_settings(pairs)).expect("well-formed")
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
