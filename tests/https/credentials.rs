//! The sources of the credentials of a push, and that no secret leaks.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};

use push_engine::daemon::Pusher;
use push_engine::failure::Kind;
use push_engine::state::{Outcome, Terms};

use crate::place::{Place, close, failure_of};
use crate::server::{BEARER, PASSWORD, USER, set_login, set_password};
use crate::side_by_side::{forget, push_by_git};

/// A helper that records its input and prints the file `answer`.
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
    place.push_well(&place.apache.url_with_login("basic")).await;
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
    let url = place.apache.url_with_login("push-basic");
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
    place.push_well(&place.apache.url("basic")).await;
    assert!(fs::read_to_string(&store).expect("kept").contains(PASSWORD));
}

#[tokio::test]
async fn several_helpers_are_asked_in_turn_and_all_learn_the_result() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", "!true");
    place.set("credential.helper", recorder(&place));
    answer(&place, PASSWORD);
    place.push_well(&place.apache.url("basic")).await;
    assert_eq!(verbs(&place), ["get", "store"]);
    let record = fs::read_to_string(place.dir().join("record")).expect("written");
    let host = format!("host=localhost:{}", place.apache.port);
    assert!(
        record.contains(&host) && record.contains("wwwauth[]=Basic realm=\"private\""),
        "{record}"
    );
    assert!(!record.contains("path="), "{record}");
}

/// Sections of the configuration, and the user in the URL. `{host}` stands for the server's name and port, `{port}` for its
/// port.
const SECTIONS: [(&str, &str); 14] = [
    ("credential", ""),
    ("credential.https://{host}", ""),
    ("credential.https://{host}/", ""),
    ("credential.https://{host}/basic/r.git", ""),
    ("credential.https://{host}/basic", ""),
    ("credential.https://{host}/elsewhere", ""),
    ("credential.https://", ""),
    ("credential.http://{host}", ""),
    ("credential.{host}", ""),
    ("credential.localhost", ""),
    ("credential.https://*:{port}", ""),
    ("credential.https://pusher@{host}", "pusher@"),
    ("credential.pusher@{host}", "pusher@"),
    ("credential.https://other@{host}", "pusher@"),
];

#[tokio::test]
async fn a_helper_is_asked_wherever_git_asks_it() {
    let Some(place) = Place::new() else { return };
    answer(&place, PASSWORD);
    let host = format!("localhost:{}", place.apache.port);
    let mut asked = 0;
    for (section, user) in SECTIONS {
        let section = section.replace("{host}", &host);
        let section = section.replace("{port}", &place.apache.port.to_string());
        let key = format!("{section}.helper");
        place.git(&place.local(), &["config", &key, &recorder(&place)]);
        let url = format!("https://{user}{host}/basic/r.git");
        let (arrived, stderr) = push_by_git(&place, &url);
        forget(&place, arrived);
        let outcome = place.push(&url).await;
        let daemon_arrived = matches!(outcome, Outcome::Pushed { .. });
        forget(&place, daemon_arrived);
        assert_eq!(daemon_arrived, arrived, "{section}: {outcome:?}\ngit: {stderr}");
        asked += usize::from(arrived);
        place.git(&place.local(), &["config", "--unset", &key]);
    }
    assert!(asked > 7, "git asked in {asked} sections only");
}

#[tokio::test]
async fn users_and_passwords_need_not_be_utf8() {
    let Some(mut place) = Place::new() else { return };
    let (user, password) = (b"p\xfcsher".as_slice(), b"c\xf6rrect:h\xf6rse".as_slice());
    set_login(place.dir(), user, password);
    let in_url = place.apache.url_as("p%FCsher:c%F6rrect%3Ah%F6rse", "basic");
    place.push_well(&in_url).await;

    place.set("credential.helper", recorder(&place));
    let answer = [b"username=", user, b"\npassword=", password, b"\n"].concat();
    fs::write(place.dir().join("answer"), answer).expect("writable");
    place.commit("two");
    place.push_well(&place.apache.url("basic")).await;
    place.commit("three");
    place.push_well(&place.apache.url_as("p%FCsher", "basic")).await;
    let record = fs::read(place.dir().join("record")).expect("written");
    let stored = [b"password=", password].concat();
    let is_stored = record.windows(stored.len()).any(|part| part == stored);
    assert!(is_stored, "{}", String::from_utf8_lossy(&record));
}

#[tokio::test]
async fn a_helper_that_answers_in_steps_gets_its_state_back() {
    let Some(place) = Place::new() else { return };
    let dir = place.dir().display();
    let helper = format!(
        "!f() {{ echo \"$1\" >>'{dir}/record'; asked=$(cat); echo \"$asked\" >>'{dir}/record'; test \"$1\" = get || exit 0; \
         printf 'capability[]=authtype\\ncapability[]=state\\nauthtype=Bearer\\n'; case \"$asked\" in \
         *state*=t:one*) echo credential={BEARER} ;; \
         *) printf 'credential=first\\ncontinue=1\\nstate[]=t:one\\n' ;; esac; }}; f"
    );
    place.git(&place.local(), &["config", "credential.helper", &helper]);
    let url = place.apache.url("stepwise");
    let (arrived, stderr) = push_by_git(&place, &url);
    assert!(arrived, "{stderr}");
    let gits = verbs(&place);
    forget(&place, true);
    fs::remove_file(place.dir().join("record")).expect("written");
    place.push_well(&url).await;
    assert_eq!(gits, ["get", "get", "store"]);
    assert_eq!(verbs(&place), gits);
}

#[tokio::test]
async fn helpers_get_the_path_if_use_http_path_is_set() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    place.set("credential.useHttpPath", "true");
    answer(&place, PASSWORD);
    place.push_well(&place.apache.url("basic")).await;
    let record = fs::read_to_string(place.dir().join("record")).expect("written");
    assert!(record.contains("path=basic/r.git"), "{record}");
}

#[tokio::test]
async fn a_wrong_password_is_rejected_and_not_tried_again() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    answer(&place, "wr0ng-battery");
    let failure = place.push_badly(&place.apache.url("basic")).await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    assert_eq!(verbs(&place), ["get", "erase"]);
    assert_eq!(place.apache.requests(2).await.len(), 2);
}

#[tokio::test]
async fn helpers_are_asked_when_the_password_of_the_url_is_refused() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    answer(&place, PASSWORD);
    let url = place.apache.url_as(&format!("{USER}:wr0ng-battery"), "basic");
    place.push_well(&url).await;
    assert_eq!(verbs(&place), ["erase", "get", "store"]);
}

#[tokio::test]
async fn a_token_that_is_rotated_while_pushes_fail_is_found_by_the_next_one() {
    let Some(mut place) = Place::new() else { return };
    place.set("credential.helper", recorder(&place));
    answer(&place, PASSWORD);
    let url = place.apache.url("basic");
    let pusher = place.pusher(&url);
    place.attempt_well(&pusher).await;

    place.commit("two");
    set_password(place.dir(), "n3w-staple");
    let failure = failure_of(pusher.attempt(Terms::default()).await.outcome);
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");

    answer(&place, "n3w-staple");
    place.attempt_well(&pusher).await;
    close(&pusher).await;
}

#[tokio::test]
async fn without_credentials_the_failure_says_where_to_put_them() {
    let Some(place) = Place::new() else { return };
    let failure = place.push_badly(&place.apache.url("basic")).await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    assert!(failure.message().contains("credential.helper"), "{failure}");
}

#[tokio::test]
async fn a_bearer_token_is_sent_by_an_extra_header() {
    let Some(mut place) = Place::new() else { return };
    let key = format!("http.https://localhost:{}/.extraHeader", place.apache.port);
    place.set(&key, format!("Authorization: Bearer {BEARER}"));
    place.push_well(&place.apache.url("bearer")).await;

    place.set(&key, "");
    place.set(&key, "Authorization: Bearer wr0ng-battery");
    place.commit("two");
    let failure = place.push_badly(&place.apache.url("bearer")).await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    assert!(!failure.message().contains("wr0ng-battery"), "{failure}");
}

#[tokio::test]
async fn credentials_follow_a_redirect_on_the_same_server_only() {
    let Some(mut place) = Place::new() else { return };
    place
        .push_well(&place.apache.url_with_login("moved-to-basic"))
        .await;

    place.commit("two");
    place.set("http.extraHeader", "X-Token: s3cret-header");
    let failure = place
        .push_badly(&place.apache.url_with_login("moved-to-address"))
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
    let pusher = place.pusher(&place.apache.url("basic"));
    let started = async {
        while !pid.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        attempted = pusher.attempt(Terms::default()) => panic!("{attempted:?}"),
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

/// Collects the log.
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
            let url = place.apache.url_as(&format!("{USER}:{in_url}"), scenario);
            let pusher = place.pusher(&url);
            let attempted = pusher.attempt(Terms::default()).await;
            write!(shown, "{attempted:?} {pusher:?} {:?}", place.env).expect("memory");
            if let Outcome::Failed { failure, .. } = attempted.outcome {
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
        "the log or the arguments were not recorded"
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
