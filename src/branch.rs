//! The followed branch: what the daemon asks of the local repository, kept off its thread.
//!
//! Every question is asked on a blocking thread, because a disk may be slow. It reads; the one thing it writes
//! is the remote-tracking ref.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use tokio::task::spawn_blocking;

use crate::config::{Config, Environment};
use crate::daemon::Branch;
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::pack::{self, PackRequest, PackStats};
use crate::repository::{Ahead, Relation, Repository, tracking_ref};
use crate::state::Survey;
use crate::watch::RefWatcher;

/// Which branch of which repository goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The repository, found once at the start: the current directory may change later.
    pub git_dir: PathBuf,
    /// The branch, in full.
    pub refname: String,
    /// The name of the remote; `None` for a URL or a path, which has no remote-tracking ref.
    pub remote_name: Option<String>,
}

/// The commits that the remote lacked when they were last counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// What the remote had; `None` is nothing.
    basis: Option<Oid>,
    tip: Oid,
    ahead: Ahead,
    /// Whether the tip is known to contain the basis, so that nothing on top of the tip is in the basis.
    contains_basis: bool,
}

impl Counted {
    const fn in_sync(tip: Oid) -> Self {
        Self {
            basis: Some(tip),
            tip,
            ahead: Ahead {
                commits: 0,
                oldest: None,
            },
            contains_basis: true,
        }
    }
}

/// A repository with one of its branches, to be asked from a blocking thread.
#[derive(Debug)]
pub struct LocalSide {
    repository: Repository,
    target: Target,
    environment: Environment,
    /// So that each commit of a long outage costs the counting of one commit, not of all.
    counted: Option<Counted>,
    /// The remote's tip as last confirmed, where there is no remote-tracking ref to keep it.
    confirmed: Option<Oid>,
}

impl LocalSide {
    /// Opens the repository.
    ///
    /// # Errors
    ///
    /// When it is not there any more.
    pub fn open(target: Target, environment: Environment) -> Result<Self, Failure> {
        Ok(Self {
            repository: open(&target, &environment)?,
            target,
            environment,
            counted: None,
            confirmed: None,
        })
    }

    /// Opens the repository anew if packs or alternates came or went. libgit2 lets go of no pack that it has read, and the
    /// space of one that `git gc` has deleted is free only then.
    fn renew(&mut self) -> Result<(), Failure> {
        if self.repository.objects_changed() {
            self.repository = open(&self.target, &self.environment)?;
        }
        Ok(())
    }

    /// The repository.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tip of the branch; `None` while it does not exist.
    ///
    /// # Errors
    ///
    /// When the repository cannot be read.
    pub fn tip(&self) -> Result<Option<Oid>, Failure> {
        self.repository.branch_tip(&self.target.refname)
    }

    /// The last tip that the remote is known to have had. A remote-tracking ref that cannot be read (a power loss leaves
    /// empty files) is as good as none: it only remembers.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be read.
    pub fn last_known_remote(&self) -> Result<Option<Oid>, Failure> {
        let Some(refname) = self.tracking_ref(&self.config()?) else {
            return Ok(self.confirmed);
        };
        let remembered = self.repository.branch_tip(&refname);
        Ok(remembered.unwrap_or_else(|failure| {
            tracing::debug!(%failure, "the remote-tracking ref cannot be read");
            self.confirmed
        }))
    }

    fn config(&self) -> Result<Config, Failure> {
        Config::load(
            &self.environment,
            self.repository.common_dir(),
            self.repository.git_dir(),
        )
    }

    fn tracking_ref(&self, config: &Config) -> Option<String> {
        let remote = self.target.remote_name.as_deref()?;
        tracking_ref(config, remote, &self.target.refname)
    }

    /// Keeps the remote's tip for the next start. That it cannot be written is no failure of a push.
    pub fn remember_remote(&mut self, tip: Oid) {
        self.confirmed = Some(tip);
        let written = self.config().and_then(|config| match self.tracking_ref(&config) {
            Some(refname) => self.repository.set_tracking_tip(&refname, tip, &config),
            None => Ok(()),
        });
        if let Err(failure) = written {
            tracing::warn!(%failure, "the remote-tracking ref could not be updated");
        }
    }

    /// How the local tip stands to the remote's.
    ///
    /// # Errors
    ///
    /// When the repository cannot be read.
    pub fn relation(&self, local: Oid, remote: Option<Oid>) -> Result<Relation, Failure> {
        self.repository
            .relation(local, remote, || self.last_known_remote())
    }

    /// The branch, compared with the remote's tip.
    ///
    /// # Errors
    ///
    /// When the repository cannot be read.
    pub fn survey(&mut self, remote: Option<Oid>) -> Result<Survey, Failure> {
        let Some(tip) = self.tip()? else {
            return Ok(Survey::default());
        };
        if remote == Some(tip) {
            // As nearly each time that an idle daemon looks; without reading an object.
            self.counted = Some(Counted::in_sync(tip));
            return Ok(Survey {
                tip: remote,
                behind: Some(0),
                ..Survey::default()
            });
        }
        // What the remote has and this repository lacks cannot be counted from; the last known tip can.
        let basis = match remote {
            Some(remote) if self.repository.has_commit(remote) => Some(remote),
            _ => self
                .last_known_remote()?
                .filter(|known| self.repository.has_commit(*known)),
        };
        let Counted {
            ahead,
            contains_basis,
            ..
        } = self.count_ahead(tip, basis)?;
        let behind = match remote {
            Some(remote) if basis == Some(remote) && contains_basis => Some(0),
            Some(remote) => self.repository.behind(tip, remote)?,
            None => Some(0),
        };
        Ok(Survey {
            tip: Some(tip),
            pending: ahead.commits,
            oldest_pending: ahead.oldest,
            behind,
        })
    }

    fn count_ahead(&mut self, tip: Oid, basis: Option<Oid>) -> Result<Counted, Failure> {
        let counted = match self.counted.filter(|counted| counted.basis == basis) {
            Some(counted) if counted.tip == tip => counted,
            Some(counted) => self.count_on(counted, tip)?,
            None => self.count(tip, basis)?,
        };
        self.counted = Some(counted);
        Ok(counted)
    }

    fn count(&self, tip: Oid, basis: Option<Oid>) -> Result<Counted, Failure> {
        let (ahead, contains_basis) = match basis {
            Some(basis) => self.repository.ahead_of(tip, basis)?,
            None => (self.repository.ahead(tip, &[])?, true),
        };
        Ok(Counted {
            basis,
            tip,
            ahead,
            contains_basis,
        })
    }

    /// Counts only the commits that came since, unless some were taken back.
    fn count_on(&self, counted: Counted, tip: Oid) -> Result<Counted, Failure> {
        if !counted.contains_basis {
            return self.count(tip, counted.basis);
        }
        let (new, is_continued) = self.repository.ahead_of(tip, counted.tip)?;
        if !is_continued {
            return self.count(tip, counted.basis);
        }
        let Ahead { commits, oldest } = counted.ahead;
        let ahead = Ahead {
            commits: commits + new.commits,
            oldest: [oldest, new.oldest].into_iter().flatten().min(),
        };
        Ok(Counted {
            tip,
            ahead,
            ..counted
        })
    }
}

fn open(target: &Target, environment: &Environment) -> Result<Repository, Failure> {
    Ok(Repository::open(Some(&target.git_dir), environment)?)
}

/// A [`LocalSide`] that can be asked from the daemon's thread. It is reopened when the repository was replaced.
#[derive(Debug, Clone)]
pub struct SharedSide {
    target: Target,
    environment: Environment,
    side: Arc<Mutex<Option<LocalSide>>>,
}

impl SharedSide {
    /// Opens the repository at the first question, in no particular environment.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self::in_environment(target, Environment::default())
    }

    /// Opens the repository at the first question, as git does in an environment.
    #[must_use]
    pub fn in_environment(target: Target, environment: Environment) -> Self {
        Self {
            target,
            environment,
            side: Arc::new(Mutex::new(None)),
        }
    }

    /// What is followed.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Asks on a blocking thread. After a failure the repository is opened anew for the next question.
    ///
    /// # Errors
    ///
    /// Those of the question, and of opening the repository.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut LocalSide) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let side = Arc::clone(&self.side);
        let (target, environment) = (self.target.clone(), self.environment.clone());
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let asked = spawn_blocking(move || {
            tracing::dispatcher::with_default(&dispatch, || {
                let mut side = side.lock().unwrap_or_else(PoisonError::into_inner);
                let open = match &mut *side {
                    Some(open) => open,
                    closed => closed.insert(LocalSide::open(target, environment)?),
                };
                let answer = open.renew().and_then(|()| question(open));
                if answer.is_err() {
                    *side = None;
                }
                answer
            })
        });
        asked
            .await
            .unwrap_or_else(|panic| Err(Failure::new(Kind::Local, format!("a bug: {panic}"))))
    }

    /// Makes a pack and sends it through a channel, on a thread that may block, with a repository of its own so
    /// that looks at the branch need not wait for it.
    ///
    /// # Errors
    ///
    /// When the repository is not there any more, and as [`pack::stream_pack`]. A failure is sent too.
    pub fn stream_pack(
        &self,
        request: &PackRequest,
        sender: Sender<Result<Bytes, Failure>>,
    ) -> Result<PackStats, Failure> {
        match open(&self.target, &self.environment) {
            Ok(repository) => pack::stream_pack(repository.objects(), request, sender),
            Err(failure) => {
                // Where the receiver is gone nobody wants to know.
                let _ = sender.blocking_send(Err(failure.clone()));
                Err(failure)
            }
        }
    }

    fn close(&self) {
        *self.side.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The branch with its watcher.
#[derive(Debug)]
pub struct WatchedBranch {
    side: SharedSide,
    /// `None` where the caller turned watching off, and at the end.
    watcher: RefCell<Option<Arc<RefWatcher>>>,
}

impl WatchedBranch {
    /// Begins to follow the branch.
    #[must_use]
    pub fn start(side: SharedSide, common_dir: &Path, watch: bool) -> Self {
        let watcher = watch.then(|| {
            let Target { git_dir, refname, .. } = side.target();
            Arc::new(RefWatcher::start(common_dir, git_dir, refname))
        });
        Self {
            side,
            watcher: RefCell::new(watcher),
        }
    }
}

impl Branch for WatchedBranch {
    async fn survey(&self, remote: Option<Oid>) -> Result<Survey, Failure> {
        let watcher = self.watcher.borrow().clone();
        let survey = self.side.ask(move |side| {
            // Armed before the ref is read: a later change wakes the daemon.
            if let Some(watcher) = watcher {
                watcher.rearm();
            }
            side.survey(remote)
        });
        survey.await
    }

    async fn tip(&self) -> Result<Option<Oid>, Failure> {
        self.side.ask(|side| side.tip()).await
    }

    async fn contains(&self, ancestor: Oid, descendant: Oid) -> bool {
        self.side
            .ask(move |side| {
                // A commit that is not here (yet) is contained in nothing.
                let repository = side.repository();
                Ok(
                    repository.has_commit(ancestor)
                        && repository.is_ancestor_or_same(ancestor, descendant)?,
                )
            })
            .await
            .unwrap_or_else(|failure| {
                tracing::debug!(%failure, "the history could not be read");
                false
            })
    }

    async fn last_known_remote(&self) -> Option<Oid> {
        self.side
            .ask(|side| side.last_known_remote())
            .await
            .unwrap_or_default()
    }

    async fn changed(&self) {
        let watcher = self.watcher.borrow().clone();
        match watcher {
            Some(watcher) => watcher.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        // When this returns, no look at the branch is under way that would hold the watcher.
        self.side.close();
        if let Some(watcher) = self.watcher.take() {
            // The kernel may take a while.
            let _ = spawn_blocking(move || drop(watcher)).await;
        }
    }
}
