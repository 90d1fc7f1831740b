//! The command that is run for ssh: the real git and ours call the same recorder, side by side.

use std::fs;

use crate::support::{Sandbox, attempt, close, failure_of, report};

/// What is added to git's own arguments so that nothing asks.
const BATCH_MODE: &[&str] = &["-o", "BatchMode=yes"];
const BATCH: &[&str] = &["-batch"];
const NOTHING: &[&str] = &[];

/// A recorder writes down how it was called and fails. As OpenSSH it takes `-G`.
const RECORDER: &str = r#"#!/bin/sh
{
    echo call
    printf 'argument %s\n' "$0" "$@"
    env | grep '^GIT_' | sort
} >> @@/calls
"#;
const TAKES_G: &str = "case \" $* \" in *' -G '*) exit 0 ;; esac\nexit 1\n";
const TAKES_NOTHING: &str = "exit 1\n";

/// One combination, in which `@@` stands for the sandbox.
struct Case {
    url: &'static str,
    config: &'static str,
    variables: &'static [(&'static str, &'static str)],
    /// `None` where no connection is to be tried.
    added: Option<&'static [&'static str]>,
}

const fn case(
    url: &'static str,
    config: &'static str,
    variables: &'static [(&'static str, &'static str)],
    added: Option<&'static [&'static str]>,
) -> Case {
    Case {
        url,
        config,
        variables,
        added,
    }
}

const OPENSSH: Option<&[&str]> = Some(BATCH_MODE);
const PLINK: Option<&[&str]> = Some(BATCH);
const AS_GIT: Option<&[&str]> = Some(NOTHING);
const REFUSED: Option<&[&str]> = None;

const CASES: &[Case] = &[
    // Addresses.
    case("git@h:o/r.git", "", &[], OPENSSH),
    case("h:r", "", &[], OPENSSH),
    case("h:~u/r", "", &[], OPENSSH),
    case("h:/abs/it's !x", "", &[], OPENSSH),
    case("[git@h:2222]:r", "", &[], OPENSSH),
    case("[::1]:r", "", &[], OPENSSH),
    case("git@[::1]:r", "", &[], OPENSSH),
    case("ssh://h/r", "", &[], OPENSSH),
    case("ssh://git@h:2222/r", "", &[], OPENSSH),
    case("ssh://git@h:/r", "", &[], OPENSSH),
    case("ssh://h/~u/r", "", &[], OPENSSH),
    case("ssh://h/a%20b%27", "", &[], OPENSSH),
    case("ssh://[::1]:22/r", "", &[], OPENSSH),
    case("git+ssh://u@h/r", "", &[], OPENSSH),
    case("ssh+git://u@h:1/r", "", &[], OPENSSH),
    case("ssh://a:b@h/r", "", &[], OPENSSH),
    case("ssh://a:b@h:22/r", "", &[], OPENSSH),
    case("gh:o/r", "[url \"git@h:\"]\ninsteadOf = gh:\n", &[], OPENSSH),
    case(
        "https://h/r",
        "[url \"ssh://git@h:22/\"]\npushInsteadOf = https://h/\n",
        &[],
        OPENSSH,
    ),
    case("ssh://-oProxyCommand=x/r", "", &[], REFUSED),
    case("h:-r", "", &[], REFUSED),
    // The program, by order of precedence.
    case("h:r", "", &[("GIT_SSH_COMMAND", "my-ssh")], OPENSSH),
    case(
        "h:r",
        "",
        &[("GIT_SSH_COMMAND", "my-ssh -i '@@/a key' -o BatchMode=no")],
        OPENSSH,
    ),
    case(
        "ssh://h:22/r",
        "",
        &[("GIT_SSH_COMMAND", "ssh -i ~/key")],
        OPENSSH,
    ),
    case("h:r", "", &[("GIT_SSH_COMMAND", "A=b ssh")], OPENSSH),
    case(
        "h:r",
        "",
        &[("GIT_SSH_COMMAND", "'@@/with space/ssh' -v")],
        OPENSSH,
    ),
    case("h:r", "", &[("GIT_SSH_COMMAND", "exec \"my-ssh\"")], OPENSSH),
    case("h:r", "[core]\nsshCommand = my-ssh -v\n", &[], OPENSSH),
    case(
        "h:r",
        "[core]\nsshCommand = no\nsshCommand = plink -v\n",
        &[],
        PLINK,
    ),
    case(
        "h:r",
        "[core]\nsshCommand = no\n",
        &[("GIT_SSH_COMMAND", "ssh -v"), ("GIT_SSH", "no")],
        OPENSSH,
    ),
    case(
        "h:r",
        "[core]\nsshCommand = ssh -v\n",
        &[("GIT_SSH", "no")],
        OPENSSH,
    ),
    case("h:r", "[core]\nsshCommand\n", &[], REFUSED),
    case("h:r", "", &[("GIT_SSH", "@@/with space/ssh")], OPENSSH),
    case("h:r", "", &[("GIT_SSH", "../bin/my-ssh")], OPENSSH),
    case("h:r", "", &[("GIT_SSH_COMMAND", "../bin/my-ssh")], OPENSSH),
    case("h:r", "", &[("GIT_SSH", "my-ssh -v")], REFUSED),
    case("h:r", "", &[("GIT_SSH", "")], REFUSED),
    case("h:r", "", &[("GIT_SSH_COMMAND", "")], REFUSED),
    case("h:r", "", &[("GIT_SSH_COMMAND", "no-such-ssh")], REFUSED),
    // The variant.
    case("h:r", "", &[("GIT_SSH", "old-ssh")], AS_GIT),
    case("ssh://h:22/r", "", &[("GIT_SSH", "old-ssh")], REFUSED),
    case("ssh://h:22/r", "", &[("GIT_SSH", "my-ssh")], OPENSSH),
    case(
        "ssh://h:22/r",
        "",
        &[("GIT_SSH", "old-ssh"), ("GIT_SSH_VARIANT", "ssh")],
        OPENSSH,
    ),
    case(
        "ssh://h:22/r",
        "[ssh]\nvariant = whatever\n",
        &[("GIT_SSH", "old-ssh")],
        OPENSSH,
    ),
    case(
        "ssh://h:22/r",
        "[ssh]\nvariant = simple\n",
        &[("GIT_SSH_VARIANT", "plink")],
        PLINK,
    ),
    case("h:r", "[ssh]\nvariant = simple\n", &[], AS_GIT),
    case("ssh://h:22/r", "[ssh]\nvariant = simple\n", &[], REFUSED),
    case("ssh://h:22/r", "[ssh]\nvariant = putty\n", &[], PLINK),
    case("ssh://h:22/r", "[ssh]\nvariant = tortoiseplink\n", &[], AS_GIT),
    case(
        "ssh://h:22/r",
        "[ssh]\nvariant = auto\n",
        &[("GIT_SSH", "old-ssh")],
        REFUSED,
    ),
    case("ssh://h:22/r", "", &[("GIT_SSH", "plink")], PLINK),
    case("ssh://h:22/r", "", &[("GIT_SSH", "Plink.EXE")], PLINK),
    case(
        "ssh://h:22/r",
        "",
        &[("GIT_SSH_COMMAND", "TortoisePlink -v")],
        AS_GIT,
    ),
    case(
        "h:r",
        "",
        &[("GIT_SSH_COMMAND", "plink"), ("GIT_SSH_VARIANT", "SIMPLE")],
        OPENSSH,
    ),
    case("h:r", "[ssh]\nvariant\n", &[], REFUSED),
    // The program on the other side, the version of the protocol, and what is allowed.
    case("h:r", "receivepack = /opt/git receive-pack\n", &[], OPENSSH),
    case(
        "h:r",
        "receivepack = sudo 'x y'\n",
        &[("GIT_SSH_COMMAND", "ssh -v")],
        OPENSSH,
    ),
    case("ssh://h:22/r", "[protocol]\nversion = 1\n", &[], OPENSSH),
    case("h:r", "[protocol]\nversion = 1\n", &[("GIT_SSH", "plink")], PLINK),
    case(
        "h:r",
        "[protocol]\nversion = 1\n",
        &[("GIT_SSH", "my-ssh")],
        OPENSSH,
    ),
    case(
        "h:r",
        "[protocol]\nversion = 2\n",
        &[("GIT_PROTOCOL", "version=1")],
        OPENSSH,
    ),
    case("h:r", "[protocol]\nversion = 0\n", &[], OPENSSH),
    case("h:r", "[protocol]\nversion = 3\n", &[], REFUSED),
    case("h:r", "[protocol]\nallow = never\n", &[], REFUSED),
    case(
        "h:r",
        "[protocol]\nallow = never\n[protocol \"ssh\"]\nallow = always\n",
        &[],
        OPENSSH,
    ),
    case(
        "git+ssh://h/r",
        "[protocol \"ssh\"]\nallow = never\n",
        &[],
        REFUSED,
    ),
    case(
        "h:r",
        "[protocol \"ssh\"]\nallow = user\n",
        &[("GIT_PROTOCOL_FROM_USER", "0")],
        REFUSED,
    ),
    case(
        "h:r",
        "[protocol \"ssh\"]\nallow = user\n",
        &[("GIT_PROTOCOL_FROM_USER", "true")],
        OPENSSH,
    ),
    case(
        "h:r",
        "[protocol \"ssh\"]\nallow = user\n",
        &[("GIT_PROTOCOL_FROM_USER", "perhaps")],
        REFUSED,
    ),
    case("h:r", "[protocol \"ssh\"]\nallow = perhaps\n", &[], REFUSED),
    case("h:r", "", &[("GIT_ALLOW_PROTOCOL", "file:https")], REFUSED),
    case(
        "h:r",
        "[protocol]\nallow = never\n",
        &[("GIT_ALLOW_PROTOCOL", "file:ssh")],
        OPENSSH,
    ),
    // What describes the local repository stays here.
    case(
        "h:r",
        "",
        &[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "core.sshCommand"),
            ("GIT_CONFIG_VALUE_0", "ssh -v"),
        ],
        OPENSSH,
    ),
    case(
        "h:r",
        "",
        &[
            ("GIT_CONFIG_PARAMETERS", "'ssh.variant=plink'"),
            ("GIT_OBJECT_DIRECTORY", "@@/work/.git/objects"),
        ],
        PLINK,
    ),
];

/// How a recorder was called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    arguments: Vec<String>,
    variables: Vec<String>,
}

impl Call {
    fn is_probe(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "argument -G")
    }
}

fn take_calls(sandbox: &Sandbox) -> Vec<Call> {
    let path = sandbox.path("calls");
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    let calls = recorded.split("call\n").skip(1);
    calls
        .map(|call| {
            let (arguments, variables) = call.lines().partition(|line| line.starts_with("argument "));
            let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect();
            Call {
                arguments: owned(arguments),
                variables: owned(variables),
            }
        })
        .collect()
}

fn sandbox_of(case: &Case) -> Sandbox {
    let mut sandbox = Sandbox::new();
    let base = sandbox.path("").display().to_string();
    let base = base.trim_end_matches('/');
    let localised = |text: &str| text.replace("@@", base);
    for (name, last_line) in [
        ("bin/ssh", TAKES_G),
        ("bin/my-ssh", TAKES_G),
        ("bin/old-ssh", TAKES_NOTHING),
        ("bin/plink", TAKES_NOTHING),
        ("bin/Plink.EXE", TAKES_NOTHING),
        ("bin/TortoisePlink", TAKES_NOTHING),
        ("with space/ssh", TAKES_G),
    ] {
        sandbox.script(name, &localised(&format!("{RECORDER}{last_line}")));
    }
    let path = sandbox.env.get("PATH").expect("set").to_owned();
    sandbox.var("PATH", format!("{base}/bin:{path}"));
    for (name, value) in case.variables {
        sandbox.var(name, localised(value));
    }
    sandbox.config(&format!(
        "[remote \"x\"]\nurl = {}\n{}",
        case.url,
        localised(case.config)
    ));
    sandbox
}

/// Takes away what we add to git's arguments, which has to be there.
fn without_additions(mut call: Call, added: &[&str]) -> Call {
    let added: Vec<String> = added.iter().map(|word| format!("argument {word}")).collect();
    if !call.is_probe() && !added.is_empty() {
        let at = call
            .arguments
            .windows(added.len())
            .rposition(|window| window == added)
            .unwrap_or_else(|| panic!("{added:?} is missing: {call:?}"));
        call.arguments.drain(at..at + added.len());
    }
    call.variables
        .retain(|variable| variable != "GIT_TERMINAL_PROMPT=0");
    call
}

#[tokio::test]
async fn ssh_is_called_as_git_calls_it() {
    for case in CASES {
        let sandbox = sandbox_of(case);
        let name = format!("{} {:?} {:?}", case.url, case.config, case.variables);
        let output = sandbox.output(&sandbox.work(), &["push", "x", "main"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}: {said}");
        let gits = take_calls(&sandbox);

        let pusher = sandbox.pusher("x");
        let failure = failure_of(attempt(&pusher).await);
        close(&pusher).await;
        let ours = take_calls(&sandbox);

        let connections = gits.iter().filter(|call| !call.is_probe()).count();
        let expected = usize::from(case.added.is_some());
        assert_eq!(connections, expected, "{name}: git said {said}");
        let added = case.added.unwrap_or_default();
        let ours: Vec<Call> = ours
            .into_iter()
            .map(|call| without_additions(call, added))
            .collect();
        assert_eq!(ours.len(), gits.len(), "{name}: {failure}, git said {said}");
        for (ours, mut gits) in ours.into_iter().zip(gits) {
            // Where git finds its own programs is of no use to others.
            gits.variables
                .retain(|variable| !variable.starts_with("GIT_EXEC_PATH="));
            if gits.is_probe() {
                // git's own probe knows the local repository, which ssh takes no notice of.
                assert_eq!(ours.arguments, gits.arguments, "{name}");
            } else {
                assert_eq!(ours, gits, "{name}");
            }
        }
    }
    report(&format!("compared with git: {} calls of ssh", CASES.len()));
}
