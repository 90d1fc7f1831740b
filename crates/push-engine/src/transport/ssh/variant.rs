//! The program to run for ssh, and its options: `GIT_SSH` and related variables in `git(1)`, `core.sshCommand` and
//! `ssh.variant` in `git-config(1)`, and the behaviour of git 2.47 (`connect.c`) that they do not describe.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use git_local::config::{Config, Environment};

use crate::failure::{Failure, Kind};
use crate::transport::program;

/// The ssh program as the user chose it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Program {
    command: OsString,
    setting: Setting,
}

/// The setting that names the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    GitSshCommand,
    CoreSshCommand,
    GitSsh,
    Default,
}

impl Program {
    /// The first that is set: `GIT_SSH_COMMAND`, `core.sshCommand`, `GIT_SSH`.
    pub(super) fn choose(config: &Config, environment: &Environment) -> Result<Self, Failure> {
        let (command, setting) = if let Some(command) = environment.get_os("GIT_SSH_COMMAND") {
            (command, Setting::GitSshCommand)
        } else if let Some(entry) = config.entry("core.sshCommand") {
            (OsStr::new(entry.required()?), Setting::CoreSshCommand)
        } else if let Some(program) = environment.get_os("GIT_SSH") {
            (program, Setting::GitSsh)
        } else {
            (OsStr::new("ssh"), Setting::Default)
        };
        let command = command.to_owned();
        Ok(Self { command, setting })
    }

    /// Whether it is a command for a shell, and not the name of a program.
    const fn is_command(&self) -> bool {
        matches!(self.setting, Setting::GitSshCommand | Setting::CoreSshCommand)
    }

    pub(super) fn command(&self, root: &Path, environment: &Environment) -> io::Result<Command> {
        if self.is_command() {
            program::shell_command(&self.command, root, environment)
        } else {
            program::command(&self.command, root, environment)
        }
    }

    /// The command, if a shell reads it. The shell's complaints begin with it.
    pub(super) fn shell_command(&self) -> Option<&OsStr> {
        let command = self.command.as_os_str();
        (self.is_command() && program::is_for_shell(command)).then_some(command)
    }

    /// The base name of the program, as far as git can recognise it.
    fn name(&self) -> Option<String> {
        let command = self.command.to_string_lossy();
        let program = if self.is_command() {
            first_word(&command)?
        } else {
            command.into_owned()
        };
        let name = program.trim_end_matches('/').rsplit('/').next();
        name.map(str::to_ascii_lowercase)
    }
}

/// Shows only the setting: the command itself may contain a secret, as in `sshpass -p`.
impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.setting {
            Setting::GitSshCommand => "the command in GIT_SSH_COMMAND",
            Setting::CoreSshCommand => "the command in core.sshCommand",
            Setting::GitSsh => "the program in GIT_SSH",
            Setting::Default => "ssh",
        })
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Program({self})")
    }
}

/// The first word of a command, by the rules of git's `split_cmdline`: quotes and backslashes, nothing else of a shell.
/// `None` if git would find the command malformed.
fn first_word(command: &str) -> Option<String> {
    let mut first = String::new();
    let mut has_ended = false;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' if quote.is_none() => has_ended = true,
            '\'' | '"' if quote.is_none() => quote = Some(character),
            _ if quote == Some(character) => quote = None,
            _ => {
                let literal = match character {
                    '\\' if quote != Some('\'') => characters.next()?,
                    _ => character,
                };
                if !has_ended {
                    first.push(literal);
                }
            }
        }
    }
    quote.is_none().then_some(first)
}

/// The program whose options are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// OpenSSH.
    Ssh,
    /// `PuTTY`'s plink, also by the name of `putty`.
    Plink,
    /// `TortoiseGit`'s own plink.
    TortoisePlink,
    /// No options at all.
    Simple,
}

impl Variant {
    /// The variant from the settings, or from the program's name. `None` means to find out as git does: the program is
    /// OpenSSH if it takes `-G`, otherwise it is simple.
    pub(super) fn choose(
        program: &Program,
        config: &Config,
        environment: &Environment,
    ) -> Result<Option<Self>, Failure> {
        let configured = match environment.get_os("GIT_SSH_VARIANT") {
            Some(variant) => Some(variant.to_string_lossy().into_owned()),
            None => match config.entry("ssh.variant") {
                Some(entry) => Some(entry.required()?.to_owned()),
                None => None,
            },
        };
        Ok(match configured.as_deref() {
            None | Some("auto") => match program.name().as_deref() {
                Some("ssh" | "ssh.exe") => Some(Self::Ssh),
                Some("plink" | "plink.exe") => Some(Self::Plink),
                Some("tortoiseplink" | "tortoiseplink.exe") => Some(Self::TortoisePlink),
                _ => None,
            },
            Some("plink" | "putty") => Some(Self::Plink),
            Some("tortoiseplink") => Some(Self::TortoisePlink),
            Some("simple") => Some(Self::Simple),
            // git takes anything else for OpenSSH.
            Some(_) => Some(Self::Ssh),
        })
    }

    /// The options before the destination. In addition to git's options, they keep the program from asking questions.
    ///
    /// `BatchMode` follows the options in the user's command: OpenSSH uses the first value.
    pub(super) fn options(
        self,
        port: Option<u16>,
        wants_version_1: bool,
        has_askpass: bool,
    ) -> Result<Vec<String>, Failure> {
        let mut options: Vec<String> = Vec::new();
        let mut add = |more: &[&str]| options.extend(more.iter().map(|&option| option.to_owned()));
        match self {
            Self::Ssh => {
                if wants_version_1 {
                    add(&["-o", "SendEnv=GIT_PROTOCOL"]);
                }
                if !has_askpass {
                    add(&["-o", "BatchMode=yes"]);
                }
            }
            Self::Plink | Self::TortoisePlink => add(&["-batch"]),
            Self::Simple => {}
        }
        if let Some(port) = port {
            let flag = match self {
                Self::Ssh => "-p",
                Self::Plink | Self::TortoisePlink => "-P",
                Self::Simple => return Err(no_port(port)),
            };
            add(&[flag, &port.to_string()]);
        }
        Ok(options)
    }
}

fn no_port(port: u16) -> Failure {
    let message = format!(
        "git treats this ssh program as one without options, so it cannot pass port {port}; if the program accepts OpenSSH's options, set GIT_SSH_VARIANT or ssh.variant to 'ssh'"
    );
    Failure::new(Kind::Local, message).with_hint(
        "Set GIT_SSH_VARIANT or ssh.variant to the kind of program that GIT_SSH, GIT_SSH_COMMAND or core.sshCommand names ('ssh', 'plink', 'tortoiseplink'), or remove the port from the URL and pass it in that program's own options.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_one_that_git_finds() {
        for (command, first) in [
            ("ssh -i key", Some("ssh")),
            ("'/a b/ssh' -i key", Some("/a b/ssh")),
            ("/a\\ b/s\"s\"h -i", Some("/a b/ssh")),
            (" ssh", Some("")),
            ("", Some("")),
            ("'a\\' b", Some("a\\")),
            ("ssh -o 'x", None),
            ("ssh \\", None),
        ] {
            assert_eq!(first_word(command).as_deref(), first, "{command}");
        }
    }

    #[test]
    fn no_program_shows_its_secrets() {
        let environment = Environment::default().with("GIT_SSH_COMMAND", "sshpass -p hunter2 ssh");
        let program = Program::choose(&Config::default(), &environment).expect("set");
        assert_eq!(format!("{program:?}"), "Program(the command in GIT_SSH_COMMAND)");
    }
}
