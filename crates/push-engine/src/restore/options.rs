//! The options of a restore, checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::options::{Fields, InvalidOption, Raw, invalid, none_if_zero};

/// The option names. `signal` and `onProgress` are for the JavaScript side.
const NAMES: [&str; 7] = [
    "repoPath",
    "url",
    "branch",
    "connectTimeoutMs",
    "idleTimeoutMs",
    "signal",
    "onProgress",
];

/// Checked options.
#[derive(Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Where the repository is to be.
    pub repo_path: PathBuf,
    /// The remote's URL or path. May hold secrets.
    pub url: String,
    /// The full name of the branch (`refs/heads/...`); `None` is the branch of HEAD.
    pub branch: Option<String>,
    /// From connecting until the remote sends something; `None` is no limit.
    pub connect: Option<Duration>,
    /// The longest silence; `None` is no limit.
    pub idle: Option<Duration>,
}

impl std::fmt::Debug for RestoreOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RestoreOptions")
            .field("repo_path", &self.repo_path)
            .field("url", &git_local::redact_url(&self.url))
            .field("branch", &self.branch)
            .finish_non_exhaustive()
    }
}

impl RestoreOptions {
    /// Checks every option. `default_repo_path` is `$CFP_DATA_REPO_PATH`, `is_valid_branch` git's own rule for a full ref
    /// name, and `is_valid_url` its rule for a URL or path.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot be used.
    pub fn from_raw(
        raw: &Raw,
        default_repo_path: Option<PathBuf>,
        is_valid_branch: impl Fn(&str) -> bool,
        is_valid_url: impl Fn(&str) -> bool,
    ) -> Result<Self, InvalidOption> {
        const URL: &str = "the URL or path of the remote, as `git clone` takes it";
        const PATH: &str = "the path where the repository is to be";
        const EXAMPLE: &str = "{ repoPath: '/data/data.git', url: 'git@git.example.com:team/data.git' }";
        let options = Fields::of(raw, &NAMES, "restoreRepository", EXAMPLE)?;
        let missing = |name, expected| invalid(name, &Raw::Undefined, expected);
        let url = options.string("url", URL)?.ok_or_else(|| missing("url", URL))?;
        if !is_valid_url(&url) {
            return Err(invalid("url", &Raw::String(url), URL));
        }
        Ok(Self {
            repo_path: options
                .string("repoPath", PATH)?
                .map(PathBuf::from)
                .or(default_repo_path)
                .ok_or_else(|| missing("repoPath", PATH))?,
            url,
            branch: options.branch(is_valid_branch)?,
            connect: none_if_zero(options.milliseconds("connectTimeoutMs", 15_000)?),
            idle: none_if_zero(options.milliseconds("idleTimeoutMs", 60_000)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_and_a_path_are_enough_and_no_secret_is_shown() {
        let text = |value: &str| Raw::String(value.to_owned());
        let given = Raw::Object(vec![
            ("repoPath".to_owned(), text("data.git")),
            ("url".to_owned(), text("https://me:hunter2@h.example/d")),
        ]);
        let options = RestoreOptions::from_raw(&given, None, |_| true, |_| true).expect("valid");
        assert_eq!(options.repo_path, PathBuf::from("data.git"));
        assert_eq!(options.branch, None);
        assert_eq!(options.connect, Some(Duration::from_secs(15)));
        assert_eq!(options.idle, Some(Duration::from_secs(60)));
        assert!(!format!("{options:?}").contains("hunter2"));

        let refused = RestoreOptions::from_raw(&given, None, |_| true, |_| false);
        let message = refused.expect_err("no URL").to_string();
        assert!(
            message.contains("option 'url'") && !message.contains("hunter2"),
            "{message}"
        );
    }
}
