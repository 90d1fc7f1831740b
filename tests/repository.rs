//! Opens repositories and writes refs side by side with `git push`: both must accept and write the same.

#![cfg(target_os = "linux")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "the parts for servers are not used here")]
mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use git_local::config::{Config, Environment};
use git_local::repository::{Repository, Target};
use git_local::url::Remote;
use push_engine::attempt::{Destination, RemotePusher, TransportNote};
use push_engine::branch::{FormatsNote, SharedBranch};
use push_engine::options::{Timeouts, TransportChoice};
use push_engine::state::Outcome;
use support::{Sandbox, attempt, close, report};

const MAIN: &str = "refs/heads/main";
const OTHER_USER: u32 = 65_534;

/// A sandbox with a remote, which a row turns into the repository that it needs.
struct Case {
    sandbox: Sandbox,
    /// The repository.
    path: PathBuf,
    /// The arguments that lead git there; none stand for `-C <path>`.
    git: Vec<String>,
    /// The remote: a path or a name.
    remote: String,
}

impl Case {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        Self {
            remote: sandbox.bare("remote.git").display().to_string(),
            path: sandbox.work(),
            git: Vec::new(),
            sandbox,
        }
    }

    fn git_dir(&self) -> PathBuf {
        self.sandbox.work().join(".git")
    }

    fn run(self, args: &[&str]) -> Self {
        self.sandbox.git(&self.sandbox.work(), args);
        self
    }

    /// Adds to the configuration of the repository `work`, in which `@@` stands for the sandbox.
    fn config(self, content: &str) -> Self {
        self.sandbox.config(&self.here(content));
        self
    }

    /// Writes a file, by a path in the sandbox.
    fn file(self, name: &str, content: &str) -> Self {
        let path = self.sandbox.path(name);
        fs::create_dir_all(path.parent().expect("not the root")).expect("directories");
        let _: std::io::Result<()> = fs::remove_file(&path);
        fs::write(path, self.here(content)).expect("writable");
        self
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        let value = self.here(value);
        self.sandbox.var(name, value);
        self
    }

    fn here(&self, text: &str) -> String {
        let base = self.sandbox.path("").display().to_string();
        text.replace("@@", base.trim_end_matches('/'))
    }

    fn at(mut self, name: &str) -> Self {
        self.path = self.sandbox.path(name);
        self
    }

    /// Leads git there by `--git-dir`.
    fn by_git_dir(mut self) -> Self {
        self.git = vec!["--git-dir".to_owned(), self.path.display().to_string()];
        self
    }

    fn moved(self, from: &str, to: &str) -> Self {
        let to = self.sandbox.path(to);
        fs::create_dir_all(to.parent().expect("not the root")).expect("directories");
        fs::rename(self.sandbox.path(from), to).expect("moves");
        self
    }

    /// Adds the linked worktree `linked`, with the branch `main`.
    fn worktree(self) -> Self {
        self.run(&["checkout", "--quiet", "-b", "side"]).run(&[
            "worktree",
            "add",
            "--quiet",
            "../linked",
            "main",
        ])
    }

    fn removed(self, name: &str) -> Self {
        fs::remove_dir_all(self.sandbox.path(name)).expect("removes");
        self
    }

    fn linked(self, target: &str, name: &str) -> Self {
        symlink(self.sandbox.path(target), self.sandbox.path(name)).expect("links");
        self
    }

    fn cloned(self, args: &[&str], name: &str) -> Self {
        let base = self.sandbox.path("");
        let from = format!("file://{}", self.sandbox.work().display());
        self.sandbox
            .git(&base, &[&["clone", "--quiet"], args, &[&from, name]].concat());
        self.at(name)
    }

    fn owned(self, names: &[&str], user: u32) -> Self {
        for name in names {
            lchown(self.sandbox.path(name), Some(user), None).expect("root");
        }
        self
    }

    /// Lists values of `safe.directory`, in this order, in the user's file, for a repository of another user.
    fn safe(mut self, values: &[&str]) -> Self {
        self.remote = String::from("there");
        let lines: Vec<_> = values
            .iter()
            .map(|value| format!("\tdirectory{value}\n"))
            .collect();
        let remote = r#"[remote "there"]
    url = @@/remote.git
    receivePack = GIT_TEST_ASSUME_DIFFERENT_OWNER=0 git receive-pack
"#;
        self.file("global", &format!("{remote}[safe]\n{}", lines.concat()))
            .var("GIT_CONFIG_GLOBAL", "@@/global")
            .var("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    }

    fn commit(self) -> Self {
        self.sandbox.commit("another");
        self
    }

    /// Runs `git push` to a remote without the branch.
    fn git_pushes(&self) -> Result<(), String> {
        let there = self.sandbox.path("remote.git");
        let _: std::io::Result<()> = fs::remove_file(there.join(MAIN));
        let at = ["-C".to_owned(), self.path.display().to_string()];
        let place = if self.git.is_empty() { &at[..] } else { &self.git };
        let args: Vec<&str> = place
            .iter()
            .map(String::as_str)
            .chain(["push", &self.remote, "refs/heads/main:refs/heads/main"])
            .collect();
        let output = self.sandbox.output(&self.sandbox.path(""), &args);
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        output.status.success().then_some(()).ok_or(said)
    }
}

/// Opens a repository as a daemon does at its start, and makes one attempt.
async fn push(path: &Path, given: &str, environment: &Environment) -> Result<(), String> {
    let repository = Repository::open(Some(path), environment).map_err(|error| error.to_string())?;
    repository.check_owner().map_err(|error| error.to_string())?;
    let environment = repository.environment().clone();
    let config = Config::load(&environment, repository.common_dir(), repository.git_dir())
        .map_err(|failure| failure.to_string())?;
    let remote = Remote::resolve(&config, given, repository.root()).map_err(|error| error.to_string())?;
    let target = Target {
        git_dir: repository.git_dir().to_owned(),
        refname: MAIN.to_owned(),
        remote_name: remote.name,
    };
    let route = Destination {
        remote: given.to_owned(),
        root: repository.root().to_owned(),
        common_dir: repository.common_dir().to_owned(),
        environment: environment.clone(),
        transport: TransportChoice::Auto,
        timeouts: Timeouts {
            connect: None,
            idle: None,
            report: None,
            attempt: None,
        },
        keep_connection: Duration::ZERO,
    };
    let side = SharedBranch::new(target, environment, FormatsNote::default());
    let pusher = RemotePusher::new(side, route, TransportNote::default());
    let outcome = attempt(&pusher).await;
    close(&pusher).await;
    match outcome {
        Outcome::Pushed { .. } => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// The expected result of a row.
#[derive(Clone, Copy)]
enum Expected {
    /// Both push.
    Pushed,
    /// Neither pushes.
    Refused,
    /// Only ours pushes, for a reason.
    OursAlone(&'static str),
}
use Expected::{OursAlone, Pushed, Refused};

type Row = (&'static str, Expected, fn(Case) -> Case);

fn prepared(rows: &'static [Row]) -> impl Iterator<Item = (String, Expected, Case)> {
    let rows = rows.iter();
    rows.map(|(name, expected, prepare)| ((*name).to_owned(), *expected, prepare(Case::new())))
}

const SHAPES: &[Row] = &[
    ("a working tree", Pushed, |case| case),
    ("its .git", Pushed, |case| case.at("work/.git")),
    ("a symbolic link to it", Pushed, |case| {
        case.linked("work", "link").at("link")
    }),
    ("a symbolic link to its .git", Pushed, |case| {
        case.linked("work/.git", "link").at("link")
    }),
    ("a .git that is a symbolic link", Pushed, |case| {
        case.moved("work/.git", "real").linked("real", "work/.git")
    }),
    ("a bare clone", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git")
    }),
    ("a mirror", Pushed, |case| {
        case.cloned(&["--mirror"], "mirror.git")
    }),
    ("a bare clone that says that it is not bare", Pushed, |case| {
        let case = case.cloned(&["--bare"], "bare.git");
        case.sandbox.git(&case.path, &["config", "core.bare", "false"]);
        case
    }),
    ("a working tree that says that it is bare", Pushed, |case| {
        case.config("[core]\n\tbare = true\n")
    }),
    ("a separate git directory", Pushed, |case| {
        case.run(&["init", "--quiet", "--separate-git-dir", "../apart"])
    }),
    ("a .git file with a relative path and line ends", Pushed, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../apart\r\n\n")
    }),
    ("a .git file without a space", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir:../apart\n")
    }),
    ("a .git file with a missing target", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../elsewhere\n")
    }),
    ("a linked worktree", Pushed, |case| case.worktree().at("linked")),
    ("a linked worktree by relative paths", Pushed, |case| {
        case.worktree()
            .file("linked/.git", "gitdir: ../work/.git/worktrees/linked\n")
            .file("work/.git/worktrees/linked/gitdir", "../../../../linked/.git\n")
            .at("linked")
    }),
    ("a linked worktree of a bare repository", Pushed, |case| {
        let case = case.cloned(&["--bare"], "bare.git");
        case.sandbox
            .git(&case.path, &["worktree", "add", "--quiet", "../linked", "main"]);
        case.at("linked")
    }),
    (
        "a linked worktree with a configuration of its own",
        Pushed,
        |case| {
            case.config("[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tworktreeConfig\n")
                .worktree()
                .file(
                    "work/.git/worktrees/linked/config.worktree",
                    "[core]\n\tbare = false\n",
                )
                .at("linked")
        },
    ),
    ("a missing core.worktree", Pushed, |case| {
        case.config("[core]\n\tworktree = @@/nowhere\n")
            .at("work/.git")
            .by_git_dir()
    }),
    ("a missing core.worktree, from the old place", Pushed, |case| {
        case.config("[core]\n\tworktree = @@/nowhere\n")
    }),
    (
        "a missing relative core.worktree",
        OursAlone("a push needs no working tree, and git stops only where it would change to it"),
        |case| case.config("[core]\n\tworktree = ../../nowhere\n"),
    ),
    ("core.worktree elsewhere", Pushed, |case| {
        case.file("elsewhere/file", "")
            .config("[core]\n\tworktree = ../../elsewhere\n")
    }),
    ("no configuration at all", Pushed, |case| {
        fs::remove_file(case.git_dir().join("config")).expect("removes");
        case
    }),
    (
        "extensions without a version, which do not count",
        Pushed,
        |case| {
            case.file(
                "work/.git/config",
                "[extensions]\n\tfrobnicate = 1\n\tobjectFormat = sha1\n",
            )
        },
    ),
    (
        "a configuration with an include that git reads only later",
        Pushed,
        |case| {
            case.config("[include]\n\tpath = @@/included\n")
                .file("included", "[core]\n\trepositoryFormatVersion = 7\n")
        },
    ),
    ("no HEAD", Refused, |case| {
        fs::remove_file(case.git_dir().join("HEAD")).expect("removes");
        case
    }),
    ("a HEAD that names no ref", Refused, |case| {
        case.file("work/.git/HEAD", "ref: main\n")
    }),
    ("no refs", Refused, |case| case.removed("work/.git/refs")),
    ("no objects", Refused, |case| case.removed("work/.git/objects")),
    ("a directory outside any repository", Refused, |case| {
        case.file("work/inside/file", "")
            .removed("work/.git")
            .at("work/inside")
    }),
];

const HEADS: &[Row] = &[
    ("a detached HEAD", Pushed, |case| {
        case.run(&["checkout", "--quiet", "--detach"])
    }),
    ("a HEAD with spaces", Pushed, |case| {
        case.file("work/.git/HEAD", "ref:   refs/heads/main  \n\n")
    }),
    ("a HEAD with tabs", Pushed, |case| {
        case.file("work/.git/HEAD", "ref:\t\trefs/heads/main\t\r\n")
    }),
    ("a HEAD without a space", Pushed, |case| {
        case.file("work/.git/HEAD", "ref:refs/heads/main")
    }),
    ("a HEAD that is a symbolic link", Pushed, |case| {
        let head = case.git_dir().join("HEAD");
        fs::remove_file(&head).expect("removes");
        symlink("refs/heads/main", head).expect("links");
        case
    }),
    (
        "a branch that is a symbolic ref with spaces and tabs",
        Pushed,
        |case| {
            case.run(&["branch", "real"])
                .file("work/.git/refs/heads/main", "ref: \t refs/heads/real \t\n")
        },
    ),
    ("a branch that is a symbolic link", Pushed, |case| {
        let case = case.run(&["branch", "real"]);
        fs::remove_file(case.git_dir().join("refs/heads/main")).expect("removes");
        symlink("refs/heads/real", case.git_dir().join("refs/heads/main")).expect("links");
        case
    }),
    ("a branch with text after its id", Pushed, |case| {
        let tip = case.sandbox.git(&case.sandbox.work(), &["rev-parse", "main"]);
        case.file("work/.git/refs/heads/main", &format!("{tip}\tof something\n"))
    }),
    ("packed refs", Pushed, |case| {
        case.run(&["pack-refs", "--all", "--prune"])
    }),
    (
        "packed refs that are not sorted and have no header",
        Pushed,
        |case| {
            let tip = case.sandbox.git(&case.sandbox.work(), &["rev-parse", "main"]);
            case.run(&["pack-refs", "--all", "--prune"]).file(
                "work/.git/packed-refs",
                &format!("{tip} refs/tags/z\n{tip} refs/heads/main\n{tip} refs/heads/a\n"),
            )
        },
    ),
    ("a symbolic ref to a packed one", Pushed, |case| {
        case.run(&["branch", "real"])
            .run(&["symbolic-ref", MAIN, "refs/heads/real"])
            .run(&["pack-refs", "--all", "--prune"])
    }),
    (
        "a chain of as many symbolic refs as git follows",
        Pushed,
        |case| {
            case.run(&["branch", "real"])
                .run(&["symbolic-ref", MAIN, "refs/heads/a"])
                .run(&["symbolic-ref", "refs/heads/a", "refs/heads/b"])
                .run(&["symbolic-ref", "refs/heads/b", "refs/heads/c"])
                .run(&["symbolic-ref", "refs/heads/c", "refs/heads/real"])
        },
    ),
    ("a chain of one more", Refused, |case| {
        case.run(&["branch", "real"])
            .run(&["symbolic-ref", "refs/heads/a", "refs/heads/b"])
            .run(&["symbolic-ref", "refs/heads/b", "refs/heads/c"])
            .run(&["symbolic-ref", "refs/heads/c", "refs/heads/d"])
            .run(&["symbolic-ref", "refs/heads/d", "refs/heads/real"])
            .file("work/.git/refs/heads/main", "ref: refs/heads/a\n")
    }),
];

/// A version of the format, and the lines below `[extensions]`.
const FORMATS: &[(&str, &str, Expected)] = &[
    ("1", "noop", Pushed),
    ("1", "noop-v1 = x", Pushed),
    ("0", "noop", Pushed),
    ("0", "noop-v1", Refused),
    ("1", "preciousObjects = true", Pushed),
    ("1", "preciousObjects = perhaps", Refused),
    ("1", "worktreeConfig = true", Pushed),
    ("0", "worktreeConfig = true", Pushed),
    ("1", "partialClone = origin", Pushed),
    ("1", "partialClone", Refused),
    ("1", "objectFormat = sha1", Pushed),
    ("0", "objectFormat = sha1", Refused),
    ("1", "objectFormat = SHA1", Refused),
    ("1", "refStorage = files", Pushed),
    ("0", "refStorage = files", Refused),
    ("1", "refStorage = stone", Refused),
    ("1", "compatObjectFormat = sha256", Pushed),
    ("1", "compatObjectFormat = sha1", Refused),
    (
        "1",
        "compatObjectFormat = sha256\ncompatObjectFormat = sha256",
        Refused,
    ),
    ("1", "frobnicate", Refused),
    ("0", "frobnicate", Pushed),
    ("1", "[extensions \"noop\"]\n\tx = y", Refused),
    ("2", "", Refused),
    ("one", "", Refused),
    ("0", "relativeWorktrees = true", Pushed),
    (
        "1",
        "relativeWorktrees = true",
        OursAlone("git 2.48 accepts it, and it does not affect a push"),
    ),
];

/// The repository's own objects in `pool` and `more`, one commit packed and one loose.
fn pooled(case: Case) -> Case {
    case.run(&["repack", "-adq"])
        .commit()
        .moved("work/.git/objects/pack", "pool/pack")
        .moved("work/.git/objects", "more")
        .file("work/.git/objects/info/x", "")
}

const OBJECTS: &[Row] = &[
    ("no objects anywhere", Refused, pooled),
    ("GIT_OBJECT_DIRECTORY", Pushed, |case| {
        pooled(case)
            .removed("work/.git/objects")
            .file("more/info/alternates", "../pool\n")
            .var("GIT_OBJECT_DIRECTORY", "@@/more")
    }),
    ("a relative GIT_OBJECT_DIRECTORY", Pushed, |case| {
        pooled(case)
            .file("more/info/alternates", "@@/pool")
            .var("GIT_OBJECT_DIRECTORY", "../more/")
    }),
    ("a missing GIT_OBJECT_DIRECTORY", Refused, |case| {
        case.var("GIT_OBJECT_DIRECTORY", "@@/nowhere")
    }),
    ("a missing relative GIT_OBJECT_DIRECTORY", Refused, |case| {
        case.var("GIT_OBJECT_DIRECTORY", "nowhere")
    }),
    ("an empty GIT_OBJECT_DIRECTORY", Refused, |case| {
        case.var("GIT_OBJECT_DIRECTORY", "")
    }),
    ("a path that is not UTF-8", Pushed, |case| {
        let odd = case.sandbox.path("").join(OsStr::from_bytes(b"o\xffdd"));
        fs::create_dir(&odd).expect("creates");
        fs::rename(case.sandbox.work(), odd.join("work")).expect("moves");
        symlink(odd.join("work"), case.sandbox.work()).expect("links");
        case
    }),
    ("GIT_ALTERNATE_OBJECT_DIRECTORIES", Pushed, |case| {
        pooled(case).var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "@@/nowhere:@@/pool:@@/more")
    }),
    ("relative GIT_ALTERNATE_OBJECT_DIRECTORIES", Pushed, |case| {
        pooled(case).var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "../pool:../more")
    }),
    ("quoted GIT_ALTERNATE_OBJECT_DIRECTORIES", Pushed, |case| {
        pooled(case).moved("pool", "a:b \"c\"").var(
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "\"@@/a:b \\\"c\\\"\":\"@@/mor\\145\"",
        )
    }),
    ("a list that is commented out", Refused, |case| {
        pooled(case).var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "#@@/pool:@@/more")
    }),
    ("a directory with alternates of its own", Pushed, |case| {
        pooled(case)
            .file("more/info/alternates", "../pool")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "@@/more")
    }),
    ("both variables", Pushed, |case| {
        pooled(case)
            .removed("work/.git/objects")
            .var("GIT_OBJECT_DIRECTORY", "@@/more")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "@@/pool")
    }),
    ("both where git itself pushes, for a hook", Pushed, |case| {
        let case = pooled(case)
            .var("GIT_OBJECT_DIRECTORY", "../more")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "../pool");
        case.sandbox.script("work/.git/hooks/pre-push", "#!/bin/sh\n");
        case
    }),
    ("both of a linked worktree, relative to it", Pushed, |case| {
        pooled(case)
            .file("linked/.git", "gitdir: @@/work/.git/worktrees/linked\n")
            .file("work/.git/worktrees/linked/HEAD", "ref: refs/heads/main\n")
            .file("work/.git/worktrees/linked/commondir", "../..\n")
            .file("work/.git/worktrees/linked/gitdir", "@@/linked/.git\n")
            .var("GIT_OBJECT_DIRECTORY", "../more")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "../pool")
            .at("linked")
    }),
    (
        "alternates with comments, empty lines and missing directories",
        Pushed,
        |case| {
            pooled(case).file(
                "work/.git/objects/info/alternates",
                "# pools\n\n@@/nowhere\n../../../pool/\n@@/more\n",
            )
        },
    ),
    ("quoted alternates", Pushed, |case| {
        pooled(case)
            .moved("pool", "line\nend")
            .moved("more", "qu\"ote")
            .file(
                "work/.git/objects/info/alternates",
                "\"../../../line\\nend\"\n\"@@/qu\\\"ote\"\n",
            )
    }),
    ("a quote that does not end", Pushed, |case| {
        pooled(case)
            .moved("pool", "work/.git/objects/\"pool")
            .file("work/.git/objects/info/alternates", "\"pool\n../../../more\n")
    }),
    ("a relative alternate without a leading dot", Pushed, |case| {
        pooled(case)
            .moved("pool", "work/.git/objects/pool")
            .file("work/.git/objects/info/alternates", "pool\n@@/more")
    }),
    (
        "alternates with Windows line ends",
        OursAlone("libgit2 reads such lines too, and the objects that it finds are checked"),
        |case| pooled(case).file("work/.git/objects/info/alternates", "@@/pool\r\n@@/more\r\n"),
    ),
    (
        "alternates of alternates, absolute and relative",
        Pushed,
        |case| {
            pooled(case)
                .file("work/.git/objects/info/alternates", "../../../1/objects\n")
                .file("1/objects/info/alternates", "@@/2\n../../more\n")
                .file("2/info/alternates", "../3\n")
                .file("3/info/alternates", "\"../4\"\n")
                .file("4/info/alternates", "../pool\n")
        },
    ),
    ("alternates as deep as git reads them", Pushed, |case| {
        deep(case, 6)
    }),
    ("alternates in a circle", Pushed, |case| {
        pooled(case)
            .file("work/.git/objects/info/alternates", "@@/pool\n")
            .file("pool/info/alternates", "../work/.git/objects\n../more\n")
            .file("more/info/alternates", "../pool\n")
    }),
    ("a clone that borrows", Pushed, |case| {
        case.cloned(&["--shared"], "borrowed")
    }),
    (
        "a bare clone that borrows, without commits of its own",
        Pushed,
        |case| {
            let case = case.commit();
            let base = case.sandbox.path("");
            case.sandbox.git(
                &base,
                &["clone", "--quiet", "--bare", "--shared", "work", "bare.git"],
            );
            case.at("bare.git")
        },
    ),
    ("a partial clone without its old files", Pushed, |case| {
        partial(case, "blob:none")
    }),
    ("a partial clone without its old directories", Pushed, |case| {
        partial(case, "tree:0")
    }),
    ("a shallow clone", Refused, |case| {
        case.commit().cloned(&["--depth=1"], "shallow")
    }),
];

/// A chain of alternates, the last of which has the objects.
fn deep(case: Case, depth: usize) -> Case {
    let case = pooled(case).file("work/.git/objects/info/alternates", "@@/1\n");
    (1..depth).fold(case, |case, index| {
        let last = index + 1 == depth;
        let lines = if last {
            "../pool\n../more\n".to_owned()
        } else {
            format!("../{}\n", index + 1)
        };
        case.file(&format!("{index}/info/alternates"), &lines)
    })
}

/// A partial clone, with a new commit that changes one directory.
fn partial(case: Case, filter: &str) -> Case {
    let case = case
        .file("work/a/b/file", &"a line\n".repeat(100))
        .file("work/a/other", "x")
        .run(&["add", "."])
        .run(&["commit", "--quiet", "-m", "files"])
        .run(&["push", "--quiet", "../remote.git", "main"])
        .run(&["config", "uploadpack.allowFilter", "true"])
        .run(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let filter = format!("--filter={filter}");
    let case = case.cloned(&["--no-checkout", &filter], "partial");
    // A commit as an application makes it, which reads nothing of the old file.
    let tree = "work/../partial/tree";
    let blob = case.file(tree, &"a line\n".repeat(101));
    let git = |args: &[&str]| blob.sandbox.git(&blob.path, args);
    let id = git(&["hash-object", "-w", "tree"]);
    git(&["read-tree", "--empty"]);
    git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("100644,{id},a/b/file"),
    ]);
    let tree = git(&["write-tree"]);
    let commit = git(&["commit-tree", "-p", "main", "-m", "more", &tree]);
    git(&["update-ref", MAIN, &commit]);
    blob
}

/// `safe.directory` lines in the user's file for the working tree `work`.
const SAFE_LISTS: &[(&str, Expected, &[&str])] = &[
    ("nothing listed", Refused, &[]),
    ("the directory", Pushed, &[" = @@/work"]),
    ("with a trailing slash", Pushed, &[" = @@/work/"]),
    ("with dots in it", Pushed, &[" = @@/home/.././work/."]),
    ("its .git, of a working tree", Refused, &[" = @@/work/.git"]),
    ("everything", Pushed, &[" = *"]),
    ("everything below", Pushed, &[" = @@/*"]),
    ("everything below itself", Refused, &[" = @@/work/*"]),
    ("everything below a part of its name", Refused, &[" = @@/wo/*"]),
    ("everything below the root", Pushed, &[" = /*"]),
    ("a glob, which git does not support", Refused, &[" = @@/w*"]),
    (
        "everything below a missing directory",
        Refused,
        &[" = @@/nowhere/*"],
    ),
    ("a dot", Pushed, &[" = ."]),
    ("a relative path", Refused, &[" = work", " = ./", " = .."]),
    ("where git is installed", Refused, &[" = %(prefix)/work"]),
    (
        "something below where git is installed",
        Pushed,
        &[" = %(prefix)/../../../../../../../../@@/work"],
    ),
    ("nothing, which resets", Refused, &[" = @@/work", " = "]),
    ("no value, which resets", Refused, &[" = *", ""]),
    (
        "another one after a reset",
        Pushed,
        &[" = *", " = ", " = @@/work"],
    ),
];

const SAFE: &[Row] = &[
    ("its .git, of the .git", Pushed, |case| {
        case.safe(&[" = @@/work/.git"]).at("work/.git")
    }),
    ("the working tree, of the .git", Refused, |case| {
        case.safe(&[" = @@/work"]).at("work/.git")
    }),
    ("everything below, of a deeper repository", Pushed, |case| {
        case.moved("work", "a/b/work").safe(&[" = @@/a/*"]).at("a/b/work")
    }),
    ("the home directory", Pushed, |case| {
        case.moved("work", "home/work")
            .at("home/work")
            .safe(&[" = ~/work"])
    }),
    ("everything below the home directory", Pushed, |case| {
        case.moved("work", "home/work").at("home/work").safe(&[" = ~/*"])
    }),
    ("a symbolic link to it", Pushed, |case| {
        case.linked("work", "link").safe(&[" = @@/link"])
    }),
    ("it, of a symbolic link", Pushed, |case| {
        case.linked("work", "link").safe(&[" = @@/work"]).at("link")
    }),
    ("everything below a symbolic link", Pushed, |case| {
        case.moved("work", "a/work")
            .linked("a", "link")
            .safe(&[" = @@/link/*"])
            .at("a/work")
    }),
    ("a bare repository", Pushed, |case| {
        case.cloned(&["--bare"], "bare.git").safe(&[" = @@/bare.git"])
    }),
    ("a linked worktree", Pushed, |case| {
        case.worktree().at("linked").safe(&[" = @@/linked"])
    }),
    ("the main one, of a linked worktree", Refused, |case| {
        case.worktree().at("linked").safe(&[" = @@/work"])
    }),
    ("core.worktree is not asked", Refused, |case| {
        case.file("elsewhere/file", "")
            .config("[core]\n\tworktree = @@/elsewhere\n")
            .safe(&[" = @@/elsewhere"])
    }),
    ("in the repository's own configuration", Refused, |case| {
        case.config("[safe]\n\tdirectory = *\n").safe(&[])
    }),
    ("in the environment", Pushed, |case| {
        case.safe(&[])
            .var("GIT_CONFIG_COUNT", "1")
            .var("GIT_CONFIG_KEY_0", "safe.directory")
            .var("GIT_CONFIG_VALUE_0", "@@/work")
    }),
    ("by git -c", Pushed, |case| {
        case.safe(&[])
            .var("GIT_CONFIG_PARAMETERS", "'safe.directory'='@@/work'")
    }),
    ("in the system's file", Pushed, |case| {
        case.safe(&[])
            .file("system", "[safe]\n\tdirectory = @@/work\n")
            .var("GIT_CONFIG_NOSYSTEM", "0")
            .var("GIT_CONFIG_SYSTEM", "@@/system")
    }),
    ("in a file that is included", Pushed, |case| {
        case.file("included", "[safe]\n\tdirectory = *\n")
            .safe(&["\n[include]\n\tpath = @@/included\n[safe]\n\tx = y"])
    }),
    (
        "in a file that is included for this repository",
        Refused,
        |case| {
            case.file("included", "[safe]\n\tdirectory = *\n")
                .safe(&[" = @@/x\n[includeIf \"gitdir:**\"]\n\tpath = @@/included\n[safe]\n\tx = y"])
        },
    ),
];

/// The paths that belong to another user, and `SUDO_UID`. Only root can give files away.
const OWNED: &[(&str, Expected, &[&str], &str)] = &[
    ("of another user", Refused, &["work", "work/.git"], ""),
    ("a working tree of another user", Refused, &["work"], ""),
    ("a .git of another user", Refused, &["work/.git"], ""),
    (
        "objects of another user",
        Pushed,
        &["work/.git/objects", "work/.git/HEAD", "work/.git/config"],
        "",
    ),
    (
        "of the user who ran sudo",
        Pushed,
        &["work", "work/.git"],
        "65534",
    ),
    ("of root and of the user who ran sudo", Pushed, &["work"], "65534"),
    (
        "of another user than ran sudo",
        Refused,
        &["work", "work/.git"],
        "1000",
    ),
    (
        "with a SUDO_UID that is no number",
        Refused,
        &["work", "work/.git"],
        "65534x",
    ),
];

const OWNERS: &[Row] = &[
    ("a .git in a working tree of another user", Pushed, |case| {
        case.owned(&["work"], OTHER_USER).at("work/.git")
    }),
    ("a .git file of another user", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../apart\n")
            .owned(&["work/.git"], OTHER_USER)
    }),
    ("the target of a .git file, of another user", Refused, |case| {
        case.moved("work/.git", "apart")
            .file("work/.git", "gitdir: ../apart\n")
            .owned(&["apart"], OTHER_USER)
    }),
    ("a .git that is another user's symbolic link", Refused, |case| {
        case.moved("work/.git", "real")
            .linked("real", "work/.git")
            .owned(&["work/.git"], OTHER_USER)
    }),
    ("a symbolic link to a .git of another user", Pushed, |case| {
        case.moved("work/.git", "real")
            .linked("real", "work/.git")
            .owned(&["real"], OTHER_USER)
    }),
    (
        "the common directory of a worktree, of another user",
        Pushed,
        |case| {
            case.worktree()
                .owned(&["work", "work/.git"], OTHER_USER)
                .at("linked")
        },
    ),
    ("of another user, and listed", Pushed, |case| {
        case.owned(&["work", "work/.git"], OTHER_USER)
            .safe(&[" = @@/work"])
            .var("GIT_TEST_ASSUME_DIFFERENT_OWNER", "0")
    }),
];

/// A repository is opened where git opens it, and refused where git refuses it.
async fn check(rows: impl Iterator<Item = (String, Expected, Case)>) {
    let mut wrong = Vec::new();
    for (name, expected, case) in rows {
        // Ours comes first: git may fetch what a partial clone lacks.
        let ours = push(&case.path, &case.remote, &case.sandbox.env).await;
        let theirs = case.git_pushes();
        let (is_right, note) = match expected {
            Pushed => (theirs.is_ok() && ours.is_ok(), ""),
            Refused => (theirs.is_err() && ours.is_err(), ""),
            OursAlone(reason) => (theirs.is_err() && ours.is_ok(), reason),
        };
        if !is_right {
            wrong.push(format!("{name} {note}\n  git: {theirs:?}\n  ours: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn repositories_of_every_shape_are_opened_as_git_opens_them() {
    check(prepared(SHAPES)).await;
}

#[tokio::test]
async fn refs_are_read_as_git_reads_them() {
    check(prepared(HEADS)).await;
}

#[tokio::test]
async fn formats_are_judged_as_git_judges_them() {
    let rows = FORMATS.iter().map(|(version, lines, expected)| {
        let content = format!("[core]\n\trepositoryFormatVersion = {version}\n[extensions]\n{lines}\n");
        (content.clone(), *expected, Case::new().config(&content))
    });
    check(rows).await;
}

#[tokio::test]
async fn objects_are_found_where_git_finds_them() {
    check(prepared(OBJECTS)).await;
}

#[tokio::test]
async fn safe_directories_are_listed_by_gits_rules() {
    let lists = SAFE_LISTS
        .iter()
        .map(|(name, expected, values)| ((*name).to_owned(), *expected, Case::new().safe(values)));
    check(lists.chain(prepared(SAFE))).await;
}

#[tokio::test]
async fn owners_are_judged_as_git_judges_them() {
    if fs::metadata("/proc/self").expect("proc").uid() != 0 {
        report("SKIPPED the tests of owners: only root can give files away");
        return;
    }
    let owned = OWNED.iter().map(|(name, expected, paths, sudo)| {
        let case = Case::new().owned(paths, OTHER_USER);
        let case = if sudo.is_empty() {
            case
        } else {
            case.var("SUDO_UID", sudo)
        };
        ((*name).to_owned(), *expected, case)
    });
    check(owned.chain(prepared(OWNERS))).await;
}

/// Every file and directory of refs and reflogs, with its permissions.
fn written(git_dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![git_dir.join("refs"), git_dir.join("logs")];
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .expect("readable")
                    .map(|entry| entry.expect("an entry").path()),
            );
        }
        let name = path.strip_prefix(git_dir).expect("below").to_owned();
        found.insert(name, format!("{:o}", metadata.permissions().mode() & 0o7777));
    }
    found
}

const USUAL: &str = "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*";

/// Settings beside [`USUAL`] under which git and ours write the same.
const SETTINGS: &[&str] = &[
    "core.sharedRepository=group",
    "core.sharedRepository=true",
    "core.sharedRepository=all",
    "core.sharedRepository=everybody",
    "core.sharedRepository=0660",
    "core.sharedRepository=0640",
    "core.sharedRepository=0600",
    "core.sharedRepository=0664",
    "core.sharedRepository=1",
    "core.sharedRepository=2",
    "core.sharedRepository=umask",
    "core.logAllRefUpdates=false",
    // A negative line that git ignores here.
    "remote.origin.fetch=^refs/heads/main",
];

/// `remote.origin.fetch` in lines, and the ref that only ours writes.
const FETCHED: &[(&[&str], Option<&str>)] = &[
    (&["+refs/heads/*:refs/remotes/origin/*"], None),
    (&["refs/heads/*:refs/remotes/else/where/*"], None),
    (&["refs/heads/main:refs/copy/of/main"], None),
    // The first line that applies wins.
    (
        &[
            "refs/heads/other:refs/remotes/a/other",
            "refs/heads/ma*:refs/remotes/b/*",
            "refs/heads/*:refs/remotes/c/*",
        ],
        None,
    ),
    // A negative line that git applies.
    (
        &["refs/heads/main:refs/remotes/origin/main", "^refs/heads/m*"],
        None,
    ),
    // The usual place belongs to another branch.
    (&["refs/heads/other:refs/remotes/origin/main"], None),
    (&[], Some("refs/remotes/origin/main")),
    (
        &["refs/heads/other:refs/remotes/origin/other"],
        Some("refs/remotes/origin/main"),
    ),
    (&["refs/heads/main"], Some("refs/remotes/origin/main")),
];

/// Names of remotes that cannot be part of a ref's name.
const UNUSABLE: &[&str] = &[
    "my remote",
    "..",
    "a..b",
    "~",
    "foo.lock",
    "https://host.example/r.git",
];

/// The settings of a row, the name of the remote, and the ref that only ours writes.
type WrittenRow = (Vec<String>, &'static str, Option<&'static str>);

fn written_rows() -> Vec<WrittenRow> {
    let strings = |settings: &[&str]| settings.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    let settings = SETTINGS
        .iter()
        .map(|setting| (strings(&[USUAL, setting]), "origin", None));
    let fetched = FETCHED.iter().map(|(lines, ours_alone)| {
        let lines = lines.iter().map(|line| format!("remote.origin.fetch={line}"));
        (lines.collect(), "origin", *ours_alone)
    });
    let unusable = UNUSABLE.iter().map(|name| (Vec::new(), *name, None));
    let others = [
        (
            strings(&[
                "remote.origin.fetch=refs/heads/main:refs/copy/of/main",
                "core.logAllRefUpdates=always",
                "core.sharedRepository=group",
            ]),
            "origin",
            None,
        ),
        (Vec::new(), "team/one", Some("refs/remotes/team/one/main")),
        (
            strings(&["remote.my remote.fetch=refs/heads/*:refs/remotes/mine/*"]),
            "my remote",
            None,
        ),
    ];
    settings.chain(fetched).chain(unusable).chain(others).collect()
}

#[tokio::test]
async fn what_a_push_writes_is_what_git_writes() {
    let mut wrong = Vec::new();
    for (settings, remote, ours_alone) in written_rows() {
        let name = format!("{remote} {settings:?}");
        let case = Case::new();
        let sandbox = &case.sandbox;
        let work = sandbox.work();
        let url = sandbox.path("remote.git").display().to_string();
        sandbox.git(&work, &["config", &format!("remote.{remote}.url"), &url]);
        for setting in &settings {
            let (key, value) = setting.split_once('=').expect("a setting");
            sandbox.git(&work, &["config", "--add", key, value]);
        }
        let copy = sandbox.path("copy");
        copy_all(&work.join(".git"), &copy.join(".git"));
        let pushed = sandbox.output(&work, &["push", "--quiet", remote, "main"]);
        assert!(
            pushed.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&pushed.stderr)
        );
        sandbox.git(&sandbox.path("remote.git"), &["update-ref", "-d", MAIN]);
        let ours = push(&copy, remote, &sandbox.env).await;
        let (theirs, mut found) = (written(&work.join(".git")), written(&copy.join(".git")));
        let told = ours_alone.map(|refname| sandbox.git(&copy, &["rev-parse", refname]));
        if let Some(refname) = ours_alone {
            found.retain(|path, _| {
                theirs.contains_key(path)
                    || !Path::new(refname).starts_with(path.strip_prefix("logs").unwrap_or(path))
            });
        }
        let refs = |at: &Path| sandbox.git(at, &["for-each-ref", "--format=%(refname) %(objectname)"]);
        let listed: Vec<_> = refs(&copy)
            .lines()
            .filter(|line| ours_alone.is_none_or(|refname| !line.starts_with(refname)))
            .map(str::to_owned)
            .collect();
        let subjects = |at: &Path| {
            let shown = sandbox.git(at, &["reflog", "show", "--all", "--format=%gD %gs"]);
            let mut lines: Vec<_> = shown.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let is_same_log = ours_alone.is_some() || subjects(&work) == subjects(&copy);
        if ours.is_err()
            || theirs != found
            || listed.join("\n") != refs(&work)
            || !is_same_log
            || told.is_some_and(|tip| tip != sandbox.git(&work, &["rev-parse", "main"]))
        {
            wrong.push(format!(
                "{name}: {ours:?}\n  git: {theirs:?}\n  ours: {found:?}\n  {listed:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("directories");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}
