//! git's output is read alike however a pipe splits it, and counts as a success only if a line reports one for the pushed ref.

use git_wire::oid::Oid;
use push_engine::transport::{Porcelain, RefList, Verdict};

const OID: &str = "f05c1fddb5df251a67718e455bd942db0c101830";
const REFNAME: &str = "refs/heads/main";

/// Longer lines are truncated.
const MAX_LINE: usize = 16 * 1024;

/// The input is git's output.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let (verdicts, rest) = push(input, usize::MAX);
    for piece in [1, 7] {
        assert_eq!(push(input, piece), (verdicts.clone(), rest.clone()));
    }
    assert!(rest.len() <= 8 * 1024);
    let updates = |verdicts: &[Verdict]| {
        verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Updated)
            .count()
    };
    assert_eq!(
        updates(&verdicts),
        updates_by_specification(input),
        "{verdicts:?}"
    );

    let printed: Vec<String> = verdicts.iter().map(printed).collect();
    if printed.iter().all(|line| line.len() < MAX_LINE) {
        assert_eq!(push(printed.concat().as_bytes(), usize::MAX).0, verdicts);
    }

    let refs = list(input, usize::MAX);
    for piece in [1, 7] {
        assert_eq!(list(input, piece), refs);
    }
    match refs {
        Ok(refs) => {
            let lines: Vec<String> = refs
                .iter()
                .map(|(oid, name)| format!("{oid}\t{name}\n"))
                .collect();
            let is_faithful = lines
                .iter()
                .all(|line| line.len() < MAX_LINE && !line.ends_with("\r\n"));
            if is_faithful {
                assert_eq!(list(lines.concat().as_bytes(), usize::MAX), Ok(refs));
            }
        }
        Err(problem) => assert!(problem.len() < 2000, "{problem}"),
    }
}

fn push(output: &[u8], piece: usize) -> (Vec<Verdict>, String) {
    let mut porcelain = Porcelain::new(OID.parse().expect("40 digits"), REFNAME);
    for piece in output.chunks(piece) {
        porcelain.read(piece);
    }
    porcelain.finish()
}

fn list(output: &[u8], piece: usize) -> Result<Vec<(Oid, String)>, String> {
    let mut list = RefList::default();
    for piece in output.chunks(piece) {
        list.read(piece);
    }
    list.finish()
}

/// The line that git prints: `git-push(1)`, OUTPUT.
fn printed(verdict: &Verdict) -> String {
    let (flag, summary) = match verdict {
        Verdict::Updated => (' ', "a4bd27a..f05c1fd".to_owned()),
        Verdict::Rejected(reason) => ('!', format!("[rejected] ({reason})")),
        Verdict::RemoteRejected(reason) => ('!', format!("[remote rejected] ({reason})")),
        Verdict::Unreported(reason) => ('!', format!("[remote failure] ({reason})")),
    };
    format!("{flag}\t{OID}:{REFNAME}\t{summary}\n")
}

/// The number of lines about the pushed ref whose flag means that it has the new value.
fn updates_by_specification(output: &[u8]) -> usize {
    let subjects = [format!("{OID}:{REFNAME}"), format!(":{REFNAME}")];
    output
        .split(|&byte| byte == b'\n')
        .filter(|line| {
            let line = &line[..line.len().min(MAX_LINE)];
            let mut fields = line.splitn(3, |&byte| byte == b'\t');
            let flag = fields.next().unwrap_or_default();
            let subject = fields.next().unwrap_or_default();
            [&b" "[..], b"*", b"=", b"+"].contains(&flag)
                && subjects.iter().any(|expected| expected.as_bytes() == subject)
                && fields.next().is_some()
        })
        .count()
}
