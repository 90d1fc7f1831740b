//! User names and passwords for HTTP, from whatever git's configuration names: `git credential` runs the helpers and
//! the askpass program, in git's order (gitcredentials(7)).
//!
//! Nothing is kept between two attempts, so that a rotated token is found; and nobody is prompted on a terminal.
//! Secrets travel through pipes, never in arguments, and no `Debug` shows one.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::{Config, Environment};
use crate::failure::redact;
use crate::transport::{self, Background, Said, Settings, command, converse, with_english_messages};

/// What a credential is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `http` or `https`.
    pub protocol: &'static str,
    /// Host and port, as in the URL.
    pub host: String,
    /// Without slashes at its ends. git drops it unless `credential.useHttpPath` is set.
    pub path: String,
    /// The user name in the URL.
    pub username: Option<String>,
    /// The server's `WWW-Authenticate` headers.
    pub challenges: Vec<String>,
}

/// A user name with a password, or what a helper gave in their place.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// As `git credential` wrote it, so that it gets all of it back.
    fields: Vec<(String, String)>,
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
    Basic(&'a str, &'a str),
    /// The scheme and what follows it, such as `Bearer` and a token.
    Other(&'a str, &'a str),
}

impl Credential {
    /// The user name and password of a URL.
    #[must_use]
    pub fn from_url(request: &Request, username: &str, password: &str) -> Self {
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

    /// Removes it from a text, for servers that repeat what they were sent.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let secrets = ["password", "credential", "oauth_refresh_token"];
        let secrets = secrets.into_iter().filter_map(|name| self.field(name));
        secrets
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn from_output(output: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(output).ok()?;
        // What stands behind the last line end was cut off.
        let (whole, _) = text.rsplit_once('\n')?;
        let pairs = whole.lines().filter_map(|line| line.split_once('='));
        let credential = Self {
            fields: pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
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

impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Basic(..) => "Basic(***)",
            Self::Other(..) => "Other(***)",
        })
    }
}

impl Request {
    fn location(&self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("protocol".to_owned(), self.protocol.to_owned()),
            ("host".to_owned(), self.host.clone()),
        ];
        if !self.path.is_empty() {
            fields.push(("path".to_owned(), self.path.clone()));
        }
        fields
    }

    fn question(&self) -> Vec<u8> {
        // Helpers may then answer with something other than a password.
        let mut fields = vec![("capability[]".to_owned(), "authtype".to_owned())];
        fields.extend(self.location());
        fields.extend(self.username.clone().map(|name| ("username".to_owned(), name)));
        let challenges = self.challenges.iter().cloned();
        fields.extend(challenges.map(|challenge| ("wwwauth[]".to_owned(), challenge)));
        encode(&fields)
    }

    fn url(&self) -> String {
        format!("{}://{}/{}", self.protocol, self.host, self.path)
    }
}

/// One `key=value` a line and an empty line at the end (git-credential(1), INPUT/OUTPUT FORMAT). No value can hold
/// a line end: what does is left out.
fn encode(fields: &[(String, String)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in fields.iter().filter(|(_, value)| !value.contains(['\n', '\0'])) {
        text.push_str(key);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    text.push('\n');
    text.into_bytes()
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
}

impl Helpers {
    /// The helpers that the repository's configuration names.
    #[must_use]
    pub fn new(source: &transport::Source<'_>, settings: &Settings) -> Self {
        // Without a terminal to prompt on, and with git looking at the configuration that we look at.
        let mut environment = with_english_messages(settings.environment.clone())
            .with("GIT_DIR", source.git_dir)
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
            config: source.config.clone(),
            environment,
            root: source.root.to_owned(),
            background: settings.background.clone(),
        }
    }

    /// Asks the helpers, then the askpass program. Dropping the future ends what they run.
    ///
    /// # Errors
    ///
    /// When none of them knows a credential, or git is not there to run them.
    pub async fn fill(&self, request: &Request) -> Result<Credential, NoCredential> {
        if !self.has_helper(request) && !self.has_askpass() {
            return Err(NoCredential(
                "neither the URL nor a credential helper nor an askpass program gives any: put a token into the URL, or set credential.helper, http.extraHeader or GIT_ASKPASS".to_owned(),
            ));
        }
        let said = self
            .ask_git("fill", request.question())
            .await
            .map_err(|error| NoCredential(could_not_start(&error)))?;
        Credential::from_output(&said.output).ok_or_else(|| {
            let words = redact(&said.words).into_owned();
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
        if !self.has_helper(request) {
            return;
        }
        let (helpers, credential) = (self.clone(), credential.clone());
        self.background.spawn(async move {
            tokio::select! {
                () = helpers.tell("approve", &credential) => {}
                // A helper that hangs must not hold the end of the daemon up.
                () = helpers.background.dismissed() => {}
            }
        });
    }

    /// Tells the helpers that a credential was refused, so that they forget it before they are asked again.
    pub async fn reject(&self, request: &Request, credential: &Credential) {
        if self.has_helper(request) {
            self.tell("reject", credential).await;
        }
    }

    async fn tell(&self, verdict: &'static str, credential: &Credential) {
        if let Err(error) = self.ask_git(verdict, encode(&credential.fields)).await {
            tracing::debug!(%error, "git credential {verdict} could not be run");
        }
    }

    fn has_helper(&self, request: &Request) -> bool {
        let helpers = self.config.url_match_all("credential", "helper", &request.url());
        !helpers.is_empty()
    }

    fn has_askpass(&self) -> bool {
        let variables = ["GIT_ASKPASS", "SSH_ASKPASS"].map(|name| self.environment.get(name));
        let configured = [self.config.get("core.askPass")];
        let mut programs = variables.into_iter().chain(configured).flatten();
        programs.any(|program| !program.is_empty())
    }

    async fn ask_git(&self, action: &str, input: Vec<u8>) -> io::Result<Said> {
        let mut command = command(OsStr::new("git"), &self.root, &self.environment)?;
        command.args(["credential", action]);
        converse(command, input, &self.background).await
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
            path: "o/r.git".to_owned(),
            username: Some("u".to_owned()),
            challenges: vec!["Basic realm=\"x\"".to_owned()],
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
        let source = transport::Source {
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

    #[test]
    fn the_question_names_place_user_and_challenges() {
        assert_eq!(
            String::from_utf8(request().question()).expect("text"),
            "capability[]=authtype\nprotocol=https\nhost=h:8443\npath=o/r.git\nusername=u\nwwwauth[]=Basic realm=\"x\"\n\n"
        );
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        assert_eq!(Credential::from_output(b"username=u\npassword=hun"), None);
        assert_eq!(Credential::from_output(b""), None);
        let whole = Credential::from_output(b"username=u\npassword=a=b\n").expect("whole");
        assert_eq!(whole.authorization(), Some(Authorization::Basic("u", "a=b")));
    }

    #[test]
    fn no_secret_is_debugged_and_a_server_that_repeats_it_is_not_quoted() {
        let credential = Credential::from_url(&request(), "u", "hunter2");
        let shown = format!("{credential:?} {:?}", credential.authorization());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(credential.redact("bad password hunter2"), "bad password ***");
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
        let credential = helpers.fill(&request).await.expect("one knows");
        assert_eq!(
            credential.authorization(),
            Some(Authorization::Basic("first", "second"))
        );
    }

    #[tokio::test]
    async fn a_helper_may_give_a_token_with_its_scheme() {
        let helper = "!f() { test \"$1\" = get && printf 'capability[]=authtype\\nauthtype=Bearer\\ncredential=t0k3n\\n'; }; f";
        let helpers = helpers(&[("credential.helper", helper)], Environment::default());
        let credential = helpers.fill(&request()).await.expect("it knows");
        assert_eq!(
            credential.authorization(),
            Some(Authorization::Other("Bearer", "t0k3n"))
        );
    }

    #[tokio::test]
    async fn an_askpass_program_is_asked_and_a_terminal_never() {
        let helpers = helpers(&[("core.askPass", "echo")], Environment::default());
        let credential = helpers.fill(&request()).await.expect("askpass answers");
        assert!(matches!(
            credential.authorization(),
            Some(Authorization::Basic("u", _))
        ));
    }

    #[tokio::test]
    async fn a_helper_that_knows_nothing_is_told_about_without_the_user_of_the_url() {
        let helpers = helpers(&[("credential.helper", "!true")], Environment::default());
        let NoCredential(reason) = helpers
            .fill(&Request {
                username: Some("ghp_secret".to_owned()),
                ..request()
            })
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
        let NoCredential(reason) = none.fill(&request()).await.expect_err("there is nothing");
        assert!(reason.contains("credential.helper"), "{reason}");

        let some = helpers(&[("credential.helper", "store")], Environment::default());
        let some = Helpers {
            environment: some.environment.with("PATH", "/nonexistent"),
            ..some
        };
        let NoCredential(reason) = some.fill(&request()).await.expect_err("there is no git");
        assert!(reason.contains("install git"), "{reason}");
    }
}
