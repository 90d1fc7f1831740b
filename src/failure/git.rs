//! The words of git: in its report on a ref, which are never translated, and on its standard error, for which the
//! children of the transports run with English messages.

use super::words::{self, Words};
use super::{Kind, servers, ssh};

/// A lost compare-and-swap or a held lock, in git's `refs` code (`refs.c`, `refs/files-backend.c`) and in
/// `builtin/receive-pack.c`.
/// The others are `JGit`'s, Gerrit's and those of servers built on libraries.
const LOST_RACES: [&str; 14] = [
    "failed to update ref",
    "incorrect old value",
    "cannot lock ref",
    "unable to create",
    "failed to lock",
    "could not lock",
    "lock error",
    "lock failure",
    "lock_failure",
    "already locked",
    "but expected ",
    "stale info",
    // Since 2.50: somebody else created or deleted the ref.
    "reference already exists",
    "reference does not exist",
];

/// Whether a refusal says that the ref moved or was locked, or that the update is no fast-forward, which it was from
/// the tip that was looked at: the advertisement must be read again.
#[must_use]
pub fn is_lost_race(reason: &str) -> bool {
    let lower = reason.to_ascii_lowercase();
    is_non_fast_forward(reason) || LOST_RACES.iter().any(|words| lower.contains(words))
}

/// Servers spell it in several ways: `non-fast-forward`, `non-fast forward`, `nonfastforward`.
fn is_non_fast_forward(reason: &str) -> bool {
    let is_letter = |byte: &char| byte.is_ascii_alphabetic();
    let letters: String = reason.to_ascii_lowercase().chars().filter(is_letter).collect();
    [
        "nonfastforward",
        "notfastforward",
        "notafastforward",
        "fetchfirst",
    ]
    .iter()
    .any(|words| letters.contains(words))
}

/// Reasons behind `ng` that are no judgement of the push.
const BROKEN: &Words = &[
    ("unpacker error", Kind::RemoteError),
    ("missing necessary objects", Kind::RemoteError),
    // JGit.
    ("missing object", Kind::RemoteError),
    ("object not found", Kind::RemoteError),
    ("missing unknown ", Kind::RemoteError),
    ("missing commit ", Kind::RemoteError),
    ("missing tree ", Kind::RemoteError),
    ("missing blob ", Kind::RemoteError),
    ("transaction aborted", Kind::RemoteError),
    ("bad pack", Kind::RemoteError),
    ("unable to migrate objects", Kind::RemoteError),
    ("transaction failed to start", Kind::RemoteError),
    ("proc-receive failed to report status", Kind::RemoteError),
];

/// Why the server could not write a ref although nobody else holds it: the words of the C library, and those of git for
/// a ref that is damaged. Waiting does not help as it does against another push.
const UNWRITABLE: &Words = &[
    ("no space left on device", Kind::RemoteError),
    ("disk quota exceeded", Kind::RemoteError),
    ("read-only file system", Kind::RemoteError),
    (": permission denied", Kind::RemoteError),
    ("input/output error", Kind::RemoteError),
    ("reference broken", Kind::RemoteError),
    ("does not point to a valid object", Kind::RemoteError),
    ("nonexistent object", Kind::RemoteError),
];

/// A pack that the server does not want, or that never came.
const UNWANTED: &Words = &[
    ("pack exceeds maximum allowed size", Kind::Rejected),
    // JGit, of a pack or an object.
    ("rejecting the pack", Kind::Rejected),
    // `receive.fsckObjects`: it is `index-pack` or `unpack-objects` that looks.
    ("fsck error", Kind::Rejected),
    // No byte of it came: the git command here died over the local repository.
    ("eof before pack header was fully read", Kind::Local),
];

/// The kind of what stands behind `ng <ref>`. `said` is what the server and its hooks said besides.
pub(super) fn kind_of_rejection(reason: &str, said: &str) -> Kind {
    if is_non_fast_forward(reason) {
        return Kind::NonFastForward;
    }
    if reason.contains("unpacker error") {
        return kind_of_unpack_error(reason, said);
    }
    if is_lost_race(reason) {
        return words::find(UNWRITABLE, &format!("{reason}\n{said}")).unwrap_or(Kind::RemoteLock);
    }
    words::find(BROKEN, reason)
        .or_else(|| is_missing_object(reason).then_some(Kind::RemoteError))
        .or_else(|| servers::kind_of(&format!("{reason}\n{said}")))
        // All that GitHub says when its storage fails; a hook has declined otherwise.
        .or_else(|| (reason == "failure").then_some(Kind::RemoteError))
        .unwrap_or(Kind::Rejected)
}

/// `JGit`'s `object <id> missing`.
fn is_missing_object(reason: &str) -> bool {
    reason.starts_with("object ") && reason.ends_with(" missing")
}

/// The kind of what stands behind `unpack`, when it was not `ok`: git's reason is in what was said besides.
pub(super) fn kind_of_unpack_error(reason: &str, said: &str) -> Kind {
    let said = format!("{reason}\n{said}");
    words::find(UNWANTED, &said)
        .or_else(|| servers::kind_of(&said))
        .unwrap_or(Kind::RemoteError)
}

/// The git command of this machine, which says more of itself than what it repeats of others.
const LOCAL: &Words = &[
    ("cannot exec '", Kind::Local),
    ("cannot run hooks/", Kind::RemoteError),
    ("cannot run ", Kind::Local),
    ("is not a git command", Kind::Local),
    ("unable to find remote helper", Kind::Local),
    ("unknown option", Kind::Local),
    ("bad config", Kind::Local),
    ("bad numeric config value", Kind::Local),
    ("bad boolean config value", Kind::Local),
    ("src refspec", Kind::Local),
    ("uses plaintext credentials", Kind::Local),
    ("' not allowed", Kind::Local),
    ("failed to sign the push certificate", Kind::Local),
    ("does not support --signed push", Kind::Rejected),
    ("does not support push options", Kind::Rejected),
    ("terminal prompts disabled", Kind::Auth),
];

/// What git says of its own way over HTTP, and what it repeats of curl.
const HTTP: &Words = &[
    ("authentication failed for", Kind::Auth),
    ("could not read username", Kind::Auth),
    ("could not read password", Kind::Auth),
    // How it puts a 404.
    ("/' not found", Kind::RemoteError),
];

/// `git receive-pack` and `git daemon`, about the repository that was asked for.
const SERVING: &Words = &[
    ("repository not exported", Kind::RemoteError),
    ("does not appear to be a git repository", Kind::RemoteError),
    ("not a git repository", Kind::RemoteError),
    ("unable to chdir or not a git archive", Kind::RemoteError),
    ("dubious ownership", Kind::RemoteError),
    ("unsafe repository", Kind::RemoteError),
    ("bad config line", Kind::RemoteError),
    ("config value '", Kind::RemoteError),
    ("unknown repository extension", Kind::RemoteError),
    ("expected git repo version", Kind::RemoteError),
    ("service not enabled", Kind::Rejected),
    ("access denied", Kind::Auth),
];

/// How git ends every failure over ssh, whatever ssh has said.
pub(super) const UNREAD: &str = "could not read from remote repository";

/// What git says in the end of nearly every failure to talk to a remote.
const LAST_RESORT: &Words = &[
    ("unable to access 'http", Kind::Network),
    ("early eof", Kind::Network),
    // curl's number and words follow, those of its TLS library among them.
    ("rpc failed; curl ", Kind::Network),
    ("unexpected disconnect", Kind::Network),
    ("the remote end hung up", Kind::Network),
    // The server gave up, in words that mean nothing to us.
    ("remote error: ", Kind::RemoteError),
];

/// The kind of a connection that ended, by what the other side's process, or the way to it, said before.
pub(super) fn kind_of_hangup(said: &str) -> Option<Kind> {
    servers::kind_of(said)
        .or_else(|| words::find(UNWANTED, said))
        .or_else(|| words::find(HTTP, said))
        .or_else(|| words::find(SERVING, said))
        .or_else(|| ssh::kind_of(said))
        .or_else(|| servers::kind_of_moved(said))
}

/// The same where there is nothing but these words to tell the kind. A connection that ended without any was cut.
pub(super) fn kind_of_end(said: &str) -> Kind {
    kind_of_hangup(said)
        .or_else(|| words::find(LAST_RESORT, said))
        .or_else(|| is_silent(said).then_some(Kind::Network))
        .unwrap_or(Kind::Unknown)
}

/// Whether nothing was said that could have a meaning.
#[must_use]
pub fn is_silent(said: &str) -> bool {
    said.lines().all(ssh::is_noise)
}

/// The kind of a failed git command, by what it said.
pub(super) fn kind_of_command(said: &str) -> Option<Kind> {
    words::find(LOCAL, said)
        .or_else(|| ssh::is_failed_command(said).then_some(Kind::Local))
        .or_else(|| is_broken_git(said).then_some(Kind::Local))
        .or_else(|| servers::kind_of(said))
        .or_else(|| super::http::kind_in(said))
        .or_else(|| kind_of_hangup(said))
        .or_else(|| words::find(LAST_RESORT, said))
}

/// Whether it is the git of this machine that its loader cannot start: the server's is `git-receive-pack`.
fn is_broken_git(said: &str) -> bool {
    ssh::kind_of_loader(said).is_some() && !said.contains("git-receive-pack")
}
