//! What git keeps on this machine: the configuration, the remotes in it, refs, history, and the objects that go into a pack.
//!
//! It connects to nothing. It writes nothing but a remote-tracking ref with its reflog. This is the only crate that uses
//! git2. Everything blocks, so call it on blocking threads.

pub mod config;
mod error;
mod loose_ref;
pub mod pack;
mod redaction;
pub mod reftable;
pub mod repository;
pub mod url;

pub use error::LocalError;
pub use redaction::{redact, redact_url};
