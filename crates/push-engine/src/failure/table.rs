//! A table of other programs' messages with their meanings, and the search in it.

/// Known messages with their meanings, the most telling first, in lower case.
pub(super) struct Table<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy> Table<T> {
    /// The meanings of all known messages that a text contains, in the order of the table.
    pub(super) fn matches(&self, text: &str) -> impl Iterator<Item = T> {
        let text = text.to_ascii_lowercase();
        let rows = self.0.iter();
        rows.filter_map(move |&(known, meaning)| text.contains(known).then_some(meaning))
    }

    /// The meaning of the most telling message that a text contains.
    pub(super) fn find(&self, text: &str) -> Option<T> {
        self.matches(text).next()
    }
}

/// Whether a text contains one of these messages, which are in lower case.
pub(super) fn contains_any(text: &str, known: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    known.iter().any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_any_case_and_the_first_of_the_table_counts() {
        let table = Table(&[("a b", 1), ("b", 2)]);
        assert_eq!(table.find("b then A B"), Some(1));
        assert_eq!(table.find("B"), Some(2));
        assert_eq!(table.find("c"), None);
    }
}
