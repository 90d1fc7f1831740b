//! The edge to JavaScript: the only caller of N-API.
//!
//! A thin adapter: it checks the options against the repository while it can still throw, starts the daemon on the
//! driver, and turns events, replies and the status into plain objects, of which `index.js` makes an `EventEmitter`. Only
//! opening the repository at the start and the bounded wait at the end block the JavaScript thread.

#![expect(clippy::needless_pass_by_value, reason = "napi hands values over")]

mod divergence;
mod driver;
mod exit;
mod host;
mod misuse;
mod progress;
mod raw;
mod restore;
mod shapes;

use std::collections::HashMap;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use napi::bindgen_prelude::{Function, Unknown};
use napi::{CleanupEnvHook, Env};
use napi_derive::napi;
use tokio::sync::mpsc::UnboundedSender;

use driver::Driver;
use exit::Exit;
use git_local::config::Environment;
use git_wire::oid::Oid;
use host::Host;
use misuse::Misuse;
use push_engine::daemon::{Request, SharedStatus, now};
use shapes::{Facts, NativeMessage, NativeStatus};

/// A running daemon, as `index.js` holds it.
#[napi]
#[expect(missing_debug_implementations, reason = "a handle for JavaScript")]
pub struct NativeDaemon {
    requests: UnboundedSender<Request>,
    status: SharedStatus,
    facts: Facts,
    driver: Arc<Driver>,
    exit: Exit,
    cleanup: Option<CleanupEnvHook<Exit>>,
}

#[napi]
impl NativeDaemon {
    /// Checks the options and starts the daemon. The caller passes its environment: a worker has one of its own, and
    /// reading that of the process while JavaScript changes it would be a race. `deliver` is called with each message,
    /// in order, never during this call.
    ///
    /// # Errors
    ///
    /// Misuse, with its code.
    #[napi(factory)]
    pub fn start(
        env: Env,
        options: Unknown<'_>,
        environment: HashMap<String, String>,
        has_logger: bool,
        deliver: Function<'_, NativeMessage, ()>,
    ) -> napi::Result<Self, Misuse> {
        let options = raw::from_js(options)?;
        let environment = environment.into_iter().collect::<Environment>();
        let deliver = host::Deliver::new(&deliver)?;
        let host = Host::prepare(&options, environment, has_logger, deliver)?;
        let (status, facts, drain) = (host.status.clone(), host.facts.clone(), host.options.exit_drain);
        let (requests, receiver) = tokio::sync::mpsc::unbounded_channel();
        let (end, ended) = std_mpsc::channel();
        let driver = host.spawn(receiver, end)?;
        let exit = Exit::new(requests.clone(), ended, drain, status.clone(), &facts);
        // Runs where `index.js` no longer can: at `worker.terminate()`, and at the natural end of the main thread.
        let cleanup = env
            .add_env_cleanup_hook(exit.clone(), |exit| {
                exit::begin_all_of_thread();
                exit.finish();
            })
            .map_err(misuse::from_napi)?;
        Ok(Self {
            requests,
            status,
            facts,
            driver,
            exit,
            cleanup: Some(cleanup),
        })
    }

    /// Returns a snapshot of the status, without I/O.
    #[napi]
    #[must_use]
    pub fn status(&self) -> NativeStatus {
        NativeStatus::new(&self.status.get(), &self.facts, now())
    }

    /// Tells that the branch may have changed.
    #[napi]
    pub fn wake(&self) {
        self.request(Request::Wake);
    }

    /// Answers once the branch was read, after telling whether there is work.
    #[napi]
    pub fn check(&self, id: u32) {
        self.request(Request::Check(id));
    }

    /// Attempts now, and answers when the remote has the present tip.
    #[napi]
    pub fn flush(&self, id: u32) {
        self.request(Request::Flush(id));
    }

    /// Answers when the remote has the commit. Returns false if that is not an object id.
    #[napi]
    #[must_use]
    pub fn wait_for_push(&self, id: u32, commit: String) -> bool {
        commit.parse::<Oid>().is_ok_and(|commit| {
            self.request(Request::WaitForPush(id, commit));
            true
        })
    }

    /// Withdraws a request.
    #[napi]
    pub fn abandon(&self, id: u32) {
        self.request(Request::Abandon(id));
    }

    /// Drains for at most `timeout_ms`, then ends.
    #[napi]
    pub fn stop(&self, timeout_ms: f64) {
        let timeout = Duration::try_from_secs_f64(timeout_ms / 1000.0).unwrap_or_default();
        self.request(Request::Stop { timeout });
    }

    /// Whether the end of the process waits for the daemons by itself, if the runtime calls C's `exit`.
    #[napi]
    #[must_use]
    pub fn ends_with_process() -> bool {
        exit::ENDS_WITH_PROCESS
    }

    /// Begins the end of a process that did not call `stop()`: the daemon reads the branch once more and pushes what is
    /// pending, for at most `exitDrainMs`.
    #[napi]
    pub fn begin_exit(&self) {
        self.exit.begin();
    }

    /// Waits for a bounded time until nothing of the daemon is left, and writes what was not pushed to standard error.
    #[napi]
    pub fn finish_exit(&self) {
        self.exit.finish();
    }

    /// Joins the thread of the daemons, if the last of them has reported its end.
    ///
    /// # Errors
    ///
    /// When Node-API fails to remove the clean-up hook.
    #[napi]
    pub fn join(&mut self, env: Env) -> napi::Result<()> {
        self.driver.join();
        self.exit.forget();
        match self.cleanup.take() {
            Some(cleanup) => env.remove_env_cleanup_hook(cleanup),
            None => Ok(()),
        }
    }

    fn request(&self, request: Request) {
        // A daemon that has ended answers nothing, which `index.js` knows.
        let _ = self.requests.send(request);
    }
}
