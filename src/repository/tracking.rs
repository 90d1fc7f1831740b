//! The remote-tracking ref: what the remote was last known to have. Where it is, and how it is written.
//!
//! libgit2 knows nothing of `core.sharedRepository`, and reads the name for the reflog from the environment of the
//! process; so the ref is written here, with a lock file as git's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::Repository;
use super::refs::{Raw, is_valid_name};
use super::shared::Sharing;
use crate::config::Config;
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// What git writes into the reflog of a remote-tracking ref that a push moved.
const REFLOG_MESSAGE: &str = "update by push";

/// A ref is locked for the time of one small write, so a lock that stays for longer than all of these waits
/// was left behind.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// The ref for a branch of a named remote: where git, by `remote.<name>.fetch`, puts what it has pushed. Where no such line
/// tells, or it leads to a local branch, which a push must not move, it is `refs/remotes/<name>/<branch>`. `None` where that
/// is no name for a ref or belongs to another branch, and where a negative refspec keeps git from it.
#[must_use]
pub fn tracking_ref(config: &Config, remote: &str, refname: &str) -> Option<String> {
    let lines = config.entries_of(&format!("remote.{remote}.fetch"));
    let refspecs: Vec<Refspec<'_>> = lines.filter_map(|entry| Refspec::parse(entry.value()?)).collect();
    if is_excluded(&refspecs, refname) {
        return None;
    }
    let is_usable =
        |name: &str| name.starts_with("refs/") && !name.starts_with("refs/heads/") && is_valid_name(name);
    if let Some(told) = refspecs.iter().find_map(|refspec| refspec.apply(refname))
        && is_usable(&told)
    {
        return Some(told);
    }
    let branch = refname.strip_prefix("refs/heads/")?;
    let usual = format!("refs/remotes/{remote}/{branch}");
    let is_of_another = refspecs
        .iter()
        .filter_map(|refspec| refspec.reverse(&usual))
        .any(|source| source.starts_with("refs/heads/") && source != refname);
    (is_usable(&usual) && !is_of_another).then_some(usual)
}

/// `query_matches_negative_refspec` in git's `remote.c`, which takes the branch for a destination of patterns: a negative
/// refspec excludes it where another line names the branch itself, or maps branches to where they are.
fn is_excluded(refspecs: &[Refspec<'_>], refname: &str) -> bool {
    let (negative, positive): (Vec<_>, Vec<_>) = refspecs.iter().partition(|refspec| refspec.is_negative);
    positive
        .iter()
        .filter_map(|refspec| {
            let seen = if refspec.source.contains('*') {
                refspec.destination.unwrap_or(refspec.source)
            } else {
                refspec.source
            };
            map(seen, refname, refspec.source)
        })
        .any(|source| {
            let mut negative = negative.iter();
            negative.any(|refspec| map(refspec.source, &source, refspec.source).is_some())
        })
}

/// A line of `remote.<name>.fetch`.
struct Refspec<'a> {
    source: &'a str,
    destination: Option<&'a str>,
    is_negative: bool,
}

impl<'a> Refspec<'a> {
    /// `None` for what git refuses.
    fn parse(line: &'a str) -> Option<Self> {
        let (is_negative, line) = match line.strip_prefix('^') {
            Some(line) => (true, line),
            None => (false, line.strip_prefix('+').unwrap_or(line)),
        };
        let (source, destination) = match line.rsplit_once(':') {
            Some((source, destination)) => (source, Some(destination)),
            None => (line, None),
        };
        let is_pattern = source.contains('*');
        let fits = destination.is_none_or(|destination| destination.contains('*') == is_pattern);
        let is_whole = if is_negative {
            destination.is_none() && !source.is_empty()
        } else {
            destination.is_some() || !is_pattern
        };
        (fits && is_whole).then_some(Self {
            source,
            destination,
            is_negative,
        })
    }

    fn apply(&self, name: &str) -> Option<String> {
        map(self.source, name, self.destination?)
    }

    fn reverse(&self, name: &str) -> Option<String> {
        map(self.destination?, name, self.source)
    }
}

/// What a name that fits `from` is in `to`.
fn map(from: &str, name: &str, to: &str) -> Option<String> {
    let Some((start, end)) = from.split_once('*') else {
        return (from == name).then(|| to.to_owned());
    };
    let middle = name.strip_prefix(start)?.strip_suffix(end)?;
    Some(to.replacen('*', middle, 1))
}

impl Repository {
    /// Points a remote-tracking ref, by its full name, at what the remote has, with git's own reflog message where reflogs
    /// are on. Writes nothing where it points there already.
    ///
    /// # Errors
    ///
    /// Fails where this repository lacks the commit, where another process keeps the ref locked, where the ref
    /// stands for a local branch, and where it cannot be written.
    pub fn set_tracking_tip(&self, refname: &str, tip: Oid, config: &Config) -> Result<(), Failure> {
        let (name, old) = self.resolve(refname)?;
        if old == Some(tip) {
            return Ok(());
        }
        let failure = |problem: &str| {
            let place = self.common_dir().display();
            Failure::new(Kind::Local, format!("writing {refname} in {place}: {problem}"))
        };
        if !self.has_commit(tip) {
            return Err(failure(&format!("this repository has no commit {tip}")));
        }
        if !name.starts_with("refs/") || name.starts_with("refs/heads/") {
            return Err(failure(&format!(
                "it stands for {name}, which is not the remote's"
            )));
        }
        let sharing = Sharing::of(config)?;
        let creates_log = self.creates_log(&name, config)?;
        self.write_ref(&name, tip, sharing, |old| {
            let line = format!(
                "{old} {tip} {}\t{REFLOG_MESSAGE}\n",
                committer(config, &self.environment)
            );
            self.append_to_log(&name, &line, creates_log, sharing)
        })
        .map_err(|error| failure(&error.to_string()))
    }

    fn write_ref(
        &self,
        name: &str,
        tip: Oid,
        sharing: Sharing,
        log: impl FnOnce(Oid) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = self.ref_file(name);
        let mut lock = Lock::take(self.ref_base(name), &file, sharing)?;
        let old = match self
            .read_ref(name)
            .map_err(|failure| io::Error::other(failure.to_string()))?
        {
            Raw::Points(old) => old,
            Raw::Missing => {
                self.ensure_available(name)?;
                Oid::ZERO
            }
            Raw::Symbolic(target) => {
                return Err(io::Error::other(format!("it has just become a name of {target}")));
            }
        };
        lock.file.write_all(format!("{tip}\n").as_bytes())?;
        log(old)?;
        lock.put_in_place(&file)
    }

    /// A ref cannot be where another one is a directory, nor the other way round. What is in files of its own the file
    /// system tells.
    fn ensure_available(&self, name: &str) -> io::Result<()> {
        let mut taken = self.packed_refs.any_below(name)?;
        let mut above = name;
        while taken.is_none()
            && let Some((directory, _)) = above.rsplit_once('/')
        {
            above = directory;
            taken = self.packed_refs.get(above)?.map(|_| above.to_owned());
        }
        match taken {
            Some(taken) => Err(io::Error::other(format!("there is a ref {taken}"))),
            None => Ok(()),
        }
    }

    /// Whether git would begin a reflog for a ref.
    fn creates_log(&self, name: &str, config: &Config) -> Result<bool, Failure> {
        const KEY: &str = "core.logAllRefUpdates";
        if config
            .get(KEY)
            .is_some_and(|value| value.eq_ignore_ascii_case("always"))
        {
            return Ok(true);
        }
        let is_on = config.bool(KEY)?.unwrap_or(!self.is_bare);
        let is_usual = ["refs/heads/", "refs/remotes/", "refs/notes/"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        Ok(is_on && is_usual)
    }

    fn append_to_log(&self, name: &str, line: &str, creates: bool, sharing: Sharing) -> io::Result<()> {
        let base = self.ref_base(name);
        let path = base.join("logs").join(name);
        if creates {
            if let Some(directory) = path.parent() {
                sharing
                    .create_directories(base, directory)
                    .map_err(|error| at(directory, &error))?;
            }
            remove_empty_directories(&path);
        }
        let mut log = match OpenOptions::new().append(true).create(creates).open(&path) {
            Ok(log) => log,
            Err(error)
                if !creates
                    && matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
                    ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(at(&path, &error)),
        };
        // Another member of the group may own it, and have done so.
        let _: io::Result<()> = sharing.adjust(&path);
        log.write_all(line.as_bytes()).map_err(|error| at(&path, &error))
    }
}

/// A ref's lock file, removed unless it is put in the place of the ref.
struct Lock {
    path: PathBuf,
    file: File,
    is_in_place: bool,
}

impl Lock {
    fn take(base: &Path, file: &Path, sharing: Sharing) -> io::Result<Self> {
        let mut path = file.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut attempt = 1;
        loop {
            if let Some(directory) = file.parent() {
                sharing
                    .create_directories(base, directory)
                    .map_err(|error| at(directory, &error))?;
            }
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let lock = Self {
                        path,
                        file,
                        is_in_place: false,
                    };
                    sharing
                        .adjust(&lock.path)
                        .map_err(|error| at(&lock.path, &error))?;
                    return Ok(lock);
                }
                // git removes a directory that is empty, even one that was just made.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
                    ) && attempt < LOCK_ATTEMPTS =>
                {
                    attempt += 1;
                    thread::sleep(LOCK_WAIT);
                }
                Err(error) => return Err(at(&path, &error)),
            }
        }
    }

    fn put_in_place(mut self, file: &Path) -> io::Result<()> {
        remove_empty_directories(file);
        fs::rename(&self.path, file).map_err(|error| at(file, &error))?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.is_in_place {
            // Where that fails it is found as one that was left behind.
            let _: io::Result<()> = fs::remove_file(&self.path);
        }
    }
}

/// Refs that were deleted leave their directories. One with a file in it stays, and so does all that leads to that.
fn remove_empty_directories(path: &Path) {
    if path.is_symlink() || !path.is_dir() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        remove_empty_directories(&entry.path());
    }
    let _: io::Result<()> = fs::remove_dir(path);
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Who moves a ref, and when, as a reflog has it.
fn committer(config: &Config, environment: &crate::config::Environment) -> String {
    const UNKNOWN: &str = "unknown";
    let of = |variable: &str, what: &str| {
        environment
            .get(variable)
            .or_else(|| config.get(&format!("committer.{what}")))
            .or_else(|| config.get(&format!("user.{what}")))
    };
    let clean = |text: Option<&str>| {
        let text: String = text
            .unwrap_or_default()
            .chars()
            .filter(|character| !matches!(character, '<' | '>' | '\n' | '\0'))
            .collect();
        let text = text.trim().to_owned();
        if text.is_empty() { UNKNOWN.to_owned() } else { text }
    };
    let name = clean(of("GIT_COMMITTER_NAME", "name"));
    let email = clean(of("GIT_COMMITTER_EMAIL", "email").or_else(|| environment.get("EMAIL")));
    let (seconds, offset) = git2::Signature::now(&name, &email)
        .map(|now| (now.when().seconds(), now.when().offset_minutes()))
        .unwrap_or_default();
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    format!(
        "{name} <{email}> {seconds} {sign}{:02}{:02}",
        minutes / 60,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sandbox;
    use super::*;
    use crate::config::Environment;

    const MAIN: &str = "refs/remotes/origin/main";

    fn config(settings: &[(&str, &str)]) -> Config {
        let environment = Environment::of_settings(settings);
        Config::load_protected(&environment).expect("well-formed")
    }

    fn tracking(remote: &str, lines: &[&str]) -> Option<String> {
        let key = format!("remote.{remote}.fetch");
        let settings: Vec<_> = lines.iter().map(|line| (&*key, *line)).collect();
        tracking_ref(&config(&settings), remote, "refs/heads/a/b")
    }

    #[test]
    fn a_line_of_the_configuration_says_where_the_ref_is_and_else_the_usual_place_keeps_it() {
        const USUAL: Option<&str> = Some("refs/remotes/origin/a/b");
        for (lines, expected) in [
            (&[][..], USUAL),
            (&["+refs/heads/*:refs/remotes/origin/*"], USUAL),
            (
                &["refs/heads/*:refs/remotes/else/where/*"],
                Some("refs/remotes/else/where/a/b"),
            ),
            (&["refs/heads/a/b:refs/copy"], Some("refs/copy")),
            (
                &[
                    "refs/heads/c:refs/c",
                    "refs/heads/a/*:refs/x/*",
                    "refs/heads/*:refs/y/*",
                ],
                Some("refs/x/b"),
            ),
            (&["refs/*:refs/mirror/*"], Some("refs/mirror/heads/a/b")),
            // Lines that keep nothing of this branch.
            (&["refs/heads/a/b"], USUAL),
            (&["refs/heads/a/b:"], USUAL),
            (&["refs/heads/c:refs/remotes/origin/c"], USUAL),
            (&["+refs/*:refs/*"], USUAL),
            (&["refs/heads/*:refs/heads/*"], USUAL),
            // Lines that git refuses.
            (&["refs/heads/*:refs/x"], USUAL),
            (&["refs/heads/a*b:refs/x/*y"], USUAL),
            // Another branch's.
            (&["refs/heads/c:refs/remotes/origin/a/b"], None),
            // Negative ones, which git heeds here in some cases only.
            (&["refs/heads/a/b:refs/copy", "^refs/heads/a/*"], None),
            (&["^refs/heads/a/b", "+refs/*:refs/*"], None),
            (&["refs/heads/a/b:refs/copy", "^refs/heads/c*"], Some("refs/copy")),
            (
                &["refs/heads/*:refs/copies/*", "^refs/heads/a/b"],
                Some("refs/copies/a/b"),
            ),
        ] {
            assert_eq!(tracking("origin", lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_remote_whose_name_is_no_part_of_a_refs_has_a_ref_only_where_a_line_names_one() {
        for name in [
            "my remote",
            "..",
            "~",
            "foo.lock",
            "a..b",
            "https://h/r.git",
            "-",
            "a:b",
        ] {
            let expected = (name == "-").then_some("refs/remotes/-/a/b");
            assert_eq!(tracking(name, &[]).as_deref(), expected, "{name}");
            let told = tracking(name, &["refs/heads/*:refs/remotes/theirs/*"]);
            assert_eq!(told.as_deref(), Some("refs/remotes/theirs/a/b"), "{name}");
        }
        assert_eq!(
            tracking("team/one", &[]).as_deref(),
            Some("refs/remotes/team/one/a/b")
        );
    }

    #[test]
    fn a_tracking_ref_is_created_moved_and_left_alone() {
        const FEATURE: &str = "refs/remotes/origin/feature/x";
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let two = sandbox.commit(&work, "two");
        let repository = sandbox.open(&work);
        let tip = || repository.branch_tip(FEATURE).expect("readable");
        assert_eq!(tip(), None);
        for expected in [one, two, two] {
            repository
                .set_tracking_tip(FEATURE, expected, &config(&[]))
                .expect("writes");
            assert_eq!(tip(), Some(expected));
        }
        let reflog = sandbox.git(&work, &["reflog", "show", "--format=%gs", FEATURE]);
        assert_eq!(reflog, "update by push\nupdate by push");
    }

    #[test]
    fn a_tracking_ref_never_points_at_a_missing_commit() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        let missing = Oid::from_bytes([7; 20]);
        repository
            .set_tracking_tip(MAIN, missing, &config(&[]))
            .expect_err("refused");
        assert_eq!(repository.branch_tip(MAIN).expect("readable"), None);
    }

    #[test]
    fn a_lock_is_waited_for_and_one_left_behind_is_a_failure() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let repository = sandbox.open(&work);
        let directory = work.join(".git/refs/remotes/origin");
        let lock = directory.join("main.lock");
        fs::create_dir_all(&directory).expect("creates");
        fs::write(&lock, "").expect("locks");
        let failure = repository
            .set_tracking_tip(MAIN, one, &config(&[]))
            .expect_err("locked");
        assert!(failure.message().contains(MAIN), "{failure}");
        fs::remove_file(&lock).expect("unlocks");
        repository
            .set_tracking_tip(MAIN, one, &config(&[]))
            .expect("writes");
    }

    #[test]
    fn a_ref_that_leads_to_a_local_branch_moves_nothing() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let two = sandbox.commit(&work, "two");
        sandbox.git(&work, &["symbolic-ref", MAIN, "refs/heads/main"]);
        let repository = sandbox.open(&work);
        let failure = repository
            .set_tracking_tip(MAIN, one, &config(&[]))
            .expect_err("refused");
        assert!(failure.message().contains("refs/heads/main"), "{failure}");
        sandbox.git(&work, &["symbolic-ref", MAIN, "refs/remotes/origin/other"]);
        repository
            .set_tracking_tip(MAIN, one, &config(&[]))
            .expect("writes");
        let tip = |name: &str| repository.branch_tip(name).expect("readable");
        assert_eq!(tip("refs/remotes/origin/other"), Some(one));
        assert_eq!(tip("refs/heads/main"), Some(two));
    }

    #[test]
    fn what_is_in_the_way_is_told_and_what_only_seems_to_be_is_removed() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let refs = work.join(".git/refs/remotes/origin");
        let repository = sandbox.open(&work);
        let set = |name: &str| repository.set_tracking_tip(name, one, &config(&[]));

        // Directories that deleted refs have left.
        fs::create_dir_all(refs.join("main/x/y")).expect("creates");
        fs::create_dir_all(work.join(".git/logs/refs/remotes/origin/main/x")).expect("creates");
        set(MAIN).expect("writes");

        for (taken, wanted) in [("main/x", MAIN), ("main", "refs/remotes/origin/main/x")] {
            for is_packed in [false, true] {
                sandbox.git(&work, &["update-ref", "-d", MAIN]);
                sandbox.git(
                    &work,
                    &["update-ref", &format!("refs/remotes/origin/{taken}"), "main"],
                );
                if is_packed {
                    sandbox.git(&work, &["pack-refs", "--all"]);
                }
                let failure = set(wanted).expect_err("in the way");
                assert!(
                    failure.message().contains("refs/remotes/origin/main"),
                    "{failure}"
                );
                assert!(!refs.join("main.lock").exists() && !refs.join("main/x.lock").exists());
                sandbox.git(
                    &work,
                    &["update-ref", "-d", &format!("refs/remotes/origin/{taken}")],
                );
            }
        }
        set(MAIN).expect("writes");
        assert_eq!(sandbox.git(&work, &["rev-parse", MAIN]), one.to_string());
        sandbox.git(&work, &["fsck", "--strict"]);
    }

    #[test]
    fn a_reflog_is_begun_where_git_would_begin_one() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let bare = sandbox.path("bare.git");
        sandbox.git(
            &work,
            &["clone", "--bare", "-q", ".", bare.to_str().expect("UTF-8")],
        );
        for (place, git_dir, value, name, expected) in [
            (&work, work.join(".git"), None, MAIN, true),
            (&work, work.join(".git"), None, "refs/copies/1", false),
            (&work, work.join(".git"), Some("false"), "refs/remotes/a/1", false),
            (&work, work.join(".git"), Some("Always"), "refs/copies/2", true),
            (&bare, bare.clone(), None, MAIN, false),
            (&bare, bare.clone(), Some("true"), "refs/remotes/a/2", true),
        ] {
            let settings: Vec<_> = value
                .map(|value| ("core.logAllRefUpdates", value))
                .into_iter()
                .collect();
            let repository = sandbox.open(place);
            repository
                .set_tracking_tip(name, one, &config(&settings))
                .expect("writes");
            let log = git_dir.join("logs").join(name);
            assert_eq!(log.exists(), expected, "{value:?} {name} {}", git_dir.display());
        }
        let log = fs::read_to_string(work.join(".git/logs").join(MAIN)).expect("there");
        let zero = Oid::ZERO;
        assert!(
            log.starts_with(&format!("{zero} {one} unknown <unknown> "))
                && log.ends_with("\tupdate by push\n"),
            "{log}"
        );
    }
}
