//! What a server says for people: kept short, and made safe for logs and terminals.

/// Bytes that are kept of a server's messages: the end, where the reason is.
const LIMIT: usize = 8 * 1024;

/// Keeps the end of a stream of messages.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<u8>);

impl Messages {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(LIMIT)..];
        // Dropping the front only now and then keeps this linear in what the server sends.
        if self.0.len() + bytes.len() > 2 * LIMIT {
            let surplus = (self.0.len() + bytes.len() - LIMIT).min(self.0.len());
            self.0.drain(..surplus);
        }
        self.0.extend_from_slice(bytes);
    }

    /// The end of what was said, without control characters and escape sequences.
    pub(super) fn to_text(&self) -> String {
        plain_text(&self.0)
    }
}

/// Makes text of what a server sent: at most [`LIMIT`] bytes of its end, without control characters other
/// than line ends and tabs, without ANSI escape sequences. A carriage return, which rewrites a line of
/// progress on a terminal, ends the line.
pub(crate) fn plain_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2 * LIMIT)..]);
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
    let mut start = plain.len().saturating_sub(LIMIT);
    while !plain.is_char_boundary(start) {
        start += 1;
    }
    plain[start..].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for line in 0..100_000 {
            messages.push(format!("line {line}\n").as_bytes());
            assert!(messages.0.len() <= 2 * LIMIT);
        }
        messages.push("x".repeat(3 * LIMIT).as_bytes());
        messages.push("ü\nlast".as_bytes());
        let text = messages.to_text();
        assert!(text.len() <= LIMIT);
        assert!(text.ends_with("xxü\nlast"));
    }
}
