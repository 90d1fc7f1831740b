//! The boundary of a shallow clone.

use std::fs;
use std::io;
use std::path::Path;

use git_wire::oid::Oid;

use super::Repository;
use crate::LocalError;

/// Reads the commits whose parents a shallow clone lacks: the `shallow` file of its common directory, which few repositories
/// have.
///
/// # Errors
///
/// If the file exists and cannot be read, or a line is not an object id.
pub(crate) fn shallow_commits(common_dir: &Path) -> Result<Vec<Oid>, LocalError> {
    let path = common_dir.join("shallow");
    let unreadable = |problem: &str| LocalError::new(format!("reading {}: {problem}", path.display()));
    let content = match fs::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&error.to_string())),
    };
    content
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| Oid::from_hex(line).ok_or_else(|| unreadable("a line is not an object id")))
        .collect()
}

impl Repository {
    /// Reads the commits whose parents this repository lacks if it is a shallow clone.
    ///
    /// # Errors
    ///
    /// If the file that names them exists and cannot be read, or a line is not an object id.
    pub fn shallow_commits(&self) -> Result<Vec<Oid>, LocalError> {
        shallow_commits(self.common_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_file_is_an_error() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let common_dir = directory.path();
        assert_eq!(shallow_commits(common_dir).expect("there is none"), []);

        let oid = Oid::sha1([7; 20]);
        fs::write(common_dir.join("shallow"), format!("{oid}\r\n\n")).expect("writes");
        assert_eq!(shallow_commits(common_dir).expect("readable"), [oid]);

        for content in ["0123\n", &format!("{oid} {oid}\n")] {
            fs::write(common_dir.join("shallow"), content).expect("writes");
            let failure = shallow_commits(common_dir).expect_err(content);
            assert!(failure.message().contains("not an object id"), "{failure}");
        }
        fs::remove_file(common_dir.join("shallow")).expect("removes");
        fs::create_dir(common_dir.join("shallow")).expect("creates");
        assert!(shallow_commits(common_dir).is_err());
    }
}
