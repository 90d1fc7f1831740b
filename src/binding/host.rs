//! The thread that a daemon lives on, and what has to be right before it starts.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use napi::Error;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use tokio::sync::mpsc::UnboundedReceiver;

use super::misuse::{Misuse, from_napi};
use super::shapes::NativeMessage;
use crate::attempt::{RemotePusher, Route, TransportNote};
use crate::branch::{SharedSide, Target, WatchedBranch};
use crate::config::{Config as GitConfig, Environment};
use crate::daemon::{Daemon, Delivery, Ended, Observer, Request, SharedStatus, now};
use crate::event::Event;
use crate::failure::{Failure, Kind, redact_url};
use crate::options::{Config, OnDivergence, Raw, short_branch_name};
use crate::repository::{Head, OpenError, Repository, is_valid_branch_refname};
use crate::state::{Policy, State};
use crate::telemetry::{self, LOG_VARIABLE};
use crate::url::Remote;

/// How long blocking work (a name look-up that cannot be cancelled, say) may hold up the end of the thread.
const RUNTIME_GRACE: Duration = Duration::from_millis(100);

/// As it shows in `/proc` and in debuggers.
const THREAD_NAME: &str = "git-push-daemon";

type Callback = ThreadsafeFunction<NativeMessage, (), NativeMessage, napi::Status, false, true>;

/// Calls JavaScript from the daemon's threads. Weak: it does not keep the process alive, `index.js` does
/// that while there is reason to.
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

    fn send(&self, message: impl Into<NativeMessage>) {
        // It fails only when the environment is going away, with everybody who could be told.
        self.0
            .call(message.into(), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

impl Observer for Deliver {
    fn deliver(&self, delivery: Delivery) {
        self.send(delivery);
    }
}

/// What the status shows besides the state.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) remote: String,
    pub(super) url: String,
    pub(super) branch: String,
    pub(super) route: TransportNote,
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
            // Not before it is known to be new: dropping one takes the lock, and the first one's entry.
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
    config: Config,
    target: Target,
    route: Route,
    status: SharedStatus,
    note: TransportNote,
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
    ) -> Result<(Self, Facts), Error<Misuse>> {
        let default_path = environment
            .get_os("CFP_DATA_REPO_PATH")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let config = Config::from_raw(options, default_path, is_valid_branch_refname)
            .map_err(|error| Misuse::InvalidOption.error(error.to_string()))?;
        let repository =
            Repository::open(config.repo_path.as_deref(), &environment).map_err(|error| misuse_of(&error))?;
        repository.check_owner().map_err(|error| misuse_of(&error))?;
        let refname = match &config.branch {
            Some(refname) => refname.clone(),
            None => branch_of_head(&repository)?,
        };
        let git_config = GitConfig::load(&environment, repository.common_dir(), repository.git_dir())
            .map_err(|failure| system(&failure))?;
        let remote = Remote::resolve(&git_config, &config.remote, repository.root())
            .map_err(|error| Misuse::RemoteNotFound.error(error.message()))?;
        let absolute = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let identity = (
            absolute(repository.common_dir()),
            remote.url.clone(),
            refname.clone(),
        );
        let registration = Registration::new(identity).ok_or_else(|| {
            Misuse::AlreadyRunning.error(format!(
                "a push daemon for {refname} of {} to {} already runs in this process; stop it first, or use its handle",
                repository.common_dir().display(),
                remote.parsed,
            ))
        })?;
        let facts = Facts {
            remote: redact_url(&config.remote).into_owned(),
            url: remote.parsed.to_string(),
            branch: short_branch_name(&refname).to_owned(),
            route: TransportNote::default(),
        };
        let target = Target {
            git_dir: absolute(repository.git_dir()),
            refname,
            remote_name: remote.name,
        };
        let route = Route {
            remote: config.remote.clone(),
            root: absolute(repository.root()),
            common_dir: absolute(repository.common_dir()),
            environment: repository.environment().clone(),
            transport: config.transport,
            timeouts: config.timeouts,
            keep_connection: config.keep_connection,
        };
        let first = State::start(policy(&config), None, None, now()).0.status();
        let note = facts.route.clone();
        let status = SharedStatus::new(first);
        Ok((
            Self {
                config,
                target,
                route,
                status,
                note,
                registration,
                deliver,
                has_logger,
            },
            facts,
        ))
    }

    pub(super) fn status(&self) -> SharedStatus {
        self.status.clone()
    }

    pub(super) fn exit_drain(&self) -> Duration {
        self.config.exit_drain
    }

    /// Starts the thread. `end` is told when nothing of the daemon is left but the thread's last instructions.
    pub(super) fn spawn(
        self,
        requests: UnboundedReceiver<Request>,
        end: std_mpsc::Sender<Ended>,
    ) -> Result<JoinHandle<()>, Error<Misuse>> {
        thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || {
                let ended = self.run(requests);
                // Nobody waits unless the process or the worker is ending.
                let _ = end.send(ended);
            })
            .map_err(|error| {
                Misuse::System.error(format!("the daemon's thread could not be started: {error}"))
            })
    }

    fn run(self, requests: UnboundedReceiver<Request>) -> Ended {
        let Self {
            config,
            target,
            route,
            status,
            note,
            registration,
            deliver,
            has_logger,
        } = self;
        let sink = has_logger.then(|| {
            let deliver = deliver.clone();
            Box::new(move |record: telemetry::Record| deliver.send(record)) as telemetry::Sink
        });
        let dispatch = telemetry::dispatch(sink, route.environment.get(LOG_VARIABLE));
        let serve = || -> io::Result<Ended> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .thread_name(THREAD_NAME)
                .build()?;
            let ended = runtime.block_on(async {
                tracing::info!(remote = %redact_url(&route.remote), branch = target.refname, "started");
                let side = SharedSide::in_environment(target, route.environment.clone());
                let branch = WatchedBranch::start(side.clone(), &route.common_dir, config.watch);
                let pusher = RemotePusher::new(side, route, note);
                Daemon::run(
                    policy(&config),
                    pusher,
                    branch,
                    deliver.clone(),
                    requests,
                    status.clone(),
                )
                .await
            });
            runtime.shutdown_timeout(RUNTIME_GRACE);
            Ok(ended)
        };
        let served = catch_unwind(AssertUnwindSafe(|| {
            tracing::dispatcher::with_default(&dispatch, serve)
        }));
        drop(registration);
        let ended = match served {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => broken(
                &deliver,
                &status,
                &format!("no runtime could be started: {error}"),
            ),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                broken(
                    &deliver,
                    &status,
                    &format!("a bug in git-push-daemon, please report it: {text}"),
                )
            }
        };
        if !ended.aborted {
            deliver.send(ended);
        }
        ended
    }
}

/// Tells of an end that nobody asked for.
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

fn policy(config: &Config) -> Policy {
    Policy {
        backoff: config.backoff,
        seed: fastrand::u64(..),
        max_retries: config.max_retries,
        debounce: config.debounce,
        diverged_probe: config.diverged_probe,
        preserve: config.on_divergence == OnDivergence::Preserve,
    }
}

fn branch_of_head(repository: &Repository) -> Result<String, Error<Misuse>> {
    const ADVICE: &str = "name one with the option 'branch', such as 'main'";
    let place = repository.git_dir().display();
    match repository.head_branch().map_err(|failure| system(&failure))? {
        Head::Branch(short) => Ok(format!("refs/heads/{short}")),
        Head::Unborn(short) => Err(Misuse::NoBranch.error(format!(
            "HEAD of {place} is on the branch '{short}', which has no commit yet; {ADVICE}"
        ))),
        Head::Detached => {
            Err(Misuse::NoBranch.error(format!("HEAD of {place} is not on a branch; {ADVICE}")))
        }
    }
}

/// What is there cannot be used, which is nobody's misuse but has to be told at the start all the same.
fn system(failure: &Failure) -> Error<Misuse> {
    Misuse::System.error(format!("{}. {}", failure.message(), failure.hint()))
}

fn misuse_of(error: &OpenError) -> Error<Misuse> {
    let code = match error {
        OpenError::NotFound { .. } => Misuse::RepositoryNotFound,
        OpenError::Unsupported { .. } => Misuse::UnsupportedRepository,
        OpenError::NotOwned { .. } => Misuse::RepositoryNotOwned,
        OpenError::Other(failure) => return system(failure),
    };
    code.error(error.to_string())
}
