//! The followed branch, compared with what its remote has. Everything blocks; the only write is the remote-tracking ref.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use git_wire::oid::Oid;

use super::refs::is_being_converted;
use super::tracking::RefUpdate;
use super::{Ahead, Distance, Relation, Repository, tracking_ref};
use crate::LocalError;
use crate::config::{Config, Environment};

/// Which branch of which repository is pushed where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The repository, resolved at the start: the current directory may change later.
    pub git_dir: PathBuf,
    /// The full name of the branch.
    pub refname: String,
    /// The name of the remote; `None` for a URL or a path, which has no remote-tracking ref.
    pub remote_name: Option<String>,
}

/// The local branch at one moment, compared with the remote's tip as last known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Survey {
    /// The local tip; `None` while the branch does not exist.
    pub tip: Option<Oid>,
    /// Commits of the branch that the remote does not have.
    pub pending: u64,
    /// The committer time of the oldest of them.
    pub oldest_pending: Option<SystemTime>,
    /// Commits that only the remote has; `None` if this repository lacks them and they could not be counted elsewhere.
    pub behind: Option<u64>,
}

/// The last count of the commits that the remote lacks.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// The remote's tip; `None` if the remote has nothing.
    basis: Option<Oid>,
    tip: Oid,
    ahead: Ahead,
    /// Whether the tip is a descendant of the basis.
    is_descendant: bool,
}

/// A repository with one of its branches.
#[derive(Debug)]
pub struct LocalBranch {
    repository: Repository,
    target: Target,
    environment: Environment,
    /// Lets each commit of a long outage cost the counting of one commit, not of all.
    counted: Option<Counted>,
    /// The last confirmed tip of the remote, for when no remote-tracking ref keeps it.
    confirmed: Option<Oid>,
    /// What was found elsewhere about a tip of the remote that is not in this repository.
    learned: Option<Distance>,
}

/// How long to wait for `git refs migrate`, which takes a few milliseconds.
const CONVERSION_ATTEMPTS: u32 = 200;
const CONVERSION_WAIT: Duration = Duration::from_millis(5);

/// Opens the repository, but not amidst a conversion of its refs.
fn open(target: &Target, environment: &Environment) -> Result<Repository, LocalError> {
    let mut attempt = 1;
    loop {
        let opened = Repository::open(Some(&target.git_dir), environment);
        let is_settled = match &opened {
            Ok(repository) => repository.has_refs(),
            Err(_) => !is_being_converted(&target.git_dir),
        };
        if is_settled || attempt == CONVERSION_ATTEMPTS {
            return Ok(opened?);
        }
        attempt += 1;
        thread::sleep(CONVERSION_WAIT);
    }
}

impl LocalBranch {
    /// Opens the repository.
    ///
    /// # Errors
    ///
    /// Fails if the repository is gone.
    pub fn open(target: Target, environment: Environment) -> Result<Self, LocalError> {
        Ok(Self {
            repository: open(&target, &environment)?,
            target,
            environment,
            counted: None,
            confirmed: None,
            learned: None,
        })
    }

    /// Reopens the repository if its refs were converted to another format, or packs or alternates came or went: libgit2
    /// keeps the packs that it has read, and until then the space of those that `git gc` deleted is not free.
    ///
    /// # Errors
    ///
    /// Fails if the repository is gone.
    pub fn refresh(&mut self) -> Result<(), LocalError> {
        if self.repository.objects_changed() || !self.repository.has_refs() {
            self.repository = open(&self.target, &self.environment)?;
        }
        Ok(())
    }

    /// The repository.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Reads the tip of the branch; `None` while it does not exist.
    ///
    /// # Errors
    ///
    /// Fails if the repository cannot be read.
    pub fn tip(&self) -> Result<Option<Oid>, LocalError> {
        self.repository.branch_tip(&self.target.refname)
    }

    /// Reads the last tip that the remote is known to have had. A remote-tracking ref that is unreadable (a power loss
    /// leaves empty files) counts as missing: it is only a memory.
    ///
    /// # Errors
    ///
    /// Fails if the configuration cannot be read.
    pub fn last_known_remote(&self) -> Result<Option<Oid>, LocalError> {
        let Repository {
            common_dir, git_dir, ..
        } = &self.repository;
        let config = Config::load(&self.environment, common_dir, git_dir)?;
        let Some(refname) = self.tracking_ref(&config) else {
            return Ok(self.confirmed);
        };
        let remembered = self.repository.branch_tip(&refname);
        Ok(remembered.unwrap_or_else(|failure| {
            tracing::debug!(%failure, "the remote-tracking ref cannot be read");
            self.confirmed
        }))
    }

    fn tracking_ref(&self, config: &Config) -> Option<String> {
        let remote = self.target.remote_name.as_deref()?;
        tracking_ref(config, remote, &self.target.refname)
    }

    /// Keeps the remote's tip for the next start. A push succeeds even if this fails. Returns the update of a ref that git
    /// itself has to make.
    pub fn remember_remote(&mut self, tip: Oid, config: &Config) -> Option<RefUpdate> {
        self.confirmed = Some(tip);
        let refname = self.tracking_ref(config)?;
        let updated = self.repository.set_tracking_tip(&refname, tip, config);
        updated.unwrap_or_else(|failure| {
            tracing::warn!(%failure, "the remote-tracking ref could not be updated");
            None
        })
    }

    /// Takes what was found elsewhere about a tip of the remote that may not be in this repository, for the next surveys.
    pub fn learn(&mut self, distance: Option<Distance>) {
        self.learned = distance;
    }

    /// The commits that the last survey counted from the remote's tip to this local one; `None` if it was about others.
    #[must_use]
    pub fn counted(&self, local: Oid, remote: Option<Oid>) -> Option<u64> {
        Some(self.count_of(local, remote)?.ahead.commits)
    }

    fn count_of(&self, local: Oid, remote: Option<Oid>) -> Option<Counted> {
        self.counted
            .filter(|counted| (counted.tip, counted.basis) == (local, remote))
    }

    /// Compares a local tip with the remote's.
    ///
    /// # Errors
    ///
    /// Fails if the repository cannot be read.
    pub fn relation(&self, local: Oid, remote: Option<Oid>) -> Result<Relation, LocalError> {
        // A survey that counted a long backlog has found this out already.
        let counted = self.count_of(local, remote);
        if counted.is_some_and(|counted| counted.is_descendant)
            && remote.is_some_and(|remote| remote != local)
        {
            return Ok(Relation::Ahead);
        }
        self.repository
            .relation(local, remote, || self.last_known_remote())
    }

    /// Compares the branch with the remote's tip, and counts the commits between them.
    ///
    /// # Errors
    ///
    /// Fails if the repository cannot be read.
    pub fn survey(&mut self, remote: Option<Oid>) -> Result<Survey, LocalError> {
        let Some(tip) = self.tip()? else {
            return Ok(Survey::default());
        };
        if remote == Some(tip) {
            // The usual case of an idle daemon reads no object.
            return Ok(Survey {
                tip: remote,
                behind: Some(0),
                ..Survey::default()
            });
        }
        let learned = self.learned.filter(|learned| Some(learned.remote) == remote);
        if let Some(learned) = learned.filter(|learned| learned.local == tip) {
            return Ok(Survey {
                tip: Some(tip),
                pending: learned.ahead.commits,
                oldest_pending: learned.ahead.oldest,
                behind: Some(learned.behind),
            });
        }
        // If the remote's tip is not in this repository, the count starts from where the histories are known to part, or from
        // the last known tip.
        let basis = match (remote, learned) {
            (Some(remote), _) if self.repository.has_commit(remote) => Some(remote),
            (_, Some(learned)) => learned.base,
            _ => self
                .last_known_remote()?
                .filter(|known| self.repository.has_commit(*known)),
        };
        let counted = self.count(tip, basis)?;
        self.counted = Some(counted);
        let behind = match remote {
            Some(remote) if basis != Some(remote) || !counted.is_descendant => {
                self.repository.behind(tip, remote)?
            }
            _ => Some(0),
        };
        Ok(Survey {
            tip: Some(tip),
            pending: counted.ahead.commits,
            oldest_pending: counted.ahead.oldest,
            behind,
        })
    }

    /// Counts the commits of `tip` that `basis` lacks: only the new ones, if the last count is an ancestor.
    fn count(&self, tip: Oid, basis: Option<Oid>) -> Result<Counted, LocalError> {
        let last = self
            .counted
            .filter(|last| last.basis == basis && last.is_descendant);
        if let Some(last) = last
            && let (new, true) = self.repository.ahead_of(tip, last.tip)?
        {
            let ahead = Ahead {
                commits: last.ahead.commits + new.commits,
                oldest: last.ahead.oldest.into_iter().chain(new.oldest).min(),
            };
            return Ok(Counted { tip, ahead, ..last });
        }
        let (ahead, is_descendant) = match basis {
            Some(basis) => self.repository.ahead_of(tip, basis)?,
            None => (self.repository.ahead(tip, &[])?, true),
        };
        Ok(Counted {
            basis,
            tip,
            ahead,
            is_descendant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sandbox;
    use super::*;

    #[test]
    fn the_branch_is_read_while_git_converts_its_refs() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let tip = sandbox.commit(&work, "one");
        // git converts no reflogs, and a bare repository has none.
        sandbox.git(
            &work,
            &["clone", "-q", "--bare", "--ref-format=files", ".", "../bare.git"],
        );
        let bare = sandbox.path("bare.git");
        let target = Target {
            git_dir: bare.clone(),
            refname: "refs/heads/main".to_owned(),
            remote_name: None,
        };
        let mut branch = LocalBranch::open(target, Environment::default()).expect("opens");
        thread::scope(|scope| {
            let converting = scope.spawn(|| {
                for _ in 0..40 {
                    sandbox.git(&bare, &["refs", "migrate", "--ref-format=reftable"]);
                    sandbox.git(&bare, &["refs", "migrate", "--ref-format=files"]);
                }
            });
            let mut reads = 0;
            while !converting.is_finished() {
                // Between `refresh` and the read the refs may go: that is an error, and never a missing branch.
                let read = branch.refresh().and_then(|()| branch.tip());
                assert!(
                    matches!(read, Ok(Some(read)) if read == tip) || read.is_err(),
                    "{read:?}"
                );
                reads += u32::from(read.is_ok());
            }
            assert!(reads > 0);
        });
        branch.refresh().expect("opens");
        assert_eq!(branch.tip().expect("readable"), Some(tip));
    }

    #[test]
    fn commits_are_counted_on_from_the_last_count_unless_the_branch_was_set_back() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let commit = |name: &str| sandbox.commit(&work, name);
        let base = commit("base");
        let target = Target {
            git_dir: work.join(".git"),
            refname: "refs/heads/main".to_owned(),
            remote_name: None,
        };
        let mut branch = LocalBranch::open(target, Environment::default()).expect("opens");
        let mut expect = |remote, pending, behind| {
            let survey = branch.survey(remote).expect("readable");
            assert_eq!((survey.pending, survey.behind), (pending, behind));
            survey
        };
        expect(None, 1, Some(0));
        expect(Some(base), 0, Some(0));
        let one = commit("one");
        expect(Some(base), 1, Some(0));
        commit("two");
        expect(Some(base), 2, Some(0));
        expect(None, 3, Some(0));
        sandbox.git(&work, &["checkout", "-q", "-b", "side", &base.to_string()]);
        let side = commit("side");
        sandbox.git(&work, &["checkout", "-q", "main"]);
        sandbox.git(&work, &["merge", "-q", "--no-edit", "side"]);
        expect(Some(base), 4, Some(0));
        expect(Some(side), 3, Some(0));
        commit("four");
        expect(Some(side), 4, Some(0));
        sandbox.git(&work, &["reset", "-q", "--hard", &one.to_string()]);
        expect(Some(side), 1, Some(1));
        // The remote's tip is not in this repository, and what it last had is not known.
        let elsewhere = Oid::sha1([7; 20]);
        let survey = expect(Some(elsewhere), 2, None);
        assert_eq!(survey.tip, Some(one));
    }
}
