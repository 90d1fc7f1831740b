//! What servers, git and ssh really say, and the kind that it is to be: over whichever way it comes.

use super::*;

const MAIN: &str = "refs/heads/main";

/// Sentences of servers, each with the kind that it means. They were collected from the servers' sources and from
/// public reports of their users.
const SERVERS: &[(&str, Kind)] = &[
    // GitHub.
    (
        "error: GH006: Protected branch update failed for refs/heads/main.\nerror: Changes must be made through a pull request.",
        Kind::Rejected,
    ),
    (
        "error: GH013: Repository rule violations found for refs/heads/main.\n\n- GITHUB PUSH PROTECTION\n  —————————————————————————————————————————\n    Resolve the following violations before pushing again\n\n    - Push cannot contain secrets\n",
        Kind::Rejected,
    ),
    (
        "error: Trace: 654c8d72f32f9965c4734092a2fb75d3\nerror: See https://gh.io/lfs for more information.\nerror: File data.zip is 301.74 MB; this exceeds GitHub's file size limit of 100.00 MB\nerror: GH001: Large files detected. You may want to try Git Large File Storage.",
        Kind::Rejected,
    ),
    (
        "ERROR: This repository was archived so it is read-only.",
        Kind::Rejected,
    ),
    (
        "ERROR: The key you are authenticating with has been marked as read only.",
        Kind::Auth,
    ),
    (
        "ERROR: Permission to org/data.git denied to deploy key",
        Kind::Auth,
    ),
    ("Permission to org/data.git denied to someone.", Kind::Auth),
    ("Write access to repository not granted.", Kind::Auth),
    (
        "ERROR: The 'org' organization has enabled or enforced SAML SSO. To access\nthis repository, you must use the HTTPS remote with a personal access token\nor SSH with an SSH key and passphrase\nthat has been authorized for this organization.",
        Kind::Auth,
    ),
    (
        "Invalid username or token. Password authentication is not supported for Git operations.",
        Kind::Auth,
    ),
    (
        "Support for password authentication was removed on August 13, 2021.",
        Kind::Auth,
    ),
    (
        "Your account is suspended. Please visit https://support.github.com for more information.",
        Kind::Auth,
    ),
    ("ERROR: Repository not found.", Kind::RemoteError),
    (
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        Kind::RemoteError,
    ),
    ("Internal Server Error", Kind::RemoteError),
    ("fatal error in commit_refs", Kind::RemoteError),
    (
        "ERROR: Repository has been locked for migration.",
        Kind::RemoteError,
    ),
    (
        "ERROR: GitHub Enterprise is currently down for maintenance.",
        Kind::RemoteError,
    ),
    // GitLab.
    (
        "GitLab: You are not allowed to push code to protected branches on this project.",
        Kind::Rejected,
    ),
    (
        "GitLab: You are attempting to check in one or more blobs which exceed the 100.0MiB limit:\n\n- 733315aecd6ac3eaf5dce93eed8e20dd4df9edc8 (105.13 MiB)",
        Kind::Rejected,
    ),
    (
        "GitLab: File \"data.bin\" is larger than the allowed size of 10 MiB. Use Git LFS to manage this file.",
        Kind::Rejected,
    ),
    (
        "GitLab: Your push has been rejected, because this repository has exceeded its size limit of 10 GiB by 45 MiB. Please contact your GitLab administrator for more information.",
        Kind::Rejected,
    ),
    (
        "GitLab: Your push to this repository would cause it to exceed the size limit of 10 GiB so it has been rejected.",
        Kind::Rejected,
    ),
    (
        "ERROR: You can't push code to an archived project.",
        Kind::Rejected,
    ),
    ("Pushing over HTTP is not allowed.", Kind::Rejected),
    (
        "ERROR: This deploy key does not have write access to this project.",
        Kind::Auth,
    ),
    (
        "ERROR: You are not allowed to push code to this project.",
        Kind::Auth,
    ),
    ("You are not allowed to upload code.", Kind::Auth),
    ("Your SSH key has expired.", Kind::Auth),
    ("Your account has been blocked.", Kind::Auth),
    (
        "HTTP Basic: Access denied. The provided password or token is incorrect or your account has 2FA enabled and you must use a personal access token instead of a password.",
        Kind::Auth,
    ),
    (
        "ERROR: The project you were looking for could not be found or you don't have permission to view it.",
        Kind::RemoteError,
    ),
    (
        "A repository for this project does not exist yet.",
        Kind::RemoteError,
    ),
    (
        "The repository is temporarily read-only. Please try again later.",
        Kind::RemoteError,
    ),
    (
        "ERROR: You can't push code to a read-only GitLab instance.",
        Kind::RemoteError,
    ),
    (
        "This endpoint has been requested too many times. Try again later.",
        Kind::RemoteError,
    ),
    (
        "GitLab is currently unable to handle this request due to load (ID a2b5c730282383b9).",
        Kind::RemoteError,
    ),
    (
        "GitLab: Push operation timed out\n\nTiming information for debugging purposes:",
        Kind::Timeout,
    ),
    // Gitea and Forgejo.
    (
        "Gitea: Not allowed to push to protected branch main",
        Kind::Rejected,
    ),
    (
        "Forgejo: branch main is protected from unverified commit 1c2d3e",
        Kind::Rejected,
    ),
    ("Gitea: Repo: org/data is archived.", Kind::Rejected),
    ("Mirror Repository org/data is read-only", Kind::Rejected),
    ("Forgejo: Quota exceeded", Kind::Rejected),
    (
        "Gitea: Deploy Key: 3:pod is not authorized to write to org/data.",
        Kind::Auth,
    ),
    ("Gitea: User permission denied for writing.", Kind::Auth),
    ("Gitea: Cannot find repository: org/data", Kind::RemoteError),
    (
        "Gitea: Internal Server Error (no specific error)",
        Kind::RemoteError,
    ),
    // Bitbucket, in the cloud and in a data centre.
    (
        "repository is in read only mode (over 2 GB size limit).\n\nLearn how to reduce your repository size",
        Kind::Rejected,
    ),
    (
        "[ALERT] Your push failed because the account 'org' has exceeded its\n[ALERT] user limit and this repository is restricted to read-only access.",
        Kind::Rejected,
    ),
    (
        "Branch refs/heads/main can only be modified through pull requests.\nCheck your branch permissions configuration with the project administrator.",
        Kind::Rejected,
    ),
    (
        "conq: repository access denied. access via a deployment key is read-only.",
        Kind::Auth,
    ),
    (
        "repository access denied. deployment key is not associated with the requested repository.",
        Kind::Auth,
    ),
    ("Invalid credentials", Kind::Auth),
    ("conq: repository does not exist.", Kind::RemoteError),
    (
        "Rate limit for this resource has been exceeded",
        Kind::RemoteError,
    ),
];

#[test]
fn a_servers_sentence_has_one_kind_over_every_way() {
    for &(said, kind) in SERVERS {
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
        for (way, failure) in [
            ("ssh", Failure::from_hangup("early", said)),
            ("ssh, framed", Failure::from_hangup("early", &framed)),
            ("ERR", Failure::from_server_words(said)),
            (
                "a hook's report",
                Failure::from_rejection(MAIN, "pre-receive hook declined", said),
            ),
            (
                "messages before the end",
                Failure::from_hangup("early", "").with_server_messages(said),
            ),
            ("git over ssh", Failure::from_git("git push", &git_ssh)),
            ("git over http", Failure::from_git("git push", &git_http)),
            ("git in the middle", Failure::from_git("git push", &git_rpc)),
        ] {
            assert_eq!(failure.kind(), kind, "{way}: {failure}");
            assert!(!failure.message().contains("===="), "{way}: {failure}");
        }
        for status in [400, 402, 403, 404, 422, 429, 500, 503] {
            assert_eq!(of_status(status, said).0, kind, "{status}: {said}");
        }
        assert_eq!(of_status(401, said).0, Kind::Auth, "{said}");
    }
}

#[test]
fn a_status_alone_gives_the_same_kind_by_our_client_and_by_git() {
    for (status, kind) in [
        (400, Kind::RemoteError),
        (401, Kind::Auth),
        (402, Kind::Rejected),
        (403, Kind::Auth),
        (404, Kind::RemoteError),
        (407, Kind::Auth),
        (408, Kind::Timeout),
        (411, Kind::RemoteError),
        (413, Kind::Rejected),
        (429, Kind::RemoteError),
        (500, Kind::RemoteError),
        (502, Kind::RemoteError),
        (503, Kind::RemoteError),
        (504, Kind::Timeout),
    ] {
        assert_eq!(of_status(status, "").0, kind, "{status}");
        for said in [
            format!("fatal: unable to access 'https://h/r/': The requested URL returned error: {status}"),
            format!(
                "error: RPC failed; HTTP {status} curl 22 The requested URL returned error: {status}\nfatal: the remote end hung up unexpectedly"
            ),
            format!("error: RPC failed; result=22, HTTP code = {status}"),
        ] {
            assert_eq!(Failure::from_git("git push", &said).kind(), kind, "{said}");
        }
    }
}

#[test]
fn where_a_repository_has_moved_is_news_beside_a_refusal_and_else_the_refusal() {
    let moved = "Project 'a/b' was moved to 'c/d'.\n\nPlease update your Git remote:\n\n  git remote set-url origin git@h:c/d.git";
    assert_eq!(Failure::from_hangup("early", moved).kind(), Kind::RemoteError);
    let github = "This repository moved. Please use the new location:\n  git@github.com:org/other.git";
    for news in [moved, github] {
        let declined = Failure::from_rejection(MAIN, "pre-receive hook declined", news);
        assert_eq!(declined.kind(), Kind::Rejected, "{declined}");
    }
}

#[test]
fn gits_reasons_for_a_ref_are_told_apart() {
    for (reason, said, kind) in [
        ("non-fast-forward", "", Kind::NonFastForward),
        ("fetch first", "", Kind::NonFastForward),
        ("failed to update ref", "", Kind::RemoteLock),
        ("incorrect old value provided", "", Kind::RemoteLock),
        ("reference already exists", "", Kind::RemoteLock),
        (
            "cannot lock ref 'refs/heads/main': is at 1 but expected 2",
            "",
            Kind::RemoteLock,
        ),
        (
            "failed to update ref",
            "error: Unable to create '/srv/r.git/refs/heads/main.lock': File exists.",
            Kind::RemoteLock,
        ),
        (
            "failed to update ref",
            "error: Unable to create '/srv/r.git/refs/heads/main.lock': Permission denied",
            Kind::RemoteError,
        ),
        (
            "failed to update ref",
            "error: Unable to create '/srv/r.git/refs/heads/main.lock': No space left on device",
            Kind::RemoteError,
        ),
        ("pre-receive hook declined", "", Kind::Rejected),
        ("hook declined", "no such ticket", Kind::Rejected),
        ("protected branch hook declined", "", Kind::Rejected),
        (
            "push declined due to repository rule violations",
            "",
            Kind::Rejected,
        ),
        ("branch is currently checked out", "", Kind::Rejected),
        ("shallow update not allowed", "", Kind::Rejected),
        ("failure", "fatal error in commit_refs", Kind::RemoteError),
        ("failure", "", Kind::RemoteError),
        ("missing necessary objects", "", Kind::RemoteError),
        (
            "unable to migrate objects to permanent storage",
            "",
            Kind::RemoteError,
        ),
    ] {
        let failure = Failure::from_rejection(MAIN, reason, said);
        assert_eq!(failure.kind(), kind, "{failure}");
    }
}

#[test]
fn a_pack_that_is_not_wanted_is_told_from_one_that_cannot_be_stored() {
    for (said, kind) in [
        ("fatal: pack exceeds maximum allowed size", Kind::Rejected),
        (
            "fatal: pack exceeds maximum allowed size (2.00 GiB)",
            Kind::Rejected,
        ),
        (
            "error: object 1f: missingSpaceBeforeDate: invalid author/committer line\nfatal: fsck error in packed object",
            Kind::Rejected,
        ),
        ("fatal: write error: No space left on device", Kind::RemoteError),
        ("fatal: write error: Disk quota exceeded", Kind::RemoteError),
        ("fatal: early EOF", Kind::RemoteError),
        ("", Kind::RemoteError),
    ] {
        for failure in [
            Failure::from_unpack_error("index-pack abnormal exit", said),
            Failure::from_rejection(MAIN, "unpacker error", said),
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
fn what_ssh_and_the_shell_behind_it_say_is_told_apart() {
    for (stderr, kind) in [
        ("git@h: Permission denied (publickey).\r\n", Kind::Auth),
        ("Host key verification failed.", Kind::HostKey),
        (UNKNOWN_HOST_KEY, Kind::HostKey),
        (CHANGED_HOST_KEY, Kind::HostKey),
        (OLD_HOST_KEY_TYPE, Kind::HostKey),
        (OLD_KEY_EXCHANGE, Kind::RemoteError),
        (NO_KEY_FILE, Kind::Auth),
        (UNPROTECTED_KEY, Kind::Auth),
        (TOO_MANY_KEYS, Kind::Auth),
        ("This account is currently not available.\n", Kind::Auth),
        (
            "bash: line 1: git-receive-pack: command not found\n",
            Kind::RemoteError,
        ),
        ("sh: 1: git-receive-pack: not found\n", Kind::RemoteError),
        ("zsh:1: command not found: git-receive-pack\n", Kind::RemoteError),
        ("fish: Unknown command: git-receive-pack\n", Kind::RemoteError),
        (
            "'git-receive-pack' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n",
            Kind::RemoteError,
        ),
        (
            "fatal: unrecognized command 'git-receive-pack'\n",
            Kind::RemoteError,
        ),
        (
            "fatal: '/x' does not appear to be a git repository",
            Kind::RemoteError,
        ),
        (
            "fatal: detected dubious ownership in repository at '/x'",
            Kind::RemoteError,
        ),
        (
            "ssh: connect to host h port 22: Connection refused",
            Kind::Network,
        ),
        (
            "ssh: connect to host h port 22: Connection timed out",
            Kind::Timeout,
        ),
        (
            "ssh: connect to host h port 22: Operation timed out\r\n",
            Kind::Timeout,
        ),
        (
            "ssh: connect to host h port 22: No route to host\r\n",
            Kind::Network,
        ),
        (
            "ssh: Could not resolve hostname h: Name does not resolve\r\n",
            Kind::Network,
        ),
        ("ssh: Could not resolve hostname h: Try again\r\n", Kind::Network),
        ("Timeout, server h not responding.\r\n", Kind::Timeout),
        ("Connection timed out during banner exchange\r\n", Kind::Timeout),
        (
            "kex_exchange_identification: Connection closed by remote host\r\n",
            Kind::Network,
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer\r\n",
            Kind::Network,
        ),
        ("client_loop: send disconnect: Broken pipe\r\n", Kind::Network),
        (
            "command-line: line 0: Bad configuration option: nosuch\r\n",
            Kind::Local,
        ),
        ("Bad owner or permissions on /root/.ssh/config\r\n", Kind::Local),
        ("", Kind::Network),
        ("something else", Kind::Network),
    ] {
        let failure = Failure::from_hangup("before the advertisement", stderr);
        assert_eq!(failure.kind(), kind, "{stderr}");
        assert!(!failure.message().contains('\r'), "{failure}");
        // Through git it is the same, but where nothing is known.
        if !stderr.is_empty() && stderr != "something else" {
            let through_git = format!("{stderr}\nfatal: Could not read from remote repository.");
            assert_eq!(
                Failure::from_git("git push", &through_git).kind(),
                kind,
                "{stderr}"
            );
        }
    }
}

#[test]
fn the_git_daemon_that_serves_no_such_repository_is_no_matter_of_credentials() {
    for (words, kind) in [
        (
            "access denied or repository not exported: /data.git",
            Kind::RemoteError,
        ),
        ("service not enabled: /data.git", Kind::Rejected),
        ("no idea", Kind::RemoteError),
    ] {
        assert_eq!(Failure::from_server_words(words).kind(), kind, "{words}");
        let through_git = format!("fatal: remote error: {words}");
        assert_eq!(
            Failure::from_git("git push", &through_git).kind(),
            kind,
            "{words}"
        );
    }
}

#[test]
fn a_program_missing_here_is_told_from_one_missing_on_the_server() {
    let command = "ssh -i /key";
    for (stderr, is_missing) in [
        ("ssh -i /key: 1: ssh: not found", true),
        ("ssh -i /key: line 1: ssh: command not found", true),
        ("ssh -i /key: line 0: ssh: not found (the connection ended)", true),
        ("ssh -i /key: line 0: ssh: Permission denied", false),
        ("warning\nssh -i /key: 1: exec: ssh: not found\nmore", true),
        (
            "ssh -i /key: 1: /opt/ssh: No such file or directory (and so on)",
            true,
        ),
        ("bash: line 1: git-receive-pack: command not found", false),
        ("ssh: Could not resolve hostname h: not found", false),
    ] {
        assert_eq!(is_missing_program(stderr, command), is_missing, "{stderr}");
    }
}

#[test]
fn a_failed_git_command_is_told_by_its_own_words_before_those_of_others() {
    for (stderr, kind) in [
        (
            "git: 'remote-x' is not a git command. See 'git --help'.\nfatal: remote helper 'x' aborted session",
            Kind::Local,
        ),
        ("error: unknown option `porcelain'", Kind::Local),
        ("error: src refspec 12 does not match any", Kind::Local),
        ("fatal: transport 'ext' not allowed", Kind::Local),
        (
            "fatal: could not read Username for 'https://h': terminal prompts disabled",
            Kind::Auth,
        ),
        (
            "fatal: unable to access 'https://h/r/': Failed to connect to h port 1",
            Kind::Network,
        ),
        (
            "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://h/r/'",
            Kind::Auth,
        ),
        (
            "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            Kind::Auth,
        ),
        ("fatal: the remote end hung up unexpectedly", Kind::Network),
        ("fatal: something else", Kind::Unknown),
        ("", Kind::Unknown),
    ] {
        assert_eq!(Failure::from_git("git push", stderr).kind(), kind, "{stderr}");
    }
}

#[test]
fn a_failure_loses_the_secrets_of_what_was_said() {
    let failure = Failure::new(Kind::Auth, "https://u:hunter2@h/");
    assert!(!failure.message().contains("hunter2"), "{failure}");
}

#[test]
fn a_ref_that_cannot_be_written_is_not_locked_by_another_push() {
    for (messages, kind) in [
        (
            "error: cannot lock ref 'refs/heads/main': Unable to create '/r.git/refs/heads/main.lock': File exists.",
            Kind::RemoteLock,
        ),
        (
            "error: cannot lock ref 'refs/heads/main': Unable to create '/r.git/refs/heads/main.lock': Read-only file system",
            Kind::RemoteError,
        ),
        (
            "error: cannot lock ref 'refs/heads/main': unable to resolve reference 'refs/heads/main': reference broken",
            Kind::RemoteError,
        ),
    ] {
        let failure = Failure::from_rejection("refs/heads/main", "failed to update ref", messages);
        assert_eq!(failure.kind(), kind, "{messages}");
    }
}

#[test]
fn what_is_said_of_a_pack_tells_more_than_the_report() {
    for (said, kind) in [
        ("fatal: pack exceeds maximum allowed size", Kind::Rejected),
        (
            "error: object 1: missingEmail\nfatal: fsck error in packed object",
            Kind::Rejected,
        ),
        (
            "error: remote unpack failed: eof before pack header was fully read",
            Kind::Local,
        ),
        ("fatal: write error: No space left on device", Kind::RemoteError),
    ] {
        let failures = [
            Failure::from_unpack_error("unpack-objects abnormal exit", said),
            Failure::from_rejection("refs/heads/main", "unpacker error", said),
        ];
        for failure in failures {
            assert_eq!(failure.kind(), kind, "{failure}");
        }
    }
}

#[test]
fn the_git_command_s_words_for_a_broken_transfer_or_program_are_known() {
    for (said, kind) in [
        (
            "error: RPC failed; curl 56 GnuTLS recv error (-9): Error decoding the received TLS packet.\nfatal: expected flush after ref listing",
            Kind::Network,
        ),
        (
            "send-pack: unexpected disconnect while reading sideband packet\nerror: error in sideband demultiplexer",
            Kind::Network,
        ),
        (
            "fatal: repository 'https://host/data.git/' not found",
            Kind::RemoteError,
        ),
        (
            "fatal: cannot exec '/opt/ssh': No such file or directory\nfatal: unable to fork",
            Kind::Local,
        ),
        (
            "error: cannot run ssh: No such file or directory\nfatal: unable to fork",
            Kind::Local,
        ),
        // The shell that git starts for a command has the command for its name: dash, busybox, bash.
        (
            "ssh -i /key: 1: ssh: not found\nfatal: Could not read from remote repository.",
            Kind::Local,
        ),
        (
            "LC_ALL=C /opt/ssh -i /key: line 0: exec: /opt/ssh: not found",
            Kind::Local,
        ),
        ("ssh -i /key: line 1: ssh: command not found", Kind::Local),
        (
            "/x/git-receive-pack '/srv/r.git': 1: /x/git-receive-pack: not found\nfatal: Could not read from remote repository.",
            Kind::RemoteError,
        ),
        // Those on the server have their own.
        ("sh: 1: git-receive-pack: not found", Kind::RemoteError),
        (
            "bash: line 1: git-receive-pack: command not found",
            Kind::RemoteError,
        ),
        (
            "command-line line 0: unsupported option \"maybe\".\nfatal: Could not read from remote repository.",
            Kind::Local,
        ),
        (
            "bash: line 1: /opt/git-receive-pack: No such file or directory",
            Kind::RemoteError,
        ),
    ] {
        assert_eq!(Failure::from_git("git push", said).kind(), kind, "{said}");
    }
}
