//! The format of a repository: which versions and extensions git 2.47 accepts, and which of them this crate can read.

use std::path::PathBuf;

use git_wire::oid::ObjectFormat;

use super::open::OpenError;
use super::place::Place;
use crate::config::Config;

/// How a repository stores its refs (`extensions.refStorage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefFormat {
    /// A file for each ref, and `packed-refs`.
    #[default]
    Files,
    /// A stack of sorted tables.
    Reftable,
}

impl RefFormat {
    /// git's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Reftable => "reftable",
        }
    }
}

/// The formats of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats {
    /// The hash of its object ids.
    pub objects: ObjectFormat,
    /// The storage of its refs.
    pub refs: RefFormat,
}

/// The values that an extension takes.
#[derive(Clone, Copy)]
enum Values {
    Any,
    Bool,
    NotEmpty,
    /// One of two names.
    Names([&'static str; 2]),
}

/// The known extensions: the least version of the format that git requires for each, and its values. The last two are of
/// later versions of git. Of a `partialClone`, an object that another repository has promised is not missing.
const EXTENSIONS: [(&str, i64, Values); 10] = [
    ("noop", 0, Values::Any),
    ("noop-v1", 1, Values::Any),
    ("preciousobjects", 0, Values::Bool),
    ("worktreeconfig", 0, Values::Bool),
    ("partialclone", 0, Values::NotEmpty),
    ("objectformat", 1, Values::Names(["sha1", "sha256"])),
    ("compatobjectformat", 1, Values::Names(["sha1", "sha256"])),
    ("refstorage", 1, Values::Names(["files", "reftable"])),
    ("relativeworktrees", 0, Values::Any),
    ("submodulepathconfig", 0, Values::Any),
];

/// What follows from the configuration of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    /// Whether git keeps no reflogs by default.
    pub(super) is_bare: bool,
    /// The top of the working tree, if there is one.
    pub(super) work_tree: Option<PathBuf>,
    pub(super) formats: Formats,
}

impl Format {
    /// Reads the repository's own configuration files, without their includes, as git does.
    pub(super) fn read(place: &Place) -> Result<Self, OpenError> {
        let config = Config::load_file(&place.common_dir.join("config"))?;
        let version = config
            .int("core.repositoryFormatVersion")?
            .filter(|&version| version >= 0);
        if let Some(version) = version {
            check(&config, version, place)?;
        }
        let is_linked = place.common_dir != place.git_dir;
        let has_own_config = version.is_some() && config.bool("extensions.worktreeConfig")?.unwrap_or(false);
        let own = if has_own_config {
            Some(Config::load_file(&place.git_dir.join("config.worktree"))?)
        } else {
            None
        };
        // The settings of the shared file are those of the main working tree.
        let shared = (version.is_some() && (own.is_some() || !is_linked)).then_some(&config);
        let configs = || own.iter().chain(shared);
        let bare = configs()
            .find_map(|config| config.bool("core.bare").transpose())
            .transpose()?;
        let configured = configs().find_map(|config| config.get("core.worktree"));
        let is_dot_git = place.git_dir.file_name().is_some_and(|name| name == ".git");
        let above = place.git_dir.parent().filter(|_| is_dot_git);
        let work_tree = match (&place.given_work_tree, configured) {
            (Some(given), _) => Some(given.clone()),
            _ if bare == Some(true) => None,
            (None, Some(configured)) => Some(place.git_dir.join(configured)),
            (None, None) => place.top().or(above).map(ToOwned::to_owned),
        };
        let extension = |name: &str| extension(&config, name).filter(|_| version.is_some());
        Ok(Self {
            is_bare: bare != Some(false) && work_tree.is_none() && !is_linked,
            // A push needs no working tree, so a missing one is no error.
            work_tree: work_tree.and_then(|work_tree| work_tree.canonicalize().ok()),
            // `check` has refused any other name.
            formats: Formats {
                objects: extension("objectFormat")
                    .and_then(ObjectFormat::from_name)
                    .unwrap_or(ObjectFormat::Sha1),
                refs: match extension("refStorage") {
                    Some("reftable") => RefFormat::Reftable,
                    _ => RefFormat::Files,
                },
            },
        })
    }
}

fn extension<'c>(config: &'c Config, name: &str) -> Option<&'c str> {
    config.get(&format!("extensions.{name}"))
}

/// Refuses what git refuses, and what this crate cannot read.
fn check(config: &Config, version: i64, place: &Place) -> Result<(), OpenError> {
    let unsupported = |what: String, advice: &str| {
        let at = place.common_dir.display();
        Err(OpenError::Unsupported(format!(
            "the repository at {at} has {what}, which is not supported: {advice}"
        )))
    };
    for entry in config.entries() {
        let Some(extension) = entry.key().strip_prefix("extensions.") else {
            continue;
        };
        let known = EXTENSIONS.iter().find(|(name, ..)| *name == extension);
        match known.map(|&(_, _, values)| values) {
            Some(Values::Any) => {}
            Some(Values::Bool) => drop(entry.bool()?),
            Some(Values::NotEmpty) => drop(entry.required()?),
            Some(Values::Names(names)) => {
                let value = entry.required()?;
                if !names.contains(&value) {
                    let advice = format!("git expects {}", names.join(" or "));
                    return unsupported(format!("{} = {value}", entry.key()), &advice);
                }
            }
            None if version == 0 => {}
            None => {
                return unsupported(
                    format!("the unknown extension {extension}"),
                    "use a repository without this extension",
                );
            }
        }
    }
    let is_set = |extension: &str| config.entry(&format!("extensions.{extension}")).is_some();
    if version > 1 {
        return unsupported(format!("the format version {version}"), "git accepts 0 and 1");
    }
    let too_new = EXTENSIONS
        .iter()
        .find(|&&(name, since, _)| since > version && is_set(name));
    if let Some((name, since, _)) = too_new {
        return unsupported(
            format!("the extension {name} with the format version {version}"),
            &format!("git requires core.repositoryFormatVersion={since} for it"),
        );
    }
    if config.entries_of("extensions.compatobjectformat").count() > 1
        || extension(config, "compatobjectformat") == Some("sha1")
    {
        return unsupported(
            "an invalid extensions.compatObjectFormat".to_owned(),
            "set it once, to sha256",
        );
    }
    Ok(())
}
