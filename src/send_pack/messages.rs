//! What a server says for people: kept short, and made safe for logs and terminals.

use crate::tail::Tail;

/// Keeps the end of a stream of messages.
#[derive(Debug, Default)]
pub(super) struct Messages(Tail);

impl Messages {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    /// The end of what was said, without control characters and escape sequences.
    pub(super) fn to_text(&self) -> String {
        text_of(&self.0)
    }
}

/// Makes text of what a server sent: the end of it, without control characters other than line ends and tabs, without
/// ANSI escape sequences. A carriage return, which rewrites a line of progress on a terminal, ends the line.
pub(crate) fn plain_text(bytes: &[u8]) -> String {
    text_of(&Tail::from(bytes))
}

fn text_of(tail: &Tail) -> String {
    let text = String::from_utf8_lossy(tail.bytes());
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // CSI: parameters up to a final character.
                Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC, which sets titles and links: up to BEL, or ESC and a backslash.
                Some(']') => {
                    while let Some(c) = characters.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' => plain.push('\n'),
            '\n' | '\t' => plain.push(character),
            _ if character.is_control() => {}
            _ => plain.push(character),
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::LIMIT;

    #[test]
    fn escape_sequences_and_control_characters_are_removed() {
        assert_eq!(
            plain_text(b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07bell\x08\x00\r\n50%\r100%\n\tend\xff\n"),
            "red bell\n50%\n100%\n\tend\u{fffd}"
        );
    }

    #[test]
    fn an_unfinished_escape_sequence_ends_with_the_text() {
        assert_eq!(plain_text(b"a\x1b[31"), "a");
        assert_eq!(plain_text(b"a\x1b]0;x"), "a");
        assert_eq!(plain_text(b"a\x1b"), "a");
    }

    #[test]
    fn only_the_end_of_long_messages_is_kept() {
        let mut messages = Messages::default();
        for line in 0..10_000 {
            messages.push(format!("line {line}\n").as_bytes());
        }
        let text = messages.to_text();
        assert!(text.starts_with("line ") && text.ends_with("\nline 9999"));
        assert!(text.len() <= LIMIT);
    }
}
