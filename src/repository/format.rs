//! The format of a repository: which versions and extensions git 2.47 takes, and which of them this crate can read.

use std::path::{Path, PathBuf};

use super::open::OpenError;
use super::place::Place;
use crate::config::Config;

/// Extensions that are taken in version 0 too, and mean nothing to a push. `partialClone` is one: what is promised by
/// another repository is not missing.
const ALWAYS: [&str; 4] = ["noop", "preciousobjects", "partialclone", "worktreeconfig"];

/// Extensions that need version 1.
const VERSION_1: [&str; 4] = ["noop-v1", "objectformat", "compatobjectformat", "refstorage"];

/// Extensions of later versions of git that mean nothing to a push.
const LATER: [&str; 2] = ["relativeworktrees", "submodulepathconfig"];

/// What the format leaves to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    /// Whether git keeps no reflogs by itself.
    pub(super) is_bare: bool,
    /// The top of the working tree, where there is one.
    pub(super) work_tree: Option<PathBuf>,
}

impl Format {
    /// Reads it. git asks the repository's own files alone, without what they include.
    pub(super) fn read(place: &Place) -> Result<Self, OpenError> {
        let config = Config::load_file(&place.common_dir.join("config")).map_err(OpenError::Other)?;
        let version = config
            .int("core.repositoryFormatVersion")
            .map_err(OpenError::Other)?
            .filter(|&version| version >= 0);
        let has_worktree_config = match version {
            Some(version) => check(&config, version, place)?,
            None => false,
        };
        let is_linked = place.common_dir != place.git_dir;
        let own = if has_worktree_config {
            Some(Config::load_file(&place.git_dir.join("config.worktree")).map_err(OpenError::Other)?)
        } else {
            None
        };
        // Those of the shared file are the main working tree's.
        let shared = (version.is_some() && (own.is_some() || !is_linked)).then_some(&config);
        let configs = || own.iter().chain(shared);
        let bare = configs()
            .find_map(|config| config.bool("core.bare").transpose())
            .transpose()
            .map_err(OpenError::Other)?;
        let configured = configs().find_map(|config| config.get("core.worktree"));
        let work_tree = match (&place.given_work_tree, configured) {
            (Some(given), _) => Some(given.clone()),
            _ if bare == Some(true) => None,
            (None, Some(configured)) => Some(place.git_dir.join(configured)),
            (None, None) => place.top.clone().or_else(|| above_dot_git(&place.git_dir)),
        };
        Ok(Self {
            is_bare: bare != Some(false) && work_tree.is_none() && !is_linked,
            // One that is gone is no reason not to push.
            work_tree: work_tree.and_then(|work_tree| work_tree.canonicalize().ok()),
        })
    }
}

fn above_dot_git(git_dir: &Path) -> Option<PathBuf> {
    let is_dot_git = git_dir.file_name().is_some_and(|name| name == ".git");
    git_dir.parent().filter(|_| is_dot_git).map(Path::to_owned)
}

/// Refuses what git refuses, and what this crate cannot read; returns whether worktrees have files of their own.
fn check(config: &Config, version: i64, place: &Place) -> Result<bool, OpenError> {
    let at = place.common_dir.display();
    let unsupported = |what: String, advice: &str| OpenError::Unsupported {
        message: format!("the repository at {at} has {what}, which is not supported: {advice}"),
    };
    for entry in config.entries() {
        let Some(extension) = entry.key().strip_prefix("extensions.") else {
            continue;
        };
        let known: Option<&[&str]> = match extension {
            "objectformat" | "compatobjectformat" => Some(&["sha1", "sha256"]),
            "refstorage" => Some(&["files", "reftable"]),
            _ => None,
        };
        if extension == "preciousobjects" || extension == "worktreeconfig" {
            entry.bool().map_err(OpenError::Other)?;
        } else if let Some(known) = known {
            let value = entry.required().map_err(OpenError::Other)?;
            if !known.contains(&value) {
                let expected = known.join(" or ");
                return Err(unsupported(
                    format!("{} = {value}", entry.key()),
                    &format!("git expects {expected}"),
                ));
            }
        } else if extension == "partialclone" {
            entry.required().map_err(OpenError::Other)?;
        }
        let is_known = ALWAYS
            .iter()
            .chain(&VERSION_1)
            .chain(&LATER)
            .any(|known| *known == extension);
        if version >= 1 && !is_known {
            return Err(unsupported(
                format!("the unknown extension {extension}"),
                "use a repository without this extension",
            ));
        }
    }
    if config.get("extensions.objectformat") == Some("sha256") {
        return Err(unsupported(
            "the object format sha256".to_owned(),
            "use a SHA-1 repository (git init --object-format=sha1)",
        ));
    }
    if config.get("extensions.refstorage") == Some("reftable") {
        return Err(unsupported(
            "the ref storage reftable".to_owned(),
            "convert it with git refs migrate --ref-format=files",
        ));
    }
    if version > 1 {
        return Err(unsupported(
            format!("the format version {version}"),
            "git takes 0 and 1",
        ));
    }
    if version == 0
        && let Some(extension) = VERSION_1
            .iter()
            .find(|extension| config.entry(&format!("extensions.{extension}")).is_some())
    {
        return Err(unsupported(
            format!("the extension {extension} with the format version 0"),
            "git takes it with core.repositoryFormatVersion=1",
        ));
    }
    if config.entries_of("extensions.compatobjectformat").count() > 1
        || config.get("extensions.compatobjectformat") == Some("sha1")
    {
        return Err(unsupported(
            "an extension compatObjectFormat that git does not take".to_owned(),
            "name one other format than its own, sha256, once",
        ));
    }
    Ok(config
        .bool("extensions.worktreeConfig")
        .map_err(OpenError::Other)?
        .unwrap_or(false))
}
