//! The remote-tracking ref, which remembers the last known tip of the remote: its name, and when and how it moves.
//!
//! libgit2 does not write it: it ignores `core.sharedRepository`, and takes the name for the reflog from the environment
//! of the process.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use git_wire::oid::Oid;

use super::refs::{Ref, is_valid_name};
use super::write::{RefLock, Sharing, append_to_reflog};
use super::{RefFormat, Repository, failure};
use crate::LocalError;
use crate::config::{Config, Environment};

/// git's reflog message for a remote-tracking ref that a push moved.
const REFLOG_MESSAGE: &str = "update by push";

/// Names the remote-tracking ref for a branch of a named remote: the ref that git updates after a push, by
/// `remote.<name>.fetch`. Where no such line applies, or it names a local branch, which a push must not move, it is
/// `refs/remotes/<name>/<branch>`. `None` if that is no valid ref name or belongs to another branch, or a negative
/// refspec excludes the branch.
#[must_use]
pub fn tracking_ref(config: &Config, remote: &str, refname: &str) -> Option<String> {
    let lines = config.entries_of(&format!("remote.{remote}.fetch"));
    let refspecs: Vec<Refspec<'_>> = lines.filter_map(|entry| Refspec::parse(entry.value()?)).collect();
    if is_excluded(&refspecs, refname) {
        return None;
    }
    let configured = refspecs
        .iter()
        .find_map(|refspec| map(refspec.source, refname, refspec.destination?));
    if let Some(configured) = configured.filter(|name| is_trackable(name)) {
        return Some(configured);
    }
    let branch = refname.strip_prefix("refs/heads/")?;
    let usual = format!("refs/remotes/{remote}/{branch}");
    let is_taken = refspecs
        .iter()
        .filter_map(|refspec| map(refspec.destination?, &usual, refspec.source))
        .any(|source| source.starts_with("refs/heads/") && source != refname);
    (is_trackable(&usual) && !is_taken).then_some(usual)
}

fn is_trackable(name: &str) -> bool {
    name.starts_with("refs/") && !name.starts_with("refs/heads/") && is_valid_name(name)
}

/// `query_matches_negative_refspec` in git's `remote.c`, which looks patterns up by their destination: a negative refspec
/// excludes the branch if another line names the branch itself, or maps branches to where they are.
fn is_excluded(refspecs: &[Refspec<'_>], refname: &str) -> bool {
    let (negative, positive): (Vec<_>, Vec<_>) = refspecs.iter().partition(|refspec| refspec.is_negative);
    let sources = positive.iter().filter_map(|refspec| {
        let looked_up = match refspec.destination {
            Some(destination) if refspec.source.contains('*') => destination,
            _ => refspec.source,
        };
        map(looked_up, refname, refspec.source)
    });
    sources.into_iter().any(|source| {
        let mut negative = negative.iter();
        negative.any(|refspec| map(refspec.source, &source, "").is_some())
    })
}

/// A line of `remote.<name>.fetch`.
struct Refspec<'a> {
    source: &'a str,
    destination: Option<&'a str>,
    is_negative: bool,
}

impl<'a> Refspec<'a> {
    /// `None` if git refuses the line.
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
        let is_valid = match destination {
            Some(destination) => !is_negative && destination.contains('*') == is_pattern,
            None if is_negative => !source.is_empty(),
            None => !is_pattern,
        };
        is_valid.then_some(Self {
            source,
            destination,
            is_negative,
        })
    }
}

/// Maps a name that matches `from` to `to`.
fn map(from: &str, name: &str, to: &str) -> Option<String> {
    let Some((start, end)) = from.split_once('*') else {
        return (from == name).then(|| to.to_owned());
    };
    let middle = name.strip_prefix(start)?.strip_suffix(end)?;
    Some(to.replacen('*', middle, 1))
}

/// An update of a ref that only git can make, as `git update-ref` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    git_dir: PathBuf,
    refname: String,
    tip: Oid,
}

impl RefUpdate {
    /// The arguments of the command `git`.
    #[must_use]
    pub fn arguments(&self) -> [OsString; 7] {
        [
            "--git-dir".into(),
            self.git_dir.clone().into(),
            "update-ref".into(),
            "-m".into(),
            REFLOG_MESSAGE.into(),
            self.refname.clone().into(),
            self.tip.to_string().into(),
        ]
    }
}

impl Repository {
    /// Points a remote-tracking ref, by its full name, at the remote's tip, and appends git's own message to its reflog.
    /// Writes nothing if the ref is already there. In a reftable it is not written here: the update is returned.
    ///
    /// # Errors
    ///
    /// Fails if this repository lacks the commit, the ref leads to a local branch, another process keeps it locked, or it
    /// cannot be written.
    pub fn set_tracking_tip(
        &self,
        refname: &str,
        tip: Oid,
        config: &Config,
    ) -> Result<Option<RefUpdate>, LocalError> {
        let (name, old) = self.resolve(refname)?;
        if old == Some(tip) {
            return Ok(None);
        }
        let unwritable = |problem: &str| {
            let place = self.common_dir.display();
            failure(format_args!("writing {refname} in {place}"), problem)
        };
        if !self.has_commit(tip) {
            return Err(unwritable(&format!("this repository has no commit {tip}")));
        }
        if !is_trackable(&name) {
            return Err(unwritable(&format!(
                "it is a symbolic ref to {name}, which does not belong to the remote"
            )));
        }
        if self.formats.refs == RefFormat::Reftable {
            return Ok(Some(RefUpdate {
                git_dir: self.git_dir.clone(),
                refname: name,
                tip,
            }));
        }
        let sharing = Sharing::of(config)?;
        let creates_reflog = self.creates_reflog(&name, config)?;
        self.write_ref(&name, tip, sharing, |old| {
            let committer = committer(config, &self.environment);
            let line = format!("{old} {tip} {committer}\t{REFLOG_MESSAGE}\n");
            append_to_reflog(self.ref_base(&name), &name, &line, creates_reflog, sharing)
        })
        .map_err(|error| unwritable(&error.to_string()))?;
        Ok(None)
    }

    fn write_ref(
        &self,
        name: &str,
        tip: Oid,
        sharing: Sharing,
        log: impl FnOnce(Oid) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut lock = RefLock::take(self.ref_base(name), name, sharing)?;
        let old = match self.read_ref(name).map_err(io::Error::other)? {
            Ref::Points(old) => old,
            Ref::Missing => {
                self.ensure_available(name)?;
                Oid::zero(self.formats.objects)
            }
            Ref::Symbolic(target) => {
                return Err(io::Error::other(format!(
                    "it has just become a symbolic ref to {target}"
                )));
            }
        };
        lock.write(tip)?;
        log(old)?;
        lock.put_in_place()
    }

    /// A ref and a directory of refs cannot have the same name. Among loose refs, the file system ensures that.
    fn ensure_available(&self, name: &str) -> io::Result<()> {
        let is_below = |name: &[u8], directory: &[u8]| {
            let rest = name.strip_prefix(directory);
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        let name = name.as_bytes();
        match self.find_packed(|other| is_below(other, name) || is_below(name, other))? {
            Some((taken, _)) => Err(io::Error::other(format!("there is a ref {taken}"))),
            None => Ok(()),
        }
    }

    /// Whether git creates a reflog for a new ref.
    fn creates_reflog(&self, name: &str, config: &Config) -> Result<bool, LocalError> {
        const KEY: &str = "core.logAllRefUpdates";
        let value = config.get(KEY);
        if value.is_some_and(|value| value.eq_ignore_ascii_case("always")) {
            return Ok(true);
        }
        let is_on = config.bool(KEY)?.unwrap_or(!self.is_bare);
        let mut prefixes = ["refs/heads/", "refs/remotes/", "refs/notes/"].iter();
        Ok(is_on && prefixes.any(|prefix| name.starts_with(prefix)))
    }
}

/// The committer of a reflog entry, with the current time.
fn committer(config: &Config, environment: &Environment) -> String {
    let of = |variable: &str, key: &str| {
        environment
            .get(variable)
            .or_else(|| config.get(&format!("committer.{key}")))
            .or_else(|| config.get(&format!("user.{key}")))
    };
    let clean = |text: Option<&str>| {
        let text = text.unwrap_or_default().replace(['<', '>', '\n', '\0'], "");
        let text = text.trim();
        if text.is_empty() { "unknown" } else { text }.to_owned()
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
    use std::fs;

    use git_wire::oid::ObjectFormat;

    use super::super::testing::Sandbox;
    use super::*;

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
    fn the_tracking_ref_is_the_configured_one_or_else_the_usual_one() {
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
            // Lines without a tracking ref for this branch.
            (&["refs/heads/a/b"], USUAL),
            (&["refs/heads/a/b:"], USUAL),
            (&["refs/heads/c:refs/remotes/origin/c"], USUAL),
            (&["+refs/*:refs/*"], USUAL),
            (&["refs/heads/*:refs/heads/*"], USUAL),
            // Lines that git refuses.
            (&["refs/heads/*:refs/x"], USUAL),
            (&["refs/heads/a*b:refs/x/*y"], USUAL),
            // The usual ref belongs to another branch.
            (&["refs/heads/c:refs/remotes/origin/a/b"], None),
            // Negative lines, which git applies here in some cases only.
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
    fn a_remote_whose_name_fits_no_ref_has_a_tracking_ref_only_if_one_is_configured() {
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
    fn a_tracking_ref_is_created_moved_and_not_written_twice() {
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
        let missing = Oid::sha1([7; 20]);
        repository
            .set_tracking_tip(MAIN, missing, &config(&[]))
            .expect_err("refused");
        assert_eq!(repository.branch_tip(MAIN).expect("readable"), None);
    }

    #[test]
    fn a_stale_lock_is_a_failure() {
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
    fn a_symbolic_tracking_ref_never_moves_a_local_branch() {
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
    fn a_ref_in_the_way_is_a_failure_and_an_empty_directory_is_removed() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let one = sandbox.commit(&work, "one");
        let refs = work.join(".git/refs/remotes/origin");
        let repository = sandbox.open(&work);
        let set = |name: &str| repository.set_tracking_tip(name, one, &config(&[]));

        // The directories of deleted refs.
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
    fn a_reflog_is_created_where_git_creates_one() {
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
        let zero = Oid::zero(ObjectFormat::Sha1);
        assert!(
            log.starts_with(&format!("{zero} {one} unknown <unknown> "))
                && log.ends_with("\tupdate by push\n"),
            "{log}"
        );
    }
}
