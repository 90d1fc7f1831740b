//! git's configuration is refused or understood; what was understood can be written down and read again; and what the
//! environment adds lies over what the files say.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use git_local::LocalError;
use git_local::config::{Config, Entry, Environment, Scope};
use git_local::url::Remote;
use tempfile::TempDir;

/// What no message may show: a header that the environment sets.
const SECRET: &str = "Authorization: hunter2";

/// What parts the files and variables of the input.
const MARK: &str = "\n%%\n";

thread_local! {
    static PLACE: TempDir = tempfile::tempdir().expect("a directory");
}

/// The input is, parted by lines of `%%`: the repository's file, the user's file, a file that may be included,
/// `GIT_CONFIG_PARAMETERS`, and then pairs for `GIT_CONFIG_COUNT` with the key on the first line of each.
///
/// # Panics
///
/// When a property does not hold.
pub fn check(input: &[u8]) {
    PLACE.with(|place| check_in(place.path(), input));
}

fn check_in(place: &Path, input: &[u8]) {
    // An include of a device would be read for ever, as by git.
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
            lies_over_the_files(&config, pairs.len());
            is_read_again(place, &config);
            is_passed_on(place, &config);
            has_meaning_or_none(place, &config);
            assert!(!format!("{config:?}").contains(SECRET));
        }
        Err(failure) => shows_no_secret(&failure),
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

/// One in which nothing but what is added here is read.
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

/// The scopes follow each other as git reads them, and the last word decides.
fn lies_over_the_files(config: &Config, counted: usize) {
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

/// What can be written again: no include, which would be followed twice, and no key outside of a section.
fn can_be_written(entry: &Entry) -> bool {
    !entry.section().is_empty()
        && !matches!((entry.section(), entry.name()), ("include" | "includeif", "path"))
}

/// Written into one file, each in a section of its own, the entries are the same again.
fn is_read_again(place: &Path, config: &Config) {
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
    is_alike(&entries, &again);
}

/// Handed down as git does it to the commands that it runs, what the environment said is the same again.
fn is_passed_on(place: &Path, config: &Config) {
    let entries: Vec<&Entry> = config
        .entries()
        .iter()
        .filter(|entry| entry.scope() == Scope::Command)
        .filter(|entry| can_be_written(entry))
        .collect();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''").replace('!', "'\\!'"));
    let words: Vec<String> = entries
        .iter()
        .map(|entry| match entry.value() {
            Some(value) => format!("{}={}", quoted(entry.key()), quoted(value)),
            None => format!("{}=", quoted(entry.key())),
        })
        .collect();
    let env = environment(place)
        .with("GIT_CONFIG_GLOBAL", "/dev/null")
        .with("GIT_CONFIG_PARAMETERS", words.join(" "));
    let again = Config::load(&env, Path::new("/nonexistent"), Path::new("/nonexistent"))
        .unwrap_or_else(|failure| panic!("{failure} in {words:?}"));
    is_alike(&entries, &again);
}

fn is_alike(entries: &[&Entry], again: &Config) {
    let pairs = |entry: &Entry| (entry.key().to_owned(), entry.value().map(str::to_owned));
    let before: Vec<_> = entries.iter().map(|entry| pairs(entry)).collect();
    let after: Vec<_> = again.entries().iter().map(pairs).collect();
    assert_eq!(before, after);
}

/// Every value can be asked for in every way, every URL matched, every remote resolved.
fn has_meaning_or_none(place: &Path, config: &Config) {
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

fn shows_no_secret(failure: &LocalError) {
    assert!(!format!("{failure} {failure:?}").contains(SECRET), "{failure}");
}
