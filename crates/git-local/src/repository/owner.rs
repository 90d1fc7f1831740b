//! Whether git would trust a repository that may belong to another user: `safe.directory`, by the rules of `setup.c` of git
//! 2.47.

use std::path::{Path, PathBuf};

use super::{Found, OpenError, Repository};
use crate::config::{Config, Environment};

impl Repository {
    /// Checks that the repository belongs to the user of this process or is listed in `safe.directory`, by git's rules:
    /// only the settings of the system, the user and the environment count, not the repository's own. A repository that
    /// `GIT_DIR` names is trusted.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotOwned`], with the command that trusts it. [`OpenError::Other`] if the configuration cannot be read.
    pub fn check_owner(&self) -> Result<(), OpenError> {
        let Some(found) = &self.found else {
            return Ok(());
        };
        let is_doubted = self.environment.bool("GIT_TEST_ASSUME_DIFFERENT_OWNER")?;
        let mut judged = [&found.git_file, &found.top]
            .into_iter()
            .flatten()
            .chain([&found.git_dir]);
        if !is_doubted.unwrap_or(false) && judged.all(|path| is_owned(path, &self.environment)) {
            return Ok(());
        }
        let directory = found.top.as_ref().unwrap_or(&found.git_dir);
        if let Ok(directory) = directory.canonicalize()
            && is_listed(&Config::load_protected(&self.environment)?, &directory, found)?
        {
            return Ok(());
        }
        let place = directory.display();
        Err(OpenError::NotOwned(format!(
            "the repository at {place} belongs to another user, so git does not trust it: change its owner to the user of this process, or, as that user, run: git config --global --add safe.directory {place}"
        )))
    }
}

/// Reads `safe.directory`: the directory itself, `*` for all, `dir/*` for everything below, `.` if the search started in
/// it; an empty value resets. Any other relative path is ignored.
fn is_listed(config: &Config, directory: &Path, found: &Found) -> Result<bool, OpenError> {
    let mut is_safe = false;
    for entry in config.entries_of("safe.directory") {
        match entry.value() {
            None | Some("") => is_safe = false,
            Some("*") => is_safe = true,
            Some(".") => is_safe |= matches(directory, &found.start),
            Some(_) => {
                let listed = config.path_of(entry)?;
                is_safe |= listed.is_absolute() && matches(directory, &listed);
            }
        }
    }
    Ok(is_safe)
}

fn matches(directory: &Path, listed: &Path) -> bool {
    let Some(listed) = resolve(listed) else {
        return false;
    };
    match listed.parent() {
        Some(above) if listed.ends_with("*") => directory != above && directory.starts_with(above),
        _ => directory == listed,
    }
}

/// Resolves symbolic links; the last part of the path need not exist.
fn resolve(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let above = path.parent()?.canonicalize().ok()?;
        Some(above.join(path.file_name()?))
    })
}

/// Whether a path belongs to the user of this process; for root also to the user who became root by sudo.
#[cfg(unix)]
fn is_owned(path: &Path, environment: &Environment) -> bool {
    use std::os::unix::fs::MetadataExt;

    let user = rustix::process::geteuid();
    let before_sudo = || environment.get("SUDO_UID")?.trim_start().parse::<u32>().ok();
    path.symlink_metadata().is_ok_and(|metadata| {
        metadata.uid() == user.as_raw() || (user.is_root() && before_sudo() == Some(metadata.uid()))
    })
}

/// Windows has access lists in place of such an owner. They do not matter to a service that was given its repository.
#[cfg(not(unix))]
fn is_owned(_path: &Path, _environment: &Environment) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sandbox;
    use super::*;

    /// `safe.directory` by `GIT_CONFIG_COUNT`, in this order.
    fn environment(values: &[&str]) -> Environment {
        let mut environment = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
            .with("GIT_CONFIG_COUNT", values.len().to_string());
        for (index, value) in values.iter().enumerate() {
            environment = environment
                .with(format!("GIT_CONFIG_KEY_{index}"), "safe.directory")
                .with(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        environment
    }

    fn is_safe(path: &Path, environment: &Environment) -> bool {
        let repository = Repository::open(Some(path), environment).expect("opens");
        repository.check_owner().is_ok()
    }

    #[test]
    fn the_repositorys_own_configuration_cannot_make_it_safe() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.git(&work, &["config", "safe.directory", "*"]);
        assert!(!is_safe(&work, &environment(&[])));
        assert!(is_safe(&work, &environment(&["*"])));
    }

    #[test]
    fn a_repository_that_git_dir_names_is_trusted() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let environment = environment(&[]).with("GIT_DIR", work.join(".git"));
        let repository = Repository::open(None, &environment).expect("opens");
        repository.check_owner().expect("trusted");
    }
}
