//! Refs that the git command has written, read side by side with it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::loose_ref;
use crate::repository::testing::Sandbox;

const FORMATS: [&str; 2] = ["sha1", "sha256"];

/// A repository on the unborn branch `main`.
fn init(sandbox: &Sandbox, object_format: &str) -> PathBuf {
    let work = sandbox.path(object_format);
    let object_format = format!("--object-format={object_format}");
    let arguments = ["init", "-q", "--ref-format=reftable", "--initial-branch=main"];
    sandbox.git(
        &sandbox.path(""),
        &[&arguments[..], &[&object_format, work.to_str().expect("UTF-8")]].concat(),
    );
    work
}

/// Makes an empty commit; returns its id.
fn commit(sandbox: &Sandbox, work: &Path) -> String {
    sandbox.git(work, &["commit", "-q", "--allow-empty", "-m", "message"]);
    sandbox.git(work, &["rev-parse", "HEAD"])
}

fn id(hex: &str) -> Value {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    Value::Id(digits.map(byte).collect())
}

fn symbolic(target: &str) -> Value {
    Value::Symbolic(target.to_owned())
}

/// Reads a ref of the worktree with this git directory.
fn read_in(git_dir: &Path, refname: &str) -> Option<Value> {
    let common_dir = match git_dir.parent() {
        Some(worktrees) if worktrees.ends_with("worktrees") => worktrees.parent().expect("has a parent"),
        _ => git_dir,
    };
    let base = loose_ref::base(common_dir, git_dir, refname);
    read(&base.join("reftable"), refname).expect("readable")
}

/// Compares all refs that git shows with what is read here; returns them.
fn compare(sandbox: &Sandbox, work: &Path) -> BTreeMap<String, Value> {
    let git_dir = sandbox.git(work, &["rev-parse", "--absolute-git-dir"]);
    let format = "--format=%(refname) %(objectname) %(symref)";
    let shown = sandbox.git(work, &["for-each-ref", "--include-root-refs", format]);
    let refs = shown.lines().map(|line| {
        let mut fields = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        let (name, hex, target) = (next(), next(), next());
        let value = if target.is_empty() {
            id(&hex)
        } else {
            Value::Symbolic(target)
        };
        (name, value)
    });
    let refs: BTreeMap<_, _> = refs.collect();
    for (name, value) in &refs {
        assert_eq!(read_in(git_dir.as_ref(), name).as_ref(), Some(value), "{name}");
        let (shorter, longer) = (&name[..name.len() - 1], format!("{name}0"));
        for other in [shorter, &longer] {
            if name.is_ascii() {
                assert_eq!(
                    read_in(git_dir.as_ref(), other).as_ref(),
                    refs.get(other),
                    "{other}"
                );
            }
        }
    }
    for absent in ["", "A", "refs", "refs/heads", "refs/heads/", "refs/zzz", "zzz"] {
        assert_eq!(read_in(git_dir.as_ref(), absent), None, "{absent}");
    }
    refs
}

fn tables(work: &Path) -> Vec<PathBuf> {
    let directory = work.join(".git/reftable");
    let list = fs::read_to_string(directory.join("tables.list")).expect("a list");
    list.lines().map(|name| directory.join(name)).collect()
}

#[test]
fn every_sha1_ref_that_git_shows_reads_the_same() {
    reads_what_git_shows("sha1");
}

#[test]
fn every_sha256_ref_that_git_shows_reads_the_same() {
    reads_what_git_shows("sha256");
}

fn reads_what_git_shows(object_format: &str) {
    // Options of git, and the levels of the index that follow from them.
    for (options, levels) in [
        (&[][..], 1),
        (
            &[
                "-c",
                "reftable.blockSize=200",
                "-c",
                "reftable.restartInterval=65535",
            ],
            3,
        ),
        (&["-c", "reftable.blockSize=16777215"], 0),
        (
            &[
                "-c",
                "reftable.indexObjects=false",
                "-c",
                "reftable.restartInterval=1",
            ],
            1,
        ),
    ] {
        let sandbox = Sandbox::new();
        let work = init(&sandbox, object_format);
        let commits = [0; 2].map(|_| commit(&sandbox, &work));
        sandbox.git(&work, &["tag", "-a", "-m", "message", "annotated"]);
        let tag = sandbox.git(&work, &["rev-parse", "refs/tags/annotated"]);

        let mut commands = String::new();
        for number in 0..2000 {
            let object = if number % 4 == 1 {
                &tag
            } else {
                &commits[number % 2]
            };
            writeln!(commands, "create {} {object}", numbered(number)).expect("written");
        }
        sandbox.update_refs(&work, options, &commands);
        let created = compare(&sandbox, &work);
        assert!(created.len() > 2000, "{options:?}");

        sandbox.git(&work, &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
        sandbox.git(&work, &["symbolic-ref", "refs/heads/dangling", "refs/heads/none"]);
        let mut commands = String::new();
        for number in (0..2000).step_by(3) {
            let name = numbered(number);
            let command = match number % 2 {
                0 => format!("delete {name}"),
                _ => format!("update {name} {}", commits[0]),
            };
            writeln!(commands, "{command}").expect("written");
        }
        sandbox.update_refs(&work, options, &commands);
        sandbox.git(&work, &["tag", "last"]);
        assert!(tables(&work).len() > 1, "{options:?}: several tables");
        let changed = are_changed(&sandbox, &work, &created);

        sandbox.git(&work, &[options, &["pack-refs"]].concat());
        let [table] = &tables(&work)[..] else {
            panic!("{options:?}: one table");
        };
        let mut table = Table::open(File::open(table).expect("exists")).expect("a table");
        assert!(table.index_levels() >= levels, "{options:?}");
        assert_eq!(are_changed(&sandbox, &work, &created), changed, "{options:?}");
    }
}

/// A name of any length, next to and far from others.
fn numbered(number: usize) -> String {
    match number % 4 {
        0 => format!("refs/heads/topic/{number}"),
        1 => format!("refs/tags/{}{number}", "long".repeat(number % 20)),
        2 => format!("refs/höhe/{:03}/{number}", number % 7),
        _ => format!(
            "refs/{:09}/far/from/all/others",
            number * 7_654_321 % 1_000_000_000
        ),
    }
}

/// Checks what became of the refs that were created; returns those that there are now.
fn are_changed(sandbox: &Sandbox, work: &Path, created: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let changed = compare(sandbox, work);
    assert_eq!(changed["refs/heads/alias"], symbolic("refs/heads/main"));
    // git does not show it.
    let dangling = read_in(&work.join(".git"), "refs/heads/dangling");
    assert_eq!(dangling, Some(symbolic("refs/heads/none")));
    let deleted: Vec<_> = created
        .keys()
        .filter(|&name| !changed.contains_key(name))
        .collect();
    assert!(deleted.len() > 300);
    for name in deleted {
        assert_eq!(read_in(&work.join(".git"), name), None, "{name} was deleted");
    }
    changed
}

#[test]
fn each_worktree_has_refs_of_its_own_and_shares_the_others() {
    for object_format in FORMATS {
        let sandbox = Sandbox::new();
        let work = init(&sandbox, object_format);
        let unborn = compare(&sandbox, &work);
        assert!(unborn.is_empty(), "git does not show an unborn HEAD");
        assert_eq!(
            read_in(&work.join(".git"), "HEAD"),
            Some(symbolic("refs/heads/main"))
        );

        let one = commit(&sandbox, &work);
        let linked = sandbox.path("linked");
        sandbox.git(&work, &["worktree", "add", "-q", "-b", "side", "../linked"]);
        let two = commit(&sandbox, &linked);
        for (worktree, object) in [(&work, &one), (&linked, &two)] {
            for name in [
                "refs/bisect/bad",
                "refs/worktree/own",
                "refs/rewritten/own",
                "ORIG_HEAD",
            ] {
                sandbox.git(worktree, &["update-ref", name, object]);
            }
        }
        sandbox.git(&work, &["update-ref", "refs/worktree/only-here", &one]);
        sandbox.git(&work, &["checkout", "-q", "--detach"]);

        let (of_work, of_linked) = (compare(&sandbox, &work), compare(&sandbox, &linked));
        assert_eq!(of_work["HEAD"], id(&one));
        assert_eq!(of_linked["HEAD"], symbolic("refs/heads/side"));
        assert_eq!(of_work["refs/heads/side"], of_linked["refs/heads/side"]);
        assert_eq!(of_work["refs/bisect/bad"], id(&one));
        assert_eq!(of_linked["refs/bisect/bad"], id(&two));
        let linked_git_dir = work.join(".git/worktrees/linked");
        assert_eq!(read_in(&linked_git_dir, "refs/worktree/only-here"), None);
    }
}

#[test]
fn a_read_beside_writers_and_compaction_gives_a_current_value() {
    const UPDATES: usize = 200;
    let sandbox = Sandbox::new();
    let work = init(&sandbox, "sha1");
    let hexes: Vec<_> = (0..20).map(|_| commit(&sandbox, &work)).collect();
    let ids: Vec<_> = hexes.iter().map(|hex| id(hex)).collect();
    // Of each writer: how many updates have begun, and how many are done.
    let writers = ["refs/heads/one", "refs/heads/two"].map(|name| {
        sandbox.git(&work, &["update-ref", name, &hexes[0]]);
        (name, AtomicUsize::new(0), AtomicUsize::new(0))
    });
    let directory = work.join(".git/reftable");
    thread::scope(|scope| {
        let threads = writers.each_ref().map(|(name, begun, done)| {
            let (sandbox, work, hexes) = (&sandbox, &work, &hexes);
            scope.spawn(move || {
                for update in 1..=UPDATES {
                    begun.store(update, Ordering::SeqCst);
                    let update_ref = ["update-ref", name, &hexes[update % hexes.len()]];
                    let options = ["-c", "reftable.lockTimeout=60000"];
                    sandbox.git(work, &[&options[..], &update_ref].concat());
                    done.store(update, Ordering::SeqCst);
                }
            })
        });
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            // The oldest table has it.
            let head = read(&directory, "HEAD").expect("readable");
            assert_eq!(head, Some(symbolic("refs/heads/main")));
            for (name, begun, done) in &writers {
                let oldest = done.load(Ordering::SeqCst);
                let value = read(&directory, name).expect("readable").expect("exists");
                let newest = begun.load(Ordering::SeqCst);
                let is_current = (oldest..=newest).any(|update| ids[update % ids.len()] == value);
                assert!(is_current, "{name}: {value:?} is none of {oldest} to {newest}");
            }
        }
    });
    assert!(tables(&work).len() < 20, "git compacted the stack meanwhile");
}

/// The error of one attempt to read a ref that does not exist.
fn error(directory: &Path) -> String {
    let error = read_once(directory, "refs/heads/none").expect_err("unreadable");
    error.to_string()
}

#[test]
fn a_torn_table_is_an_error_that_names_it_and_no_missing_ref() {
    for object_format in FORMATS {
        let sandbox = Sandbox::new();
        let work = init(&sandbox, object_format);
        commit(&sandbox, &work);
        let directory = work.join(".git/reftable");
        let [table] = &tables(&work)[..] else {
            panic!("one table");
        };
        let whole = fs::read(table).expect("readable");
        assert_eq!(read_once(&directory, "refs/heads/none").expect("readable"), None);
        for length in 0..whole.len() {
            fs::write(table, &whole[..length]).expect("writable");
            let message = error(&directory);
            assert!(message.starts_with(table.to_str().expect("UTF-8")), "{message}");
        }
        fs::remove_file(table).expect("removable");
        let message = error(&directory);
        assert!(message.starts_with(table.to_str().expect("UTF-8")), "{message}");
    }
}

#[test]
fn a_list_names_tables_of_its_own_directory() {
    let sandbox = Sandbox::new();
    let work = init(&sandbox, "sha1");
    let directory = work.join(".git/reftable");
    let list = directory.join("tables.list");
    let names = fs::read_to_string(&list).expect("a list");
    for other in ["../config", "/etc/passwd", "..", ".", "a/"] {
        fs::write(&list, format!("{names}{other}\n")).expect("writable");
        let message = error(&directory);
        assert!(message.contains("tables.list: "), "{message}");
    }
    fs::write(&list, b"\xff\n").expect("writable");
    assert!(error(&directory).contains("tables.list: "));
}

#[test]
fn a_stack_without_a_list_or_tables_is_empty_as_for_git() {
    let sandbox = Sandbox::new();
    let work = init(&sandbox, "sha1");
    let list = work.join(".git/reftable/tables.list");
    fs::write(&list, "").expect("writable");
    assert_eq!(compare(&sandbox, &work), BTreeMap::new());
    assert_eq!(read_in(&work.join(".git"), "HEAD"), None);
    fs::remove_file(&list).expect("removable");
    assert_eq!(compare(&sandbox, &work), BTreeMap::new());
    assert_eq!(read_in(&work.join(".git"), "HEAD"), None);
}

#[test]
fn a_reader_waits_for_a_table_that_is_being_written() {
    let sandbox = Sandbox::new();
    let work = init(&sandbox, "sha1");
    let table = &tables(&work)[0];
    let whole = fs::read(table).expect("readable");
    fs::write(table, &whole[..50]).expect("writable");
    let mut reads = 0;
    let value = once_whole(|| {
        reads += 1;
        if reads == 3 {
            fs::write(table, &whole).expect("writable");
        }
        read_once(&work.join(".git/reftable"), "HEAD")
    });
    let expected = Some(symbolic("refs/heads/main"));
    assert_eq!((value.expect("readable"), reads), (expected, 3));
}
