//! Restores a lost repository from its remote, before a daemon starts on it.
//!
//! Where there is nothing, it makes a bare clone and puts it in place in one step, so that a crash leaves nothing that could be
//! taken for a repository. A repository that is there is checked and left alone: whether it is ahead, behind or diverged is for
//! the daemon to find out. It deletes nothing but its own unfinished clones, and retries nothing.
//!
//! git itself makes the clone ([`crate::transport`] runs it), so the credentials, ssh settings and environment of pushes apply.

mod options;
mod progress;
mod site;
mod storing;
mod workspace;

use std::cell::RefCell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use git_local::config::{Config, Environment};
use git_local::repository::{Head, Repository};
use git_local::url::RemoteUrl;
use git_local::{LocalError, redact_url};
use git_wire::oid::Oid;
use tokio::time::{Instant, sleep};

pub use self::options::RestoreOptions;
use self::progress::Meter;
pub use self::progress::{RestorePhase, RestoreProgress};
use self::site::{Found, Site, Vacancy};
use self::workspace::Workspace;
use crate::failure::{Failure, Kind};
use crate::options::short_branch_name;
use crate::transport::{Background, CloneSource, Cloning};
use crate::turns::Lane;

/// How often a place is looked at that another process restores. The end of its lock raises no event.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// How long the end of git's processes may take before their files are removed.
const END_LIMIT: Duration = Duration::from_secs(2);

const NO_REMOTE_BRANCH_HINT: &str = "Nothing was changed. Check the options branch and url; if this service is to begin a new branch, push its first commit to the remote once.";

const NO_LOCAL_BRANCH_HINT: &str = "Nothing was changed. Check the options branch and repoPath; git fetch can bring a branch that only the remote has.";

const NOT_EMPTY_HINT: &str = "Nothing was changed. The repository here is empty and the remote is not: remove the empty one, and the next start restores it.";

/// Why nothing was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreError {
    /// Something else is in the place: no repository, a part of one, or one that does not belong to the remote.
    NotTheRepository(Failure),
    /// The clone could not be made, or the place cannot be read.
    Failed(Failure),
    /// The caller gave up.
    Aborted,
}

impl From<Failure> for RestoreError {
    fn from(failure: Failure) -> Self {
        Self::Failed(with_hint_for_restoring(failure))
    }
}

impl From<LocalError> for RestoreError {
    fn from(error: LocalError) -> Self {
        Self::Failed(error.into())
    }
}

/// The hints of these kinds advise for a push.
fn with_hint_for_restoring(failure: Failure) -> Failure {
    let kind = failure.kind();
    if failure.hint() != kind.hint() {
        return failure;
    }
    match kind {
        Kind::Timeout => failure.with_hint("The server did not answer in time: check its load and the network in between, then try again, or raise connectTimeoutMs or idleTimeoutMs."),
        Kind::Unknown => failure.with_hint("The cause is unknown: read the message, and try `git clone --bare` by hand with the same environment."),
        Kind::Rejected => failure.with_hint("The server declined the request: read its message, and check that this account may read the repository."),
        _ => failure,
    }
}

/// The repository is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Whether a clone was made.
    pub is_restored: bool,
    /// The tip of the branch; `None` if the remote is empty.
    pub commit: Option<Oid>,
}

/// What to restore, from where.
#[derive(Debug, Clone)]
pub struct Request {
    /// The checked options.
    pub options: RestoreOptions,
    /// The caller's environment.
    pub environment: Environment,
    /// The directory below which relative paths are.
    pub current: PathBuf,
}

/// Makes sure that the repository is there, or says why not; then nothing was changed. `aborted` ends it early, `tell` gets its
/// progress.
///
/// # Errors
///
/// See [`RestoreError`].
pub async fn restore(
    request: Request,
    aborted: impl Future<Output = ()>,
    tell: Box<dyn Fn(RestoreProgress)>,
) -> Result<Restored, RestoreError> {
    let background = Background::default();
    let restoring = Restoring {
        site: Site::new(&request.current.join(&request.options.repo_path)),
        request: Arc::new(request),
        lane: Lane::default(),
        background: background.clone(),
        meter: Meter::new(tell),
        workspace: RefCell::default(),
    };
    let outcome = tokio::select! {
        biased;
        outcome = restoring.run() => outcome,
        () = aborted => Err(RestoreError::Aborted),
    };
    background.close(Instant::now() + END_LIMIT).await;
    restoring.clean().await;
    match &outcome {
        Ok(restored) => tracing::info!(path = restoring.site.shown(), ?restored, "restored"),
        Err(error) => tracing::warn!(path = restoring.site.shown(), ?error, "not restored"),
    }
    outcome
}

/// One call. Whatever touches the disk runs on blocking threads, one after the other.
struct Restoring {
    request: Arc<Request>,
    site: Site,
    lane: Lane,
    background: Background,
    meter: Meter,
    /// Dropping the last reference to it removes what is unfinished, which may block.
    workspace: RefCell<Option<Arc<Workspace>>>,
}

impl Restoring {
    async fn run(&self) -> Result<Restored, RestoreError> {
        let mut is_restored = false;
        loop {
            let vacancy = match self.inspect().await? {
                Found::Vacant(vacancy) => vacancy,
                Found::Repository(Look { tip: Some(tip), .. }) => {
                    return Ok(Restored {
                        is_restored,
                        commit: Some(tip),
                    });
                }
                Found::Repository(look) => {
                    self.check_empty(&look, is_restored).await?;
                    return Ok(Restored {
                        is_restored,
                        commit: None,
                    });
                }
            };
            let Some(workspace) = self.enter(vacancy).await? else {
                self.meter.begin(RestorePhase::Waiting);
                sleep(LOCK_POLL).await;
                continue;
            };
            // The place may have changed before this process got the lock; an unfinished delivery is continued.
            if !workspace.holds_whole() {
                if !matches!(self.inspect().await?, Found::Vacant(now) if now == vacancy) {
                    // Not the last reference, which is dropped where it may block.
                    drop(workspace);
                    self.clean().await;
                    continue;
                }
                self.make(&workspace).await?;
            }
            self.meter.begin(RestorePhase::Storing);
            is_restored |= self.blocking(move |_| workspace.deliver()).await?;
            self.clean().await;
        }
    }

    /// What is in the place.
    async fn inspect(&self) -> Result<Found, RestoreError> {
        let site = self.site.clone();
        self.blocking(move |request| site.inspect(request)).await
    }

    /// Makes the directory in which the clone is made; `None` while another process has it.
    async fn enter(&self, vacancy: Vacancy) -> Result<Option<Arc<Workspace>>, RestoreError> {
        let site = self.site.clone();
        let entered = self
            .blocking(move |_| Ok(Workspace::enter(&site, vacancy)?.map(Arc::new)))
            .await?;
        self.workspace.replace(entered.clone());
        Ok(entered)
    }

    /// Makes a clone in the workspace, and checks it.
    async fn make(&self, workspace: &Arc<Workspace>) -> Result<(), RestoreError> {
        self.meter.begin(RestorePhase::Connecting);
        let source = self.blocking(|request| Source::resolve(request, None)).await?;
        let cloning = self.cloning()?;
        let into = workspace.clone_path();
        cloning
            .clone_bare(&source.to_clone, into, &|line| self.meter.take_line(line))
            .await?;
        let (path, secret) = (into.to_owned(), source.secret.is_some());
        let written = source.to_clone.written_url().to_owned();
        let look = self
            .blocking(move |request| {
                if secret {
                    storing::replace_url(&path, &written, &request.options.url)?;
                }
                let repository =
                    Repository::open(Some(&path), &request.environment).map_err(LocalError::from)?;
                Look::at(&repository, request)
            })
            .await?;
        if look.tip.is_none() {
            self.check_remote_empty(&cloning, into, &look).await?;
        }
        if let Some(wanted) = &look.wanted
            && !look.is_head_on_wanted()
        {
            cloning.set_head(into, wanted).await?;
        }
        self.meter.begin(RestorePhase::Storing);
        let path = into.to_owned();
        self.blocking(move |_| storing::flush(&path)).await
    }

    /// Checks that a clone without the branch is one of an empty remote.
    async fn check_remote_empty(
        &self,
        cloning: &Cloning,
        clone: &Path,
        look: &Look,
    ) -> Result<(), RestoreError> {
        let refs = cloning.refs(clone).await?;
        if refs.is_empty() {
            return Ok(());
        }
        let url = redact_url(&self.request.options.url);
        let problem = match &self.request.options.branch {
            Some(branch) => format!("the remote {url} has no branch '{}'", short_branch_name(branch)),
            None => match &look.head {
                Head::Branch(head) | Head::Unborn(head) => format!(
                    "HEAD of the remote {url} names the branch '{head}', which it does not have; name one with the option 'branch'"
                ),
                Head::Detached => {
                    format!("HEAD of the remote {url} is not on a branch; name one with the option 'branch'")
                }
            },
        };
        let message = format!("{problem}; {}", branches_among(&refs));
        Err(RestoreError::Failed(
            Failure::new(Kind::RemoteError, message).with_hint(NO_REMOTE_BRANCH_HINT),
        ))
    }

    /// Checks a repository without the branch: it must be as empty as its remote. Only here does a repository that is there need
    /// the network: if it hid a remote with data, the service would begin a second history.
    async fn check_empty(&self, look: &Look, is_restored: bool) -> Result<(), RestoreError> {
        let cloning = self.cloning()?;
        let refs = cloning.refs(&look.git_dir).await?;
        let place = self.site.shown();
        if !refs.is_empty() {
            let named = look.wanted.as_deref().map_or_else(
                || "its HEAD is not on a branch; name one with the option 'branch'".to_owned(),
                |wanted| format!("it has no branch '{}'", short_branch_name(wanted)),
            );
            let message = format!(
                "{place} is a repository of this remote, but {named}; {}",
                branches_among(&refs)
            );
            return Err(not_the_repository(message, NO_LOCAL_BRANCH_HINT));
        }
        if is_restored {
            return Ok(());
        }
        self.meter.begin(RestorePhase::Connecting);
        let git_dir = look.git_dir.clone();
        let source = self
            .blocking(move |request| Source::resolve(request, Some(&git_dir)))
            .await?;
        if cloning.has_refs(&source.to_clone).await? {
            let message = format!(
                "{place} is an empty repository, but the remote {} has data",
                redact_url(&self.request.options.url)
            );
            return Err(not_the_repository(message, NOT_EMPTY_HINT));
        }
        Ok(())
    }

    fn cloning(&self) -> Result<Cloning, RestoreError> {
        let Request {
            options,
            environment,
            current,
        } = &*self.request;
        let limits = (options.connect, options.idle);
        Ok(Cloning::find(
            current,
            environment,
            self.background.clone(),
            limits,
        )?)
    }

    /// Removes what is unfinished.
    async fn clean(&self) {
        if let Some(workspace) = self.workspace.take() {
            let _ = self
                .blocking(move |_| {
                    drop(workspace);
                    Ok(())
                })
                .await;
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Request) -> Result<T, RestoreError> + Send + 'static,
    ) -> Result<T, RestoreError> {
        let request = Arc::clone(&self.request);
        self.lane.read(move || Ok(work(&request))).await?
    }
}

/// The remote, as git is told of it.
struct Source {
    to_clone: CloneSource,
    /// The URL with its credentials, if it has some.
    secret: Option<String>,
    parsed: RemoteUrl,
}

impl Source {
    /// Reads the URL by the settings of the system and the user, and those of the repository if there is one.
    fn resolve(request: &Request, git_dir: Option<&Path>) -> Result<Self, RestoreError> {
        let Request {
            options,
            environment,
            current,
        } = request;
        let config = match git_dir {
            Some(git_dir) => Config::load(environment, git_dir, git_dir)?,
            None => Config::load_protected(environment)?,
        };
        Self::of(&config, &options.url, current)
    }

    fn of(config: &Config, given: &str, current: &Path) -> Result<Self, RestoreError> {
        let (url, parsed) = RemoteUrl::to_fetch(config, given, current)?;
        let secret = [given, &url]
            .into_iter()
            .any(|url| redact_url(url) != url)
            .then(|| url.clone());
        let is_path = matches!(parsed, RemoteUrl::Local(_));
        let given = match &parsed {
            RemoteUrl::Local(path) if url == given => path.to_string_lossy().into_owned(),
            _ => given.to_owned(),
        };
        Ok(Self {
            to_clone: CloneSource::new(&given, secret.as_deref(), is_path),
            secret,
            parsed,
        })
    }
}

/// The branch of a repository.
#[derive(Debug)]
struct Look {
    git_dir: PathBuf,
    head: Head,
    /// The full name of the branch that is followed: the given one, or that of `HEAD`.
    wanted: Option<String>,
    tip: Option<Oid>,
}

impl Look {
    fn at(repository: &Repository, request: &Request) -> Result<Self, RestoreError> {
        let head = repository.head_branch()?;
        let of_head = match &head {
            Head::Branch(short) | Head::Unborn(short) => Some(format!("refs/heads/{short}")),
            Head::Detached => None,
        };
        let wanted = request.options.branch.clone().or(of_head);
        let tip = match &wanted {
            Some(wanted) => repository.branch_tip(wanted)?,
            None => None,
        };
        if let Some(tip) = tip
            && !repository.has_commit(tip)
        {
            let place = repository.git_dir().display();
            return Err(site::incomplete(format!(
                "{place} is not whole: the branch's tip {tip} is missing"
            )));
        }
        Ok(Self {
            git_dir: repository.git_dir().to_owned(),
            head,
            wanted,
            tip,
        })
    }

    fn is_head_on_wanted(&self) -> bool {
        let (Head::Branch(head) | Head::Unborn(head)) = &self.head else {
            return false;
        };
        self.wanted.as_deref().map(short_branch_name) == Some(head)
    }
}

fn not_the_repository(message: impl AsRef<str>, hint: &'static str) -> RestoreError {
    RestoreError::NotTheRepository(Failure::new(Kind::Local, message).with_hint(hint))
}

/// The branches among the first refs, as a part of a sentence.
fn branches_among(refs: &[String]) -> String {
    let names: Vec<&str> = refs
        .iter()
        .filter_map(|name| name.strip_prefix("refs/heads/"))
        .collect();
    match names.as_slice() {
        [] => "it has no branches".to_owned(),
        names => format!("it has {}", names.join(", ")),
    }
}
