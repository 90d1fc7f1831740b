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

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use git_local::config::{Config, Environment};
use git_local::repository::{Head, Repository};
use git_local::url::RemoteUrl;
use git_local::{LocalError, redact_url};
use git_wire::oid::Oid;
use tokio::runtime::Handle;
pub use tokio_util::sync::CancellationToken as Abort;

pub use self::options::RestoreOptions;
use self::progress::Meter;
pub use self::progress::{RestorePhase, RestoreProgress, Tell};
use self::site::{Found, Site};
use self::workspace::Workspace;
use crate::failure::{Failure, Kind};
use crate::options::short_branch_name;
use crate::transport::{CloneSource, Cloning};

/// How often a place is looked at that another process restores. The end of its lock raises no event.
const LOCK_POLL: Duration = Duration::from_millis(50);

const NO_REMOTE_BRANCH_HINT: &str = "Nothing was changed. Check the options branch and url; if this service is to begin a new branch, push its first commit to the remote once.";

const NO_LOCAL_BRANCH_HINT: &str = "Nothing was changed. Check the options branch and repoPath; git fetch can bring a branch that only the remote has.";

const NOT_EMPTY_HINT: &str = "Nothing was changed. The repository here is empty and the remote is not: remove the empty one, and the next start restores it.";

/// Why nothing was restored.
#[derive(Debug)]
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
#[derive(Debug, Clone, Copy)]
pub struct Restored {
    /// Whether a clone was made.
    pub is_restored: bool,
    /// The tip of the branch; `None` if the remote is empty.
    pub commit: Option<Oid>,
}

/// What to restore, from where.
#[derive(Debug)]
pub struct Request {
    /// The checked options.
    pub options: RestoreOptions,
    /// The caller's environment.
    pub environment: Environment,
    /// The directory below which relative paths are.
    pub current: PathBuf,
}

/// Makes sure that the repository is there, or says why not; then nothing was changed. `tell` gets its progress. It blocks, so
/// it has a thread of its own; the runtime runs git meanwhile.
///
/// # Errors
///
/// See [`RestoreError`].
pub fn restore(
    request: &Request,
    runtime: &Handle,
    aborted: &Abort,
    tell: Tell,
) -> Result<Restored, RestoreError> {
    let restoring = Restoring {
        request,
        site: Site::new(&request.current.join(&request.options.repo_path)),
        runtime,
        aborted,
        meter: Meter::new(tell),
    };
    match restoring.run() {
        Err(_) if aborted.is_cancelled() => Err(RestoreError::Aborted),
        outcome => outcome,
    }
}

/// One call.
struct Restoring<'a> {
    request: &'a Request,
    site: Site,
    runtime: &'a Handle,
    aborted: &'a Abort,
    meter: Meter,
}

impl Restoring<'_> {
    fn run(&self) -> Result<Restored, RestoreError> {
        let mut is_restored = false;
        loop {
            if self.aborted.is_cancelled() {
                return Err(RestoreError::Aborted);
            }
            let vacancy = match self.site.inspect(self.request)? {
                Found::Vacant(vacancy) => vacancy,
                Found::Repository(look) => {
                    if look.tip.is_none() {
                        self.check_empty(&look, is_restored)?;
                    }
                    return Ok(Restored {
                        is_restored,
                        commit: look.tip,
                    });
                }
            };
            let Some(workspace) = Workspace::enter(&self.site, vacancy)? else {
                self.meter.begin(RestorePhase::Waiting);
                thread::sleep(LOCK_POLL);
                continue;
            };
            // An unfinished delivery is continued.
            if !workspace.holds_whole() {
                // The place may have changed before this process got the lock.
                if !matches!(self.site.inspect(self.request)?, Found::Vacant(now) if now == vacancy) {
                    continue;
                }
                self.make(workspace.clone_path())?;
            }
            self.meter.begin(RestorePhase::Storing);
            is_restored |= workspace.deliver()?;
        }
    }

    /// Makes a clone, and checks it.
    fn make(&self, clone: &Path) -> Result<(), RestoreError> {
        self.meter.begin(RestorePhase::Connecting);
        let Request {
            options, environment, ..
        } = self.request;
        let config = Config::load_protected(environment)?;
        let source = Source::of(&config, self.request)?;
        let has_template =
            config.entry("init.templateDir").is_some() || environment.get_os("GIT_TEMPLATE_DIR").is_some();
        let cloning = self.cloning()?;
        cloning.clone_bare(&source.to_clone, clone, has_template, &|line| {
            self.meter.take_line(line);
        })?;
        if source.is_secret {
            storing::replace_url(clone, source.to_clone.written_url(), &options.url)?;
        }
        let repository = Repository::open(Some(clone), environment).map_err(LocalError::from)?;
        let look = Look::at(&repository, self.request)?;
        if look.tip.is_none() {
            let refs = cloning.refs(clone)?;
            if !refs.is_empty() {
                let remote = format!("the remote {}", redact_url(&options.url));
                let failure = Failure::new(Kind::RemoteError, look.lacks_branch(&remote, &refs));
                return Err(RestoreError::Failed(failure.with_hint(NO_REMOTE_BRANCH_HINT)));
            }
        }
        if let Some(wanted) = &look.wanted
            && !look.is_head_on_wanted()
        {
            cloning.set_head(clone, wanted)?;
        }
        self.meter.begin(RestorePhase::Storing);
        storing::flush(clone)
    }

    /// Checks a repository without the branch: it must be as empty as its remote. Only here does a repository that is there need
    /// the network: if it hid a remote with data, the service would begin a second history.
    fn check_empty(&self, look: &Look, is_restored: bool) -> Result<(), RestoreError> {
        let cloning = self.cloning()?;
        let refs = cloning.refs(&look.git_dir)?;
        let place = self.site.shown();
        if !refs.is_empty() {
            return Err(not_the_repository(
                look.lacks_branch(&place, &refs),
                NO_LOCAL_BRANCH_HINT,
            ));
        }
        if is_restored {
            return Ok(());
        }
        self.meter.begin(RestorePhase::Connecting);
        let config = Config::load(&self.request.environment, &look.git_dir, &look.git_dir)?;
        let source = Source::of(&config, self.request)?;
        if cloning.has_refs(&source.to_clone)? {
            let url = redact_url(&self.request.options.url);
            let message = format!("{place} is an empty repository, but the remote {url} has data");
            return Err(not_the_repository(message, NOT_EMPTY_HINT));
        }
        Ok(())
    }

    fn cloning(&self) -> Result<Cloning<'_>, RestoreError> {
        let Request {
            options,
            environment,
            current,
        } = self.request;
        let times = (options.connect, options.idle);
        let place = (self.runtime, self.aborted);
        Ok(Cloning::find(current, environment, times, place)?)
    }
}

/// The remote, as git is told of it.
struct Source {
    to_clone: CloneSource,
    /// Whether the URL has credentials.
    is_secret: bool,
    parsed: RemoteUrl,
}

impl Source {
    /// Reads the URL by the settings of a repository, or those of the system and the user.
    fn of(config: &Config, request: &Request) -> Result<Self, RestoreError> {
        let (given, current) = (request.options.url.as_str(), request.current.as_path());
        let (url, parsed) = RemoteUrl::to_fetch(config, given, current)?;
        let is_secret = redact_url(given) != given || redact_url(&url) != url;
        let is_path = matches!(parsed, RemoteUrl::Local(_));
        let given = match &parsed {
            RemoteUrl::Local(path) if url == given => path.to_string_lossy().into_owned(),
            _ => given.to_owned(),
        };
        Ok(Self {
            to_clone: CloneSource::new(&given, is_secret.then_some(&*url), is_path),
            is_secret,
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

    /// What to tell about a place that has refs, but not the branch.
    fn lacks_branch(&self, place: &str, refs: &str) -> String {
        let wanted = self.wanted.as_deref().map_or("at its HEAD", short_branch_name);
        let mut message = format!("{place} has no branch {wanted}; name another with the option 'branch'");
        for name in refs.lines().filter_map(|name| name.strip_prefix("refs/heads/")) {
            message = format!("{message}; it has {name}");
        }
        message
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
