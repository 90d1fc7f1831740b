//! Where a push goes: git's reading of a URL or path, and of the remotes in the configuration.
//!
//! The sources are `git-push(1)` (GIT URLS, REMOTES) and the output of `git fetch-pack --diag-url`. This module does not
//! look anything up and does not connect. No `Display` and no `Debug` in it shows a password or a token.

mod parse;
mod place;
mod promisors;
mod remote;
mod remote_url;

pub use parse::decoded_path;
pub use place::configured_remotes;
pub use promisors::Promisors;
pub use remote::Remote;
pub use remote_url::{HttpUrl, RemoteUrl};
