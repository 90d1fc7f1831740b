//! User names and passwords for HTTP, which `git credential` gets from the credential helpers and the askpass program in
//! git's order (gitcredentials(7)).
//!
//! git decides which helpers apply, so it is run wherever it is installed. Credentials are not kept between attempts, so a
//! rotated token is found, and git never prompts on a terminal. Secrets travel through pipes, never in arguments, and no
//! `Debug` shows one. Values are bytes, because git and its helpers pass on text that is not UTF-8.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use git_local::config::{Config, Environment};

use crate::failure;
use crate::transport::{
    Background, LocalRepository, Output, Settings, command, communicate, with_english_messages,
};

/// Describes the server and repository that need a credential.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// `http` or `https`.
    pub(super) protocol: &'static str,
    /// Host and port, as in the URL.
    pub(super) host: String,
    /// Decoded, without slashes at its ends. git drops it unless `credential.useHttpPath` is set.
    pub(super) path: Vec<u8>,
    /// The user name in the URL.
    pub(super) username: Option<Vec<u8>>,
    /// The server's `WWW-Authenticate` headers.
    pub(super) challenges: Vec<Vec<u8>>,
}

/// The lines of `git credential`: keys and values.
type Fields = Vec<(String, Vec<u8>)>;

/// A user name and password, or the scheme and token that a helper gave instead.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential {
    /// Everything that `git credential` wrote, so that all of it is handed back.
    fields: Fields,
    /// The remote's URL holds it; otherwise `git credential fill` gave it.
    pub(super) is_from_url: bool,
}

impl Credential {
    pub(super) fn from_url(query: &Query, username: &[u8], password: &[u8]) -> Self {
        let mut fields = query.location();
        fields.push(("username".to_owned(), username.to_owned()));
        fields.push(("password".to_owned(), password.to_owned()));
        Self {
            fields,
            is_from_url: true,
        }
    }

    /// Reads the answer of `git credential fill`. A last line without its end was cut off and is dropped.
    fn from_output(output: &[u8]) -> Option<Self> {
        let end = output.iter().rposition(|&byte| byte == b'\n')?;
        let pairs = output[..end].split(|&byte| byte == b'\n').filter_map(|line| {
            let at = line.iter().position(|&byte| byte == b'=')?;
            let key = std::str::from_utf8(&line[..at]).ok()?;
            Some((key.to_owned(), line[at + 1..].to_owned()))
        });
        let credential = Self {
            fields: pairs.collect(),
            is_from_url: false,
        };
        credential.header().is_some().then_some(credential)
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> Option<Vec<u8>> {
        if let Some((scheme, token)) = self.token() {
            return Some([scheme, b" ", token].concat());
        }
        let username = self.field("username").unwrap_or_default();
        let pair = [username, b":", self.field("password")?].concat();
        Some(format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes())
    }

    /// Whether it is a user name and password, which only `Basic` can carry.
    pub(super) fn is_basic(&self) -> bool {
        self.token().is_none()
    }

    fn token(&self) -> Option<(&[u8], &[u8])> {
        self.field("authtype").zip(self.field("credential"))
    }

    /// Whether it is one step of several: the server answers it with another challenge, to which the helper has the next
    /// answer.
    pub(super) fn continues(&self) -> bool {
        self.field("continue") == Some(b"1")
    }

    /// Removes its secrets from a text, for servers that repeat what they received.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets = ["password", "credential", "oauth_refresh_token"];
        let secrets = secrets.into_iter().filter_map(|name| self.field(name));
        secrets
            .filter(|secret| !secret.is_empty())
            .map(String::from_utf8_lossy)
            .fold(text.to_owned(), |text, secret| text.replace(&*secret, "***"))
    }

    /// The input of `git credential approve` and `reject`.
    fn verdict(&self, query: &Query) -> Vec<u8> {
        let mut fields = self.fields.clone();
        if self.is_from_url {
            fields.extend(query.challenges());
        }
        encode(&fields)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(***)")
    }
}

impl Query {
    fn location(&self) -> Fields {
        let mut fields = vec![
            ("protocol".to_owned(), self.protocol.into()),
            ("host".to_owned(), self.host.clone().into_bytes()),
        ];
        if !self.path.is_empty() {
            fields.push(("path".to_owned(), self.path.clone()));
        }
        fields
    }

    /// The input of `git credential fill`. After the first of several steps the helpers get back what they gave, except
    /// the secret.
    fn question(&self, step: Option<&Credential>) -> Vec<u8> {
        // The capabilities allow helpers to answer with a token, and in several steps.
        let mut fields: Fields = ["authtype", "state"]
            .map(|capability| ("capability[]".to_owned(), capability.into()))
            .into();
        fields.extend(self.location());
        fields.extend(self.username.clone().map(|name| ("username".to_owned(), name)));
        fields.extend(self.challenges());
        let given = step.into_iter().flat_map(|step| &step.fields);
        let is_kept = |key: &str| matches!(key, "authtype" | "ephemeral" | "state[]" | "username");
        fields.extend(given.filter(|(key, _)| is_kept(key)).cloned());
        encode(&fields)
    }

    fn challenges(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let challenges = self.challenges.iter().cloned();
        challenges.map(|challenge| ("wwwauth[]".to_owned(), challenge))
    }
}

/// Writes `key=value` lines and an empty line (git-credential(1), INPUT/OUTPUT FORMAT). A value with a line end cannot be
/// written and is left out.
fn encode(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut text = Vec::new();
    let is_line = |value: &[u8]| !value.iter().any(|byte| matches!(byte, b'\n' | 0));
    for (key, value) in fields.iter().filter(|(_, value)| is_line(value)) {
        text.extend_from_slice(&[key.as_bytes(), b"=", value, b"\n"].concat());
    }
    text.push(b'\n');
    text
}

/// Runs the credential helpers of a repository through `git credential`.
#[derive(Debug, Clone)]
pub(super) struct Helpers {
    /// A helper is configured for some place. git decides whether it applies.
    has_helper: bool,
    has_askpass: bool,
    environment: Environment,
    root: PathBuf,
    background: Background,
    /// Whether an answer is awaited, in any of the clones.
    is_asking: Arc<AtomicBool>,
}

/// Marks an answer as awaited until it arrives or is no longer wanted.
struct Asking<'a>(&'a AtomicBool);

impl<'a> Asking<'a> {
    fn start(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Helpers {
    pub(super) fn new(repository: &LocalRepository<'_>, settings: &Settings) -> Self {
        // Without a terminal to prompt on, and with the configuration that is read here.
        let mut environment = with_english_messages(settings.environment.clone())
            .with("GIT_DIR", repository.git_dir)
            .without("GIT_WORK_TREE")
            .without("GIT_COMMON_DIR")
            .with("GIT_TERMINAL_PROMPT", "0")
            // Git Credential Manager opens windows and browsers otherwise.
            .with("GCM_INTERACTIVE", "never");
        // Traces go to the standard error and may hold the credential.
        for trace in ["GIT_TRACE", "GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE2"] {
            environment = environment.without(trace);
        }
        Self {
            has_helper: has_helper(repository.config),
            has_askpass: has_askpass(repository.config, &environment),
            environment,
            root: repository.root.to_owned(),
            background: settings.background.clone(),
            is_asking: Arc::default(),
        }
    }

    /// Whether a helper's answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::Relaxed)
    }

    /// Asks the helpers, then the askpass program; the error continues a sentence. Dropping the future ends the child.
    /// `step` is the previous answer where the server asks for several.
    pub(super) async fn fill(&self, query: &Query, step: Option<&Credential>) -> Result<Credential, String> {
        let _asking = Asking::start(&self.is_asking);
        let is_configured = self.has_helper || self.has_askpass;
        // git may read a configuration that is not seen here, as Apple's does, so it is asked in any case.
        let output = self.run_git("fill", query.question(step)).await;
        let output = output.map_err(|error| failure::without_git_credential(&error, is_configured))?;
        Credential::from_output(&output.stdout)
            .ok_or_else(|| failure::without_credential(&output.stderr, is_configured))
    }

    /// Tells the helpers in the background that a credential was accepted, so that they may keep it.
    pub(super) fn approve(&self, query: &Query, credential: &Credential) {
        if !self.is_of_interest(credential) {
            return;
        }
        let (helpers, verdict) = (self.clone(), credential.verdict(query));
        self.background.spawn(async move {
            tokio::select! {
                () = helpers.tell("approve", verdict) => {}
                // A helper that hangs must not delay the end of the daemon.
                () = helpers.background.dismissed() => {}
            }
        });
    }

    /// Tells the helpers that a credential was refused, so that they forget it before they are asked again.
    pub(super) async fn reject(&self, query: &Query, credential: &Credential) {
        if self.is_of_interest(credential) {
            let _asking = Asking::start(&self.is_asking);
            self.tell("reject", credential.verdict(query)).await;
        }
    }

    async fn tell(&self, action: &'static str, verdict: Vec<u8>) {
        if let Err(error) = self.run_git(action, verdict).await {
            tracing::debug!(%error, "git credential {action} could not be run");
        }
    }

    /// Whether a helper may want to know about it; otherwise no child is started. A credential that no askpass program
    /// gave is from a helper, even if none is seen here.
    fn is_of_interest(&self, credential: &Credential) -> bool {
        self.has_helper || (!credential.is_from_url && !self.has_askpass)
    }

    async fn run_git(&self, action: &str, input: Vec<u8>) -> io::Result<Output> {
        let mut command = command(OsStr::new("git"), &self.root, &self.environment)?;
        command.args(["credential", action]);
        communicate(command, input, &self.background).await
    }
}

fn has_helper(config: &Config) -> bool {
    let mut helpers = config.entries_in("credential", "helper");
    helpers.any(|entry| entry.value().is_some_and(|helper| !helper.is_empty()))
}

/// git uses the first of these that is set, even if it is empty.
fn has_askpass(config: &Config, environment: &Environment) -> bool {
    let variable = |name| environment.get_os(name).map(OsStr::is_empty);
    let is_empty = variable("GIT_ASKPASS")
        .or_else(|| config.get("core.askPass").map(str::is_empty))
        .or_else(|| variable("SSH_ASKPASS"));
    is_empty == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::SharedClient;
    use std::path::Path;

    fn query() -> Query {
        Query {
            protocol: "https",
            host: "h:8443".to_owned(),
            path: b"o/r.git".to_vec(),
            username: Some(b"u".to_vec()),
            challenges: vec![b"Basic realm=\"x\"".to_vec()],
        }
    }

    /// Helpers with the configuration that these pairs make.
    fn helpers(pairs: &[(&str, &str)], environment: Environment) -> Helpers {
        let environment = environment
            .with_settings(pairs)
            .with("PATH", std::env::var_os("PATH").unwrap_or_default())
            .with("GIT_CONFIG_GLOBAL", "/dev/null");
        let nowhere = Path::new("/nonexistent");
        let config = Config::load(&environment, nowhere, nowhere).expect("well-formed");
        let source = LocalRepository {
            root: &std::env::temp_dir(),
            git_dir: nowhere,
            common_dir: nowhere,
            refname: "refs/heads/main",
            config: &config,
        };
        let settings = Settings {
            idle_timeout: None,
            report_timeout: None,
            environment,
            background: Background::default(),
            http: SharedClient::default(),
            transfer: crate::transfer::Transfer::default(),
        };
        Helpers::new(&source, &settings)
    }

    #[tokio::test]
    async fn an_awaited_helper_is_visible() {
        let helpers = helpers(
            &[("credential.helper", "!exec sleep 600; :")],
            Environment::default(),
        );
        let clone = helpers.clone();
        assert!(!helpers.is_asking());
        let query = query();
        let mut asking = Box::pin(clone.fill(&query, None));
        assert!(futures_util::poll!(&mut asking).is_pending());
        assert!(helpers.is_asking());
        drop(asking);
        assert!(!helpers.is_asking());
    }

    #[test]
    fn the_question_names_place_user_and_challenges() {
        assert_eq!(
            String::from_utf8(query().question(None)).expect("text"),
            "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h:8443\npath=o/r.git\nusername=u\nwwwauth[]=Basic realm=\"x\"\n\n"
        );
    }

    #[test]
    fn an_answer_that_was_cut_off_is_ignored() {
        assert_eq!(Credential::from_output(b"username=u\npassword=hun"), None);
        assert_eq!(Credential::from_output(b""), None);
        let whole = Credential::from_output(b"username=u\npassword=a=b\n").expect("whole");
        assert_eq!(whole.header().as_deref(), Some(&b"Basic dTphPWI="[..]));
    }

    #[test]
    fn no_secret_is_debugged_and_a_server_that_repeats_it_is_not_quoted() {
        let credential = Credential::from_url(&query(), b"u", b"hunter2");
        let shown = format!("{credential:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(credential.redact("bad password hunter2"), "bad password ***");
    }

    #[test]
    fn helpers_are_told_about_credentials_that_they_may_keep() {
        let of_url = Credential::from_url(&query(), b"u", b"p");
        let given = Credential::from_output(b"username=u\npassword=p\n").expect("whole");
        let askpass = |name: &str, value: &str| Environment::default().with(name, value);
        for (pairs, environment, told_of_url, told_of_given) in [
            // It is from a helper of a configuration that only git reads.
            (&[][..], Environment::default(), false, true),
            (&[], askpass("GIT_ASKPASS", "ask"), false, false),
            (&[], askpass("SSH_ASKPASS", "ask"), false, false),
            (
                &[("core.askPass", "ask")],
                askpass("GIT_ASKPASS", ""),
                false,
                true,
            ),
            (
                &[("credential.https://*.example.helper", "x")],
                Environment::default(),
                true,
                true,
            ),
            (
                &[("credential.h.helper", "")],
                Environment::default(),
                false,
                true,
            ),
        ] {
            let helpers = helpers(pairs, environment);
            assert_eq!(helpers.is_of_interest(&of_url), told_of_url, "{pairs:?}");
            assert_eq!(helpers.is_of_interest(&given), told_of_given, "{pairs:?}");
        }
    }

    #[test]
    fn verdicts_contain_the_challenges_of_the_server() {
        let told = |credential: &Credential| String::from_utf8(credential.verdict(&query())).expect("text");
        assert_eq!(
            told(&Credential::from_url(&query(), b"u", b"p")),
            "protocol=https\nhost=h:8443\npath=o/r.git\nusername=u\npassword=p\nwwwauth[]=Basic realm=\"x\"\n\n"
        );
        let answer =
            "capability[]=authtype\nauthtype=Bearer\ncredential=t\nephemeral=1\npassword_expiry_utc=1\n";
        let given = Credential::from_output(answer.as_bytes()).expect("whole");
        assert_eq!(told(&given), format!("{answer}\n"));
    }

    #[tokio::test]
    async fn helpers_are_asked_in_order_until_one_knows() {
        let first = "!f() { test \"$1\" = get && echo username=first; }; f";
        let second = "!f() { test \"$1\" = get && echo password=second; }; f";
        let helpers = helpers(
            &[("credential.helper", first), ("credential.helper", second)],
            Environment::default(),
        );
        let query = Query {
            username: None,
            ..query()
        };
        let credential = helpers.fill(&query, None).await.expect("one knows");
        let header = credential.header().expect("one");
        assert_eq!(
            header,
            format!("Basic {}", BASE64_STANDARD.encode("first:second")).as_bytes()
        );
    }

    #[tokio::test]
    async fn a_helper_may_give_a_token_with_its_scheme() {
        let helper = "!f() { test \"$1\" = get && printf 'capability[]=authtype\\nauthtype=Bearer\\ncredential=t0k3n\\n'; }; f";
        let helpers = helpers(&[("credential.helper", helper)], Environment::default());
        let credential = helpers.fill(&query(), None).await.expect("it knows");
        assert_eq!(credential.header().as_deref(), Some(&b"Bearer t0k3n"[..]));
    }

    #[tokio::test]
    async fn an_askpass_program_is_asked_and_a_terminal_never() {
        let helpers = helpers(&[("core.askPass", "echo")], Environment::default());
        let credential = helpers.fill(&query(), None).await.expect("askpass answers");
        assert_eq!(credential.field("username"), Some(&b"u"[..]));
        assert!(credential.is_basic());
    }

    #[tokio::test]
    async fn the_failure_of_a_helper_does_not_name_the_user_of_the_url() {
        let helpers = helpers(&[("credential.helper", "!true")], Environment::default());
        let reason = helpers
            .fill(
                &Query {
                    username: Some(b"ghp_secret".to_vec()),
                    ..query()
                },
                None,
            )
            .await
            .expect_err("it knows nothing");
        assert!(
            reason.contains("could not read Password") && !reason.contains("ghp_secret"),
            "{reason}"
        );
    }

    #[tokio::test]
    async fn without_helpers_or_without_git_the_reason_says_what_to_do() {
        let none = helpers(&[], Environment::default());
        let none = Helpers {
            environment: none.environment.with("PATH", "/nonexistent"),
            ..none
        };
        let reason = none.fill(&query(), None).await.expect_err("there is nothing");
        assert!(reason.contains("credential.helper"), "{reason}");

        let some = helpers(&[("credential.helper", "store")], Environment::default());
        let some = Helpers {
            environment: some.environment.with("PATH", "/nonexistent"),
            ..some
        };
        let reason = some.fill(&query(), None).await.expect_err("there is no git");
        assert!(reason.contains("install git"), "{reason}");
    }
}
