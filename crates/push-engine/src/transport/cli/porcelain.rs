//! Reads the output of `git push --porcelain` and `git ls-remote` as it comes.
//!
//! A line has the form `<flag> TAB <from>:<to> TAB <summary> (<reason>)`, as in `git-push(1)`, OUTPUT; the summaries are
//! those of `transport.c` in git 2.47, in the C locale. A pre-push hook prints to the same stream, so any other line may
//! come between those.

use git_wire::oid::Oid;

use crate::failure::Tail;

/// The longest line that matters has two names of refs and a reason.
const MAX_LINE: usize = 16 * 1024;

/// The largest list of refs that is read, in bytes; the same as for an advertisement.
const MAX_REFS: usize = 64 * 1024 * 1024;

/// The outcome for the ref at one URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has the new value, or had it before.
    Updated,
    /// git itself decided not to send the update.
    Rejected(String),
    /// The remote declined the update.
    RemoteRejected(String),
    /// The update was sent, and no report came back.
    Unreported(String),
}

/// Reads the output of `git push --porcelain` for one ref.
#[derive(Debug)]
pub struct Porcelain<'a> {
    /// The subject of a line about the pushed ref.
    pair: String,
    refname: &'a str,
    lines: Lines,
    verdicts: Vec<Verdict>,
    /// The output of hooks.
    hooks: Tail,
}

impl<'a> Porcelain<'a> {
    /// Reads the output of a push of `oid` to `refname`.
    #[must_use]
    pub fn new(oid: Oid, refname: &'a str) -> Self {
        Self {
            pair: format!("{oid}:{refname}"),
            refname,
            lines: Lines::default(),
            verdicts: Vec::new(),
            hooks: Tail::default(),
        }
    }

    /// Reads what is printed next.
    pub fn read(&mut self, bytes: &[u8]) {
        let Self {
            pair,
            refname,
            lines,
            verdicts,
            hooks,
        } = self;
        lines.read(bytes, |line| {
            if let Some(verdict) = verdict_of(line, pair, refname) {
                verdicts.push(verdict);
            } else if line != "Done" && !line.starts_with("To ") {
                hooks.push(line.as_bytes());
                hooks.push(b"\n");
            }
        });
    }

    /// The verdicts, one for each URL that was pushed to, and the rest of the output.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Verdict>, String) {
        self.read(b"\n");
        (self.verdicts, self.hooks.text())
    }
}

/// Reads a line about the pushed ref.
fn verdict_of(line: &str, pair: &str, refname: &str) -> Option<Verdict> {
    let (flag, rest) = line.split_once('\t')?;
    let (subject, summary) = rest.split_once('\t')?;
    let is_deletion = subject.strip_prefix(':') == Some(refname);
    if subject != pair && !is_deletion {
        return None;
    }
    match flag {
        " " | "*" | "=" | "+" => Some(Verdict::Updated),
        // Neither should occur: nothing is deleted, and the pushed object exists. In any case it was not pushed.
        "-" | "X" => Some(Verdict::Rejected(summary.to_owned())),
        "!" => {
            let (word, reason) = split_summary(summary);
            Some(match word {
                "remote rejected" => Verdict::RemoteRejected(reason),
                "remote failure" => Verdict::Unreported(reason),
                _ => Verdict::Rejected(reason),
            })
        }
        _ => None,
    }
}

/// Splits `[word] (reason)`; without a reason, the word is the reason.
fn split_summary(summary: &str) -> (&str, String) {
    let (word, rest) = summary
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .unwrap_or((summary, ""));
    let reason = rest
        .trim()
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    (word, reason.unwrap_or(word).to_owned())
}

/// Reads the output of `git ls-remote --refs`.
#[derive(Debug, Default)]
pub struct RefList {
    lines: Lines,
    refs: Vec<(Oid, String)>,
    bytes_read: usize,
    problem: Option<String>,
}

impl RefList {
    /// Reads what is printed next.
    pub fn read(&mut self, bytes: &[u8]) {
        self.bytes_read += bytes.len();
        if self.bytes_read > MAX_REFS {
            self.problem = Some(format!("the remote lists more than {MAX_REFS} bytes of refs"));
            self.refs = Vec::new();
        }
        let Self {
            lines, refs, problem, ..
        } = self;
        lines.read(bytes, |line| {
            if problem.is_some() || line.is_empty() {
                return;
            }
            let (hex, name) = line.split_once('\t').unwrap_or((line, ""));
            if let Some(oid) = Oid::from_hex(hex.as_bytes()) {
                refs.push((oid, name.to_owned()));
            } else {
                let shown: String = line.chars().take(100).collect();
                *problem = Some(format!(
                    "expected an object id and a ref from the remote, got \"{}\"",
                    shown.escape_debug()
                ));
            }
        });
    }

    /// The refs.
    ///
    /// # Errors
    ///
    /// A sentence about the unexpected output.
    pub fn finish(mut self) -> Result<Vec<(Oid, String)>, String> {
        self.read(b"\n");
        self.problem.map_or(Ok(self.refs), Err)
    }
}

/// Splits a stream into lines. A line that is too long is truncated.
#[derive(Debug, Default)]
struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    fn read(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (piece, is_end) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let room = MAX_LINE.saturating_sub(self.unfinished.len());
            self.unfinished.extend_from_slice(&piece[..piece.len().min(room)]);
            if is_end {
                let mut line = self.unfinished.strip_suffix(b"\r").unwrap_or(&self.unfinished);
                if self.unfinished.len() == MAX_LINE {
                    // A truncated URL would escape redaction.
                    let last_word = line.iter().rposition(u8::is_ascii_whitespace);
                    line = &line[..last_word.unwrap_or(0)];
                }
                each(&String::from_utf8_lossy(line));
                self.unfinished.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "f05c1fddb5df251a67718e455bd942db0c101830";
    const MAIN: &str = "refs/heads/main";

    fn oid() -> Oid {
        OID.parse().expect("40 digits")
    }

    fn read(output: &str) -> (Vec<Verdict>, String) {
        let mut porcelain = Porcelain::new(oid(), MAIN);
        // In small pieces, as a pipe may give them.
        for piece in output.as_bytes().chunks(7) {
            porcelain.read(piece);
        }
        porcelain.finish()
    }

    fn rejected(reason: &str) -> Verdict {
        Verdict::Rejected(reason.to_owned())
    }

    fn remote_rejected(reason: &str) -> Verdict {
        Verdict::RemoteRejected(reason.to_owned())
    }

    #[test]
    fn each_flag_and_summary_of_git_gives_its_verdict() {
        for (flag, summary, verdict) in [
            (" ", "a4bd27a..f05c1fd", Verdict::Updated),
            ("*", "[new branch]", Verdict::Updated),
            ("=", "[up to date]", Verdict::Updated),
            ("!", "[rejected] (non-fast-forward)", rejected("non-fast-forward")),
            ("!", "[rejected] (fetch first)", rejected("fetch first")),
            ("!", "[rejected] (needs force)", rejected("needs force")),
            ("!", "[rejected]", rejected("rejected")),
            (
                "!",
                "[remote rejected] (pre-receive hook declined)",
                remote_rejected("pre-receive hook declined"),
            ),
            (
                "!",
                "[remote rejected] (failed to update ref)",
                remote_rejected("failed to update ref"),
            ),
            (
                "!",
                "[remote rejected] (cannot lock ref 'refs/heads/main': is at a (b))",
                remote_rejected("cannot lock ref 'refs/heads/main': is at a (b)"),
            ),
            ("!", "[remote rejected]", remote_rejected("remote rejected")),
            (
                "!",
                "[remote failure] (remote failed to report status)",
                Verdict::Unreported("remote failed to report status".to_owned()),
            ),
            ("X", "[no match]", rejected("[no match]")),
        ] {
            let output = format!("To /srv/r.git\n{flag}\t{OID}:{MAIN}\t{summary}\nDone\n");
            assert_eq!(read(&output), (vec![verdict], String::new()), "{output}");
        }
    }

    #[test]
    fn a_remote_with_two_urls_has_two_verdicts() {
        let output = format!(
            "To /srv/a\n=\t{OID}:{MAIN}\t[up to date]\nDone\nTo /srv/b\n!\t{OID}:{MAIN}\t[rejected] (fetch first)\nDone\n"
        );
        assert_eq!(read(&output).0, [Verdict::Updated, rejected("fetch first")]);
    }

    #[test]
    fn the_output_of_a_hook_and_lines_about_other_refs_are_no_verdict() {
        let output = format!(
            "checking\r\n*\t{OID}:refs/heads/mainly\t[new branch]\nTo /srv/a\n*\t{OID}:refs/tags/main\t[new tag]\nDone\n"
        );
        let (verdicts, rest) = read(&output);
        assert_eq!(verdicts, []);
        assert!(rest.starts_with("checking\n"), "{rest}");
    }

    #[test]
    fn the_last_line_needs_no_line_end() {
        assert_eq!(
            read(&format!("=\t{OID}:{MAIN}\t[up to date]")).0,
            [Verdict::Updated]
        );
    }

    #[test]
    fn a_flood_is_truncated_and_the_verdict_behind_it_is_found() {
        let mut porcelain = Porcelain::new(oid(), MAIN);
        for _ in 0..100_000 {
            porcelain.read("nöise nöise nöise\n".as_bytes());
        }
        porcelain.read(&vec![b'x'; 1024 * 1024]);
        assert!(porcelain.lines.unfinished.len() <= MAX_LINE);
        porcelain.read(format!("\n \t{OID}:{MAIN}\ta..b\n").as_bytes());
        let (verdicts, rest) = porcelain.finish();
        assert_eq!(verdicts, [Verdict::Updated]);
        assert!(rest.len() <= crate::failure::TAIL_LIMIT);
    }

    #[test]
    fn a_url_that_a_long_line_truncates_is_dropped() {
        let mut porcelain = Porcelain::new(oid(), MAIN);
        let mut line = "noise ".repeat(MAX_LINE);
        line.truncate(MAX_LINE - " https://user:sec".len());
        line.push_str(" https://user:secret@host");
        porcelain.read(line.as_bytes());
        let (_, rest) = porcelain.finish();
        assert!(rest.contains("noise") && !rest.contains("sec"), "{rest}");
    }

    #[test]
    fn refs_are_listed_and_anything_else_is_an_error() {
        let mut list = RefList::default();
        for piece in format!("{OID}\trefs/heads/main\n{OID}\trefs/tags/main\n")
            .as_bytes()
            .chunks(7)
        {
            list.read(piece);
        }
        assert_eq!(
            list.finish().expect("well-formed"),
            [
                (oid(), "refs/heads/main".to_owned()),
                (oid(), "refs/tags/main".to_owned())
            ]
        );
        let mut list = RefList::default();
        list.read(format!("{OID}00\trefs/heads/main\n").as_bytes());
        let problem = list.finish().expect_err("42 digits");
        assert!(problem.contains("expected an object id"), "{problem}");
        assert_eq!(RefList::default().finish().expect("empty"), []);
    }
}
