//! Which program is run for ssh, and which options it takes: `GIT_SSH` and its kin in `git(1)`, `core.sshCommand` and
//! `ssh.variant` in `git-config(1)`, and what git 2.47 does (`connect.c`) where they are silent.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::config::{Config, Environment};
use crate::failure::{Failure, Kind};
use crate::transport::program;

/// The ssh program as the user chose it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Program {
    words: OsString,
    source: Source,
}

/// Which setting named the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    CommandVariable,
    CommandSetting,
    ProgramVariable,
    Default,
}

impl Program {
    /// The first that is set: `GIT_SSH_COMMAND`, `core.sshCommand`, `GIT_SSH`.
    pub(super) fn choose(config: &Config, environment: &Environment) -> Result<Self, Failure> {
        let (words, source) = if let Some(words) = environment.get_os("GIT_SSH_COMMAND") {
            (words, Source::CommandVariable)
        } else if let Some(entry) = config.entry("core.sshCommand") {
            (OsStr::new(entry.required()?), Source::CommandSetting)
        } else if let Some(program) = environment.get_os("GIT_SSH") {
            (program, Source::ProgramVariable)
        } else {
            (OsStr::new("ssh"), Source::Default)
        };
        let words = words.to_owned();
        Ok(Self { words, source })
    }

    /// Whether it is a command for a shell, and not the name of a program.
    const fn is_command(&self) -> bool {
        matches!(self.source, Source::CommandVariable | Source::CommandSetting)
    }

    pub(super) fn command(&self, root: &Path, environment: &Environment) -> io::Result<Command> {
        if self.is_command() {
            program::shell_command(&self.words, root, environment)
        } else {
            program::command(&self.words, root, environment)
        }
    }

    /// The command where a shell reads it. The shell puts it before its own complaints.
    pub(super) fn shell_words(&self) -> Option<&OsStr> {
        Some(self.words.as_os_str()).filter(|words| self.is_command() && program::is_for_shell(words))
    }

    /// The base name of the program, as far as git can tell.
    fn name(&self) -> Option<String> {
        let words = self.words.to_string_lossy();
        let word = if self.is_command() {
            first_word(&words)?
        } else {
            words.into_owned()
        };
        let name = word.trim_end_matches('/').rsplit('/').next();
        name.map(str::to_ascii_lowercase)
    }
}

/// Names the setting only: the command itself may hold a secret, as in `sshpass -p`.
impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.source {
            Source::CommandVariable => "the command in GIT_SSH_COMMAND",
            Source::CommandSetting => "the command in core.sshCommand",
            Source::ProgramVariable => "the program in GIT_SSH",
            Source::Default => "ssh",
        })
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Program({self})")
    }
}

/// The first word of a command, by the rules of git's `split_cmdline`: quotes and backslashes, nothing else of a
/// shell. `None` where git would find the command malformed.
fn first_word(words: &str) -> Option<String> {
    let mut first = String::new();
    let mut has_ended = false;
    let mut quote = None;
    let mut characters = words.chars();
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

/// Whose options the program takes.
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
    /// The variant as configured, else as the program's name tells. `None` is for git's way of finding out: the
    /// program is OpenSSH if it takes `-G`, else it is simple.
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
            // Anything else is OpenSSH for git.
            Some(_) => Some(Self::Ssh),
        })
    }

    /// The options before the destination. What git does not pass is what keeps the program from asking anybody.
    ///
    /// `BatchMode` stands behind whatever the user's command says: OpenSSH takes the first value that it sees.
    pub(super) fn options(
        self,
        port: Option<u16>,
        asks_for_version: bool,
        may_ask: bool,
    ) -> Result<Vec<String>, Failure> {
        let mut options: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| options.extend(words.iter().map(|&word| word.to_owned()));
        match self {
            Self::Ssh => {
                if asks_for_version {
                    add(&["-o", "SendEnv=GIT_PROTOCOL"]);
                }
                if !may_ask {
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
        "the ssh program takes no options, as far as git's rules can tell, so that port {port} cannot be asked for; if it is OpenSSH or takes its options, set GIT_SSH_VARIANT or ssh.variant to 'ssh'"
    );
    Failure::new(Kind::Local, message).with_hint(
        "Set GIT_SSH_VARIANT or ssh.variant to what the program of GIT_SSH, GIT_SSH_COMMAND or core.sshCommand is ('ssh', 'plink', 'tortoiseplink'), or leave the port out of the URL and give it in that program's own options.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_found_as_git_finds_it() {
        for (words, first) in [
            ("ssh -i key", Some("ssh")),
            ("'/a b/ssh' -i key", Some("/a b/ssh")),
            ("/a\\ b/s\"s\"h -i", Some("/a b/ssh")),
            (" ssh", Some("")),
            ("", Some("")),
            ("'a\\' b", Some("a\\")),
            ("ssh -o 'x", None),
            ("ssh \\", None),
        ] {
            assert_eq!(first_word(words).as_deref(), first, "{words}");
        }
    }

    #[test]
    fn no_program_shows_its_secrets() {
        let environment = Environment::default().with("GIT_SSH_COMMAND", "sshpass -p hunter2 ssh");
        let program = Program::choose(&Config::default(), &environment).expect("set");
        assert_eq!(format!("{program:?}"), "Program(the command in GIT_SSH_COMMAND)");
    }
}
