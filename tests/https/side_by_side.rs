//! The requests that the server sees: the real git and the daemon push to it with the same settings, side by side.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use push_engine::state::Outcome;

use crate::place::Place;
use crate::report;
use crate::server::{BEARER, PASSWORD, Tinyproxy, USER};

/// How long the server may take to log its answers.
const LOG_LIMIT: Duration = Duration::from_secs(30);

/// Replaces the default agent of both programs, which differ.
const OWN_AGENT: &str = "(its own)";

/// One combination. In its texts `{host}` stands for the server's name and port, `{port}` for the port alone, `{login}` for
/// a user and password that it lets in, `{bearer}` for a token, `{dir}` for the directory of the test, and
/// `{proxy}` for a forward proxy.
struct Case {
    /// A URL, or a remote of the configuration.
    remote: &'static str,
    /// A part of the repository's own configuration file.
    config: &'static str,
    variables: &'static [(&'static str, &'static str)],
    /// The answers to git, in order.
    answers: &'static [u16],
    /// The reason why the requests of the daemon differ, and the answers to them.
    differs: Option<(&'static str, &'static [u16])>,
}

const fn case(
    remote: &'static str,
    config: &'static str,
    variables: &'static [(&'static str, &'static str)],
    answers: &'static [u16],
) -> Case {
    Case {
        remote,
        config,
        variables,
        answers,
        differs: None,
    }
}

const OPEN: &str = "https://{host}/anonymous/r.git";
const BASIC: &str = "https://{host}/basic/r.git";
/// The advertisement, and the push.
const TAKEN: &[u16] = &[200, 200];
const CHALLENGED: &[u16] = &[401, 200, 200];

/// A credential helper that prints the file `answer`.
const HELPER: &str =
    "[credential]\nhelper = \"!f() { cat >/dev/null; test \\\"$1\\\" = get && cat '{dir}/answer'; }; f\"\n";

const ASKS_HELPERS: &str =
    "git gives up on a refused password of the URL; we ask the helpers, so that a rotated one recovers";
const KEEPS_HEADERS: &str = "git sends http.extraHeader wherever a redirect leads to; the daemon sends it to no other server, as it may be a token";

const ASKS_AT_ONCE: &str =
    "git tries the user of the URL with no password before it asks for one; we ask at once";
const NO_VERSION: &str =
    "git asks for version 1 of the protocol as well over HTTP; we do not, as a push is the same in it";
const NO_HEADER: &str =
    "git ignores an extraHeader without a colon; the daemon refuses it, as a token may be missing";

const CASES: &[Case] = &[
    // The place.
    case(OPEN, "", &[], TAKEN),
    case("https://{host}/anonymous/r.git/", "", &[], TAKEN),
    case("https://{host}/anonymous/%72.git", "", &[], TAKEN),
    case("https://{host}/other/../anonymous/./r.git", "", &[], TAKEN),
    case("https://{host}/anonymous//r.git", "", &[], TAKEN),
    case("https://{host}/anonymous/r.git?x=1", "", &[], &[404]),
    case("https://{host}/anonymous/no%20such.git", "", &[], &[404]),
    case("https://user@{host}/anonymous/r.git", "", &[], TAKEN),
    case("https://{login}@{host}/anonymous/r.git", "", &[], TAKEN),
    case("https://{host}/moved/r.git", "", &[], &[301, 200, 200]),
    case(
        "https://{host}/moved/r.git",
        "[http]\nfollowRedirects = false\n",
        &[],
        &[301],
    ),
    case(
        "x",
        "[remote \"x\"]\nurl = https://{host}/anonymous/r.git\n",
        &[],
        TAKEN,
    ),
    case(
        "gh:r.git",
        "[url \"https://{host}/anonymous/\"]\ninsteadOf = gh:\n",
        &[],
        TAKEN,
    ),
    case(
        "gh:o/r.git",
        "[url \"https://{host}/wrong/\"]\ninsteadOf = gh:\n[url \"https://{host}/anonymous/\"]\ninsteadOf = gh:o/\n",
        &[],
        TAKEN,
    ),
    case(
        "ssh://h/r.git",
        "[url \"https://{host}/wrong/\"]\ninsteadOf = ssh://h/\n[url \"https://{host}/anonymous/\"]\npushInsteadOf = ssh://h/\n",
        &[],
        TAKEN,
    ),
    case(
        "x",
        "[remote \"x\"]\nurl = https://{host}/wrong/r.git\npushurl = https://{host}/anonymous/r.git\n",
        &[],
        TAKEN,
    ),
    case(
        "x",
        "[remote \"x\"]\nurl = https://{host}/wrong/r.git\npushurl = gh:r.git\n[url \"https://{host}/anonymous/\"]\ninsteadOf = gh:\n[url \"https://{host}/wrong/\"]\npushInsteadOf = gh:\n",
        &[],
        TAKEN,
    ),
    Case {
        differs: Some((NO_VERSION, TAKEN)),
        ..case(OPEN, "[protocol]\nversion = 1\n", &[], TAKEN)
    },
    case(OPEN, "[protocol]\nallow = never\n", &[], &[]),
    case(OPEN, "[protocol \"https\"]\nallow = never\n", &[], &[]),
    case(OPEN, "[http]\nversion = HTTP/1.1\n", &[], TAKEN),
    // Headers.
    case(OPEN, "[http]\nextraHeader = X-One: 1\n", &[], TAKEN),
    case(
        OPEN,
        "[http]\nextraHeader = X-One: 1\nextraHeader = X-Two: 2\nextraHeader = X-One: 3\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nextraHeader = X-One: 1\nextraHeader =\nextraHeader = X-Two: 2\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nextraHeader = X-One: 1\nextraHeader =\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http \"https://{host}\"]\nextraHeader = X-One: 1\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http \"https://{host}/anonymous/\"]\nextraHeader = X-One: 1\n[http \"https://{host}/basic/\"]\nextraHeader = X-Two: 2\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http \"https://localhost\"]\nextraHeader = X-One: 1\n[http \"http://{host}\"]\nextraHeader = X-Two: 2\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http \"https://*:{port}\"]\nextraHeader = X-One: 1\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nextraHeader = X-One: general\n[http \"https://{host}\"]\nextraHeader = X-One: special\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http \"https://{host}\"]\nextraHeader = X-One: special\n[http]\nextraHeader = X-One: general\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nextraHeader = X-One: general\n[http \"https://{host}\"]\nextraHeader =\nextraHeader = X-Two: special\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http \"https://user@{host}\"]\nextraHeader = X-One: 1\n",
        &[],
        TAKEN,
    ),
    case(
        "https://user@{host}/anonymous/r.git",
        "[http \"https://user@{host}\"]\nextraHeader = X-One: 1\n",
        &[],
        TAKEN,
    ),
    case(
        "https://user@{host}/anonymous/r.git",
        "[http \"https://{host}/anonymous\"]\nextraHeader = X-One: path\n[http \"https://user@{host}\"]\nextraHeader = X-One: user\n",
        &[],
        TAKEN,
    ),
    case(
        "gh:r.git",
        "[url \"https://{host}/anonymous/\"]\ninsteadOf = gh:\n[http \"https://{host}/anonymous/\"]\nextraHeader = X-One: 1\n",
        &[],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nextraHeader = \"X-One;\"\nextraHeader = X-Two:\n",
        &[],
        TAKEN,
    ),
    Case {
        differs: Some((NO_HEADER, &[])),
        ..case(OPEN, "[http]\nextraHeader = X-One\n", &[], TAKEN)
    },
    case(OPEN, "[http]\nextraHeader = User-Agent: custom\n", &[], TAKEN),
    case(
        OPEN,
        "[http]\nextraHeader = X-One: file\n",
        &[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "http.extraheader"),
            ("GIT_CONFIG_VALUE_0", "X-Two: environment"),
        ],
        TAKEN,
    ),
    case(
        OPEN,
        "",
        &[(
            "GIT_CONFIG_PARAMETERS",
            "'http.extraHeader=X-One: 1' 'http.extraheader'='X-Two: 2'",
        )],
        TAKEN,
    ),
    case(
        "https://{host}/moved/r.git",
        "[http \"https://{host}/moved\"]\nextraHeader = X-One: 1\n",
        &[],
        &[301, 200, 200],
    ),
    Case {
        differs: Some((KEEPS_HEADERS, &[302, 401])),
        ..case(
            "https://{host}/moved-to-address/r.git",
            "[http]\nextraHeader = X-One: 1\n",
            &[],
            &[302, 401],
        )
    },
    // The agent.
    case(OPEN, "[http]\nuserAgent = custom/1\n", &[], TAKEN),
    case(OPEN, "", &[("GIT_HTTP_USER_AGENT", "custom/2")], TAKEN),
    case(
        OPEN,
        "[http]\nuserAgent = custom/1\n",
        &[("GIT_HTTP_USER_AGENT", "custom/2")],
        TAKEN,
    ),
    case(
        OPEN,
        "[http \"https://{host}/anonymous\"]\nuserAgent = longest\n[http \"https://{host}\"]\nuserAgent = longer\n[http]\nuserAgent = general\n",
        &[],
        TAKEN,
    ),
    case(OPEN, "", &[("GIT_USER_AGENT", "custom/3")], TAKEN),
    case(
        OPEN,
        "[http]\nuserAgent = custom/1\n",
        &[("GIT_USER_AGENT", "custom/3")],
        TAKEN,
    ),
    case(
        OPEN,
        "",
        &[
            ("GIT_USER_AGENT", "custom/3"),
            ("GIT_HTTP_USER_AGENT", "custom/2"),
        ],
        TAKEN,
    ),
    case(OPEN, "[http]\nuserAgent =\n", &[], TAKEN),
    case(OPEN, "", &[("GIT_HTTP_USER_AGENT", "")], TAKEN),
    case(OPEN, "", &[("GIT_USER_AGENT", "")], TAKEN),
    case(OPEN, "[http]\nextraHeader = User-Agent:\n", &[], TAKEN),
    case(OPEN, "", &[("GIT_HTTP_USER_AGENT", "m\u{ef}ne")], TAKEN),
    // A front end that admits only git.
    case("https://{host}/filtered/r.git", "", &[], TAKEN),
    case(
        "https://{host}/filtered/r.git",
        "[http]\nuserAgent = custom/1\n",
        &[],
        &[404],
    ),
    // The types of answers.
    case("https://{host}/loud/r.git", "", &[], TAKEN),
    case("https://{host}/typeless/r.git", "", &[], &[200]),
    case("https://{host}/plain/r.git", "", &[], &[200]),
    case("https://{host}/plain-report/r.git", "", &[], TAKEN),
    case("https://{host}/typeless-report/r.git", "", &[], TAKEN),
    // Credentials.
    case("https://{login}@{host}/basic/r.git", "", &[], CHALLENGED),
    case(
        "https://pusher:c0rrect%2dh0rse@{host}/basic/r.git",
        "",
        &[],
        CHALLENGED,
    ),
    case("https://pusher:wr0ng@{host}/basic/r.git", "", &[], &[401, 401]),
    Case {
        differs: Some((ASKS_HELPERS, &[401, 401, 200, 200])),
        ..case(
            "https://pusher:wr0ng@{host}/basic/r.git",
            HELPER,
            &[],
            &[401, 401],
        )
    },
    Case {
        differs: Some((ASKS_AT_ONCE, CHALLENGED)),
        ..case(
            "https://pusher@{host}/basic/r.git",
            HELPER,
            &[],
            &[401, 401, 200, 200],
        )
    },
    case(BASIC, HELPER, &[], CHALLENGED),
    case(BASIC, "{helper}helper =\n", &[], &[401]),
    case(BASIC, "", &[], &[401]),
    case(
        BASIC,
        "[credential \"https://{host}\"]\nusername = pusher\nhelper = \"!f() { test \\\"$1\\\" = get && echo password=c0rrect-h0rse; }; f\"\n",
        &[],
        CHALLENGED,
    ),
    case(
        BASIC,
        "[credential \"https://elsewhere\"]\nhelper = store\n",
        &[],
        &[401],
    ),
    case(
        "https://{login}@{host}/push-basic/r.git",
        "",
        &[],
        &[200, 401, 200],
    ),
    case(
        "https://{login}@{host}/moved-to-basic/r.git",
        "",
        &[],
        &[302, 401, 200, 200],
    ),
    case(
        BASIC,
        "[http]\nextraHeader = Authorization: Basic cHVzaGVyOmMwcnJlY3QtaDByc2U=\n",
        &[],
        TAKEN,
    ),
    case(
        "https://{host}/bearer/r.git",
        "[http \"https://{host}/\"]\nextraHeader = Authorization: Bearer {bearer}\n",
        &[],
        TAKEN,
    ),
    case(
        "https://{host}/bearer/r.git",
        "[http]\nextraHeader = Authorization: Bearer wrong\n",
        &[],
        &[403],
    ),
    case("https://{host}/forbidden/r.git", "", &[], &[403]),
    // Proxies.
    case(OPEN, "", &[("https_proxy", "{proxy}")], TAKEN),
    case(OPEN, "", &[("HTTPS_PROXY", "{proxy}")], TAKEN),
    case(OPEN, "", &[("ALL_PROXY", "{proxy}")], TAKEN),
    case(
        OPEN,
        "[http]\nproxy = {proxy}\n",
        &[("https_proxy", "http://127.0.0.1:1")],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nproxy =\n",
        &[("https_proxy", "http://127.0.0.1:1")],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nproxy = {proxy}\n",
        &[("NO_PROXY", "localhost")],
        TAKEN,
    ),
    case(
        OPEN,
        "[http]\nproxy = http://127.0.0.1:1\n[http \"https://{host}\"]\nproxy = {proxy}\n",
        &[],
        TAKEN,
    ),
    case(
        "x",
        "[http]\nproxy = http://127.0.0.1:1\n[remote \"x\"]\nurl = https://{host}/anonymous/r.git\nproxy = {proxy}\n",
        &[],
        TAKEN,
    ),
    case(OPEN, "[http]\nproxy = http://127.0.0.1:1\n", &[], &[]),
];

/// The requests of one push at the server and the proxy.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The answer, the request line and the headers, of each request.
    requests: Vec<String>,
    tunnels: usize,
}

/// The log of the server behind the lines that were read before.
struct Log<'a> {
    place: &'a Place,
    proxy: &'a Tinyproxy,
    lines: usize,
    tunnels: usize,
}

impl Log<'_> {
    /// Takes the new lines once there are as many as expected: the server writes them after its answers.
    async fn take(&mut self, expected: usize) -> Seen {
        let deadline = Instant::now() + LOG_LIMIT;
        let mut lines;
        loop {
            let log = fs::read_to_string(self.place.dir().join("compared.log")).unwrap_or_default();
            // A line without its end is being written.
            let whole = log.rfind('\n').map_or("", |end| &log[..end]);
            lines = whole
                .lines()
                .skip(self.lines)
                .map(str::to_owned)
                .collect::<Vec<_>>();
            if lines.len() >= expected || Instant::now() > deadline {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.lines += lines.len();
        // Each line begins with the time of its request.
        lines.sort();
        let opened = self.proxy.tunnels();
        let tunnels = opened - self.tunnels;
        self.tunnels = opened;
        Seen {
            requests: lines.iter().map(|line| without_own_agent(line)).collect(),
            tunnels,
        }
    }
}

/// A line of the log without its time, and with [`OWN_AGENT`] for the default agent of the program.
fn without_own_agent(line: &str) -> String {
    let mut fields: Vec<&str> = line.split('\t').skip(1).collect();
    if let Some(agent) = fields.get_mut(3)
        && agent.starts_with("git/")
    {
        *agent = OWN_AGENT;
    }
    fields.join(" | ")
}

fn answers(seen: &Seen) -> Vec<u16> {
    let answer = |request: &String| request.split(' ').next().and_then(|word| word.parse().ok());
    seen.requests
        .iter()
        .map(|request| answer(request).unwrap_or_default())
        .collect()
}

/// Pushes by the real git, and returns whether the branch arrived and git's messages.
pub(crate) fn push_by_git(place: &Place, remote: &str) -> (bool, String) {
    let output = Command::new("git")
        .args(["push", remote, "main:main"])
        .current_dir(place.local())
        .env_clear()
        .envs(place.env.iter())
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .output()
        .expect("git is installed");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), stderr)
}

#[tokio::test]
async fn the_server_sees_the_same_requests_as_from_git() {
    let Some(mut place) = Place::new() else { return };
    let proxy = Tinyproxy::start(place.dir(), place.apache.port, None);
    let base = place.env.clone();
    let file = place.local().join(".git/config");
    let own = fs::read_to_string(&file).expect("git init wrote it");
    fs::write(
        place.dir().join("answer"),
        format!("username={USER}\npassword={PASSWORD}\n"),
    )
    .expect("writable");
    let port = place.apache.port.to_string();
    let host = format!("localhost:{port}");
    let dir = place.dir().display().to_string();
    let filled = |text: &str| {
        text.replace("{helper}", HELPER)
            .replace("{host}", &host)
            .replace("{port}", &port)
            .replace("{login}", &format!("{USER}:{PASSWORD}"))
            .replace("{bearer}", BEARER)
            .replace("{dir}", &dir)
            .replace("{proxy}", &proxy.url(""))
    };
    let (mut lines, mut tunnels) = (0, proxy.tunnels());
    let mut wrong = Vec::new();
    for case in CASES {
        let remote = filled(case.remote);
        fs::write(&file, format!("{own}{}", filled(case.config))).expect("writable");
        place.env = base.clone();
        for (name, value) in case.variables {
            place.var(name, filled(value));
        }
        let mut log = Log {
            place: &place,
            proxy: &proxy,
            lines,
            tunnels,
        };

        let (git_arrived, stderr) = push_by_git(&place, &remote);
        let by_git = log.take(case.answers.len()).await;
        forget(&place, git_arrived);

        let (reason, expected) = case.differs.unwrap_or(("", case.answers));
        let outcome = place.push(&remote).await;
        let by_daemon = log.take(expected.len()).await;
        let daemon_arrived = matches!(outcome, Outcome::Pushed { .. });
        forget(&place, daemon_arrived);
        (lines, tunnels) = (log.lines, log.tunnels);

        let is_as_listed = answers(&by_git) == case.answers && answers(&by_daemon) == expected;
        let is_alike = by_git == by_daemon && git_arrived == daemon_arrived;
        if !is_as_listed || is_alike != reason.is_empty() {
            wrong.push(format!(
                "{} {:?} {:?}\n git: {by_git:#?} {stderr}\n daemon: {by_daemon:#?} {outcome:?}",
                case.remote, case.config, case.variables
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        CASES.len(),
        wrong.join("\n")
    );
    let known: Vec<&str> = CASES.iter().filter_map(|case| Some(case.differs?.0)).collect();
    report(&format!(
        "compared with git: {} pushes over HTTPS; {} differ, as is known: {}",
        CASES.len(),
        known.len(),
        known.join("; ")
    ));
}

/// Deletes the branch on the server.
pub(crate) fn forget(place: &Place, is_there: bool) {
    if is_there {
        place.git(&place.remote(), &["update-ref", "-d", "refs/heads/main"]);
    }
}
