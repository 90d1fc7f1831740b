//! Messages with which GitHub, GitLab, Gitea with Forgejo, Bitbucket, Azure DevOps, AWS `CodeCommit`, Gerrit and gitolite
//! refuse a push. None of them translates its messages.
//!
//! A server sends the same message on ssh's standard error, in the page of an HTTP status, or next to a report that says
//! only "hook declined". So all three are searched with this table first, before the messages of a single transport.

use super::Kind::{self, Auth, Rejected, RemoteError, Timeout};
use super::table::Table;

const SERVERS: Table<Kind> = Table(&[
    // Errors of the server's operating system, which contain the text of a configured limit ("quota exceeded").
    ("disk quota exceeded", RemoteError),
    ("no space left on device", RemoteError),
    // A temporary state, whose messages contain others of this table.
    ("secondary rate limit", RemoteError),
    ("rate limit", RemoteError),
    ("too many requests", RemoteError),
    ("requested too many times", RemoteError),
    ("undergoing maintenance", RemoteError),
    ("maintenance mode", RemoteError),
    ("for maintenance", RemoteError),
    ("temporarily read-only", RemoteError),
    ("temporarily unavailable", RemoteError),
    ("read-only gitlab instance", RemoteError),
    ("locked for migration", RemoteError),
    ("unable to handle this request", RemoteError),
    ("gitaly is not available", RemoteError),
    ("gitaly, is not available", RemoteError),
    ("repository is currently in read-only mode", RemoteError),
    ("this cache server is read-only", RemoteError),
    ("problem with this repository on disk", RemoteError),
    ("external authentication server failed to respond", RemoteError),
    ("github enterprise license has expired", RemoteError),
    // Azure DevOps: a request that used too much was cancelled, its database did not answer, an internal error.
    ("tf400733:", RemoteError),
    ("exceeding usage of resource", RemoteError),
    ("tf246017:", RemoteError),
    ("tf246018:", RemoteError),
    ("tf400898:", RemoteError),
    // AWS CodeCommit. The last one contains the message for a refused account.
    ("encryptionkeydisabled", RemoteError),
    ("encryptionkeynotfound", RemoteError),
    ("encryptionkeyunavailable", RemoteError),
    ("encryptionintegritychecksfailed", RemoteError),
    ("encryptionkeyaccessdenied", RemoteError),
    ("internal server error", RemoteError),
    ("internal api unreachable", RemoteError),
    ("internal api error", RemoteError),
    ("writes are currently disabled", RemoteError),
    ("fatal error in commit_refs", RemoteError),
    ("push operation timed out", Timeout),
    // The credentials do not allow a push, or no longer do.
    ("deploy key does not have write access", Auth),
    ("marked as read only", Auth),
    ("deployment key is read-only", Auth),
    ("deployment key is not associated", Auth),
    ("repository access denied", Auth),
    (".git denied to ", Auth),
    ("write access to repository not granted", Auth),
    ("is not authorized to ", Auth),
    ("permission denied for writing", Auth),
    ("saml sso", Auth),
    ("saml enforcement", Auth),
    ("http basic: access denied", Auth),
    ("invalid username or ", Auth),
    ("invalid credentials", Auth),
    ("password authentication was removed", Auth),
    ("password authentication is not ", Auth),
    ("ssh key has expired", Auth),
    ("your account has been blocked", Auth),
    ("account is suspended", Auth),
    ("who the *heck* are you", Auth),
    ("you are not authorised", Auth),
    ("you are not authorized", Auth),
    ("upload denied for project", Auth),
    ("receive-pack not permitted", Auth),
    ("tf401027:", Auth),
    ("tf400813:", Auth),
    ("tf30063:", Auth),
    ("accessdenied", Auth),
    ("user not authorized", Auth),
    ("not permitted to write to this repository", Auth),
    // GitHub.
    ("ip allow list", Auth),
    ("using an rsa key with sha-1", Auth),
    ("using a dsa key", Auth),
    ("unknown public ssh key", Auth),
    ("doing an ssh key audit", Auth),
    ("blocked access to ssh keys", Auth),
    ("error parsing your ssh key", Auth),
    ("this ssh certificate", Auth),
    ("the ssh certificate used", Auth),
    ("ssh certificate authentication", Auth),
    ("you must verify your email address", Auth),
    ("weak credentials. please", Auth),
    ("clone tokens are read-only", Auth),
    ("token in this link has expired", Auth),
    ("invalid signed token", Auth),
    ("anonymous access denied", Auth),
    ("no anonymous write access", Auth),
    ("write to gist denied", Auth),
    ("set up two-factor authentication", Auth),
    ("conditional access policies", Auth),
    ("forbidden from accessing this repository", Auth),
    ("integration was suspended", Auth),
    // GitLab.
    ("your password expired", Auth),
    ("otp verification is required", Auth),
    ("account has been deactivated", Auth),
    ("account is pending approval", Auth),
    ("must accept the terms of service", Auth),
    ("primary email address is not confirmed", Auth),
    // A rule of the branch or of the content.
    ("gh001:", Rejected),
    ("gh006:", Rejected),
    ("gh013:", Rejected),
    ("repository rule violations", Rejected),
    ("protected branch", Rejected),
    ("is protected from ", Rejected),
    ("only be modified through pull requests", Rejected),
    ("prohibited by gerrit", Rejected),
    (": push not permitted", Rejected),
    ("push to restricted branch", Rejected),
    ("permission denied to update branch", Rejected),
    ("contributor agreement", Rejected),
    ("tf402455:", Rejected),
    ("vs403654:", Rejected),
    ("pushing over http is not allowed", Rejected),
    // Nothing may be written there.
    ("archived so it is read-only", Rejected),
    ("an archived project", Rejected),
    (" is archived", Rejected),
    ("mirror repository", Rejected),
    ("this repository has been disabled", Rejected),
    ("your repository is disabled", Rejected),
    ("ask the owner to check their account", Rejected),
    ("repository access blocked", Rejected),
    ("due to dmca takedown", Rejected),
    ("blocked in your country", Rejected),
    ("unauthenticated git protocol", Rejected),
    // A limit of size or quota.
    ("file size limit", Rejected),
    ("blobs which exceed the ", Rejected),
    ("larger than the allowed size", Rejected),
    ("exceeded its size limit", Rejected),
    ("exceed the size limit", Rejected),
    ("size limit)", Rejected),
    ("restricted to read-only access", Rejected),
    ("quota exceeded", Rejected),
    // After GitLab's messages about protected branches, which are nearly the same.
    ("not allowed to push code", Auth),
    ("not allowed to upload code", Auth),
    // There is no such repository, or this account may not know of it.
    ("repository not found", RemoteError),
    ("repository does not exist", RemoteError),
    ("could not be found or you don't have permission", RemoteError),
    ("project you were looking for could not be found", RemoteError),
    ("this project does not exist yet", RemoteError),
    ("cannot find repository", RemoteError),
    ("repositorydoesnotexist", RemoteError),
    ("project not found", RemoteError),
    ("tf200016:", RemoteError),
    ("does not exist or you do", RemoteError),
    ("does not exist, or you do", RemoteError),
    ("unknown git/gitolite command", RemoteError),
    ("invalid repo name", RemoteError),
    ("suspicious characters loitering", RemoteError),
    ("no relative paths allowed", RemoteError),
]);

/// The repository has moved: servers add this to any answer, and only sometimes refuse because of it.
const MOVED: Table<Kind> = Table(&[
    ("please update your git remote", RemoteError),
    ("this repository moved", RemoteError),
]);

/// The kind of a refusal by its server's message.
pub(super) fn kind_of(text: &str) -> Option<Kind> {
    kind_of_gitolite(text)
        .or_else(|| SERVERS.find(text))
        .or_else(|| text.lines().find_map(kind_of_line))
}

/// The kind where nothing else in the text tells it.
pub(super) fn kind_of_moved(text: &str) -> Option<Kind> {
    MOVED.find(text)
}

/// Messages that count only as a whole line: in a longer one, a hook may use them for anything.
fn kind_of_line(line: &str) -> Option<Kind> {
    let line = line.strip_prefix("remote:").unwrap_or(line).trim();
    match line.to_ascii_lowercase().trim_end_matches('.') {
        // Bitbucket.
        "unauthorized" | "forbidden" => Some(Auth),
        // Gerrit's `fatal: project <name> not found`.
        line if line.starts_with("fatal: project ") && line.ends_with(" not found") => Some(RemoteError),
        _ => None,
    }
}

/// gitolite's `<access> <ref> <repository> <user> DENIED by <rule>`. The ref is `any` where the account may not write to
/// the repository at all, or there is none; otherwise a rule of the branch or of the content declined the push.
fn kind_of_gitolite(text: &str) -> Option<Kind> {
    let (before, _) = text.lines().find_map(|line| line.split_once(" DENIED by "))?;
    match before.split_whitespace().rev().nth(2)? {
        "any" => Some(Auth),
        _ => Some(Rejected),
    }
}
