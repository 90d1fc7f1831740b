//! The command lines of the git CLI: their destinations, and the settings that they override.
//!
//! A named remote is pushed to by its name, so that hooks, remote helpers, credentials and proxies see the same as with
//! git. Any other URL stays off the command line, where everyone on the machine could read its password: git gets a
//! placeholder that the environment maps to the URL (`GIT_CONFIG_COUNT`, git 2.31 or later). As the whole placeholder is the
//! longest prefix that `insteadOf` can match, the URL is also not rewritten a second time.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use git_local::config::{Config, Environment};
use git_local::url::Remote;
use git_wire::oid::Oid;

use crate::transport::program;

/// Stands for a URL; not a likely name of a remote.
const PLACEHOLDER: &str = "git-push-daemon/destination";

/// Stands for a URL that `git clone` would show to everyone on the machine, and that it writes into the configuration of the
/// clone. With its colon it is no path.
const HIDDEN_URL: &str = "git-push-daemon:hidden-url";

/// Variables that give a repository other objects, or another boundary of a shallow clone, than those in its directory.
const OBJECT_VARIABLES: [&str; 4] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
];

/// Settings of a named remote that also apply when one of its push URLs is read.
const REMOTE_SETTINGS: [&str; 4] = ["vcs", "uploadpack", "proxy", "proxyauthmethod"];

/// Variables that could point git at another repository than the one in `GIT_DIR`.
const REPOSITORY_VARIABLES: [&str; 4] = ["GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE"];

/// Settings of a fetch whose objects are looked at once. It runs no hook and no maintenance, checks nothing that is not checked
/// out, needs little memory whatever the remote sends, and asks no alternate for its refs.
const FETCH_SETTINGS: [(&str, &str); 9] = [
    ("core.hooksPath", NO_FILE),
    ("core.alternateRefsPrefixes", "refs/none"),
    ("core.bigFileThreshold", "1m"),
    ("fetch.fsckObjects", "false"),
    // One pack, whose size shows how far the fetch has come.
    ("fetch.unpackLimit", "1"),
    ("fetch.writeCommitGraph", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("pack.threads", "1"),
];

/// A file that is empty or does not exist.
const NO_FILE: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// The destination of a command: an argument, and the settings that define it.
#[derive(Clone)]
pub(super) struct Destination {
    argument: String,
    settings: Vec<(String, String)>,
}

impl Destination {
    /// The destination of `git push`: all URLs of a named remote.
    pub(super) fn to_push(remote: &Remote, config: &Config) -> Self {
        match &remote.name {
            Some(name) => Self {
                argument: name.clone(),
                // A mirror cannot be pushed to with a refspec, and without one it would be forced.
                settings: vec![(format!("remote.{name}.mirror"), "false".to_owned())],
            },
            None if has_helper_setting(remote, config) => Self::verbatim(remote),
            None => Self::placeholder(&remote.url),
        }
    }

    /// The destinations of `git ls-remote`: each of the push URLs. `git ls-remote <name>` would read the URL for fetches, so
    /// the name is used only if that is known to be the same.
    pub(super) fn to_read(remote: &Remote, config: &Config) -> Vec<Self> {
        let urls = std::iter::once(&remote.url).chain(&remote.further_urls);
        let Some(name) = &remote.name else {
            return if has_helper_setting(remote, config) {
                vec![Self::verbatim(remote)]
            } else {
                urls.map(|url| Self::placeholder(url)).collect()
            };
        };
        let has_push_urls = config.entries_of(&format!("remote.{name}.pushurl")).count() > 0;
        let has_rewrites = config
            .entries()
            .iter()
            .any(|entry| entry.section() == "url" && entry.name() == "pushinsteadof");
        let copied: Vec<(String, String)> = REMOTE_SETTINGS
            .iter()
            .flat_map(|setting| config.entries_of(&format!("remote.{name}.{setting}")))
            .filter_map(|entry| {
                let key = format!("remote.{PLACEHOLDER}.{}", entry.name());
                Some((key, entry.value()?.to_owned()))
            })
            .collect();
        urls.enumerate()
            .map(|(index, url)| {
                if index == 0 && !has_push_urls && !has_rewrites {
                    return Self {
                        argument: name.clone(),
                        settings: Vec::new(),
                    };
                }
                let mut destination = Self::placeholder(url);
                destination
                    .settings
                    .push((format!("remote.{PLACEHOLDER}.url"), PLACEHOLDER.to_owned()));
                destination.settings.extend(copied.iter().cloned());
                destination
            })
            .collect()
    }

    /// The source of `git clone`. A `secret` URL, with `insteadOf` applied, stays off the command line.
    pub(super) fn to_clone(given: &str, secret: Option<&str>) -> Self {
        let (argument, settings) = match secret {
            None => (given, Vec::new()),
            Some(url) => {
                let mapping = (format!("url.{url}.insteadOf"), HIDDEN_URL.to_owned());
                (HIDDEN_URL, vec![mapping])
            }
        };
        Self {
            argument: argument.to_owned(),
            settings,
        }
    }

    /// What a clone has as the URL of its remote.
    pub(super) fn argument(&self) -> &str {
        &self.argument
    }

    fn placeholder(url: &str) -> Self {
        let mapping = |setting: &str| (format!("url.{url}.{setting}"), PLACEHOLDER.to_owned());
        Self {
            argument: PLACEHOLDER.to_owned(),
            settings: vec![mapping("insteadOf"), mapping("pushInsteadOf")],
        }
    }

    /// A remote with `vcs` and without a URL: git finds the helper only by the name.
    fn verbatim(remote: &Remote) -> Self {
        Self {
            argument: remote.url.clone(),
            settings: Vec::new(),
        }
    }
}

fn has_helper_setting(remote: &Remote, config: &Config) -> bool {
    config.entry(&format!("remote.{}.vcs", remote.url)).is_some()
}

/// The git CLI of an environment, in one repository.
#[derive(Debug, Clone)]
pub(super) struct GitCli {
    program: PathBuf,
    root: PathBuf,
    environment: Environment,
}

impl GitCli {
    /// Finds git in the environment's `PATH`; `None` if it is not there.
    pub(super) fn find(root: &Path, git_dir: &Path, environment: &Environment) -> Option<Self> {
        let program = program::find(OsStr::new("git"), root, environment).ok()?;
        let mut environment = REPOSITORY_VARIABLES
            .iter()
            .fold(
                program::with_english_messages(environment.clone()),
                Environment::without,
            )
            .with("GIT_DIR", git_dir)
            // What is a fast-forward, and what the remote lacks, follow from the true history: it knows no other.
            .with("GIT_NO_REPLACE_OBJECTS", "1")
            .with("GIT_GRAFT_FILE", NO_FILE)
            .with("GIT_TERMINAL_PROMPT", "0")
            // Its progress is a sign of life, as that of `git push` is.
            .with("GIT_LFS_FORCE_PROGRESS", "1")
            // A prompt of ssh would block forever in the background. A program may answer in its place.
            .with("SSH_ASKPASS_REQUIRE", "force");
        if environment.get_os("SSH_ASKPASS").is_none() {
            environment = environment.with("SSH_ASKPASS", "false");
        }
        Some(Self {
            program,
            root: root.to_owned(),
            environment,
        })
    }

    /// Finds git for commands that name the repository themselves, if there is one.
    pub(super) fn find_outside(root: &Path, environment: &Environment) -> Option<Self> {
        let mut git = Self::find(root, root, environment)?;
        git.environment = OBJECT_VARIABLES
            .iter()
            .fold(git.environment.without("GIT_DIR"), Environment::without);
        Some(git)
    }

    /// Makes a bare clone whose remote is `origin`, with all branches, and with remote-tracking refs besides. Objects that the
    /// source borrows from another repository are copied.
    /// Git's own template has nothing but samples, which take longer to write than a small clone.
    pub(super) fn clone_bare(&self, source: &Destination, into: &Path, has_template: bool) -> Command {
        let template = (!has_template).then_some("--template=");
        let mut command = self.command(&source.settings);
        command
            .args(["clone", "--bare", "--progress", "--dissociate", "--origin=origin"])
            .args(template)
            .args(["-c", "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*"])
            .args(["--", &source.argument])
            .arg(into);
        command
    }

    /// Lists the first refs of a repository, the branches before all others.
    pub(super) fn for_each_ref(&self, git_dir: &Path, count: usize) -> Command {
        let mut command = self.command(&[]);
        command.env("GIT_DIR", git_dir).args([
            "for-each-ref",
            &format!("--count={count}"),
            "--format=%(refname)",
        ]);
        command
    }

    /// Points `HEAD` of a repository to a branch.
    pub(super) fn set_head(&self, git_dir: &Path, refname: &str) -> Command {
        let mut command = self.command(&[]);
        command
            .env("GIT_DIR", git_dir)
            .args(["symbolic-ref", "HEAD", refname]);
        command
    }

    /// Lists the refs of a remote.
    pub(super) fn ls_remote(&self, destination: &Destination) -> Command {
        let mut command = self.command(&destination.settings);
        command.args(["ls-remote", "--refs", "--", &destination.argument]);
        command
    }

    /// Pushes one object to one ref; never with a force.
    pub(super) fn push(&self, destination: &Destination, oid: Oid, refname: &str) -> Command {
        let mut settings = destination.settings.clone();
        settings.push(("push.useForceIfIncludes".to_owned(), "false".to_owned()));
        let mut command = self.command(&settings);
        command.args([
            "push",
            "--porcelain",
            "--progress",
            "--no-force",
            "--no-follow-tags",
            "--recurse-submodules=no",
            "--",
            &destination.argument,
            &format!("{oid}:{refname}"),
        ]);
        command
    }

    /// Resolves a local ref.
    pub(super) fn rev_parse(&self, refname: &str) -> Command {
        let mut command = self.command(&[]);
        command.args(["rev-parse", "--verify", "--quiet", refname]);
        command
    }

    /// Makes a pack of what it is told on its standard input, as `git push` does. It fetches nothing that is missing, and the
    /// boundary of a shallow clone is that of the repository.
    pub(super) fn pack_objects(&self, options: &[&str]) -> Command {
        let mut command = self.command(&[]);
        command
            .env("GIT_NO_LAZY_FETCH", "1")
            .env_remove("GIT_SHALLOW_FILE")
            .args(["pack-objects", "--revs", "--stdout"])
            .args(options);
        command
    }

    /// Fetches a ref into the repository, which is a scratch one, and writes no ref. With `commits_only`, trees and files are
    /// left out where the server can do that.
    pub(super) fn fetch(&self, source: &Destination, refname: &str, commits_only: bool) -> Command {
        let fixed = FETCH_SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = [&source.settings[..], &fixed].concat();
        let mut command = self.command(&settings);
        command.env("GIT_NO_LAZY_FETCH", "1").arg("fetch").args([
            "--progress",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--no-prune",
            "--refmap=",
            // Of a remote that is a shallow clone, its boundary is taken over.
            "--update-shallow",
        ]);
        for name in OBJECT_VARIABLES {
            command.env_remove(name);
        }
        if commits_only {
            command.arg("--filter=tree:0");
        }
        command.args(["--", &source.argument, refname]);
        command
    }

    /// Prints git's version.
    pub(super) fn version(&self) -> Command {
        let mut command = self.command(&[]);
        command.arg("version");
        command
    }

    fn command(&self, settings: &[(String, String)]) -> Command {
        let mut environment = self.environment.clone();
        let given = environment
            .get("GIT_CONFIG_COUNT")
            .and_then(|count| count.trim().parse::<usize>().ok())
            .unwrap_or(0);
        for (index, (key, value)) in (given..).zip(settings) {
            environment = environment
                .with(format!("GIT_CONFIG_KEY_{index}"), key)
                .with(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        if !settings.is_empty() {
            environment = environment.with("GIT_CONFIG_COUNT", (given + settings.len()).to_string());
        }
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.root)
            .env_clear()
            .envs(environment.iter());
        command
    }
}
