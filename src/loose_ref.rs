//! A ref's own file, as git reads it (`parse_loose_ref_contents` in its `refs/files-backend.c`).

use std::fs;
use std::io;
use std::path::Path;

use crate::oid::Oid;

/// How many files git reads until it gives a chain of symbolic refs up (`SYMREF_MAXDEPTH`).
pub(crate) const MAX_DEPTH: usize = 5;

/// What a ref's file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LooseRef {
    /// It points to an object.
    Points(Oid),
    /// It stands for the ref of this name, which may be malformed.
    Symbolic(String),
    /// Neither.
    Broken,
}

/// Reads the file; `None` where there is none, such as where there is a directory.
pub(crate) fn read(path: &Path) -> io::Result<Option<LooseRef>> {
    // The oldest form of a symbolic ref. Any other symbolic link leads to the file to read.
    if let Ok(target) = fs::read_link(path)
        && let Some(target) = target.to_str()
        && target.starts_with("refs/")
        && !target.split('/').any(|part| part == "..")
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
    // Like `FETCH_HEAD`, it may say more behind the id.
    let (id, rest) = content.split_at(content.len().min(Oid::HEX_LENGTH));
    match Oid::from_hex(id) {
        Some(oid) if rest.first().is_none_or(|&byte| is_space(byte)) => LooseRef::Points(oid),
        _ => LooseRef::Broken,
    }
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
    fn white_space_counts_only_within_a_name() {
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
    fn an_id_ends_where_the_file_or_the_word_does() {
        let oid = Oid::from_bytes([0xab; 20]);
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
    fn what_is_no_file_is_no_ref() {
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
    fn a_link_to_a_name_of_a_ref_is_symbolic_and_any_other_is_followed() {
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
}
