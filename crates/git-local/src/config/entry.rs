//! One assignment of git's configuration, and where it stands.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::value::{parse_bool, parse_int};
use crate::{LocalError, redact};

/// The places that git reads, in its order; `git config --show-scope` shows these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::System => "system",
            Self::Global => "global",
            Self::Local => "local",
            Self::Worktree => "worktree",
            Self::Command => "command",
        })
    }
}

/// One assignment. `Debug` omits the value: a header or a URL may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) scope: Scope,
    pub(super) line: Option<(Arc<Path>, usize)>,
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

    /// The place where it was read.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// The file, unless the entry came from the environment.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.line.as_ref().map(|(file, _)| &**file)
    }

    /// The place for messages, with file and line.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.line {
            Some((file, line)) => format!("line {line} of {}", file.display()),
            None => "the environment (GIT_CONFIG_COUNT or git -c)".to_owned(),
        }
    }

    /// The part before the first dot of the key, in lower case.
    #[must_use]
    pub fn section(&self) -> &str {
        split_key(&self.key).0
    }

    /// The part between the first and the last dot of the key, if it has more than one.
    #[must_use]
    pub fn subsection(&self) -> Option<&str> {
        split_key(&self.key).1
    }

    /// The part behind the last dot of the key, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        split_key(&self.key).2
    }

    pub(super) fn is_in(&self, section: &str, name: &str) -> bool {
        self.section() == section && self.name() == name
    }

    /// The value as git's bool.
    ///
    /// # Errors
    ///
    /// git does not know the value as true or false.
    pub fn bool(&self) -> Result<bool, LocalError> {
        parse_bool(self.value())
            .ok_or_else(|| self.bad("expected true or false, got", self.value().unwrap_or_default()))
    }

    /// The value as an integer.
    ///
    /// # Errors
    ///
    /// There is no value, or it is no number that fits.
    pub fn int(&self) -> Result<i64, LocalError> {
        let value = self.required()?;
        parse_int(value).ok_or_else(|| self.bad("expected a number, optionally with k, m or g, got", value))
    }

    /// The value, for keys that need one.
    ///
    /// # Errors
    ///
    /// The key has no `=`.
    pub fn required(&self) -> Result<&str, LocalError> {
        self.value().ok_or_else(|| {
            let message = format!("{} in {} needs a value", self.key, self.origin());
            LocalError::new(message)
        })
    }

    pub(super) fn bad(&self, problem: &str, value: &str) -> LocalError {
        let message = format!("{} in {}: {problem} '{value}'", self.key, self.origin());
        LocalError::new(message)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("key", &redact(&self.key))
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}

/// Section, subsection and name of a whole key.
pub(super) fn split_key(key: &str) -> (&str, Option<&str>, &str) {
    match (key.find('.'), key.rfind('.')) {
        (Some(first), Some(last)) if first < last => {
            (&key[..first], Some(&key[first + 1..last]), &key[last + 1..])
        }
        (Some(only), _) => (&key[..only], None, &key[only + 1..]),
        _ => ("", None, key),
    }
}

/// The form in which keys are stored: section and name in lower case, the subsection as it is.
pub(super) fn canonical_key(key: &str) -> Cow<'_, str> {
    let (section, subsection, name) = split_key(key);
    let mut parts = section.bytes().chain(name.bytes());
    if !parts.any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    let (section, name) = (section.to_ascii_lowercase(), name.to_ascii_lowercase());
    Cow::Owned(match subsection {
        Some(subsection) => format!("{section}.{subsection}.{name}"),
        None => format!("{section}.{name}"),
    })
}
