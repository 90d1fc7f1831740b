//! The caller's options, checked: raw JavaScript values in, [`Options`] out.
//!
//! It knows nothing of N-API and touches no file. Checks that need the repository (does the remote exist, what is the
//! default branch) happen where the repository is opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::backoff::BackoffConfig;

/// A JavaScript value, as far as options need it.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// `undefined`: the same as an absent option.
    Undefined,
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    String(String),
    /// A plain object: its own enumerable properties in order.
    Object(Vec<(String, Raw)>),
    /// Anything else, by its name in JavaScript (`function`, `symbol`, `bigint`, `array`).
    Other(&'static str),
}

impl fmt::Display for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => formatter.write_str("undefined"),
            Self::Null => formatter.write_str("null"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Number(value) if value.is_nan() => formatter.write_str("NaN"),
            Self::Number(value) if value.is_infinite() => {
                formatter.write_str(if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Self::Number(value) => write!(formatter, "{value}"),
            Self::String(value) => write!(formatter, "'{}'", git_local::redact_url(value)),
            Self::Object(_) => formatter.write_str("an object"),
            Self::Other(kind @ "array") => write!(formatter, "an {kind}"),
            Self::Other(kind) => write!(formatter, "a {kind}"),
        }
    }
}

/// An unusable option. The message says which option, what was given and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidOption(String);

impl fmt::Display for InvalidOption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidOption {}

pub(crate) fn invalid(name: &str, given: &Raw, expected: &str) -> InvalidOption {
    InvalidOption(format!("option '{name}' is {given}; expected {expected}"))
}

/// What to do when the remote has diverged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDivergence {
    /// Report it.
    Report,
    /// Report it, and push the local tip to `refs/heads/conflicts/<UTC timestamp>`.
    Preserve,
}

/// What to do when the remote has lost commits that it had confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRegression {
    /// Report it, and bring the remote forward again at once.
    Push,
    /// Report it, and leave the remote as it is until the next commit or `flush()`.
    Report,
}

/// Which transport carries the pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportChoice {
    /// The native one where it can do what git would, else the git CLI.
    Auto,
    /// Only the native one.
    Native,
    /// Always `git push`.
    GitCli,
}

/// The limits of one attempt; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From connecting until the remote has listed its refs.
    pub connect: Option<Duration>,
    /// The longest time without a byte in either direction.
    pub idle: Option<Duration>,
    /// From the last byte sent to the report.
    pub report: Option<Duration>,
    /// The whole attempt.
    pub attempt: Option<Duration>,
}

/// Checked options.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A configured remote's name, a URL or a path.
    pub remote: String,
    /// The full name of the branch (`refs/heads/...`); `None` is the branch of HEAD.
    pub branch: Option<String>,
    /// The repository; `None` leaves the search to git's own discovery.
    pub repo_path: Option<PathBuf>,
    /// The delays between attempts.
    pub backoff: BackoffConfig,
    /// Retries per tip; `None` is without end.
    pub max_retries: Option<u32>,
    /// How long the first unpushed commit waits for others to join it.
    pub debounce: Duration,
    /// The limits of one attempt.
    pub timeouts: Timeouts,
    /// How long a connection stays ready after a push; zero is not at all.
    pub keep_connection: Duration,
    /// How often the remote is checked while diverged; `None` is never.
    pub diverged_probe: Option<Duration>,
    /// How often the remote is read while in sync; `None` is never.
    pub verify: Option<Duration>,
    /// What to do when the remote has lost commits.
    pub on_regression: OnRegression,
    /// About the most bytes of a pack: a larger backlog is pushed in steps.
    pub max_pack_bytes: u64,
    /// What else to do on divergence.
    pub on_divergence: OnDivergence,
    /// Whether to follow the ref itself.
    pub watch: bool,
    /// Which transport to use.
    pub transport: TransportChoice,
    /// How long a process that did not call `stop()` may take at its exit to push pending commits; zero is not at all.
    pub exit_drain: Duration,
}

const BRANCH_PREFIX: &str = "refs/heads/";

/// The option names. `logger` is for the JavaScript side.
const NAMES: [&str; 20] = [
    "remote",
    "branch",
    "repoPath",
    "backoff",
    "maxRetries",
    "debounceMs",
    "connectTimeoutMs",
    "idleTimeoutMs",
    "reportTimeoutMs",
    "attemptTimeoutMs",
    "keepConnectionMs",
    "divergedProbeMs",
    "verifyMs",
    "onRegression",
    "maxPackBytes",
    "onDivergence",
    "watch",
    "transport",
    "exitDrainMs",
    "logger",
];

impl Options {
    /// Checks every option. `default_repo_path` is `$CFP_DATA_REPO_PATH`, `is_valid_branch` git's own rule for
    /// a full ref name.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot be used.
    pub fn from_raw(
        raw: &Raw,
        default_repo_path: Option<PathBuf>,
        is_valid_branch: impl Fn(&str) -> bool,
    ) -> Result<Self, InvalidOption> {
        let options = Fields::of(raw, &NAMES, "startPushDaemon", "{ remote: 'origin' }")?;
        Ok(Self {
            remote: options
                .string("remote", "the name of a configured remote, a URL or a path")?
                .ok_or_else(|| {
                    invalid(
                        "remote",
                        &Raw::Undefined,
                        "the name of a configured remote such as 'origin', a URL or a path",
                    )
                })?,
            branch: options.branch(is_valid_branch)?,
            repo_path: options
                .string("repoPath", "the path of a git repository")?
                .map(PathBuf::from)
                .or(default_repo_path),
            backoff: options.backoff()?,
            max_retries: options.max_retries()?,
            debounce: options.milliseconds("debounceMs", 0)?,
            timeouts: Timeouts {
                connect: none_if_zero(options.milliseconds("connectTimeoutMs", 15_000)?),
                idle: none_if_zero(options.milliseconds("idleTimeoutMs", 60_000)?),
                report: none_if_zero(options.milliseconds("reportTimeoutMs", 900_000)?),
                attempt: none_if_zero(options.milliseconds("attemptTimeoutMs", 0)?),
            },
            keep_connection: options.milliseconds("keepConnectionMs", 30_000)?,
            diverged_probe: none_if_zero(options.milliseconds("divergedProbeMs", 60_000)?),
            verify: none_if_zero(options.milliseconds("verifyMs", 300_000)?),
            on_regression: options.choice(
                "onRegression",
                &[("push", OnRegression::Push), ("report", OnRegression::Report)],
            )?,
            max_pack_bytes: options.max_pack_bytes()?,
            on_divergence: options.choice(
                "onDivergence",
                &[
                    ("report", OnDivergence::Report),
                    ("preserve", OnDivergence::Preserve),
                ],
            )?,
            watch: options.boolean("watch", true)?,
            transport: options.transport()?,
            exit_drain: options.milliseconds("exitDrainMs", 5_000)?,
        })
    }
}

/// The short name of a branch that is known to begin with `refs/heads/`.
#[must_use]
pub fn short_branch_name(refname: &str) -> &str {
    refname.strip_prefix(BRANCH_PREFIX).unwrap_or(refname)
}

pub(crate) fn none_if_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// GitHub takes 2 GiB in one push.
const DEFAULT_MAX_PACK_BYTES: u64 = 1 << 30;

/// `Number.MAX_SAFE_INTEGER`.
const MAX_BYTES: f64 = 9_007_199_254_740_991.0;

/// The largest delay that every clock involved can represent: 10 years.
const MAX_MS: f64 = 315_576_000_000.0;

fn duration_of(name: &str, given: &Raw) -> Result<Duration, InvalidOption> {
    match given {
        Raw::Number(value) if (0.0..=MAX_MS).contains(value) => Ok(Duration::from_secs_f64(value / 1000.0)),
        _ => Err(invalid(
            name,
            given,
            "a number of milliseconds, 0 or more (10 years at most)",
        )),
    }
}

/// The options that were given, by their names.
pub(crate) struct Fields<'a>(&'a [(String, Raw)]);

impl<'a> Fields<'a> {
    /// The options that a function was given, whose names are among these.
    pub(crate) fn of(
        raw: &'a Raw,
        names: &[&str],
        function: &str,
        example: &str,
    ) -> Result<Self, InvalidOption> {
        let Raw::Object(entries) = raw else {
            return Err(InvalidOption(format!(
                "{function} was given {raw}; expected an object of options such as {example}"
            )));
        };
        match entries.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(InvalidOption(format!(
                "unknown option '{name}'; the options are {}",
                names.join(", ")
            ))),
            None => Ok(Self(entries)),
        }
    }
}

impl Fields<'_> {
    /// An option's value. `undefined` counts as absent, as for a default parameter in JavaScript.
    fn get(&self, name: &str) -> Option<&Raw> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
            .filter(|value| **value != Raw::Undefined)
    }

    pub(crate) fn string(&self, name: &str, expected: &str) -> Result<Option<String>, InvalidOption> {
        match self.get(name) {
            None => Ok(None),
            Some(Raw::String(value)) if !value.is_empty() && !value.contains('\0') => Ok(Some(value.clone())),
            Some(other) => Err(invalid(name, other, &format!("a non-empty string: {expected}"))),
        }
    }

    fn boolean(&self, name: &str, default: bool) -> Result<bool, InvalidOption> {
        match self.get(name) {
            None => Ok(default),
            Some(Raw::Bool(value)) => Ok(*value),
            Some(other) => Err(invalid(name, other, "true or false")),
        }
    }

    pub(crate) fn milliseconds(&self, name: &str, default: u64) -> Result<Duration, InvalidOption> {
        self.get(name)
            .map_or(Ok(Duration::from_millis(default)), |given| {
                duration_of(name, given)
            })
    }

    /// One of a few strings; the first is the default.
    fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, InvalidOption> {
        let Some(given) = self.get(name) else {
            return Ok(choices[0].1);
        };
        if let Raw::String(word) = given
            && let Some((_, value)) = choices.iter().find(|(choice, _)| choice == word)
        {
            return Ok(*value);
        }
        let words: Vec<String> = choices.iter().map(|(choice, _)| format!("'{choice}'")).collect();
        Err(invalid(name, given, &words.join(" or ")))
    }

    fn transport(&self) -> Result<TransportChoice, InvalidOption> {
        if self.get("transport") == Some(&Raw::String("git".to_owned())) {
            // The name of 'git-cli' before 0.2.
            return Ok(TransportChoice::GitCli);
        }
        self.choice(
            "transport",
            &[
                ("auto", TransportChoice::Auto),
                ("native", TransportChoice::Native),
                ("git-cli", TransportChoice::GitCli),
            ],
        )
    }

    pub(crate) fn branch(&self, is_valid: impl Fn(&str) -> bool) -> Result<Option<String>, InvalidOption> {
        const EXPECTED: &str =
            "the name of a branch, such as 'main' or 'refs/heads/main' (refspecs are not allowed)";
        let Some(given) = self.string("branch", EXPECTED)? else {
            return Ok(None);
        };
        let refname = if given.starts_with(BRANCH_PREFIX) {
            given.clone()
        } else {
            format!("{BRANCH_PREFIX}{given}")
        };
        let names_another_ref = given.starts_with("refs/") && !given.starts_with(BRANCH_PREFIX);
        let short = short_branch_name(&refname);
        if names_another_ref || short == "HEAD" || short.starts_with(['-', '+']) || !is_valid(&refname) {
            return Err(invalid("branch", &Raw::String(given), EXPECTED));
        }
        Ok(Some(refname))
    }

    fn max_retries(&self) -> Result<Option<u32>, InvalidOption> {
        match self.get("maxRetries") {
            None => Ok(None),
            Some(Raw::Number(value)) if value.is_infinite() && *value > 0.0 => Ok(None),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the guard checks the range"
            )]
            Some(Raw::Number(value))
                if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value) =>
            {
                Ok(Some(*value as u32))
            }
            Some(other) => Err(invalid(
                "maxRetries",
                other,
                "a whole number, 0 or more, or Infinity",
            )),
        }
    }

    fn max_pack_bytes(&self) -> Result<u64, InvalidOption> {
        match self.get("maxPackBytes") {
            None => Ok(DEFAULT_MAX_PACK_BYTES),
            Some(Raw::Number(value)) if value.is_infinite() && *value > 0.0 => Ok(u64::MAX),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the guard checks the range"
            )]
            Some(Raw::Number(value)) if value.fract() == 0.0 && (1.0..=MAX_BYTES).contains(value) => {
                Ok(*value as u64)
            }
            Some(other) => Err(invalid(
                "maxPackBytes",
                other,
                "a whole number of bytes, 1 or more, or Infinity",
            )),
        }
    }

    fn backoff(&self) -> Result<BackoffConfig, InvalidOption> {
        const EXPECTED: &str = "'exponential' or an object { base, multiplier, cap, jitter? }";
        let fields = match self.get("backoff") {
            None => return Ok(BackoffConfig::EXPONENTIAL),
            Some(Raw::String(word)) if word == "exponential" => return Ok(BackoffConfig::EXPONENTIAL),
            Some(Raw::Object(fields)) => fields,
            Some(other) => return Err(invalid("backoff", other, EXPECTED)),
        };
        if let Some((name, _)) = fields
            .iter()
            .find(|(name, _)| !["base", "multiplier", "cap", "jitter"].contains(&name.as_str()))
        {
            return Err(InvalidOption(format!(
                "unknown option 'backoff.{name}'; expected {EXPECTED}"
            )));
        }
        let fields = Fields(fields);
        let required = |name: &str| {
            fields
                .get(name)
                .ok_or_else(|| invalid(&format!("backoff.{name}"), &Raw::Undefined, "a number"))
        };
        let base = duration_of("backoff.base", required("base")?)?;
        let cap = duration_of("backoff.cap", required("cap")?)?;
        let multiplier = match required("multiplier")? {
            Raw::Number(value) if value.is_finite() && *value >= 1.0 => *value,
            other => return Err(invalid("backoff.multiplier", other, "a number, 1 or more")),
        };
        let jitter = match fields.get("jitter") {
            None => 0.0,
            Some(Raw::Number(value)) if (0.0..=1.0).contains(value) => *value,
            Some(other) => return Err(invalid("backoff.jitter", other, "a number from 0 to 1")),
        };
        if cap < base {
            return Err(InvalidOption(format!(
                "option 'backoff.cap' is {} ms; expected at least backoff.base, {} ms",
                cap.as_millis(),
                base.as_millis()
            )));
        }
        Ok(BackoffConfig {
            base,
            multiplier,
            cap,
            jitter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(entries: &[(&str, Raw)]) -> Raw {
        Raw::Object(
            entries
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    }

    fn string(value: &str) -> Raw {
        Raw::String(value.to_owned())
    }

    fn parse(raw: &Raw) -> Result<Options, InvalidOption> {
        Options::from_raw(raw, None, |name| {
            !name.contains(['~', ' ', ':']) && !name.ends_with('/')
        })
    }

    fn with(name: &str, value: Raw) -> Result<Options, InvalidOption> {
        parse(&object(&[("remote", string("origin")), (name, value)]))
    }

    #[test]
    fn a_remote_alone_gives_the_documented_defaults() {
        let options = parse(&object(&[("remote", string("origin"))])).expect("valid");
        assert_eq!(
            options,
            Options {
                remote: "origin".into(),
                branch: None,
                repo_path: None,
                backoff: BackoffConfig::EXPONENTIAL,
                max_retries: None,
                debounce: Duration::ZERO,
                timeouts: Timeouts {
                    connect: Some(Duration::from_secs(15)),
                    idle: Some(Duration::from_secs(60)),
                    report: Some(Duration::from_secs(900)),
                    attempt: None,
                },
                keep_connection: Duration::from_secs(30),
                max_pack_bytes: 1 << 30,
                verify: Some(Duration::from_secs(300)),
                on_regression: OnRegression::Push,
                diverged_probe: Some(Duration::from_secs(60)),
                on_divergence: OnDivergence::Report,
                watch: true,
                transport: TransportChoice::Auto,
                exit_drain: Duration::from_secs(5),
            }
        );
    }

    #[test]
    fn undefined_is_the_default_as_in_javascript() {
        assert_eq!(
            with("maxRetries", Raw::Undefined),
            parse(&object(&[("remote", string("origin"))]))
        );
    }

    #[test]
    fn the_former_name_of_the_git_cli_is_still_taken() {
        for given in ["git-cli", "git"] {
            let options = with("transport", string(given)).expect("valid");
            assert_eq!(options.transport, TransportChoice::GitCli);
        }
    }

    #[test]
    fn a_branch_is_named_short_or_in_full() {
        for given in ["main", "refs/heads/main"] {
            let config = with("branch", string(given)).expect("valid");
            assert_eq!(config.branch.as_deref(), Some("refs/heads/main"));
        }
        let nested = with("branch", string("a/b")).expect("valid");
        assert_eq!(nested.branch.as_deref(), Some("refs/heads/a/b"));
    }

    #[test]
    fn an_object_without_jitter_has_none() {
        let backoff = object(&[
            ("base", Raw::Number(5.0)),
            ("multiplier", Raw::Number(1.0)),
            ("cap", Raw::Number(5.0)),
        ]);
        assert_eq!(
            with("backoff", backoff).expect("valid").backoff.jitter.to_bits(),
            0f64.to_bits()
        );
    }

    #[test]
    fn infinity_is_without_end_and_zero_is_none() {
        assert_eq!(
            with("maxRetries", Raw::Number(f64::INFINITY))
                .expect("valid")
                .max_retries,
            None
        );
        assert_eq!(
            with("maxRetries", Raw::Number(0.0)).expect("valid").max_retries,
            Some(0)
        );
        assert_eq!(
            with("idleTimeoutMs", Raw::Number(0.0))
                .expect("valid")
                .timeouts
                .idle,
            None
        );
        assert_eq!(
            with("divergedProbeMs", Raw::Number(0.0))
                .expect("valid")
                .diverged_probe,
            None
        );
        assert_eq!(with("verifyMs", Raw::Number(0.0)).expect("valid").verify, None);
    }

    #[test]
    fn every_wrong_value_is_named_with_what_was_given_and_expected() {
        let backoff = |base: f64, multiplier: f64, cap: f64| {
            object(&[
                ("base", Raw::Number(base)),
                ("multiplier", Raw::Number(multiplier)),
                ("cap", Raw::Number(cap)),
            ])
        };
        for (name, value, words) in [
            ("remote", string(""), "option 'remote' is ''"),
            (
                "remote",
                Raw::Number(1.0),
                "option 'remote' is 1; expected a non-empty string",
            ),
            (
                "branch",
                string("+main"),
                "option 'branch' is '+main'; expected the name of a branch",
            ),
            ("branch", string("main:other"), "'main:other'"),
            ("branch", string("refs/tags/v1"), "'refs/tags/v1'"),
            ("branch", string("HEAD"), "'HEAD'"),
            ("branch", string("-d"), "'-d'"),
            ("branch", Raw::Null, "option 'branch' is null"),
            ("repoPath", string("a\0b"), "option 'repoPath'"),
            (
                "backoff",
                string("linear"),
                "option 'backoff' is 'linear'; expected 'exponential' or an object",
            ),
            ("backoff", Raw::Other("array"), "is an array"),
            (
                "backoff",
                object(&[("base", Raw::Number(1.0))]),
                "option 'backoff.cap' is undefined",
            ),
            (
                "backoff",
                backoff(1.0, 0.5, 1.0),
                "option 'backoff.multiplier' is 0.5; expected a number, 1 or more",
            ),
            ("backoff", backoff(-1.0, 2.0, 1.0), "option 'backoff.base' is -1"),
            (
                "backoff",
                backoff(10.0, 2.0, 1.0),
                "option 'backoff.cap' is 1 ms; expected at least backoff.base, 10 ms",
            ),
            (
                "backoff",
                object(&[("bases", Raw::Number(1.0))]),
                "unknown option 'backoff.bases'",
            ),
            ("maxRetries", Raw::Number(1.5), "option 'maxRetries' is 1.5"),
            ("maxRetries", Raw::Number(-1.0), "option 'maxRetries' is -1"),
            ("maxRetries", Raw::Number(f64::NAN), "option 'maxRetries' is NaN"),
            (
                "debounceMs",
                string("10"),
                "option 'debounceMs' is '10'; expected a number of milliseconds",
            ),
            (
                "debounceMs",
                Raw::Number(f64::INFINITY),
                "option 'debounceMs' is Infinity",
            ),
            (
                "connectTimeoutMs",
                Raw::Number(-5.0),
                "option 'connectTimeoutMs' is -5",
            ),
            (
                "onDivergence",
                string("force"),
                "option 'onDivergence' is 'force'; expected 'report' or 'preserve'",
            ),
            ("onRegression", string("ignore"), "expected 'push' or 'report'"),
            (
                "watch",
                Raw::Number(1.0),
                "option 'watch' is 1; expected true or false",
            ),
            (
                "transport",
                Raw::Other("function"),
                "option 'transport' is a function; expected 'auto' or 'native' or 'git-cli'",
            ),
            (
                "force",
                Raw::Bool(true),
                "unknown option 'force'; the options are remote, branch",
            ),
        ] {
            let given = if name == "remote" {
                parse(&object(&[(name, value)]))
            } else {
                with(name, value)
            };
            let message = given.expect_err(words).to_string();
            assert!(message.contains(words), "{message} should contain {words}");
        }
    }

    #[test]
    fn what_is_no_object_of_options_is_refused() {
        for (raw, words) in [
            (Raw::Undefined, "given undefined"),
            (string("origin"), "given 'origin'"),
            (object(&[]), "'remote'"),
        ] {
            let message = parse(&raw).expect_err(words).to_string();
            assert!(message.contains(words), "{message} should contain {words}");
        }
    }

    #[test]
    fn a_secret_in_a_wrong_value_is_not_repeated() {
        let message = with("branch", string("https://user:hunter2@host/x y"))
            .expect_err("invalid")
            .to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}
