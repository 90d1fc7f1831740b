//! The syntax of a configuration file, as `git-config(1)` describes it and git's parser takes it.

/// One assignment of a file: the whole key, normalised, and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) line: usize,
}

/// A line that git refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: usize,
    pub(super) problem: &'static str,
}

/// Reads a whole file. Bytes that are not UTF-8 are replaced; a value ends at a NUL, as a C string does.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Assignment>, BadLine> {
    let mut reader = Reader::new(text)?;
    let mut assignments = Vec::new();
    let mut section: Option<Vec<u8>> = None;
    while let Some(byte) = reader.next() {
        match byte {
            byte if is_space(byte) => {}
            b'#' | b';' => reader.skip_line(),
            b'[' => section = Some(reader.section()?),
            byte if byte.is_ascii_alphabetic() => {
                let line = reader.line;
                let name = reader.name(byte);
                let value = reader.value_after_name()?;
                let mut key = Vec::new();
                // git reads a variable before the first section too; no key can ask for it.
                if let Some(section) = &section {
                    key.extend(section);
                    key.push(b'.');
                }
                key.extend(name);
                assignments.push(Assignment {
                    key: text_of(&key),
                    value: value.map(|value| text_of(&escaped(value))),
                    line,
                });
            }
            _ => return Err(reader.bad("expected a [section], a variable or a comment")),
        }
    }
    Ok(assignments)
}

/// A URL for HTTP whose bytes are not UTF-8, with the escapes that git would decode to the same bytes: a user name or
/// password may be in another encoding.
fn escaped(value: Vec<u8>) -> Vec<u8> {
    let is_http = value.starts_with(b"https://") || value.starts_with(b"http://");
    if !is_http || std::str::from_utf8(&value).is_ok() {
        return value;
    }
    let mut url = Vec::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii() {
            url.push(byte);
        } else {
            url.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    url
}

fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// git's own idea of white space, which leaves out vertical tab and form feed.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether a byte may stand in the name of a section or variable.
pub(super) fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

struct Reader<'a> {
    rest: &'a [u8],
    /// The line of the byte read last.
    line: usize,
    after_newline: bool,
}

impl<'a> Reader<'a> {
    /// Skips the byte order mark that some editors write; part of one is refused.
    fn new(text: &'a [u8]) -> Result<Self, BadLine> {
        let rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if rest.first() == Some(&0xef) && rest.len() == text.len() {
            return Err(BadLine {
                line: 1,
                problem: "an incomplete byte order mark",
            });
        }
        Ok(Self {
            rest,
            line: 1,
            after_newline: false,
        })
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

    /// The next byte, where the end of the file is the end of a line.
    fn next_in_line(&mut self) -> u8 {
        self.next().unwrap_or(b'\n')
    }

    fn skip_line(&mut self) {
        while self.next_in_line() != b'\n' {}
    }

    fn bad(&self, problem: &'static str) -> BadLine {
        BadLine {
            line: self.line,
            problem,
        }
    }

    /// What follows `[`: `name]`, `name.sub]` in the old style, or `name "sub"]`.
    fn section(&mut self) -> Result<Vec<u8>, BadLine> {
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
                    return Err(self.bad("a section name has letters, digits, - and . only, and ends with ]"));
                }
            }
        }
    }

    fn subsection(&mut self, mut byte: u8, name: &mut Vec<u8>) -> Result<(), BadLine> {
        while is_space(byte) {
            if byte == b'\n' {
                return Err(self.bad("the section header does not end on its line"));
            }
            byte = self.next_in_line();
        }
        if byte != b'"' {
            return Err(self.bad("a subsection stands in double quotes"));
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

    /// The name of a variable that begins with `first`. Does not take the byte behind it.
    fn name(&mut self, first: u8) -> Vec<u8> {
        let length = self.rest.iter().take_while(|&&byte| is_key_byte(byte)).count();
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        std::iter::once(&first)
            .chain(name)
            .map(u8::to_ascii_lowercase)
            .collect()
    }

    fn value_after_name(&mut self) -> Result<Option<Vec<u8>>, BadLine> {
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

    fn value(&mut self) -> Result<Vec<u8>, BadLine> {
        let mut value = Vec::new();
        let mut is_quoted = false;
        // Where the white space that may turn out to be trailing begins.
        let mut trailing_from = None;
        loop {
            let byte = self.next_in_line();
            match byte {
                b'\n' if is_quoted => return Err(self.bad("a quoted value does not end on its line")),
                b'\n' => break,
                byte if is_space(byte) && !is_quoted => {
                    if !value.is_empty() {
                        trailing_from.get_or_insert(value.len());
                        value.push(byte);
                    }
                    continue;
                }
                b'#' | b';' if !is_quoted => {
                    self.skip_line();
                    break;
                }
                _ => {}
            }
            trailing_from = None;
            match byte {
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
        }
        value.truncate(trailing_from.unwrap_or(value.len()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, Option<String>)> {
        parse(text.as_bytes())
            .expect("well-formed")
            .into_iter()
            .map(|assignment| (assignment.key, assignment.value))
            .collect()
    }

    #[test]
    fn a_url_in_another_encoding_keeps_its_bytes_as_escapes() {
        let parsed = parse(b"[a]\nb = https://j\xfcrg:\xc3\xa4@h/\nc = \xfc\n").expect("well-formed");
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
            assert_eq!(
                parse(text.as_bytes()).map_err(|bad| bad.line),
                Err(line),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text);
        }

        #[test]
        fn no_near_miss_makes_it_panic(text in r#"(\[|\]|"|\\|=|#|;|\n|\r|a|B|\.| |\x00|-|é){0,60}"#) {
            let _ = parse(text.as_bytes());
        }
    }
}
