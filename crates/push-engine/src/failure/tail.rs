//! The end of what another program prints: it states the reason for a failure, and fits in bounded memory.

use git_local::redact;

use super::text::clean;

/// The number of bytes that are kept.
pub(crate) const LIMIT: usize = 8 * 1024;

/// Keeps the end of a stream. The cut is between two words: a truncated URL would escape redaction.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes
            .extend_from_slice(&bytes[bytes.len().saturating_sub(2 * LIMIT)..]);
        self.is_cut |= bytes.len() > 2 * LIMIT;
        // Drops the front only now and then, so that the cost stays linear.
        if self.bytes.len() > 2 * LIMIT {
            self.bytes.drain(..self.bytes.len() - LIMIT);
            self.is_cut = true;
        }
    }

    /// At most the last [`LIMIT`] bytes, from the first whole word on.
    pub(crate) fn bytes(&self) -> &[u8] {
        let start = self.bytes.len().saturating_sub(LIMIT);
        let end = &self.bytes[start..];
        if !self.is_cut && start == 0 {
            return end;
        }
        let word = end.iter().position(u8::is_ascii_whitespace);
        word.map_or(&[], |space| &end[space..])
    }

    /// The same as clean text without secrets. Redaction comes first, as cleaning may hide the borders of a URL.
    pub(crate) fn text(&self) -> String {
        clean(&redact(&String::from_utf8_lossy(self.bytes())))
    }
}

impl From<&str> for Tail {
    fn from(text: &str) -> Self {
        let mut tail = Self::default();
        tail.push(text.as_bytes());
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_kept_whole() {
        assert_eq!(Tail::default().bytes(), b"");
        assert_eq!(Tail::from(" a b").bytes(), b" a b");
        let all = "x".repeat(LIMIT);
        assert_eq!(Tail::from(all.as_str()).bytes(), all.as_bytes());
    }

    #[test]
    fn only_the_end_of_a_long_text_is_kept() {
        let mut tail = Tail::default();
        for line in 0..100_000 {
            tail.push(format!("line {line}\n").as_bytes());
            assert!(tail.bytes.len() <= 2 * LIMIT);
        }
        assert!(tail.bytes().len() <= LIMIT);
        assert!(tail.bytes().ends_with(b"line 99998\nline 99999\n"));
        tail.push(&vec![b'x'; 3 * LIMIT]);
        tail.push(b" last");
        assert_eq!(tail.bytes(), b" last");
    }

    #[test]
    fn half_a_word_is_never_kept_in_whatever_pieces_it_came() {
        let said = format!("https://user:secret@host/{} refused", "x".repeat(LIMIT - 40));
        for surplus in (0..=said.len()).step_by(61) {
            for piece in [7, 100, LIMIT, 5 * LIMIT] {
                let before = "y".repeat(LIMIT + 1 - surplus.min(LIMIT));
                let all = format!("{before} {said}{}", "z".repeat(surplus));
                let mut tail = Tail::default();
                for piece in all.as_bytes().chunks(piece) {
                    tail.push(piece);
                }
                let kept = String::from_utf8_lossy(tail.bytes());
                assert!(
                    !kept.contains("secret") || kept.contains("https://user:secret"),
                    "{surplus}, {piece}"
                );
            }
        }
    }
}
