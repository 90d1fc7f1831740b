//! What happens to the files of a clone before it is put in place.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::RestoreError;
use super::site::names_in;
use crate::failure::{Failure, Kind};

/// Replaces the URL that git was given to hide the real one by that, in the configuration of a clone.
pub(super) fn replace_url(clone: &Path, written: &str, url: &str) -> Result<(), RestoreError> {
    let file = clone.join("config");
    let replacing = || {
        let config = String::from_utf8(fs::read(&file)?).map_err(io::Error::other)?;
        let line = format!("\turl = {written}\n");
        if !config.contains(&line) {
            return Err(io::Error::other("git has not written the URL of the remote"));
        }
        fs::write(
            &file,
            config.replace(&line, &format!("\turl = {}\n", quoted(url))),
        )
    };
    replacing().map_err(|error| unwritable(&file, &error))
}

/// A value as git's configuration quotes it.
fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes a clone through to the disk: after a power loss, a repository that is in place must not have empty files.
pub(super) fn flush(clone: &Path) -> Result<(), RestoreError> {
    flush_directory(clone).map_err(|error| unwritable(clone, &error))
}

/// A directory without a new file is not written through: its name is in its parent, and git makes what it lacks.
fn flush_directory(directory: &Path) -> io::Result<()> {
    let mut has_files = false;
    for name in names_in(directory)? {
        // A repository does not need the samples and descriptions of git's template.
        if ["hooks", "info", "description"]
            .iter()
            .any(|unneeded| name == *unneeded)
        {
            continue;
        }
        let path = directory.join(name);
        let metadata = path.symlink_metadata()?;
        if metadata.is_dir() {
            flush_directory(&path)?;
        } else if metadata.is_file() && !is_shared(&metadata) {
            File::open(&path)?.sync_all()?;
            has_files = true;
        }
    }
    if has_files {
        sync_directory(directory)?;
    }
    Ok(())
}

/// Whether a file is linked to another repository, where it was before.
#[cfg(unix)]
fn is_shared(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) > 1
}

#[cfg(not(unix))]
fn is_shared(_metadata: &fs::Metadata) -> bool {
    false
}

/// Writes the names in a directory through to the disk. Some file systems cannot, and need not.
#[cfg(unix)]
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Something could not be written.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> RestoreError {
    let message = format!("writing {}: {error}", path.display());
    RestoreError::Failed(Failure::new(Kind::Local, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_in_the_configuration_is_the_real_one() {
        let clone = tempfile::tempdir().expect("a directory");
        let file = clone.path().join("config");
        let config = "[remote \"origin\"]\n\tfetch = a\n\turl = x:y\n[core]\n\tbare = true\n";
        fs::write(&file, config).expect("written");
        replace_url(clone.path(), "x:y", "https://u:p\"\\#@h/r").expect("replaced");
        let replaced = fs::read_to_string(&file).expect("readable");
        assert_eq!(replaced, config.replace("x:y", r#""https://u:p\"\\#@h/r""#));
        replace_url(clone.path(), "x:y", "z").expect_err("it is no longer there");
    }
}
