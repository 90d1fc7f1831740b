//! Takes the secrets out of text: those that stand in URLs, which git and its servers like to repeat.

use std::borrow::Cow;

/// Removes user names, passwords and queries from every URL in a text: `https://user:token@host/path?token=x` becomes
/// `https://***@host/path?***`. The user of an ssh URL is an account name, not a secret, and stays without its password.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        redacted.push_str(before);
        let url_end = after
            .find(|c: char| c.is_whitespace() || "'\"<>|`".contains(c))
            .unwrap_or(after.len());
        let (url, behind) = after.split_at(url_end);
        let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
        if let Some((userinfo, host)) = authority.rsplit_once('@') {
            let is_ssh = before.trim_end_matches("://").ends_with("ssh");
            match userinfo.split_once(':') {
                Some((user, _)) if is_ssh => {
                    redacted.push_str(user);
                    redacted.push_str(":***");
                }
                None if is_ssh => redacted.push_str(userinfo),
                _ => redacted.push_str("***"),
            }
            redacted.push('@');
            redacted.push_str(host);
        } else {
            redacted.push_str(authority);
        }
        match path.split_once('?') {
            Some((path, query)) if !query.is_empty() => {
                redacted.push_str(path);
                redacted.push_str("?***");
                rest = behind;
            }
            // Another URL may follow in it: `https://proxy/https://user:token@host`.
            _ => rest = &after[authority.len()..],
        }
    }
    if redacted.is_empty() {
        return Cow::Borrowed(text);
    }
    redacted.push_str(rest);
    Cow::Owned(redacted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_secrets() {
        for (text, expected) in [
            ("no url at all", "no url at all"),
            ("https://github.com/o/r", "https://github.com/o/r"),
            ("https://tok@github.com/o/r", "https://***@github.com/o/r"),
            (
                "fatal: 'https://u:p@h/r' and http://a:b@c:8080?x",
                "fatal: 'https://***@h/r' and http://***@c:8080?***",
            ),
            (
                "is 'https://h/r?token=t': is it https://h/r? or https://h/https://u:p@g",
                "is 'https://h/r?***': is it https://h/r? or https://h/https://***@g",
            ),
            ("https://u:p@ss@h/r", "https://***@h/r"),
            ("ssh://git@h/r", "ssh://git@h/r"),
            ("ssh://git:pw@h/r", "ssh://git:***@h/r"),
            ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}
