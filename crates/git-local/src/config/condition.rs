//! The conditions of `includeIf.<condition>.path` that depend on the repository alone, as git 2.47 knows them.

use std::fs;
use std::path::{Path, PathBuf};

use super::expansion::Expansion;
use super::wildmatch::{Case, wildmatch};
use crate::loose_ref;

/// Where the repository is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directories<'a> {
    pub(super) common_dir: &'a Path,
    pub(super) git_dir: &'a Path,
}

impl Directories<'_> {
    /// Whether a condition in `file` holds. An unknown one never does, as for git.
    pub(super) fn meet(self, condition: &str, file: Option<&Path>, expansion: &Expansion) -> bool {
        if let Some(pattern) = condition.strip_prefix("gitdir:") {
            self.are_in(pattern, Case::Sensitive, file, expansion)
        } else if let Some(pattern) = condition.strip_prefix("gitdir/i:") {
            self.are_in(pattern, Case::Insensitive, file, expansion)
        } else if let Some(pattern) = condition.strip_prefix("onbranch:") {
            let pattern = with_subdirectories(pattern.as_bytes());
            self.checked_out_branch()
                .is_some_and(|branch| wildmatch(&pattern, branch.as_bytes(), Case::Sensitive))
        } else {
            false
        }
    }

    /// Whether the repository's directory matches, with symbolic links resolved or as it was found. `./` in a pattern is
    /// the directory of the including `file`; in the environment it never matches.
    fn are_in(self, pattern: &str, case: Case, file: Option<&Path>, expansion: &Expansion) -> bool {
        let expanded = expansion
            .expand_real(pattern)
            .unwrap_or_else(|| PathBuf::from(pattern));
        let expanded = expanded.as_os_str().as_encoded_bytes();
        // The directory of the file is compared literally: it may hold characters of a glob.
        let (literal, glob) = if let Some(relative) = expanded.strip_prefix(b"./") {
            let Some(Ok(file)) = file.map(fs::canonicalize) else {
                return false;
            };
            let directory = file.parent().unwrap_or(Path::new(""));
            let literal = [directory.as_os_str().as_encoded_bytes(), b"/"].concat();
            (literal, relative.to_vec())
        } else if expanded.starts_with(b"/") {
            (Vec::new(), expanded.to_vec())
        } else {
            (Vec::new(), [b"**/", expanded].concat())
        };
        let glob = if glob.is_empty() {
            b"**".to_vec()
        } else {
            with_subdirectories(&glob)
        };
        [fs::canonicalize(self.git_dir), std::path::absolute(self.git_dir)]
            .into_iter()
            .flatten()
            .any(|directory| {
                let directory = directory.as_os_str().as_encoded_bytes();
                let Some((start, rest)) = directory.split_at_checked(literal.len()) else {
                    return false;
                };
                let starts_alike = match case {
                    Case::Sensitive => start == literal,
                    Case::Insensitive => start.eq_ignore_ascii_case(&literal),
                };
                starts_alike && wildmatch(&glob, rest, case)
            })
    }

    /// The branch of HEAD, which may have no commit yet.
    fn checked_out_branch(self) -> Option<String> {
        let mut target = loose_ref::chain(self.common_dir, self.git_dir, "HEAD").pop()?;
        if target == loose_ref::STUB {
            target = loose_ref::chain_in_tables(self.common_dir, self.git_dir, "HEAD").pop()?;
        }
        target.strip_prefix("refs/heads/").map(str::to_owned)
    }
}

/// A slash at the end of a pattern stands for all that is below.
fn with_subdirectories(pattern: &[u8]) -> Vec<u8> {
    let below: &[u8] = if pattern.ends_with(b"/") { b"**" } else { b"" };
    [pattern, below].concat()
}
