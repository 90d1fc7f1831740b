//! The one text cleaner: makes the output of another program fit for logs and messages.
//!
//! It removes no secrets; `redaction` does.

/// Removes everything that only matters on a terminal: escape sequences, control characters, git's `remote: `, blank
/// lines, indentation, and the rules with which GitLab frames its messages. A carriage return ends the line.
pub(crate) fn clean(text: &str) -> String {
    let plain = without_control_characters(text);
    let lines: Vec<&str> = plain
        .lines()
        .map(|line| line.strip_prefix("remote:").unwrap_or(line).trim())
        .filter(|line| !line.is_empty() && !is_rule(line))
        .collect();
    lines.join("\n")
}

/// The same characters of a text that somebody else wrote, such as the subject of a commit, as one line of at most so many
/// characters. Marks that change the direction of what follows go too.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let plain = without_control_characters(text);
    let is_mark = |character: &char| matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String = plain.chars().filter(|character| !is_mark(character)).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn is_rule(line: &str) -> bool {
    line.len() >= 8 && (line.bytes().all(|byte| byte == b'=') || line.bytes().all(|byte| byte == b'-'))
}

fn without_control_characters(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // CSI: parameters up to a final character.
                Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC sets titles and links: up to BEL, or ESC and a backslash.
                Some(']') => {
                    while let Some(c) = characters.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\r' => plain.push('\n'),
            '\n' | '\t' => plain.push(character),
            _ if character.is_control() => {}
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_becomes_one_short_line() {
        for (text, expected) in [
            ("\x1b[31mred\x1b[0m\r\n\ttwo  words\n", "red two words"),
            ("remote: kept", "remote: kept"),
            ("ab\u{202e}cd\u{2066}", "abcd"),
            ("1234567890123456", "1234567890123456"),
            ("1234567890123ä567", "1234567890123ä56…"),
            ("", ""),
        ] {
            assert_eq!(one_line(text, 16), expected);
        }
    }

    #[test]
    fn only_plain_text_is_left() {
        for (text, expected) in [
            (
                "\x1b[1;31mred\x1b[0m \x1b]0;title\x07bell\x08\x00\r\n50%\r100%\n\tend\u{fffd}\n",
                "red bell\n50%\n100%\nend\u{fffd}",
            ),
            ("\x1b]8;;https://h\x1b\\link", "link"),
            ("two\n\nlines -- here\n", "two\nlines -- here"),
            (
                "remote: \r\nremote: ========================\r\nremote: \r\nremote: ERROR: No.\r\nremote: \r\n",
                "ERROR: No.",
            ),
            // An escape sequence that the text cuts off.
            ("a\x1b[31", "a"),
            ("a\x1b]0;x", "a"),
            ("a\x1b", "a"),
        ] {
            assert_eq!(clean(text), expected);
        }
    }
}
