//! What GitHub, GitLab, Gitea with Forgejo, Bitbucket, Azure DevOps, AWS `CodeCommit`, Gerrit and gitolite say when they refuse
//! a push. None of them translates it.
//!
//! The same sentence comes on the standard error of ssh, as the page of an HTTP status, or beside a report that says
//! no more than "hook declined". So it is looked for in all of them, before any word that belongs to one way alone.

use super::Kind;
use super::words::{self, Words};

const SERVERS: &Words = &[
    // The operating system of a server, whose words hold those of a limit that somebody set.
    ("disk quota exceeded", Kind::RemoteError),
    ("no space left on device", Kind::RemoteError),
    // A state that passes, in which other words of this table occur too.
    ("secondary rate limit", Kind::RemoteError),
    ("rate limit", Kind::RemoteError),
    ("too many requests", Kind::RemoteError),
    ("requested too many times", Kind::RemoteError),
    ("undergoing maintenance", Kind::RemoteError),
    ("maintenance mode", Kind::RemoteError),
    ("for maintenance", Kind::RemoteError),
    ("temporarily read-only", Kind::RemoteError),
    ("temporarily unavailable", Kind::RemoteError),
    ("read-only gitlab instance", Kind::RemoteError),
    ("locked for migration", Kind::RemoteError),
    ("unable to handle this request", Kind::RemoteError),
    ("gitaly is not available", Kind::RemoteError),
    ("gitaly, is not available", Kind::RemoteError),
    ("repository is currently in read-only mode", Kind::RemoteError),
    ("this cache server is read-only", Kind::RemoteError),
    ("problem with this repository on disk", Kind::RemoteError),
    (
        "external authentication server failed to respond",
        Kind::RemoteError,
    ),
    ("github enterprise license has expired", Kind::RemoteError),
    // Azure DevOps: a request that was cancelled for using too much, no answer from its database, its own error.
    ("tf400733:", Kind::RemoteError),
    ("exceeding usage of resource", Kind::RemoteError),
    ("tf246017:", Kind::RemoteError),
    ("tf246018:", Kind::RemoteError),
    ("tf400898:", Kind::RemoteError),
    // AWS CodeCommit. The last of the keys' words hold those for a refusal of the account.
    ("encryptionkeydisabled", Kind::RemoteError),
    ("encryptionkeynotfound", Kind::RemoteError),
    ("encryptionkeyunavailable", Kind::RemoteError),
    ("encryptionintegritychecksfailed", Kind::RemoteError),
    ("encryptionkeyaccessdenied", Kind::RemoteError),
    ("internal server error", Kind::RemoteError),
    ("internal api unreachable", Kind::RemoteError),
    ("internal api error", Kind::RemoteError),
    ("writes are currently disabled", Kind::RemoteError),
    ("fatal error in commit_refs", Kind::RemoteError),
    ("push operation timed out", Kind::Timeout),
    // The credentials are good for less than a push, or no longer.
    ("deploy key does not have write access", Kind::Auth),
    ("marked as read only", Kind::Auth),
    ("deployment key is read-only", Kind::Auth),
    ("deployment key is not associated", Kind::Auth),
    ("repository access denied", Kind::Auth),
    (".git denied to ", Kind::Auth),
    ("write access to repository not granted", Kind::Auth),
    ("is not authorized to ", Kind::Auth),
    ("permission denied for writing", Kind::Auth),
    ("saml sso", Kind::Auth),
    ("saml enforcement", Kind::Auth),
    ("http basic: access denied", Kind::Auth),
    ("invalid username or ", Kind::Auth),
    ("invalid credentials", Kind::Auth),
    ("password authentication was removed", Kind::Auth),
    ("password authentication is not ", Kind::Auth),
    ("ssh key has expired", Kind::Auth),
    ("your account has been blocked", Kind::Auth),
    ("account is suspended", Kind::Auth),
    ("who the *heck* are you", Kind::Auth),
    ("you are not authorised", Kind::Auth),
    ("you are not authorized", Kind::Auth),
    ("upload denied for project", Kind::Auth),
    ("receive-pack not permitted", Kind::Auth),
    ("tf401027:", Kind::Auth),
    ("tf400813:", Kind::Auth),
    ("tf30063:", Kind::Auth),
    ("accessdenied", Kind::Auth),
    ("user not authorized", Kind::Auth),
    ("not permitted to write to this repository", Kind::Auth),
    // GitHub.
    ("ip allow list", Kind::Auth),
    ("using an rsa key with sha-1", Kind::Auth),
    ("using a dsa key", Kind::Auth),
    ("unknown public ssh key", Kind::Auth),
    ("doing an ssh key audit", Kind::Auth),
    ("blocked access to ssh keys", Kind::Auth),
    ("error parsing your ssh key", Kind::Auth),
    ("this ssh certificate", Kind::Auth),
    ("the ssh certificate used", Kind::Auth),
    ("ssh certificate authentication", Kind::Auth),
    ("you must verify your email address", Kind::Auth),
    ("weak credentials. please", Kind::Auth),
    ("clone tokens are read-only", Kind::Auth),
    ("token in this link has expired", Kind::Auth),
    ("invalid signed token", Kind::Auth),
    ("anonymous access denied", Kind::Auth),
    ("no anonymous write access", Kind::Auth),
    ("write to gist denied", Kind::Auth),
    ("set up two-factor authentication", Kind::Auth),
    ("conditional access policies", Kind::Auth),
    ("forbidden from accessing this repository", Kind::Auth),
    ("integration was suspended", Kind::Auth),
    // GitLab.
    ("your password expired", Kind::Auth),
    ("otp verification is required", Kind::Auth),
    ("account has been deactivated", Kind::Auth),
    ("account is pending approval", Kind::Auth),
    ("must accept the terms of service", Kind::Auth),
    ("primary email address is not confirmed", Kind::Auth),
    // A rule of the branch or of the content.
    ("gh001:", Kind::Rejected),
    ("gh006:", Kind::Rejected),
    ("gh013:", Kind::Rejected),
    ("repository rule violations", Kind::Rejected),
    ("protected branch", Kind::Rejected),
    ("is protected from ", Kind::Rejected),
    ("only be modified through pull requests", Kind::Rejected),
    ("prohibited by gerrit", Kind::Rejected),
    (": push not permitted", Kind::Rejected),
    ("push to restricted branch", Kind::Rejected),
    ("permission denied to update branch", Kind::Rejected),
    ("contributor agreement", Kind::Rejected),
    ("tf402455:", Kind::Rejected),
    ("vs403654:", Kind::Rejected),
    ("pushing over http is not allowed", Kind::Rejected),
    // Nothing may be written there.
    ("archived so it is read-only", Kind::Rejected),
    ("an archived project", Kind::Rejected),
    (" is archived", Kind::Rejected),
    ("mirror repository", Kind::Rejected),
    ("this repository has been disabled", Kind::Rejected),
    ("your repository is disabled", Kind::Rejected),
    ("ask the owner to check their account", Kind::Rejected),
    ("repository access blocked", Kind::Rejected),
    ("due to dmca takedown", Kind::Rejected),
    ("blocked in your country", Kind::Rejected),
    ("unauthenticated git protocol", Kind::Rejected),
    // A limit of size or quota.
    ("file size limit", Kind::Rejected),
    ("blobs which exceed the ", Kind::Rejected),
    ("larger than the allowed size", Kind::Rejected),
    ("exceeded its size limit", Kind::Rejected),
    ("exceed the size limit", Kind::Rejected),
    ("size limit)", Kind::Rejected),
    ("restricted to read-only access", Kind::Rejected),
    ("quota exceeded", Kind::Rejected),
    // After the protected branches of GitLab, which it tells of in nearly the same words.
    ("not allowed to push code", Kind::Auth),
    ("not allowed to upload code", Kind::Auth),
    // No such repository, or none that this account may know of.
    ("repository not found", Kind::RemoteError),
    ("repository does not exist", Kind::RemoteError),
    (
        "could not be found or you don't have permission",
        Kind::RemoteError,
    ),
    (
        "project you were looking for could not be found",
        Kind::RemoteError,
    ),
    ("this project does not exist yet", Kind::RemoteError),
    ("cannot find repository", Kind::RemoteError),
    ("repositorydoesnotexist", Kind::RemoteError),
    ("project not found", Kind::RemoteError),
    ("tf200016:", Kind::RemoteError),
    ("does not exist or you do", Kind::RemoteError),
    ("does not exist, or you do", Kind::RemoteError),
    ("unknown git/gitolite command", Kind::RemoteError),
    ("invalid repo name", Kind::RemoteError),
    ("suspicious characters loitering", Kind::RemoteError),
    ("no relative paths allowed", Kind::RemoteError),
];

/// Where the repository has gone: said for information beside anything else, and only sometimes a refusal.
const MOVED: &Words = &[
    ("please update your git remote", Kind::RemoteError),
    ("this repository moved", Kind::RemoteError),
];

/// The kind of a refusal in a server's own words.
pub(super) fn kind_of(said: &str) -> Option<Kind> {
    kind_of_gitolite(said)
        .or_else(|| words::find(SERVERS, said))
        .or_else(|| said.lines().find_map(kind_of_line))
}

/// Words that mean this only where they are all of a line: a hook may say them of anything else.
fn kind_of_line(line: &str) -> Option<Kind> {
    let line = line
        .strip_prefix("remote:")
        .unwrap_or(line)
        .trim()
        .to_ascii_lowercase();
    match line.trim_end_matches('.') {
        // Bitbucket.
        "unauthorized" | "forbidden" => Some(Kind::Auth),
        // Gerrit's `fatal: project <name> not found`.
        line if line.starts_with("fatal: project ") && line.ends_with(" not found") => {
            Some(Kind::RemoteError)
        }
        _ => None,
    }
}

/// gitolite's `<access> <ref> <repository> <user> DENIED by <rule>`. The ref is `any` where the account may not write to the
/// repository at all, or there is none; else a rule of the branch or of the content has declined the push.
fn kind_of_gitolite(said: &str) -> Option<Kind> {
    let line = said.lines().find(|line| line.contains(" DENIED by "))?;
    let (before, _) = line.split_once(" DENIED by ")?;
    match before.split_whitespace().rev().nth(2)? {
        "any" => Some(Kind::Auth),
        _ => Some(Kind::Rejected),
    }
}

/// The same where nothing was said of the push itself.
pub(super) fn kind_of_moved(said: &str) -> Option<Kind> {
    words::find(MOVED, said)
}
