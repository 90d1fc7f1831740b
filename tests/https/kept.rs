//! A kept session serves the next push; if it cannot, the push starts anew without an error.

use std::fs;
use std::time::Duration;

use push_engine::attempt::RemotePusher;
use push_engine::daemon::Pusher;
use push_engine::failure::Kind;
use push_engine::state::{Divergence, Outcome, Terms};

use crate::credentials::{answer, recorder, verbs};
use crate::place::{Place, close, failure_of};
use crate::server::{PASSWORD, set_password};

/// Longer than any test takes.
const KEEP: Duration = Duration::from_secs(600);

fn place() -> Option<Place> {
    let mut place = Place::new()?;
    place.keep_connection = KEEP;
    Some(place)
}

/// Compares the methods and statuses of all requests. The log lists a request when its answer has ended.
async fn assert_requests(place: &Place, expected: &[&str]) {
    let requests = place.apache.requests(expected.len()).await;
    let short = |request: &String| {
        let method = request.split(' ').next().unwrap_or_default();
        let status = request.split(' ').nth(2).unwrap_or_default();
        format!("{method} {status}")
    };
    let mut requests: Vec<String> = requests.iter().map(short).collect();
    let mut expected = expected.to_vec();
    requests.sort_unstable();
    expected.sort_unstable();
    assert_eq!(requests, expected);
}

async fn push(place: &Place, pusher: &RemotePusher, content: &str) {
    place.commit(content);
    place.attempt_well(pusher).await;
}

/// Adds a commit to the remote's branch.
fn commit_elsewhere(place: &Place) -> String {
    let remote = place.remote();
    let commit = place.git(
        &remote,
        &[
            "commit-tree",
            "-p",
            "main",
            "-m",
            "another writer's",
            "main^{tree}",
        ],
    );
    place.git(&remote, &["update-ref", "refs/heads/main", &commit]);
    place.open_to_server();
    commit
}

#[tokio::test]
async fn the_next_push_is_a_single_request() {
    let Some(place) = place() else { return };
    let pusher = place.pusher(&place.url());
    for content in ["two", "three", "four"] {
        push(&place, &pusher, content).await;
    }
    close(&pusher).await;
    assert_requests(&place, &["GET 200", "POST 200", "POST 200", "POST 200"]).await;
    place.git(&place.remote(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn an_attempt_without_changes_saves_the_next_advertisement() {
    let Some(place) = place() else { return };
    let url = place.url();
    place.push_well(&url).await;
    let pusher = place.pusher(&url);
    let outcome = pusher.attempt(Terms::default()).await.outcome;
    assert!(matches!(outcome, Outcome::UpToDate { .. }), "{outcome:?}");
    push(&place, &pusher, "two").await;
    close(&pusher).await;
    assert_requests(&place, &["GET 200", "POST 200"].repeat(2)).await;
}

#[tokio::test]
async fn the_remote_is_asked_again_after_a_while_or_once_the_settings_have_changed() {
    let Some(mut place) = place() else { return };
    place.keep_connection = Duration::from_millis(200);
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "two").await;
    tokio::time::sleep(place.keep_connection).await;
    push(&place, &pusher, "three").await;
    close(&pusher).await;

    place.keep_connection = KEEP;
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "four").await;
    place.git(&place.local(), &["config", "http.userAgent", "another"]);
    push(&place, &pusher, "five").await;
    close(&pusher).await;
    assert_requests(&place, &["GET 200", "POST 200"].repeat(4)).await;
}

#[tokio::test]
async fn a_kept_session_does_not_hide_another_writers_commit() {
    let Some(place) = place() else { return };
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "two").await;
    let other = commit_elsewhere(&place);
    place.commit("the local commit");
    match pusher.attempt(Terms::default()).await.outcome {
        Outcome::Diverged(Divergence { failure, .. }) => {
            assert_eq!(failure.remote_commit().map(|oid| oid.to_string()), Some(other));
        }
        other => panic!("{other:?}"),
    }
    close(&pusher).await;
    assert_requests(&place, &["GET 200", "POST 200", "POST 200", "GET 200"]).await;
}

#[tokio::test]
async fn a_branch_that_was_deleted_meanwhile_is_created_again() {
    let Some(place) = place() else { return };
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "two").await;
    place.git(&place.remote(), &["update-ref", "-d", "refs/heads/main"]);
    place.open_to_server();
    push(&place, &pusher, "three").await;
    close(&pusher).await;
}

#[tokio::test]
async fn a_server_that_was_started_again_is_no_failure() {
    let Some(mut place) = place() else { return };
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "two").await;
    place.apache.restart();
    push(&place, &pusher, "three").await;
    close(&pusher).await;
}

#[tokio::test]
async fn a_repository_that_disappears_is_one_failure() {
    let Some(place) = place() else { return };
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "two").await;
    fs::rename(place.remote(), place.dir().join("elsewhere.git")).expect("it is there");
    place.commit("three");
    let failure = failure_of(pusher.attempt(Terms::default()).await.outcome);
    assert_eq!(failure.kind(), Kind::RemoteError, "{failure}");
    close(&pusher).await;
    assert_requests(&place, &["GET 200", "POST 200", "POST 404", "GET 404"]).await;
}

#[tokio::test]
async fn a_login_serves_the_next_push_until_it_expires() {
    let Some(mut place) = place() else { return };
    place.set("credential.helper", recorder(&place));
    answer(&place, PASSWORD);
    let pusher = place.pusher(&place.apache.url("basic"));
    push(&place, &pusher, "two").await;
    push(&place, &pusher, "three").await;

    // The server and the helper have the new password: the old one must not make the helper forget it.
    set_password(place.dir(), "rotated");
    answer(&place, "rotated");
    push(&place, &pusher, "four").await;
    close(&pusher).await;
    let first = ["GET 401", "GET 200", "POST 200", "POST 200"];
    let second = ["POST 401", "GET 401", "GET 200", "POST 200"];
    assert_requests(&place, &[first, second].concat()).await;
    assert_eq!(verbs(&place), ["get", "store", "get", "store"]);
}

#[tokio::test]
async fn a_login_that_only_the_push_needs_serves_the_next_one() {
    let Some(place) = place() else { return };
    let pusher = place.pusher(&place.apache.url_with_login("push-basic"));
    push(&place, &pusher, "two").await;
    push(&place, &pusher, "three").await;
    close(&pusher).await;
    assert_requests(&place, &["GET 200", "POST 401", "POST 200", "POST 200"]).await;
}

#[tokio::test]
async fn a_kept_session_probes_before_a_large_pack() {
    let Some(mut place) = place() else { return };
    place.set("http.version", "HTTP/1.1");
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "two").await;
    place.commit_noise(3_000_000);
    place.attempt_well(&pusher).await;
    push(&place, &pusher, "small again").await;
    close(&pusher).await;
    let whole = place.apache.requests(5).await;
    assert_eq!(whole.len(), 5, "{whole:?}");
    for kind in ["transfer=- length=4", "transfer=chunked length=-"] {
        assert!(whole.iter().any(|request| request.contains(kind)), "{whole:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn idle_connections_use_tcp_keep_alive() {
    let Some(place) = place() else { return };
    let pusher = place.pusher(&place.url());
    push(&place, &pusher, "two").await;
    // The columns `rem_address` and `tr` of proc(5): a timer of kind 2 is that of keep-alive.
    let port = format!("0100007F:{:04X} 01 ", place.apache.port);
    let is_asked = || {
        let sockets = fs::read_to_string("/proc/net/tcp").expect("readable");
        sockets.lines().any(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            line.contains(&port) && columns.get(5).is_some_and(|timer| timer.starts_with("02:"))
        })
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !is_asked() {
        assert!(std::time::Instant::now() < deadline, "no keep-alive");
        tokio::task::yield_now().await;
    }
    close(&pusher).await;
}
