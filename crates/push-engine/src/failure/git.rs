//! Messages of git: in its report on a ref, which are never translated, and on its standard error, for which the
//! transports start their children with English messages.

use super::Kind::{self, Auth, Local, Network, NonFastForward, Rejected, RemoteError, RemoteLock};
use super::table::{Table, contains_any};
use super::{http, servers, ssh};

/// A lost compare-and-swap or a held lock: in git's `refs` code (`refs.c`, `refs/files-backend.c`) and
/// `builtin/receive-pack.c`, in `JGit`, Gerrit and servers that are built on libraries.
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
    // Since git 2.50: another push created or deleted the ref.
    "reference already exists",
    "reference does not exist",
];

/// Whether a refusal says that the ref moved or was locked, or that the update is not a fast-forward although it was one
/// from the advertised tip. The advertisement must be read again.
#[must_use]
pub fn is_lost_race(reason: &str) -> bool {
    is_non_fast_forward(reason) || contains_any(reason, &LOST_RACES)
}

/// The reason for a ref that has moved since the advertisement, which [`is_lost_race`] recognizes. `reason` is git's.
pub(crate) fn lost_race(reason: &str) -> String {
    format!("failed to update ref: it has moved ({reason})")
}

/// The reasons of `git push` for not sending an update by which the remote would lose commits. The last two belong to
/// options that are not used here, but mean the same.
const LOSING_COMMITS: [&str; 4] = [
    "non-fast-forward",
    "fetch first",
    "stale info",
    "remote ref updated since checkout",
];

/// Whether `git push` did not send the update because the remote would lose commits.
pub(crate) fn would_lose_commits(reason: &str) -> bool {
    LOSING_COMMITS.contains(&reason)
}

/// Whether git reports on its standard error that it gave up.
pub(crate) fn is_fatal(stderr: &str) -> bool {
    stderr.lines().any(|line| line.starts_with("fatal: "))
}

/// Whether a line on git's standard error tells why it fails. git is to end then, but its helper for HTTP may hang.
pub(crate) fn is_last_word(line: &str) -> bool {
    ["error: ", "fatal: ", "send-pack: "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Whether a `git push` with a pre-push hook failed because the hook declined. git then exits with 1 and adds no message.
/// It also exits with 1 if there is nothing to push by the given name, and says so. `code` is `None` if the exit code is
/// unknown.
pub(crate) fn is_declined_by_pre_push(code: Option<i32>, stderr: &str) -> bool {
    code.map_or_else(|| !is_fatal(stderr), |code| code == 1) && !contains_any(stderr, &[NOTHING_TO_PUSH])
}

/// Servers have several spellings: `non-fast-forward`, `non-fast forward`, `nonfastforward`.
fn is_non_fast_forward(reason: &str) -> bool {
    let letters: String = reason.chars().filter(char::is_ascii_alphabetic).collect();
    contains_any(
        &letters,
        &[
            "nonfastforward",
            "notfastforward",
            "notafastforward",
            "fetchfirst",
        ],
    )
}

/// git about credentials that it would have to ask for on the terminal.
pub(super) const NO_PROMPT: &str = "terminal prompts disabled";

/// git push about a local ref that does not exist.
const NOTHING_TO_PUSH: &str = "src refspec";

/// A server about objects that the pack lacks, and that it does not have either.
const MISSING_OBJECTS: &str = "missing necessary objects";

/// git push about a remote whose objects have ids of another format.
pub(super) const OTHER_FORMAT: &str = "does not support this repository's hash algorithm";

/// Reasons behind `ng` that are no decision about the push.
const BROKEN: Table<Kind> = Table(&[
    ("unpacker error", RemoteError),
    (MISSING_OBJECTS, RemoteError),
    // JGit.
    ("missing object", RemoteError),
    ("object not found", RemoteError),
    ("missing unknown ", RemoteError),
    ("missing commit ", RemoteError),
    ("missing tree ", RemoteError),
    ("missing blob ", RemoteError),
    ("transaction aborted", RemoteError),
    ("bad pack", RemoteError),
    ("unable to migrate objects", RemoteError),
    ("transaction failed to start", RemoteError),
    ("proc-receive failed to report status", RemoteError),
]);

/// Reasons why the server could not write a ref that is not locked: errors of the C library, and those of git about a
/// damaged ref. Unlike for a lock, waiting does not help.
const UNWRITABLE: Table<Kind> = Table(&[
    ("no space left on device", RemoteError),
    ("disk quota exceeded", RemoteError),
    ("read-only file system", RemoteError),
    (": permission denied", RemoteError),
    ("input/output error", RemoteError),
    ("reference broken", RemoteError),
    ("does not point to a valid object", RemoteError),
    ("nonexistent object", RemoteError),
    // Refs in reftables; of one that is locked git says "data is locked".
    ("reftable: transaction prepare: file does not exist", RemoteError),
    ("reftable: transaction prepare: i/o error", RemoteError),
    ("corrupt reftable file", RemoteError),
]);

/// A pack that is too large as a whole, by git, `JGit`, Azure DevOps, and HTTP as we and git's curl tell of it.
const TOO_LARGE: [&str; 5] = [
    "pack exceeds maximum allowed size",
    "pack exceeds the limit of",
    "tf402462",
    "the push is larger than the server allows",
    "the requested url returned error: 413",
];

/// Whether a server refused a pack as too large, so that a smaller one may be accepted.
pub(crate) fn is_about_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    TOO_LARGE.iter().any(|phrase| message.contains(phrase))
}

/// The server does not want the pack, or the pack was never sent.
const UNWANTED: Table<Kind> = Table(&[
    ("pack exceeds maximum allowed size", Rejected),
    // JGit, of a pack or an object.
    ("rejecting the pack", Rejected),
    // `receive.fsckObjects`: from `index-pack` or `unpack-objects`.
    ("fsck error", Rejected),
    // No byte arrived: the git CLI on this machine failed to read the local repository.
    ("eof before pack header was fully read", Local),
]);

/// The kind of the reason behind `ng <ref>`. `messages` are the other messages of the server and its hooks.
pub(super) fn kind_of_rejection(reason: &str, messages: &str) -> Kind {
    if is_non_fast_forward(reason) {
        return NonFastForward;
    }
    if reason.contains("unpacker error") {
        return kind_of_unpack_error(reason, messages);
    }
    let all = format!("{reason}\n{messages}");
    if is_lost_race(reason) {
        return UNWRITABLE.find(&all).unwrap_or(RemoteLock);
    }
    // JGit's `object <id> missing`.
    let is_missing = reason.starts_with("object ") && reason.ends_with(" missing");
    BROKEN
        .find(reason)
        .or_else(|| is_missing.then_some(RemoteError))
        .or_else(|| servers::kind_of(&all))
        // GitHub says only this when its storage fails.
        .or_else(|| (reason == "failure").then_some(RemoteError))
        .unwrap_or(Rejected)
}

/// Whether the server refused a push because it lacks objects that were not sent.
pub(crate) fn is_about_missing_objects(message: &str) -> bool {
    contains_any(message, &[MISSING_OBJECTS])
}

/// The kind of the reason behind `unpack`. git's own reason is among the other messages.
pub(super) fn kind_of_unpack_error(reason: &str, messages: &str) -> Kind {
    let all = format!("{reason}\n{messages}");
    UNWANTED
        .find(&all)
        .or_else(|| servers::kind_of(&all))
        .unwrap_or(RemoteError)
}

/// The git CLI of this machine about itself. It tells more than the messages of others that it repeats.
const LOCAL: Table<Kind> = Table(&[
    ("cannot exec '", Local),
    ("cannot run hooks/", RemoteError),
    ("cannot run ", Local),
    ("is not a git command", Local),
    ("unable to find remote helper", Local),
    ("unknown option", Local),
    ("bad config", Local),
    ("bad numeric config value", Local),
    ("bad boolean config value", Local),
    (NOTHING_TO_PUSH, Local),
    ("uses plaintext credentials", Local),
    ("' not allowed", Local),
    ("failed to sign the push certificate", Local),
    (OTHER_FORMAT, Rejected),
    ("does not support --signed push", Rejected),
    ("does not support push options", Rejected),
    (NO_PROMPT, Auth),
]);

/// git about HTTP, and the errors of curl that it repeats.
const HTTP: Table<Kind> = Table(&[
    ("authentication failed for", Auth),
    ("could not read username", Auth),
    ("could not read password", Auth),
    // A status of 404.
    ("/' not found", RemoteError),
]);

/// `git receive-pack` and `git daemon` about the requested repository.
const SERVING: Table<Kind> = Table(&[
    ("repository not exported", RemoteError),
    ("does not appear to be a git repository", RemoteError),
    ("not a git repository", RemoteError),
    ("unable to chdir or not a git archive", RemoteError),
    // git clone, of a path on this machine.
    ("fatal: repository '/", RemoteError),
    ("dubious ownership", RemoteError),
    ("unsafe repository", RemoteError),
    ("bad config line", RemoteError),
    ("config value '", RemoteError),
    ("unknown repository extension", RemoteError),
    ("expected git repo version", RemoteError),
    ("service not enabled", Rejected),
    ("access denied", Auth),
]);

/// What git on this machine reports when it cannot write what it receives. The server writes nothing to serve a clone.
const UNWRITABLE_HERE: [&str; 5] = [
    "no space left on device",
    "disk quota exceeded",
    "read-only file system",
    "could not create ",
    "cannot mkdir ",
];

/// Whether a clone failed because this machine could not store it.
pub(super) fn is_about_storing(text: &str) -> bool {
    contains_any(text, &UNWRITABLE_HERE)
}

/// The end of every failure of git over ssh, whatever ssh reported.
pub(super) const UNREAD: &str = "could not read from remote repository";

/// The end of nearly every other failure of git to talk to a remote.
const LAST_RESORT: Table<Kind> = Table(&[
    ("unable to access 'http", Network),
    ("early eof", Network),
    // Followed by curl's error number and text, which may be that of its TLS library.
    ("rpc failed; curl ", Network),
    ("unexpected disconnect", Network),
    ("the remote end hung up", Network),
    // The server gave up with an unknown message.
    ("remote error: ", RemoteError),
]);

/// The kind that known messages of the server, or of the connecting program, stand for.
pub(super) fn kind_of_remote_messages(text: &str) -> Option<Kind> {
    servers::kind_of(text)
        .or_else(|| UNWANTED.find(text))
        .or_else(|| HTTP.find(text))
        .or_else(|| SERVING.find(text))
        .or_else(|| ssh::kind_of(text))
        .or_else(|| servers::kind_of_moved(text))
}

/// The kind of a connection that broke, by the messages until then. Without any message, the network broke it.
pub(super) fn kind_of_broken_connection(text: &str) -> Kind {
    kind_of_remote_messages(text)
        .or_else(|| LAST_RESORT.find(text))
        .or_else(|| is_silent(text).then_some(Network))
        .unwrap_or(Kind::Unknown)
}

/// Whether a text contains nothing that could tell the cause of a failure.
#[must_use]
pub fn is_silent(text: &str) -> bool {
    text.lines().all(ssh::is_noise)
}

/// The kind of a failed command of the git CLI, by its standard error.
pub(super) fn kind_of_git_cli(text: &str) -> Option<Kind> {
    // The loader's complaint is about this machine's git: the server's is `git-receive-pack`.
    let is_broken_git = ssh::kind_of_loader(text).is_some() && !text.contains("git-receive-pack");
    LOCAL
        .find(text)
        .or_else(|| (is_broken_git || ssh::is_failed_command(text)).then_some(Local))
        .or_else(|| servers::kind_of(text))
        .or_else(|| http::kind_in(text))
        .or_else(|| kind_of_remote_messages(text))
        .or_else(|| LAST_RESORT.find(text))
}
