//! Reads refs from reftables, the binary format that git can keep refs in instead of files (`extensions.refStorage`).
//!
//! A directory has a stack of tables, which `tables.list` names from the oldest to the newest. A newer table overrides older
//! ones. Tables never change: a writer adds one, or replaces some by one, and then replaces the list. git describes the
//! format in its `Documentation/technical/reftable`.
//!
//! This module writes nothing, and reads neither logs nor the map from objects to refs. It keeps nothing between two lookups:
//! each takes 10 to 25 µs for a table, even of 100,000 refs, and git keeps few tables.

mod block;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

pub use self::table::Table;

/// Other programs than git may fill a list or a table slowly. One that stays unreadable for longer than all of these waits
/// is corrupt.
const ATTEMPTS: u32 = 1000;
const WAIT: Duration = Duration::from_millis(1);

/// The list of the tables of a stack.
pub(crate) const LIST: &str = "tables.list";

const MAX_LIST_LENGTH: u64 = 1 << 24;

/// The value of a ref, not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The id of an object: 20 bytes, or 32 for SHA-256.
    Id(Vec<u8>),
    /// The name of another ref, which may be malformed.
    Symbolic(String),
}

/// What a table says about a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The ref was deleted: older tables do not count.
    Deletion,
    /// The ref has this value.
    Value(Value),
}

/// Reads one ref from the stack of tables in a directory, the `reftable` of a repository or a linked worktree. `None` if
/// there is no such ref.
///
/// The value is one that was current during the call, whatever other processes do meanwhile.
///
/// # Errors
///
/// Fails if the list or a table is unreadable, or corrupt after waiting for a writer to finish.
pub fn read(directory: &Path, refname: &str) -> io::Result<Option<Value>> {
    once_whole(|| read_once(directory, refname))
}

/// Repeats a read while it fails. Mostly a table has disappeared, because its stack was compacted; then the list has changed.
fn once_whole<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..ATTEMPTS {
        if let Ok(value) = read() {
            return Ok(value);
        }
        thread::sleep(WAIT);
    }
    read()
}

fn read_once(directory: &Path, refname: &str) -> io::Result<Option<Value>> {
    let list = directory.join(LIST);
    let names = match read_list(&list) {
        // git, too, takes a stack without a list for empty.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names.map_err(in_file(&list))?,
    };
    for name in names.split('\n').rev().filter(|name| !name.is_empty()) {
        let path = directory.join(name);
        if path.file_name() != Some(name.as_ref()) {
            return Err(malformed("a line is not the name of a table")).map_err(in_file(&list));
        }
        let table = File::open(&path).and_then(Table::open);
        let record = table.and_then(|mut table| table.find(refname.as_bytes()));
        match record.map_err(in_file(&path))? {
            None => {}
            Some(Record::Deletion) => return Ok(None),
            Some(Record::Value(value)) => return Ok(Some(value)),
        }
    }
    Ok(None)
}

fn read_list(path: &Path) -> io::Result<String> {
    let mut names = String::new();
    let mut file = File::open(path)?.take(MAX_LIST_LENGTH + 1);
    if file.read_to_string(&mut names)? as u64 > MAX_LIST_LENGTH {
        return Err(malformed("it is too long for a list of tables"));
    }
    Ok(names)
}

fn malformed(problem: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.to_string())
}

/// Adds the file to an error.
fn in_file(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
