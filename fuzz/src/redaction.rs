//! No password of a URL survives in a message, wherever in a text the URL stands.

use arbitrary::Unstructured;
use git_local::redact;
use push_engine::failure::{Failure, Kind};

const SECRET: &str = "hunter2";

const SCHEMES: [&str; 7] = ["https", "http", "ssh", "git+ssh", "git", "ftp", "HTTPS"];

/// What ends a URL within a sentence: none of it can be part of a password there.
const ENDS: &str = "'\"<>|`";

/// The input is what stands around and within a URL, each up to a line's end.
///
/// # Panics
///
/// When a property does not hold.
pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let once = redact(&text);
    assert_eq!(redact(&once), once, "{text:?} is redacted once for all");
    if !text.contains("://") {
        // What git repeats of credential helpers is hidden too, by whole lines.
        let hidden = |(before, after): (&str, &str)| before == after || after.contains("***");
        assert!(
            text.lines().zip(once.lines()).all(hidden),
            "{text:?} is shown as {once:?}"
        );
    }

    let mut choices = Unstructured::new(input);
    let scheme = choices.choose(&SCHEMES).unwrap_or(&SCHEMES[0]);
    let mut lines = text.split('\n').skip(1).map(|line| line.replace(SECRET, "-"));
    let mut next = || lines.next().unwrap_or_default();
    let (before, after) = (next(), next());
    let user = within(&next(), &[':', '/', '?', '#', '[']);
    let password = format!("{}{SECRET}{}", within(&next(), &[]), within(&next(), &[]));
    let host = within(&next(), &[]);
    let path = within(&next(), &[]);
    // Up to a slash digits could be a port, and what follows a path: nobody could tell.
    let could_be_port = password
        .split(['/', '?', '#'])
        .next()
        .is_some_and(|start| start.len() < password.len() && start.bytes().all(|byte| byte.is_ascii_digit()));
    if could_be_port {
        return;
    }
    let said = format!("{before}{scheme}://{user}:{password}@{host}/{path} {after}");
    let shown = redact(&said);
    assert!(!shown.contains(SECRET), "{said:?} is shown as {shown:?}");
    for failure in [
        Failure::new(Kind::Unknown, &said),
        Failure::from_git_cli("git push", &said),
        Failure::from_broken_connection("there", &said),
        Failure::from_server_message(&said),
        Failure::from_rejection("refs/heads/main", &said, &said),
        Failure::from_unpack_error("no", &said).with_server_messages(&said),
    ] {
        let shown = format!("{failure} {failure:?}");
        assert!(!shown.contains(SECRET), "{said:?} is shown as {shown:?}");
    }
}

fn within(text: &str, without: &[char]) -> String {
    let kept: String = text
        .chars()
        .filter(|character| {
            !character.is_whitespace() && !ENDS.contains(*character) && !without.contains(character)
        })
        .collect();
    // What was taken out may have parted it.
    kept.replace(SECRET, "-")
}
