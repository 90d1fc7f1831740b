//! The formats of the repositories that the tests make: git's defaults, or those of the environment, for `npm run formats`.

use git_local::config::Environment;

/// Adds what `git init` reads.
pub(crate) fn with_formats(environment: Environment) -> Environment {
    ["GIT_DEFAULT_HASH", "GIT_DEFAULT_REF_FORMAT"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .fold(environment, |environment, (name, value)| {
            environment.with(name, value)
        })
}
