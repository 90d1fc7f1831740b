//! ssh programs other than OpenSSH, and gitolite on the server: their messages get the right kind of failure.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use push_engine::failure::Kind;

use super::push::server;
use crate::support::sshd::Sshd;
use crate::support::{Sandbox, pushed, report};

/// The path of a program. If it is not installed, the test is skipped with a message; in CI, it fails.
fn installed(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|place| place.join(name))
        .find(|file| file.exists());
    if found.is_none() {
        let reason = format!("there is no {name}: install Debian's {package}");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        report(&format!("skipped: {reason}"));
    }
    found
}

/// The fingerprint of the server's key, as plink takes it.
fn fingerprint(sandbox: &Sandbox) -> String {
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(sandbox.path("sshd/host_key.pub"))
        .output()
        .expect("ssh-keygen is there");
    let line = String::from_utf8(output.stdout).expect("text");
    line.split(' ').nth(1).expect("a fingerprint").to_owned()
}

async fn assert_kind(sandbox: &mut Sandbox, url: &str, command: &str, variant: &str, kind: Kind) {
    sandbox.var("GIT_SSH_COMMAND", command);
    sandbox.var("GIT_SSH_VARIANT", variant);
    let failure = sandbox.failure(url).await;
    assert_eq!(failure.kind(), kind, "{command}: {failure}");
}

#[tokio::test]
async fn plink_is_understood() {
    let Some(plink) = installed("plink", "putty-tools") else {
        return;
    };
    let Some((mut sandbox, sshd, url)) = server() else {
        return;
    };
    let plink = plink.display();
    let known = format!("{plink} -hostkey {}", fingerprint(&sandbox));
    let unreachable = format!("ssh://{}@127.0.0.1:1/x.git", sshd.user);
    for (url, command, kind) in [
        (&url, plink.to_string(), Kind::HostKey),
        (&url, known.clone(), Kind::Auth),
        (&url, format!("{known} -i /nonexistent"), Kind::Auth),
        (&url, format!("{plink} -bogus"), Kind::Local),
        (&unreachable, known.clone(), Kind::Network),
    ] {
        assert_kind(&mut sandbox, url, &command, "plink", kind).await;
    }
}

#[tokio::test]
async fn dbclient_is_understood_and_its_question_ends_the_attempt() {
    let Some(dbclient) = installed("dbclient", "dropbear-bin") else {
        return;
    };
    let Some((mut sandbox, sshd, _)) = server() else {
        return;
    };
    // The variant takes no port.
    let url = format!("ssh://{}@127.0.0.1/x.git", sshd.user);
    let dbclient = format!("{} -p {}", dbclient.display(), sshd.port);
    for (command, kind) in [
        (format!("{dbclient} -p 1 -i /nonexistent"), Kind::Network),
        (dbclient.clone(), Kind::HostKey),
        (format!("{dbclient} -y"), Kind::Auth),
        (format!("{dbclient} -y -i /nonexistent"), Kind::Auth),
        (format!("{dbclient} -p 1"), Kind::Network),
    ] {
        assert_kind(&mut sandbox, &url, &command, "simple", kind).await;
    }
}

#[tokio::test]
async fn a_failure_of_ssh_without_a_known_message_is_unknown_and_others_have_a_hint() {
    let Some((mut sandbox, sshd, url)) = server() else {
        return;
    };
    let unusable = sandbox.path("unusable");
    fs::write(&unusable, "no key\n").expect("writable");
    fs::set_permissions(&unusable, fs::Permissions::from_mode(0o600)).expect("own file");
    let openssh = |options: &str| {
        let known = sandbox.path("known_hosts");
        format!(
            "ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile={} -o IdentityAgent=none -o IdentitiesOnly=yes {options}",
            known.display()
        )
    };
    let port = sshd.port;
    let closed = format!("ssh://{}@127.0.0.1:1/x.git", sshd.user);
    for (url, command, variant, kind, hint) in [
        (
            &url,
            "true".to_owned(),
            "ssh",
            Kind::Unknown,
            "the same ssh command by hand",
        ),
        (
            &url,
            "false".to_owned(),
            "ssh",
            Kind::Unknown,
            "the same ssh command by hand",
        ),
        (
            &url,
            "echo no idea >&2; false".to_owned(),
            "ssh",
            Kind::Unknown,
            "the same ssh command by hand",
        ),
        (
            &url,
            openssh(&format!("-i {}", unusable.display())),
            "ssh",
            Kind::Auth,
            "key file",
        ),
        (
            &url,
            openssh("-i /nonexistent/key"),
            "ssh",
            Kind::Auth,
            "key file",
        ),
        (
            &url,
            openssh("-o HostKeyAlgorithms=rsa-sha2-256"),
            "ssh",
            Kind::HostKey,
            "HostKeyAlgorithms",
        ),
        (&closed, openssh(""), "ssh", Kind::Network, "could not be reached"),
        (
            &url,
            openssh(&format!("-p {port}")),
            "simple",
            Kind::Local,
            "GIT_SSH_VARIANT",
        ),
    ] {
        sandbox.var("GIT_SSH_COMMAND", &command);
        sandbox.var("GIT_SSH_VARIANT", variant);
        let failure = sandbox.failure(url).await;
        assert_eq!(failure.kind(), kind, "{command}: {failure}");
        assert!(failure.hint().contains(hint), "{command}: {}", failure.hint());
    }
}

/// Makes the server log the user's key in to gitolite, with these access rules added to gitolite's own.
fn install_gitolite(sandbox: &Sandbox, rules: &str) {
    let home = sandbox.path("gitolite");
    fs::create_dir(&home).expect("new");
    let gitolite = |arguments: &[&str]| {
        let output = Command::new("gitolite")
            .args(arguments)
            .env("HOME", &home)
            .current_dir(&home)
            .output()
            .expect("it is installed");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gitolite {arguments:?}: {stderr}");
    };
    let key = sandbox.path("key.pub");
    gitolite(&["setup", "-pk", key.to_str().expect("text")]);
    let conf = home.join(".gitolite/conf/gitolite.conf");
    let whole = fs::read_to_string(&conf).expect("made") + rules;
    fs::write(conf, whole).expect("writable");
    gitolite(&["compile"]);
    gitolite(&["trigger", "POST_COMPILE"]);
    let keys = fs::read_to_string(home.join(".ssh/authorized_keys")).expect("made");
    let shell = format!("command=\"HOME={} ", home.display());
    fs::write(
        sandbox.path("sshd/authorized_keys"),
        keys.replace("command=\"", &shell),
    )
    .expect("writable");
}

fn gitolite_url(sshd: &Sshd, repository: &str) -> String {
    sshd.url(Path::new("/")) + repository
}

#[tokio::test]
async fn gitolite_is_understood() {
    const RULES: &str = "repo readable\n    R = @all\nrepo limited\n    RW dev/ = key\nrepo denied\n    - main = key\n    RW+ = key\nrepo open\n    RW+ = key\n";
    if installed("gitolite", "gitolite3").is_none() {
        return;
    }
    let Some((sandbox, sshd, _)) = server() else {
        return;
    };
    install_gitolite(&sandbox, RULES);
    for (repository, kind) in [
        ("nosuch", Kind::Auth),
        ("readable", Kind::Auth),
        ("limited", Kind::Rejected),
        ("denied", Kind::Rejected),
        ("bad%20name", Kind::RemoteError),
    ] {
        let failure = sandbox.failure(&gitolite_url(&sshd, repository)).await;
        assert_eq!(failure.kind(), kind, "{repository}: {failure}");
        assert!(failure.message().contains("FATAL: "), "{failure}");
    }
    let open = gitolite_url(&sshd, "open");
    let tip = sandbox.git(&sandbox.work(), &["rev-parse", "main"]);
    assert_eq!(pushed(&sandbox.attempt(&open).await), tip);
}
