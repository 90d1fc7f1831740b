//! Random histories: instructions read from a fuzzer's input, or from random bytes.

use std::fmt::Write;

use arbitrary::Unstructured;
use git2::{FileMode, ObjectType, Oid};

use super::store::id_length;
use super::{Dir, Node, Store};

/// Names whose order differs between files and directories.
const NAMES: [&str; 7] = ["a", "a.b", "a-b", "a0", "b", "c", "ä"];

/// The date of the first commits. Roots with different dates differ.
const FIRST_SECOND: i64 = 1_700_000_000;

/// The size from which on a delta only compares the ends of a file.
const LARGE: usize = 70_000;

/// Whether all commits have the headers that git writes, or some have those of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    /// Headers that `git fsck --strict` accepts.
    Valid,
    /// Authors without addresses or dates, unknown headers, no message.
    Odd,
}

/// A growing history.
#[derive(Debug)]
pub struct History<'s> {
    store: &'s Store,
    headers: Headers,
    /// The commits with their files, oldest first.
    pub commits: Vec<(Oid, Dir)>,
}

impl<'s> History<'s> {
    /// Makes an empty history.
    #[must_use]
    pub fn new(store: &'s Store, headers: Headers) -> Self {
        Self {
            store,
            headers,
            commits: Vec::new(),
        }
    }

    /// Adds a commit: a root, a merge, an octopus, a revert, or most often a few edits to the last one.
    pub fn commit(&mut self, input: &mut Unstructured<'_>) {
        let count = self.commits.len();
        let parent_count = match up_to(input, 19) {
            0..=14 => 1,
            15..=17 => 2,
            18 => 4,
            _ => 0,
        };
        let mut parents: Vec<Oid> = Vec::new();
        let mut files = Dir::default();
        for _ in 0..parent_count.min(count) {
            let recent = if up_to(input, 3) == 3 { count } else { count.min(3) };
            let (oid, parent_files) = &self.commits[count - 1 - up_to(input, recent - 1)];
            if parents.contains(oid) {
                continue;
            }
            for (name, node) in &parent_files.0 {
                if !files.0.contains_key(name) || up_to(input, 1) == 1 {
                    files.0.insert(name.clone(), node.clone());
                }
            }
            parents.push(*oid);
        }
        if count > 0 && up_to(input, 7) == 7 {
            // A revert to some earlier state.
            files = self.commits[up_to(input, count - 1)].1.clone();
        }
        for _ in 0..up_to(input, 3) {
            self.edit(&mut files, input);
        }
        let seconds = if up_to(input, 4) == 4 {
            input.int_in_range(0..=2_000_000_000).unwrap_or_default()
        } else {
            FIRST_SECOND + i64::try_from(count / 3).expect("few")
        };
        let tree = files.write(self.store);
        let oid = self
            .store
            .write(ObjectType::Commit, &self.text(input, tree, &parents, seconds));
        self.commits.push((oid, files));
    }

    /// The content of a commit object.
    fn text(&self, input: &mut Unstructured<'_>, tree: Oid, parents: &[Oid], seconds: i64) -> Vec<u8> {
        let mut text = format!("tree {tree}\n");
        for parent in parents {
            writeln!(text, "parent {parent}").expect("a String takes everything");
        }
        let signature = format!("A <a@example.org> {seconds} +0000");
        let message = format!("\ncommit {}\n", self.commits.len());
        let oddity = match self.headers {
            Headers::Valid => 0,
            Headers::Odd => up_to(input, 15),
        };
        let rest = match oddity {
            1 => format!("author A {seconds} +0000\ncommitter {signature}\n{message}"),
            2 => format!("author A <a@example.org>\ncommitter {signature}\n{message}"),
            3 => format!("author\ncommitter {signature}\n{message}"),
            4 => format!("committer {signature}\n{message}"),
            5 => format!("author {signature}\n{message}"),
            6 => message,
            7 => format!(
                "author {signature}\ncommitter A <a@example.org> 99999999999999999999 +0000\n{message}"
            ),
            8 => format!("author A <a <b> c>> {seconds} x\ncommitter <> -{seconds} -9999\n{message}"),
            9 => format!("author {signature}\ncommitter {signature}\nencoding latin-1\n\n\u{0}\n"),
            10 => format!(
                "author {signature}\ncommitter {signature}\ngpgsig -----BEGIN\n parent {tree}\n tree {tree}\n -----END\n{message}"
            ),
            11 => format!("author {signature}\ncommitter {signature}\n"),
            12 => format!("author {signature}\ncommitter {signature}"),
            13 => format!("author {signature}\nauthor {signature}\ncommitter {signature}\nx\n{message}"),
            14 => format!("author \ncommitter \n{message}"),
            _ => format!("author {signature}\ncommitter {signature}\n{message}"),
        };
        text.push_str(&rest);
        text.into_bytes()
    }

    fn edit(&self, files: &mut Dir, input: &mut Unstructured<'_>) {
        let path = path(input);
        match up_to(input, 12) {
            0..=2 => {
                // One of a few contents, so that contents repeat.
                let content = lines(up_to(input, 4), 12);
                files.set(&path, self.file(content.as_bytes()));
            }
            3..=5 => {
                let old = match files.get(&path) {
                    Some(&Node::File(oid, _)) => self.store.get(oid),
                    _ => None,
                };
                let old = old.as_ref().map_or(&[][..], |old| &old.content);
                let content = edited(old, input);
                files.set(&path, self.file(&content));
            }
            6 => {
                files.remove(&path);
            }
            7 => {
                if let Some(node) = files.remove(&path) {
                    files.set(&self::path(input), node);
                }
            }
            8 => {
                if let Some(node) = files.get(&path).cloned() {
                    files.set(&self::path(input), node);
                }
            }
            9 => {
                if let Some(&Node::File(oid, _)) = files.get(&path) {
                    let mode = match up_to(input, 1) {
                        0 => FileMode::BlobExecutable,
                        _ => FileMode::Blob,
                    };
                    files.set(&path, Node::File(oid, mode));
                }
            }
            10 => {
                let digit = (1 + up_to(input, 2)).to_string();
                let elsewhere =
                    Oid::from_str_ext(&digit.repeat(2 * id_length(self.store.format)), self.store.format)
                        .expect("an id");
                files.set(&path, Node::Link(elsewhere));
            }
            11 => files.set(&path, Node::Dir(Dir::default())),
            _ if up_to(input, 7) < 7 => files.set(&path, self.file(b"")),
            _ => {
                let mut content = lines(9, LARGE / 43);
                // One line differs, at a random place.
                let at = up_to(input, 15) * (content.len() / 16);
                content.insert_str(at, &lines(up_to(input, 3), 1));
                files.set(&path, self.file(content.as_bytes()));
            }
        }
    }

    fn file(&self, content: &[u8]) -> Node {
        Node::File(self.store.write(ObjectType::Blob, content), FileMode::Blob)
    }
}

/// A number from the input; zero once the input is used up.
pub(super) fn up_to(input: &mut Unstructured<'_>, limit: usize) -> usize {
    input.int_in_range(0..=limit).unwrap_or(0)
}

fn path(input: &mut Unstructured<'_>) -> String {
    let depth = 1 + up_to(input, 2);
    let names: Vec<_> = (0..depth).map(|_| NAMES[up_to(input, NAMES.len() - 1)]).collect();
    names.join("/")
}

/// Lines that compress badly and depend on the seed.
fn lines(seed: usize, count: usize) -> String {
    let mut state = u128::try_from(seed).expect("small") << 1 | 1;
    let mut lines = String::new();
    for line in 0..count {
        // A multiplicative generator: its high half is random enough that deflate cannot compress it.
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5_3f8f_7bd5_9f4a_7c15);
        writeln!(lines, "line {line}: {:032x}", state ^ (state >> 64)).expect("a String takes everything");
    }
    lines
}

fn edited(old: &[u8], input: &mut Unstructured<'_>) -> Vec<u8> {
    let from = up_to(input, old.len());
    let to = from + up_to(input, (old.len() - from).min(200));
    let added = lines(10 + up_to(input, 255), up_to(input, 9));
    [&old[..from], added.as_bytes(), &old[to..]].concat()
}
