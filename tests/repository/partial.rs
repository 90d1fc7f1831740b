//! Partial clones, which lack objects that their promisor remote has.

use git_local::repository::Repository;
use push_engine::attempt::TransportNote;
use push_engine::daemon::Pusher;
use push_engine::options::TransportChoice;
use push_engine::state::{Outcome, Terms};

use super::MAIN;
use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{ByGit, DaemonAlone, Pushed, Rejected};
use super::side_by_side::{Row, check, prepared, pusher_of};
use super::support::{attempt, close, failure_of};

impl Case {
    /// A partial clone of the remote, without a working tree.
    fn partial(self, filter: &str) -> Self {
        let filter = format!("--filter={filter}");
        self.published()
            .cloned_from_remote(&["--no-checkout", &filter], "partial")
    }

    /// A clone without files, with a new commit that mentions a missing file by another name.
    fn copying(self) -> Self {
        let case = self.partial("blob:none");
        let blob = case.id("main:z/file");
        case.added("copy", &blob)
    }

    /// A clone without directories, with a new commit of one new file and one missing directory.
    fn mentioning(self) -> Self {
        let case = self.partial("tree:0");
        let (directory, blob) = (
            case.id("main:a"),
            case.git_reads(&["hash-object", "-w", "--stdin"], "new\n"),
        );
        let lines = format!("040000 tree {directory}\ta\n100644 blob {blob}\tnew\n");
        let tree = case.git_reads(&["mktree", "--missing"], &lines);
        case.committed_tree(&tree)
    }

    /// Pushes to the remote `other`, which has all but the new commit.
    fn into_other_with_history(self) -> Self {
        let case = self.into_other();
        case.git_in(&case.sandbox.work(), &["push", "--quiet", "@@/other.git", "main"]);
        case
    }

    /// Moves the promisor remote away.
    fn without_promisor(self) -> Self {
        self.moved("remote.git", "gone.git")
    }
}

/// The reason for the git CLI.
const LACKS: &str = "which only git can fetch from its promisor";

const PARTIAL: &[Row] = &[
    ("without files, edited in a working tree", Pushed, |case| {
        case.partial("blob:none")
            .run(&["checkout", "--quiet", "main"])
            .edited("a/b/file")
    }),
    ("without files, changed by plumbing", Pushed, |case| {
        case.partial("blob:none").plumbed("a/b/file")
    }),
    (
        "without files, with a missing one by another name",
        Pushed,
        Case::copying,
    ),
    (
        "without files, with a missing one in its old version",
        Pushed,
        |case| {
            let case = case.partial("blob:none");
            let old = case.id("main~2:a/b/file");
            case.added("a/b/file", &old)
        },
    ),
    (
        "without files, with a missing directory by another name",
        Pushed,
        |case| {
            let case = case.partial("blob:none");
            let directory = case.id("main:a");
            let root = case.git(&["cat-file", "-p", "main:"]);
            let tree = case.git_reads(
                &["mktree", "--missing"],
                &format!("{root}\n040000 tree {directory}\tcopy\n"),
            );
            case.committed_tree(&tree)
        },
    ),
    ("without large files", Pushed, |case| {
        case.partial("blob:limit=100").plumbed("a/b/file")
    }),
    ("without deep directories", Pushed, |case| {
        case.partial("tree:1").plumbed("top")
    }),
    ("without directories, changed by plumbing", Pushed, |case| {
        case.partial("tree:0").plumbed("a/b/file")
    }),
    ("without directories, edited in a working tree", Pushed, |case| {
        case.partial("tree:0")
            .run(&["checkout", "--quiet", "main"])
            .edited("a/b/file")
    }),
    (
        "without directories, with a missing one",
        Pushed,
        Case::mentioning,
    ),
    ("without directories, back to an old commit", Pushed, |case| {
        let case = case.partial("tree:0");
        let old = case.id("main~1:");
        case.committed_tree(&old)
    }),
    ("without directories, and an empty commit", Pushed, |case| {
        let case = case.partial("tree:0");
        let tree = case.id("main:");
        case.committed_tree(&tree)
    }),
    ("with commits alone", Pushed, |case| {
        case.partial("object:type=commit").plumbed("top")
    }),
    (
        "without old commits",
        DaemonAlone("git does not fetch a commit that it lacks, and does not need one of these"),
        |case| case.partial("object:type=tree").plumbed("top"),
    ),
    ("with a combined filter", Pushed, |case| {
        case.partial("combine:blob:none+tree:1").plumbed("a/file")
    }),
    ("with a sparse checkout", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--filter=blob:none", "--sparse"], "partial")
            .run(&["sparse-checkout", "set", "a/b"])
            .edited("a/b/file")
    }),
    ("with a sparse checkout and no directories", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--filter=tree:0", "--sparse"], "partial")
            .run(&["sparse-checkout", "set", "a"])
            .edited("a/new")
    }),
    ("that is shallow too", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--no-checkout", "--filter=tree:0", "--depth=1"], "partial")
            .plumbed("a/file")
    }),
    ("that is bare", Pushed, |case| {
        case.published()
            .cloned_from_remote(&["--bare", "--filter=blob:none"], "partial")
            .plumbed("a/file")
    }),
    ("in a linked worktree", Pushed, |case| {
        case.partial("blob:none")
            .run(&["symbolic-ref", "HEAD", "refs/heads/none"])
            .run(&["worktree", "add", "--quiet", "../linked", "main"])
            .at("linked")
            .edited("a/file")
    }),
    ("after git gc", Pushed, |case| {
        case.copying().run(&["gc", "--quiet", "--prune=now"])
    }),
    ("that only the extension marks as one", Pushed, |case| {
        case.copying()
            .run(&["config", "--unset", "remote.origin.promisor"])
            .run(&["config", "--unset", "remote.origin.partialCloneFilter"])
            .run(&["config", "core.repositoryFormatVersion", "1"])
            .run(&["config", "extensions.partialClone", "origin"])
    }),
    (
        "with a promisor that does not introduce itself as git",
        ByGit(LACKS),
        |case| {
            case.copying().run(&[
                "config",
                "remote.origin.receivePack",
                "GIT_USER_AGENT=unknown/1 git receive-pack",
            ])
        },
    ),
    (
        "with such a promisor, and nothing missing in the commit",
        Pushed,
        |case| {
            case.partial("blob:none").plumbed("a/file").run(&[
                "config",
                "remote.origin.receivePack",
                "GIT_USER_AGENT=unknown/1 git receive-pack",
            ])
        },
    ),
    ("with two promisors", ByGit(LACKS), |case| {
        case.copying()
            .run(&["remote", "add", "second", "@@/remote.git"])
            .run(&["config", "remote.second.promisor", "true"])
    }),
    (
        "with two promisors, and nothing missing in the commit",
        Pushed,
        |case| {
            case.partial("tree:0")
                .plumbed("a/file")
                .run(&["remote", "add", "second", "@@/remote.git"])
                .run(&["config", "remote.second.promisor", "true"])
        },
    ),
    (
        "to a URL that is not where it fetches from",
        ByGit(LACKS),
        |case| {
            case.copying()
                .run(&["config", "remote.origin.pushurl", "@@/remote.git"])
        },
    ),
    ("to another remote that has the history", Pushed, |case| {
        case.partial("blob:none")
            .plumbed("a/b/file")
            .into_other_with_history()
    }),
    ("to another remote, without directories", Pushed, |case| {
        case.partial("tree:0")
            .plumbed("a/b/file")
            .into_other_with_history()
    }),
    (
        "to another remote, which has the missing file",
        ByGit(LACKS),
        |case| case.copying().into_other_with_history(),
    ),
    (
        "to another remote, which has the missing directory",
        ByGit(LACKS),
        |case| case.mentioning().into_other_with_history(),
    ),
    ("to another remote that is empty", ByGit(LACKS), |case| {
        case.partial("blob:none").plumbed("a/file").into_other()
    }),
    (
        "to another remote that is empty, without directories",
        ByGit(LACKS),
        |case| case.partial("tree:0").plumbed("a/file").into_other(),
    ),
    (
        "to another remote, without the promisor",
        DaemonAlone("git fetches the old version of the file, to send a delta"),
        |case| {
            case.partial("blob:none")
                .plumbed("a/file")
                .into_other_with_history()
                .without_promisor()
        },
    ),
    (
        "to another remote, without the promisor and directories",
        DaemonAlone("git reads the old directories, which it must fetch"),
        |case| {
            let case = case.partial("tree:0");
            let blob = case.git_reads(&["hash-object", "-w", "--stdin"], "new\n");
            let tree = case.git_reads(&["mktree"], &format!("100644 blob {blob}\tnew\n"));
            case.committed_tree(&tree)
                .into_other_with_history()
                .without_promisor()
        },
    ),
    (
        "to another remote, without the promisor of what is missing",
        Rejected("from promisor remote", "from promisor remote"),
        |case| case.copying().into_other_with_history().without_promisor(),
    ),
    (
        "with a new file that is lost",
        Rejected("one of its own may be lost", "from promisor remote"),
        |case| {
            let case = case.partial("blob:none").plumbed("a/file");
            let new = case.git(&["rev-parse", "main:a/file"]);
            let (directory, file) = new.split_at(2);
            case.removed(&format!("partial/.git/objects/{directory}/{file}"))
        },
    ),
    ("with a pre-push hook", ByGit("pre-push hook"), |case| {
        let case = case.copying();
        case.sandbox.script("partial/.git/hooks/pre-push", "#!/bin/sh\n");
        case
    }),
    ("with objects of another clone", Pushed, |case| {
        let case = case.partial("blob:none").moved("partial", "first");
        let reference = case.sandbox.path("first").display().to_string();
        case.cloned_from_remote(
            &["--no-checkout", "--filter=blob:none", "--reference", &reference],
            "partial",
        )
        .plumbed("a/file")
    }),
];

#[tokio::test]
async fn partial_clones_push_what_they_have() {
    check(prepared(FORMATS, PARTIAL)).await;
}

fn pusher(case: &Case, transport: TransportChoice) -> push_engine::attempt::RemotePusher {
    let repository = Repository::open(case.path.as_deref(), &case.sandbox.env).expect("opens");
    pusher_of(&repository, &case.remote, transport, TransportNote::default()).expect("a remote")
}

#[tokio::test]
async fn a_native_push_of_an_object_that_is_missing_fails_and_says_which() {
    let case = Case::new(FORMATS[0]).copying().into_other_with_history();
    let missing = case.id("main:z/file");
    let pusher = pusher(&case, TransportChoice::Native);
    let failure = failure_of(attempt(&pusher).await);
    close(&pusher).await;
    assert!(failure.message().contains(&missing), "{failure}");
    assert!(failure.hint().contains("'auto' or 'git-cli'"), "{failure}");
}

#[tokio::test]
async fn a_diverged_tip_is_preserved_with_the_objects_that_are_missing() {
    let case = Case::new(FORMATS[0]).copying().into_other_with_history();
    let work = case.sandbox.work();
    case.git_in(
        &work,
        &["commit", "--quiet", "--allow-empty", "-m", "another writer's"],
    );
    case.git_in(&work, &["push", "--quiet", "@@/other.git", "main"]);
    let pusher = pusher(&case, TransportChoice::Auto);
    let attempted = pusher
        .attempt(Terms {
            preserve: true,
            ..Terms::default()
        })
        .await;
    close(&pusher).await;
    let Outcome::Diverged(divergence) = attempted.outcome else {
        panic!("{:?}", attempted.outcome);
    };
    let kept = divergence.preserved.expect("tried").expect("preserved");
    let there = case.git_in(&case.there, &["rev-parse", &kept]);
    assert_eq!(there, case.git(&["rev-parse", MAIN]));
    case.git_in(&case.there, &["fsck", "--connectivity-only"]);
}
