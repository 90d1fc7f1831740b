//! Whether git would trust a repository that may belong to somebody else (git-config(1), `safe.directory`).
//!
//! libgit2 has a check of its own, which knows none of the environment's ways to configure git
//! (`GIT_CONFIG_GLOBAL`, `GIT_CONFIG_COUNT`, …): a container that sets `safe.directory` there would be refused
//! although git works. So that check is off, and this one is made where a daemon starts.

use std::path::{Path, PathBuf};

use super::{OpenError, Repository};
use crate::config::{Config, Environment, Scope};

impl Repository {
    /// Checks that the repository belongs to the user of this process, or is listed in `safe.directory`, by git's
    /// rules: only the settings of the system, the user and the environment count, never the repository's own.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotOwned`], with the command that trusts it. [`OpenError::Other`] where the configuration
    /// cannot be read.
    pub fn check_owner(&self, environment: &Environment) -> Result<(), OpenError> {
        let work_tree = self.repo.workdir().map(|_| self.root.clone());
        let git_file = work_tree
            .as_ref()
            .map(|work_tree| work_tree.join(".git"))
            .filter(|file| file.is_file());
        let is_ours = [git_file, work_tree.clone(), Some(self.git_dir.clone())]
            .into_iter()
            .flatten()
            .all(|path| is_owned(&path, environment));
        if is_ours {
            return Ok(());
        }
        let directory = work_tree.unwrap_or_else(|| self.git_dir.clone());
        let directory = directory.canonicalize().unwrap_or(directory);
        let config = Config::load(environment, &self.common_dir, &self.git_dir).map_err(OpenError::Other)?;
        if is_listed(&config, &directory)? {
            return Ok(());
        }
        let place = directory.display();
        Err(OpenError::NotOwned {
            message: format!(
                "the repository at {place} belongs to another user, so git does not trust it: change its owner to the user of this process, or, as that user, run: git config --global --add safe.directory {place}"
            ),
        })
    }
}

/// `safe.directory`: the directory itself, `*` for all, `dir/*` for everything below; an empty value resets.
fn is_listed(config: &Config, directory: &Path) -> Result<bool, OpenError> {
    let mut is_safe = false;
    for entry in config.entries_of("safe.directory") {
        if !matches!(
            entry.origin().scope(),
            Scope::System | Scope::Global | Scope::Command
        ) {
            continue;
        }
        match entry.value() {
            None | Some("") => is_safe = false,
            Some("*") => is_safe = true,
            Some(_) => {
                let listed = config.path_of(entry).map_err(OpenError::Other)?;
                is_safe |= match listed.to_str().and_then(|listed| listed.strip_suffix("/*")) {
                    Some(above) => directory.starts_with(real(Path::new(above))),
                    None => directory == real(&listed),
                };
            }
        }
    }
    Ok(is_safe)
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether a path belongs to the user of this process; for root also to the one who became root by sudo.
#[cfg(unix)]
fn is_owned(path: &Path, environment: &Environment) -> bool {
    use std::os::unix::fs::MetadataExt;

    let user = rustix::process::geteuid();
    let behind_sudo = || environment.get("SUDO_UID").and_then(|id| id.parse::<u32>().ok());
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
    fn config(repository: &Repository, values: &[&str]) -> Config {
        let mut environment = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_CONFIG_COUNT", values.len().to_string());
        for (index, value) in values.iter().enumerate() {
            environment = environment
                .with(format!("GIT_CONFIG_KEY_{index}"), "safe.directory")
                .with(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        Config::load(&environment, repository.common_dir(), repository.git_dir()).expect("reads")
    }

    #[test]
    fn safe_directories_are_listed_by_gits_rules() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work").canonicalize().expect("exists");
        let repository = Repository::open(Some(&work)).expect("opens");
        let own = work.to_str().expect("UTF-8");
        let above = format!("{}/*", work.parent().expect("a parent").display());
        let inside = format!("{own}/inside");
        for (values, expected) in [
            (&[][..], false),
            (&[own], true),
            (&["*"], true),
            (&[above.as_str()], true),
            (&["/elsewhere", own], true),
            (&["/elsewhere"], false),
            (&[inside.as_str()], false),
            (&[own, ""], false),
            (&["*", "", own], true),
        ] {
            let listed = is_listed(&config(&repository, values), &work).expect("reads");
            assert_eq!(listed, expected, "{values:?}");
        }
    }

    #[test]
    fn the_repositorys_own_configuration_cannot_make_it_safe() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work").canonicalize().expect("exists");
        sandbox.git(&work, &["config", "safe.directory", "*"]);
        let repository = Repository::open(Some(&work)).expect("opens");
        assert!(!is_listed(&config(&repository, &[]), &work).expect("reads"));
    }
}
