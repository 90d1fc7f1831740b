//! The daemon without Node: follows a branch, and pushes it until the remote provably has it.
//!
//! The modules, in reading order: what the caller asks for, what comes back, the decisions, the loop that carries them
//! out, the local branch, one push, and the ways to a remote.

// See clippy.toml: only `state` forbids them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod attempt;
pub mod backoff;
pub mod branch;
pub mod daemon;
pub mod event;
pub mod failure;
pub mod options;
pub mod restore;
pub mod state;
pub mod telemetry;
pub mod transfer;
pub mod transport;
pub mod turns;
pub mod user_agent;
pub mod watch;
