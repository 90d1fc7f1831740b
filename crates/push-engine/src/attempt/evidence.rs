//! What only the remote has, where its tip is not an ancestor of the local one: the evidence for a divergence, or that the
//! branch is merely behind.
//!
//! If the remote's tip is not in the local repository, git fetches it into a [`Quarantine`]. That is limited in time and bytes,
//! and not tried again soon if it fails. The quarantine is kept while the branches are diverged and the remote's tip stays the
//! same: further local commits need no other fetch.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use git_local::config::Environment;
use git_local::repository::{Distance, ForeignCommit, Fork, Head, Repository};
use git_local::url::Remote;
use git_local::{LocalError, redact_url};
use git_wire::oid::Oid;
use tokio::time::{Instant, sleep};

use super::RemotePusher;
use super::quarantine::{Contents, Quarantine, sweep};
use super::route::Route;
use crate::event::{Evidence, EvidenceCommit};
use crate::failure::{Failure, Kind, foreign_line};
use crate::options::Timeouts;
use crate::transport::Fetch;

/// How long a fetch may take. A divergence is reported only afterwards.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The bytes of commits that may be fetched: some 200,000 commits, or far fewer from a server that cannot leave their files out.
const BYTES_LIMIT: u64 = 64 * 1024 * 1024;

/// How often the bytes are counted.
const BYTES_INTERVAL: Duration = Duration::from_millis(100);

/// How long no other fetch is tried after one that failed.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// How many of the remote's commits are shown.
const NEWEST: usize = 20;

/// The characters of an author or a subject that are shown.
const AUTHOR_LIMIT: usize = 100;
const SUBJECT_LIMIT: usize = 200;

/// What is known of the remote's commits.
#[derive(Debug, Default)]
pub(super) struct Findings(RefCell<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The last answer.
    found: Option<Found>,
    /// The remote's tip that was fetched, and where it is.
    fetched: Option<(Oid, Arc<Quarantine>)>,
    /// Until then nothing is fetched.
    paused_until: Option<Instant>,
    /// Whether leftovers of earlier processes were removed.
    is_swept: bool,
}

/// How the local tip stands to the remote's.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) distance: Distance,
    pub(super) evidence: Arc<Evidence>,
}

impl Findings {
    /// The last answer, for surveys of the branch.
    pub(super) fn distance(&self) -> Option<Distance> {
        Some(self.0.borrow().found.as_ref()?.distance)
    }

    fn of(&self, local: Oid, remote: Oid) -> Option<Found> {
        let known = self.0.borrow();
        let found = known.found.as_ref()?;
        ((found.distance.local, found.distance.remote) == (local, remote)).then(|| found.clone())
    }

    /// Removes the quarantine.
    pub(super) fn close(&self) {
        self.0.borrow_mut().fetched = None;
    }

    /// Forgets the answer as well: the branches are not diverged.
    pub(super) fn clear(&self) {
        let mut known = self.0.borrow_mut();
        known.fetched = None;
        known.found = None;
    }
}

impl RemotePusher {
    /// Removes what an earlier process may have left, once.
    pub(super) async fn sweep(&self) {
        if self.findings.0.borrow().is_swept {
            return;
        }
        let common_dir = self.destination.common_dir.clone();
        let swept = self.branch.read(move || Ok::<_, LocalError>(sweep(&common_dir)));
        // A git that outlives its daemon for a moment may still write there: then the next attempt tries again.
        self.findings.0.borrow_mut().is_swept = swept.await.unwrap_or(false);
    }

    /// Finds out what the two tips, neither of which is known to contain the other, have in common. `None` if that cannot be
    /// found out, or the remote has nothing that is not here.
    pub(super) async fn look(
        &self,
        route: &Arc<Route>,
        local: Oid,
        remote: Oid,
        is_here: bool,
    ) -> Option<Found> {
        if let Some(found) = self.findings.of(local, remote) {
            return Some(found);
        }
        let looked = self.compare_histories(route, local, remote, is_here).await;
        let (fork, is_checked_out) = match looked {
            Ok(looked) if looked.0.distance.behind > 0 => looked,
            Ok(_) => return None,
            Err(failure) => {
                tracing::debug!(%failure, "the remote's commits cannot be looked at");
                return None;
            }
        };
        let distance = fork.distance;
        let evidence = Arc::new(self.evidence(&fork, &route.remote, is_checked_out));
        let found = Found { distance, evidence };
        let mut known = self.findings.0.borrow_mut();
        known.found = Some(found.clone());
        if distance.ahead.commits == 0 {
            known.fetched = None;
        }
        Some(found)
    }

    /// Compares the tips, and tells whether the branch is checked out in a working tree.
    async fn compare_histories(
        &self,
        route: &Arc<Route>,
        local: Oid,
        remote: Oid,
        is_here: bool,
    ) -> Result<(Fork, bool), Failure> {
        let fetched = self.findings.0.borrow_mut().fetched.take();
        let fetched = fetched.filter(|(tip, _)| !is_here && *tip == remote);
        let quarantine = match fetched {
            Some((_, quarantine)) => Some(quarantine),
            None if is_here => None,
            None => Some(Arc::new(self.fetch(route, local).await?)),
        };
        let directory = quarantine
            .as_ref()
            .map(|quarantine| quarantine.directory().to_owned());
        self.findings.0.borrow_mut().fetched = quarantine.map(|quarantine| (remote, quarantine));
        let branch = self.branch.clone();
        let comparing = self.branch.read(move || {
            let local_repository = branch.open()?;
            let fork = match directory {
                Some(scratch) => {
                    Repository::open(Some(&scratch), &Environment::default())?.fork(local, remote, NEWEST)?
                }
                None => local_repository.fork(local, remote, NEWEST)?,
            };
            let short = branch.target().refname.strip_prefix("refs/heads/");
            let is_bare = local_repository.root() == local_repository.git_dir();
            let head = local_repository.head_branch()?;
            let is_checked_out = !is_bare && matches!(head, Head::Branch(name) if Some(&*name) == short);
            Ok::<_, LocalError>((fork, is_checked_out))
        });
        comparing.await
    }

    /// Fetches the remote's branch into a new quarantine.
    async fn fetch(&self, route: &Arc<Route>, tip: Oid) -> Result<Quarantine, Failure> {
        let is_paused = |until| Instant::now() < until;
        if self.findings.0.borrow().paused_until.is_some_and(is_paused) {
            return Err(Failure::new(Kind::RemoteError, "a fetch failed lately"));
        }
        let (branch, config_of, background) =
            (self.branch.clone(), Arc::clone(route), self.background.clone());
        let common_dir = self.destination.common_dir.clone();
        let making = self.branch.read(move || {
            sweep(&common_dir);
            let local = branch.open()?;
            let contents = Contents {
                config: &config_of.config,
                format: local.formats().objects,
                objects: local.objects().directories(),
                shallow: &local.shallow_commits()?,
                tip,
            };
            Quarantine::create(&common_dir, &contents, background)
        });
        let quarantine = making.await?;
        let Timeouts { connect, idle, .. } = self.destination.timeouts;
        let fetch = Fetch::find(
            &route.remote,
            &route.config,
            &self.branch.target().refname,
            &self.destination.root,
            quarantine.directory(),
            self.settings(),
            connect.into_iter().chain(idle).min(),
        )
        .ok_or_else(|| Failure::new(Kind::Local, "git is not in PATH"))?;
        // Also if this attempt is cut off meanwhile.
        self.findings.0.borrow_mut().paused_until = Some(Instant::now() + PAUSE);
        let directory = quarantine.directory().to_owned();
        tokio::select! {
            fetched = fetch.run() => fetched?,
            () = self.reach_limit(directory.clone()) => {}
            () = sleep(TIME_LIMIT) => return Err(Failure::timed_out("git fetch did not end", TIME_LIMIT)),
        }
        self.check_size(directory).await?;
        self.findings.0.borrow_mut().paused_until = None;
        Ok(quarantine)
    }

    /// Returns when a quarantine has become too large.
    async fn reach_limit(&self, directory: PathBuf) {
        while self.check_size(directory.clone()).await.is_ok() {
            sleep(BYTES_INTERVAL).await;
        }
    }

    async fn check_size(&self, directory: PathBuf) -> Result<(), Failure> {
        let counting = self
            .branch
            .read(move || Ok::<_, LocalError>(Quarantine::bytes(&directory)));
        if counting.await? <= BYTES_LIMIT {
            return Ok(());
        }
        let message = format!("the remote's commits have more than {BYTES_LIMIT} bytes");
        Err(Failure::new(Kind::RemoteError, message))
    }

    fn evidence(&self, fork: &Fork, remote: &Remote, is_checked_out: bool) -> Evidence {
        let (root, refname) = (&self.destination.root, &self.branch.target().refname);
        let Distance {
            base, ahead, behind, ..
        } = fork.distance;
        Evidence {
            merge_base: base,
            ahead: ahead.commits,
            behind,
            commits: fork.newest.iter().map(shown).collect(),
            commands: commands(root, remote, refname, is_checked_out, base.is_some()),
        }
    }
}

fn shown(commit: &ForeignCommit) -> EvidenceCommit {
    EvidenceCommit {
        commit: commit.oid,
        author: foreign_line(&commit.author, AUTHOR_LIMIT),
        committed_at: commit.committed_at,
        subject: foreign_line(&commit.subject, SUBJECT_LIMIT),
    }
}

/// The commands that merge both sides, as in `docs/runbook.md`. They keep both sides in refs, force nothing, and change the branch
/// only if it has not moved meanwhile.
fn commands(
    root: &Path,
    remote: &Remote,
    refname: &str,
    is_checked_out: bool,
    has_base: bool,
) -> Vec<String> {
    let here = format!("git -C {}", quoted(&root.to_string_lossy()));
    // A URL may have a secret; a name has none.
    let source = quoted(remote.name.as_deref().unwrap_or(&redact_url(&remote.url)));
    let branch = quoted(refname);
    let fetched = quoted(&format!("+{refname}:refs/reconcile/theirs"));
    let unrelated = if has_base {
        ""
    } else {
        "--allow-unrelated-histories "
    };
    let mut commands = vec![
        format!("{here} update-ref refs/reconcile/ours {branch}"),
        format!("{here} fetch {source} {fetched}"),
        format!("{here} log --oneline --left-right refs/reconcile/ours...refs/reconcile/theirs"),
    ];
    if is_checked_out {
        commands.push(format!("{here} merge --no-edit {unrelated}refs/reconcile/theirs"));
    } else {
        let there = "git -C /tmp/reconcile";
        commands.extend([
            format!("{here} worktree add --detach /tmp/reconcile refs/reconcile/ours"),
            format!("{there} merge --no-edit {unrelated}refs/reconcile/theirs"),
            format!("{here} update-ref {branch} \"$({there} rev-parse HEAD)\" refs/reconcile/ours"),
            format!("{here} worktree remove /tmp/reconcile"),
        ]);
    }
    commands
}

/// A word of a shell's command.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+:@=,%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use git_local::config::Config;

    use super::*;

    fn remote(given: &str) -> Remote {
        let environment = Environment::default()
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_COUNT", "1")
            .with("GIT_CONFIG_KEY_0", "remote.origin.url")
            .with("GIT_CONFIG_VALUE_0", "https://u:hunter2@h.example/r.git");
        let nowhere = Path::new("/nonexistent");
        let config = Config::load(&environment, nowhere, nowhere).expect("well-formed");
        Remote::resolve(&config, given, nowhere).expect("a remote")
    }

    #[test]
    fn the_commands_name_this_repository_and_remote_without_a_secret() {
        let of = |given: &str, is_checked_out, has_base| {
            let root = Path::new("/srv/it's data");
            commands(root, &remote(given), "refs/heads/main", is_checked_out, has_base)
        };
        let bare = of("origin", false, true);
        assert_eq!(
            bare[1],
            r"git -C '/srv/it'\''s data' fetch origin +refs/heads/main:refs/reconcile/theirs"
        );
        assert_eq!(bare.len(), 7);
        assert!(
            bare.iter().all(|command| !command.contains("--force")),
            "{bare:?}"
        );
        let checked_out = of("origin", true, false);
        assert_eq!(checked_out.len(), 4);
        assert!(
            checked_out[3].contains("merge --no-edit --allow-unrelated-histories"),
            "{checked_out:?}"
        );
        let by_url = of("https://u:hunter2@h.example/r.git", false, true).join("\n");
        assert!(
            !by_url.contains("hunter2") && by_url.contains("h.example"),
            "{by_url}"
        );
    }
}
