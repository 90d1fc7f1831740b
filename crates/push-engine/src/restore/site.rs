//! The place of a repository: what is in it, by the rules by which git and the daemon open it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git_local::config::Config;
use git_local::repository::{OpenError, Repository};
use git_local::url::configured_remotes;
use git_local::{LocalError, redact_url};

use super::workspace::{WHOLE, Workspace};
use super::{Look, Request, RestoreError, Source, not_the_repository};
use crate::failure::{Failure, Kind};

/// The end of the name of a directory in which a clone is made, or the whole name within an empty directory.
const UNFINISHED: &str = ".restoring";

/// A directory that a new volume has. It is no content.
const LOST_AND_FOUND: &str = "lost+found";

const FOREIGN_HINT: &str = "Nothing was changed. Check the option repoPath, or move away what is there: only an absent or empty directory is restored.";

const OTHER_REMOTE_HINT: &str = "Nothing was changed. Check the options url and repoPath. If the remote has moved, run git remote set-url in the repository; if the repository is another one, move it away.";

const INCOMPLETE_HINT: &str = "Nothing was changed. Run git fsck in the repository. If it cannot be repaired, save what it has (git bundle, a copy), and move it away: the next start restores what the remote has.";

/// What is in the place.
#[derive(Debug)]
pub(super) enum Found {
    /// A repository that belongs to the remote.
    Repository(Look),
    /// Room for one.
    Vacant(Vacancy),
}

/// Room for a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vacancy {
    /// There is nothing.
    Absent,
    /// There is an empty directory, such as a mounted volume, which cannot be replaced.
    Empty,
}

/// The place.
#[derive(Debug, Clone)]
pub(super) struct Site {
    path: PathBuf,
}

impl Site {
    /// `path` is absolute.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Where an unfinished clone is: beside the place, or within an empty directory.
    pub(super) fn workspace(&self, vacancy: Vacancy) -> PathBuf {
        match (vacancy, self.path.file_name()) {
            (Vacancy::Absent, Some(name)) => {
                let mut hidden = OsString::from(".");
                hidden.push(name);
                hidden.push(UNFINISHED);
                self.path.with_file_name(hidden)
            }
            _ => self.path.join(UNFINISHED),
        }
    }

    /// Looks into the place. Beside a repository, removes what a restore has left that was killed after its last step.
    pub(super) fn inspect(&self, request: &Request) -> Result<Found, RestoreError> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.absent(),
            Err(error) => return Err(self.unreadable(&error)),
        };
        match Repository::open(Some(&self.path), &request.environment) {
            Ok(repository) => {
                repository.check_owner().map_err(failed)?;
                self.check_remote(&repository, request)?;
                let look = Look::at(&repository, request)?;
                for vacancy in [Vacancy::Absent, Vacancy::Empty] {
                    Workspace::remove_left(&self.workspace(vacancy));
                }
                Ok(Found::Repository(look))
            }
            Err(OpenError::NotFound(_)) if metadata.is_dir() => self.directory(),
            Err(OpenError::NotFound(_)) => {
                let message = format!("{} is a file, not a git repository", self.shown());
                Err(not_the_repository(message, FOREIGN_HINT))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn absent(&self) -> Result<Found, RestoreError> {
        if self.path.symlink_metadata().is_ok() {
            let message = format!(
                "{} is a symbolic link to a place that does not exist",
                self.shown()
            );
            return Err(not_the_repository(message, FOREIGN_HINT));
        }
        Ok(Found::Vacant(Vacancy::Absent))
    }

    /// A directory that is no repository must be empty, or have an unfinished delivery.
    fn directory(&self) -> Result<Found, RestoreError> {
        let names = names_in(&self.path).map_err(|error| self.unreadable(&error))?;
        let mut content = Vec::new();
        for name in &names {
            if name != LOST_AND_FOUND && name != UNFINISHED {
                content.push(name.to_string_lossy());
            }
        }
        if content.is_empty() || self.path.join(UNFINISHED).join(WHOLE).is_dir() {
            return Ok(Found::Vacant(Vacancy::Empty));
        }
        let has = |name: &str| content.iter().any(|entry| entry == name);
        let what = if has("HEAD") || has("objects") || has(".git") {
            "has parts of a git repository, but is not a whole one"
        } else {
            "is not empty, and is not a git repository"
        };
        content.truncate(3);
        let message = format!("{} {what}: it has {}", self.shown(), content.join(", "));
        Err(not_the_repository(message, FOREIGN_HINT))
    }

    fn check_remote(&self, repository: &Repository, request: &Request) -> Result<(), RestoreError> {
        let config = Config::load(
            &request.environment,
            repository.common_dir(),
            repository.git_dir(),
        )?;
        let expected = Source::of(&config, request)?.parsed;
        let remotes = configured_remotes(&config, repository.root());
        if remotes.iter().any(|(_, url)| url.is_same_place(&expected)) {
            return Ok(());
        }
        let mut message = format!(
            "{} is a repository that does not belong to {}: it has no such remote",
            self.shown(),
            redact_url(&request.options.url)
        );
        if let Some((name, url)) = remotes.first() {
            message = format!("{message}, but {name}, which is {url}");
        }
        Err(not_the_repository(message, OTHER_REMOTE_HINT))
    }

    fn unreadable(&self, error: &io::Error) -> RestoreError {
        let message = format!("{} cannot be read: {error}", self.shown());
        RestoreError::Failed(Failure::new(Kind::Local, message))
    }
}

/// The names in a directory.
pub(super) fn names_in(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name());
    }
    Ok(names)
}

fn failed(error: OpenError) -> RestoreError {
    RestoreError::from(LocalError::from(error))
}

/// A repository is damaged.
pub(super) fn incomplete(message: impl AsRef<str>) -> RestoreError {
    not_the_repository(message, INCOMPLETE_HINT)
}
