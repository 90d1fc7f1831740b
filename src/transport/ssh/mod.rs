//! A repository behind ssh: the user's own ssh program as a child, chosen and called as git does.
//!
//! Nothing ever asks: the child's standard input is the pipe, OpenSSH runs in its batch mode and plink in its own.
//! A program without such a mode (variant `simple`) that opens the terminal all the same is stopped by the system,
//! because it is in a background process group, until the connect timeout ends it; in a service there is no
//! terminal to open. An `SSH_ASKPASS` program is left alone only under `SSH_ASKPASS_REQUIRE=force`, by which
//! operators say that a program answers in their place.
//!
//! Keys, host keys, agents, proxies and addresses are ssh's own business: nothing about them is decided here.

mod variant;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use self::variant::{Program, Variant};
use super::child::Child;
use super::session::StreamSession;
use super::{Session, Settings, Transport, program};
use crate::config::{Config, Environment};
use crate::failure::{self, Failure, Kind, SSH_LOCAL_HINT, SSH_UNKNOWN_HINT, ShellComplaint};

/// Where to log in, and for what.
#[derive(Debug, Clone, Copy)]
pub struct SshAddress<'a> {
    /// What stands before the `@`.
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
    /// `None` where the program has to be tried to find out.
    variant: Option<Variant>,
    destination: String,
    /// What follows a colon in the user's name. OpenSSH's server does not take it for a password but for a style
    /// of authentication, and lets the user in by key, so it is passed on; messages must not show it.
    password: Option<String>,
    port: Option<u16>,
    remote_command: String,
    /// Whether the settings ask for version 1 of git's protocol: version 2 cannot push, and 0 is not asked for.
    asks_for_version: bool,
    /// Whether a program was set to answer ssh's questions.
    may_ask: bool,
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
    /// A setting that git would refuse as well.
    pub fn new(
        address: SshAddress<'_>,
        config: &Config,
        root: &Path,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let program = Program::choose(config, &settings.environment)?;
        let variant = Variant::choose(&program, config, &settings.environment)?;
        let may_ask = settings.environment.get("SSH_ASKPASS_REQUIRE") == Some("force");
        let mut environment =
            program::environment_for_remote(&settings.environment).with("GIT_TERMINAL_PROMPT", "0");
        if !may_ask {
            environment = environment
                .without("SSH_ASKPASS")
                .with("SSH_ASKPASS_REQUIRE", "never");
        }
        Ok(Self {
            program,
            variant,
            destination: match address.user {
                Some(user) => format!("{user}@{}", address.host),
                None => address.host.to_owned(),
            },
            password: address
                .user
                .and_then(|user| user.split_once(':'))
                .map(|(_, password)| password.to_owned()),
            port: address.port,
            remote_command: format!(
                "{} {}",
                address.receive_pack.unwrap_or("git-receive-pack"),
                quoted(address.path)
            ),
            asks_for_version: asks_for_version(config)?,
            may_ask,
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
        let options = variant.options(self.port, self.asks_for_version, self.may_ask)?;
        let options = options.iter().map(String::as_str);
        let arguments = options.chain([self.destination.as_str(), &self.remote_command]);
        let (child, stdin, stdout) = self.spawn(arguments, &self.environment_for(variant))?;
        let session = StreamSession::open(stdout, stdin, Some(child), &self.settings)
            .await
            .map_err(|failure| self.explained(&failure))?;
        Ok(Box::new(session))
    }

    /// Whether the program takes OpenSSH's `-G`, which shows its configuration and connects to nothing.
    async fn takes_openssh_options(&self) -> Result<bool, Failure> {
        // The options are git's own: a program that does not know them must fail here as it does there.
        let options = Variant::Ssh.options(self.port, self.asks_for_version, true)?;
        let options = options.iter().map(String::as_str);
        let arguments = ["-G"]
            .into_iter()
            .chain(options)
            .chain([self.destination.as_str()]);
        let (mut child, stdin, stdout) = self.spawn(arguments, &self.environment_for(Variant::Ssh))?;
        drop(stdin);
        let probing = async {
            let mut has_printed = false;
            let status = child.read_to_exit(stdout, |_| has_printed = true).await;
            status.map_or(has_printed, |status| status.success())
        };
        match self.settings.idle_timeout {
            None => Ok(probing.await),
            Some(limit) => timeout(limit, probing)
                .await
                .map_err(|_| Failure::timed_out(&format!("{} did not answer to -G", self.program), limit)),
        }
    }

    fn environment_for(&self, variant: Variant) -> Environment {
        let environment = self.environment.clone();
        if variant == Variant::Ssh && self.asks_for_version {
            environment.with("GIT_PROTOCOL", "version=1")
        } else {
            environment
        }
    }

    fn spawn<'a>(
        &self,
        arguments: impl Iterator<Item = &'a str>,
        environment: &Environment,
    ) -> Result<(Child, ChildStdin, ChildStdout), Failure> {
        let start = || {
            let background = &self.settings.background;
            let mut command = self.program.command(&self.root, environment)?;
            command.args(arguments);
            let script = program::as_shell_script(&command, &self.root, environment);
            match Child::spawn(command, background) {
                Err(error) if has_no_interpreter(&error) => Child::spawn(script, background),
                spawned => spawned,
            }
        };
        start().map_err(|error| self.could_not_start(&error.to_string(), error.kind()))
    }

    fn could_not_start(&self, error: &str, kind: io::ErrorKind) -> Failure {
        let advice = if kind == io::ErrorKind::NotFound {
            "; pushing over ssh needs an ssh program: install OpenSSH's client (the package openssh-client of Debian and Alpine), or check PATH, GIT_SSH_COMMAND, core.sshCommand and GIT_SSH"
        } else {
            ""
        };
        let message = format!("{} could not be started: {error}{advice}", self.program);
        Failure::new(Kind::Local, message).with_hint(SSH_LOCAL_HINT)
    }

    /// The failure without what the user's command may hold, and told apart from one of this machine's shell.
    fn explained(&self, failure: &Failure) -> Failure {
        let mut message = failure.message().to_owned();
        if let Some(password) = &self.password {
            message = message.replace(&format!(":{password}@"), ":***@");
        }
        let complaint = self
            .program
            .shell_words()
            .map(OsStr::to_string_lossy)
            .and_then(|words| {
                let complaint = failure::complaint_of_shell(&message, &words);
                message = message.replace(&*words, &self.program.to_string());
                complaint
            });
        match complaint {
            Some(ShellComplaint::MissingProgram) => {
                return self.could_not_start(&message, io::ErrorKind::NotFound);
            }
            Some(ShellComplaint::Other) => return self.could_not_start(&message, io::ErrorKind::Other),
            None => {}
        }
        let explained = failure.clone().reworded(&message);
        match explained.kind() {
            Kind::Local => explained.or_hint(SSH_LOCAL_HINT),
            Kind::Unknown => explained.or_hint(SSH_UNKNOWN_HINT),
            _ => explained,
        }
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

/// Whether the file is executable, but neither a program nor a script that begins with `#!`.
#[cfg(unix)]
fn has_no_interpreter(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
}

#[cfg(not(unix))]
fn has_no_interpreter(_error: &io::Error) -> bool {
    false
}

/// Quotes for the remote shell as git does, so that servers that parse the command by hand understand it.
fn quoted(path: &str) -> String {
    let escaped = path.replace('\'', "'\\''").replace('!', "'\\!'");
    format!("'{escaped}'")
}

/// `protocol.version`, of which only 1 makes a difference for a push.
fn asks_for_version(config: &Config) -> Result<bool, Failure> {
    let Some(entry) = config.entry("protocol.version") else {
        return Ok(false);
    };
    match entry.required()? {
        "1" => Ok(true),
        "0" | "2" => Ok(false),
        other => Err(Failure::new(
            Kind::Local,
            format!(
                "{} in {}: expected 0, 1 or 2, got '{other}'",
                entry.key(),
                entry.origin()
            ),
        )),
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
