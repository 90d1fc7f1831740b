//! User names and passwords for HTTP, from whatever git's configuration names: `git credential` runs the helpers and
//! the askpass program, in git's order (gitcredentials(7)).
//!
//! git decides which helpers apply: it is asked wherever it is installed. Nothing is kept between two attempts, so that a
//! rotated token is found; and nobody is prompted on a terminal. Secrets travel through pipes, never in arguments, and no
//! `Debug` shows one. Values are bytes: git and its helpers pass on what is not UTF-8.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::config::{Config, Environment};
use crate::failure::redact;
use crate::transport::{
    Background, LocalRepository, Output, Settings, command, communicate, with_english_messages,
};

/// What a credential is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `http` or `https`.
    pub protocol: &'static str,
    /// Host and port, as in the URL.
    pub host: String,
    /// Decoded, without slashes at its ends. git drops it unless `credential.useHttpPath` is set.
    pub path: Vec<u8>,
    /// The user name in the URL.
    pub username: Option<Vec<u8>>,
    /// The server's `WWW-Authenticate` headers.
    pub challenges: Vec<Vec<u8>>,
}

/// The lines of `git credential`: a name and what follows the `=`.
type Fields = Vec<(String, Vec<u8>)>;

/// A user name with a password, or what a helper gave in their place.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// As `git credential` wrote it, so that it gets all of it back.
    fields: Fields,
    source: Source,
}

/// Where a credential came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The remote's URL.
    Url,
    /// `git credential fill`.
    Helper,
}

/// How a credential is shown to the server.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization<'a> {
    /// User name and password.
    Basic(&'a [u8], &'a [u8]),
    /// The scheme and what follows it, such as `Bearer` and a token.
    Other(&'a [u8], &'a [u8]),
}

impl Credential {
    /// The user name and password of a URL.
    #[must_use]
    pub fn from_url(request: &Request, username: &[u8], password: &[u8]) -> Self {
        let mut fields = request.location();
        fields.push(("username".to_owned(), username.to_owned()));
        fields.push(("password".to_owned(), password.to_owned()));
        Self {
            fields,
            source: Source::Url,
        }
    }

    /// Where it came from.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// What to send.
    #[must_use]
    pub fn authorization(&self) -> Option<Authorization<'_>> {
        if let (Some(scheme), Some(credential)) = (self.field("authtype"), self.field("credential")) {
            return Some(Authorization::Other(scheme, credential));
        }
        let password = self.field("password")?;
        Some(Authorization::Basic(
            self.field("username").unwrap_or_default(),
            password,
        ))
    }

    /// Whether it is one step of several: the server is expected to answer it with another challenge, to which the helper
    /// has the next answer.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.field("continue") == Some(b"1")
    }

    /// Removes it from a text, for servers that repeat what they were sent.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let secrets = ["password", "credential", "oauth_refresh_token"];
        let secrets = secrets.into_iter().filter_map(|name| self.field(name));
        secrets
            .filter(|secret| !secret.is_empty())
            .map(String::from_utf8_lossy)
            .fold(text.to_owned(), |text, secret| text.replace(&*secret, "***"))
    }

    /// What the helpers are told of it when it was accepted or refused: all that git said, or all that git would say of a
    /// user name and password of the URL.
    fn verdict(&self, request: &Request) -> Vec<u8> {
        let mut fields = self.fields.clone();
        if self.source == Source::Url {
            fields.extend(request.challenges());
        }
        encode(&fields)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
    }

    fn from_output(output: &[u8]) -> Option<Self> {
        // What stands behind the last line end was cut off.
        let end = output.iter().rposition(|&byte| byte == b'\n')?;
        let pairs = output[..end].split(|&byte| byte == b'\n').filter_map(|line| {
            let at = line.iter().position(|&byte| byte == b'=')?;
            let key = std::str::from_utf8(&line[..at]).ok()?;
            Some((key.to_owned(), line[at + 1..].to_owned()))
        });
        let credential = Self {
            fields: pairs.collect(),
            source: Source::Helper,
        };
        credential.authorization().is_some().then_some(credential)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credential")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Authorization<'_> {
    /// The header's value.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        match self {
            Self::Basic(username, password) => {
                let pair = [*username, b":", *password].concat();
                format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
            }
            Self::Other(scheme, credential) => [*scheme, b" ", *credential].concat(),
        }
    }
}

impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Basic(..) => "Basic(***)",
            Self::Other(..) => "Other(***)",
        })
    }
}

impl Request {
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

    /// The question to the helpers. After the first of several steps they get back what they gave with it, its secret
    /// excepted.
    fn question(&self, step: Option<&Credential>) -> Vec<u8> {
        // Helpers may then answer with something other than a password, and in several steps.
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

/// One `key=value` a line and an empty line at the end (git-credential(1), INPUT/OUTPUT FORMAT). No value can hold
/// a line end: what does is left out.
fn encode(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut text = Vec::new();
    let is_line = |value: &[u8]| !value.iter().any(|byte| matches!(byte, b'\n' | 0));
    for (key, value) in fields.iter().filter(|(_, value)| is_line(value)) {
        text.extend_from_slice(key.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text.push(b'\n');
    text
}

/// Why no credential was found, in words that continue a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCredential(pub String);

/// The credential helpers of a repository, run by git.
#[derive(Debug, Clone)]
pub struct Helpers {
    config: Config,
    environment: Environment,
    root: PathBuf,
    background: Background,
    /// Whether somebody waits for an answer, in any of the clones.
    is_asking: Arc<AtomicBool>,
}

/// Holds while an answer is waited for, until it is there or no longer wanted.
struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Helpers {
    /// The helpers that the repository's configuration names.
    #[must_use]
    pub fn new(repository: &LocalRepository<'_>, settings: &Settings) -> Self {
        // Without a terminal to prompt on, and with git looking at the configuration that we look at.
        let mut environment = with_english_messages(settings.environment.clone())
            .with("GIT_DIR", repository.git_dir)
            .without("GIT_WORK_TREE")
            .without("GIT_COMMON_DIR")
            .with("GIT_TERMINAL_PROMPT", "0")
            // Git Credential Manager opens windows and browsers otherwise.
            .with("GCM_INTERACTIVE", "never");
        // They write to the standard error, and what they write may hold what was asked for.
        for trace in ["GIT_TRACE", "GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE2"] {
            environment = environment.without(trace);
        }
        Self {
            config: repository.config.clone(),
            environment,
            root: repository.root.to_owned(),
            background: settings.background.clone(),
            is_asking: Arc::default(),
        }
    }

    /// Whether a helper's answer is waited for.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::Relaxed)
    }

    fn asking(&self) -> Asking<'_> {
        self.is_asking.store(true, Ordering::Relaxed);
        Asking(&self.is_asking)
    }

    /// Asks the helpers, then the askpass program. Dropping the future ends what they run. `step` is the answer before,
    /// where the helpers need several.
    ///
    /// # Errors
    ///
    /// When none of them knows a credential, or git is not there to run them.
    pub async fn fill(
        &self,
        request: &Request,
        step: Option<&Credential>,
    ) -> Result<Credential, NoCredential> {
        let _asking = self.asking();
        let is_configured = self.has_helper() || self.has_askpass();
        let nothing = || {
            NoCredential(
                "neither the URL nor a credential helper nor an askpass program gives any: put a token into the URL, or set credential.helper, http.extraHeader or GIT_ASKPASS".to_owned(),
            )
        };
        // git is asked in any case: it may read a configuration of its own that is not seen here, as Apple's does.
        let said = match self.ask_git("fill", request.question(step)).await {
            Ok(said) => said,
            Err(error) if is_configured => return Err(NoCredential(could_not_start(&error))),
            Err(_) => return Err(nothing()),
        };
        Credential::from_output(&said.stdout).ok_or_else(|| {
            let words = redact(&said.stderr).into_owned();
            if !is_configured && (words.is_empty() || words.contains("terminal prompts disabled")) {
                return nothing();
            }
            let words = if words.is_empty() {
                "git credential said nothing of why".to_owned()
            } else {
                words
            };
            NoCredential(format!(
                "the credential helpers and the askpass program gave none ({words})"
            ))
        })
    }

    /// Tells the helpers, in the background, that a credential was accepted, so that they may keep it.
    pub fn approve(&self, request: &Request, credential: &Credential) {
        if !self.is_of_interest(credential) {
            return;
        }
        let (helpers, verdict) = (self.clone(), credential.verdict(request));
        self.background.spawn(async move {
            tokio::select! {
                () = helpers.tell("approve", verdict) => {}
                // A helper that hangs must not hold the end of the daemon up.
                () = helpers.background.dismissed() => {}
            }
        });
    }

    /// Tells the helpers that a credential was refused, so that they forget it before they are asked again.
    pub async fn reject(&self, request: &Request, credential: &Credential) {
        if self.is_of_interest(credential) {
            let _asking = self.asking();
            self.tell("reject", credential.verdict(request)).await;
        }
    }

    async fn tell(&self, action: &'static str, verdict: Vec<u8>) {
        if let Err(error) = self.ask_git(action, verdict).await {
            tracing::debug!(%error, "git credential {action} could not be run");
        }
    }

    /// Whether there can be a helper to tell of it: a child that would find none is saved.
    fn is_of_interest(&self, credential: &Credential) -> bool {
        // What no askpass program gave is from a helper, seen here or not.
        self.has_helper() || (credential.source == Source::Helper && !self.has_askpass())
    }

    /// Whether a helper is configured for any place. Which of them apply is for git to say.
    fn has_helper(&self) -> bool {
        self.config.entries().iter().any(|entry| {
            entry.section() == "credential"
                && entry.name() == "helper"
                && entry.value().is_some_and(|helper| !helper.is_empty())
        })
    }

    /// The first of these that is set counts for git, even where it is empty.
    fn has_askpass(&self) -> bool {
        let variable = |name| self.environment.get_os(name).map(OsStr::is_empty);
        let is_empty = variable("GIT_ASKPASS")
            .or_else(|| self.config.get("core.askPass").map(str::is_empty))
            .or_else(|| variable("SSH_ASKPASS"));
        is_empty == Some(false)
    }

    async fn ask_git(&self, action: &str, input: Vec<u8>) -> io::Result<Output> {
        let mut command = command(OsStr::new("git"), &self.root, &self.environment)?;
        command.args(["credential", action]);
        communicate(command, input, &self.background).await
    }
}

fn could_not_start(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        "the configured credential helpers are run by the git command, which is not there: install git, or put a token into the URL or http.extraHeader".to_owned()
    } else {
        format!("git credential could not be started: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::SharedClient;
    use std::path::Path;

    fn request() -> Request {
        Request {
            protocol: "https",
            host: "h:8443".to_owned(),
            path: b"o/r.git".to_vec(),
            username: Some(b"u".to_vec()),
            challenges: vec![b"Basic realm=\"x\"".to_vec()],
        }
    }

    /// Helpers with the configuration that these pairs make.
    fn helpers(pairs: &[(&str, &str)], environment: Environment) -> Helpers {
        let mut environment = environment
            .with("PATH", std::env::var_os("PATH").unwrap_or_default())
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_CONFIG_COUNT", pairs.len().to_string());
        for (index, (key, value)) in pairs.iter().enumerate() {
            environment = environment
                .with(format!("GIT_CONFIG_KEY_{index}"), *key)
                .with(format!("GIT_CONFIG_VALUE_{index}"), *value);
        }
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
        };
        Helpers::new(&source, &settings)
    }

    #[tokio::test]
    async fn it_is_seen_whether_a_helper_is_waited_for() {
        let helpers = helpers(
            &[("credential.helper", "!exec sleep 600; :")],
            Environment::default(),
        );
        let clone = helpers.clone();
        assert!(!helpers.is_asking());
        let request = request();
        let mut asking = Box::pin(clone.fill(&request, None));
        assert!(futures_util::poll!(&mut asking).is_pending());
        assert!(helpers.is_asking());
        drop(asking);
        assert!(!helpers.is_asking());
    }

    #[test]
    fn the_question_names_place_user_and_challenges() {
        assert_eq!(
            String::from_utf8(request().question(None)).expect("text"),
            "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h:8443\npath=o/r.git\nusername=u\nwwwauth[]=Basic realm=\"x\"\n\n"
        );
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        assert_eq!(Credential::from_output(b"username=u\npassword=hun"), None);
        assert_eq!(Credential::from_output(b""), None);
        let whole = Credential::from_output(b"username=u\npassword=a=b\n").expect("whole");
        assert_eq!(whole.authorization(), Some(Authorization::Basic(b"u", b"a=b")));
    }

    #[test]
    fn no_secret_is_debugged_and_a_server_that_repeats_it_is_not_quoted() {
        let credential = Credential::from_url(&request(), b"u", b"hunter2");
        let shown = format!("{credential:?} {:?}", credential.authorization());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(credential.redact("bad password hunter2"), "bad password ***");
    }

    #[test]
    fn helpers_are_told_of_what_one_of_them_may_keep() {
        let of_url = Credential::from_url(&request(), b"u", b"p");
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
    fn what_helpers_are_told_has_what_the_server_asked_for() {
        let told = |credential: &Credential| String::from_utf8(credential.verdict(&request())).expect("text");
        assert_eq!(
            told(&Credential::from_url(&request(), b"u", b"p")),
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
        let request = Request {
            username: None,
            ..request()
        };
        let credential = helpers.fill(&request, None).await.expect("one knows");
        assert_eq!(
            credential.authorization(),
            Some(Authorization::Basic(b"first", b"second"))
        );
    }

    #[tokio::test]
    async fn a_helper_may_give_a_token_with_its_scheme() {
        let helper = "!f() { test \"$1\" = get && printf 'capability[]=authtype\\nauthtype=Bearer\\ncredential=t0k3n\\n'; }; f";
        let helpers = helpers(&[("credential.helper", helper)], Environment::default());
        let credential = helpers.fill(&request(), None).await.expect("it knows");
        assert_eq!(
            credential.authorization(),
            Some(Authorization::Other(b"Bearer", b"t0k3n"))
        );
    }

    #[tokio::test]
    async fn an_askpass_program_is_asked_and_a_terminal_never() {
        let helpers = helpers(&[("core.askPass", "echo")], Environment::default());
        let credential = helpers.fill(&request(), None).await.expect("askpass answers");
        assert!(matches!(
            credential.authorization(),
            Some(Authorization::Basic(b"u", _))
        ));
    }

    #[tokio::test]
    async fn a_helper_that_knows_nothing_is_told_about_without_the_user_of_the_url() {
        let helpers = helpers(&[("credential.helper", "!true")], Environment::default());
        let NoCredential(reason) = helpers
            .fill(
                &Request {
                    username: Some(b"ghp_secret".to_vec()),
                    ..request()
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
    async fn without_helpers_nothing_is_run_and_without_git_the_reason_is_told() {
        let none = helpers(&[], Environment::default());
        let none = Helpers {
            environment: none.environment.with("PATH", "/nonexistent"),
            ..none
        };
        let NoCredential(reason) = none.fill(&request(), None).await.expect_err("there is nothing");
        assert!(reason.contains("credential.helper"), "{reason}");

        let some = helpers(&[("credential.helper", "store")], Environment::default());
        let some = Helpers {
            environment: some.environment.with("PATH", "/nonexistent"),
            ..some
        };
        let NoCredential(reason) = some.fill(&request(), None).await.expect_err("there is no git");
        assert!(reason.contains("install git"), "{reason}");
    }
}
