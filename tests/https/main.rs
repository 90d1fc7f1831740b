//! Pushes over HTTPS to a real Apache with `git http-backend`, through a real proxy where the test is about one.
#![cfg(unix)]

mod credentials;
#[path = "../support/formats.rs"]
mod formats;
mod kept;
mod memory;
#[path = "../support/peak.rs"]
mod peak;
mod place;
mod requests;
mod server;
mod settings;
mod side_by_side;
mod tls;

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn report(line: &str) {
    eprintln!("{line}");
}
