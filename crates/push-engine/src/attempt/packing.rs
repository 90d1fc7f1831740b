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
use tokio::sync::oneshot;
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
pub(super) const LARGE: u64 = 30;

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
    /// Makes the pack in the background, once it is known that it has at most about `most` bytes or cannot be divided; `None` if
    /// it has more. `on_packed` is called when all of it is made.
    pub(super) async fn pack(
        &self,
        session: &dyn Session,
        push: &Push<'_>,
        planned: &Planned,
        most: u64,
        on_packed: impl FnOnce() + Send + 'static,
    ) -> Option<Packing> {
        let (sender, pack) = mpsc::channel(PACK_PIECES);
        let (fits, is_fit) = oneshot::channel();
        let packer = Packer {
            branch: self.branch.clone(),
            root: self.destination.root.clone(),
            settings: self.settings(),
            encoding: Encoding::new(session.advertisement(), !push.shallow.is_empty()),
            counted: push.counted,
            least: if planned.suits_git && !self.packs_here.load(Ordering::Relaxed) {
                LARGE
            } else {
                u64::MAX
            },
            most: if push.is_divisible { most } else { u64::MAX },
        };
        let (request, transfer) = (planned.request.clone(), self.transfer.clone());
        let making = async move {
            let made = packer.pack(request, sender, Fits(Some(fits))).await;
            if made.result.is_ok() {
                transfer.all_passed();
            }
            on_packed();
            made
        };
        let making = spawn(making.with_current_subscriber());
        // A failure comes by the channel of the pack.
        is_fit.await.unwrap_or(true).then_some((pack, making))
    }

    /// Counts the commits of a pack that the transport makes itself. Its size is not known; `None` if the objects of the
    /// repository have more bytes than `most` and it can be divided.
    pub(super) async fn count(&self, push: &Push<'_>, planned: &Planned, most: u64) -> Option<Packing> {
        let branch = self.branch.clone();
        if push.is_divisible && self.may_be_large(push) {
            let store = turns::pack(move || Ok(branch.objects()?.bytes()));
            if store.await.is_ok_and(|bytes| bytes > most) {
                return None;
            }
        }
        let (_, pack) = mpsc::channel(PACK_PIECES);
        let (branch, request) = (self.branch.clone(), planned.request.clone());
        let counting = async move {
            let counted = branch.ask(move |branch| {
                let ahead = branch.repository().ahead(request.tip, &request.remote_has)?;
                Ok(ahead.commits)
            });
            let commits = counted.await.unwrap_or_default();
            Ok(Packed { commits, bytes: 0 }).into()
        };
        Some((pack, spawn(counting.with_current_subscriber())))
    }

    /// Whether it is worth a look at the sizes of what is pushed.
    fn may_be_large(&self, push: &Push<'_>) -> bool {
        self.division().limit.is_lowered() || push.counted.is_none_or(|counted| counted >= LARGE)
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
    /// About the most bytes of a pack that can be divided.
    most: u64,
}

/// Tells once whether the pack fits.
struct Fits(Option<oneshot::Sender<bool>>);

impl Fits {
    fn tell(&mut self, fits: bool) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(fits);
        }
    }
}

/// What a thread that may block has done for a pack.
enum Work {
    /// It has made and sent the pack.
    Made(PackStats),
    /// The pack would be too large.
    TooLarge,
    /// It has left the pack to git.
    Left {
        /// The number of commits, if it was found.
        commits: Option<u64>,
        on_remote: Vec<Oid>,
        sender: PackSender,
        fits: Fits,
    },
}

impl Packer {
    async fn pack(self, request: PackRequest, sender: PackSender, fits: Fits) -> Made {
        let (commits, on_remote, sender, mut fits) = match self.work(&request, sender, self.least, fits).await
        {
            Ok(Work::Left {
                commits,
                on_remote,
                sender,
                fits,
            }) => (commits, on_remote, sender, fits),
            Ok(Work::Made(stats)) => return Ok(stats.into()).into(),
            Ok(Work::TooLarge) => return Err(LocalError::new("the pack is too large")).into(),
            Err(failure) => return Err(failure).into(),
        };
        let target = self.branch.target();
        let Some(git) = PackObjects::find(&self.root, &target.git_dir, &self.settings) else {
            return self.pack_here(&request, sender, fits).await.into();
        };
        let about = commits.or(self.counted);
        tracing::debug!(commits = about, "git makes the pack");
        fits.tell(true);
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
                return self.pack_here(&request, sender, fits).await.into();
            }
        };
        Made {
            result,
            by_git: Some(request),
        }
    }

    async fn pack_here(
        &self,
        request: &PackRequest,
        sender: PackSender,
        fits: Fits,
    ) -> Result<Packed, LocalError> {
        match self.work(request, sender, u64::MAX, fits).await? {
            Work::Made(stats) => Ok(stats.into()),
            Work::TooLarge => Err(LocalError::new("the pack is too large")),
            Work::Left { .. } => Err(LocalError::new("a bug: no backlog is as large")),
        }
    }

    /// Makes the pack, unless it is too large, or left to git: from `least` commits on, if most of them lie in packs. A failure
    /// is sent too.
    async fn work(
        &self,
        request: &PackRequest,
        sender: PackSender,
        least: u64,
        mut fits: Fits,
    ) -> Result<Work, LocalError> {
        // Once it is told that it fits, there is no way back.
        let most = if fits.0.is_some() { self.most } else { u64::MAX };
        let transfer = self.settings.transfer.clone();
        let (branch, request) = (self.branch.clone(), request.clone());
        let counted = self.counted;
        turns::pack(move || {
            let looked = branch.objects().and_then(|store| {
                let is_for_git = |commits| commits >= least && is_packed(&store, commits);
                let for_git = || {
                    let on_remote = pack::on_remote(&store, &request);
                    on_remote.map(|on_remote| Some((on_remote, store.bytes() <= most)))
                };
                if counted.map_or_else(
                    || match least {
                        u64::MAX => Ok(false),
                        _ => pack::is_long_history(
                            &store,
                            &request,
                            least.max(store.loose_objects() as u64 + 1),
                        ),
                    },
                    |counted| Ok(is_for_git(counted)),
                )? {
                    return Ok((None, for_git()?));
                }
                let backlog = Backlog::list(&store, &request)?;
                let for_git = if is_for_git(backlog.commits() as u64) {
                    for_git()?
                } else {
                    None
                };
                Ok((Some(backlog), for_git))
            });
            match looked {
                Ok((Some(backlog), None)) => {
                    let told = transfer.clone();
                    let writer = ChannelWriter::new(sender).telling(move |bytes| told.passed(bytes));
                    let begins = |objects| {
                        transfer.counted(objects);
                        fits.tell(true);
                    };
                    let made =
                        backlog.stream(writer, most, begins, |objects| transfer.handed_over(objects))?;
                    fits.tell(false);
                    Ok(made.map_or(Work::TooLarge, Work::Made))
                }
                Ok((backlog, Some((on_remote, true)))) => Ok(Work::Left {
                    commits: backlog.map(|backlog| backlog.commits() as u64),
                    on_remote,
                    sender,
                    fits,
                }),
                Ok(_) => {
                    fits.tell(false);
                    Ok(Work::TooLarge)
                }
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
