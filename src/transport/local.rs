//! A repository on this machine: `git receive-pack` as a child, so that its hooks run and its rules apply.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::child::Child;
use super::session::StreamSession;
use super::{LocalFuture, Session, Settings, Transport};
use crate::failure::{Failure, Kind};

/// The variables that describe the local repository and must not leak into the other one; the list is that of
/// `git rev-parse --local-env-vars`.
const LOCAL_REPOSITORY_VARIABLES: [&str; 15] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
];

/// Pushes to a path, by `git receive-pack` or what `remote.<name>.receivepack` names.
#[derive(Debug)]
pub struct LocalTransport {
    path: PathBuf,
    /// Where git would run, which relative paths are relative to.
    root: PathBuf,
    receive_pack: Option<String>,
    settings: Settings,
}

impl LocalTransport {
    /// `path` is as written in the configuration: `receive-pack` itself tries `path/.git` and `path.git`.
    #[must_use]
    pub fn new(path: &Path, root: &Path, receive_pack: Option<String>, settings: Settings) -> Self {
        Self {
            path: path.to_owned(),
            root: root.to_owned(),
            receive_pack,
            settings,
        }
    }

    fn command(&self) -> Command {
        let mut command = match &self.receive_pack {
            // The setting is a piece of shell, as for git.
            Some(receive_pack) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("{receive_pack} \"$@\""), receive_pack]);
                command
            }
            None => {
                let mut command = Command::new("git");
                command.arg("receive-pack");
                command
            }
        };
        command.arg(&self.path).current_dir(&self.root);
        command.env_clear().envs(self.settings.environment.iter());
        for variable in LOCAL_REPOSITORY_VARIABLES {
            command.env_remove(variable);
        }
        // Version 0 is the only one that push speaks.
        command.env_remove("GIT_PROTOCOL");
        command
    }
}

impl Transport for LocalTransport {
    fn name(&self) -> &'static str {
        "local"
    }

    fn connect(&self) -> LocalFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let (child, stdin, stdout) = Child::spawn(self.command(), &self.settings.background)
                .map_err(|error| could_not_start(&error))?;
            let session = StreamSession::open(stdout, stdin, Some(child), &self.settings).await?;
            Ok(Box::new(session) as Box<dyn Session>)
        })
    }
}

fn could_not_start(error: &io::Error) -> Failure {
    let advice = if error.kind() == io::ErrorKind::NotFound {
        "; pushing to a path needs the git command: install git, or check PATH and that the local repository still exists"
    } else {
        ""
    };
    Failure::new(
        Kind::Local,
        format!("git receive-pack could not be started: {error}{advice}"),
    )
}
