//! Why `git credential` returned no credential, as part of a sentence.

use std::io;

use git_local::redact;

use super::git::NO_PROMPT;
use super::table::contains_any;

const NO_SOURCE: &str = "no credential helper or askpass program provides credentials: put a token into the URL, or set credential.helper, http.extraHeader or GIT_ASKPASS";

/// The reason if git could not be started. `is_configured` tells whether a helper or an askpass program is configured.
pub(crate) fn without_git_credential(error: &io::Error, is_configured: bool) -> String {
    if !is_configured {
        NO_SOURCE.to_owned()
    } else if error.kind() == io::ErrorKind::NotFound {
        "credential helpers need git, which is not in PATH: install git, or put a token into the URL or http.extraHeader".to_owned()
    } else {
        format!("git credential could not be started: {error}")
    }
}

/// The reason if git ended without a credential, by its standard error.
pub(crate) fn without_credential(stderr: &str, is_configured: bool) -> String {
    const RETURNED_NONE: &str = "the credential helpers and the askpass program returned no credentials";
    let stderr = redact(stderr);
    let is_without_source = stderr.is_empty() || contains_any(&stderr, &[NO_PROMPT]);
    if !is_configured && is_without_source {
        NO_SOURCE.to_owned()
    } else if stderr.is_empty() {
        format!("{RETURNED_NONE} and no error message")
    } else {
        format!("{RETURNED_NONE} ({stderr})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_message_of_a_configured_program_is_quoted() {
        let disabled = "fatal: could not read Username for 'https://h': terminal prompts disabled";
        for (stderr, is_configured, expected) in [
            ("", false, "credential.helper"),
            (disabled, false, "credential.helper"),
            ("error: bad config", false, "(error: bad config)"),
            ("", true, "and no error message"),
            (disabled, true, "terminal prompts disabled)"),
        ] {
            let reason = without_credential(stderr, is_configured);
            assert!(reason.contains(expected), "{stderr}: {reason}");
        }
    }
}
