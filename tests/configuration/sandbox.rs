//! A directory in which git and the code under test see the same files and environment.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use git_local::config::{Config, Environment};
use tempfile::TempDir;

/// A home, a repository and an environment of their own.
pub(crate) struct Sandbox {
    root: TempDir,
    pub(crate) env: Environment,
    /// Where git runs, and the directories that it then finds.
    pub(crate) work_dir: PathBuf,
    pub(crate) common_dir: PathBuf,
    pub(crate) git_dir: PathBuf,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        // git shows resolved paths, and the temporary directory may be behind a symbolic link.
        let base = fs::canonicalize(root.path()).expect("it exists");
        let work_dir = base.join("work");
        let git_dir = work_dir.join(".git");
        fs::create_dir(base.join("home")).expect("home");
        let env = Environment::default()
            .with("PATH", std::env::var_os("PATH").unwrap_or_default())
            .with("HOME", base.join("home"))
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("LC_ALL", "C");
        let sandbox = Self {
            root,
            env,
            common_dir: git_dir.clone(),
            git_dir,
            work_dir: base.clone(),
        };
        sandbox.git(&["init", "--quiet", "--initial-branch=main", "--template=", "work"]);
        Self { work_dir, ..sandbox }
    }

    pub(crate) fn base(&self) -> PathBuf {
        fs::canonicalize(self.root.path()).expect("it exists")
    }

    /// Writes a file, in which `@@` stands for the sandbox's own directory.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.base().join(path);
        fs::create_dir_all(path.parent().expect("not the root")).expect("directories");
        fs::write(path, self.localised(content.as_ref())).expect("writable");
        self
    }

    pub(crate) fn localised(&self, content: &[u8]) -> Vec<u8> {
        let marker = b"@@";
        let mut localised = Vec::new();
        let mut rest = content;
        while let Some(at) = rest.windows(marker.len()).position(|window| window == marker) {
            localised.extend(&rest[..at]);
            localised.extend(self.base().as_os_str().as_encoded_bytes());
            rest = &rest[at + marker.len()..];
        }
        localised.extend(rest);
        localised
    }

    /// Adds to the repository's own configuration.
    pub(crate) fn local(self, content: impl AsRef<[u8]>) -> Self {
        let path = self.common_dir.join("config");
        let mut whole = fs::read(&path).expect("git init wrote it");
        whole.extend(self.localised(content.as_ref()));
        fs::write(path, whole).expect("writable");
        self
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        let value = String::from_utf8(self.localised(value.as_bytes())).expect("text");
        self.env = self.env.with(name, value);
        self
    }

    pub(crate) fn without_var(mut self, name: &str) -> Self {
        self.env = self.env.without(name);
        self
    }

    pub(crate) fn run(self, args: &[&str]) -> Self {
        self.git(args);
        self
    }

    /// Goes into a linked worktree on a branch of its own.
    pub(crate) fn in_linked_worktree(mut self) -> Self {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        self.git(
            &[
                &identity[..],
                &["commit", "--quiet", "--allow-empty", "--message=x"],
            ]
            .concat(),
        );
        self.git(&["worktree", "add", "--quiet", "-b", "side", "../linked"]);
        self.git_dir = self.common_dir.join("worktrees/linked");
        self.work_dir = self.base().join("linked");
        self
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        Command::new("git")
            .args(args)
            .current_dir(&self.work_dir)
            .env_clear()
            .envs(self.env.iter())
            .output()
            .expect("git is installed")
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn config(&self) -> Config {
        Config::load(&self.env, &self.common_dir, &self.git_dir).expect("git takes it as well")
    }
}
