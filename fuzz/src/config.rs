//! git's configuration is refused or parsed; parsed entries are the same after they are written and read again; and the
//! environment overrides the files.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use git_local::LocalError;
use git_local::config::{Config, Entry, Environment, Scope};
use git_local::url::Remote;
use tempfile::TempDir;

/// A header that the environment sets, and that no message may show.
const SECRET: &str = "Authorization: hunter2";

/// The separator between the files and variables of the input.
const MARK: &str = "\n%%\n";

thread_local! {
    static PLACE: TempDir = tempfile::tempdir().expect("a directory");
}

/// The input consists of parts, separated by lines of `%%`: the repository's file, the user's file, a file that may be
/// included, `GIT_CONFIG_PARAMETERS`, and then pairs for `GIT_CONFIG_COUNT` with the key on the first line of each.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    PLACE.with(|place| check_in(place.path(), input));
}

fn check_in(place: &Path, input: &[u8]) {
    // An included device would be read without end, as by git.
    if ["/dev", "/proc", "/sys"].iter().any(|folder| {
        input
            .windows(folder.len())
            .any(|window| window == folder.as_bytes())
    }) {
        return;
    }
    let mut parts = split(input, MARK.as_bytes()).into_iter();
    for name in ["config", "user", "included"] {
        let content = parts.next().unwrap_or_default();
        fs::write(place.join(name), content).expect("writable");
    }
    let mut env = environment(place).with("GIT_CONFIG_GLOBAL", place.join("user"));
    let variable = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "");
    if let Some(parameters) = parts.next().filter(|parameters| !parameters.is_empty()) {
        env = env.with("GIT_CONFIG_PARAMETERS", variable(parameters));
    }
    let mut pairs = vec![("http.extraHeader".to_owned(), SECRET.to_owned())];
    for part in parts {
        let pair = variable(part);
        let (key, value) = pair.split_once('\n').unwrap_or((&pair, ""));
        pairs.push((key.to_owned(), value.to_owned()));
    }
    env = counted(env, &pairs);

    match Config::load(&env, place, place) {
        Ok(config) => {
            assert_environment_overrides(&config, pairs.len());
            assert_survives_rewriting(place, &config);
            assert_survives_passing_on(place, &config);
            read_in_every_way(place, &config);
            assert!(!format!("{config:?}").contains(SECRET));
        }
        Err(failure) => assert_no_secret(&failure),
    }
}

fn split<'a>(input: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        parts.push(&rest[..at]);
        rest = &rest[at + mark.len()..];
    }
    parts.push(rest);
    parts
}

/// An environment without any configuration but that of the input.
fn environment(place: &Path) -> Environment {
    Environment::default()
        .with("GIT_CONFIG_NOSYSTEM", "1")
        .with("HOME", place)
}

fn counted(mut env: Environment, pairs: &[(String, String)]) -> Environment {
    env = env.with("GIT_CONFIG_COUNT", pairs.len().to_string());
    for (index, (key, value)) in pairs.iter().enumerate() {
        env = env
            .with(format!("GIT_CONFIG_KEY_{index}"), key)
            .with(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    env
}

/// Asserts that the scopes are in git's order, and that the last value counts.
fn assert_environment_overrides(config: &Config, counted: usize) {
    let entries = config.entries();
    assert!(entries.windows(2).all(|pair| pair[0].scope() <= pair[1].scope()));
    let commands = entries.iter().filter(|entry| entry.scope() == Scope::Command);
    assert!(commands.count() >= counted);
    for (at, entry) in entries.iter().enumerate() {
        let last = entries[at..].iter().rfind(|other| other.key() == entry.key());
        assert_eq!(config.entry(entry.key()), last);
        assert_eq!(config.get(entry.key()), last.and_then(Entry::value));
    }
}

/// Whether an entry can be written again. An include would be followed twice, and a key needs a section.
fn can_be_written(entry: &Entry) -> bool {
    !entry.section().is_empty()
        && !matches!((entry.section(), entry.name()), ("include" | "includeif", "path"))
}

/// Asserts that the entries are the same after they are written into one file, each in its own section.
fn assert_survives_rewriting(place: &Path, config: &Config) {
    let entries: Vec<&Entry> = config
        .entries()
        .iter()
        .filter(|entry| can_be_written(entry))
        .collect();
    let mut file = String::new();
    for entry in &entries {
        file.push('[');
        file.push_str(entry.section());
        if let Some(subsection) = entry.subsection() {
            let subsection = subsection.replace('\\', "\\\\").replace('"', "\\\"");
            write!(file, " \"{subsection}\"").expect("a String takes everything");
        }
        file.push(']');
        file.push_str(entry.name());
        if let Some(value) = entry.value() {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            write!(file, "=\"{value}\"").expect("a String takes everything");
        }
        file.push('\n');
    }
    fs::write(place.join("written"), &file).expect("writable");
    let env = environment(place).with("GIT_CONFIG_GLOBAL", place.join("written"));
    let again = Config::load(&env, Path::new("/nonexistent"), Path::new("/nonexistent"))
        .unwrap_or_else(|failure| panic!("{failure} in {file:?}"));
    assert_alike(&entries, &again);
}

/// Asserts that the entries of the environment are the same after they are passed on as git passes them to its commands.
fn assert_survives_passing_on(place: &Path, config: &Config) {
    let entries: Vec<&Entry> = config
        .entries()
        .iter()
        .filter(|entry| entry.scope() == Scope::Command)
        .filter(|entry| can_be_written(entry))
        .collect();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''").replace('!', "'\\!'"));
    let parameters: Vec<String> = entries
        .iter()
        .map(|entry| match entry.value() {
            Some(value) => format!("{}={}", quoted(entry.key()), quoted(value)),
            None => format!("{}=", quoted(entry.key())),
        })
        .collect();
    let env = environment(place)
        .with("GIT_CONFIG_GLOBAL", "/dev/null")
        .with("GIT_CONFIG_PARAMETERS", parameters.join(" "));
    let again = Config::load(&env, Path::new("/nonexistent"), Path::new("/nonexistent"))
        .unwrap_or_else(|failure| panic!("{failure} in {parameters:?}"));
    assert_alike(&entries, &again);
}

fn assert_alike(entries: &[&Entry], again: &Config) {
    let pairs = |entry: &Entry| (entry.key().to_owned(), entry.value().map(str::to_owned));
    let before: Vec<_> = entries.iter().map(|entry| pairs(entry)).collect();
    let after: Vec<_> = again.entries().iter().map(pairs).collect();
    assert_eq!(before, after);
}

/// Reads every value as each type, matches every URL, and resolves every remote; none may panic.
fn read_in_every_way(place: &Path, config: &Config) {
    for entry in config.entries() {
        let key = entry.key();
        for failure in [
            config.bool(key).err(),
            config.int(key).err(),
            config.path(key).err(),
        ]
        .into_iter()
        .flatten()
        {
            assert!(failure.message().contains(" in "), "{failure} names its place");
        }
        assert_eq!(
            config.get_all(key).is_empty(),
            config.get_all(key).last().is_none()
        );
        if let Some(url) = entry.subsection() {
            let matching = config.url_match(entry.section(), entry.name(), url);
            assert!(matching.is_none_or(|matching| matching.name() == entry.name()));
            let _ = config.url_match_all(entry.section(), entry.name(), url);
        }
    }
    for name in config.subsections("remote").into_iter().chain(["origin", "../r"]) {
        match Remote::resolve(config, name, place) {
            Ok(remote) => {
                assert!(remote.name.as_deref().is_none_or(|own| own == name));
                assert!(!format!("{remote:?}").contains(SECRET));
            }
            Err(error) => assert!(!error.message().contains(SECRET)),
        }
    }
}

fn assert_no_secret(failure: &LocalError) {
    assert!(!format!("{failure} {failure:?}").contains(SECRET), "{failure}");
}
