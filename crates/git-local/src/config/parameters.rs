//! The configuration in environment variables: `GIT_CONFIG_COUNT` with its numbered pairs, and `GIT_CONFIG_PARAMETERS`,
//! in which git passes the options `-c` to the commands it runs.

use super::entry::{Entry, Scope, canonical_key, split_key};
use super::environment::Environment;
use super::syntax::{is_key_byte, is_space};
use crate::LocalError;

/// A whole key and its value.
type Pair = (String, Option<String>);

/// Reads both, in git's order.
pub(super) fn read(env: &Environment) -> Result<Vec<Entry>, LocalError> {
    let pairs = pairs(env).map_err(LocalError::new)?;
    let entry = |(key, value)| Entry {
        key,
        value,
        scope: Scope::Command,
        line: None,
    };
    Ok(pairs.into_iter().map(entry).collect())
}

fn pairs(env: &Environment) -> Result<Vec<Pair>, String> {
    let mut pairs = counted(env)?;
    if let Some(parameters) = env.get("GIT_CONFIG_PARAMETERS") {
        quoted(parameters, &mut pairs)
            .ok_or("GIT_CONFIG_PARAMETERS is malformed: expected 'section.key'='value' ...")?;
    }
    for (key, _) in &mut pairs {
        if !is_valid(key) {
            return Err(format!(
                "'{key}' is not a valid configuration key: expected section.key or section.subsection.key"
            ));
        }
        *key = canonical_key(key).into_owned();
    }
    Ok(pairs)
}

fn counted(env: &Environment) -> Result<Vec<Pair>, String> {
    let Some(count) = env.get("GIT_CONFIG_COUNT").filter(|count| !count.is_empty()) else {
        return Ok(Vec::new());
    };
    let number = count
        .parse()
        .ok()
        .filter(|&number: &u32| i32::try_from(number).is_ok());
    let number =
        number.ok_or_else(|| format!("GIT_CONFIG_COUNT is '{count}', expected a number of pairs"))?;
    let variable = |name: String| match env.get(&name) {
        Some(value) => Ok(value.to_owned()),
        None => Err(format!("GIT_CONFIG_COUNT is {count}, but {name} is not set")),
    };
    let pair = |index| {
        let key = variable(format!("GIT_CONFIG_KEY_{index}"))?;
        let value = variable(format!("GIT_CONFIG_VALUE_{index}"))?;
        Ok((key, Some(value)))
    };
    (0..number).map(pair).collect()
}

/// Reads `'key'='value'`, `'key'=` (no value), and the older `'key=value'` and `'key'`, separated by white space.
fn quoted(parameters: &str, pairs: &mut Vec<Pair>) -> Option<()> {
    let ends = |text: &str| text.bytes().next().is_none_or(is_space);
    let mut rest = parameters;
    while !rest.is_empty() {
        let (first, after) = unquote(rest)?;
        let (pair, after) = if ends(after) {
            let pair = match first.split_once('=') {
                Some((key, value)) => (key.trim().to_owned(), Some(value.to_owned())),
                None => (first.trim().to_owned(), None),
            };
            (pair, after)
        } else {
            match after.strip_prefix('=')? {
                after if ends(after) => ((first, None), after),
                after => {
                    let (value, after) = unquote(after).filter(|(_, after)| ends(after))?;
                    ((first, Some(value)), after)
                }
            }
        };
        pairs.push(pair);
        rest = after.trim_start_matches([' ', '\t', '\n', '\r']);
    }
    Some(())
}

/// Takes one text in the shell's single quotes, in which git writes `'` and `!` as `'\''` and `'\!'`.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut unquoted = String::new();
    let mut rest = text.strip_prefix('\'')?;
    loop {
        let (inside, after) = rest.split_once('\'')?;
        unquoted.push_str(inside);
        let Some(escaped) = ["\\''", "\\!'"]
            .iter()
            .find_map(|quote| after.strip_prefix(quote))
        else {
            return Some((unquoted, after));
        };
        unquoted.push_str(&after[1..2]);
        rest = escaped;
    }
}

/// Whether git accepts it as a key.
fn is_valid(key: &str) -> bool {
    let (section, subsection, name) = split_key(key);
    key.rfind('.').is_some_and(|last| last > 0)
        && section.bytes().all(is_key_byte)
        && !subsection.is_some_and(|subsection| subsection.contains('\n'))
        && name.bytes().all(is_key_byte)
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_parameters(parameters: &str) -> Result<Vec<Pair>, String> {
        pairs(&Environment::default().with("GIT_CONFIG_PARAMETERS", parameters))
    }

    #[test]
    fn both_styles_of_quoting_are_read() {
        let pairs = read_parameters(r"'A.b=c=d' 'a.X.b'='it'\''s'\!'' 'a.c'= 'a.d' 'a.e'=''").expect("valid");
        let expected: Vec<Pair> = [
            ("a.b", Some("c=d")),
            ("a.X.b", Some("it's!")),
            ("a.c", None),
            ("a.d", None),
            ("a.e", Some("")),
        ]
        .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
        .into();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn parameters_that_git_refuses_are_refused() {
        for parameters in [
            "a.b=c",
            "'a.b",
            "'a.b'x",
            "'a.b'='c'd",
            "'a.b'=c",
            "'ab=c'",
            "''",
            "'a.'",
            "'.a'",
            "'a_.b'",
        ] {
            assert!(read_parameters(parameters).is_err(), "{parameters}");
        }
        for count in ["x", "-1", "1", "4294967296"] {
            let env = Environment::default().with("GIT_CONFIG_COUNT", count);
            assert!(pairs(&env).is_err(), "{count}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r"('|=|\\|!|a|\.| |é){0,40}") {
            let _ = read_parameters(&text);
        }
    }
}
