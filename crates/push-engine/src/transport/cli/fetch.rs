//! `git fetch` into a scratch repository, to look at commits that only the remote has.

use std::path::Path;
use std::time::Duration;

use git_local::config::Config;
use git_local::url::Remote;

use super::command::{Destination, GitCli};
use super::{Ended, run};
use crate::failure::{Failure, Kind};
use crate::transport::Settings;
use crate::transport::activity::{ADVERTISING, Activity, Limits};

/// From this version on, `git fetch --filter` copies everything that the new commits lead to and that lies in other packs: here
/// the whole local repository (`repack_local_links` in git's `index-pack.c`).
const COPIES_WHEN_FILTERING: (u32, u32) = (2, 48);

/// git as the reader of a remote's commits.
pub(crate) struct Fetch {
    git: GitCli,
    sources: Vec<Destination>,
    refname: String,
    settings: Settings,
    silence: Option<Duration>,
}

impl Fetch {
    /// Finds git in the environment's `PATH`; `None` if it is not there. `scratch` is the repository that receives the objects,
    /// and `root` where git would run for the local one. A silence longer than `silence` ends the fetch.
    pub(crate) fn find(
        remote: &Remote,
        config: &Config,
        refname: &str,
        root: &Path,
        scratch: &Path,
        settings: Settings,
        silence: Option<Duration>,
    ) -> Option<Self> {
        Some(Self {
            git: GitCli::find(root, scratch, &settings.environment)?,
            sources: Destination::to_read(remote, config),
            refname: refname.to_owned(),
            settings,
            silence,
        })
    }

    /// Fetches the branch from each of the URLs that are pushed to. Dropping the future ends git.
    ///
    /// # Errors
    ///
    /// git fails, or is silent for too long.
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let mut version = Vec::new();
        self.git(self.git.version(), &mut version).await?;
        let commits_only = parse_version(&version).is_some_and(|version| version < COPIES_WHEN_FILTERING);
        for source in &self.sources {
            let command = self.git.fetch(source, &self.refname, commits_only);
            self.git(command, &mut Vec::new()).await?;
        }
        Ok(())
    }

    async fn git(&self, command: std::process::Command, output: &mut Vec<u8>) -> Result<(), Failure> {
        let limits = Limits::of_silence(self.silence);
        let mut take = |bytes: &[u8]| output.extend_from_slice(bytes);
        let heard = |_: &str, activity: &Activity| {
            activity.touch();
            activity.sent();
        };
        let background = &self.settings.background;
        let ended: Ended = run(command, background, limits, ADVERTISING, &heard, &mut take).await?;
        if ended.is_success() {
            return Ok(());
        }
        Err(Failure::new(
            Kind::RemoteError,
            format!("git fetch failed: {}", ended.stderr),
        ))
    }
}

/// The first two numbers of `git version 2.47.3`.
fn parse_version(output: &[u8]) -> Option<(u32, u32)> {
    let numbers = output.strip_prefix(b"git version ")?;
    let mut numbers = numbers.split(|byte| !byte.is_ascii_digit());
    let mut next = || str::from_utf8(numbers.next()?).ok()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_any_git_is_read() {
        for (output, expected) in [
            ("git version 2.47.3\n", Some((2, 47))),
            ("git version 2.39.5 (Apple Git-154)\n", Some((2, 39))),
            ("git version 2.51.0.windows.1\n", Some((2, 51))),
            ("git version 3.0-rc1\n", Some((3, 0))),
            ("git version next", None),
            ("", None),
        ] {
            assert_eq!(parse_version(output.as_bytes()), expected, "{output}");
        }
    }
}
