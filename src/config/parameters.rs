//! The configuration in environment variables: `GIT_CONFIG_COUNT` with its numbered pairs, and
//! `GIT_CONFIG_PARAMETERS`, in which git hands the options `-c` down to the commands it runs.

use super::canonical_key;
use super::environment::Environment;
use super::syntax::{is_key_byte, is_space};

/// A whole key and its value.
pub(super) type Pair = (String, Option<String>);

/// Reads both, in git's order. The error is a sentence for people.
pub(super) fn read(env: &Environment) -> Result<Vec<Pair>, String> {
    let mut pairs = counted(env)?;
    if let Some(parameters) = env.get("GIT_CONFIG_PARAMETERS") {
        quoted(parameters, &mut pairs)
            .ok_or("GIT_CONFIG_PARAMETERS is not what git writes there: 'section.key'='value' ...")?;
    }
    pairs
        .into_iter()
        .map(|(key, value)| Ok((checked_key(&key)?, value)))
        .collect()
}

fn counted(env: &Environment) -> Result<Vec<Pair>, String> {
    let Some(count) = env.get("GIT_CONFIG_COUNT").filter(|count| !count.is_empty()) else {
        return Ok(Vec::new());
    };
    let count: u32 = count
        .parse()
        .ok()
        .filter(|&count| i32::try_from(count).is_ok())
        .ok_or_else(|| format!("GIT_CONFIG_COUNT is '{count}', expected a number of pairs"))?;
    let variable = |name: String| {
        env.get(&name)
            .map(str::to_owned)
            .ok_or_else(|| format!("GIT_CONFIG_COUNT is {count}, but {name} is not set"))
    };
    (0..count)
        .map(|index| {
            let key = variable(format!("GIT_CONFIG_KEY_{index}"))?;
            let value = variable(format!("GIT_CONFIG_VALUE_{index}"))?;
            Ok((key, Some(value)))
        })
        .collect()
}

/// Reads `'key'='value'`, `'key'=` (no value), and the older `'key=value'` and `'key'`, parted by white space.
fn quoted(parameters: &str, pairs: &mut Vec<Pair>) -> Option<()> {
    let starts_with_space = |text: &str| text.bytes().next().is_some_and(is_space);
    let mut rest = parameters;
    while !rest.is_empty() {
        let (first, after) = unquote(rest)?;
        if after.is_empty() || starts_with_space(after) {
            let (key, value) = match first.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (first, None),
            };
            pairs.push((key.trim().to_owned(), value));
            rest = after;
        } else {
            let after = after.strip_prefix('=')?;
            if after.is_empty() || starts_with_space(after) {
                pairs.push((first, None));
                rest = after;
            } else {
                let (value, after) = unquote(after)?;
                if !after.is_empty() && !starts_with_space(after) {
                    return None;
                }
                pairs.push((first, Some(value)));
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
    Some(())
}

/// Takes one word in the shell's single quotes, in which git writes `'` and `!` as `'\''` and `'\!'`.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut rest = text.strip_prefix('\'')?;
    loop {
        let (inside, after) = rest.split_once('\'')?;
        word.push_str(inside);
        if let Some(after) = after.strip_prefix("\\''") {
            word.push('\'');
            rest = after;
        } else if let Some(after) = after.strip_prefix("\\!'") {
            word.push('!');
            rest = after;
        } else {
            return Some((word, after));
        }
    }
}

/// Refuses what git refuses as a key, and brings the rest into the form in which keys are stored.
fn checked_key(key: &str) -> Result<String, String> {
    let is_valid = match (key.find('.'), key.rfind('.')) {
        (Some(first), Some(last)) if last > 0 => {
            let name = &key[last + 1..];
            key[..first].bytes().all(is_key_byte)
                && !key[first..last].contains('\n')
                && name.bytes().all(is_key_byte)
                && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        }
        _ => false,
    };
    if is_valid {
        Ok(canonical_key(key).into_owned())
    } else {
        Err(format!(
            "'{key}' is no configuration key: expected section.key or section.subsection.key"
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_parameters(parameters: &str) -> Result<Vec<Pair>, String> {
        read(&Environment::default().with("GIT_CONFIG_PARAMETERS", parameters))
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
    fn what_git_refuses_is_refused() {
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
            assert!(read(&env).is_err(), "{count}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r"('|=|\\|!|a|\.| |é){0,40}") {
            let _ = read_parameters(&text);
        }
    }
}
