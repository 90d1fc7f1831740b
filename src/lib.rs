//! Pushes every commit that lands on a branch to its remote, from a native thread inside Node.
//!
//! The modules, in reading order: what the caller asks for, what comes back, the decisions, the loop that
//! carries them out, the local repository, the wire, the remotes, and at the end the edge to JavaScript.

pub mod attempt;
pub mod backoff;
pub mod binding;
pub mod branch;
pub mod config;
pub mod credential;
pub mod daemon;
pub mod event;
pub mod failure;
mod loose_ref;
pub mod oid;
pub mod options;
pub mod pack;
pub mod pkt_line;
pub mod repository;
pub mod send_pack;
pub mod state;
pub mod telemetry;
pub mod transport;
pub mod url;
pub mod user_agent;
pub mod watch;
