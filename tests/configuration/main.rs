//! Runs the readers of git's configuration and of its URLs side by side with the real git, 2.47 or later: before
//! 2.46 an empty URL did not reset the list of a remote's URLs, and tabs inside a value became spaces.

mod entries;
mod sandbox;
mod urls;
mod values;

#[expect(
    clippy::print_stderr,
    reason = "how many combinations ran is part of the result"
)]
fn report(what: &str, count: usize) {
    eprintln!("compared with git: {count} {what}");
}
