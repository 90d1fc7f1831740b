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
    (
        "ERROR: The repository owner has an IP allow list enabled, and 192.0.2.1 is not permitted to access this repository.",
        Kind::Auth,
    ),
    (
        "ERROR: You're using an RSA key with SHA-1, which is no longer allowed.\nPlease use a newer client or a different key type.",
        Kind::Auth,
    ),
    ("This SSH certificate has expired.", Kind::Auth),
    (
        "Personal access tokens (classic) are forbidden from accessing this repository.",
        Kind::Auth,
    ),
    (
        "ERROR: Access to this repository has been disabled by GitHub staff.\nIf you are the repository owner, you can contact support",
        Kind::Rejected,
    ),
    (
        "Repository 'org/data' is disabled.\nPlease ask the owner to check their account.",
        Kind::Rejected,
    ),
    ("Repository unavailable due to DMCA takedown.", Kind::Rejected),
    (
        "This repository is currently in read-only mode.",
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
        "GitLab is currently unable to handle this request. Please try again later.",
        Kind::RemoteError,
    ),
    (
        "ERROR: The git server, Gitaly, is not available at this time. Please contact your administrator.",
        Kind::RemoteError,
    ),
    (
        "ERROR: Your password expired. Please access GitLab from a web browser to update your password.",
        Kind::Auth,
    ),
    (
        "ERROR: OTP verification is required to access the repository.\n\n   Use: ssh git@gitlab.com 2fa_verify",
        Kind::Auth,
    ),
    (
        "Your account has been deactivated by your administrator.",
        Kind::Auth,
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
    // gitolite.
    (
        "FATAL: W any ro alice DENIED by fallthru\n(or you mis-spelled the reponame)",
        Kind::Auth,
    ),
    ("FATAL: C any nosuch alice DENIED by fallthru", Kind::Auth),
    (
        "FATAL: unknown git/gitolite command: 'git receive-pack 'ro''",
        Kind::RemoteError,
    ),
    ("FATAL: invalid repo name: 'bad name'", Kind::RemoteError),
    (
        "FATAL: sorry, writes are currently disabled (no more info available)",
        Kind::RemoteError,
    ),
    // Gerrit and Azure DevOps.
    ("fatal: Upload denied for project 'data'", Kind::Auth),
    (
        "prohibited by Gerrit: project state does not permit write",
        Kind::Rejected,
    ),
    (
        "TF401019: The Git repository with name or identifier data does not exist or you do not have permissions for the operation you are attempting.",
        Kind::RemoteError,
    ),
    (
        "TF401027: You need the Git 'GenericContribute' permission to perform this action.",
        Kind::Auth,
    ),
    (
        "TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch.",
        Kind::Rejected,
    ),
    ("fatal: project data: push not permitted", Kind::Rejected),
    ("fatal: project data not found", Kind::RemoteError),
    ("Project not found", Kind::RemoteError),
    (
        "TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency' in namespace 'User.'",
        Kind::RemoteError,
    ),
    (
        "TF30063: You are not authorized to access https://dev.azure.com/org.",
        Kind::Auth,
    ),
    // AWS CodeCommit.
    (
        "RepositoryDoesNotExistException: data does not exist",
        Kind::RemoteError,
    ),
    (
        "EncryptionKeyDisabledException: encryption key is disabled",
        Kind::RemoteError,
    ),
    (
        "EncryptionKeyAccessDeniedException: an encryption key could not be accessed",
        Kind::RemoteError,
    ),
    (
        "AccessDeniedException: User: arn:aws:iam::1:user/pod cannot push",
        Kind::Auth,
    ),
    // Bitbucket, in the cloud and in a data centre.
    ("Unauthorized", Kind::Auth),
    (
        "You are not permitted to write to this repository.\nAn access key with write access is needed.",
        Kind::Auth,
    ),
    (
        "Push to restricted branch 'main' is not permitted.",
        Kind::Rejected,
    ),
    ("Permission denied to update branch main.", Kind::Rejected),
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
            ("ERR", Failure::from_server_message(said)),
            (
                "a hook's report",
                Failure::from_rejection(MAIN, "pre-receive hook declined", said),
            ),
            (
                "messages before the end",
                Failure::from_hangup("early", "").with_server_messages(said),
            ),
            ("git over ssh", Failure::from_git_cli("git push", &git_ssh)),
            ("git over http", Failure::from_git_cli("git push", &git_http)),
            ("git in the middle", Failure::from_git_cli("git push", &git_rpc)),
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
            assert_eq!(Failure::from_git_cli("git push", &said).kind(), kind, "{said}");
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
        ("rejected (non-fast-forward)", "", Kind::NonFastForward),
        ("non-fast forward", "", Kind::NonFastForward),
        ("nonfastforward", "", Kind::NonFastForward),
        ("REJECTED_NONFASTFORWARD", "", Kind::NonFastForward),
        ("failed to lock", "", Kind::RemoteLock),
        ("lock error", "", Kind::RemoteLock),
        ("LOCK_FAILURE", "", Kind::RemoteLock),
        ("object not found", "", Kind::RemoteError),
        ("object 1f missing", "", Kind::RemoteError),
        ("missing object(s)", "", Kind::RemoteError),
        ("Missing unknown 1f", "", Kind::RemoteError),
        ("prohibited by Gerrit: not permitted: update", "", Kind::Rejected),
        (
            "prohibited by Gerrit: ref update access denied",
            "",
            Kind::Rejected,
        ),
        ("change https://gerrit/c/data/+/1 closed", "", Kind::Rejected),
        ("branch refs/heads/main is protected", "", Kind::Rejected),
        (
            "hook declined",
            "FATAL: W refs/heads/main limited alice DENIED by fallthru\nerror: hook declined to update refs/heads/main",
            Kind::Rejected,
        ),
        (
            "hook declined",
            "FATAL: C refs/heads/main data alice DENIED by refs/heads/main",
            Kind::Rejected,
        ),
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
        // The words of a server are those of a hook where they are not all of the line.
        (
            "hook declined",
            "the author is unauthorized\nproject key ABC not found",
            Kind::Rejected,
        ),
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
        ("fatal: Authorization failed.\n", Kind::Auth),
        (
            "fatal: Interactive git shell is not enabled.\nhint: ~/git-shell-commands should exist",
            Kind::RemoteError,
        ),
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
        ("something else", Kind::Unknown),
    ] {
        let failure = Failure::from_hangup("before the advertisement", stderr);
        assert_eq!(failure.kind(), kind, "{stderr}");
        assert!(!failure.message().contains('\r'), "{failure}");
        // Through git it is the same, but where nothing is known.
        if !stderr.is_empty() && stderr != "something else" {
            let through_git = format!("{stderr}\nfatal: Could not read from remote repository.");
            assert_eq!(
                Failure::from_git_cli("git push", &through_git).kind(),
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
        assert_eq!(Failure::from_server_message(words).kind(), kind, "{words}");
        let through_git = format!("fatal: remote error: {words}");
        assert_eq!(
            Failure::from_git_cli("git push", &through_git).kind(),
            kind,
            "{words}"
        );
    }
}

#[test]
fn a_program_that_cannot_run_here_is_told_from_one_on_the_server() {
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

/// What OpenSSH 9.2 of Debian says where this machine is at fault, unless said otherwise.
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
fn a_fault_of_this_machine_s_ssh_is_local_over_either_way() {
    for said in LOCAL_FAULTS {
        let failure = Failure::from_hangup("early", &said.replace('\n', "\r\n"));
        assert_eq!(failure.kind(), Kind::Local, "{failure}");
        let through_git = format!("{said}\nfatal: Could not read from remote repository.");
        let failure = Failure::from_git_cli("git push", &through_git);
        assert_eq!(failure.kind(), Kind::Local, "{failure}");
    }
}

#[test]
fn the_server_s_programs_are_not_this_machine_s() {
    for said in [
        "git-receive-pack: error while loading shared libraries: libpcre2-8.so.0: cannot open shared object file",
        "Error loading shared library libz.so.1: No such file or directory (needed by /usr/bin/git-receive-pack)",
        "Error relocating /usr/bin/git-receive-pack: inflate: symbol not found",
        "bash: line 1: /usr/bin/git-receive-pack: Permission denied",
        "exec request failed on channel 0",
        "This service allows sftp connections only.",
    ] {
        let failure = Failure::from_hangup("early", said);
        assert_eq!(failure.kind(), Kind::RemoteError, "{failure}");
    }
    let here = "git: error while loading shared libraries: libz.so.1: cannot open shared object file";
    assert_eq!(Failure::from_git_cli("git push", here).kind(), Kind::Local);
}

#[test]
fn what_plink_and_dbclient_say_is_told_apart() {
    for (said, kind) in [
        (
            "The host key is not cached for this server:\n  127.0.0.1 (port 22)\nConnection abandoned.\nFATAL ERROR: Cannot confirm a host key in batch mode",
            Kind::HostKey,
        ),
        (
            "WARNING - POTENTIAL SECURITY BREACH!\nThe host key does not match the one Plink has cached for\nthis server:",
            Kind::HostKey,
        ),
        (
            "FATAL ERROR: Host key not in manually configured list",
            Kind::HostKey,
        ),
        (
            "FATAL ERROR: No supported authentication methods available (server sent: publickey)",
            Kind::Auth,
        ),
        (
            "Unable to use key file \"/nonexistent\" (unable to open file)\nFATAL ERROR: No supported authentication methods available (server sent: publickey)",
            Kind::Auth,
        ),
        (
            "Unable to load private key file \"/k.ppk\" (unable to open file)\nFATAL ERROR: Configured key file not available",
            Kind::Local,
        ),
        ("FATAL ERROR: Host does not exist", Kind::Network),
        (
            "FATAL ERROR: Couldn't agree a client-to-server cipher (available: 3des-cbc)",
            Kind::RemoteError,
        ),
        ("Server refused our key\nFATAL ERROR: ...", Kind::Auth),
        (
            "FATAL ERROR: Cannot answer interactive prompts in batch mode",
            Kind::Auth,
        ),
        ("FATAL ERROR: Connection refused", Kind::Network),
        (
            "FATAL ERROR: Remote side unexpectedly closed network connection",
            Kind::Network,
        ),
        (
            "FATAL ERROR: Network error: Software caused connection abort",
            Kind::Network,
        ),
        (
            "Unable to open connection:\nName or service not known",
            Kind::Network,
        ),
        (
            "\nHost '127.0.0.1' is not in the trusted hosts file.\n(ssh-ed25519 fingerprint SHA256:kEsw)\nDo you want to continue connecting? (y/n) ",
            Kind::HostKey,
        ),
        (
            "\ndbclient: Connection to root@127.0.0.1:22 exited: \n\nssh-ed25519 host key mismatch for 127.0.0.1 !\nFingerprint is SHA256:kEsw\nExpected SHA256:TqB6",
            Kind::HostKey,
        ),
        (
            "dbclient: Caution, skipping hostkey check for 127.0.0.1\n\ndbclient: Connection to root@127.0.0.1:22 exited: No auth methods could be used.",
            Kind::Auth,
        ),
        ("dbclient: Exited: String too long", Kind::Auth),
        (
            "WARNING: Ignoring unknown option -G\ndbclient: Connection to root@h:22 exited: No auth methods could be used.",
            Kind::Auth,
        ),
        (
            "dbclient: Connection to root@127.0.0.1:1 exited: Connect failed: Connection refused",
            Kind::Network,
        ),
        (
            "dbclient: Connection to root@h.invalid:22 exited: Connect failed: Error resolving 'h.invalid' port '22'. Name or service not known",
            Kind::Network,
        ),
        ("dbclient: Exited: Failed loading keyfile /k", Kind::Local),
        (
            "Failed loading keyfile '/k'\ndbclient: Connection to root@h:22 exited: Connect failed: Connection refused",
            Kind::Network,
        ),
        (
            "Failed loading keyfile '/k'\ndbclient: Connection to root@h:22 exited: No auth methods could be used.",
            Kind::Auth,
        ),
        (
            "dbclient: Connection to git@h:22 exited: Timeout waiting for handshake",
            Kind::Timeout,
        ),
        (
            "dbclient: Connection to git@h:22 exited: Remote closed the connection",
            Kind::Network,
        ),
        (
            "dbclient: Connection to git@h:22 exited: Keepalive timeout",
            Kind::Timeout,
        ),
    ] {
        let failure = Failure::from_hangup("early", said);
        assert_eq!(failure.kind(), kind, "{failure}");
    }
}

#[test]
fn a_question_is_told_from_a_statement() {
    for said in [
        "Host 'h' is not in the trusted hosts file.\nDo you want to continue connecting? (y/n) ",
        "root@127.0.0.1's password: ",
        "Enter passphrase for key '/etc/key': ",
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
    ] {
        assert!(is_question(said), "{said}");
        let kind = Failure::from_question(said).kind();
        assert!(
            matches!(kind, Kind::HostKey | Kind::Auth | Kind::Unknown),
            "{said}: {kind}"
        );
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
fn an_end_without_words_is_the_network_s_and_one_with_unknown_words_is_not() {
    let known_hosts =
        "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\ndebug1: pledge: fork\r\n";
    for (said, kind) in [
        ("", Kind::Network),
        (known_hosts, Kind::Network),
        ("Connection to h closed by remote host.", Kind::Network),
        ("fatal: the remote end hung up unexpectedly", Kind::Network),
        ("FATAL: disk maintenance tonight", Kind::Unknown),
        ("Welcome to the git server\nNo way.", Kind::Unknown),
    ] {
        let failure = Failure::from_hangup("early", said);
        assert_eq!(failure.kind(), kind, "{failure}");
        // git starts ssh for itself, and says so much of its end.
        let kind = if is_silent(said) { Kind::Unknown } else { kind };
        let through_git = format!("{said}\nfatal: Could not read from remote repository.");
        let failure = Failure::from_git_cli("git push", &through_git);
        assert_eq!(failure.kind(), kind, "{failure}");
        let is_hinted = failure.hint() == SSH_UNKNOWN_HINT;
        assert_eq!(is_hinted, kind == Kind::Unknown, "{failure}");
    }
}

#[test]
fn an_ssh_program_that_ends_in_silence_tells_nothing_of_the_network() {
    for said in [
        "",
        "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\n",
    ] {
        let failure = Failure::from_silent_end("early", said);
        assert_eq!(failure.kind(), Kind::Unknown, "{failure}");
        assert!(failure.message().contains(said.trim()), "{failure}");
    }
}

#[test]
fn a_key_that_ssh_cannot_use_and_algorithms_that_nobody_shares_have_hints_of_their_own() {
    let denied = "git@h: Permission denied (publickey).";
    for (said, kind, hint) in [
        (UNPROTECTED_KEY.to_owned(), Kind::Auth, "0600"),
        (NO_KEY_FILE.to_owned(), Kind::Auth, "key file"),
        (format!("Load key \"/k\": invalid format\n{denied}"), Kind::Auth, "format"),
        (format!("Load key \"/k\": error in libcrypto\n{denied}"), Kind::Auth, "format"),
        (
            format!("sign_and_send_pubkey: signing failed for ED25519 \"/k\" from agent: agent refused operation\n{denied}"),
            Kind::Auth,
            "agent",
        ),
        (
            "Unable to use key file \"/k\" (unable to open file)\nFATAL ERROR: No supported authentication methods available (server sent: publickey)".to_owned(),
            Kind::Auth,
            "key file",
        ),
        ("Failed loading keyfile '/k'".to_owned(), Kind::Local, "key file"),
        ("FATAL ERROR: Configured key file not available".to_owned(), Kind::Local, "key file"),
        (OLD_HOST_KEY_TYPE.to_owned(), Kind::HostKey, "HostKeyAlgorithms"),
        (OLD_KEY_EXCHANGE.to_owned(), Kind::RemoteError, "KexAlgorithms"),
        (
            "Unable to negotiate with h port 22: no matching MAC found. Their offer: hmac-md5".to_owned(),
            Kind::RemoteError,
            "MACs",
        ),
        (
            format!("sign_and_send_pubkey: no mutual signature supported\n{denied}"),
            Kind::Auth,
            "PubkeyAcceptedAlgorithms",
        ),
    ] {
        let through_git = format!("{said}\nfatal: Could not read from remote repository.");
        for failure in [
            Failure::from_hangup("early", &said),
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
        let failure = Failure::from_hangup("early", said);
        assert_eq!(failure.hint(), failure.kind().hint(), "{failure}");
    }
}

#[test]
fn a_hint_of_its_own_goes_before_that_of_the_kind_and_is_lost_with_it() {
    let failure = Failure::new(Kind::Network, "cut");
    assert_eq!(failure.hint(), Kind::Network.hint());
    let failure = failure.with_hint("look there");
    assert_eq!(failure.hint(), "look there");
    assert_eq!(failure.clone().with_server_messages("more").hint(), "look there");
    let told = failure.with_server_messages("remote: Repository not found.");
    assert_eq!(told.hint(), Kind::RemoteError.hint());
}

#[test]
fn a_race_that_is_lost_is_looked_at_again_however_it_is_spelt() {
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
        assert_eq!(Failure::from_git_cli("git push", stderr).kind(), kind, "{stderr}");
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
        ("/opt/ssh -i /key: 1: /opt/ssh: Permission denied", Kind::Local),
        (
            "ssh \"-x: 1: Syntax error: Unterminated quoted string",
            Kind::Local,
        ),
        (
            "bash: -c: line 1: syntax error near unexpected token `('",
            Kind::RemoteError,
        ),
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
        assert_eq!(Failure::from_git_cli("git push", said).kind(), kind, "{said}");
    }
}
