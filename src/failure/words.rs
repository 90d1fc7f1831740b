//! Looking for known words in what others say.

use super::Kind;

/// Words and what they mean, most telling first. They are in lower case: a server may write its own either way.
pub(super) type Words = [(&'static str, Kind)];

/// The kind of the first words that the text contains.
pub(super) fn find(words: &Words, text: &str) -> Option<Kind> {
    let text = text.to_ascii_lowercase();
    words
        .iter()
        .find(|(known, _)| text.contains(known))
        .map(|&(_, kind)| kind)
}

/// What was said, without what only serves its look on a terminal: carriage returns, git's `remote: `, empty lines
/// and rules, with which GitLab frames its messages.
pub(super) fn plain(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(|line| line.strip_prefix("remote:").unwrap_or(line).trim())
        .filter(|line| !line.is_empty() && !is_rule(line))
        .collect();
    lines.join("\n")
}

fn is_rule(line: &str) -> bool {
    line.len() >= 8 && (line.bytes().all(|byte| byte == b'=') || line.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case_and_the_first_of_the_table_count() {
        let words: &Words = &[("a b", Kind::Auth), ("b", Kind::Network)];
        assert_eq!(find(words, "b then A B"), Some(Kind::Auth));
        assert_eq!(find(words, "B"), Some(Kind::Network));
        assert_eq!(find(words, "c"), None);
    }

    #[test]
    fn a_frame_is_taken_off() {
        let framed = "remote: \r\nremote: ========================================================================\r\nremote: \r\nremote: ERROR: No.\r\nremote: \r\n";
        assert_eq!(plain(framed), "ERROR: No.");
        assert_eq!(plain("two\n\nlines -- here\n"), "two\nlines -- here");
    }
}
