//! git's glob for paths (`wildmatch` with slashes kept apart): `*` and `?` stop at a slash, `**` between slashes does not.

use std::collections::HashSet;

/// Whether upper and lower case of ASCII letters are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Insensitive,
}

/// Whether `pattern` matches the whole of `text`.
pub(super) fn wildmatch(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let text: Vec<u8> = text.iter().map(|&byte| case.fold(byte)).collect();
    let mut matcher = Matcher {
        pattern,
        text: &text,
        case,
        failed: HashSet::new(),
    };
    matcher.matches(0, 0)
}

impl Case {
    const fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Sensitive => byte,
            Self::Insensitive => byte.to_ascii_lowercase(),
        }
    }
}

struct Matcher<'a> {
    pattern: &'a [u8],
    text: &'a [u8],
    case: Case,
    /// The places of stars in the pattern and the text that were tried, so that no pattern takes exponential time.
    failed: HashSet<(usize, usize)>,
}

impl Matcher<'_> {
    /// Whether the pattern from `at` on matches the text from `from` on.
    fn matches(&mut self, mut at: usize, mut from: usize) -> bool {
        while let Some(&expected) = self.pattern.get(at) {
            if expected == b'*' {
                return self.failed.insert((at, from)) && self.matches_star(at, from);
            }
            let Some(&byte) = self.text.get(from) else {
                return false;
            };
            let rest = &self.pattern[at + 1..];
            let (is_match, length) = match expected {
                b'?' => (byte != b'/', 1),
                b'\\' => (rest.first() == Some(&byte), 2),
                b'[' => match set(rest, byte, self.case) {
                    Some((is_in, length)) => (is_in && byte != b'/', 1 + length),
                    None => return false,
                },
                expected => (self.case.fold(expected) == byte, 1),
            };
            if !is_match {
                return false;
            }
            (at, from) = (at + length, from + 1);
        }
        from == self.text.len()
    }

    fn matches_star(&mut self, at: usize, from: usize) -> bool {
        let stars = self.pattern[at..]
            .iter()
            .take_while(|&&byte| byte == b'*')
            .count();
        let behind = at + stars;
        let rest = &self.pattern[behind..];
        let crosses_slashes = stars > 1
            && (at == 0 || self.pattern[at - 1] == b'/')
            && (rest.is_empty() || rest.starts_with(b"/") || rest.starts_with(b"\\/"));
        // `**/` may stand for no directory at all.
        if crosses_slashes && rest.starts_with(b"/") && self.matches(behind + 1, from) {
            return true;
        }
        let text = &self.text[from..];
        let reach = match text.iter().position(|&byte| byte == b'/') {
            Some(slash) if !crosses_slashes => slash,
            _ => text.len(),
        };
        (from..=from + reach).any(|from| self.matches(behind, from))
    }
}

/// Reads a set behind its `[`: whether `byte` is in it, and its length. `None` if it has no end or an unknown class.
fn set(pattern: &[u8], byte: u8, case: Case) -> Option<(bool, usize)> {
    let is_negated = matches!(pattern.first()?, b'!' | b'^');
    let first = usize::from(is_negated);
    let upper = match case {
        Case::Sensitive => byte,
        Case::Insensitive => byte.to_ascii_uppercase(),
    };
    let mut is_in = false;
    let mut range_start = None;
    let mut at = first;
    loop {
        let mut member = *pattern.get(at)?;
        at += 1;
        // In the first place it is a member.
        if member == b']' && at - 1 > first {
            return Some((is_in != is_negated, at));
        }
        if member == b'-'
            && pattern.get(at).is_some_and(|&byte| byte != b']')
            && let Some(start) = range_start.take()
        {
            at += usize::from(pattern[at] == b'\\');
            let range = start..=*pattern.get(at)?;
            at += 1;
            is_in |= range.contains(&byte) || range.contains(&upper);
            continue;
        }
        if member == b'[' && pattern.get(at) == Some(&b':') {
            let name = &pattern[at + 1..];
            let name = &name[..name.iter().position(|&byte| byte == b']')?];
            if let Some(name) = name.strip_suffix(b":") {
                is_in |= is_in_class(name, byte)? || (name == b"upper" && byte != upper);
                at += name.len() + 3;
                range_start = None;
                continue;
            }
        } else if member == b'\\' {
            member = *pattern.get(at)?;
            at += 1;
        }
        // git compares a single letter as it stands even if it ignores case.
        is_in |= member == byte;
        range_start = Some(member);
    }
}

fn is_in_class(name: &[u8], byte: u8) -> Option<bool> {
    Some(match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => super::syntax::is_space(byte),
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_gits_do() {
        for (pattern, text, expected) in [
            ("foo", "foo", true),
            ("foo", "foobar", false),
            ("", "", true),
            ("???", "foo", true),
            ("??", "a/", false),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("a*b", "axxb", true),
            ("a*/b", "ax/b", true),
            ("**/foo", "foo", true),
            ("**/foo", "/a/b/foo", true),
            ("**/foo/**", "/x/foo/a/b", true),
            ("**/foo/**", "/x/foo", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a**b", "a/b", false),
            ("a**b", "axb", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[[:digit:]x]", "7", true),
            ("[[:nope:]]", "n", false),
            ("[a", "a", false),
            ("[^a]", "/", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("x\\", "x\\", false),
            ("[a-]", "-", true),
            ("[\\]]", "]", true),
        ] {
            assert_eq!(
                wildmatch(pattern.as_bytes(), text.as_bytes(), Case::Sensitive),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn case_is_ignored_on_demand() {
        for (pattern, text) in [
            ("**/FOO/**", "/foo/x"),
            ("[A-C]", "b"),
            ("[[:upper:]]", "a"),
            ("foo", "FOO"),
        ] {
            assert!(
                wildmatch(pattern.as_bytes(), text.as_bytes(), Case::Insensitive),
                "{pattern}"
            );
            assert!(
                !wildmatch(pattern.as_bytes(), text.as_bytes(), Case::Sensitive),
                "{pattern}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(pattern in r"(\[|\]|!|\^|-|:|alpha|\*|\?|/|\\|a|B){0,30}", text in "[aB/:-]{0,30}") {
            wildmatch(pattern.as_bytes(), text.as_bytes(), Case::Sensitive);
            wildmatch(pattern.as_bytes(), text.as_bytes(), Case::Insensitive);
        }
    }
}
