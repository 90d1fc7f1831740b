//! The words of OpenSSH, of plink and dbclient, of the C library under them, and of the shells at both of their ends.
//!
//! They are not translated, and the C library speaks English to them (they set no locale for messages). A shell
//! on this side gets English messages from the transport.

use super::Kind;
use super::words::{self, Words};

/// What ends ssh before it has connected to anything: the machine, the program and its settings. Samples are in the tests.
const LOCAL: &Words = &[
    ("openssl version mismatch", Kind::Local),
    ("no user exists for uid", Kind::Local),
    ("you don't exist, go away", Kind::Local),
    ("bad configuration option", Kind::Local),
    // What follows `-o` is none of its settings.
    ("command-line line ", Kind::Local),
    ("command-line: line ", Kind::Local),
    ("can't open user config file ", Kind::Local),
    ("bad owner or permissions on ", Kind::Local),
    ("bad port '", Kind::Local),
    ("invalid port", Kind::Local),
    ("unknown cipher type", Kind::Local),
    ("unknown mac type", Kind::Local),
    ("unsupported kex algorithm", Kind::Local),
    ("bad match condition", Kind::Local),
    ("percent_expand", Kind::Local),
    ("percent_dollar_expand", Kind::Local),
    ("tilde_expand", Kind::Local),
    ("unknown option -- ", Kind::Local),
    ("plink: unknown option", Kind::Local),
    ("illegal option -- ", Kind::Local),
    ("invalid option -- ", Kind::Local),
    ("usage: ssh", Kind::Local),
    ("usage: plink", Kind::Local),
    ("usage: dbclient", Kind::Local),
    ("unix_listener", Kind::Local),
    ("controlpath too long", Kind::Local),
    ("too long for unix domain socket", Kind::Local),
    ("cannot assign requested address", Kind::Local),
    ("address already in use", Kind::Local),
];

const SSH: &Words = &[
    ("host key verification failed", Kind::HostKey),
    ("remote host identification has changed", Kind::HostKey),
    ("no matching host key type", Kind::HostKey),
    // plink.
    ("host key is not cached", Kind::HostKey),
    ("cannot confirm a host key", Kind::HostKey),
    ("host key not in manually configured list", Kind::HostKey),
    ("host key does not match", Kind::HostKey),
    ("couldn't agree a host key algorithm", Kind::HostKey),
    // dbclient.
    ("is not in the trusted hosts file", Kind::HostKey),
    ("host key mismatch", Kind::HostKey),
    ("didn't validate host key", Kind::HostKey),
    ("no matching algo hostkey", Kind::HostKey),
    ("permission denied (", Kind::Auth),
    ("permission denied, please try again", Kind::Auth),
    ("too many authentication failures", Kind::Auth),
    ("authentication failed", Kind::Auth),
    // Launchpad.
    ("authorization failed", Kind::Auth),
    ("no supported authentication methods", Kind::Auth),
    ("server refused our key", Kind::Auth),
    ("unable to use key file", Kind::Auth),
    ("cannot answer interactive prompts", Kind::Auth),
    ("no auth methods could be used", Kind::Auth),
    // What dbclient says of a key in a format that it does not read.
    ("exited: string too long", Kind::Auth),
    // They ask, which nobody answers.
    ("password:", Kind::Auth),
    ("enter passphrase", Kind::Auth),
    ("passphrase for key", Kind::Auth),
    // The account's shell on the server is `nologin`.
    ("account is currently not available", Kind::Auth),
    ("account has expired", Kind::Auth),
    ("password has expired", Kind::Auth),
    ("connection timed out", Kind::Timeout),
    ("operation timed out", Kind::Timeout),
    ("keepalive timeout", Kind::Timeout),
    ("idle timeout", Kind::Timeout),
    ("timeout waiting for handshake", Kind::Timeout),
    ("timeout before auth", Kind::Timeout),
    // What OpenSSH's ServerAliveInterval leads to.
    (" not responding", Kind::Timeout),
    ("connection refused", Kind::Network),
    ("could not resolve host", Kind::Network),
    ("error resolving ", Kind::Network),
    ("host does not exist", Kind::Network),
    ("name or service not known", Kind::Network),
    ("temporary failure in name resolution", Kind::Network),
    ("no route to host", Kind::Network),
    ("network is unreachable", Kind::Network),
    ("network is down", Kind::Network),
    ("host is down", Kind::Network),
    ("connection reset", Kind::Network),
    ("connection abort", Kind::Network),
    ("connection closed by", Kind::Network),
    ("closed by remote host", Kind::Network),
    ("closed the connection", Kind::Network),
    ("closed network connection", Kind::Network),
    ("unable to open connection", Kind::Network),
    ("network error: ", Kind::Network),
    ("connect failed", Kind::Network),
    ("broken pipe", Kind::Network),
    ("exchange_identification", Kind::Network),
    ("banner exchange", Kind::Network),
    ("corrupted mac on input", Kind::Network),
    ("bad packet length", Kind::Network),
    ("ssh_dispatch_run_fatal", Kind::Network),
    ("stdio forwarding failed", Kind::Network),
    ("ssh: connect to host ", Kind::Network),
    ("received disconnect from ", Kind::Network),
    ("unable to negotiate with ", Kind::RemoteError),
    ("couldn't agree a ", Kind::RemoteError),
    ("no matching algo ", Kind::RemoteError),
    ("exec request failed on channel", Kind::RemoteError),
    ("session open refused by peer", Kind::RemoteError),
    ("allows sftp connections only", Kind::RemoteError),
    ("interactive git shell is not enabled", Kind::RemoteError),
    (
        "unprivileged users are not permitted to log in",
        Kind::RemoteError,
    ),
    // The remote shell's words for a server without git: bash and zsh, dash and busybox, fish, Windows, git-shell.
    ("command not found", Kind::RemoteError),
    (": not found", Kind::RemoteError),
    ("receive-pack: no such file or directory", Kind::RemoteError),
    ("receive-pack: permission denied", Kind::RemoteError),
    ("receive-pack: cannot execute", Kind::RemoteError),
    ("unknown command", Kind::RemoteError),
    (
        "is not recognized as an internal or external command",
        Kind::RemoteError,
    ),
    ("unrecognized command", Kind::RemoteError),
    (": syntax error", Kind::RemoteError),
    // plink and dbclient, of a key that they then did without: whatever else was said tells more.
    ("load private key", Kind::Local),
    ("configured key file not available", Kind::Local),
    ("failed loading keyfile", Kind::Local),
];

/// What to do about a failure of this machine's ssh.
pub(crate) const LOCAL_HINT: &str = "ssh failed on this machine, before it reached the server: read its message, then check the ssh program, its configuration and options (ssh_config, GIT_SSH_COMMAND, core.sshCommand), and the user that the service runs as.";

/// What to do where neither ssh nor the server behind it said anything that is known.
pub(crate) const UNKNOWN_HINT: &str = "ssh, or the server behind it, said nothing that is known here: read the message, and run the same ssh command by hand, as the service's user and with its environment.";

const KEY_HINT: &str = "ssh could not use a private key on this side, as its message says: check that the key file is mounted where ssh looks for it, that the service's user owns it with mode 0600 or 0400, that it is whole and in a format that this ssh program reads, and that it needs no passphrase. A key in an agent: check that the agent may sign with it without asking.";

const ALGORITHM_HINT: &str = "ssh and the server have no algorithm in common: update the older side, or allow by HostKeyAlgorithms, KexAlgorithms, Ciphers, MACs or PubkeyAcceptedAlgorithms in ssh_config what the message says that the server offers.";

/// What to do, where the words tell more of it than the kind does.
const HINTS: &[(&str, &[Kind], &str)] = &[
    ("no mutual signature", &[Kind::Auth], ALGORITHM_HINT),
    ("unable to negotiate with ", NEGOTIATION, ALGORITHM_HINT),
    ("couldn't agree a ", NEGOTIATION, ALGORITHM_HINT),
    ("no matching algo ", NEGOTIATION, ALGORITHM_HINT),
    // OpenSSH, of the file's permissions and format, its absence, and the agent.
    ("load key \"", KEY, KEY_HINT),
    ("unprotected private key file", KEY, KEY_HINT),
    (" not accessible: ", KEY, KEY_HINT),
    ("no such identity: ", KEY, KEY_HINT),
    ("agent refused operation", KEY, KEY_HINT),
    ("signing failed for ", KEY, KEY_HINT),
    ("enter passphrase", KEY, KEY_HINT),
    ("passphrase for key", KEY, KEY_HINT),
    // plink.
    ("unable to use key file", KEY, KEY_HINT),
    ("load private key", KEY, KEY_HINT),
    ("configured key file not available", KEY, KEY_HINT),
    // dbclient.
    ("failed loading keyfile", KEY, KEY_HINT),
    ("exited: string too long", KEY, KEY_HINT),
];
const NEGOTIATION: &[Kind] = &[Kind::HostKey, Kind::RemoteError];
const KEY: &[Kind] = &[Kind::Auth, Kind::Local];

/// What to do about a failure of this kind with these words, where that is more than follows from the kind.
pub(super) fn hint_of(said: &str, kind: Kind) -> Option<&'static str> {
    let said = said.to_ascii_lowercase();
    HINTS
        .iter()
        .find(|(words, kinds, _)| kinds.contains(&kind) && said.contains(words))
        .map(|&(_, _, hint)| hint)
}

/// The names under which shells complain that nobody has given another.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];

/// What a shell, or a program's loader, says of what it cannot run.
const CANNOT_RUN: &Words = &[
    ("not found", Kind::Local),
    ("no such file or directory", Kind::Local),
    ("permission denied", Kind::Local),
    ("exec format error", Kind::Local),
    ("cannot execute", Kind::Local),
    ("is a directory", Kind::Local),
];

/// The kind of what ssh and the shell behind it said.
pub(super) fn kind_of(said: &str) -> Option<Kind> {
    kind_of_loader(said)
        .or_else(|| kind_of_proxy_command(said))
        .or_else(|| words::find(LOCAL, said))
        .or_else(|| kind_of_settings(said))
        .or_else(|| words::find(SSH, said))
}

/// A program that its dynamic loader cannot start: in the words of glibc, of musl and of macOS. On the server it is git;
/// whatever else it is runs here.
pub(super) fn kind_of_loader(said: &str) -> Option<Kind> {
    let complaint = said.lines().map(str::to_ascii_lowercase).find(|line| {
        line.contains("error while loading shared librar")
            || line.contains("error loading shared library")
            || line.contains("error relocating ")
            || line.contains("symbol lookup error")
            || line.contains("library not loaded")
            || line.contains("version `") && line.contains("not found (required by")
    })?;
    let mut words = complaint.split([' ', '/']);
    let is_git = words.any(|word| {
        let word = word.trim_end_matches([':', ')', '\'']);
        matches!(word, "git" | "git-receive-pack")
    });
    Some(if is_git { Kind::RemoteError } else { Kind::Local })
}

/// A program for `ProxyCommand` that could not be run. Only a shell of this machine can have complained where ssh has not
/// heard a word of the server.
fn kind_of_proxy_command(said: &str) -> Option<Kind> {
    let lower = said.to_ascii_lowercase();
    let has_not_met = ["exchange_identification", "unknown port 65535", "banner exchange"];
    let is_complaint = |line: &str| {
        let name = line
            .split([':', ' '])
            .next()
            .and_then(|path| path.rsplit('/').next());
        name.is_some_and(|name| SHELLS.contains(&name)) && words::find(CANNOT_RUN, line).is_some()
    };
    let is_local = has_not_met.iter().any(|words| lower.contains(words)) && lower.lines().any(is_complaint);
    is_local.then_some(Kind::Local)
}

/// A value in a configuration file, or behind an option, that ssh does not take: `<file> line <number>: <complaint>`.
fn kind_of_settings(said: &str) -> Option<Kind> {
    const COMPLAINTS: [&str; 9] = [
        "bad ",
        "invalid ",
        "unsupported ",
        "unknown ",
        "missing ",
        "no argument",
        "garbage",
        "extra arguments",
        "keyword ",
    ];
    let is_complaint = |line: &str| {
        let Some((before, complaint)) = line.split_once(": ") else {
            return false;
        };
        let Some((_, number)) = before.rsplit_once(" line ") else {
            return false;
        };
        let complaint = complaint.to_ascii_lowercase();
        number.parse::<u32>().is_ok() && COMPLAINTS.iter().any(|words| complaint.starts_with(words))
    };
    said.lines().any(is_complaint).then_some(Kind::Local)
}

/// What ssh says beside anything else, and what tells nothing of a failure.
pub(super) fn is_noise(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let starts = [
        "warning: ",
        "debug1: ",
        "debug2: ",
        "debug3: ",
        "** ",
        "failed to add the host to ",
        "could not create directory ",
    ];
    starts.iter().any(|start| line.starts_with(start)) || line.contains("warning: setlocale")
}

/// Whether the last that was said is a question. Its answer is waited for, and nobody is there to give one.
#[must_use]
pub fn is_question(said: &str) -> bool {
    const ENDS: [&str; 6] = [
        "(y/n)",
        "(yes/no)?",
        "(yes/no/[fingerprint])?",
        "(y/n, return cancels connection, i for more info)",
        "password:",
        "passphrase:",
    ];
    let last = said.lines().last().unwrap_or_default().to_ascii_lowercase();
    let last = last.trim_end();
    let asks_for_key = last.contains("passphrase for key") && last.ends_with(':');
    !said.ends_with('\n') && (asks_for_key || ENDS.iter().any(|end| last.ends_with(end)))
}

/// Why a shell that git has started on this machine could not run its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellComplaint {
    /// There is no such program.
    MissingProgram,
    /// The program is no program, may not be run, or the command is malformed.
    Other,
}

/// Whether a shell that git has started on this machine complains that it cannot run the program of its command. git
/// gives it that command as its name, so that a word of the name is the program; a server's shell has its own. The command
/// that ends with a quoted path is the receive-pack of a remote on this machine, not ssh.
pub(super) fn is_failed_command(said: &str) -> bool {
    const COMPLAINTS: [&str; 7] = [
        "not found",
        "command not found",
        "No such file or directory",
        "Permission denied",
        "Exec format error",
        "Is a directory",
        "required file not found",
    ];
    said.lines().any(|line| {
        let Some((name, complaint)) = line.split_once(": ") else {
            return false;
        };
        let mut parts = complaint.rsplit(": ");
        let says_so = parts.next().is_some_and(|words| COMPLAINTS.contains(&words));
        let is_receive_pack = name.ends_with('\'');
        let is_of_name = |part: &str| name.split_whitespace().any(|word| word == part);
        let shell = name.rsplit(['/', '-']).next().unwrap_or_default();
        let is_malformed = complaint.to_ascii_lowercase().contains(": syntax error")
            || complaint.contains(": unexpected EOF while looking for matching");
        !is_receive_pack && (says_so && parts.any(is_of_name) || is_malformed && !SHELLS.contains(&shell))
    })
}

/// Whether a shell of this machine complains that it cannot run its command. It begins its complaints with
/// the name it was given: that tells them from those of a shell on the server.
#[must_use]
pub fn complaint_of_shell(stderr: &str, shell_name: &str) -> Option<ShellComplaint> {
    const MISSING: [&str; 2] = ["not found", "No such file or directory"];
    const OTHERS: [&str; 8] = [
        "Permission denied",
        "Exec format error",
        "cannot execute",
        "Is a directory",
        "yntax error",
        "unexpected ",
        "bad substitution",
        "not set",
    ];
    let complaint = stderr.match_indices(shell_name).find_map(|(at, _)| {
        let is_at_start = at == 0 || stderr[..at].ends_with('\n');
        let rest = stderr[at + shell_name.len()..].strip_prefix(':')?;
        is_at_start.then(|| rest.lines().next().unwrap_or_default())
    })?;
    let contains = |list: &[&str]| list.iter().any(|words| complaint.contains(words));
    if contains(&["cannot execute"]) {
        Some(ShellComplaint::Other)
    } else if contains(&MISSING) {
        Some(ShellComplaint::MissingProgram)
    } else {
        contains(&OTHERS).then_some(ShellComplaint::Other)
    }
}
