//! A repository on this machine: `git receive-pack` as a child, so that its hooks run and its rules apply.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::future::BoxFuture;

use super::child::Child;
use super::session::StreamSession;
use super::{Session, Settings, Transport, program};
use crate::failure::{Failure, Kind};

/// Pushes to a path, by `git receive-pack` or the program of `remote.<name>.receivepack`.
#[derive(Debug)]
pub struct LocalTransport {
    path: PathBuf,
    /// Where git would run; relative paths start here.
    root: PathBuf,
    receive_pack: Option<String>,
    settings: Settings,
}

impl LocalTransport {
    /// `path` is as in the configuration: `receive-pack` itself tries `path/.git` and `path.git`.
    #[must_use]
    pub fn new(path: &Path, root: &Path, receive_pack: Option<String>, settings: Settings) -> Self {
        Self {
            path: path.to_owned(),
            root: root.to_owned(),
            receive_pack,
            settings,
        }
    }

    fn command(&self) -> io::Result<Command> {
        // A push needs version 0 of the protocol.
        let environment = program::environment_for_remote(&self.settings.environment).without("GIT_PROTOCOL");
        let mut command = if let Some(receive_pack) = &self.receive_pack {
            // As for git, the setting is a piece of shell.
            let mut command = program::command(OsStr::new("sh"), &self.root, &environment)?;
            command.args(["-c", &format!("{receive_pack} \"$@\""), receive_pack]);
            command
        } else {
            let mut command = program::command(OsStr::new("git"), &self.root, &environment)?;
            command.arg("receive-pack");
            command
        };
        command.arg(&self.path);
        Ok(command)
    }
}

impl Transport for LocalTransport {
    fn name(&self) -> &'static str {
        "local"
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let (child, stdin, stdout) = self
                .command()
                .and_then(|command| Child::spawn(command, &self.settings.background))
                .map_err(|error| could_not_start(&error))?;
            let session =
                StreamSession::open(Box::new(stdout), Box::new(stdin), Some(child), &self.settings).await?;
            Ok(Box::new(session.on_this_machine()) as Box<dyn Session>)
        })
    }
}

fn could_not_start(error: &io::Error) -> Failure {
    let advice = if error.kind() == io::ErrorKind::NotFound {
        "; pushing to a path needs the git CLI: install git, or check PATH and that the local repository still exists"
    } else {
        ""
    };
    Failure::new(
        Kind::Local,
        format!("git receive-pack could not be started: {error}{advice}"),
    )
}
