//! A daemon on the driver, and the checks before it starts.

use std::any::Any;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use git_local::config::{Config, Environment};
use git_local::repository::{Head, OpenError, Repository, Target, is_valid_branch_refname};
use git_local::url::Remote;
use git_local::{LocalError, redact_url};
use napi::Error;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use push_engine::attempt::{Destination, RemotePusher, TransportNote};
use push_engine::branch::{FormatsNote, SharedBranch, WatchedBranch};
use push_engine::daemon::{Daemon, Delivery, Ended, Observer, Request, SharedStatus, now};
use push_engine::event::Event;
use push_engine::failure::{Failure, Kind};
use push_engine::options::{OnDivergence, OnRegression, Options, Raw, short_branch_name};
use push_engine::state::{Policy, State};
use push_engine::telemetry::{self, LOG_VARIABLE};
use push_engine::watch::Watches;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::instrument::WithSubscriber;

use super::driver::Driver;
use super::misuse::{Misuse, from_napi};
use super::shapes::{Facts, NativeMessage};

type Callback = ThreadsafeFunction<NativeMessage, (), NativeMessage, napi::Status, false, true>;

/// Calls JavaScript from other threads. It is weak: it does not keep the process alive. `index.js` does
/// that when needed.
#[derive(Clone)]
pub(super) struct Deliver(Arc<Callback>);

impl Deliver {
    pub(super) fn new(function: &Function<'_, NativeMessage, ()>) -> Result<Self, Error<Misuse>> {
        let callback = function
            .build_threadsafe_function::<NativeMessage>()
            .callee_handled::<false>()
            .weak::<true>()
            .build_callback(|context| Ok(context.value))
            .map_err(from_napi)?;
        Ok(Self(Arc::new(callback)))
    }

    pub(super) fn send(&self, message: impl Into<NativeMessage>) {
        // It fails only when the environment, and so the receiver, is going away.
        self.0
            .call(message.into(), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

impl Observer for Deliver {
    fn deliver(&self, delivery: Delivery) {
        self.send(delivery);
    }
}

/// One daemon for one repository, remote URL and branch in this process; workers share it.
type Identity = (PathBuf, String, String);

static RUNNING: Mutex<Option<HashSet<Identity>>> = Mutex::new(None);

/// Marks a daemon as running until it is dropped.
struct Registration(Identity);

impl Registration {
    fn new(identity: Identity) -> Option<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .get_or_insert_default()
            .insert(identity.clone())
            // Only made if it is new: dropping one would take the lock, and remove the entry of the first.
            .then(|| Self(identity))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &mut *running {
            running.remove(&self.0);
        }
    }
}

/// Everything a daemon needs, checked.
pub(super) struct Host {
    pub(super) options: Options,
    pub(super) status: SharedStatus,
    pub(super) facts: Facts,
    target: Target,
    destination: Destination,
    registration: Registration,
    deliver: Deliver,
    has_logger: bool,
}

impl Host {
    /// Checks what the options name against the repository.
    pub(super) fn prepare(
        options: &Raw,
        environment: Environment,
        has_logger: bool,
        deliver: Deliver,
    ) -> Result<Self, Error<Misuse>> {
        let options = Options::from_raw(options, default_path(&environment), is_valid_branch_refname)
            .map_err(|error| Misuse::InvalidOption.error(error.to_string()))?;
        let repository = Repository::open(options.repo_path.as_deref(), &environment)
            .map_err(|error| misuse_of(&error))?;
        repository.check_owner().map_err(|error| misuse_of(&error))?;
        let refname = match &options.branch {
            Some(refname) => refname.clone(),
            None => branch_of_head(&repository)?,
        };
        let config = Config::load(&environment, repository.common_dir(), repository.git_dir())
            .map_err(|error| system(&error))?;
        let remote = Remote::resolve(&config, &options.remote, repository.root())
            .map_err(|error| Misuse::RemoteNotFound.error(error.message()))?;
        let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let common_dir = absolute(repository.common_dir());
        let identity = (common_dir.clone(), remote.url.clone(), refname.clone());
        let registration = Registration::new(identity).ok_or_else(|| {
            Misuse::AlreadyRunning.error(format!(
                "a push daemon for {refname} of {} to {} already runs in this process; stop it first, or use its handle",
                repository.common_dir().display(),
                remote.parsed,
            ))
        })?;
        let first = State::start(policy(&options), None, None, now()).0.status();
        Ok(Self {
            status: SharedStatus::new(first),
            facts: Facts {
                remote: redact_url(&options.remote).into_owned(),
                url: remote.parsed.to_string(),
                branch: short_branch_name(&refname).to_owned(),
                transport: TransportNote::default(),
                formats: FormatsNote::new(repository.formats()),
            },
            target: Target {
                git_dir: absolute(repository.git_dir()),
                refname,
                remote_name: remote.name,
            },
            destination: Destination {
                remote: options.remote.clone(),
                root: absolute(repository.root()),
                common_dir,
                environment: repository.environment().clone(),
                transport: options.transport,
                timeouts: options.timeouts,
                keep_connection: options.keep_connection,
                max_pack_bytes: options.max_pack_bytes,
            },
            options,
            registration,
            deliver,
            has_logger,
        })
    }

    /// Starts the daemon. It sends to `end` when nothing of it is left but the driver's last instructions.
    pub(super) fn spawn(
        self,
        requests: UnboundedReceiver<Request>,
        end: std_mpsc::Sender<Ended>,
    ) -> Result<Arc<Driver>, Error<Misuse>> {
        let deliver = self.deliver.clone();
        let run = |watches| async move {
            let ended = self.run(requests, watches).await;
            move || {
                if !ended.aborted {
                    deliver.send(ended);
                }
                // There is a receiver only while the process or the worker is ending.
                let _ = end.send(ended);
            }
        };
        Driver::start(run).map_err(|error| {
            Misuse::System.error(format!("the daemons' thread could not be started: {error}"))
        })
    }

    /// Runs the daemon. A panic ends this daemon and no other.
    async fn run(self, requests: UnboundedReceiver<Request>, watches: Watches) -> Ended {
        let Self {
            options,
            status,
            facts,
            target,
            destination,
            registration,
            deliver,
            has_logger,
        } = self;
        let sink = has_logger.then(|| {
            let deliver = deliver.clone();
            Box::new(move |record: telemetry::Record| deliver.send(record)) as telemetry::Sink
        });
        let dispatch = telemetry::dispatch(sink, destination.environment.get(LOG_VARIABLE));
        let (observer, of_status) = (deliver.clone(), status.clone());
        let serving = async move {
            tracing::info!(remote = facts.remote, branch = target.refname, "started");
            let shared = SharedBranch::new(target, destination.environment.clone(), facts.formats);
            let watches = options.watch.then_some(&watches);
            let branch = WatchedBranch::start(shared.clone(), &destination.common_dir, watches);
            let pusher = RemotePusher::new(shared, destination, facts.transport);
            Daemon::run(policy(&options), pusher, branch, observer, requests, of_status).await
        };
        let served = AssertUnwindSafe(serving.with_subscriber(dispatch)).catch_unwind();
        let served = served.await;
        drop(registration);
        served.unwrap_or_else(|panic| {
            let text = text_of(&*panic);
            let message = format!("a bug in git-push-daemon, please report it: {text}");
            broken(&deliver, &status, &message)
        })
    }
}

/// The repository's path if the options have none.
pub(super) fn default_path(environment: &Environment) -> Option<PathBuf> {
    environment
        .get_os("CFP_DATA_REPO_PATH")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// Reports an end that was not requested.
fn broken(deliver: &Deliver, status: &SharedStatus, message: &str) -> Ended {
    let pending_commits = status.stop();
    let failure = Failure::new(Kind::Local, message);
    deliver.deliver(Delivery::Event(Event::Error {
        commit: None,
        attempt: 0,
        duration: None,
        failure,
    }));
    Ended {
        drained: false,
        pending_commits,
        aborted: false,
    }
}

fn policy(options: &Options) -> Policy {
    Policy {
        backoff: options.backoff,
        seed: fastrand::u64(..),
        max_retries: options.max_retries,
        debounce: options.debounce,
        diverged_probe: options.diverged_probe,
        preserve: options.on_divergence == OnDivergence::Preserve,
        verify: options.verify,
        restore: options.on_regression == OnRegression::Push,
    }
}

fn branch_of_head(repository: &Repository) -> Result<String, Error<Misuse>> {
    const ADVICE: &str = "name one with the option 'branch', such as 'main'";
    let place = repository.git_dir().display();
    match repository.head_branch().map_err(|error| system(&error))? {
        Head::Branch(short) => Ok(format!("refs/heads/{short}")),
        Head::Unborn(short) => Err(Misuse::NoBranch.error(format!(
            "HEAD of {place} is on the branch '{short}', which has no commit yet; {ADVICE}"
        ))),
        Head::Detached => {
            Err(Misuse::NoBranch.error(format!("HEAD of {place} is not on a branch; {ADVICE}")))
        }
    }
}

/// The error for something that is there but cannot be used. It is no misuse, but the start must report it too.
fn system(error: &LocalError) -> Error<Misuse> {
    Misuse::System.error(format!("{}. {}", error.message(), Kind::Local.hint()))
}

fn misuse_of(error: &OpenError) -> Error<Misuse> {
    let code = match error {
        OpenError::NotFound { .. } => Misuse::RepositoryNotFound,
        OpenError::Unsupported { .. } => Misuse::UnsupportedRepository,
        OpenError::NotOwned { .. } => Misuse::RepositoryNotOwned,
        OpenError::Other(error) => return system(error),
    };
    code.error(error.to_string())
}
