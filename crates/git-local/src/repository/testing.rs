//! Repositories for tests, created and changed by the git command as by another process.

#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    reason = "a panic fails the test"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use git_wire::oid::Oid;

use super::Repository;
use crate::config::Environment;

/// A temporary directory with repositories.
#[derive(Debug)]
pub struct Sandbox {
    root: PathBuf,
    _directory: tempfile::TempDir,
}

impl Sandbox {
    /// Makes the directory.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self {
            // Repositories are reported by their resolved paths.
            root: directory.path().canonicalize().expect("exists"),
            _directory: directory,
        }
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Creates an empty repository with a working tree, on the branch `main`.
    pub fn init(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        self.git(&self.root, &["init", "-q", "--initial-branch=main", name]);
        path
    }

    /// Adds a linked worktree of this name to a repository, on the new branch `side`.
    pub fn link(&self, work: &Path, name: &str) -> PathBuf {
        let path = self.path(name);
        let place = path.to_str().expect("UTF-8");
        self.git(work, &["worktree", "add", "-q", "-b", "side", place]);
        path
    }

    /// Opens a repository, in no particular environment.
    pub fn open(&self, path: &Path) -> Repository {
        assert!(path.starts_with(&self.root));
        Repository::open(Some(path), &Environment::default()).expect("opens")
    }

    /// Makes an empty commit in a working tree; returns its id.
    pub fn commit(&self, work: &Path, message: &str) -> Oid {
        self.commit_at(work, message, 1_700_000_000)
    }

    /// Makes an empty commit of this time, in seconds since 1970; returns its id.
    pub fn commit_at(&self, work: &Path, message: &str, seconds: u32) -> Oid {
        let date = format!("@{seconds} +0000");
        self.run(
            work,
            &["commit", "-q", "--allow-empty", "-m", message],
            Some(&date),
        );
        self.git(work, &["rev-parse", "HEAD"]).parse().expect("an id")
    }

    /// Runs git and returns its output, without the last line break.
    pub fn git(&self, directory: &Path, arguments: &[&str]) -> String {
        self.run(directory, arguments, None)
    }

    /// Runs `git update-ref --stdin` with these options of git and these commands.
    pub fn update_refs(&self, directory: &Path, options: &[&str], commands: &str) {
        let file = self.path("commands");
        fs::write(&file, commands).expect("written");
        let mut command = self.command(directory, &[options, &["update-ref", "--stdin"]].concat());
        printed(command.stdin(File::open(file).expect("just written")));
    }

    fn run(&self, directory: &Path, arguments: &[&str], date: Option<&str>) -> String {
        let mut command = self.command(directory, arguments);
        if let Some(date) = date {
            command.env("GIT_COMMITTER_DATE", date);
        }
        printed(&mut command)
    }

    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(self.root.join(directory))
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@example.com"),
                ("GIT_COMMITTER_NAME", "C"),
                ("GIT_COMMITTER_EMAIL", "c@example.com"),
            ]);
        command
    }
}

fn printed(command: &mut Command) -> String {
    let output = command.output().expect("git runs");
    assert!(
        output.status.success(),
        "git {:?}: {}",
        command.get_args().collect::<Vec<_>>(),
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    printed.trim_end().to_owned()
}
