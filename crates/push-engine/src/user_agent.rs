//! The name that this package sends to servers, by git's rules (git(1), `GIT_USER_AGENT`).
//!
//! Front ends of GitHub, Bitbucket and others answer 404 to smart HTTP unless the name begins with `git/`. The HTTP
//! transport reads the settings for HTTP alone (`http.userAgent`, `GIT_HTTP_USER_AGENT`).

use git_local::config::Environment;

/// A version of git that speaks as this package does, and the package itself.
const DEFAULT: &str = concat!("git/2.47.0 (git-push-daemon/", env!("CARGO_PKG_VERSION"), ")");

/// git's only limit is the size of a packet.
const MAX_CAPABILITY: usize = 1024;

/// The agent for every transport. It may be empty.
#[must_use]
pub fn user_agent(environment: &Environment) -> &[u8] {
    environment
        .get_os("GIT_USER_AGENT")
        .map_or(DEFAULT.as_bytes(), |agent| agent.as_encoded_bytes())
}

/// The value of the capability `agent`. As in git, it has a dot for every byte that is not a visible ASCII character.
#[must_use]
pub fn agent_capability(environment: &Environment) -> String {
    let agent = user_agent(environment).trim_ascii().iter();
    agent
        .take(MAX_CAPABILITY)
        .map(|&byte| if byte.is_ascii_graphic() { byte.into() } else { '.' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_begins_as_gits_and_is_replaced_as_gits() {
        let own = agent_capability(&Environment::default());
        assert!(
            own.starts_with("git/2.") && own.contains("(git-push-daemon/"),
            "{own}"
        );
        for (given, expected) in [("mine/1", "mine/1"), (" a b\tc\u{e9}\n", "a.b.c.."), ("", "")] {
            let environment = Environment::default().with("GIT_USER_AGENT", given);
            assert_eq!(user_agent(&environment), given.as_bytes());
            assert_eq!(agent_capability(&environment), expected);
        }
    }
}
