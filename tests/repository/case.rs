//! A sandbox with a remote, which a row turns into the repository that it needs.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use git_local::config::Environment;

use super::MAIN;
use super::support::{Sandbox, run};

/// The formats of a repository's refs and objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    /// As for `git init --ref-format`.
    pub(crate) refs: &'static str,
    /// As for `git init --object-format`.
    pub(crate) objects: &'static str,
}

/// Refs in files and SHA-1 objects: for rows that are about just these.
pub(crate) const USUAL: &[Format] = &[Format {
    refs: "files",
    objects: "sha1",
}];

/// The formats in which every other shape is tried: what most repositories have today, and what git 3.0 makes.
pub(crate) const FORMATS: &[Format] = &[
    USUAL[0],
    Format {
        refs: "reftable",
        objects: "sha256",
    },
];

/// A repository with its remote.
pub(crate) struct Case {
    /// Dropped before the sandbox, which could not be removed.
    pub(crate) read_only: Option<ReadOnly>,
    pub(crate) sandbox: Sandbox,
    /// The environment before the row changed it.
    pub(crate) plain: Environment,
    /// The repository. `None` if the environment names it.
    pub(crate) path: Option<PathBuf>,
    /// The arguments that name the repository to git; none stands for `-C <path>`.
    pub(crate) git: Vec<String>,
    /// The remote, as a push names it: a path or a name.
    pub(crate) remote: String,
    /// Where the remote is.
    pub(crate) there: PathBuf,
}

/// A directory that is read-only until this is dropped: root mounts it so, and others lose the permission to write.
pub(crate) struct ReadOnly {
    path: PathBuf,
    is_mounted: bool,
}

impl ReadOnly {
    fn new(path: &Path) -> Self {
        let run = |program: &str, args: &[&OsStr]| {
            let ended = Command::new(program).args(args).arg(path).output();
            ended.is_ok_and(|ended| ended.status.success())
        };
        let is_mounted = run("mount", &["--bind".as_ref(), path.as_os_str()]);
        let read_only = Self {
            path: path.to_owned(),
            is_mounted,
        };
        let is_done = if is_mounted {
            run("mount", &["-o".as_ref(), "remount,ro,bind".as_ref()])
        } else {
            run("chmod", &["-R".as_ref(), "a-w".as_ref()])
        };
        assert!(is_done, "{} is not read-only", path.display());
        read_only
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let args: &[&str] = if self.is_mounted {
            &["umount"]
        } else {
            &["chmod", "-R", "u+w"]
        };
        let _: io::Result<_> = Command::new(args[0]).args(&args[1..]).arg(&self.path).status();
    }
}

impl Case {
    /// The repository `work` with one commit, and an empty remote.
    pub(crate) fn new(format: Format) -> Self {
        let sandbox = Sandbox::with(&[
            ("GIT_DEFAULT_REF_FORMAT", format.refs),
            ("GIT_DEFAULT_HASH", format.objects),
            ("GIT_ADVICE", "0"),
        ]);
        let there = sandbox.bare("remote.git");
        Self {
            plain: sandbox.env.clone(),
            path: Some(sandbox.work()),
            git: Vec::new(),
            remote: there.display().to_string(),
            there,
            read_only: None,
            sandbox,
        }
    }

    pub(crate) fn git_dir(&self) -> PathBuf {
        self.sandbox.work().join(".git")
    }

    /// The path of the repository, if the row names one.
    pub(crate) fn here(&self) -> &Path {
        self.path.as_deref().expect("the row has a path")
    }

    /// Replaces `@@` by the path of the sandbox.
    pub(crate) fn filled(&self, text: &str) -> String {
        let base = self.sandbox.path("").display().to_string();
        text.replace("@@", base.trim_end_matches('/'))
    }

    /// Runs git in a directory, in the environment before the row changed it.
    pub(crate) fn git_in(&self, directory: &Path, args: &[&str]) -> String {
        let filled: Vec<String> = args.iter().map(|arg| self.filled(arg)).collect();
        let args: Vec<&str> = filled.iter().map(String::as_str).collect();
        run(&self.plain, directory, &args, "")
    }

    /// Runs git in the repository of the row.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.git_in(self.here(), args)
    }

    /// Runs git in the repository of the row, with this on its standard input.
    pub(crate) fn git_reads(&self, args: &[&str], input: &str) -> String {
        run(&self.plain, self.here(), args, input)
    }

    /// Runs git in the repository of the row.
    pub(crate) fn run(self, args: &[&str]) -> Self {
        self.git(args);
        self
    }

    /// Runs git in the remote.
    pub(crate) fn run_there(self, args: &[&str]) -> Self {
        self.git_in(&self.there, args);
        self
    }

    /// Adds to the configuration of the repository `work`, in which `@@` stands for the sandbox.
    pub(crate) fn config(self, content: &str) -> Self {
        self.sandbox.config(&self.filled(content));
        self
    }

    /// Writes a file, by a path in the sandbox.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        let path = self.sandbox.path(name);
        fs::create_dir_all(path.parent().expect("not the root")).expect("directories");
        let _: io::Result<()> = fs::remove_file(&path);
        fs::write(path, self.filled(content)).expect("writable");
        self
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        let value = self.filled(value);
        self.sandbox.var(name, value);
        self
    }

    pub(crate) fn at(mut self, name: &str) -> Self {
        self.path = Some(self.sandbox.path(name));
        self
    }

    /// Names the repository to git by `--git-dir`.
    pub(crate) fn by_git_dir(mut self) -> Self {
        self.git = vec!["--git-dir".to_owned(), self.here().display().to_string()];
        self
    }

    /// Lets the environment name the repository, for git and for the daemon.
    pub(crate) fn by_environment(mut self) -> Self {
        self.path = None;
        self
    }

    /// Pushes to the remote of this name.
    pub(crate) fn to(mut self, remote: &str) -> Self {
        remote.clone_into(&mut self.remote);
        self
    }

    /// Adds the remote `other`, at `other.git`, and pushes to it.
    pub(crate) fn into_other(mut self) -> Self {
        if !self.sandbox.path("other.git").exists() {
            self.sandbox.bare("other.git");
        }
        self.git(&["remote", "add", "other", "@@/other.git"]);
        self.there = self.sandbox.path("other.git");
        self.to("other")
    }

    pub(crate) fn moved(self, from: &str, to: &str) -> Self {
        let to = self.sandbox.path(to);
        fs::create_dir_all(to.parent().expect("not the root")).expect("directories");
        fs::rename(self.sandbox.path(from), to).expect("moves");
        self
    }

    /// Adds the linked worktree `linked`, with the branch `main`.
    pub(crate) fn worktree(self) -> Self {
        self.run(&["checkout", "--quiet", "-b", "side"]).run(&[
            "worktree",
            "add",
            "--quiet",
            "@@/linked",
            "main",
        ])
    }

    /// Makes the repository of the row read-only.
    pub(crate) fn read_only(mut self) -> Self {
        self.read_only = Some(ReadOnly::new(self.here()));
        self
    }

    pub(crate) fn removed(self, name: &str) -> Self {
        let path = self.sandbox.path(name);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removes");
        } else {
            fs::remove_file(path).expect("removes");
        }
        self
    }

    pub(crate) fn linked(self, target: &str, name: &str) -> Self {
        symlink(self.sandbox.path(target), self.sandbox.path(name)).expect("links");
        self
    }

    /// Clones the repository `work`.
    pub(crate) fn cloned(self, args: &[&str], name: &str) -> Self {
        self.cloned_from("work", args, name)
    }

    /// Clones the remote, which is then the remote `origin`.
    pub(crate) fn cloned_from_remote(self, args: &[&str], name: &str) -> Self {
        self.cloned_from("remote.git", args, name).to("origin")
    }

    fn cloned_from(self, from: &str, args: &[&str], name: &str) -> Self {
        let from = format!("file://@@/{from}");
        let base = self.sandbox.path("");
        self.git_in(&base, &[&["clone", "--quiet"], args, &[&from, name]].concat());
        self.at(name)
    }

    pub(crate) fn owned(self, names: &[&str], user: u32) -> Self {
        for name in names {
            lchown(self.sandbox.path(name), Some(user), None).expect("root");
        }
        self
    }

    /// Makes an empty commit in `work`.
    pub(crate) fn commit(self) -> Self {
        self.git_in(
            &self.sandbox.work(),
            &["commit", "--quiet", "--allow-empty", "-m", "another"],
        );
        self
    }

    /// Commits files in several directories to `work`, in three commits.
    pub(crate) fn with_files(self) -> Self {
        let lines = "a line\n".repeat(100);
        let case = self
            .file("work/top", "one\n")
            .file("work/a/file", &lines)
            .file("work/a/b/file", &format!("{lines}more\n"))
            .file("work/z/file", "z\n")
            .committed("files");
        case.file("work/top", "two\n")
            .committed("two")
            .file("work/a/b/file", &lines.repeat(2))
            .committed("three")
    }

    /// Commits everything in the working tree of the row.
    pub(crate) fn committed(self, message: &str) -> Self {
        self.run(&["add", "--all"])
            .run(&["commit", "--quiet", "-m", message])
    }

    /// Pushes the files of [`Self::with_files`] to the remote, which allows partial clones.
    pub(crate) fn published(self) -> Self {
        let case = self.with_files();
        case.git_in(
            &case.sandbox.work(),
            &["push", "--quiet", "@@/remote.git", "main"],
        );
        case.run_there(&["symbolic-ref", "HEAD", MAIN])
            .run_there(&["config", "uploadpack.allowFilter", "true"])
            .run_there(&["config", "uploadpack.allowAnySHA1InWant", "true"])
    }

    /// Changes a file in the working tree of the row, and commits that.
    pub(crate) fn edited(self, file: &str) -> Self {
        let path = self.here().join(file);
        fs::create_dir_all(path.parent().expect("not the root")).expect("directories");
        let old = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, old + "another line\n").expect("writable");
        self.run(&["add", "--sparse", "--", file])
            .run(&["commit", "--quiet", "-m", "edited"])
    }

    /// Moves `main` of the row to a new commit of this tree, as an application without a working tree does.
    pub(crate) fn committed_tree(self, tree: &str) -> Self {
        let commit = self.git(&["commit-tree", "-p", MAIN, "-m", "by plumbing", tree]);
        self.run(&["update-ref", MAIN, &commit])
    }

    /// Commits a new version of a file by plumbing, which reads the old trees and no old file.
    pub(crate) fn plumbed(self, file: &str) -> Self {
        let blob = self.git_reads(&["hash-object", "-w", "--stdin"], &format!("new {file}\n"));
        self.added(file, &blob)
    }

    /// Commits a file that is this blob, by plumbing.
    pub(crate) fn added(self, file: &str, blob: &str) -> Self {
        let index = self.sandbox.path("plumbing.index");
        let environment = self.plain.clone().with("GIT_INDEX_FILE", &index);
        let git = |args: &[&str]| run(&environment, self.here(), args, "");
        git(&["read-tree", MAIN]);
        git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("100644,{blob},{file}"),
        ]);
        let tree = git(&["write-tree", "--missing-ok"]);
        self.committed_tree(&tree)
    }

    /// What a revision of the repository `work` is.
    pub(crate) fn id(&self, revision: &str) -> String {
        self.git_in(&self.sandbox.work(), &["rev-parse", revision])
    }
}
