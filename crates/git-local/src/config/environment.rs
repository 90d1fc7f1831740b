//! The environment variables, taken once: all code reads them from here, never from the process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::value::parse_bool;
use crate::LocalError;

/// A snapshot of environment variables. [`Environment::default`] is empty.
///
/// Reading the process's environment while JavaScript may change it is a race. `Debug` shows the names only, because
/// values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Shared by all clones.
    variables: Arc<BTreeMap<OsString, OsString>>,
}

impl Environment {
    /// Sets one variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        Arc::make_mut(&mut self.variables).insert(name.into(), value.into());
        self
    }

    /// The first file of this name in `PATH` that passes the check. Relative directories start at `root`.
    pub fn find_in_path(
        &self,
        name: impl AsRef<OsStr>,
        root: &Path,
        check: impl Fn(&Path) -> bool,
    ) -> Option<PathBuf> {
        std::env::split_paths(self.get_os("PATH").unwrap_or_default())
            .map(|directory| root.join(directory).join(name.as_ref()))
            .find(|file| check(file))
    }

    /// Removes one variable.
    #[must_use]
    pub fn without(mut self, name: impl AsRef<OsStr>) -> Self {
        Arc::make_mut(&mut self.variables).remove(name.as_ref());
        self
    }

    /// A variable as text. One that is not UTF-8 counts as unset; see [`Environment::get_os`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_os(name)?.to_str()
    }

    /// A variable as the system holds it, for paths.
    #[must_use]
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable as git's bool.
    ///
    /// # Errors
    ///
    /// git does not know the value as true or false.
    pub fn bool(&self, name: &str) -> Result<Option<bool>, LocalError> {
        let Some(value) = self.get_os(name).map(OsStr::to_string_lossy) else {
            return Ok(None);
        };
        match parse_bool(Some(&value)) {
            None => {
                let message = format!("{name} in the environment: expected true or false, got '{value}'");
                Err(LocalError::new(message))
            }
            bool => Ok(bool),
        }
    }

    /// Every variable, for a child process.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: Arc::new(variables.collect()),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(any(test, feature = "testing"))]
mod testing {
    use super::Environment;

    impl Environment {
        /// Gives git these settings, and none of the system's.
        #[must_use]
        pub fn with_settings(self, settings: &[(&str, &str)]) -> Self {
            let alone = self
                .with("GIT_CONFIG_NOSYSTEM", "1")
                .with("GIT_CONFIG_COUNT", settings.len().to_string());
            let numbered = settings.iter().enumerate();
            numbered.fold(alone, |environment, (index, (key, value))| {
                environment
                    .with(format!("GIT_CONFIG_KEY_{index}"), *key)
                    .with(format!("GIT_CONFIG_VALUE_{index}"), *value)
            })
        }

        /// Has these settings of git, and nothing else.
        #[must_use]
        pub fn of_settings(settings: &[(&str, &str)]) -> Self {
            Self::default().with_settings(settings)
        }
    }
}
