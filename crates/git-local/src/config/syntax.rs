//! The syntax of a configuration file, as `git-config(1)` describes it and git's parser accepts it.

use std::path::Path;
use std::sync::Arc;

use percent_encoding::{AsciiSet, percent_encode};

use super::entry::{Entry, Scope};
use crate::LocalError;

/// Reads a whole file. Bytes that are not UTF-8 are replaced; a value ends at a NUL, as a C string does.
pub(super) fn parse(text: &[u8], path: &Path, scope: Scope) -> Result<Vec<Entry>, LocalError> {
    let mut parser = Parser::new(text, path)?;
    let path: Arc<Path> = path.into();
    let mut entries = Vec::new();
    // git reads a variable before the first section too; no key can ask for it.
    let mut section = Vec::new();
    while let Some(byte) = parser.next() {
        match byte {
            byte if is_space(byte) => {}
            b'#' | b';' => parser.skip_line(),
            b'[' => {
                section = parser.section()?;
                section.push(b'.');
            }
            byte if byte.is_ascii_alphabetic() => {
                let line = parser.line;
                let key = [&*section, &parser.name(byte)].concat();
                let value = parser.value_after_name()?;
                entries.push(Entry {
                    key: text_of(&key),
                    value: value.as_deref().map(text_of),
                    scope,
                    line: Some((Arc::clone(&path), line)),
                });
            }
            _ => return Err(parser.bad("expected a [section], a variable or a comment")),
        }
    }
    Ok(entries)
}

/// A value up to a NUL. The bytes of an HTTP URL that are not UTF-8 are escaped: a user name or password may be in another
/// encoding, and git decodes the escapes to the same bytes.
fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let bytes = &bytes[..end];
    let is_http = bytes.starts_with(b"https://") || bytes.starts_with(b"http://");
    if is_http && std::str::from_utf8(bytes).is_err() {
        percent_encode(bytes, &AsciiSet::EMPTY).to_string()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// git's white space, without vertical tab and form feed.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether a byte is allowed in the name of a section or variable.
pub(super) fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

struct Parser<'a> {
    path: &'a Path,
    rest: &'a [u8],
    /// The line of the last byte.
    line: usize,
    after_newline: bool,
}

impl<'a> Parser<'a> {
    /// Skips the byte order mark that some editors write, and refuses part of one.
    fn new(text: &'a [u8], path: &'a Path) -> Result<Self, LocalError> {
        let parser = Self {
            path,
            rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
            line: 1,
            after_newline: false,
        };
        if parser.rest.len() == text.len() && text.first() == Some(&0xef) {
            return Err(parser.bad("an incomplete byte order mark"));
        }
        Ok(parser)
    }

    /// The next byte, with CR LF as one line feed.
    fn next(&mut self) -> Option<u8> {
        let (byte, length) = match self.rest {
            [] => return None,
            [b'\r', b'\n', ..] => (b'\n', 2),
            [byte, ..] => (*byte, 1),
        };
        self.rest = &self.rest[length..];
        if self.after_newline {
            self.line += 1;
        }
        self.after_newline = byte == b'\n';
        Some(byte)
    }

    /// The next byte. The end of the file is the end of a line.
    fn next_in_line(&mut self) -> u8 {
        self.next().unwrap_or(b'\n')
    }

    fn skip_line(&mut self) {
        while self.next_in_line() != b'\n' {}
    }

    fn bad(&self, problem: &str) -> LocalError {
        let (line, path) = (self.line, self.path.display());
        LocalError::new(format!("bad config line {line} in file {path}: {problem}"))
    }

    /// Reads the rest of a header: `name]`, `name.sub]` in the old style, or `name "sub"]`.
    fn section(&mut self) -> Result<Vec<u8>, LocalError> {
        let mut name = Vec::new();
        loop {
            match self.next() {
                Some(b']') if name.is_empty() => return Err(self.bad("an empty section name")),
                Some(b']') => return Ok(name),
                Some(byte) if is_space(byte) => {
                    self.subsection(byte, &mut name)?;
                    return Ok(name);
                }
                Some(byte) if is_key_byte(byte) || byte == b'.' => name.push(byte.to_ascii_lowercase()),
                _ => {
                    return Err(self
                        .bad("a section name may only have letters, digits, - and ., and must end with ]"));
                }
            }
        }
    }

    fn subsection(&mut self, mut byte: u8, name: &mut Vec<u8>) -> Result<(), LocalError> {
        while is_space(byte) {
            if byte == b'\n' {
                return Err(self.bad("the section header does not end on its line"));
            }
            byte = self.next_in_line();
        }
        if byte != b'"' {
            return Err(self.bad("a subsection must be in double quotes"));
        }
        name.push(b'.');
        loop {
            let mut byte = self.next_in_line();
            match byte {
                b'"' => break,
                b'\\' => byte = self.next_in_line(),
                _ => {}
            }
            match byte {
                b'\n' => return Err(self.bad("the section header does not end on its line")),
                0 => return Err(self.bad("a NUL byte in a subsection")),
                byte => name.push(byte),
            }
        }
        match self.next_in_line() {
            b']' => Ok(()),
            _ => Err(self.bad("expected ] behind the subsection")),
        }
    }

    /// Reads the rest of the name of a variable that begins with `first`.
    fn name(&mut self, first: u8) -> Vec<u8> {
        let length = self.rest.iter().take_while(|&&byte| is_key_byte(byte)).count();
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        std::iter::once(&first)
            .chain(name)
            .map(u8::to_ascii_lowercase)
            .collect()
    }

    fn value_after_name(&mut self) -> Result<Option<Vec<u8>>, LocalError> {
        let mut byte = self.next_in_line();
        while matches!(byte, b' ' | b'\t') {
            byte = self.next_in_line();
        }
        match byte {
            b'\n' => Ok(None),
            b'=' => self.value().map(Some),
            _ => Err(self.bad("expected = behind the name of a variable")),
        }
    }

    fn value(&mut self) -> Result<Vec<u8>, LocalError> {
        let mut value = Vec::new();
        let mut is_quoted = false;
        // The length without white space at the end.
        let mut kept = 0;
        loop {
            match self.next_in_line() {
                b'\n' if is_quoted => return Err(self.bad("a quoted value does not end on its line")),
                b'\n' => break,
                b'#' | b';' if !is_quoted => {
                    self.skip_line();
                    break;
                }
                byte if is_space(byte) && !is_quoted => {
                    if !value.is_empty() {
                        value.push(byte);
                    }
                    continue;
                }
                b'\\' => match self.next_in_line() {
                    b'\n' => {}
                    b't' => value.push(b'\t'),
                    b'b' => value.push(0x08),
                    b'n' => value.push(b'\n'),
                    byte @ (b'\\' | b'"') => value.push(byte),
                    _ => return Err(self.bad(r#"only \\, \", \n, \t and \b may follow a backslash"#)),
                },
                b'"' => is_quoted = !is_quoted,
                byte => value.push(byte),
            }
            kept = value.len();
        }
        value.truncate(kept);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &[u8]) -> Result<Vec<Entry>, LocalError> {
        parse(text, Path::new("/f"), Scope::Local)
    }

    fn pairs(text: &str) -> Vec<(String, Option<String>)> {
        parsed(text.as_bytes())
            .expect("well-formed")
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect()
    }

    #[test]
    fn a_url_in_another_encoding_keeps_its_bytes_as_escapes() {
        let parsed = parsed(b"[a]\nb = https://j\xfcrg:\xc3\xa4@h/\nc = \xfc\n").expect("well-formed");
        assert_eq!(parsed[0].value.as_deref(), Some("https://j%FCrg:%C3%A4@h/"));
        assert_eq!(parsed[1].value.as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn values_are_trimmed_unquoted_and_joined() {
        for (text, expected) in [
            ("[a]\nb = c  d \t# no\n", Some("c  d")),
            ("[a]b=\" c \" ; no", Some(" c ")),
            ("[a]b=x\\\n y\n", Some("x y")),
            ("[a]b=\"#\"'\n", Some("#'")),
            ("[a]b=\\t\\n\\\\\\\"", Some("\t\n\\\"")),
            ("[a]b=", Some("")),
            ("[a]b", None),
            ("[a]b \r\n", None),
            ("[a]b = c\r\n", Some("c")),
            ("[a]b=c\0d", Some("c")),
        ] {
            assert_eq!(
                pairs(text),
                [("a.b".to_owned(), expected.map(str::to_owned))],
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line) in [
            ("[a]\nb = \"c\n", 2),
            ("\n\n[a b]\n", 3),
            ("[a]\nb c\n", 2),
            ("[a]\n1b=1\n", 2),
            ("[a]\nb = \\x\n", 2),
            ("[]\n", 1),
            ("[a", 1),
            ("[a \"b\n\"]", 1),
            ("[a \"b\" ]", 1),
        ] {
            let failure = parsed(text.as_bytes()).expect_err("malformed");
            let place = format!("bad config line {line} in file /f: ");
            assert!(failure.message().starts_with(&place), "{failure}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parsed(&text);
        }

        #[test]
        fn no_near_miss_makes_it_panic(text in r#"(\[|\]|"|\\|=|#|;|\n|\r|a|B|\.| |\x00|-|é){0,60}"#) {
            let _ = parsed(text.as_bytes());
        }
    }
}
