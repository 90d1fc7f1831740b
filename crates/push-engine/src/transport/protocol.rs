//! The protocols that the user's settings allow: `protocol.allow` and `protocol.<name>.allow` in `git-config(1)`,
//! `GIT_ALLOW_PROTOCOL` and `GIT_PROTOCOL_FROM_USER` in `git(1)`.
//!
//! Redirects from one protocol to another are left to the HTTP transport.

use git_local::config::{Config, Environment};
use git_local::url::RemoteUrl;

use crate::failure::{Failure, Kind};

/// Refuses a remote that git would refuse.
///
/// # Errors
///
/// The settings do not allow the protocol, or git could not read them.
pub(super) fn check(url: &RemoteUrl, config: &Config, environment: &Environment) -> Result<(), Failure> {
    let name = name_of(url);
    if let Some(list) = environment.get_os("GIT_ALLOW_PROTOCOL") {
        let list = list.to_string_lossy();
        return if list.split(':').any(|allowed| allowed == name) {
            Ok(())
        } else {
            Err(refused(name, "it is not in the list of GIT_ALLOW_PROTOCOL"))
        };
    }
    let specific = config.entry(&format!("protocol.{name}.allow"));
    let entry = specific.or_else(|| config.entry("protocol.allow"));
    let policy = match entry {
        Some(entry) => entry.required()?.to_ascii_lowercase(),
        None => default_policy(name).to_owned(),
    };
    match (policy.as_str(), entry) {
        ("always", _) => Ok(()),
        ("user", _) if environment.bool("GIT_PROTOCOL_FROM_USER")?.unwrap_or(true) => Ok(()),
        ("user", _) => Err(refused(name, "GIT_PROTOCOL_FROM_USER is false")),
        ("never", Some(entry)) => {
            let setting = format!("{} in {} is 'never'", entry.key(), entry.origin());
            Err(refused(name, &setting))
        }
        (_, Some(entry)) => Err(Failure::new(
            Kind::Local,
            format!(
                "{} in {}: expected 'always', 'never' or 'user', got '{}'",
                entry.key(),
                entry.origin(),
                entry.required()?
            ),
        )),
        (_, None) => {
            let setting = format!("protocol.{name}.allow is not set to 'always'");
            Err(refused(name, &setting))
        }
    }
}

fn refused(name: &str, why: &str) -> Failure {
    let message = format!("git's settings do not allow the protocol '{name}': {why}");
    Failure::new(Kind::Local, message)
}

/// The name in the settings. A helper has its own.
fn name_of(url: &RemoteUrl) -> &str {
    match url {
        RemoteUrl::Local(_) | RemoteUrl::File(_) => "file",
        RemoteUrl::Ssh { .. } => "ssh",
        RemoteUrl::Git { .. } => "git",
        RemoteUrl::Http(url) => url.scheme(),
        RemoteUrl::Helper { name, .. } => name,
    }
}

fn default_policy(name: &str) -> &'static str {
    match name {
        "http" | "https" | "git" | "ssh" => "always",
        "ext" => "never",
        _ => "user",
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
    fn the_same_protocols_are_allowed_as_by_git() {
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
