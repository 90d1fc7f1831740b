//! Opens repositories and pushes from them side by side with git: both must open the same ones, and leave the same on the
//! remote.
//!
//! A shape of a repository is a row of a table: a function that makes it with real git, in the formats of refs and objects
//! that the case was made for. [`side_by_side::check`] compares all of them in the same way.

#![cfg(target_os = "linux")]

mod backlog;
mod case;
mod formats;
mod history;

mod objects;
mod owners;
mod packs;
mod partial;

mod places;
mod refs;
mod replaced;
mod shallow;

mod side_by_side;
mod steps;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the parts for servers are not used here")]
mod support;
mod written;

const MAIN: &str = "refs/heads/main";
