//! The conditions of `includeIf.<condition>.path`, as git 2.47 knows them.

use std::fs;
use std::path::{Path, PathBuf};

use super::value::Expansion;
use super::wildmatch::{Case, wildmatch};
use crate::loose_ref;

/// Where the repository is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directories<'a> {
    pub(super) common_dir: &'a Path,
    pub(super) git_dir: &'a Path,
}

/// A condition, with what stands behind its keyword.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    /// `gitdir:` and `gitdir/i:`.
    GitDir(&'a str, Case),
    /// `onbranch:`.
    OnBranch(&'a str),
    /// `hasconfig:remote.*.url:`.
    HasRemoteUrl(&'a str),
    /// Any other: git takes it as false.
    Unknown,
}

impl<'a> Condition<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        if let Some(pattern) = text.strip_prefix("gitdir:") {
            Self::GitDir(pattern, Case::Sensitive)
        } else if let Some(pattern) = text.strip_prefix("gitdir/i:") {
            Self::GitDir(pattern, Case::Insensitive)
        } else if let Some(pattern) = text.strip_prefix("onbranch:") {
            Self::OnBranch(pattern)
        } else if let Some(pattern) = text.strip_prefix("hasconfig:remote.*.url:") {
            Self::HasRemoteUrl(pattern)
        } else {
            Self::Unknown
        }
    }
}

/// Whether the repository's directory matches: with symbolic links resolved, or as it was found.
/// `./` in a pattern is the directory of the including `file`; without one (the environment) it never matches.
pub(super) fn git_dir_matches(
    pattern: &str,
    case: Case,
    git_dir: &Path,
    file: Option<&Path>,
    expansion: &Expansion,
) -> bool {
    let expanded = expansion
        .expand_real(pattern)
        .unwrap_or_else(|| PathBuf::from(pattern));
    let expanded = expanded.as_os_str().as_encoded_bytes();
    // What a relative pattern is relative to is compared literally: it may hold characters of a glob.
    let (literal, mut glob) = if expanded.starts_with(b"./") {
        let Some(directory) = file
            .and_then(|file| fs::canonicalize(file).ok())
            .and_then(|file| file.parent().map(Path::to_path_buf))
        else {
            return false;
        };
        let mut literal = directory.into_os_string().into_encoded_bytes();
        literal.push(b'/');
        (literal, expanded[2..].to_vec())
    } else if expanded.starts_with(b"/") {
        (Vec::new(), expanded.to_vec())
    } else {
        (Vec::new(), [b"**/", expanded].concat())
    };
    if glob.is_empty() || glob.ends_with(b"/") {
        glob.extend(b"**");
    }
    [fs::canonicalize(git_dir), std::path::absolute(git_dir)]
        .into_iter()
        .flatten()
        .any(|directory| {
            let text = directory.as_os_str().as_encoded_bytes();
            let Some((start, rest)) = text.split_at_checked(literal.len()) else {
                return false;
            };
            let starts_alike = match case {
                Case::Sensitive => start == literal,
                Case::Insensitive => start.eq_ignore_ascii_case(&literal),
            };
            starts_alike && wildmatch(&glob, rest, case)
        })
}

/// Whether the checked-out branch matches, born or not.
pub(super) fn branch_matches(pattern: &str, directories: Directories<'_>) -> bool {
    let Some(branch) = checked_out_branch(directories) else {
        return false;
    };
    let mut pattern = pattern.as_bytes().to_vec();
    if pattern.ends_with(b"/") {
        pattern.extend(b"**");
    }
    wildmatch(&pattern, branch.as_bytes(), Case::Sensitive)
}

fn checked_out_branch(directories: Directories<'_>) -> Option<String> {
    let target = loose_ref::chain(directories.common_dir, directories.git_dir, "HEAD").pop()?;
    target.strip_prefix("refs/heads/").map(str::to_owned)
}
