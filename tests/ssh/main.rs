//! Pushes over ssh: to a real sshd, and side by side with the real git where only the command counts.

#![cfg(unix)]

mod argv;
mod push;
#[path = "../support/mod.rs"]
mod support;
