//! How git starts its children: which file a command's name stands for, when a shell reads the command, and what
//! the child may know of the local repository.
//!
//! The program is looked for here and not by the standard library, which would have to `fork` for it: it can
//! search the `PATH` of a child with an environment of its own only between `fork` and `exec`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::Environment;

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

/// The characters for which git lets a shell read a command (`prepare_shell_cmd` in its `run-command.c`).
const SHELL_CHARACTERS: &[u8] = b"|&;<>()$`\\\"' \t\n*?[#~=%";

/// The shell that git was built to use.
const SHELL: &str = if cfg!(windows) { "sh" } else { "/bin/sh" };

/// What a child may know: everything but the local repository.
pub(super) fn environment_for_remote(environment: &Environment) -> Environment {
    LOCAL_REPOSITORY_VARIABLES
        .iter()
        .fold(environment.clone(), |environment, variable| {
            environment.without(variable)
        })
}

/// A program by its name or path, to run in `root` with exactly this environment.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] where no executable file of that name is in `PATH`.
pub(super) fn command(program: &OsStr, root: &Path, environment: &Environment) -> io::Result<Command> {
    let program = find(program, root, environment)?;
    Ok(prepared(Command::new(program), root, environment))
}

/// A command as users write it into a setting, to which arguments can be added: a piece of shell, or, without any
/// character that means something to a shell, the name of a program.
///
/// # Errors
///
/// As [`command`].
pub(super) fn shell_command(words: &OsStr, root: &Path, environment: &Environment) -> io::Result<Command> {
    if !is_for_shell(words) {
        return command(words, root, environment);
    }
    let mut script = words.to_owned();
    script.push(" \"$@\"");
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(script).arg(words);
    Ok(prepared(command, root, environment))
}

/// Whether a shell has to read this command.
pub(super) fn is_for_shell(words: &OsStr) -> bool {
    let bytes = words.as_encoded_bytes();
    bytes.iter().any(|byte| SHELL_CHARACTERS.contains(byte))
}

/// The same, read by a shell: what git and `execvp` do with a script that has no `#!` line.
pub(super) fn as_shell_script(command: &Command, root: &Path, environment: &Environment) -> Command {
    let mut script = Command::new(SHELL);
    script.arg(command.get_program()).args(command.get_args());
    prepared(script, root, environment)
}

fn prepared(mut command: Command, root: &Path, environment: &Environment) -> Command {
    command.current_dir(root).env_clear().envs(environment.iter());
    command
}

/// The file that a name stands for. Relative directories in `PATH` count from where the child will run, as a
/// relative path does by itself.
#[cfg(unix)]
pub(super) fn find(program: &OsStr, root: &Path, environment: &Environment) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;

    if program.as_encoded_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    let is_executable = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(environment.get_os("PATH").unwrap_or_default())
        .filter(|_| !program.is_empty())
        .map(|directory| root.join(directory).join(program))
        .find(is_executable)
        .ok_or_else(|| {
            let message = format!("there is no program '{}' in PATH", program.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })
}

/// There the standard library's own search knows what an executable is called, and no `fork` threatens.
#[cfg(not(unix))]
pub(super) fn find(program: &OsStr, _root: &Path, _environment: &Environment) -> io::Result<PathBuf> {
    Ok(PathBuf::from(program))
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
    fn a_command_with_more_than_a_name_is_read_by_a_shell() {
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
    fn the_local_repository_is_kept_from_the_other_one() {
        let environment = Environment::default()
            .with("GIT_DIR", "/here")
            .with("GIT_SSH_COMMAND", "ssh")
            .with("PATH", "/bin");
        let kept = environment_for_remote(&environment);
        assert_eq!(kept, environment.without("GIT_DIR"));
    }
}
