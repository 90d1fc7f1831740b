//! Messages of OpenSSH, plink and dbclient, of the C library below them, and of the shells at both ends.
//!
//! ssh programs set no locale for messages, so these and the C library's are English. A shell on this machine is started
//! with English messages by the transport.

use super::Failure;
use super::Kind::{self, Auth, HostKey, Local, Network, RemoteError, Timeout, Unknown};
use super::table::{Table, contains_any};

/// Ssh ended before it connected to anything, because of the machine, the program or its settings. Samples are in the
/// tests.
const LOCAL: Table<Kind> = Table(&[
    ("openssl version mismatch", Local),
    ("no user exists for uid", Local),
    ("you don't exist, go away", Local),
    ("bad configuration option", Local),
    // An option behind `-o` that is none of its settings.
    ("command-line line ", Local),
    ("command-line: line ", Local),
    ("can't open user config file ", Local),
    ("bad owner or permissions on ", Local),
    ("bad port '", Local),
    ("invalid port", Local),
    ("unknown cipher type", Local),
    ("unknown mac type", Local),
    ("unsupported kex algorithm", Local),
    ("bad match condition", Local),
    ("percent_expand", Local),
    ("percent_dollar_expand", Local),
    ("tilde_expand", Local),
    ("unknown option -- ", Local),
    ("plink: unknown option", Local),
    ("illegal option -- ", Local),
    ("invalid option -- ", Local),
    ("usage: ssh", Local),
    ("usage: plink", Local),
    ("usage: dbclient", Local),
    ("unix_listener", Local),
    ("controlpath too long", Local),
    ("too long for unix domain socket", Local),
    ("cannot assign requested address", Local),
    ("address already in use", Local),
]);

const SSH: Table<Kind> = Table(&[
    ("host key verification failed", HostKey),
    ("remote host identification has changed", HostKey),
    ("no matching host key type", HostKey),
    // plink.
    ("host key is not cached", HostKey),
    ("cannot confirm a host key", HostKey),
    ("host key not in manually configured list", HostKey),
    ("host key does not match", HostKey),
    ("couldn't agree a host key algorithm", HostKey),
    // dbclient.
    ("is not in the trusted hosts file", HostKey),
    ("host key mismatch", HostKey),
    ("didn't validate host key", HostKey),
    ("no matching algo hostkey", HostKey),
    ("permission denied (", Auth),
    ("permission denied, please try again", Auth),
    ("too many authentication failures", Auth),
    ("authentication failed", Auth),
    // Launchpad.
    ("authorization failed", Auth),
    ("no supported authentication methods", Auth),
    ("server refused our key", Auth),
    ("unable to use key file", Auth),
    ("cannot answer interactive prompts", Auth),
    ("no auth methods could be used", Auth),
    // dbclient about a key in a format that it does not read.
    ("exited: string too long", Auth),
    // A question, which is never answered.
    ("password:", Auth),
    ("enter passphrase", Auth),
    ("passphrase for key", Auth),
    // The account's shell on the server is `nologin`.
    ("account is currently not available", Auth),
    ("account has expired", Auth),
    ("password has expired", Auth),
    ("connection timed out", Timeout),
    ("operation timed out", Timeout),
    ("keepalive timeout", Timeout),
    ("idle timeout", Timeout),
    ("timeout waiting for handshake", Timeout),
    ("timeout before auth", Timeout),
    // OpenSSH with ServerAliveInterval.
    (" not responding", Timeout),
    ("connection refused", Network),
    ("could not resolve host", Network),
    ("error resolving ", Network),
    ("host does not exist", Network),
    ("name or service not known", Network),
    ("temporary failure in name resolution", Network),
    ("no route to host", Network),
    ("network is unreachable", Network),
    ("network is down", Network),
    ("host is down", Network),
    ("connection reset", Network),
    ("connection abort", Network),
    ("connection closed by", Network),
    ("closed by remote host", Network),
    ("closed the connection", Network),
    ("closed network connection", Network),
    ("unable to open connection", Network),
    ("network error: ", Network),
    ("connect failed", Network),
    ("broken pipe", Network),
    ("exchange_identification", Network),
    ("banner exchange", Network),
    ("corrupted mac on input", Network),
    ("bad packet length", Network),
    ("ssh_dispatch_run_fatal", Network),
    ("stdio forwarding failed", Network),
    ("ssh: connect to host ", Network),
    ("received disconnect from ", Network),
    ("unable to negotiate with ", RemoteError),
    ("couldn't agree a ", RemoteError),
    ("no matching algo ", RemoteError),
    ("exec request failed on channel", RemoteError),
    ("session open refused by peer", RemoteError),
    ("allows sftp connections only", RemoteError),
    ("interactive git shell is not enabled", RemoteError),
    ("unprivileged users are not permitted to log in", RemoteError),
    // The remote shell on a server without git: bash and zsh, dash and busybox, fish, Windows, git-shell.
    ("command not found", RemoteError),
    (": not found", RemoteError),
    ("receive-pack: no such file or directory", RemoteError),
    ("receive-pack: permission denied", RemoteError),
    ("receive-pack: cannot execute", RemoteError),
    ("unknown command", RemoteError),
    (
        "is not recognized as an internal or external command",
        RemoteError,
    ),
    ("unrecognized command", RemoteError),
    (": syntax error", RemoteError),
    // plink and dbclient about a key, without which they then went on: any other message tells more.
    ("load private key", Local),
    ("configured key file not available", Local),
    ("failed loading keyfile", Local),
]);

/// What to do if ssh failed on this machine.
const LOCAL_HINT: &str = "ssh failed on this machine, before it reached the server: read its message, then check the ssh program, its configuration and options (ssh_config, GIT_SSH_COMMAND, core.sshCommand), and the user that the service runs as.";

/// What to do if neither ssh nor the server sent a known message.
pub(super) const UNKNOWN_HINT: &str = "Neither ssh nor the server gave a reason that the daemon knows: read the message, and run the same ssh command by hand, as the service's user and with its environment.";

/// A hint for failures of certain kinds.
#[derive(Clone, Copy)]
struct Hint {
    kinds: &'static [Kind],
    text: &'static str,
}

const KEY: Hint = Hint {
    kinds: &[Auth, Local],
    text: "ssh could not use a private key on this machine, as its message says: check that the key file is mounted where ssh looks for it, that the service's user owns it with mode 0600 or 0400, that it is complete and in a format that this ssh program reads, and that it needs no passphrase. If the key is in an agent, check that the agent may sign with it without asking.",
};

const ALGORITHMS: Hint = Hint {
    kinds: &[HostKey, RemoteError, Auth],
    text: "ssh and the server have no algorithm in common: update the older side, or use HostKeyAlgorithms, KexAlgorithms, Ciphers, MACs or PubkeyAcceptedAlgorithms in ssh_config to allow what the server offers according to the message.",
};

/// What to do, where the message tells more about it than the kind does.
const HINTS: Table<Hint> = Table(&[
    ("no mutual signature", ALGORITHMS),
    ("unable to negotiate with ", ALGORITHMS),
    ("couldn't agree a ", ALGORITHMS),
    ("no matching algo ", ALGORITHMS),
    // OpenSSH, about the file's permissions and format, its absence, and the agent.
    ("load key \"", KEY),
    ("unprotected private key file", KEY),
    (" not accessible: ", KEY),
    ("no such identity: ", KEY),
    ("agent refused operation", KEY),
    ("signing failed for ", KEY),
    ("enter passphrase", KEY),
    ("passphrase for key", KEY),
    // plink.
    ("unable to use key file", KEY),
    ("load private key", KEY),
    ("configured key file not available", KEY),
    // dbclient.
    ("failed loading keyfile", KEY),
    ("exited: string too long", KEY),
]);

/// What to do about a failure of this kind with this text, where that is more than follows from the kind.
pub(super) fn hint_of(text: &str, kind: Kind) -> Option<&'static str> {
    let mut hints = HINTS.matches(text).filter(|hint| hint.kinds.contains(&kind));
    hints.next().map(|hint| hint.text)
}

impl Failure {
    /// The ssh program could not be started, for this reason.
    pub(crate) fn from_unstarted_ssh(program: &str, error: &str, complaint: ShellComplaint) -> Self {
        let advice = match complaint {
            ShellComplaint::MissingProgram => {
                "; pushing over ssh needs an ssh program: install OpenSSH's client (the package openssh-client of Debian and Alpine), or check PATH, GIT_SSH_COMMAND, core.sshCommand and GIT_SSH"
            }
            ShellComplaint::Other => "",
        };
        let message = format!("{program} could not be started: {error}{advice}");
        Self::new(Local, message).with_hint(LOCAL_HINT)
    }

    /// Sets the hint for a failure over ssh, unless its message has one.
    #[must_use]
    pub(crate) fn or_hint_of_ssh(self) -> Self {
        match self.kind() {
            Local => self.or_hint(LOCAL_HINT),
            Unknown => self.or_hint(UNKNOWN_HINT),
            _ => self,
        }
    }
}

/// The names with which shells begin their complaints, unless they were given another.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];

/// A shell or a loader about a program that it cannot run.
const CANNOT_RUN: [&str; 6] = [
    "not found",
    "no such file or directory",
    "permission denied",
    "exec format error",
    "cannot execute",
    "is a directory",
];

/// The kind of a failure by the messages of ssh and of the shell behind it.
pub(super) fn kind_of(text: &str) -> Option<Kind> {
    kind_of_loader(text)
        .or_else(|| is_failed_proxy_command(text).then_some(Local))
        .or_else(|| LOCAL.find(text))
        .or_else(|| is_bad_setting(text).then_some(Local))
        .or_else(|| SSH.find(text))
}

/// A program that its dynamic loader cannot start: messages of glibc, of musl and of macOS. git runs on the server, any
/// other program here.
pub(super) fn kind_of_loader(text: &str) -> Option<Kind> {
    const COMPLAINTS: [&str; 5] = [
        "error while loading shared librar",
        "error loading shared library",
        "error relocating ",
        "symbol lookup error",
        "library not loaded",
    ];
    let line = text.lines().map(str::to_ascii_lowercase).find(|line| {
        contains_any(line, &COMPLAINTS)
            || line.contains("version `") && line.contains("not found (required by")
    })?;
    let is_git = line.split([' ', '/']).any(|word| {
        let word = word.trim_end_matches([':', ')', '\'']);
        matches!(word, "git" | "git-receive-pack")
    });
    Some(if is_git { RemoteError } else { Local })
}

/// Whether the program of `ProxyCommand` could not be run. Only a shell of this machine can have complained before ssh
/// heard from the server.
fn is_failed_proxy_command(text: &str) -> bool {
    let is_complaint = |line: &str| {
        let path = line.split([':', ' ']).next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        SHELLS.contains(&name.to_ascii_lowercase().as_str()) && contains_any(line, &CANNOT_RUN)
    };
    let before_the_server = ["exchange_identification", "unknown port 65535", "banner exchange"];
    contains_any(text, &before_the_server) && text.lines().any(is_complaint)
}

/// Whether ssh refuses a value in a configuration file or behind an option: `<file> line <number>: <complaint>`.
fn is_bad_setting(text: &str) -> bool {
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
    text.to_ascii_lowercase().lines().any(|line| {
        line.split_once(": ").is_some_and(|(place, complaint)| {
            let number = place
                .rsplit_once(" line ")
                .map(|(_, number)| number.parse::<u32>());
            matches!(number, Some(Ok(_))) && COMPLAINTS.iter().any(|start| complaint.starts_with(start))
        })
    })
}

/// Whether a line of ssh tells nothing about a failure.
pub(super) fn is_noise(line: &str) -> bool {
    const STARTS: [&str; 7] = [
        "warning: ",
        "debug1: ",
        "debug2: ",
        "debug3: ",
        "** ",
        "failed to add the host to ",
        "could not create directory ",
    ];
    let line = line.to_ascii_lowercase();
    STARTS.iter().any(|start| line.starts_with(start)) || line.contains("warning: setlocale")
}

/// Whether the text ends with a question. The program waits for an answer that will not come.
#[must_use]
pub fn is_question(text: &str) -> bool {
    const ENDS: [&str; 6] = [
        "(y/n)",
        "(yes/no)?",
        "(yes/no/[fingerprint])?",
        "(y/n, return cancels connection, i for more info)",
        "password:",
        "passphrase:",
    ];
    let last = text.lines().last().unwrap_or_default().to_ascii_lowercase();
    let last = last.trim_end();
    let asks_for_key = last.contains("passphrase for key") && last.ends_with(':');
    !text.ends_with('\n') && (asks_for_key || ENDS.iter().any(|end| last.ends_with(end)))
}

/// Whether a shell that git started on this machine complains that it cannot run the program of its command. git gives
/// it that command as its name, so the program is a word of the name; a server's shell has its own name. A command that
/// ends with a quoted path is the receive-pack of a remote on this machine, not ssh.
pub(super) fn is_failed_command(text: &str) -> bool {
    const COMPLAINTS: [&str; 7] = [
        "not found",
        "command not found",
        "No such file or directory",
        "Permission denied",
        "Exec format error",
        "Is a directory",
        "required file not found",
    ];
    text.lines().any(|line| {
        let Some((name, complaint)) = line.split_once(": ") else {
            return false;
        };
        let mut parts = complaint.rsplit(": ");
        let cannot_run = parts.next().is_some_and(|part| COMPLAINTS.contains(&part));
        let names_program = parts.any(|part| name.split_whitespace().any(|word| word == part));
        let shell = name.rsplit(['/', '-']).next().unwrap_or_default();
        let is_malformed = complaint.to_ascii_lowercase().contains(": syntax error")
            || complaint.contains(": unexpected EOF while looking for matching");
        let is_receive_pack = name.ends_with('\'');
        !is_receive_pack && (cannot_run && names_program || is_malformed && !SHELLS.contains(&shell))
    })
}

/// Why a shell on this machine could not run its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellComplaint {
    /// There is no such program.
    MissingProgram,
    /// The program cannot be executed, or the command is malformed.
    Other,
}

/// The complaints of a shell about its command. Those that contain another come first.
const SHELL_COMPLAINTS: Table<ShellComplaint> = Table(&[
    ("cannot execute", ShellComplaint::Other),
    ("not found", ShellComplaint::MissingProgram),
    ("no such file or directory", ShellComplaint::MissingProgram),
    ("permission denied", ShellComplaint::Other),
    ("exec format error", ShellComplaint::Other),
    ("is a directory", ShellComplaint::Other),
    ("syntax error", ShellComplaint::Other),
    ("unexpected ", ShellComplaint::Other),
    ("bad substitution", ShellComplaint::Other),
    ("not set", ShellComplaint::Other),
]);

/// The complaint of a shell on this machine that it cannot run its command. It begins with the name that the shell was
/// given, which tells it from the complaint of a shell on the server.
#[must_use]
pub fn complaint_of_shell(stderr: &str, shell_name: &str) -> Option<ShellComplaint> {
    let complaint = stderr.match_indices(shell_name).find_map(|(at, _)| {
        let is_at_start = at == 0 || stderr[..at].ends_with('\n');
        let rest = stderr[at + shell_name.len()..].strip_prefix(':')?;
        is_at_start.then(|| rest.lines().next().unwrap_or_default())
    })?;
    SHELL_COMPLAINTS.find(complaint)
}
