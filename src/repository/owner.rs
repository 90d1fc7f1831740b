//! Whether git would trust a repository that may belong to somebody else: `safe.directory`, as `setup.c` of git 2.47
//! judges it.

use std::path::{Path, PathBuf};

use super::{Found, OpenError, Repository};
use crate::config::{Config, Environment};

impl Repository {
    /// Checks that the repository belongs to the user of this process, or is listed in `safe.directory`, by git's
    /// rules: only the settings of the system, the user and the environment count, never the repository's own. One that
    /// `GIT_DIR` names is trusted.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotOwned`], with the command that trusts it. [`OpenError::Other`] where the configuration
    /// cannot be read.
    pub fn check_owner(&self) -> Result<(), OpenError> {
        let Some(found) = &self.found else {
            return Ok(());
        };
        let is_doubted = self
            .environment
            .bool("GIT_TEST_ASSUME_DIFFERENT_OWNER")
            .map_err(OpenError::Other)?
            .unwrap_or(false);
        let mut judged = [
            found.git_file.as_deref(),
            found.work_tree.as_deref(),
            Some(&*found.git_dir),
        ]
        .into_iter()
        .flatten();
        if !is_doubted && judged.all(|path| is_owned(path, &self.environment)) {
            return Ok(());
        }
        let directory = found.work_tree.as_ref().unwrap_or(&found.git_dir);
        if let Ok(directory) = directory.canonicalize() {
            let config = Config::load_protected(&self.environment).map_err(OpenError::Other)?;
            if is_listed(&config, &directory, found)? {
                return Ok(());
            }
        }
        let place = directory.display();
        Err(OpenError::NotOwned {
            message: format!(
                "the repository at {place} belongs to another user, so git does not trust it: change its owner to the user of this process, or, as that user, run: git config --global --add safe.directory {place}"
            ),
        })
    }
}

/// `safe.directory`: the directory itself, `*` for all, `dir/*` for everything below, `.` where the search began in it; an
/// empty value resets. A setting that names nothing here says nothing.
fn is_listed(config: &Config, directory: &Path, found: &Found) -> Result<bool, OpenError> {
    let mut is_safe = false;
    for entry in config.entries_of("safe.directory") {
        match entry.value() {
            None | Some("") => is_safe = false,
            Some("*") => is_safe = true,
            Some(_) => {
                let listed = config.path_of(entry).map_err(OpenError::Other)?;
                let listed = if listed.as_os_str() == "." {
                    found.start.clone()
                } else if listed.is_absolute() {
                    listed
                } else {
                    continue;
                };
                is_safe |= real(&listed).is_some_and(|listed| {
                    if listed.file_name().is_some_and(|name| name == "*") {
                        let above = listed.parent();
                        above.is_some_and(|above| directory != above && directory.starts_with(above))
                    } else {
                        directory == listed
                    }
                });
            }
        }
    }
    Ok(is_safe)
}

/// The path without links; its last part need not exist.
fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let above = path.parent()?.canonicalize().ok()?;
        Some(above.join(path.file_name()?))
    })
}

/// Whether a path belongs to the user of this process; for root also to the one who became root by sudo.
#[cfg(unix)]
fn is_owned(path: &Path, environment: &Environment) -> bool {
    use std::os::unix::fs::MetadataExt;

    let user = rustix::process::geteuid();
    let behind_sudo = || environment.get("SUDO_UID")?.trim_start().parse::<u32>().ok();
    path.symlink_metadata().is_ok_and(|metadata| {
        metadata.uid() == user.as_raw() || (user.is_root() && behind_sudo() == Some(metadata.uid()))
    })
}

/// Windows has no such owner; git asks for its access lists there, libgit2 did too, and neither matters to a
/// service that was given its repository.
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
    fn what_gits_environment_names_is_not_judged() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let environment = environment(&[]).with("GIT_DIR", work.join(".git"));
        let repository = Repository::open(None, &environment).expect("opens");
        repository.check_owner().expect("trusted");
    }
}
