//! The requests of a push, and the meaning of the server's answers.

use std::fmt::Write;
use std::time::Duration;

use push_engine::daemon::Pusher;
use push_engine::failure::Kind;
use push_engine::state::{Outcome, Terms};

use crate::place::{Place, close, noise};

#[tokio::test]
async fn a_push_creates_the_branch_then_moves_it() {
    let Some(place) = Place::new() else { return };
    let url = place.url();
    let pusher = place.pusher(&url);
    place.attempt_well(&pusher).await;
    place.commit("two");
    place.attempt_well(&pusher).await;
    let again = pusher.attempt(Terms::default()).await.outcome;
    assert!(matches!(again, Outcome::UpToDate { .. }), "{again:?}");
    close(&pusher).await;

    let requests = place.apache.requests(5).await;
    let first = "GET /anonymous/r.git/info/refs?service=git-receive-pack 200 protocol=HTTP/2.0";
    assert!(requests[0].starts_with(first), "{requests:?}");
    assert!(requests[0].contains("accept=gzip encoding=gzip"), "{requests:?}");
    assert!(
        requests[0].contains("agent=git/2.") && requests[0].contains("(git-push-daemon/"),
        "{requests:?}"
    );
    assert!(
        requests[1].starts_with("POST /anonymous/r.git/git-receive-pack 200"),
        "{requests:?}"
    );
    assert_eq!(requests.len(), 5, "{requests:?}");
}

#[tokio::test]
async fn http_1_1_is_spoken_where_it_is_configured() {
    let Some(mut place) = Place::new() else { return };
    place.set("http.version", "HTTP/1.1");
    place.push_well(&place.url()).await;
    let requests = place.apache.requests(2).await;
    assert!(
        requests
            .iter()
            .all(|request| request.contains("protocol=HTTP/1.1")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_redirect_of_the_first_request_moves_the_push_too() {
    let Some(place) = Place::new() else { return };
    place.push_well(&place.apache.url("moved")).await;
    let requests = place.apache.requests(3).await;
    assert!(
        requests[0].starts_with("GET /moved/r.git/info/refs") && requests[0].contains(" 301 "),
        "{requests:?}"
    );
    assert!(
        requests[2].starts_with("POST /anonymous/r.git/git-receive-pack 200"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_where_that_is_forbidden_or_leads_to_no_repository() {
    let Some(mut place) = Place::new() else { return };
    let away = place.push_badly(&place.apache.url("moved-away")).await;
    assert_eq!(away.kind(), Kind::RemoteError, "{away}");

    place.set("http.followRedirects", "false");
    let forbidden = place.push_badly(&place.apache.url("moved")).await;
    assert!(
        forbidden.message().contains("http.followRedirects")
            && forbidden.message().contains("/anonymous/r.git"),
        "{forbidden}"
    );
}

#[tokio::test]
async fn each_status_has_its_kind_and_a_message_that_says_what_to_do() {
    let Some(place) = Place::new() else { return };
    for (location, kind, word) in [
        ("anonymous/missing", Kind::RemoteError, "private"),
        ("forbidden", Kind::Auth, "403"),
        ("busy", Kind::RemoteError, "429"),
        ("down", Kind::RemoteError, "503"),
    ] {
        let failure = place.push_badly(&place.apache.url(location)).await;
        assert_eq!(failure.kind(), kind, "{failure}");
        assert!(failure.message().contains(word), "{failure}");
    }
}

#[tokio::test]
async fn the_failure_has_the_wait_that_a_busy_server_asks_for() {
    let Some(place) = Place::new() else { return };
    let busy = place.push_badly(&place.apache.url("busy")).await;
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
    let down = place.push_badly(&place.apache.url("down")).await;
    let wait = down.retry_after().expect("a date");
    assert!(wait > Duration::from_secs(86_400 * 365), "{wait:?}");
}

#[tokio::test]
async fn a_push_above_the_limit_of_the_server_is_rejected() {
    for size in [20_000, 3_000_000] {
        let Some(place) = Place::new() else { return };
        let url = place.apache.url("limited");
        place.push_well(&url).await;
        place.commit_noise(size);
        let failure = place.push_badly(&url).await;
        assert_eq!(failure.kind(), Kind::Rejected, "{size}: {failure}");
        assert!(failure.message().contains("alone is too large"), "{failure}");
    }
}

#[tokio::test]
async fn a_hook_that_declines_is_quoted() {
    let Some(place) = Place::new() else { return };
    place.hook("#!/bin/sh\necho 'only on weekdays' >&2\nexit 1\n");
    let failure = place.push_badly(&place.url()).await;
    assert_eq!(failure.kind(), Kind::Rejected, "{failure}");
    assert!(failure.message().contains("only on weekdays"), "{failure}");
}

#[tokio::test]
async fn a_server_that_does_not_report_in_time_is_a_timeout_and_may_have_the_push() {
    let Some(mut place) = Place::new() else { return };
    place.push_well(&place.url()).await;
    place.commit("two");
    place.hook("#!/bin/sh\nsleep 10\n");
    place.report = Some(Duration::from_secs(1));
    match place.push(&place.url()).await {
        Outcome::Failed {
            failure,
            unconfirmed: Some(_),
            ..
        } => assert_eq!(failure.kind(), Kind::Timeout, "{failure}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_page_or_a_dumb_server_is_not_taken_for_a_smart_one() {
    let Some(place) = Place::new() else { return };
    std::fs::write(place.dir().join("page.html"), "<html>Log in</html>").expect("writable");
    place.push_well(&place.url()).await;
    place.git(&place.remote(), &["update-server-info"]);
    place.open_to_server();
    let page = place.url().replace("/anonymous/r.git", "/page");
    let page = place.push_badly(&page).await;
    assert_eq!(page.kind(), Kind::RemoteError, "{page}");
    let dumb = place.push_badly(&place.apache.url("dumb")).await;
    assert!(dumb.message().contains("git http-backend"), "{dumb}");
}

#[tokio::test]
async fn a_large_pack_is_probed_for_and_streamed() {
    let Some(mut place) = Place::new() else { return };
    place.set("http.version", "HTTP/1.1");
    place.commit_noise(3_000_000);
    place.push_well(&place.url()).await;
    let requests = place.apache.requests(3).await;
    assert!(requests[1].contains("transfer=- length=4"), "{requests:?}");
    assert!(requests[2].contains("transfer=chunked length=-"), "{requests:?}");
}

#[tokio::test]
async fn a_larger_post_buffer_sends_a_large_pack_in_one_piece() {
    let Some(mut place) = Place::new() else { return };
    place.set("http.version", "HTTP/1.1");
    place.set("http.postBuffer", "16m");
    place.commit_noise(3_000_000);
    place.push_well(&place.url()).await;
    let requests = place.apache.requests(2).await;
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(!requests[1].contains("chunked"), "{requests:?}");
}

#[tokio::test]
async fn ten_thousand_files_arrive_whole() {
    let Some(place) = Place::new() else { return };
    let mut stream =
        String::from("commit refs/heads/main\ncommitter t <t@example.com> 1700000000 +0000\ndata 1\nx\n");
    for number in 0..10_000 {
        let content = noise(64 + number % 64);
        let length = content.len();
        write!(
            stream,
            "M 644 inline d{}/f{number}\ndata {length}\n{content}\n",
            number % 100
        )
        .expect("memory");
    }
    place.import(stream.as_bytes());
    place.push_well(&place.url()).await;
    place.git(&place.remote(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_backlog_of_ten_thousand_commits_arrives_whole() {
    let Some(place) = Place::new() else { return };
    let mut stream = String::new();
    for number in 0..10_000 {
        let content = noise(200);
        let length = content.len();
        write!(
            stream,
            "commit refs/heads/main\ncommitter t <t@example.com> {} +0000\ndata 1\nx\nM 644 inline d{}/f{}\ndata {length}\n{content}\n",
            1_700_000_000 + number,
            number % 16,
            number % 512,
        )
        .expect("memory");
    }
    place.import(stream.as_bytes());
    place.push_well(&place.url()).await;
    assert_eq!(
        place.git(&place.remote(), &["rev-list", "--count", "main"]),
        "10000"
    );
    place.git(&place.remote(), &["fsck", "--strict"]);
}
