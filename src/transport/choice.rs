//! Which transport a remote gets, and why.
//!
//! The native one is taken wherever it does what `git push <remote> <commit>:<branch>` would do. What it
//! cannot do is never left out in silence: `'auto'` gives it to the git command, and `'native'` fails.
//!
//! No reason for the git command are settings that would only make git push more than one branch
//! (`push.followTags`, `push.recurseSubmodules`), that only apply to pushes without a refspec (`push.default`,
//! `remote.<name>.push`), or that forbid them (`remote.<name>.mirror`): neither transport heeds them. Nor
//! are `filter.lfs` settings, since it is git-lfs's pre-push hook that uploads.

use std::path::{Path, PathBuf};

use super::program::is_executable;
use super::{Source, lacks_proxy_password, unsupported_settings};
use crate::config::{Config, Environment};
use crate::failure::{Failure, Kind};
use crate::options::TransportChoice;
use crate::url::{HttpUrl, Remote, RemoteUrl};

/// Who speaks to the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChoiceKind {
    /// This crate.
    Native,
    /// The git command.
    Git,
}

/// A choice with its reason, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Who speaks to the remote.
    pub kind: ChoiceKind,
    /// Why; part of a sentence, without secrets.
    pub reason: String,
}

impl Choice {
    /// Chooses for one attempt. It costs one look at the file system, for the hook.
    ///
    /// # Errors
    ///
    /// Only the native transport is wanted, and it cannot do what git would; or a setting cannot be read.
    pub fn make(
        wanted: TransportChoice,
        remote: &Remote,
        source: &Source<'_>,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        if wanted == TransportChoice::GitCli {
            return Ok(Self {
                kind: ChoiceKind::Git,
                reason: "the option transport is 'git-cli'".to_owned(),
            });
        }
        match (wanted, need_of_git(remote, source, environment)?) {
            (TransportChoice::Native, Some(need)) => Err(Failure::new(
                Kind::Local,
                format!(
                    "the native transport cannot do what git push would do here: {need}; use the option transport: 'auto' or 'git-cli'"
                ),
            )
            .with_hint("The native transport cannot push here as git push would: set the option transport to 'auto' or 'git-cli', or take away what the message names.")),
            (_, Some(reason)) => Ok(Self {
                kind: ChoiceKind::Git,
                reason,
            }),
            (_, None) => Ok(Self {
                kind: ChoiceKind::Native,
                reason: "nothing here needs the git command".to_owned(),
            }),
        }
    }
}

/// What only the git command can do here, if there is anything.
fn need_of_git(
    remote: &Remote,
    source: &Source<'_>,
    environment: &Environment,
) -> Result<Option<String>, Failure> {
    let config = source.config;
    let need = match &remote.parsed {
        RemoteUrl::Helper { name, .. } => Some(format!(
            "the remote is reached by the remote helper git-remote-{name}"
        )),
        RemoteUrl::Git { .. } => need_of_git_proxy(config, environment),
        RemoteUrl::Http(url) => need_of_http(url, remote, config, environment),
        RemoteUrl::Local(_) | RemoteUrl::File(_) | RemoteUrl::Ssh { .. } => None,
    };
    if need.is_some() {
        return Ok(need);
    }
    if !remote.further_urls.is_empty() {
        let count = remote.further_urls.len() + 1;
        return Ok(Some(format!(
            "the remote has {count} URLs to push to, and git pushes to all of them"
        )));
    }
    if let Some(hook) = pre_push_hook(source)? {
        return Ok(Some(format!(
            "there is a pre-push hook to run, {}",
            hook.display()
        )));
    }
    if let Some(entry) = config.entry("push.gpgSign") {
        // Besides false and true there is `if-asked`; git is to judge anything else.
        if !matches!(entry.bool(), Ok(false)) {
            return Ok(Some("push.gpgSign asks for signed pushes".to_owned()));
        }
    }
    if !config.get_all("push.pushOption").is_empty() {
        return Ok(Some("push.pushOption is set".to_owned()));
    }
    if is_partial(config)? {
        return Ok(Some(
            "this is a partial clone, and what it lacks only git fetches when it is needed".to_owned(),
        ));
    }
    Ok(None)
}

/// Whether objects may be missing here that another repository has promised.
fn is_partial(config: &Config) -> Result<bool, Failure> {
    if config.entry("extensions.partialClone").is_some() {
        return Ok(true);
    }
    for entry in config.entries() {
        if entry.section() == "remote"
            && entry.subsection().is_some()
            && entry.name() == "promisor"
            && entry.bool()?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn need_of_git_proxy(config: &Config, environment: &Environment) -> Option<String> {
    if environment
        .get_os("GIT_PROXY_COMMAND")
        .is_some_and(|command| !command.is_empty())
    {
        return Some("GIT_PROXY_COMMAND is set".to_owned());
    }
    // Whether its `for` part fits the host is for git to judge.
    config
        .entry("core.gitProxy")
        .map(|_| "core.gitProxy is set".to_owned())
}

fn need_of_http(
    url: &HttpUrl,
    remote: &Remote,
    config: &Config,
    environment: &Environment,
) -> Option<String> {
    let forbids_credentials = config
        .get("transfer.credentialsInUrl")
        .is_some_and(|value| value.eq_ignore_ascii_case("die"));
    if url.password.is_some() && forbids_credentials {
        return Some(
            "transfer.credentialsInUrl is 'die', and there is a password in the URL: that is for git to judge"
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
            "the proxy has a user without a password, for which only git asks its credential helpers"
                .to_owned(),
        );
    }
    unsupported_settings(config, environment, &remote.url)
        .first()
        .map(|name| format!("{name} is set, which only git's own HTTP client knows"))
}

/// The file in which curl, and so git, looks for passwords.
fn netrc(environment: &Environment) -> Option<PathBuf> {
    let home = environment.get_os("HOME").filter(|home| !home.is_empty())?;
    let name = if cfg!(windows) { "_netrc" } else { ".netrc" };
    Some(Path::new(home).join(name)).filter(|file| file.is_file())
}

/// The pre-push hook that git would run: in `core.hooksPath`, which is relative to where hooks run, or in
/// the `hooks` directory that all worktrees share. git ignores one that is not executable.
pub(super) fn pre_push_hook(source: &Source<'_>) -> Result<Option<PathBuf>, Failure> {
    let directory = match source.config.path("core.hooksPath")? {
        Some(directory) => source.root.join(directory),
        None => source.common_dir.join("hooks"),
    };
    let hook = directory.join("pre-push");
    Ok(is_executable(&hook).then_some(hook))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A bare repository's directory, as far as a choice looks at it.
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

        fn choose(&self, wanted: TransportChoice, given: &str) -> Result<Choice, Failure> {
            let here = self.directory.path();
            let config = Config::load(&self.environment, here, here).expect("well-formed");
            let remote = Remote::resolve(&config, given, here).expect("a remote");
            let source = Source {
                root: here,
                git_dir: here,
                common_dir: here,
                refname: "refs/heads/main",
                config: &config,
            };
            Choice::make(wanted, &remote, &source, &self.environment)
        }

        /// Checks that git is needed, with these words in the reason, or that it is not.
        fn check(&self, given: &str, words: Option<&str>) {
            let choice = self.choose(TransportChoice::Auto, given).expect("chosen");
            match words {
                None => assert_eq!(choice.kind, ChoiceKind::Native, "{given}: {choice:?}"),
                Some(words) => {
                    assert_eq!(choice.kind, ChoiceKind::Git, "{given} should need {words}");
                    assert!(choice.reason.contains(words), "{choice:?} should name {words}");
                    assert!(!choice.reason.contains("hunter2"), "{choice:?}");
                    let failure = self
                        .choose(TransportChoice::Native, given)
                        .expect_err("native cannot");
                    assert!(failure.message().contains(words), "{failure}");
                    assert!(failure.hint().contains("'auto' or 'git-cli'"), "{failure}");
                }
            }
            let forced = self.choose(TransportChoice::GitCli, given).expect("chosen");
            assert_eq!(forced.kind, ChoiceKind::Git);
        }
    }

    const HTTPS: &str = "https://h.example/r.git";

    #[test]
    fn the_git_command_is_taken_only_where_it_does_more() {
        let origin = ("remote.origin.url", HTTPS);
        for (fixture, given, words) in [
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
            fixture.check(given, words);
        }
    }

    #[test]
    fn settings_of_the_way_to_the_remote_count_where_they_apply() {
        for (fixture, given, words) in [
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
            fixture.check(given, words);
        }
    }

    #[test]
    fn settings_that_would_push_more_or_else_than_the_branch_do_not_count() {
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
    fn a_file_of_passwords_that_only_curl_reads_is_found_in_the_home() {
        let home = tempfile::tempdir().expect("a directory");
        let environment = Environment::default().with("HOME", home.path());
        assert_eq!(netrc(&environment), None);
        let file = home.path().join(".netrc");
        std::fs::write(&file, "machine h login u password p\n").expect("writable");
        assert_eq!(netrc(&environment), Some(file));
        assert_eq!(netrc(&Environment::default()), None);
    }
}
