//! A restore, on the thread of the daemons. `index.js` makes a promise of it.

use std::collections::HashMap;
use std::env::current_dir;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use git_local::config::Environment;
use git_local::repository::is_valid_branch_refname;
use git_local::url::RemoteUrl;
use napi::bindgen_prelude::{Function, Unknown};
use napi::{CleanupEnvHook, Env, Error};
use napi_derive::napi;
use push_engine::options::Raw;
use push_engine::restore::{Abort, Request, RestoreError, RestoreOptions, restore};
use push_engine::telemetry::{self, LOG_VARIABLE};
use push_engine::turns::apart;
use tokio::runtime::Handle;

use super::driver::Driver;
use super::host::{self, Deliver};
use super::misuse::{self, Misuse};
use super::progress::end_of_restore;
use super::raw;
use super::shapes::{NativeEvent, NativeMessage};

/// A running restore, as `index.js` holds it.
#[napi]
#[expect(missing_debug_implementations, reason = "a handle for JavaScript")]
pub struct NativeRestore {
    driver: Arc<Driver>,
    abort: Abort,
    cleanup: Option<CleanupEnvHook<Abort>>,
}

#[napi]
impl NativeRestore {
    /// Checks the options and starts the restore. `deliver` is called with its progress and then its end, never during this
    /// call. The environment is the caller's, as for a daemon.
    ///
    /// # Errors
    ///
    /// Misuse, with its code.
    #[napi(factory)]
    pub fn start(
        env: Env,
        options: Unknown<'_>,
        environment: HashMap<String, String>,
        deliver: Function<'_, NativeMessage, ()>,
    ) -> napi::Result<Self, Misuse> {
        let options = raw::from_js(options)?;
        let request = prepare(&options, environment.into_iter().collect())?;
        let deliver = Deliver::new(&deliver)?;
        let abort = Abort::new();
        let driver = spawn(request, abort.clone(), deliver)?;
        // A worker that is terminated must leave neither git nor an unfinished clone behind.
        let cleanup = env
            .add_env_cleanup_hook(abort.clone(), |abort| abort.cancel())
            .map_err(misuse::from_napi)?;
        Ok(Self {
            driver,
            abort,
            cleanup: Some(cleanup),
        })
    }

    /// Ends the restore early. Its end is delivered as always, when nothing of it is left.
    #[napi]
    pub fn abort(&self) {
        self.abort.cancel();
    }

    /// To be called when the end was delivered: joins the thread of the daemons, if this was its last work.
    ///
    /// # Errors
    ///
    /// When Node-API fails to remove the clean-up hook.
    #[napi]
    pub fn join(&mut self, env: Env) -> napi::Result<()> {
        self.driver.join();
        match self.cleanup.take() {
            Some(cleanup) => env.remove_env_cleanup_hook(cleanup),
            None => Ok(()),
        }
    }
}

fn prepare(options: &Raw, environment: Environment) -> Result<Request, Error<Misuse>> {
    let options = RestoreOptions::from_raw(
        options,
        host::default_path(&environment),
        is_valid_branch_refname,
        |url| RemoteUrl::parse(url).is_ok(),
    )
    .map_err(|error| Misuse::InvalidOption.error(error.to_string()))?;
    let current = current_dir()
        .map_err(|error| Misuse::System.error(format!("reading the current directory: {error}")))?;
    Ok(Request {
        options,
        environment,
        current,
    })
}

/// It runs on a thread of its own, and the driver's runtime runs git.
fn spawn(request: Request, abort: Abort, deliver: Deliver) -> Result<Arc<Driver>, Error<Misuse>> {
    let run = |_| async move {
        let begun = Instant::now();
        let outcome = Arc::<Mutex<Option<_>>>::default();
        let place = Arc::clone(&outcome);
        let runtime = Handle::current();
        let of_progress = deliver.clone();
        let tell = Box::new(move |progress| of_progress.send(NativeEvent::from(progress)));
        let work = move || {
            let dispatch = telemetry::dispatch(None, request.environment.get(LOG_VARIABLE));
            let restoring = || restore(&request, &runtime, &abort, tell);
            let made = tracing::dispatcher::with_default(&dispatch, restoring);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        };
        let done = apart(Box::new(work)).await;
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = match done {
            Ok(()) => outcome.unwrap_or(Err(RestoreError::Aborted)),
            Err(error) => Err(error.into()),
        };
        move || deliver.send(end_of_restore(&outcome, begun.elapsed()))
    };
    Driver::start(run)
        .map_err(|error| Misuse::System.error(format!("the daemons' thread could not be started: {error}")))
}
