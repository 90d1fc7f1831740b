//! No message shows the password of a URL, wherever the URL stands in the text.

use arbitrary::Unstructured;
use git_local::redact;
use push_engine::failure::{Failure, Kind};

const SECRET: &str = "hunter2";

const SCHEMES: [&str; 7] = ["https", "http", "ssh", "git+ssh", "git", "ftp", "HTTPS"];

/// The characters that end a URL within a sentence, and so cannot be part of a password.
const ENDS: &str = "'\"<>|`";

/// The lines of the input are the text around a URL and the parts of the URL.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let once = redact(&text);
    assert_eq!(
        redact(&once),
        once,
        "{text:?} does not change when it is redacted again"
    );
    if !text.contains("://") {
        // Lines in which git repeats a credential helper's output are hidden whole.
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
    // Digits before a slash can be a port, and the rest a path, so no password can be recognized.
    let could_be_port = password
        .split(['/', '?', '#'])
        .next()
        .is_some_and(|start| start.len() < password.len() && start.bytes().all(|byte| byte.is_ascii_digit()));
    if could_be_port {
        return;
    }
    let text_with_secret = format!("{before}{scheme}://{user}:{password}@{host}/{path} {after}");
    let shown = redact(&text_with_secret);
    assert!(
        !shown.contains(SECRET),
        "{text_with_secret:?} is shown as {shown:?}"
    );
    for failure in [
        Failure::new(Kind::Unknown, &text_with_secret),
        Failure::from_git_cli("git push", &text_with_secret),
        Failure::from_broken_connection("there", &text_with_secret),
        Failure::from_server_message(&text_with_secret),
        Failure::from_rejection("refs/heads/main", &text_with_secret, &text_with_secret),
        Failure::from_unpack_error("no", &text_with_secret).with_server_messages(&text_with_secret),
    ] {
        let shown = format!("{failure} {failure:?}");
        assert!(
            !shown.contains(SECRET),
            "{text_with_secret:?} is shown as {shown:?}"
        );
    }
}

fn within(text: &str, without: &[char]) -> String {
    let kept: String = text
        .chars()
        .filter(|character| {
            !character.is_whitespace() && !ENDS.contains(*character) && !without.contains(character)
        })
        .collect();
    // Removing characters may have put the secret together.
    kept.replace(SECRET, "-")
}
