//! Commands as git starts its children: the file that a name stands for, whether a shell reads the command, and the
//! environment of the child.
//!
//! The program is searched for here, not by the standard library: to search the `PATH` of a child with an environment of its
//! own, that would have to `fork`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use git_local::config::Environment;

/// The variables that describe the local repository and must not reach the remote one: the list of
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

/// The characters for which git uses a shell to read a command (`prepare_shell_cmd` in its `run-command.c`).
const SHELL_CHARACTERS: &[u8] = b"|&;<>()$`\\\"' \t\n*?[#~=%";

/// The shell that git was built to use.
const SHELL: &str = if cfg!(windows) { "sh" } else { "/bin/sh" };

/// The environment of a child that reaches a remote: without the description of the local repository.
pub(super) fn environment_for_remote(environment: &Environment) -> Environment {
    let environment = with_english_messages(environment.clone());
    LOCAL_REPOSITORY_VARIABLES
        .iter()
        .fold(environment, Environment::without)
}

/// Makes a child print English messages, which `failure` reads. The rest of the locale stays, above all the character set,
/// on which hooks and helpers may depend, so this is not `LC_ALL=C`. ssh may pass the variables on to the server
/// (`SendEnv LC_*`), whose git then prints English as well.
pub(crate) fn with_english_messages(environment: Environment) -> Environment {
    let names: Vec<_> = environment.iter().map(|(name, _)| name.to_owned()).collect();
    let of_all = environment
        .get_os("LC_ALL")
        .filter(|locale| !locale.is_empty())
        .map(OsStr::to_owned);
    let environment = match of_all {
        // LC_ALL would override LC_MESSAGES, as it overrides the other variables.
        Some(locale) => names
            .iter()
            .filter(|name| name.as_encoded_bytes().starts_with(b"LC_"))
            .fold(environment, Environment::without)
            .with("LANG", locale),
        None => environment.without("LC_ALL"),
    };
    without_traces(environment.without("LANGUAGE").with("LC_MESSAGES", "C"))
}

/// Keeps git's traces (`GIT_TRACE` and others in git(1)) out of its messages: they show headers and the arguments of helpers,
/// secrets included. Traces to a file stay.
fn without_traces(environment: Environment) -> Environment {
    let goes_to_stderr = |value: &OsStr| {
        let value = value.to_string_lossy();
        matches!(&*value, "1" | "2") || value.eq_ignore_ascii_case("true")
    };
    let traces: Vec<_> = environment
        .iter()
        .filter(|(name, value)| {
            let name = name.as_encoded_bytes();
            name == b"GIT_CURL_VERBOSE" || (name.starts_with(b"GIT_TRACE") && goes_to_stderr(value))
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    traces.iter().fold(environment, Environment::without)
}

/// A command for a program by its name or path, to run in `root` with exactly this environment.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if `PATH` has no executable file of that name.
pub(crate) fn command(program: &OsStr, root: &Path, environment: &Environment) -> io::Result<Command> {
    let program = find(program, root, environment)?;
    Ok(prepared(Command::new(program), root, environment))
}

/// A command from a setting, to which arguments can be added: a piece of shell, or the name of a program if it has no
/// character that is special to a shell.
///
/// # Errors
///
/// As [`command`].
pub(super) fn shell_command(setting: &OsStr, root: &Path, environment: &Environment) -> io::Result<Command> {
    if !is_for_shell(setting) {
        return command(setting, root, environment);
    }
    let mut script = setting.to_owned();
    script.push(" \"$@\"");
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(script).arg(setting);
    Ok(prepared(command, root, environment))
}

/// Whether a shell must read this command.
pub(super) fn is_for_shell(command: &OsStr) -> bool {
    let bytes = command.as_encoded_bytes();
    bytes.iter().any(|byte| SHELL_CHARACTERS.contains(byte))
}

/// The same command as a shell script, which is how git and `execvp` run a script without a `#!` line.
pub(super) fn as_shell_script(command: &Command, root: &Path, environment: &Environment) -> Command {
    let mut script = Command::new(SHELL);
    script.arg(command.get_program()).args(command.get_args());
    prepared(script, root, environment)
}

fn prepared(mut command: Command, root: &Path, environment: &Environment) -> Command {
    command.current_dir(root).env_clear().envs(environment.iter());
    command
}

/// The file that a name stands for. Relative directories in `PATH` start at the directory in which the child will run, as
/// a relative path does.
#[cfg(unix)]
pub(super) fn find(program: &OsStr, root: &Path, environment: &Environment) -> io::Result<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    environment
        .find_in_path(program, root, is_executable)
        .ok_or_else(|| {
            let message = format!("there is no program '{}' in PATH", program.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })
}

/// Here the standard library's search knows the extensions of executables, and needs no `fork`.
#[cfg(not(unix))]
pub(super) fn find(program: &OsStr, _root: &Path, _environment: &Environment) -> io::Result<PathBuf> {
    Ok(PathBuf::from(program))
}

/// Whether this process can run the file. The bits of its mode do not tell: they may apply to another user, or the file
/// system may be mounted without permission to execute.
#[cfg(unix)]
pub(super) fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
pub(super) fn is_executable(file: &Path) -> bool {
    file.is_file() || file.with_extension("exe").is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn words_of(command: &Command) -> Vec<String> {
        std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_name_is_the_first_executable_file_in_the_childs_path() {
        let sandbox = tempfile::tempdir().expect("a temporary directory");
        let root = sandbox.path();
        for (directory, mode) in [("a", 0o644), ("b", 0o755), ("c", 0o755)] {
            fs::create_dir(root.join(directory)).expect("new");
            let file = root.join(directory).join("tool");
            fs::write(&file, "").expect("writable");
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("ours");
        }
        // A relative directory counts from where the child runs.
        let path = format!("a:b:{}", root.join("c").display());
        let environment = Environment::default().with("PATH", path);
        let found = command(OsStr::new("tool"), root, &environment).expect("executable");
        assert_eq!(found.get_program(), root.join("b/tool"));
        for missing in ["other", ""] {
            let error = command(OsStr::new(missing), root, &environment).expect_err("nowhere");
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{missing}");
        }
    }

    #[test]
    fn a_shell_reads_a_command_with_more_than_a_name() {
        let environment = Environment::default();
        let root = Path::new("/root");
        let made = |words| words_of(&shell_command(OsStr::new(words), root, &environment).expect("made"));
        assert_eq!(made("./tool"), ["./tool"]);
        assert_eq!(
            made("tool -i ~/key"),
            ["/bin/sh", "-c", "tool -i ~/key \"$@\"", "tool -i ~/key"]
        );
    }

    #[test]
    fn the_environment_for_a_remote_does_not_describe_the_local_repository() {
        let environment = Environment::default()
            .with("GIT_DIR", "/here")
            .with("GIT_SSH_COMMAND", "ssh")
            .with("PATH", "/bin");
        let kept = environment_for_remote(&environment);
        let expected = environment.without("GIT_DIR").with("LC_MESSAGES", "C");
        assert_eq!(kept, expected);
    }

    #[test]
    fn messages_are_english_and_the_character_set_stays() {
        let english = |pairs: &[(&str, &str)]| {
            let environment = Environment::default();
            let environment = pairs.iter().fold(environment, |environment, (name, value)| {
                environment.with(*name, *value)
            });
            let english = with_english_messages(environment);
            let pairs = english
                .iter()
                .map(|(name, value)| format!("{}={}", name.display(), value.display()));
            pairs.collect::<Vec<String>>().join(" ")
        };
        for (given, expected) in [
            (&[][..], "LC_MESSAGES=C"),
            (
                &[("LANG", "de_DE.UTF-8"), ("LANGUAGE", "de:fr")],
                "LANG=de_DE.UTF-8 LC_MESSAGES=C",
            ),
            (
                &[
                    ("LC_ALL", "de_DE.UTF-8"),
                    ("LC_CTYPE", "C"),
                    ("LC_MESSAGES", "fr_FR"),
                ],
                "LANG=de_DE.UTF-8 LC_MESSAGES=C",
            ),
            (
                &[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LC_MESSAGES", "fr_FR")],
                "LC_CTYPE=C.UTF-8 LC_MESSAGES=C",
            ),
        ] {
            assert_eq!(english(given), expected, "{given:?}");
        }
    }

    #[test]
    fn a_directory_is_not_executable() {
        let sandbox = tempfile::tempdir().expect("a temporary directory");
        assert!(!is_executable(sandbox.path()));
    }

    #[test]
    fn traces_among_the_messages_are_disabled_and_those_to_files_are_not() {
        let environment = Environment::default()
            .with("GIT_TRACE", "/var/log/trace")
            .with("GIT_TRACE_CURL", "1")
            .with("GIT_TRACE2_EVENT", "true")
            .with("GIT_CURL_VERBOSE", "1");
        let left = with_english_messages(environment);
        let names: Vec<_> = left.iter().map(|(name, _)| name.to_string_lossy()).collect();
        assert_eq!(names, ["GIT_TRACE", "LC_MESSAGES"]);
    }
}
