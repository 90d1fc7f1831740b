//! A repository behind ssh: the user's own ssh program as a child, chosen and called as git does.
//!
//! The program cannot ask: the child's standard input is the pipe, and OpenSSH and plink run in their batch modes. If a
//! program without such a mode (variant `simple`) opens the terminal anyway, the system stops it, because it is in a
//! background process group, until the connect timeout ends it; a service has no terminal to open. An `SSH_ASKPASS` program
//! is kept only under `SSH_ASKPASS_REQUIRE=force`, by which operators say that a program answers in their place.
//!
//! Keys, host keys, agents, proxies and addresses are left to ssh.

mod variant;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use git_local::config::{Config, Environment};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use self::variant::{Program, Variant};
use super::child::Child;
use super::session::StreamSession;
use super::{Session, Settings, Transport, program};
use crate::failure::{self, Failure, Kind, ShellComplaint};

/// An address, and the program to run there.
#[derive(Debug, Clone, Copy)]
pub struct SshAddress<'a> {
    /// The user before the `@`.
    pub user: Option<&'a str>,
    /// A name or an address, without brackets.
    pub host: &'a str,
    /// Only if one was given: ssh has settings of its own.
    pub port: Option<u16>,
    /// The path for the remote shell.
    pub path: &'a str,
    /// The program to run instead of `git-receive-pack`, a piece of shell.
    pub receive_pack: Option<&'a str>,
}

/// Pushes over ssh.
#[derive(Debug)]
pub struct SshTransport {
    program: Program,
    /// `None` if the program must be run to find out.
    variant: Option<Variant>,
    destination: String,
    /// The part of the user's name after a colon. OpenSSH's server takes it for a style of authentication, not for a
    /// password, and accepts the user's key, so it is passed on; messages must not show it.
    password: Option<String>,
    port: Option<u16>,
    remote_command: String,
    /// Whether the settings require version 1 of git's protocol. Version 2 cannot push, and 0 is the default.
    wants_version_1: bool,
    /// Whether a program answers ssh's questions.
    has_askpass: bool,
    /// Where git would run.
    root: PathBuf,
    environment: Environment,
    settings: Settings,
}

impl SshTransport {
    /// Takes the program and its variant from the settings.
    ///
    /// # Errors
    ///
    /// git would refuse a setting, too.
    pub fn new(
        address: SshAddress<'_>,
        config: &Config,
        root: &Path,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let program = Program::choose(config, &settings.environment)?;
        let variant = Variant::choose(&program, config, &settings.environment)?;
        let has_askpass = settings.environment.get("SSH_ASKPASS_REQUIRE") == Some("force");
        let mut environment =
            program::environment_for_remote(&settings.environment).with("GIT_TERMINAL_PROMPT", "0");
        if !has_askpass {
            environment = environment
                .without("SSH_ASKPASS")
                .with("SSH_ASKPASS_REQUIRE", "never");
        }
        let (user, host) = (address.user, address.host);
        let receive_pack = address.receive_pack.unwrap_or("git-receive-pack");
        Ok(Self {
            program,
            variant,
            destination: user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}")),
            password: user
                .and_then(|user| user.split_once(':'))
                .map(|(_, password)| password.to_owned()),
            port: address.port,
            remote_command: format!("{receive_pack} {}", quoted(address.path)),
            wants_version_1: wants_version_1(config)?,
            has_askpass,
            root: root.to_owned(),
            environment,
            settings,
        })
    }

    async fn open(&self) -> Result<Box<dyn Session>, Failure> {
        let variant = match self.variant {
            Some(variant) => variant,
            None if self.takes_openssh_options().await? => Variant::Ssh,
            None => Variant::Simple,
        };
        let mut arguments = variant.options(self.port, self.wants_version_1, self.has_askpass)?;
        arguments.extend([self.destination.clone(), self.remote_command.clone()]);
        let (child, stdin, stdout) = self.spawn(variant, &arguments)?;
        let session = StreamSession::open(Box::new(stdout), Box::new(stdin), Some(child), &self.settings)
            .await
            .map_err(|failure| self.explained(&failure))?;
        Ok(Box::new(session))
    }

    /// Whether the program takes OpenSSH's `-G`, which prints its configuration without connecting.
    async fn takes_openssh_options(&self) -> Result<bool, Failure> {
        let mut arguments = vec!["-G".to_owned()];
        // git's own options, so that a program that does not know them fails here as it does with git.
        arguments.extend(Variant::Ssh.options(self.port, self.wants_version_1, true)?);
        arguments.push(self.destination.clone());
        let (mut child, _, stdout) = self.spawn(Variant::Ssh, &arguments)?;
        let probing = async {
            let mut has_printed = false;
            let status = child.read_to_exit(stdout, &mut |_| has_printed = true).await;
            status.map_or(has_printed, |status| status.success())
        };
        match self.settings.idle_timeout {
            None => Ok(probing.await),
            Some(limit) => timeout(limit, probing)
                .await
                .map_err(|_| Failure::timed_out(&format!("{} did not answer to -G", self.program), limit)),
        }
    }

    fn spawn(
        &self,
        variant: Variant,
        arguments: &[String],
    ) -> Result<(Child, ChildStdin, ChildStdout), Failure> {
        let mut environment = self.environment.clone();
        if variant == Variant::Ssh && self.wants_version_1 {
            environment = environment.with("GIT_PROTOCOL", "version=1");
        }
        let start = || {
            let background = &self.settings.background;
            let mut command = self.program.command(&self.root, &environment)?;
            command.args(arguments);
            let script = program::as_shell_script(&command, &self.root, &environment);
            match Child::spawn(command, background) {
                Err(error) if has_no_interpreter(&error) => Child::spawn(script, background),
                spawned => spawned,
            }
        };
        start().map_err(|error| {
            let complaint = match error.kind() {
                io::ErrorKind::NotFound => ShellComplaint::MissingProgram,
                _ => ShellComplaint::Other,
            };
            Failure::from_unstarted_ssh(&self.program.to_string(), &error.to_string(), complaint)
        })
    }

    /// Removes the secrets that the user's command may contain, and recognises the complaints of this machine's shell.
    fn explained(&self, failure: &Failure) -> Failure {
        let mut message = failure.message().to_owned();
        if let Some(password) = &self.password {
            message = message.replace(&format!(":{password}@"), ":***@");
        }
        if let Some(command) = self.program.shell_command().map(OsStr::to_string_lossy) {
            let complaint = failure::complaint_of_shell(&message, &command);
            let program = self.program.to_string();
            message = message.replace(&*command, &program);
            if let Some(complaint) = complaint {
                return Failure::from_unstarted_ssh(&program, &message, complaint);
            }
        }
        failure.clone().reworded(&message).or_hint_of_ssh()
    }
}

impl Transport for SshTransport {
    fn name(&self) -> &'static str {
        "ssh"
    }

    /// Logging in takes most of the time of a small push.
    fn may_be_kept(&self) -> bool {
        true
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(self.open())
    }
}

/// Whether the file is executable, but neither a binary nor a script that begins with `#!`.
#[cfg(unix)]
fn has_no_interpreter(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
}

#[cfg(not(unix))]
fn has_no_interpreter(_error: &io::Error) -> bool {
    false
}

/// Quotes for the remote shell as git does: some servers parse the command themselves.
fn quoted(path: &str) -> String {
    let escaped = path.replace('\'', "'\\''").replace('!', "'\\!'");
    format!("'{escaped}'")
}

/// Whether `protocol.version` is 1; the other versions make no difference to a push.
fn wants_version_1(config: &Config) -> Result<bool, Failure> {
    let Some(entry) = config.entry("protocol.version") else {
        return Ok(false);
    };
    match entry.required()? {
        "1" => Ok(true),
        "0" | "2" => Ok(false),
        other => {
            let (key, origin) = (entry.key(), entry.origin());
            let message = format!("{key} in {origin}: expected 0, 1 or 2, got '{other}'");
            Err(Failure::new(Kind::Local, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_for_the_remote_shell() {
        for (path, expected) in [
            ("/srv/r.git", "'/srv/r.git'"),
            ("~u/a b", "'~u/a b'"),
            ("it's", "'it'\\''s'"),
            ("a!'b", "'a'\\!''\\''b'"),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }
}
