//! Backlogs whose pack would be too large, which are pushed in steps.

use std::fs;
use std::path::PathBuf;

use push_engine::attempt::RemotePusher;
use push_engine::event::SentPush;
use push_engine::failure::Kind;
use push_engine::state::Outcome;

use super::MAIN;
use super::support::{Sandbox, attempt, close, failure_of};

const MB: usize = 1024 * 1024;

/// A repository with large files, and an empty remote.
struct Scene {
    sandbox: Sandbox,
    remote: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let remote = sandbox.bare("remote.git");
        Self { sandbox, remote }
    }

    /// Commits a file that cannot be compressed.
    fn commit(&self, name: &str, size: usize) -> String {
        let content: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(size).collect();
        fs::write(self.sandbox.work().join(name), content).expect("writable");
        self.git(&["add", name]);
        self.sandbox.commit(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.sandbox.git(&self.sandbox.work(), arguments)
    }

    fn pusher(&self) -> RemotePusher {
        self.sandbox.pusher(self.remote.to_str().expect("UTF-8"))
    }

    /// The pushes until everything is there.
    async fn pushes(&self) -> Vec<SentPush> {
        let tip = self.git(&["rev-parse", "main"]);
        let pusher = self.pusher();
        let mut made: Vec<SentPush> = Vec::new();
        while made.last().is_none_or(|push| push.commit.to_string() != tip) {
            let push = match attempt(&pusher).await {
                Outcome::Pushed(push) => push,
                other => panic!("a push was expected, not {other:?}"),
            };
            let before = made.last().map(|push| push.commit);
            assert_eq!(push.previous, before, "each step begins where the last one ended");
            let there = self.sandbox.git(&self.remote, &["rev-parse", MAIN]);
            assert_eq!(there, push.commit.to_string());
            made.push(push);
        }
        close(&pusher).await;
        self.sandbox.git(&self.remote, &["fsck", "--strict"]);
        made
    }

    /// A merge between single commits, each with one file of this size.
    fn with_merge(&self, size: usize) {
        for number in 0..4 {
            self.commit(&format!("before-{number}"), size);
        }
        self.git(&["checkout", "--quiet", "-b", "side", "main~2"]);
        for number in 0..2 {
            self.commit(&format!("side-{number}"), size);
        }
        self.git(&["checkout", "--quiet", "main"]);
        self.git(&["merge", "--quiet", "-m", "a merge", "side"]);
        for number in 0..3 {
            self.commit(&format!("after-{number}"), size);
        }
    }

    fn assert_each_commit_once(&self, pushes: &[SentPush]) {
        let commits: u64 = pushes.iter().map(|push| push.commits).sum();
        assert_eq!(commits.to_string(), self.git(&["rev-list", "--count", "main"]));
    }
}

#[tokio::test]
async fn a_backlog_above_the_limit_arrives_in_steps_along_the_first_parents() {
    for is_packed in [false, true] {
        let mut scene = Scene::new();
        scene.with_merge(100_000);
        if is_packed {
            scene.git(&["repack", "-adq"]);
        }
        scene.sandbox.max_pack_bytes = 250_000;
        let pushes = scene.pushes().await;
        // The first commit of the sandbox, and two others; two; the merge with both of its side; two; one.
        let commits: Vec<u64> = pushes.iter().map(|push| push.commits).collect();
        assert_eq!(commits, [3, 2, 3, 2, 1], "packed: {is_packed}");
        assert!(pushes.iter().all(|push| push.bytes < 250_000), "{pushes:?}");
        scene.assert_each_commit_once(&pushes);
        let chain = scene.git(&["rev-list", "--first-parent", "main"]);
        assert!(pushes.iter().all(|push| chain.contains(&push.commit.to_string())));
    }
}

#[tokio::test]
async fn a_large_backlog_in_packs_arrives_in_steps_that_git_makes() {
    let mut scene = Scene::new();
    for number in 0..100 {
        scene.commit("file", 10_000 + number);
    }
    scene.git(&["repack", "-adq"]);
    scene.sandbox.max_pack_bytes = 400_000;
    let pushes = scene.pushes().await;
    assert_eq!(pushes.len(), 3, "{pushes:?}");
    assert!(pushes.iter().all(|push| push.bytes < 400_000), "{pushes:?}");
    scene.assert_each_commit_once(&pushes);
}

#[tokio::test]
async fn a_backlog_below_the_limit_is_one_push() {
    for is_packed in [false, true] {
        let mut scene = Scene::new();
        scene.with_merge(10_000);
        if is_packed {
            scene.git(&["repack", "-adq"]);
        }
        scene.sandbox.max_pack_bytes = 150_000;
        assert_eq!(scene.pushes().await.len(), 1);
    }
}

#[tokio::test]
async fn the_git_cli_pushes_the_same_steps() {
    let mut scene = Scene::new();
    for _ in 0..40 {
        scene.commit("file", 50_000);
    }
    let hook = "work/.git/hooks/pre-push";
    scene.sandbox.script(hook, "#!/bin/sh\ncat >>../pushed\n");
    scene.sandbox.max_pack_bytes = MB as u64;
    let pushes = scene.pushes().await;
    assert_eq!(pushes.len(), 2, "{pushes:?}");
    scene.assert_each_commit_once(&pushes);
    let told = fs::read_to_string(scene.sandbox.path("pushed")).expect("the hook ran");
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[tokio::test]
async fn steps_become_smaller_until_the_server_takes_them() {
    for by_git in [false, true] {
        let scene = Scene::new();
        for _ in 0..40 {
            scene.commit("file", 50_000);
        }
        if by_git {
            scene.git(&["repack", "-adq"]);
        }
        scene
            .sandbox
            .git(&scene.remote, &["config", "receive.maxInputSize", "300k"]);
        let pushes = scene.pushes().await;
        assert!(pushes.iter().all(|push| push.bytes < 300 * 1024), "{pushes:?}");
        assert!((7..=40).contains(&pushes.len()), "{}", pushes.len());
        scene.assert_each_commit_once(&pushes);
    }
}

#[tokio::test]
async fn a_commit_that_alone_is_too_large_is_told_with_its_largest_object() {
    let scene = Scene::new();
    scene.commit("small", 1000);
    fs::create_dir(scene.sandbox.work().join("assets")).expect("a directory");
    let tip = scene.commit("assets/a film", MB);
    scene.commit("later", 1000);
    scene
        .sandbox
        .git(&scene.remote, &["config", "receive.maxInputSize", "300k"]);
    let pusher = scene.pusher();
    assert!(
        matches!(attempt(&pusher).await, Outcome::Pushed(_)),
        "what precedes it arrives"
    );
    for _ in 0..2 {
        let failure = failure_of(attempt(&pusher).await);
        assert_eq!(failure.kind(), Kind::Rejected, "{failure}");
        for part in ["exceeds maximum", &tip, "assets/a film", &MB.to_string()] {
            assert!(failure.message().contains(part), "{part}: {failure}");
        }
    }
    close(&pusher).await;
}
