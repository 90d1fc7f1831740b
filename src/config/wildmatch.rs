//! git's glob for paths (`wildmatch` with slashes kept apart): `*` and `?` stop at a slash, `**` between slashes
//! does not. A pattern runs as a set of states over the text, so no pattern takes more than its length times
//! the text's.

#[derive(Debug)]
enum Token {
    Byte(u8),
    /// Any byte but a slash.
    Any,
    Set(Vec<Member>, Negation),
    /// Any number of bytes that are not slashes.
    Star,
    /// Any number of bytes.
    StarStar,
    /// Nothing, or what the next token, `DirectoriesSlash`, matches.
    OptionalDirectories,
    /// Any number of bytes and then a slash.
    DirectoriesSlash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Negation {
    Plain,
    Inverted,
}

#[derive(Debug)]
enum Member {
    Range(u8, u8),
    Class(fn(u8) -> bool, ClassCase),
}

/// Whether a named class takes both cases when case is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClassCase {
    Exact,
    Upper,
}

/// Whether upper and lower case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// They differ.
    Sensitive,
    /// They are the same, for ASCII letters.
    Insensitive,
}

/// Whether `pattern` matches the whole of `text`.
pub(super) fn wildmatch(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let Some(tokens) = tokens(pattern, case) else {
        return false;
    };
    let mut states = vec![false; tokens.len() + 1];
    enter(&tokens, &mut states, 0);
    for &byte in text {
        let byte = match case {
            Case::Sensitive => byte,
            Case::Insensitive => byte.to_ascii_lowercase(),
        };
        let mut next = vec![false; states.len()];
        for (at, token) in tokens.iter().enumerate().filter(|&(at, _)| states[at]) {
            let (stays, passes) = match token {
                Token::Byte(expected) => (false, byte == *expected),
                Token::Any => (false, byte != b'/'),
                Token::Set(members, negation) => (
                    false,
                    byte != b'/'
                        && members.iter().any(|member| member.has(byte, case))
                            == (*negation == Negation::Plain),
                ),
                Token::Star => (byte != b'/', false),
                Token::StarStar => (true, false),
                Token::OptionalDirectories => (false, false),
                Token::DirectoriesSlash => (true, byte == b'/'),
            };
            if stays {
                enter(&tokens, &mut next, at);
            }
            if passes {
                enter(&tokens, &mut next, at + 1);
            }
        }
        states = next;
    }
    states[tokens.len()]
}

/// Marks a state and those reached from it without a byte.
fn enter(tokens: &[Token], states: &mut [bool], at: usize) {
    states[at] = true;
    match tokens.get(at) {
        Some(Token::Star | Token::StarStar) => enter(tokens, states, at + 1),
        Some(Token::OptionalDirectories) => {
            states[at + 1] = true;
            enter(tokens, states, at + 2);
        }
        _ => {}
    }
}

impl Member {
    fn has(&self, byte: u8, case: Case) -> bool {
        let is_folded = case == Case::Insensitive && byte.is_ascii_lowercase();
        match self {
            // A single letter in a set is compared as it stands even when case is ignored; a range is not.
            Self::Range(from, to) => {
                (*from..=*to).contains(&byte)
                    || (is_folded && from != to && (*from..=*to).contains(&byte.to_ascii_uppercase()))
            }
            Self::Class(is_member, class_case) => {
                is_member(byte) || (is_folded && *class_case == ClassCase::Upper)
            }
        }
    }
}

/// Cuts a pattern up; `None` for one that cannot match anything, such as an unclosed set.
fn tokens(pattern: &[u8], case: Case) -> Option<Vec<Token>> {
    let fold = |byte: u8| match case {
        Case::Sensitive => byte,
        Case::Insensitive => byte.to_ascii_lowercase(),
    };
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                tokens.push(Token::Byte(*pattern.get(at)?));
                at += 1;
            }
            b'?' => tokens.push(Token::Any),
            b'*' => {
                let start = at - 1;
                at += pattern[at..].iter().take_while(|&&byte| byte == b'*').count();
                let is_bounded_left = start == 0 || pattern[start - 1] == b'/';
                let rest = &pattern[at..];
                if at - start == 1 || !is_bounded_left {
                    tokens.push(Token::Star);
                } else if rest.starts_with(b"/") {
                    tokens.extend([Token::OptionalDirectories, Token::DirectoriesSlash]);
                    at += 1;
                } else if rest.is_empty() || rest.starts_with(b"\\/") {
                    tokens.push(Token::StarStar);
                } else {
                    tokens.push(Token::Star);
                }
            }
            b'[' => {
                let (set, length) = set(&pattern[at..])?;
                tokens.push(set);
                at += length;
            }
            byte => tokens.push(Token::Byte(fold(byte))),
        }
    }
    Some(tokens)
}

/// Reads a set behind its `[`: the token and the bytes it took. A `]` in the first place is a member.
fn set(pattern: &[u8]) -> Option<(Token, usize)> {
    let (negation, mut at) = match pattern.first()? {
        b'!' | b'^' => (Negation::Inverted, 1),
        _ => (Negation::Plain, 0),
    };
    let first = at;
    let mut members = Vec::new();
    let mut range_from = None;
    loop {
        let byte = *pattern.get(at)?;
        at += 1;
        match byte {
            b']' if at - 1 > first => return Some((Token::Set(members, negation), at)),
            b'-' if range_from.is_some() && pattern.get(at).is_some_and(|&byte| byte != b']') => {
                let mut to = pattern[at];
                at += 1;
                if to == b'\\' {
                    to = *pattern.get(at)?;
                    at += 1;
                }
                members.extend(range_from.take().map(|from| Member::Range(from, to)));
            }
            b'[' if pattern.get(at) == Some(&b':') => {
                let name = &pattern[at + 1..];
                let name = &name[..name.iter().position(|&byte| byte == b']')?];
                if let Some(name) = name.strip_suffix(b":") {
                    members.push(class(name)?);
                    at += name.len() + 3;
                    range_from = None;
                } else {
                    members.push(Member::Range(b'[', b'['));
                    range_from = Some(b'[');
                }
            }
            byte => {
                let literal = if byte == b'\\' {
                    at += 1;
                    *pattern.get(at - 1)?
                } else {
                    byte
                };
                members.push(Member::Range(literal, literal));
                range_from = Some(literal);
            }
        }
    }
}

fn class(name: &[u8]) -> Option<Member> {
    let is_member: fn(u8) -> bool = match name {
        b"alnum" => |byte| byte.is_ascii_alphanumeric(),
        b"alpha" => |byte| byte.is_ascii_alphabetic(),
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => |byte| byte.is_ascii_control(),
        b"digit" => |byte| byte.is_ascii_digit(),
        b"graph" => |byte| byte.is_ascii_graphic(),
        b"lower" => |byte| byte.is_ascii_lowercase(),
        b"print" => |byte| byte.is_ascii_graphic() || byte == b' ',
        b"punct" => |byte| byte.is_ascii_punctuation(),
        b"space" => super::syntax::is_space,
        b"upper" => |byte| byte.is_ascii_uppercase(),
        b"xdigit" => |byte| byte.is_ascii_hexdigit(),
        _ => return None,
    };
    let case = if name == b"upper" {
        ClassCase::Upper
    } else {
        ClassCase::Exact
    };
    Some(Member::Class(is_member, case))
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
