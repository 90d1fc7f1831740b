//! The places of git's configuration in git's order, and the includes in them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::condition::{Condition, Directories, branch_matches, git_dir_matches};
use super::environment::Environment;
use super::value::{Expansion, parse_bool};
use super::wildmatch::{Case, wildmatch};
use super::{Config, Entry, Origin, Scope, parameters, syntax};
use crate::failure::{Failure, Kind};

/// How deep includes may nest: git's `MAX_INCLUDE_DEPTH`.
const MAX_INCLUDE_DEPTH: usize = 10;

pub(super) fn load(env: &Environment, common_dir: &Path, git_dir: &Path) -> Result<Config, Failure> {
    run(env, Some(Directories { common_dir, git_dir }))
}

/// What git reads before it trusts a repository: the places outside of it.
pub(super) fn load_protected(env: &Environment) -> Result<Config, Failure> {
    run(env, None)
}

fn run(env: &Environment, directories: Option<Directories<'_>>) -> Result<Config, Failure> {
    let expansion = Expansion::new(env);
    let mut loader = Loader::new(env, &expansion, directories, Pass::Real);
    loader.run()?;
    Ok(Config {
        entries: loader.entries,
        expansion,
    })
}

/// One file alone; what it includes is not read.
pub(super) fn load_file(path: &Path, scope: Scope) -> Result<Config, Failure> {
    let text = match read(path)? {
        Reading::Text(text) => text,
        Reading::Missing => Vec::new(),
        Reading::Denied(failure) => return Err(failure),
    };
    Ok(Config {
        entries: entries_of(path, &text, scope)?,
        expansion: Expansion::default(),
    })
}

fn entries_of(path: &Path, text: &[u8], scope: Scope) -> Result<Vec<Entry>, Failure> {
    let assignments = syntax::parse(text).map_err(|bad| bad_line(path, &bad))?;
    let path: Arc<Path> = path.into();
    let entry = |assignment: syntax::Assignment| Entry {
        key: assignment.key,
        value: assignment.value,
        origin: Origin {
            scope,
            line: Some((Arc::clone(&path), assignment.line)),
        },
    };
    Ok(assignments.into_iter().map(entry).collect())
}

/// `hasconfig:remote.*.url:` asks for remotes that may stand further down, so git then reads everything once
/// before to collect them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Real,
    /// Every `hasconfig` condition is taken as true, and files included on a condition may not have URLs.
    CollectRemoteUrls,
}

struct Loader<'a> {
    env: &'a Environment,
    expansion: &'a Expansion,
    /// None while no repository is known: then no condition on one holds.
    directories: Option<Directories<'a>>,
    pass: Pass,
    entries: Vec<Entry>,
    /// Collected when the first condition asks for them.
    remote_urls: Option<Vec<String>>,
    include_depth: usize,
    is_conditional: bool,
}

impl<'a> Loader<'a> {
    fn new(
        env: &'a Environment,
        expansion: &'a Expansion,
        directories: Option<Directories<'a>>,
        pass: Pass,
    ) -> Self {
        Self {
            env,
            expansion,
            directories,
            pass,
            entries: Vec::new(),
            remote_urls: None,
            include_depth: 0,
            is_conditional: false,
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        if !self.is_system_skipped()? {
            let system = self
                .env
                .get_os("GIT_CONFIG_SYSTEM")
                .map_or_else(|| self.expansion.system_file(), PathBuf::from);
            self.file(&system, Scope::System)?;
        }
        for global in self.global_files() {
            self.file(&global, Scope::Global)?;
        }
        if let Some(Directories { common_dir, git_dir }) = self.directories {
            let local = common_dir.join("config");
            self.file(&local, Scope::Local)?;
            if has_worktree_config(&local)? {
                self.file(&git_dir.join("config.worktree"), Scope::Worktree)?;
            }
        }
        let pairs = parameters::read(self.env).map_err(|problem| Failure::new(Kind::Local, problem))?;
        for (key, value) in pairs {
            let origin = Origin {
                scope: Scope::Command,
                line: None,
            };
            self.add(Entry { key, value, origin })?;
        }
        Ok(())
    }

    fn is_system_skipped(&self) -> Result<bool, Failure> {
        let Some(value) = self.env.get("GIT_CONFIG_NOSYSTEM") else {
            return Ok(false);
        };
        parse_bool(Some(value)).ok_or_else(|| {
            Failure::new(
                Kind::Local,
                format!("GIT_CONFIG_NOSYSTEM is '{value}', expected true or false"),
            )
        })
    }

    fn global_files(&self) -> Vec<PathBuf> {
        if let Some(global) = self.env.get_os("GIT_CONFIG_GLOBAL") {
            return vec![PathBuf::from(global)];
        }
        let home = self.env.get_os("HOME").map(Path::new);
        let base = self
            .env
            .get_os("XDG_CONFIG_HOME")
            .filter(|base| *base != OsStr::new(""))
            .map(PathBuf::from)
            .or_else(|| home.map(|home| home.join(".config")));
        base.map(|base| base.join("git/config"))
            .into_iter()
            .chain(home.map(|home| home.join(".gitconfig")))
            .collect()
    }

    /// Reads one file and what it includes. A file that is not there is fine, as is one of the user's that may
    /// not be read: a service often runs with another user's `HOME`.
    fn file(&mut self, path: &Path, scope: Scope) -> Result<(), Failure> {
        let text = match read(path)? {
            Reading::Text(text) => text,
            Reading::Missing => return Ok(()),
            Reading::Denied(_) if scope == Scope::Global && self.include_depth == 0 => return Ok(()),
            Reading::Denied(failure) => return Err(failure),
        };
        entries_of(path, &text, scope)?
            .into_iter()
            .try_for_each(|entry| self.add(entry))
    }

    /// Adds an entry, then what it includes: the entries of an included file stand behind the directive.
    fn add(&mut self, entry: Entry) -> Result<(), Failure> {
        if self.pass == Pass::CollectRemoteUrls && self.is_conditional && entry.is_in("remote", "url") {
            return Err(Failure::new(
                Kind::Local,
                format!(
                    "{} in {}: a file included with includeIf may not have URLs of remotes while another includeIf asks for them with hasconfig:remote.*.url",
                    entry.key, entry.origin
                ),
            ));
        }
        if entry.name() != "path" {
            self.entries.push(entry);
            return Ok(());
        }
        let directive = entry.clone();
        self.entries.push(entry);
        match (directive.section(), directive.subsection()) {
            ("include", None) => self.include(&directive),
            ("includeif", Some(condition)) => {
                if !self.holds(&Condition::parse(condition), &directive.origin)? {
                    return Ok(());
                }
                let outer = std::mem::replace(&mut self.is_conditional, true);
                let included = self.include(&directive);
                self.is_conditional = outer;
                included
            }
            _ => Ok(()),
        }
    }

    fn include(&mut self, entry: &Entry) -> Result<(), Failure> {
        let value = entry.required()?;
        let mut path = self
            .expansion
            .expand(value)
            .ok_or_else(|| entry.bad("cannot expand the home directory in the path", value))?;
        if path.is_relative() {
            let file = entry.origin.file().ok_or_else(|| {
                entry.bad(
                    "an include from the environment needs an absolute path, got",
                    value,
                )
            })?;
            path = file.parent().unwrap_or(Path::new("")).join(path);
        }
        if self.include_depth == MAX_INCLUDE_DEPTH {
            if matches!(read(&path)?, Reading::Missing) {
                return Ok(());
            }
            return Err(entry.bad(
                &format!("includes nest more than {MAX_INCLUDE_DEPTH} deep, perhaps in a circle, at"),
                value,
            ));
        }
        self.include_depth += 1;
        let included = self.file(&path, entry.origin.scope);
        self.include_depth -= 1;
        included
    }

    fn holds(&mut self, condition: &Condition<'_>, origin: &Origin) -> Result<bool, Failure> {
        Ok(match *condition {
            Condition::GitDir(pattern, case) => self.directories.is_some_and(|directories| {
                git_dir_matches(pattern, case, directories.git_dir, origin.file(), self.expansion)
            }),
            Condition::OnBranch(pattern) => self
                .directories
                .is_some_and(|directories| branch_matches(pattern, directories)),
            Condition::HasRemoteUrl(_) if self.pass == Pass::CollectRemoteUrls => true,
            Condition::HasRemoteUrl(pattern) => self
                .remote_urls()?
                .iter()
                .any(|url| wildmatch(pattern.as_bytes(), url.as_bytes(), Case::Sensitive)),
            Condition::Unknown => false,
        })
    }

    fn remote_urls(&mut self) -> Result<&[String], Failure> {
        let urls = if let Some(urls) = self.remote_urls.take() {
            urls
        } else {
            let mut collector = Loader::new(
                self.env,
                self.expansion,
                self.directories,
                Pass::CollectRemoteUrls,
            );
            collector.run()?;
            collector
                .entries
                .into_iter()
                .filter(|entry| entry.is_in("remote", "url") && entry.subsection().is_some())
                .filter_map(|entry| entry.value)
                .collect()
        };
        Ok(self.remote_urls.insert(urls))
    }
}

enum Reading {
    Text(Vec<u8>),
    Missing,
    Denied(Failure),
}

fn read(path: &Path) -> Result<Reading, Failure> {
    let failure = |error: &io::Error| {
        Failure::new(
            Kind::Local,
            format!("cannot read git's configuration file {}: {error}", path.display()),
        )
    };
    match fs::read(path) {
        Ok(text) => Ok(Reading::Text(text)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Reading::Missing),
            io::ErrorKind::PermissionDenied => Ok(Reading::Denied(failure(&error))),
            _ => Err(failure(&error)),
        },
    }
}

fn bad_line(path: &Path, bad: &syntax::BadLine) -> Failure {
    Failure::new(
        Kind::Local,
        format!(
            "bad config line {} in file {}: {}",
            bad.line,
            path.display(),
            bad.problem
        ),
    )
}

/// Whether the repository has a file per worktree. git decides that by the repository's own file alone.
fn has_worktree_config(local: &Path) -> Result<bool, Failure> {
    let Reading::Text(text) = read(local)? else {
        return Ok(false);
    };
    let assignments = syntax::parse(&text).map_err(|bad| bad_line(local, &bad))?;
    let Some(last) = assignments
        .iter()
        .rfind(|assignment| assignment.key == "extensions.worktreeconfig")
    else {
        return Ok(false);
    };
    parse_bool(last.value.as_deref()).ok_or_else(|| {
        bad_line(
            local,
            &syntax::BadLine {
                line: last.line,
                problem: "extensions.worktreeConfig is neither true nor false",
            },
        )
    })
}
