//! Whether a remote needs the git CLI, and why.
//!
//! A native transport is used wherever it does what `git push <remote> <commit>:<branch>` would do. Anything that it cannot
//! do is never skipped silently: the option `'auto'` leaves it to the git CLI, and `'native'` fails.
//!
//! These settings do not require the git CLI, as neither kind of transport heeds them: those that push more than one branch
//! (`push.followTags`, `push.recurseSubmodules`), those for pushes without a refspec (`push.default`,
//! `remote.<name>.push`), and `remote.<name>.mirror`, which forbids a refspec. Nor do `filter.lfs` settings: git-lfs uploads
//! in its pre-push hook. A partial clone needs the git CLI only for a push of objects that it lacks: `attempt` finds out.

use std::path::{Path, PathBuf};

use git_local::config::{Config, Environment};
use git_local::url::{HttpUrl, Remote, RemoteUrl};

use super::program::is_executable;
use super::{LocalRepository, lacks_proxy_password, unsupported_settings};
use crate::failure::{Failure, Kind};
use crate::options::TransportChoice;

/// The reason to use the git CLI for one attempt, as part of a sentence and without secrets; `None` for a native transport.
/// Apart from the given configuration, it reads the file system for the hook and for curl's file of passwords.
///
/// # Errors
///
/// The native transport is required and cannot do what git would, or a setting cannot be read.
pub(super) fn reason_for_git_cli(
    choice: TransportChoice,
    remote: &Remote,
    repository: &LocalRepository<'_>,
    environment: &Environment,
) -> Result<Option<String>, Failure> {
    if choice == TransportChoice::GitCli {
        return Ok(Some("the option transport is 'git-cli'".to_owned()));
    }
    let need = match need_of_remote(remote, repository.config, environment) {
        Some(need) => Some(need),
        None => need_of_repository(repository)?,
    };
    need.map(|need| permitted(choice, need)).transpose()
}

/// The same need, unless the native transport is required.
///
/// # Errors
///
/// The native transport is required.
pub(crate) fn permitted(choice: TransportChoice, need: String) -> Result<String, Failure> {
    if choice != TransportChoice::Native {
        return Ok(need);
    }
    Err(Failure::new(
        Kind::Local,
        format!(
            "the native transport does not support this: {need}; set the option transport to 'auto' or 'git-cli'"
        ),
    )
    .with_hint("The native transport does not support this remote or its settings: set the option transport to 'auto' or 'git-cli', or remove the cause that the message names."))
}

/// The need that follows from the remote and its settings.
fn need_of_remote(remote: &Remote, config: &Config, environment: &Environment) -> Option<String> {
    let need = match &remote.parsed {
        RemoteUrl::Helper { name, .. } => Some(format!(
            "the remote is reached by the remote helper git-remote-{name}"
        )),
        RemoteUrl::Git { .. } => need_of_git_proxy(config, environment),
        RemoteUrl::Http(url) => need_of_http(url, remote, config, environment),
        RemoteUrl::Local(_) | RemoteUrl::File(_) | RemoteUrl::Ssh { .. } => None,
    };
    let has_several_urls = || {
        let count = remote.further_urls.len() + 1;
        format!("the remote has {count} URLs to push to, and git pushes to all of them")
    };
    need.or_else(|| (!remote.further_urls.is_empty()).then(has_several_urls))
}

/// The need that follows from the local repository, whatever the remote.
fn need_of_repository(repository: &LocalRepository<'_>) -> Result<Option<String>, Failure> {
    let config = repository.config;
    if let Some(hook) = pre_push_hook(repository)? {
        return Ok(Some(format!(
            "there is a pre-push hook to run, {}",
            hook.display()
        )));
    }
    // Besides false and true there is `if-asked`; any other value is left to git.
    let signs = config.entry("push.gpgSign");
    let need = if signs.is_some_and(|entry| !matches!(entry.bool(), Ok(false))) {
        "push.gpgSign asks for signed pushes"
    } else if !config.get_all("push.pushOption").is_empty() {
        "push.pushOption is set"
    } else {
        return Ok(None);
    };
    Ok(Some(need.to_owned()))
}

fn need_of_git_proxy(config: &Config, environment: &Environment) -> Option<String> {
    let command = environment.get_os("GIT_PROXY_COMMAND");
    if command.is_some_and(|command| !command.is_empty()) {
        return Some("GIT_PROXY_COMMAND is set".to_owned());
    }
    // git decides whether its `for` part matches the host.
    let setting = config.entry("core.gitProxy");
    setting.map(|_| "core.gitProxy is set".to_owned())
}

fn need_of_http(
    url: &HttpUrl,
    remote: &Remote,
    config: &Config,
    environment: &Environment,
) -> Option<String> {
    let credentials_in_url = config.get("transfer.credentialsInUrl");
    let forbids_password = credentials_in_url.is_some_and(|value| value.eq_ignore_ascii_case("die"));
    if url.password.is_some() && forbids_password {
        return Some(
            "there is a password in the URL, which git refuses because transfer.credentialsInUrl is 'die'"
                .to_owned(),
        );
    }
    if let Some(name) = &remote.name
        && config.entry(&format!("remote.{name}.proxyAuthMethod")).is_some()
    {
        return Some("remote.<name>.proxyAuthMethod is set".to_owned());
    }
    if url.password.is_none()
        && let Some(file) = netrc(environment)
    {
        return Some(format!(
            "there is a {}, which only git's own HTTP client reads",
            file.display()
        ));
    }
    if lacks_proxy_password(url, remote, config, environment) {
        return Some(
            "the proxy URL has a user without a password, and only git can ask credential helpers for it"
                .to_owned(),
        );
    }
    unsupported_settings(config, environment, &remote.url)
        .first()
        .map(|name| format!("{name} is set, which only git's own HTTP client supports"))
}

/// The file in which curl, and so git, looks for passwords.
fn netrc(environment: &Environment) -> Option<PathBuf> {
    let home = environment.get_os("HOME").filter(|home| !home.is_empty())?;
    let name = if cfg!(windows) { "_netrc" } else { ".netrc" };
    Some(Path::new(home).join(name)).filter(|file| file.is_file())
}

/// The pre-push hook that git would run: in `core.hooksPath`, which is relative to the directory where hooks run, or in the
/// `hooks` directory that all worktrees share. git ignores a hook that is not executable.
pub(super) fn pre_push_hook(repository: &LocalRepository<'_>) -> Result<Option<PathBuf>, Failure> {
    let directory = match repository.config.path("core.hooksPath")? {
        Some(directory) => repository.root.join(directory),
        None => repository.common_dir.join("hooks"),
    };
    let hook = directory.join("pre-push");
    Ok(is_executable(&hook).then_some(hook))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A bare repository's directory, with what matters here.
    struct Fixture {
        directory: tempfile::TempDir,
        environment: Environment,
    }

    impl Fixture {
        fn new(settings: &[(&str, &str)]) -> Self {
            let environment = Environment::of_settings(settings);
            Self {
                directory: tempfile::tempdir().expect("a temporary directory"),
                environment,
            }
        }

        fn with(mut self, name: &str, value: &str) -> Self {
            self.environment = self.environment.with(name, value);
            self
        }

        fn hook(self, path: &str, mode: u32) -> Self {
            let path = self.directory.path().join(path);
            fs::create_dir_all(path.parent().expect("not the root")).expect("made");
            fs::write(&path, "#!/bin/sh\n").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            self
        }

        fn choose(&self, wanted: TransportChoice, given: &str) -> Result<Option<String>, Failure> {
            let here = self.directory.path();
            let config = Config::load(&self.environment, here, here).expect("well-formed");
            let remote = Remote::resolve(&config, given, here).expect("a remote");
            let repository = LocalRepository {
                root: here,
                git_dir: here,
                common_dir: here,
                refname: "refs/heads/main",
                config: &config,
            };
            reason_for_git_cli(wanted, &remote, &repository, &self.environment)
        }

        /// Checks that the git CLI is needed, with this text in the reason, or that it is not.
        fn check(&self, given: &str, expected: Option<&str>) {
            let reason = self.choose(TransportChoice::Auto, given).expect("chosen");
            assert_eq!(reason.is_some(), expected.is_some(), "{given}: {reason:?}");
            if let (Some(reason), Some(expected)) = (reason, expected) {
                assert!(reason.contains(expected), "{reason} should name {expected}");
                assert!(!reason.contains("hunter2"), "{reason}");
                let failure = self
                    .choose(TransportChoice::Native, given)
                    .expect_err("native cannot");
                assert!(failure.message().contains(expected), "{failure}");
                assert!(failure.hint().contains("'auto' or 'git-cli'"), "{failure}");
            }
            let forced = self.choose(TransportChoice::GitCli, given).expect("chosen");
            assert!(forced.is_some());
        }
    }

    const HTTPS: &str = "https://h.example/r.git";

    #[test]
    fn the_git_cli_is_used_only_where_it_does_more() {
        let origin = ("remote.origin.url", HTTPS);
        for (fixture, given, expected) in [
            (Fixture::new(&[]), "/srv/r.git", None),
            (Fixture::new(&[origin]), "origin", None),
            (Fixture::new(&[]), "git@h.example:r.git", None),
            (Fixture::new(&[]), "x::y", Some("git-remote-x")),
            (Fixture::new(&[]), "s3://bucket/r", Some("git-remote-s3")),
            (
                Fixture::new(&[origin, ("remote.origin.vcs", "hg")]),
                "origin",
                Some("git-remote-hg"),
            ),
            (
                Fixture::new(&[
                    origin,
                    ("remote.origin.pushurl", "/a"),
                    ("remote.origin.pushurl", "/b"),
                ]),
                "origin",
                Some("2 URLs"),
            ),
            (
                Fixture::new(&[]).hook("hooks/pre-push", 0o755),
                "/srv/r.git",
                Some("pre-push hook"),
            ),
            (
                Fixture::new(&[]).hook("hooks/pre-push", 0o644),
                "/srv/r.git",
                None,
            ),
            (
                Fixture::new(&[]).hook("hooks/pre-push.sample", 0o755),
                "/srv/r.git",
                None,
            ),
            (
                Fixture::new(&[("core.hooksPath", "mine")]).hook("mine/pre-push", 0o755),
                "/srv/r.git",
                Some("mine/pre-push"),
            ),
            (
                Fixture::new(&[("core.hooksPath", "/dev/null")]).hook("hooks/pre-push", 0o755),
                "/srv/r.git",
                None,
            ),
            (
                Fixture::new(&[("push.gpgSign", "true")]),
                "/srv/r.git",
                Some("signed"),
            ),
            (
                Fixture::new(&[("push.gpgSign", "if-asked")]),
                "/srv/r.git",
                Some("signed"),
            ),
            (Fixture::new(&[("push.gpgSign", "false")]), "/srv/r.git", None),
            (
                Fixture::new(&[("push.pushOption", "ci.skip")]),
                "/srv/r.git",
                Some("pushOption"),
            ),
            (
                Fixture::new(&[("push.pushOption", "ci.skip"), ("push.pushOption", "")]),
                "/srv/r.git",
                None,
            ),
        ] {
            fixture.check(given, expected);
        }
    }

    #[test]
    fn settings_of_the_connection_count_where_they_apply() {
        for (fixture, given, expected) in [
            (
                Fixture::new(&[("core.gitProxy", "p for example.com")]),
                "git://h/r",
                Some("core.gitProxy"),
            ),
            (Fixture::new(&[("core.gitProxy", "p")]), "/srv/r.git", None),
            (
                Fixture::new(&[]).with("GIT_PROXY_COMMAND", "p"),
                "git://h/r",
                Some("GIT_PROXY_COMMAND"),
            ),
            (
                Fixture::new(&[("http.https://h.example.cookieFile", "c")]),
                HTTPS,
                Some("http.cookieFile"),
            ),
            (
                Fixture::new(&[("http.https://other.example.cookieFile", "c")]),
                HTTPS,
                None,
            ),
            (
                Fixture::new(&[("http.extraHeader", "A: b"), ("http.proxy", "p")]),
                HTTPS,
                None,
            ),
            (
                Fixture::new(&[("http.proxy", "http://somebody@proxy:8080")]),
                HTTPS,
                Some("user without a password"),
            ),
            (
                Fixture::new(&[]).with("https_proxy", "somebody@proxy:8080"),
                HTTPS,
                Some("user without a password"),
            ),
            (
                Fixture::new(&[("http.proxy", "http://somebody:hunter2@proxy:8080")]),
                HTTPS,
                None,
            ),
            (
                Fixture::new(&[]).with("GIT_SSL_VERSION", "tlsv1.2"),
                HTTPS,
                Some("GIT_SSL_VERSION"),
            ),
            (
                Fixture::new(&[("transfer.credentialsInUrl", "die")]),
                "https://u:hunter2@h.example/r",
                Some("password in the URL"),
            ),
            (Fixture::new(&[("transfer.credentialsInUrl", "die")]), HTTPS, None),
        ] {
            fixture.check(given, expected);
        }
    }

    #[test]
    fn settings_that_would_push_more_than_the_branch_do_not_count() {
        let fixture = Fixture::new(&[
            ("remote.origin.url", HTTPS),
            ("remote.origin.mirror", "true"),
            ("remote.origin.push", "+refs/heads/*"),
            ("push.followTags", "true"),
            ("push.default", "nothing"),
            ("push.recurseSubmodules", "on-demand"),
            ("filter.lfs.process", "git-lfs filter-process"),
        ]);
        fixture.check("origin", None);
    }

    #[test]
    fn the_file_of_passwords_that_only_curl_reads_is_found_in_the_home() {
        let home = tempfile::tempdir().expect("a directory");
        let environment = Environment::default().with("HOME", home.path());
        assert_eq!(netrc(&environment), None);
        let file = home.path().join(".netrc");
        std::fs::write(&file, "machine h login u password p\n").expect("writable");
        assert_eq!(netrc(&environment), Some(file));
        assert_eq!(netrc(&Environment::default()), None);
    }
}
