//! The files of refs, as git reads them (`parse_loose_ref_contents` in its `refs/files-backend.c`): where they are, what one
//! says, and where symbolic refs lead. `packed-refs` is not read here.

use std::fs;
use std::io;
use std::path::Path;

use git_wire::oid::Oid;

use crate::reftable::{self, Value};

/// The number of files that git reads before it gives up on a chain of symbolic refs (`SYMREF_MAXDEPTH`).
pub(crate) const MAX_DEPTH: usize = 5;

/// The directory of a stack of tables.
pub(crate) const REFTABLE: &str = "reftable";

/// Refs that each worktree has for itself; all others are shared (git-worktree, "REFS").
const PER_WORKTREE: [&str; 3] = ["refs/bisect/", "refs/worktree/", "refs/rewritten/"];

/// The content of a ref's file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LooseRef {
    /// An object id.
    Points(Oid),
    /// The name of another ref, which may be malformed.
    Symbolic(String),
    /// Neither.
    Broken,
}

/// The directory that a ref's name is relative to.
pub(crate) fn base<'a>(common_dir: &'a Path, git_dir: &'a Path, refname: &str) -> &'a Path {
    let is_shared =
        refname.starts_with("refs/") && !PER_WORKTREE.iter().any(|prefix| refname.starts_with(prefix));
    if is_shared { common_dir } else { git_dir }
}

/// What the file `HEAD` of a repository with reftables names, for programs that know only files.
pub(crate) const STUB: &str = "refs/heads/.invalid";

/// The refs that symbolic refs lead through, from `refname` on, by their files alone. A target outside `refs/` ends it.
pub(crate) fn chain(common_dir: &Path, git_dir: &Path, refname: &str) -> Vec<String> {
    follow(refname, |name| {
        match read(&base(common_dir, git_dir, name).join(name)) {
            Ok(Some(LooseRef::Symbolic(target))) => Some(target),
            _ => None,
        }
    })
}

/// The same by tables.
pub(crate) fn chain_in_tables(common_dir: &Path, git_dir: &Path, refname: &str) -> Vec<String> {
    follow(refname, |name| {
        let tables = base(common_dir, git_dir, name).join(REFTABLE);
        match reftable::read(&tables, name) {
            Ok(Some(Value::Symbolic(target))) => Some(target),
            _ => None,
        }
    })
}

fn follow(refname: &str, target_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut names = vec![refname.to_owned()];
    while names.len() <= MAX_DEPTH
        && let Some(target) = target_of(&names[names.len() - 1])
        && is_inside(&target)
    {
        names.push(target);
    }
    names
}

fn is_inside(target: &str) -> bool {
    target.starts_with("refs/") && !target.split('/').any(|part| part == "..")
}

/// Reads the file; `None` where there is none, or a directory.
pub(crate) fn read(path: &Path) -> io::Result<Option<LooseRef>> {
    // The oldest form of a symbolic ref. Any other symbolic link leads to the file to read.
    if let Ok(target) = fs::read_link(path)
        && let Some(target) = target.to_str().filter(|target| is_inside(target))
    {
        return Ok(Some(LooseRef::Symbolic(target.to_owned())));
    }
    match fs::read(path) {
        Ok(content) => Ok(Some(parse(&content))),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn parse(content: &[u8]) -> LooseRef {
    let start = content.iter().take_while(|&&byte| byte != 0).count();
    let content = trim_end(&content[..start]);
    if let Some(target) = content.strip_prefix(b"ref:") {
        let spaces = target.iter().take_while(|&&byte| is_space(byte)).count();
        return match str::from_utf8(&target[spaces..]) {
            Ok(target) if !target.is_empty() => LooseRef::Symbolic(target.to_owned()),
            _ => LooseRef::Broken,
        };
    }
    // As in `FETCH_HEAD`, text may follow the id.
    let id = content.split(|&byte| is_space(byte)).next().unwrap_or_default();
    Oid::from_hex(id).map_or(LooseRef::Broken, LooseRef::Points)
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| !is_space(byte));
    &bytes[..end.map_or(0, |last| last + 1)]
}

/// git's `isspace`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbolic(target: &str) -> LooseRef {
        LooseRef::Symbolic(target.to_owned())
    }

    #[test]
    fn white_space_around_a_name_is_ignored() {
        for (content, expected) in [
            ("ref: refs/heads/main\n", symbolic("refs/heads/main")),
            ("ref:refs/heads/main", symbolic("refs/heads/main")),
            ("ref:   refs/heads/main  \n\n", symbolic("refs/heads/main")),
            ("ref:\t\n refs/heads/main\t\r\n", symbolic("refs/heads/main")),
            ("ref: refs/heads/a b\n", symbolic("refs/heads/a b")),
            ("ref:", LooseRef::Broken),
            ("ref:  \n", LooseRef::Broken),
            ("Ref: refs/heads/main", LooseRef::Broken),
            (" ref: refs/heads/main", LooseRef::Broken),
            ("", LooseRef::Broken),
        ] {
            assert_eq!(parse(content.as_bytes()), expected, "{content:?}");
        }
        assert_eq!(parse(b"ref: refs/heads/\xff\n"), LooseRef::Broken);
    }

    #[test]
    fn an_id_ends_at_white_space_or_the_end_of_the_file() {
        let oid = Oid::sha1([0xab; 20]);
        for (behind, is_whole) in [
            ("", true),
            ("\n", true),
            (" \r\n\n", true),
            ("\tnot-for-merge", true),
            ("0", false),
        ] {
            let expected = if is_whole {
                LooseRef::Points(oid)
            } else {
                LooseRef::Broken
            };
            let content = format!("{oid}{behind}");
            assert_eq!(parse(content.as_bytes()), expected, "{content:?}");
            assert_eq!(parse(content.to_ascii_uppercase().as_bytes()), expected);
        }
        assert_eq!(parse(&oid.to_string().as_bytes()[1..]), LooseRef::Broken);
    }

    #[test]
    fn a_directory_or_a_missing_file_is_no_ref() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("file");
        fs::write(&file, "ref: refs/heads/main").expect("writes");
        for path in [
            directory.path().to_owned(),
            directory.path().join("none"),
            file.join("below"),
        ] {
            assert_eq!(read(&path).expect("no failure"), None, "{}", path.display());
        }
        assert_eq!(read(&file).expect("readable"), Some(symbolic("refs/heads/main")));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_refs_name_is_symbolic_and_any_other_link_is_followed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let link = |name: &str, target: &str| {
            let path = directory.path().join(name);
            std::os::unix::fs::symlink(target, &path).expect("links");
            read(&path).expect("readable")
        };
        fs::write(directory.path().join("file"), "ref: refs/heads/a").expect("writes");
        assert_eq!(link("HEAD", "refs/heads/main"), Some(symbolic("refs/heads/main")));
        assert_eq!(link("other", "file"), Some(symbolic("refs/heads/a")));
        assert_eq!(link("outside", "refs/../file2"), None);
    }

    #[test]
    fn a_chain_ends_at_a_circle_and_at_a_target_outside_refs() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        fs::create_dir_all(root.join("refs/heads")).expect("creates");
        for (main, other, expected) in [
            ("refs/heads/other", "", 2),
            ("refs/heads/other", "refs/heads/main", MAX_DEPTH + 1),
            ("/etc/passwd", "", 1),
            ("refs/../../etc/passwd", "", 1),
            ("", "", 1),
        ] {
            for (name, target) in [("main", main), ("other", other)] {
                fs::write(root.join("refs/heads").join(name), format!("ref: {target}")).expect("writes");
            }
            assert_eq!(chain(root, root, "refs/heads/main").len(), expected, "{main}");
        }
    }
}
