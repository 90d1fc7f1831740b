//! Where the value of a ref can change, for a watcher of files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::loose_ref::{self, REFTABLE};
use crate::reftable;

/// The places that can change the value of a ref, each a name in a directory, parents first. Symbolic refs bring the
/// places of their target.
#[must_use]
pub fn places_of_ref(common_dir: &Path, git_dir: &Path, refname: &str) -> Vec<(PathBuf, OsString)> {
    // The configuration says in which format the refs are, and `git refs migrate` writes it last.
    let mut places: Vec<(PathBuf, OsString)> = ["packed-refs", "config", REFTABLE]
        .map(|name| (common_dir.to_owned(), name.into()))
        .into();
    places.push((common_dir.join(REFTABLE), reftable::LIST.into()));
    for name in loose_ref::chain(common_dir, git_dir, refname) {
        let mut path = loose_ref::base(common_dir, git_dir, &name).to_owned();
        for component in name.split('/') {
            places.push((path.clone(), component.into()));
            path.push(component);
        }
    }
    if git_dir != common_dir {
        places.push((git_dir.to_owned(), REFTABLE.into()));
        places.push((git_dir.join(REFTABLE), reftable::LIST.into()));
    }
    places
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn listed(root: &Path, places: Vec<(PathBuf, OsString)>) -> Vec<String> {
        let paths = places.into_iter().map(|(directory, name)| directory.join(name));
        paths
            .map(|path| path.strip_prefix(root).expect("below").display().to_string())
            .collect()
    }

    #[test]
    fn the_places_lead_from_the_repository_to_the_ref() {
        let root = Path::new("/r");
        let places = places_of_ref(root, &root.join("worktrees/w"), "refs/heads/a/b");
        assert_eq!(
            listed(root, places),
            [
                "packed-refs",
                "config",
                "reftable",
                "reftable/tables.list",
                "refs",
                "refs/heads",
                "refs/heads/a",
                "refs/heads/a/b",
                "worktrees/w/reftable",
                "worktrees/w/reftable/tables.list",
            ]
        );
    }

    #[test]
    fn a_symbolic_ref_brings_the_places_of_its_target() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        for (file, content) in [
            ("r/refs/heads/alias", "ref: refs/heads/a/b\n"),
            ("r/refs/heads/a/b", "ref: refs/worktree/x\n"),
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().expect("has a parent")).expect("creates");
            fs::write(file, content).expect("writes");
        }
        let places = listed(
            root,
            places_of_ref(&root.join("r"), &root.join("w"), "refs/heads/alias"),
        );
        for expected in ["r/refs/heads/alias", "r/refs/heads/a/b", "w/refs/worktree/x"] {
            assert!(places.iter().any(|place| place == expected), "{places:?}");
        }
    }
}
