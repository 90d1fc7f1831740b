//! Which ways of connecting the user's settings allow: `protocol.allow` and `protocol.<name>.allow` in
//! `git-config(1)`, `GIT_ALLOW_PROTOCOL` and `GIT_PROTOCOL_FROM_USER` in `git(1)`.
//!
//! It only answers yes or no: nothing is connected here. Redirects from one protocol to another are the HTTP
//! transport's business.

use crate::config::{Config, Entry, Environment};
use crate::failure::{Failure, Kind};
use crate::url::RemoteUrl;

/// Refuses a remote that git would refuse.
///
/// # Errors
///
/// The settings do not allow it, or git could not read them.
pub(super) fn check(url: &RemoteUrl, config: &Config, environment: &Environment) -> Result<(), Failure> {
    let name = name_of(url);
    if let Some(list) = environment.get_os("GIT_ALLOW_PROTOCOL") {
        let list = list.to_string_lossy();
        if list.split(':').any(|allowed| allowed == name) {
            return Ok(());
        }
        return Err(refused(name, "it is not in the list of GIT_ALLOW_PROTOCOL"));
    }
    let specific = config.entry(&format!("protocol.{name}.allow"));
    let (policy, set_by) = match specific.or_else(|| config.entry("protocol.allow")) {
        Some(entry) => (Policy::read(entry)?, Some(entry)),
        None => (Policy::default_for(name), None),
    };
    let is_allowed = match policy {
        Policy::Always => true,
        Policy::Never => false,
        Policy::FromUser => environment.bool("GIT_PROTOCOL_FROM_USER")?.unwrap_or(true),
    };
    if is_allowed {
        return Ok(());
    }
    let setting = match (set_by, policy) {
        (_, Policy::FromUser) => "GIT_PROTOCOL_FROM_USER is false".to_owned(),
        (Some(entry), _) => format!("{} in {} is 'never'", entry.key(), entry.origin()),
        (None, _) => format!("protocol.{name}.allow is not set to 'always'"),
    };
    Err(refused(name, &setting))
}

fn refused(name: &str, why: &str) -> Failure {
    let message = format!("git's settings do not allow the protocol '{name}': {why}");
    Failure::new(Kind::Local, message)
}

/// The name by which the settings know it. A helper is known by its own.
fn name_of(url: &RemoteUrl) -> &str {
    match url {
        RemoteUrl::Local(_) | RemoteUrl::File(_) => "file",
        RemoteUrl::Ssh { .. } => "ssh",
        RemoteUrl::Git { .. } => "git",
        RemoteUrl::Http(url) => url.scheme(),
        RemoteUrl::Helper { name, .. } => name,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    Never,
    /// Unless a program says that it acts without the user.
    FromUser,
}

impl Policy {
    fn read(entry: &Entry) -> Result<Self, Failure> {
        let value = entry.required()?;
        [
            ("always", Self::Always),
            ("never", Self::Never),
            ("user", Self::FromUser),
        ]
        .into_iter()
        .find(|(word, _)| value.eq_ignore_ascii_case(word))
        .map(|(_, policy)| policy)
        .ok_or_else(|| {
            let (key, origin) = (entry.key(), entry.origin());
            let expected = "expected 'always', 'never' or 'user', got";
            Failure::new(Kind::Local, format!("{key} in {origin}: {expected} '{value}'"))
        })
    }

    fn default_for(name: &str) -> Self {
        match name {
            "http" | "https" | "git" | "ssh" => Self::Always,
            "ext" => Self::Never,
            _ => Self::FromUser,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn checked(url: &str, settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<(), Failure> {
        let mut environment = Environment::of_settings(settings);
        for &(name, value) in variables {
            environment = environment.with(name, value);
        }
        let nowhere = Path::new("/nonexistent");
        let config = Config::load(&environment, nowhere, nowhere).expect("well-formed");
        let url = RemoteUrl::parse(url).expect("well-formed");
        check(&url, &config, &environment)
    }

    #[test]
    fn git_allows_the_same() {
        let from_program = ("GIT_PROTOCOL_FROM_USER", "no");
        for (url, settings, variables, is_allowed) in [
            ("h:r", &[][..], &[][..], true),
            ("git+ssh://h/r", &[("protocol.ssh.allow", "never")], &[], false),
            ("h:r", &[("protocol.allow", "never")], &[], false),
            (
                "h:r",
                &[("protocol.allow", "never"), ("protocol.ssh.allow", "Always")],
                &[],
                true,
            ),
            ("/r", &[], &[], true),
            ("/r", &[], &[from_program], false),
            (
                "file:///r",
                &[("protocol.file.allow", "always")],
                &[from_program],
                true,
            ),
            ("h:r", &[], &[from_program], true),
            ("h:r", &[("protocol.ssh.allow", "user")], &[from_program], false),
            ("ext::x", &[], &[], false),
            ("other::x", &[], &[], true),
            ("https://h/r", &[("protocol.http.allow", "never")], &[], true),
            ("h:r", &[], &[("GIT_ALLOW_PROTOCOL", "https:ssh")], true),
            ("git://h/r", &[], &[("GIT_ALLOW_PROTOCOL", "https:ssh")], false),
            ("h:r", &[], &[("GIT_ALLOW_PROTOCOL", "")], false),
            (
                "h:r",
                &[("protocol.ssh.allow", "never")],
                &[("GIT_ALLOW_PROTOCOL", "ssh")],
                true,
            ),
        ] {
            let checked = checked(url, settings, variables);
            assert_eq!(checked.is_ok(), is_allowed, "{url} {settings:?} {variables:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_setting() {
        let never = [("protocol.ssh.allow", "never")];
        let failure = checked("h:r", &never, &[]).expect_err("refused");
        assert!(failure.message().contains("protocol.ssh.allow in "), "{failure}");
        let failure = checked("h:r", &[("protocol.allow", "perhaps")], &[]).expect_err("no such policy");
        assert!(failure.message().contains("'perhaps'"), "{failure}");
    }
}
