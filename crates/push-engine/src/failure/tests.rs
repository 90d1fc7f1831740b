//! Real messages of servers, git and ssh, and the kind of each, over every transport that it may come by.

use super::Kind::{Auth, HostKey, Local, Network, Rejected, RemoteError, Timeout, Unknown};
use super::*;

const MAIN: &str = "refs/heads/main";

/// Reads a table of samples: a line has a kind and a text in which `\n` and `\r` stand for line ends.
fn samples(table: &str) -> Vec<(Kind, String)> {
    let lines = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines
        .map(|line| {
            let (name, text) = line.split_once(':').expect("a kind and a text");
            let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
            let text = text.trim_start().replace("\\n", "\n").replace("\\r", "\r");
            (kind.expect("a kind"), text)
        })
        .collect()
}

/// Messages of servers, collected from their sources and from public reports of their users.
const SERVERS: &str = r#"
# GitHub.
rejected: error: GH006: Protected branch update failed for refs/heads/main.\nerror: Changes must be made through a pull request.
rejected: error: GH013: Repository rule violations found for refs/heads/main.\n\n- GITHUB PUSH PROTECTION\n  —————————————————————————————————————————\n    Resolve the following violations before pushing again\n\n    - Push cannot contain secrets\n
rejected: error: Trace: 654c8d72f32f9965c4734092a2fb75d3\nerror: See https://gh.io/lfs for more information.\nerror: File data.zip is 301.74 MB; this exceeds GitHub's file size limit of 100.00 MB\nerror: GH001: Large files detected. You may want to try Git Large File Storage.
rejected: ERROR: This repository was archived so it is read-only.
rejected: ERROR: Access to this repository has been disabled by GitHub staff.\nIf you are the repository owner, you can contact support
rejected: Repository 'org/data' is disabled.\nPlease ask the owner to check their account.
rejected: Repository unavailable due to DMCA takedown.
auth: ERROR: The key you are authenticating with has been marked as read only.
auth: ERROR: Permission to org/data.git denied to deploy key
auth: Permission to org/data.git denied to someone.
auth: Write access to repository not granted.
auth: ERROR: The 'org' organization has enabled or enforced SAML SSO. To access\nthis repository, you must use the HTTPS remote with a personal access token\nor SSH with an SSH key and passphrase\nthat has been authorized for this organization.
auth: Invalid username or token. Password authentication is not supported for Git operations.
auth: Support for password authentication was removed on August 13, 2021.
auth: Your account is suspended. Please visit https://support.github.com for more information.
auth: ERROR: The repository owner has an IP allow list enabled, and 192.0.2.1 is not permitted to access this repository.
auth: ERROR: You're using an RSA key with SHA-1, which is no longer allowed.\nPlease use a newer client or a different key type.
auth: This SSH certificate has expired.
auth: Personal access tokens (classic) are forbidden from accessing this repository.
remote-error: ERROR: Repository not found.
remote-error: You have exceeded a secondary rate limit. Please wait a few minutes before you try again.
remote-error: This repository is currently in read-only mode.
remote-error: Internal Server Error
remote-error: fatal error in commit_refs
remote-error: ERROR: Repository has been locked for migration.
remote-error: ERROR: GitHub Enterprise is currently down for maintenance.
# GitLab.
rejected: GitLab: You are not allowed to push code to protected branches on this project.
rejected: GitLab: You are attempting to check in one or more blobs which exceed the 100.0MiB limit:\n\n- 733315aecd6ac3eaf5dce93eed8e20dd4df9edc8 (105.13 MiB)
rejected: GitLab: File "data.bin" is larger than the allowed size of 10 MiB. Use Git LFS to manage this file.
rejected: GitLab: Your push has been rejected, because this repository has exceeded its size limit of 10 GiB by 45 MiB. Please contact your GitLab administrator for more information.
rejected: GitLab: Your push to this repository would cause it to exceed the size limit of 10 GiB so it has been rejected.
rejected: ERROR: You can't push code to an archived project.
rejected: Pushing over HTTP is not allowed.
auth: ERROR: This deploy key does not have write access to this project.
auth: ERROR: You are not allowed to push code to this project.
auth: You are not allowed to upload code.
auth: Your SSH key has expired.
auth: Your account has been blocked.
auth: HTTP Basic: Access denied. The provided password or token is incorrect or your account has 2FA enabled and you must use a personal access token instead of a password.
auth: ERROR: Your password expired. Please access GitLab from a web browser to update your password.
auth: ERROR: OTP verification is required to access the repository.\n\n   Use: ssh git@gitlab.com 2fa_verify
auth: Your account has been deactivated by your administrator.
remote-error: ERROR: The project you were looking for could not be found or you don't have permission to view it.
remote-error: A repository for this project does not exist yet.
remote-error: The repository is temporarily read-only. Please try again later.
remote-error: ERROR: You can't push code to a read-only GitLab instance.
remote-error: This endpoint has been requested too many times. Try again later.
remote-error: GitLab is currently unable to handle this request due to load (ID a2b5c730282383b9).
remote-error: GitLab is currently unable to handle this request. Please try again later.
remote-error: ERROR: The git server, Gitaly, is not available at this time. Please contact your administrator.
timeout: GitLab: Push operation timed out\n\nTiming information for debugging purposes:
# Gitea and Forgejo.
rejected: Gitea: Not allowed to push to protected branch main
rejected: Forgejo: branch main is protected from unverified commit 1c2d3e
rejected: Gitea: Repo: org/data is archived.
rejected: Mirror Repository org/data is read-only
rejected: Forgejo: Quota exceeded
auth: Gitea: Deploy Key: 3:pod is not authorized to write to org/data.
auth: Gitea: User permission denied for writing.
remote-error: Gitea: Cannot find repository: org/data
remote-error: Gitea: Internal Server Error (no specific error)
# gitolite.
auth: FATAL: W any ro alice DENIED by fallthru\n(or you mis-spelled the reponame)
auth: FATAL: C any nosuch alice DENIED by fallthru
remote-error: FATAL: unknown git/gitolite command: 'git receive-pack 'ro''
remote-error: FATAL: invalid repo name: 'bad name'
remote-error: FATAL: sorry, writes are currently disabled (no more info available)
# Gerrit and Azure DevOps.
auth: fatal: Upload denied for project 'data'
auth: TF401027: You need the Git 'GenericContribute' permission to perform this action.
auth: TF30063: You are not authorized to access https://dev.azure.com/org.
rejected: prohibited by Gerrit: project state does not permit write
rejected: TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch.
rejected: fatal: project data: push not permitted
remote-error: TF401019: The Git repository with name or identifier data does not exist or you do not have permissions for the operation you are attempting.
remote-error: fatal: project data not found
remote-error: Project not found
remote-error: TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency' in namespace 'User.'
# AWS CodeCommit.
remote-error: RepositoryDoesNotExistException: data does not exist
remote-error: EncryptionKeyDisabledException: encryption key is disabled
remote-error: EncryptionKeyAccessDeniedException: an encryption key could not be accessed
auth: AccessDeniedException: User: arn:aws:iam::1:user/pod cannot push
# Bitbucket, in the cloud and in a data centre.
auth: Unauthorized
auth: You are not permitted to write to this repository.\nAn access key with write access is needed.
auth: conq: repository access denied. access via a deployment key is read-only.
auth: repository access denied. deployment key is not associated with the requested repository.
auth: Invalid credentials
rejected: Push to restricted branch 'main' is not permitted.
rejected: Permission denied to update branch main.
rejected: repository is in read only mode (over 2 GB size limit).\n\nLearn how to reduce your repository size
rejected: [ALERT] Your push failed because the account 'org' has exceeded its\n[ALERT] user limit and this repository is restricted to read-only access.
rejected: Branch refs/heads/main can only be modified through pull requests.\nCheck your branch permissions configuration with the project administrator.
remote-error: conq: repository does not exist.
remote-error: Rate limit for this resource has been exceeded
"#;

#[test]
fn a_servers_message_has_one_kind_over_every_transport() {
    for (kind, message) in samples(SERVERS) {
        let said = message.as_str();
        let remote: String = said.lines().fold(String::new(), |text, line| {
            text + "remote: " + line + "        \n"
        });
        let framed = format!("remote: \nremote: {}\n{remote}remote: {0}\n", "=".repeat(72));
        let git_ssh = format!("{said}\nfatal: Could not read from remote repository.");
        let git_http = format!(
            "{remote}fatal: unable to access 'https://h/r.git/': The requested URL returned error: 403"
        );
        let git_rpc = format!(
            "{remote}error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403\nsend-pack: unexpected disconnect while reading sideband packet\nfatal: the remote end hung up unexpectedly"
        );
        for (transport, failure) in [
            ("ssh", Failure::from_broken_connection("early", said)),
            ("ssh, framed", Failure::from_broken_connection("early", &framed)),
            ("ERR", Failure::from_server_message(said)),
            (
                "a hook's report",
                Failure::from_rejection(MAIN, "pre-receive hook declined", said),
            ),
            (
                "messages before the end",
                Failure::from_broken_connection("early", "").with_server_messages(said),
            ),
            ("git over ssh", Failure::from_git_cli("git push", &git_ssh)),
            ("git over http", Failure::from_git_cli("git push", &git_http)),
            ("git in the middle", Failure::from_git_cli("git push", &git_rpc)),
        ] {
            assert_eq!(failure.kind(), kind, "{transport}: {failure}");
            assert!(!failure.message().contains("===="), "{transport}: {failure}");
        }
        for status in [400, 402, 403, 404, 422, 429, 500, 503] {
            assert_eq!(meaning_of_status(status, said).0, kind, "{status}: {said}");
        }
        assert_eq!(meaning_of_status(401, said).0, Auth, "{said}");
    }
}

#[test]
fn a_status_alone_has_the_same_kind_by_the_native_client_and_by_git() {
    for (status, kind) in [
        (400, RemoteError),
        (401, Auth),
        (402, Rejected),
        (403, Auth),
        (404, RemoteError),
        (407, Auth),
        (408, Timeout),
        (411, RemoteError),
        (413, Rejected),
        (429, RemoteError),
        (500, RemoteError),
        (502, RemoteError),
        (503, RemoteError),
        (504, Timeout),
    ] {
        assert_eq!(meaning_of_status(status, "").0, kind, "{status}");
        for said in [
            format!("fatal: unable to access 'https://h/r/': The requested URL returned error: {status}"),
            format!(
                "error: RPC failed; HTTP {status} curl 22 The requested URL returned error: {status}\nfatal: the remote end hung up unexpectedly"
            ),
            format!("error: RPC failed; result=22, HTTP code = {status}"),
        ] {
            assert_eq!(Failure::from_git_cli("git push", &said).kind(), kind, "{said}");
        }
    }
}

#[test]
fn the_note_that_a_repository_has_moved_counts_only_without_another_refusal() {
    let moved = "Project 'a/b' was moved to 'c/d'.\n\nPlease update your Git remote:\n\n  git remote set-url origin git@h:c/d.git";
    assert_eq!(
        Failure::from_broken_connection("early", moved).kind(),
        RemoteError
    );
    let github = "This repository moved. Please use the new location:\n  git@github.com:org/other.git";
    for news in [moved, github] {
        let declined = Failure::from_rejection(MAIN, "pre-receive hook declined", news);
        assert_eq!(declined.kind(), Rejected, "{declined}");
    }
}

#[test]
fn each_reason_for_a_ref_has_its_kind() {
    for (kind, sample) in samples(
        r"
# A reason, and perhaps other messages of the server.
non-fast-forward: non-fast-forward
non-fast-forward: rejected (non-fast-forward)
non-fast-forward: non-fast forward
non-fast-forward: nonfastforward
non-fast-forward: REJECTED_NONFASTFORWARD
remote-lock: failed to lock
remote-lock: lock error
remote-lock: LOCK_FAILURE
remote-error: object not found
remote-error: object 1f missing
remote-error: missing object(s)
remote-error: Missing unknown 1f
rejected: prohibited by Gerrit: not permitted: update
rejected: prohibited by Gerrit: ref update access denied
rejected: change https://gerrit/c/data/+/1 closed
rejected: branch refs/heads/main is protected
rejected: hook declined | FATAL: W refs/heads/main limited alice DENIED by fallthru\nerror: hook declined to update refs/heads/main
rejected: hook declined | FATAL: C refs/heads/main data alice DENIED by refs/heads/main
non-fast-forward: fetch first
remote-lock: failed to update ref
remote-lock: incorrect old value provided
remote-lock: reference already exists
remote-lock: cannot lock ref 'refs/heads/main': is at 1 but expected 2
remote-lock: failed to update ref | error: Unable to create '/srv/r.git/refs/heads/main.lock': File exists.
remote-error: failed to update ref | error: Unable to create '/srv/r.git/refs/heads/main.lock': Permission denied
remote-error: failed to update ref | error: Unable to create '/srv/r.git/refs/heads/main.lock': No space left on device
rejected: pre-receive hook declined
rejected: hook declined | no such ticket
# The words of a server are those of a hook where they are not all of the line.
rejected: hook declined | the author is unauthorized\nproject key ABC not found
rejected: protected branch hook declined
rejected: push declined due to repository rule violations
rejected: branch is currently checked out
rejected: shallow update not allowed
remote-error: failure | fatal error in commit_refs
remote-error: failure
remote-error: missing necessary objects
remote-error: unable to migrate objects to permanent storage
remote-lock: failed to update ref | error: cannot lock ref 'refs/heads/main': Unable to create '/r.git/refs/heads/main.lock': File exists.
remote-error: failed to update ref | error: cannot lock ref 'refs/heads/main': Unable to create '/r.git/refs/heads/main.lock': Read-only file system
remote-error: failed to update ref | error: cannot lock ref 'refs/heads/main': unable to resolve reference 'refs/heads/main': reference broken
remote-error: failed to update ref | error: reftable: transaction prepare: file does not exist
",
    ) {
        let (reason, messages) = sample.split_once(" | ").unwrap_or((&sample, ""));
        let failure = Failure::from_rejection(MAIN, reason, messages);
        assert_eq!(failure.kind(), kind, "{failure}");
    }
}

#[test]
fn an_unwanted_pack_differs_from_one_that_cannot_be_stored() {
    for (kind, messages) in samples(
        r"
rejected: fatal: pack exceeds maximum allowed size
rejected: fatal: pack exceeds maximum allowed size (2.00 GiB)
rejected: error: object 1f: missingSpaceBeforeDate: invalid author/committer line\nfatal: fsck error in packed object
remote-error: fatal: write error: No space left on device
remote-error: fatal: write error: Disk quota exceeded
remote-error: fatal: early EOF
remote-error:
rejected: error: object 1: missingEmail\nfatal: fsck error in packed object
local: error: remote unpack failed: eof before pack header was fully read
",
    ) {
        for failure in [
            Failure::from_unpack_error("index-pack abnormal exit", &messages),
            Failure::from_rejection(MAIN, "unpacker error", &messages),
        ] {
            assert_eq!(failure.kind(), kind, "{failure}");
        }
    }
}

const UNKNOWN_HOST_KEY: &str = "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\r\nHost key verification failed.\r\n";
const CHANGED_HOST_KEY: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\nOffending ED25519 key in /etc/ssh/known_hosts:1\r\nHost key for h has changed and you have requested strict checking.\r\nHost key verification failed.\r\n";
const OLD_HOST_KEY_TYPE: &str =
    "Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-rsa\r\n";
const OLD_KEY_EXCHANGE: &str = "Unable to negotiate with 192.0.2.1 port 22: no matching key exchange method found. Their offer: diffie-hellman-group1-sha1\r\n";
const NO_KEY_FILE: &str = "Warning: Identity file /etc/key not accessible: No such file or directory.\ngit@github.com: Permission denied (publickey).\r\n";
const UNPROTECTED_KEY: &str = "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\nPermissions 0644 for '/etc/key' are too open.\r\nLoad key \"/etc/key\": bad permissions\r\ngit@github.com: Permission denied (publickey,password).\r\n";
const TOO_MANY_KEYS: &str =
    "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures\r\n";

#[test]
fn each_message_of_ssh_and_of_the_shell_behind_it_has_its_kind() {
    let consts = [
        (HostKey, UNKNOWN_HOST_KEY),
        (HostKey, CHANGED_HOST_KEY),
        (HostKey, OLD_HOST_KEY_TYPE),
        (RemoteError, OLD_KEY_EXCHANGE),
        (Auth, NO_KEY_FILE),
        (Auth, UNPROTECTED_KEY),
        (Auth, TOO_MANY_KEYS),
    ];
    let consts = consts.map(|(kind, text)| (kind, text.to_owned()));
    let others = samples(
        r"
auth: git@h: Permission denied (publickey).\r\n
host-key: Host key verification failed.
auth: This account is currently not available.\n
auth: fatal: Authorization failed.\n
remote-error: fatal: Interactive git shell is not enabled.\nhint: ~/git-shell-commands should exist
remote-error: bash: line 1: git-receive-pack: command not found\n
remote-error: sh: 1: git-receive-pack: not found\n
remote-error: zsh:1: command not found: git-receive-pack\n
remote-error: fish: Unknown command: git-receive-pack\n
remote-error: 'git-receive-pack' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n
remote-error: fatal: unrecognized command 'git-receive-pack'\n
remote-error: fatal: '/x' does not appear to be a git repository
remote-error: fatal: detected dubious ownership in repository at '/x'
network: ssh: connect to host h port 22: Connection refused
timeout: ssh: connect to host h port 22: Connection timed out
timeout: ssh: connect to host h port 22: Operation timed out\r\n
network: ssh: connect to host h port 22: No route to host\r\n
network: ssh: Could not resolve hostname h: Name does not resolve\r\n
network: ssh: Could not resolve hostname h: Try again\r\n
timeout: Timeout, server h not responding.\r\n
timeout: Connection timed out during banner exchange\r\n
network: kex_exchange_identification: Connection closed by remote host\r\n
network: kex_exchange_identification: read: Connection reset by peer\r\n
network: client_loop: send disconnect: Broken pipe\r\n
local: command-line: line 0: Bad configuration option: nosuch\r\n
local: Bad owner or permissions on /root/.ssh/config\r\n
network:
unknown: something else
",
    );
    for (kind, stderr) in consts.into_iter().chain(others) {
        let failure = Failure::from_broken_connection("before the advertisement", &stderr);
        assert_eq!(failure.kind(), kind, "{stderr}");
        assert!(!failure.message().contains('\r'), "{failure}");
        // The git CLI gives the same kind, unless nothing is known.
        if !matches!(stderr.as_str(), "" | "something else") {
            let through_git = format!("{stderr}\nfatal: Could not read from remote repository.");
            let failure = Failure::from_git_cli("git push", &through_git);
            assert_eq!(failure.kind(), kind, "{stderr}");
        }
    }
}

#[test]
fn a_clone_fails_for_the_reasons_of_a_push_or_because_it_cannot_be_stored() {
    for (kind, words) in samples(
        r"
remote-error: fatal: repository '/nowhere/data.git' does not exist
remote-error: fatal: '/nowhere/data.git' does not appear to be a git repository
remote-error: fatal: repository 'https://h.example/data.git/' not found
auth: fatal: Authentication failed for 'https://h.example/data.git/'
network: error: RPC failed; curl 18 transfer closed with outstanding read data remaining
local: fatal: write error: No space left on device
local: fatal: could not create leading directories of '/data/data.git': Permission denied
",
    ) {
        assert_eq!(Failure::from_git_clone(&words).kind(), kind, "{words}");
    }
}

#[test]
fn a_git_daemon_without_the_repository_does_not_blame_the_credentials() {
    for (kind, words) in samples(
        r"
remote-error: access denied or repository not exported: /data.git
remote-error: no idea
rejected: service not enabled: /data.git
",
    ) {
        assert_eq!(Failure::from_server_message(&words).kind(), kind, "{words}");
        let through_git = format!("fatal: remote error: {words}");
        assert_eq!(
            Failure::from_git_cli("git push", &through_git).kind(),
            kind,
            "{words}"
        );
    }
}

#[test]
fn a_program_that_cannot_run_here_differs_from_one_on_the_server() {
    use ShellComplaint::{MissingProgram, Other};
    let command = "ssh -i /key";
    for (stderr, complaint) in [
        ("ssh -i /key: 1: ssh: not found", Some(MissingProgram)),
        (
            "ssh -i /key: line 1: ssh: command not found",
            Some(MissingProgram),
        ),
        (
            "ssh -i /key: line 0: ssh: not found (the connection ended)",
            Some(MissingProgram),
        ),
        ("ssh -i /key: line 0: ssh: Permission denied", Some(Other)),
        ("ssh -i /key: 1: /opt/ssh: Exec format error", Some(Other)),
        (
            "ssh -i /key: line 1: /opt/ssh: cannot execute: required file not found",
            Some(Other),
        ),
        (
            "ssh -i /key: 1: Syntax error: Unterminated quoted string",
            Some(Other),
        ),
        (
            "ssh -i /key: warning: setlocale: LC_ALL: cannot change locale (xx)\nlost",
            None,
        ),
        (
            "warning\nssh -i /key: 1: exec: ssh: not found\nmore",
            Some(MissingProgram),
        ),
        (
            "ssh -i /key: 1: /opt/ssh: No such file or directory (and so on)",
            Some(MissingProgram),
        ),
        ("bash: line 1: git-receive-pack: command not found", None),
        ("bash: line 1: git-receive-pack: Permission denied", None),
        ("ssh: Could not resolve hostname h: not found", None),
    ] {
        assert_eq!(complaint_of_shell(stderr, command), complaint, "{stderr}");
    }
}

/// Messages about a fault of this machine: of OpenSSH 9.2 of Debian, unless noted otherwise.
const LOCAL_FAULTS: &[&str] = &[
    "Bad port 'abc'",
    "command-line line 0: Bad port 'abc'.",
    "c1 line 1: Bad port 'abc'.\nc1: terminating, 1 bad configuration options",
    "c2: line 1: Bad configuration option: bogus\nc2: terminating, 1 bad configuration options",
    "c3 line 2: invalid quotes",
    "Missing Match criteria for bogus\nc4 line 1: Bad Match condition",
    "/root/.ssh/config line 1: no argument after keyword \"include\"",
    "command-line line 0: unsupported option \"perhaps\".",
    "Can't open user config file /nonexistent/cfg: No such file or directory",
    "Bad owner or permissions on /root/.ssh/config",
    "Unknown cipher type 'bogus'",
    "Unknown mac type 'bogus'",
    "Unsupported KEX algorithm \"bogus\"",
    "unknown option -- Z\nusage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] [-B bind_interface]",
    "vdollar_percent_expand: unknown key %q\npercent_expand: failed",
    "ControlPath too long ('/tmp/aaaa' >= 108 bytes)",
    "unix_listener: path \"/tmp/aaaa\" too long for Unix domain socket",
    "Warning: Permanently added '[h]:2222' (ED25519) to the list of known hosts.\nunix_listener: cannot bind to path /nonexistent/x: No such file or directory",
    "bind 192.0.2.99: Cannot assign requested address\nssh: connect to host 127.0.0.1 port 22771: failure",
    "No user exists for uid 54321",
    "OpenSSL version mismatch. Built against 3050003f, you have 30500010",
    "/bin/bash: line 1: /nonexistent/proxy: No such file or directory\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535",
    "/bin/bash: line 1: exec: nc-bogus: not found\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535",
    "sh: 1: exec: nc: not found\nssh_exchange_identification: Connection closed by remote host",
    // glibc's loader, musl's, and an older OpenSSH.
    "ssh: error while loading shared libraries: libcrypto.so.3: cannot open shared object file: No such file or directory",
    "ssh: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ssh)",
    "Error loading shared library libcrypto.so.3: No such file or directory (needed by /usr/bin/ssh)",
    "Error relocating /usr/bin/ssh: EVP_KDF_CTX_free: symbol not found",
    "You don't exist, go away!",
    "plink: unknown option \"-bogus\"",
];

#[test]
fn a_fault_of_this_machines_ssh_is_local_with_and_without_the_git_cli() {
    for said in LOCAL_FAULTS {
        let failure = Failure::from_broken_connection("early", &said.replace('\n', "\r\n"));
        assert_eq!(failure.kind(), Local, "{failure}");
        let through_git = format!("{said}\nfatal: Could not read from remote repository.");
        let failure = Failure::from_git_cli("git push", &through_git);
        assert_eq!(failure.kind(), Local, "{failure}");
    }
}

#[test]
fn a_fault_of_the_servers_programs_is_not_local() {
    for said in [
        "git-receive-pack: error while loading shared libraries: libpcre2-8.so.0: cannot open shared object file",
        "Error loading shared library libz.so.1: No such file or directory (needed by /usr/bin/git-receive-pack)",
        "Error relocating /usr/bin/git-receive-pack: inflate: symbol not found",
        "bash: line 1: /usr/bin/git-receive-pack: Permission denied",
        "exec request failed on channel 0",
        "This service allows sftp connections only.",
    ] {
        let failure = Failure::from_broken_connection("early", said);
        assert_eq!(failure.kind(), RemoteError, "{failure}");
    }
    let here = "git: error while loading shared libraries: libz.so.1: cannot open shared object file";
    assert_eq!(Failure::from_git_cli("git push", here).kind(), Local);
}

#[test]
fn each_message_of_plink_and_dbclient_has_its_kind() {
    for (kind, said) in samples(
        r#"
host-key: The host key is not cached for this server:\n  127.0.0.1 (port 22)\nConnection abandoned.\nFATAL ERROR: Cannot confirm a host key in batch mode
host-key: WARNING - POTENTIAL SECURITY BREACH!\nThe host key does not match the one Plink has cached for\nthis server:
host-key: FATAL ERROR: Host key not in manually configured list
host-key: \nHost '127.0.0.1' is not in the trusted hosts file.\n(ssh-ed25519 fingerprint SHA256:kEsw)\nDo you want to continue connecting? (y/n) 
host-key: \ndbclient: Connection to root@127.0.0.1:22 exited: \n\nssh-ed25519 host key mismatch for 127.0.0.1 !\nFingerprint is SHA256:kEsw\nExpected SHA256:TqB6
auth: FATAL ERROR: No supported authentication methods available (server sent: publickey)
auth: Unable to use key file "/nonexistent" (unable to open file)\nFATAL ERROR: No supported authentication methods available (server sent: publickey)
auth: Server refused our key\nFATAL ERROR: ...
auth: FATAL ERROR: Cannot answer interactive prompts in batch mode
auth: dbclient: Caution, skipping hostkey check for 127.0.0.1\n\ndbclient: Connection to root@127.0.0.1:22 exited: No auth methods could be used.
auth: dbclient: Exited: String too long
auth: WARNING: Ignoring unknown option -G\ndbclient: Connection to root@h:22 exited: No auth methods could be used.
auth: Failed loading keyfile '/k'\ndbclient: Connection to root@h:22 exited: No auth methods could be used.
local: Unable to load private key file "/k.ppk" (unable to open file)\nFATAL ERROR: Configured key file not available
local: dbclient: Exited: Failed loading keyfile /k
network: FATAL ERROR: Host does not exist
network: FATAL ERROR: Connection refused
network: FATAL ERROR: Remote side unexpectedly closed network connection
network: FATAL ERROR: Network error: Software caused connection abort
network: Unable to open connection:\nName or service not known
network: dbclient: Connection to root@127.0.0.1:1 exited: Connect failed: Connection refused
network: dbclient: Connection to root@h.invalid:22 exited: Connect failed: Error resolving 'h.invalid' port '22'. Name or service not known
network: Failed loading keyfile '/k'\ndbclient: Connection to root@h:22 exited: Connect failed: Connection refused
network: dbclient: Connection to git@h:22 exited: Remote closed the connection
remote-error: FATAL ERROR: Couldn't agree a client-to-server cipher (available: 3des-cbc)
timeout: dbclient: Connection to git@h:22 exited: Timeout waiting for handshake
timeout: dbclient: Connection to git@h:22 exited: Keepalive timeout
"#,
    ) {
        let failure = Failure::from_broken_connection("early", &said);
        assert_eq!(failure.kind(), kind, "{failure}");
    }
}

#[test]
fn a_question_differs_from_a_statement() {
    for said in [
        "Host 'h' is not in the trusted hosts file.\nDo you want to continue connecting? (y/n) ",
        "root@127.0.0.1's password: ",
        "Enter passphrase for key '/etc/key': ",
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
    ] {
        assert!(is_question(said), "{said}");
        let kind = Failure::from_question(said).kind();
        assert!(matches!(kind, HostKey | Auth | Unknown), "{said}: {kind}");
    }
    for said in [
        "",
        "password:\n",
        "Welcome. Have you changed your password?",
        "lost: ",
    ] {
        assert!(!is_question(said), "{said}");
    }
}

#[test]
fn an_end_without_a_message_is_the_networks_and_one_with_an_unknown_message_is_not() {
    let known_hosts =
        "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\ndebug1: pledge: fork\r\n";
    for (said, kind) in [
        ("", Network),
        (known_hosts, Network),
        ("Connection to h closed by remote host.", Network),
        ("fatal: the remote end hung up unexpectedly", Network),
        ("FATAL: disk maintenance tonight", Unknown),
        ("Welcome to the git server\nNo way.", Unknown),
    ] {
        let failure = Failure::from_broken_connection("early", said);
        assert_eq!(failure.kind(), kind, "{failure}");
        // git starts ssh itself, and adds a message of its own.
        let kind = if is_silent(said) { Unknown } else { kind };
        let through_git = format!("{said}\nfatal: Could not read from remote repository.");
        let failure = Failure::from_git_cli("git push", &through_git);
        assert_eq!(failure.kind(), kind, "{failure}");
        let is_hinted = failure.hint() == ssh::UNKNOWN_HINT;
        assert_eq!(is_hinted, kind == Unknown, "{failure}");
    }
}

#[test]
fn an_ssh_program_that_ends_in_silence_has_an_unknown_kind() {
    for said in [
        "",
        "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\n",
    ] {
        let failure = Failure::from_silent_end("early", said);
        assert_eq!(failure.kind(), Unknown, "{failure}");
        assert!(failure.message().contains(said.trim()), "{failure}");
    }
}

#[test]
fn unusable_keys_and_missing_common_algorithms_have_hints_of_their_own() {
    let denied = "git@h: Permission denied (publickey).";
    for (said, kind, hint) in [
        (UNPROTECTED_KEY.to_owned(), Auth, "0600"),
        (NO_KEY_FILE.to_owned(), Auth, "key file"),
        (format!("Load key \"/k\": invalid format\n{denied}"), Auth, "format"),
        (format!("Load key \"/k\": error in libcrypto\n{denied}"), Auth, "format"),
        (
            format!("sign_and_send_pubkey: signing failed for ED25519 \"/k\" from agent: agent refused operation\n{denied}"),
            Auth,
            "agent",
        ),
        (
            "Unable to use key file \"/k\" (unable to open file)\nFATAL ERROR: No supported authentication methods available (server sent: publickey)".to_owned(),
            Auth,
            "key file",
        ),
        ("Failed loading keyfile '/k'".to_owned(), Local, "key file"),
        ("FATAL ERROR: Configured key file not available".to_owned(), Local, "key file"),
        (OLD_HOST_KEY_TYPE.to_owned(), HostKey, "HostKeyAlgorithms"),
        (OLD_KEY_EXCHANGE.to_owned(), RemoteError, "KexAlgorithms"),
        (
            "Unable to negotiate with h port 22: no matching MAC found. Their offer: hmac-md5".to_owned(),
            RemoteError,
            "MACs",
        ),
        (
            format!("sign_and_send_pubkey: no mutual signature supported\n{denied}"),
            Auth,
            "PubkeyAcceptedAlgorithms",
        ),
    ] {
        let through_git = format!("{said}\nfatal: Could not read from remote repository.");
        for failure in [
            Failure::from_broken_connection("early", &said),
            Failure::from_git_cli("git push", &through_git),
        ] {
            assert_eq!(failure.kind(), kind, "{failure}");
            assert!(failure.hint().contains(hint), "{failure}: {}", failure.hint());
        }
    }
    for said in [
        denied,
        CHANGED_HOST_KEY,
        "ssh: connect to host h port 22: Connection refused",
    ] {
        let failure = Failure::from_broken_connection("early", said);
        assert_eq!(failure.hint(), failure.kind().hint(), "{failure}");
    }
}

#[test]
fn a_hint_of_its_own_replaces_that_of_the_kind_until_the_kind_changes() {
    let failure = Failure::new(Network, "cut");
    assert_eq!(failure.hint(), Network.hint());
    let failure = failure.with_hint("look there");
    assert_eq!(failure.hint(), "look there");
    assert_eq!(failure.clone().with_server_messages("more").hint(), "look there");
    let told = failure.with_server_messages("remote: Repository not found.");
    assert_eq!(told.hint(), RemoteError.hint());
}

#[test]
fn every_spelling_of_a_lost_race_is_recognised() {
    for reason in [
        "non-fast-forward",
        "non-fast forward",
        "fetch first",
        "failed to lock",
        "lock error",
        "cannot lock ref 'refs/heads/main': is at 1 but expected 2",
    ] {
        assert!(is_lost_race(reason), "{reason}");
    }
    for reason in ["hook declined", "prohibited by Gerrit: not permitted: update"] {
        assert!(!is_lost_race(reason), "{reason}");
    }
}

#[test]
fn each_message_of_a_failed_git_command_has_its_kind() {
    for (kind, stderr) in samples(
        r#"
local: git: 'remote-x' is not a git command. See 'git --help'.\nfatal: remote helper 'x' aborted session
local: error: unknown option `porcelain'
local: error: src refspec 12 does not match any
local: fatal: transport 'ext' not allowed
rejected: fatal: the receiving end does not support this repository's hash algorithm
auth: fatal: could not read Username for 'https://h': terminal prompts disabled
auth: remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://h/r/'
auth: git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.
network: fatal: unable to access 'https://h/r/': Failed to connect to h port 1
network: fatal: the remote end hung up unexpectedly
unknown: fatal: something else
unknown:
network: error: RPC failed; curl 56 GnuTLS recv error (-9): Error decoding the received TLS packet.\nfatal: expected flush after ref listing
network: send-pack: unexpected disconnect while reading sideband packet\nerror: error in sideband demultiplexer
remote-error: fatal: repository 'https://host/data.git/' not found
local: fatal: cannot exec '/opt/ssh': No such file or directory\nfatal: unable to fork
local: error: cannot run ssh: No such file or directory\nfatal: unable to fork
# The shell that git starts for a command has the command for its name: dash, busybox, bash.
local: ssh -i /key: 1: ssh: not found\nfatal: Could not read from remote repository.
local: LC_ALL=C /opt/ssh -i /key: line 0: exec: /opt/ssh: not found
local: ssh -i /key: line 1: ssh: command not found
local: /opt/ssh -i /key: 1: /opt/ssh: Permission denied
local: ssh "-x: 1: Syntax error: Unterminated quoted string
remote-error: bash: -c: line 1: syntax error near unexpected token `('
remote-error: /x/git-receive-pack '/srv/r.git': 1: /x/git-receive-pack: not found\nfatal: Could not read from remote repository.
# Those on the server have their own.
remote-error: sh: 1: git-receive-pack: not found
remote-error: bash: line 1: git-receive-pack: command not found
remote-error: bash: line 1: /opt/git-receive-pack: No such file or directory
local: command-line line 0: unsupported option "maybe".\nfatal: Could not read from remote repository.
"#,
    ) {
        let failure = Failure::from_git_cli("git push", &stderr);
        assert_eq!(failure.kind(), kind, "{stderr}");
    }
}

#[test]
fn no_secret_of_another_programs_message_is_in_a_failure() {
    let failure = Failure::new(Auth, "https://u:hunter2@h/");
    assert!(!failure.message().contains("hunter2"), "{failure}");
}

#[test]
fn a_pre_push_hook_declined_if_git_exits_with_1_and_gives_no_reason() {
    let no_branch = "error: src refspec main does not match any\nerror: failed to push some refs";
    for (code, stderr, expected) in [
        (Some(1), "", true),
        (Some(1), "the hook's own message", true),
        (Some(1), no_branch, false),
        (Some(128), "fatal: unable to access 'https://h/r/'", false),
        (None, "the hook's own message", true),
        (None, "fatal: the remote end hung up unexpectedly", false),
        (None, no_branch, false),
    ] {
        assert_eq!(
            is_declined_by_pre_push(code, stderr),
            expected,
            "{code:?} {stderr}"
        );
    }
}

#[test]
fn a_ref_that_moved_under_git_push_is_a_lost_race() {
    for reason in [
        "non-fast-forward",
        "fetch first",
        "stale info",
        "remote ref updated since checkout",
    ] {
        assert!(would_lose_commits(reason), "{reason}");
        assert!(is_lost_race(&lost_race(reason)), "{reason}");
    }
    for reason in ["needs force", "already exists", "[no match]"] {
        assert!(!would_lose_commits(reason), "{reason}");
    }
}

#[test]
fn a_request_without_an_answer_is_a_network_failure_unless_the_error_says_more() {
    const TUNNEL: &str = "client error (Connect): tunnel error: ";
    for (kind, cause, is_timeout) in [
        (Auth, format!("{TUNNEL}proxy authorization required"), false),
        (Network, format!("{TUNNEL}unsuccessful"), false),
        (Timeout, "operation timed out".to_owned(), true),
        (Network, "connection refused".to_owned(), false),
    ] {
        let failure = Failure::from_unanswered_request("https://h/r", &cause, is_timeout);
        assert_eq!(failure.kind(), kind, "{failure}");
        assert_eq!(
            failure.message().contains("the proxy refused"),
            cause.ends_with("unsuccessful"),
            "{failure}"
        );
    }
}

#[test]
fn a_git_that_has_told_its_failure_is_not_waited_for_as_for_a_report() {
    for (line, expected) in [
        (
            "error: RPC failed; curl 56 Recv failure: Connection reset by peer",
            true,
        ),
        (
            "send-pack: unexpected disconnect while reading sideband packet",
            true,
        ),
        ("fatal: the remote end hung up unexpectedly", true),
        ("remote: error: a hook takes its time", false),
        ("Writing objects:  33% (1/3)", false),
    ] {
        assert_eq!(git::is_last_word(line), expected, "{line}");
    }
}
