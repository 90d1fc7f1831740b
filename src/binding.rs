//! The edge to JavaScript: the only caller of N-API.
//!
//! A thin adapter: it checks what needs the repository while the caller can still be thrown at, starts the
//! daemon's thread, and turns events, replies and the status into plain objects. `index.js` makes an
//! `EventEmitter` of them. Nothing here blocks the JavaScript thread but opening the repository at the start
//! and the bounded wait at the end.

#![expect(clippy::needless_pass_by_value, reason = "napi hands values over")]

mod exit;
mod host;
mod misuse;
mod raw;
mod shapes;

use std::collections::HashMap;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use napi::bindgen_prelude::{Function, Unknown};
use napi::{CleanupEnvHook, Env};
use napi_derive::napi;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::Environment;
use crate::daemon::{Request, SharedStatus, now};
use crate::oid::Oid;
use exit::Exit;
use host::Host;
use misuse::Misuse;
use shapes::{Facts, NativeMessage, NativeStatus};

/// A running daemon, as `index.js` holds it.
#[napi]
#[expect(missing_debug_implementations, reason = "a handle for JavaScript")]
pub struct NativeDaemon {
    requests: UnboundedSender<Request>,
    status: SharedStatus,
    facts: Facts,
    thread: Option<JoinHandle<()>>,
    exit: Exit,
    cleanup: Option<CleanupEnvHook<Exit>>,
}

#[napi]
impl NativeDaemon {
    /// Checks the options and starts the daemon. The environment is the caller's: that of the process is another one in
    /// a worker, and reading it while JavaScript changes it would be a race. `deliver` is called with each message, in
    /// order, never during this call.
    ///
    /// # Errors
    ///
    /// Misuse, with its code.
    #[napi(factory)]
    pub fn start(
        env: &Env,
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
        let thread = host.spawn(receiver, end)?;
        let exit = Exit::new(requests.clone(), ended, drain, status.clone(), &facts);
        // It runs where `index.js` no longer can: at `worker.terminate()`, and at the natural end of the main thread.
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
            thread: Some(thread),
            exit,
            cleanup: Some(cleanup),
        })
    }

    /// A snapshot; no I/O.
    #[napi]
    #[must_use]
    pub fn status(&self) -> NativeStatus {
        NativeStatus::new(&self.status.get(), &self.facts, now())
    }

    /// The branch may have changed.
    #[napi]
    pub fn wake(&self) {
        self.request(Request::Wake);
    }

    /// Answers once the branch was looked at, after telling whether there is work.
    #[napi]
    pub fn check(&self, id: u32) {
        self.request(Request::Check(id));
    }

    /// Attempts now; answers when the remote has the tip of this moment.
    #[napi]
    pub fn flush(&self, id: u32) {
        self.request(Request::Flush(id));
    }

    /// Answers when the remote has the commit. False if that is no object id.
    #[napi]
    #[must_use]
    pub fn wait_for_push(&self, id: u32, commit: String) -> bool {
        commit.parse::<Oid>().is_ok_and(|commit| {
            self.request(Request::WaitForPush(id, commit));
            true
        })
    }

    /// Nobody waits for this answer any more.
    #[napi]
    pub fn abandon(&self, id: u32) {
        self.request(Request::Abandon(id));
    }

    /// Drains for so many milliseconds at most, then ends.
    #[napi]
    pub fn stop(&self, timeout_ms: f64) {
        let timeout = Duration::try_from_secs_f64(timeout_ms / 1000.0).unwrap_or_default();
        self.request(Request::Stop { timeout });
    }

    /// Whether the end of the process waits for the daemons by itself, as far as the runtime calls C's `exit`.
    #[napi]
    #[must_use]
    pub fn ends_with_process() -> bool {
        exit::ENDS_WITH_PROCESS
    }

    /// Begins the end of a process that did not call `stop()`: the daemon looks at the branch once more and pushes what is
    /// pending, for `exitDrainMs` at most.
    #[napi]
    pub fn begin_exit(&self) {
        self.exit.begin();
    }

    /// Waits, for a bounded time, until nothing of the daemon is left, and tells standard error what was not pushed.
    #[napi]
    pub fn finish_exit(&self) {
        self.exit.finish();
    }

    /// Collects the thread of a daemon that has said it ended: it is in its last instructions.
    ///
    /// # Errors
    ///
    /// None that a caller could do anything about.
    #[napi]
    pub fn join(&mut self, env: &Env) -> napi::Result<()> {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.exit.forget();
        match self.cleanup.take() {
            Some(cleanup) => env.remove_env_cleanup_hook(cleanup),
            None => Ok(()),
        }
    }

    fn request(&self, request: Request) {
        // A daemon that has ended answers nothing; `index.js` knows that it has.
        let _ = self.requests.send(request);
    }
}
