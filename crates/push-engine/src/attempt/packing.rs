//! Who makes a pack: this package, or git for a large backlog that lies in packs.
//!
//! git copies stored deltas. Here all objects are inflated, checked and compared again, which is faster for loose objects, as a
//! service writes them, and slower for those in packs.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use git_local::LocalError;
use git_local::pack::{self, Backlog, ChannelWriter, PackRequest, PackStats};
use git_local::repository::ObjectStore;
use git_wire::oid::Oid;
use tokio::spawn;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;
use tracing::instrument::WithSubscriber;

use super::RemotePusher;
use super::plan::Planned;
use super::send::Push;
use crate::branch::SharedBranch;
use crate::failure::Failure;
use crate::transport::{Encoding, PackObjects, PackReceiver, Session, Settings};
use crate::turns;

/// Pieces of the pack that are ready before the remote takes them: the back-pressure on its generation.
const PACK_PIECES: usize = 8;

/// The least commits for which git makes the pack: `bench/README.md` has what was measured. Fewer gain little, and whether so few
/// lie in packs cannot be told from a sample of the loose objects.
const LARGE: u64 = 30;

type PackSender = Sender<Result<Bytes, LocalError>>;

/// A pack, and what is known at its end.
pub(super) type Packing = (PackReceiver, JoinHandle<Made>);

/// The end of a pack.
pub(super) struct Made {
    pub(super) result: Result<Packed, LocalError>,
    /// The request, if git made the pack or began to.
    pub(super) by_git: Option<PackRequest>,
}

impl From<Result<Packed, LocalError>> for Made {
    fn from(result: Result<Packed, LocalError>) -> Self {
        Self { result, by_git: None }
    }
}

/// The numbers of a pack.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Packed {
    pub(super) commits: u64,
    pub(super) bytes: u64,
}

impl From<PackStats> for Packed {
    fn from(stats: PackStats) -> Self {
        Self {
            commits: stats.commits as u64,
            bytes: stats.bytes,
        }
    }
}

impl RemotePusher {
    /// Makes the pack in the background. `on_packed` is called when all of it is made.
    pub(super) fn pack(
        &self,
        session: &dyn Session,
        push: &Push<'_>,
        Planned { request, suits_git }: Planned,
        on_packed: impl FnOnce() + Send + 'static,
    ) -> Packing {
        let (sender, pack) = mpsc::channel(PACK_PIECES);
        let packer = Packer {
            branch: self.branch.clone(),
            root: self.destination.root.clone(),
            settings: self.settings(),
            encoding: Encoding::new(session.advertisement(), !push.shallow.is_empty()),
            counted: push.counted,
            least: if suits_git && !self.packs_here.load(Ordering::Relaxed) {
                LARGE
            } else {
                u64::MAX
            },
        };
        let making = async move {
            let made = packer.pack(request, sender).await;
            on_packed();
            made
        };
        (pack, spawn(making.with_current_subscriber()))
    }

    /// Counts the commits of a pack that the transport makes itself. Its size is not known.
    pub(super) fn count(&self, request: PackRequest) -> Packing {
        let (_, pack) = mpsc::channel(PACK_PIECES);
        let branch = self.branch.clone();
        let counting = async move {
            let counted = branch.ask(move |branch| {
                let ahead = branch.repository().ahead(request.tip, &request.remote_has)?;
                Ok(ahead.commits)
            });
            let commits = counted.await.unwrap_or_default();
            Ok(Packed { commits, bytes: 0 }).into()
        };
        (pack, spawn(counting.with_current_subscriber()))
    }

    /// Finds the damaged or missing object for which git could not make a pack, or the remote could not use git's: git copies
    /// what it does not check. If there is none, packs are made here until the remote takes one.
    pub(super) async fn fault_of_pack(&self, request: PackRequest) -> Option<Failure> {
        let (sender, mut pack) = mpsc::channel(PACK_PIECES);
        let branch = self.branch.clone();
        let looking = turns::pack(move || {
            match branch.objects() {
                Ok(store) => drop(pack::stream_pack(&store, &request, sender)),
                Err(failure) => ChannelWriter::new(sender).fail(failure),
            }
            Ok(())
        });
        spawn(looking.with_current_subscriber());
        while let Some(piece) = pack.recv().await {
            if let Err(failure) = piece {
                return Some(failure.into());
            }
        }
        self.packs_here.store(true, Ordering::Relaxed);
        None
    }
}

/// Makes one pack.
struct Packer {
    branch: SharedBranch,
    root: PathBuf,
    settings: Settings,
    encoding: Encoding,
    /// The commits, as the last survey counted them; `None` if it was about other tips.
    counted: Option<u64>,
    /// The least commits for which git makes the pack.
    least: u64,
}

/// What a thread that may block has done for a pack.
enum Step {
    /// It has made and sent the pack.
    Made(PackStats),
    /// It has left the pack to git.
    Left {
        /// The number of commits, if it was found.
        commits: Option<u64>,
        on_remote: Vec<Oid>,
        sender: PackSender,
    },
}

impl Packer {
    async fn pack(self, request: PackRequest, sender: PackSender) -> Made {
        let (commits, on_remote, sender) = match self.step(&request, sender, self.least).await {
            Ok(Step::Left {
                commits,
                on_remote,
                sender,
            }) => (commits, on_remote, sender),
            Ok(Step::Made(stats)) => return Ok(stats.into()).into(),
            Err(failure) => return Err(failure).into(),
        };
        let target = self.branch.target();
        let Some(git) = PackObjects::find(&self.root, &target.git_dir, &self.settings) else {
            return self.pack_here(&request, sender).await.into();
        };
        let about = commits.or(self.counted).unwrap_or_default();
        tracing::debug!(commits = about, "git makes the pack");
        let making = git.stream(request.tip, &on_remote, about, self.encoding, &sender);
        let (made, commits) = tokio::join!(making, self.count(&request, commits));
        let result = match made {
            Ok(bytes) => Ok(Packed { commits, bytes }),
            Err(unmade) if unmade.has_begun => {
                // Without a receiver there is no one to tell.
                let _ = sender.send(Err(unmade.failure.clone())).await;
                Err(unmade.failure)
            }
            Err(unmade) => {
                tracing::debug!(failure = %unmade.failure, "git did not make the pack");
                return self.pack_here(&request, sender).await.into();
            }
        };
        Made {
            result,
            by_git: Some(request),
        }
    }

    async fn pack_here(&self, request: &PackRequest, sender: PackSender) -> Result<Packed, LocalError> {
        match self.step(request, sender, u64::MAX).await? {
            Step::Made(stats) => Ok(stats.into()),
            Step::Left { .. } => Err(LocalError::new("a bug: no backlog is as large")),
        }
    }

    /// Makes the pack, unless it is left to git: from `least` commits on, if most of them lie in packs. A failure is sent too.
    async fn step(&self, request: &PackRequest, sender: PackSender, least: u64) -> Result<Step, LocalError> {
        let (branch, request) = (self.branch.clone(), request.clone());
        let counted = self.counted.filter(|&counted| counted >= least);
        turns::pack(move || {
            let looked = branch.objects().and_then(|store| {
                if counted.is_some_and(|counted| is_packed(&store, counted)) {
                    return Ok((None, Some(pack::on_remote(&store, &request)?)));
                }
                let backlog = Backlog::list(&store, &request)?;
                let commits = backlog.commits() as u64;
                let is_for_git = commits >= least && is_packed(&store, commits);
                let on_remote = is_for_git.then(|| pack::on_remote(&store, &request));
                Ok((Some(backlog), on_remote.transpose()?))
            });
            match looked {
                Ok((Some(backlog), None)) => backlog.stream(ChannelWriter::new(sender)).map(Step::Made),
                Ok((backlog, on_remote)) => Ok(Step::Left {
                    commits: backlog.map(|backlog| backlog.commits() as u64),
                    on_remote: on_remote.unwrap_or_default(),
                    sender,
                }),
                Err(failure) => {
                    ChannelWriter::new(sender).fail(failure.clone());
                    Err(failure)
                }
            }
        })
        .await
    }

    /// Counts the commits, unless that was done. Other branches of the remote may have some that the survey counted.
    async fn count(&self, request: &PackRequest, commits: Option<u64>) -> u64 {
        if let Some(commits) = commits {
            return commits;
        }
        let (branch, request) = (self.branch.clone(), request.clone());
        let counting = turns::pack(move || Ok(Backlog::list(&branch.objects()?, &request)?.commits() as u64));
        counting.await.ok().or(self.counted).unwrap_or_default()
    }
}

/// Whether most of so many commits must lie in packs: each would be one loose object or more.
fn is_packed(store: &ObjectStore, commits: u64) -> bool {
    (store.loose_objects() as u64) < commits
}
