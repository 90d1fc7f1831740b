//! Who the pusher says it is, where it has that from, and that nobody else learns of it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};

use git_push_daemon::daemon::Pusher;
use git_push_daemon::failure::Kind;

use crate::place::{Place, close, failure_of};
use crate::server::{BEARER, PASSWORD, USER, set_password};

/// A helper that writes down what it is asked and told, and answers with what is in the file `answer`.
pub(crate) fn recorder(place: &Place) -> String {
    let dir = place.dir().display();
    format!(
        "!f() {{ echo \"$1\" >>'{dir}/record'; cat >>'{dir}/record'; test \"$1\" = get && cat '{dir}/answer'; }}; f"
    )
}

pub(crate) fn answer(place: &Place, password: &str) {
    let text = format!("username={USER}\npassword={password}\n");
    fs::write(place.dir().join("answer"), text).expect("writable");
}

/// The verbs that the recorder was called with.
pub(crate) fn verbs(place: &Place) -> Vec<String> {
    let record = fs::read_to_string(place.dir().join("record")).unwrap_or_default();
    let is_verb = |line: &&str| matches!(*line, "get" | "store" | "erase");
    record.lines().filter(is_verb).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_user_and_password_of_the_url_are_sent_once_they_are_asked_for() {
    let Some(place) = Place::new() else { return };
    let login = format!("{USER}:{PASSWORD}");
    place
        .push_well(&place.apache.url_as(&login, "basic", "r.git"))
        .await;
    let requests = place.apache.requests(3).await;
    assert!(
        requests[0].contains(" 401 ") && requests[0].contains("authorization=- "),
        "{requests:?}"
    );
    assert!(
        requests[1].contains(" 200 ") && requests[2].starts_with("POST") && requests[2].contains(" 200 "),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_server_that_asks_only_for_the_push_itself_is_answered() {
    let Some(place) = Place::new() else { return };
    let url = place
        .apache
        .url_as(&format!("{USER}:{PASSWORD}"), "push-basic", "r.git");
    place.push_well(&url).await;
    place.commit_noise(3_000_000);
    place.push_well(&url).await;
}

#[tokio::test]
async fn a_stored_credential_is_found_for_the_url_and_kept() {
    let Some(mut place) = Place::new() else { return };
    let store = place.dir().join("store");
    let line = format!("https://{USER}:{PASSWORD}@localhost:{}\n", place.apache.port);
    fs::write(&store, &line).expect("writable");
    place.set("credential.helper", format!("store --file='{}'", store.display()));
    place.push_well(&place.apache.url("basic", "r.git")).await;
    assert!(fs::read_to_string(&store).expect("kept").contains(PASSWORD));
}

#[tokio::test]
async fn several_helpers_are_asked_in_turn_and_all_are_told() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", "!true");
    place.set("credential.helper", recorder(&place));
    answer(&place, PASSWORD);
    place.push_well(&place.apache.url("basic", "r.git")).await;
    assert_eq!(verbs(&place), ["get", "store"]);
    let record = fs::read_to_string(place.dir().join("record")).expect("written");
    let host = format!("host=localhost:{}", place.apache.port);
    assert!(
        record.contains(&host) && record.contains("wwwauth[]=Basic realm=\"private\""),
        "{record}"
    );
    assert!(!record.contains("path="), "{record}");
}

#[tokio::test]
async fn the_path_is_told_to_helpers_that_want_it() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    place.set("credential.useHttpPath", "true");
    answer(&place, PASSWORD);
    place.push_well(&place.apache.url("basic", "r.git")).await;
    let record = fs::read_to_string(place.dir().join("record")).expect("written");
    assert!(record.contains("path=basic/r.git"), "{record}");
}

#[tokio::test]
async fn a_wrong_password_is_rejected_and_not_tried_again() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    answer(&place, "wr0ng-battery");
    let failure = place.push_badly(&place.apache.url("basic", "r.git")).await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    assert_eq!(verbs(&place), ["get", "erase"]);
    assert_eq!(place.apache.requests(2).await.len(), 2);
}

#[tokio::test]
async fn helpers_are_asked_when_the_password_of_the_url_is_refused() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    answer(&place, PASSWORD);
    let url = place
        .apache
        .url_as(&format!("{USER}:wr0ng-battery"), "basic", "r.git");
    place.push_well(&url).await;
    assert_eq!(verbs(&place), ["erase", "get", "store"]);
}

#[tokio::test]
async fn a_token_that_is_rotated_while_pushes_fail_is_found_by_the_next_one() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    answer(&place, PASSWORD);
    let url = place.apache.url("basic", "r.git");
    let pusher = place.pusher(&url);
    place.assert_pushed(&pusher.attempt(false).await.outcome);

    place.commit("two");
    set_password(place.dir(), "n3w-staple");
    let failure = failure_of(pusher.attempt(false).await.outcome);
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");

    answer(&place, "n3w-staple");
    place.assert_pushed(&pusher.attempt(false).await.outcome);
    close(&pusher).await;
}

#[tokio::test]
async fn without_any_credentials_the_failure_says_where_to_put_them() {
    let Some(place) = Place::new() else { return };
    let failure = place.push_badly(&place.apache.url("basic", "r.git")).await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    assert!(failure.message().contains("credential.helper"), "{failure}");
}

#[tokio::test]
async fn a_bearer_token_is_sent_by_an_extra_header() {
    let Some(mut place) = Place::new() else { return };
    let key = format!("http.https://localhost:{}/.extraHeader", place.apache.port);
    place.set(&key, format!("Authorization: Bearer {BEARER}"));
    place.push_well(&place.apache.url("bearer", "r.git")).await;

    place.set(&key, "");
    place.set(&key, "Authorization: Bearer wr0ng-battery");
    place.commit("two");
    let failure = place.push_badly(&place.apache.url("bearer", "r.git")).await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    assert!(!failure.message().contains("wr0ng-battery"), "{failure}");
}

#[tokio::test]
async fn credentials_follow_a_redirect_on_the_same_server_only() {
    let Some(mut place) = Place::new() else { return };
    let login = format!("{USER}:{PASSWORD}");
    place
        .push_well(&place.apache.url_as(&login, "moved-to-basic", "r.git"))
        .await;

    place.commit("two");
    place.set("http.extraHeader", "X-Token: s3cret-header");
    let failure = place
        .push_badly(&place.apache.url_as(&login, "moved-to-address", "r.git"))
        .await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    let requests = place.apache.requests(6).await;
    let last = requests.last().expect("one at least");
    assert!(
        last.starts_with("GET /basic/") && last.contains(" 401 ") && last.contains("authorization=- "),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_helper_that_hangs_ends_with_the_attempt() {
    let Some(mut place) = Place::new() else { return };
    let pid = place.dir().join("pid-of-helper");
    place.set(
        "credential.helper",
        format!(
            "!f() {{ echo $$ >'{0}.new'; mv '{0}.new' '{0}'; sleep 1000; }}; f",
            pid.display()
        ),
    );
    let pusher = place.pusher(&place.apache.url("basic", "r.git"));
    let started = async {
        while !pid.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        attempted = pusher.attempt(false) => panic!("{attempted:?}"),
        () = started => {}
    }
    close(&pusher).await;
    let pid = fs::read_to_string(&pid).expect("written");
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")),
        "the helper is still there"
    );
}

/// Collects everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_in_a_failure_a_log_or_an_argument() {
    let Some(mut place) = Place::new() else { return };
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let logging = tracing::subscriber::set_default(subscriber);

    let arguments = place.dir().join("arguments");
    let helper = format!(
        "!f() {{ cat /proc/[0-9]*/cmdline | tr '\\0' ' ' >>'{}'; test \"$1\" = get && cat '{}/answer'; }}; f",
        arguments.display(),
        place.dir().display()
    );
    place.set("credential.helper", helper);
    place.set("http.extraHeader", "X-Secret: s3cret-header");
    let mut shown = String::new();
    for (in_url, in_helper) in [("s3cret-of-url", "s3cret-of-helper"), ("s3cret-of-url", PASSWORD)] {
        answer(&place, in_helper);
        for scenario in ["basic", "forbidden", "busy", "moved-to-address", "anonymous"] {
            let url = place
                .apache
                .url_as(&format!("{USER}:{in_url}"), scenario, "r.git");
            let pusher = place.pusher(&url);
            let attempted = pusher.attempt(false).await;
            write!(shown, "{attempted:?} {pusher:?} {:?}", place.env).expect("memory");
            if let git_push_daemon::state::Outcome::Failed { failure, .. } = attempted.outcome {
                shown.push_str(&failure.to_string());
            }
            close(&pusher).await;
        }
    }
    drop(logging);
    let logged = String::from_utf8_lossy(&log.0.lock().expect("not poisoned")).into_owned();
    let arguments = fs::read(arguments).expect("the helper was asked");
    let arguments = String::from_utf8_lossy(&arguments);
    assert!(
        logged.contains("connecting") && arguments.contains("credential"),
        "nothing was looked at"
    );
    for (name, text) in [
        ("a failure", &*shown),
        ("the log", &logged),
        ("an argument", &arguments),
    ] {
        for secret in ["s3cret-of-url", "s3cret-of-helper", "s3cret-header", PASSWORD] {
            assert!(!text.contains(secret), "{secret} is in {name}");
        }
    }
}
