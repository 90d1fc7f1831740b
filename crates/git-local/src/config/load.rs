//! Reads git's configuration from its places in git's order, and what they include.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::condition::Directories;
use super::entry::{Entry, Scope};
use super::environment::Environment;
use super::expansion::Expansion;
use super::wildmatch::{Case, wildmatch};
use super::{parameters, syntax};
use crate::LocalError;

/// How deep includes may nest: git's `MAX_INCLUDE_DEPTH`.
const MAX_INCLUDE_DEPTH: usize = 10;

/// The condition on remotes that may stand further down: git first reads everything once to collect them.
const HAS_REMOTE_URL: &str = "hasconfig:remote.*.url:";

/// Reads every place, or without a repository the places outside of one.
pub(super) fn load(
    env: &Environment,
    expansion: &Expansion,
    repository: Option<Directories<'_>>,
) -> Result<Vec<Entry>, LocalError> {
    let mut loader = Loader::new(env, expansion, repository, false);
    loader.run()?;
    Ok(loader.entries)
}

/// Reads one file of a repository, but not what it includes.
pub(super) fn load_file(path: &Path) -> Result<Vec<Entry>, LocalError> {
    syntax::parse(&read(path, false)?, path, Scope::Local)
}

struct Loader<'a> {
    env: &'a Environment,
    expansion: &'a Expansion,
    /// Without a repository, every condition on one is false.
    repository: Option<Directories<'a>>,
    /// While URLs are collected, every `hasconfig` condition counts as true, and files included on a condition may not have
    /// URLs.
    collects_urls: bool,
    entries: Vec<Entry>,
    /// Collected when the first condition needs them.
    remote_urls: Option<Vec<String>>,
    include_depth: usize,
    is_conditional: bool,
}

impl<'a> Loader<'a> {
    fn new(
        env: &'a Environment,
        expansion: &'a Expansion,
        repository: Option<Directories<'a>>,
        collects_urls: bool,
    ) -> Self {
        Self {
            env,
            expansion,
            repository,
            collects_urls,
            entries: Vec::new(),
            remote_urls: None,
            include_depth: 0,
            is_conditional: false,
        }
    }

    fn run(&mut self) -> Result<(), LocalError> {
        if self.env.bool("GIT_CONFIG_NOSYSTEM")? != Some(true) {
            let system = self.env.get_os("GIT_CONFIG_SYSTEM").map(PathBuf::from);
            let system = system.unwrap_or_else(|| self.expansion.system_file());
            self.file(&system, Scope::System)?;
        }
        for global in self.global_files() {
            self.file(&global, Scope::Global)?;
        }
        if let Some(Directories { common_dir, git_dir }) = self.repository {
            let local = common_dir.join("config");
            self.file(&local, Scope::Local)?;
            if self.has_worktree_config(&local)? {
                self.file(&git_dir.join("config.worktree"), Scope::Worktree)?;
            }
        }
        for entry in parameters::read(self.env)? {
            self.add(entry)?;
        }
        Ok(())
    }

    fn global_files(&self) -> Vec<PathBuf> {
        if let Some(global) = self.env.get_os("GIT_CONFIG_GLOBAL") {
            return vec![PathBuf::from(global)];
        }
        let home = self.env.get_os("HOME").map(Path::new);
        let base = self.env.get_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let base = base
            .filter(|base| !base.as_os_str().is_empty())
            .or_else(|| Some(home?.join(".config")));
        let files = [
            base.map(|base| base.join("git/config")),
            home.map(|home| home.join(".gitconfig")),
        ];
        files.into_iter().flatten().collect()
    }

    /// Whether the worktree has a file of its own. git decides that by the repository's own file, without includes.
    fn has_worktree_config(&self, local: &Path) -> Result<bool, LocalError> {
        let decisive = self.entries.iter().rfind(|entry| {
            entry.key == "extensions.worktreeconfig"
                && entry.scope == Scope::Local
                && entry.file() == Some(local)
        });
        decisive.map_or(Ok(false), Entry::bool)
    }

    /// Reads one file and what it includes.
    fn file(&mut self, path: &Path, scope: Scope) -> Result<(), LocalError> {
        let text = read(path, scope == Scope::Global && self.include_depth == 0)?;
        syntax::parse(&text, path, scope)?
            .into_iter()
            .try_for_each(|entry| self.add(entry))
    }

    /// Adds an entry, then the entries that it includes.
    fn add(&mut self, entry: Entry) -> Result<(), LocalError> {
        if self.collects_urls && self.is_conditional && entry.is_in("remote", "url") {
            return Err(LocalError::new(format!(
                "{} in {}: git does not allow remote URLs in a file that is included with includeIf if another includeIf uses hasconfig:remote.*.url",
                entry.key,
                entry.origin()
            )));
        }
        let directive = (entry.name() == "path").then(|| entry.clone());
        self.entries.push(entry);
        let Some(directive) = directive else {
            return Ok(());
        };
        match (directive.section(), directive.subsection()) {
            ("include", None) => self.include(&directive),
            ("includeif", Some(condition)) if self.holds(condition, directive.file())? => {
                let outer = std::mem::replace(&mut self.is_conditional, true);
                let included = self.include(&directive);
                self.is_conditional = outer;
                included
            }
            _ => Ok(()),
        }
    }

    fn include(&mut self, entry: &Entry) -> Result<(), LocalError> {
        let value = entry.required()?;
        let mut path = self.expansion.path_of(entry)?;
        if path.is_relative() {
            let file = entry.file().ok_or_else(|| {
                entry.bad(
                    "an include from the environment needs an absolute path, got",
                    value,
                )
            })?;
            path = file.parent().unwrap_or(Path::new("")).join(path);
        }
        if self.include_depth == MAX_INCLUDE_DEPTH && path.exists() {
            let problem =
                format!("includes nest more than {MAX_INCLUDE_DEPTH} deep, perhaps in a circle, at");
            return Err(entry.bad(&problem, value));
        }
        self.include_depth += 1;
        let included = self.file(&path, entry.scope);
        self.include_depth -= 1;
        included
    }

    fn holds(&mut self, condition: &str, file: Option<&Path>) -> Result<bool, LocalError> {
        if let Some(pattern) = condition.strip_prefix(HAS_REMOTE_URL) {
            let matches = |url: &String| wildmatch(pattern.as_bytes(), url.as_bytes(), Case::Sensitive);
            return Ok(self.collects_urls || self.remote_urls()?.iter().any(matches));
        }
        Ok(self
            .repository
            .is_some_and(|directories| directories.meet(condition, file, self.expansion)))
    }

    fn remote_urls(&mut self) -> Result<&[String], LocalError> {
        let urls = if let Some(urls) = self.remote_urls.take() {
            urls
        } else {
            let mut collector = Loader::new(self.env, self.expansion, self.repository, true);
            collector.run()?;
            let entries = collector.entries.into_iter();
            entries
                .filter(|entry| entry.is_in("remote", "url") && entry.subsection().is_some())
                .filter_map(|entry| entry.value)
                .collect()
        };
        Ok(self.remote_urls.insert(urls))
    }
}

/// Reads a file. A missing one is empty, and so is a file of the user that may not be read: a service often runs with
/// another user's `HOME`.
fn read(path: &Path, is_users: bool) -> Result<Vec<u8>, LocalError> {
    match fs::read(path) {
        Ok(text) => Ok(text),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
            io::ErrorKind::PermissionDenied if is_users => Ok(Vec::new()),
            _ => {
                let path = path.display();
                let message = format!("cannot read git's configuration file {path}: {error}");
                Err(LocalError::new(message))
            }
        },
    }
}
