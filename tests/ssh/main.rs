//! Pushes over ssh: to a real sshd, and side by side with the real git where only the command counts.

#![cfg(unix)]

mod argv;
mod kept;
mod memory;
#[path = "../support/peak.rs"]
mod peak;
mod programs;
mod push;
#[path = "../support/mod.rs"]
mod support;
