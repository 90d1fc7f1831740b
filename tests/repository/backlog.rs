//! Large backlogs in packs, of which git makes the pack.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use push_engine::daemon::Pusher;
use push_engine::event::SentPush;
use push_engine::failure::Kind;
use push_engine::state::{Outcome, Terms};
use tokio::time::{sleep, timeout};

use super::MAIN;
use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{Pushed, Rejected};
use super::side_by_side::{Row, check, prepared};
use super::support::{Sandbox, attempt, close, failure_of};

/// So many commits leave their pack to git.
const MANY: u64 = 1_000;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commits on top of `main` for `git fast-import`, which packs so many. Each changes a file.
fn commits() -> String {
    let mut stream = String::new();
    for commit in 0..MANY {
        let from = if commit == 0 {
            "from refs/heads/main^0\n"
        } else {
            ""
        };
        let committer = "committer A U Thor <author@example.com> 1700000000 +0000";
        let content = format!("{commit}\n{}", "a line of a file\n".repeat(20));
        let (directory, length) = (commit % 10, content.len());
        write!(
            stream,
            "commit refs/heads/main\n{committer}\ndata 1\nx\n{from}M 100644 inline d/{directory}/file\ndata {length}\n{content}\n"
        )
        .expect("memory");
    }
    stream
}

impl Case {
    fn with_backlog(self) -> Self {
        self.git_reads(&["fast-import", "--quiet"], &commits());
        self
    }
}

const BACKLOGS: &[Row] = &[
    ("on top of what the remote has", Pushed, |case| {
        case.published().with_backlog()
    }),
    ("a first push", Pushed, |case| {
        case.with_files().with_backlog().run(&["repack", "-adq"])
    }),
    ("with a bitmap", Pushed, |case| {
        case.published().with_backlog().run(&["repack", "-adbq"])
    }),
    ("with a last commit that is loose", Pushed, |case| {
        case.published().with_backlog().plumbed("top")
    }),
    ("in a linked worktree", Pushed, |case| {
        case.published()
            .worktree()
            .at("linked")
            .run(&["checkout", "--quiet", "--detach"])
            .with_backlog()
    }),
    ("in a shallow clone", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--depth=1"], "clone")
            .with_backlog()
    }),
    ("in another directory of objects", Pushed, |case| {
        let case = case.published().with_backlog();
        case.moved("work/.git/objects", "objects")
            .var("GIT_OBJECT_DIRECTORY", "@@/objects")
    }),
    ("in an alternate of the environment", Pushed, |case| {
        let case = case.published().with_backlog();
        fs::create_dir_all(case.sandbox.path("empty")).expect("a directory");
        case.moved("work/.git/objects", "objects")
            .moved("empty", "work/.git/objects")
            .var("GIT_ALTERNATE_OBJECT_DIRECTORIES", "@@/objects")
    }),
    ("with a commit that is replaced", Pushed, |case| {
        let case = case.published().with_backlog();
        case.run(&["replace", "-f", "main~500", "main~900"])
            .var("GIT_NO_REPLACE_OBJECTS", "1")
    }),
    ("beside remote branches that are not here", Pushed, |case| {
        let case = case.published().with_backlog();
        let tree = case.git_in(&case.there, &["rev-parse", "main^{tree}"]);
        let other = case.git_in(&case.there, &["commit-tree", "-m", "other", &tree]);
        case.run_there(&["update-ref", "refs/heads/other", &other])
    }),
    ("beside a remote branch that is a tag here", Pushed, |case| {
        case.published()
            .run(&["tag", "-a", "-m", "a tag", "v1", "main"])
            .run(&["push", "--quiet", "@@/remote.git", "v1"])
            .with_backlog()
    }),
    (
        "with a lost file",
        Rejected("is missing from the local repository", "unable to read"),
        |case| {
            let case = case.published();
            let blob = case.git_reads(&["hash-object", "-w", "--stdin"], "lost\n");
            let case = case.added("lost", &blob).with_backlog();
            case.removed(&format!("work/.git/objects/{}/{}", &blob[..2], &blob[2..]))
        },
    ),
];

#[tokio::test]
async fn large_backlogs_arrive_whole() {
    check(prepared(FORMATS, BACKLOGS)).await;
}

/// A repository with a large backlog, an empty remote, and a `git` that does something else for `pack-objects`.
struct Scene {
    sandbox: Sandbox,
    remote: PathBuf,
}

impl Scene {
    /// In `script`, `@@` stands for the sandbox, and `git "$@"` makes the pack.
    fn new(script: &str) -> Self {
        let mut sandbox = Sandbox::new();
        let remote = sandbox.bare("remote.git");
        super::support::run(
            &sandbox.env,
            &sandbox.work(),
            &["fast-import", "--quiet"],
            &commits(),
        );
        let base = sandbox.path("").display().to_string();
        let script = script.replace("@@", base.trim_end_matches('/'));
        let path = sandbox.env.get("PATH").expect("a path").to_owned();
        let content = format!(
            "#!/bin/sh\nPATH='{path}'; export PATH\n[ \"$1\" = pack-objects ] || exec git \"$@\"\n{script}\n"
        );
        let program = sandbox.script("bin/git", &content);
        let directory = program.parent().expect("bin").display();
        sandbox.var("PATH", format!("{directory}:{path}"));
        Self { sandbox, remote }
    }

    fn remote(&self) -> &str {
        self.remote.to_str().expect("UTF-8")
    }

    fn remote_tip(&self) -> String {
        let output = self
            .sandbox
            .output(&self.remote, &["rev-parse", "--verify", "-q", MAIN]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    async fn push(&self) -> Outcome {
        self.sandbox.attempt(self.remote()).await
    }

    /// The content of a file, once it is there.
    async fn file(&self, name: &str) -> String {
        let path = self.sandbox.path(name);
        let reading = async {
            loop {
                match fs::read_to_string(&path) {
                    Ok(content) if content.ends_with('\n') => return content.trim().to_owned(),
                    _ => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("it is written")
    }
}

async fn assert_ends(process: &str) {
    let ending = async {
        while Path::new("/proc").join(process).exists() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ending).await.expect("the process ends");
}

#[tokio::test]
async fn what_git_has_made_is_sent_and_counted() {
    let scene = Scene::new("git \"$@\" | tee @@/pack");
    let Outcome::Pushed(SentPush { commits, bytes, .. }) = scene.push().await else {
        panic!("a push was expected");
    };
    // With the first one of the sandbox.
    assert_eq!(commits, MANY + 1);
    let pack = fs::metadata(scene.sandbox.path("pack")).expect("git made it");
    assert_eq!(bytes, pack.len());
    let tip = scene.sandbox.git(&scene.sandbox.work(), &["rev-parse", "main"]);
    assert_eq!(scene.remote_tip(), tip);
    scene.sandbox.git(&scene.remote, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_git_that_makes_nothing_is_replaced() {
    let scene = Scene::new("echo 'fatal: not today' >&2; exit 128");
    let outcome = scene.push().await;
    assert!(
        matches!(outcome, Outcome::Pushed(SentPush { commits, .. }) if commits == MANY + 1),
        "{outcome:?}"
    );
    scene.sandbox.git(&scene.remote, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_pack_that_git_does_not_finish_never_arrives() {
    for (script, said) in [
        (
            "git \"$@\" | head -c 20000; echo 'fatal: not today' >&2; exit 128",
            "not today",
        ),
        // Whole, but git is not content with it.
        (
            "git \"$@\"; echo 'fatal: not this one' >&2; exit 1",
            "not this one",
        ),
    ] {
        let scene = Scene::new(script);
        let failure = failure_of(scene.push().await);
        assert_eq!(failure.kind(), Kind::Local, "{failure}");
        assert!(failure.message().contains(said), "{failure}");
        assert_eq!(scene.remote_tip(), "");
    }
}

#[tokio::test]
async fn a_damaged_object_is_a_local_failure_that_names_it() {
    let scene = Scene::new("git \"$@\"");
    let work = scene.sandbox.work();
    let blob = scene.sandbox.git(&work, &["rev-parse", "main~300:d/9/file"]);
    let packs = work.join(".git/objects/pack");
    let index = fs::read_dir(&packs)
        .expect("packs")
        .map(|file| file.expect("an entry").path())
        .find(|file| file.extension().is_some_and(|ending| ending == "idx"))
        .expect("an index");
    let listed = scene
        .sandbox
        .git(&work, &["verify-pack", "-v", index.to_str().expect("UTF-8")]);
    let line = listed
        .lines()
        .find(|line| line.starts_with(&blob))
        .expect("packed");
    let at: usize = line
        .split_whitespace()
        .nth(4)
        .and_then(|at| at.parse().ok())
        .expect("an offset");
    let pack = index.with_extension("pack");
    let mut bytes = fs::read(&pack).expect("readable");
    bytes[at + 8..at + 14].fill(0xff);
    fs::remove_file(&pack).expect("ours");
    fs::write(&pack, bytes).expect("writable");
    let failure = failure_of(scene.push().await);
    assert_eq!(failure.kind(), Kind::Local, "{failure}");
    assert!(failure.message().contains(&blob), "{failure}");
    assert_eq!(scene.remote_tip(), "");
}

#[tokio::test]
async fn git_ends_with_the_attempt() {
    for part in ["", "git \"$@\" | head -c 20000;"] {
        let scene = Scene::new(&format!("{part} echo $$ >@@/process; exec sleep 1000"));
        let pusher = scene.sandbox.pusher(scene.remote());
        let process = tokio::select! {
            process = scene.file("process") => process,
            _ = pusher.attempt(Terms::default()) => panic!("the attempt hangs"),
        };
        assert_ends(&process).await;
        close(&pusher).await;
    }
}

#[tokio::test]
async fn git_ends_when_the_server_refuses_early() {
    let scene =
        Scene::new("[ -e @@/process ] && exec git \"$@\"; echo $$ >@@/process; git \"$@\"; exec sleep 1000");
    scene
        .sandbox
        .git(&scene.remote, &["config", "receive.maxInputSize", "20000"]);
    let pusher = scene.sandbox.pusher(scene.remote());
    // A smaller step arrives.
    assert!(matches!(attempt(&pusher).await, Outcome::Pushed(_)));
    assert_ends(&scene.file("process").await).await;
    close(&pusher).await;
}
