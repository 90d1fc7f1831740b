//! The command line for ssh: git and the daemon both call a recorder, and the calls are compared.

use std::fs;

use crate::support::{Sandbox, attempt, close, failure_of, report};

/// A program that records its arguments and variables, and fails. Like OpenSSH, it may accept `-G`.
const RECORDER: &str = r#"#!/bin/sh
{
    echo call
    printf 'argument %s\n' "$0" "$@"
    env | grep '^GIT_' | sort
} >> @@/calls
"#;
const TAKES_G: &str = "case \" $* \" in *' -G '*) exit 0 ;; esac\nexit 1\n";
const TAKES_NOTHING: &str = "exit 1\n";

/// The options that are added to git's own, so that ssh asks nothing; `None` if no connection is attempted.
fn additions(outcome: &str) -> Option<&'static [&'static str]> {
    match outcome {
        "openssh" => Some(&["-o", "BatchMode=yes"]),
        "plink" => Some(&["-batch"]),
        "as git" => Some(&[]),
        "refused" => None,
        other => panic!("{other}"),
    }
}

/// One combination.
struct Case {
    url: &'static str,
    config: String,
    variables: Vec<(&'static str, &'static str)>,
    added: Option<&'static [&'static str]>,
}

impl Case {
    fn parse(line: &'static str) -> Self {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [url, config, variables, outcome] = fields[..] else {
            panic!("{line}");
        };
        Self {
            url,
            config: config.replace("\\n", "\n"),
            variables: variables
                .split(" ; ")
                .filter_map(|pair| pair.split_once('='))
                .collect(),
            added: additions(outcome),
        }
    }
}

/// The URL, the configuration, the variables, and the kind of call. `@@` stands for the sandbox, `\n` for a line end.
const CASES: &str = r#"
# Addresses.
git@h:o/r.git | | | openssh
h:r | | | openssh
h:~u/r | | | openssh
h:/abs/it's !x | | | openssh
[git@h:2222]:r | | | openssh
[::1]:r | | | openssh
git@[::1]:r | | | openssh
ssh://h/r | | | openssh
ssh://git@h:2222/r | | | openssh
ssh://git@h:/r | | | openssh
ssh://h/~u/r | | | openssh
ssh://h/a%20b%27 | | | openssh
ssh://[::1]:22/r | | | openssh
git+ssh://u@h/r | | | openssh
ssh+git://u@h:1/r | | | openssh
ssh://a:b@h/r | | | openssh
ssh://a:b@h:22/r | | | openssh
gh:o/r | [url "git@h:"]\ninsteadOf = gh: | | openssh
https://h/r | [url "ssh://git@h:22/"]\npushInsteadOf = https://h/ | | openssh
ssh://-oProxyCommand=x/r | | | refused
h:-r | | | refused
# The program, by order of precedence.
h:r | | GIT_SSH_COMMAND=my-ssh | openssh
h:r | | GIT_SSH_COMMAND=my-ssh -i '@@/a key' -o BatchMode=no | openssh
ssh://h:22/r | | GIT_SSH_COMMAND=ssh -i ~/key | openssh
h:r | | GIT_SSH_COMMAND=A=b ssh | openssh
h:r | | GIT_SSH_COMMAND='@@/with space/ssh' -v | openssh
h:r | | GIT_SSH_COMMAND=exec "my-ssh" | openssh
h:r | [core]\nsshCommand = my-ssh -v | | openssh
h:r | [core]\nsshCommand = no\nsshCommand = plink -v | | plink
h:r | [core]\nsshCommand = no | GIT_SSH_COMMAND=ssh -v ; GIT_SSH=no | openssh
h:r | [core]\nsshCommand = ssh -v | GIT_SSH=no | openssh
h:r | [core]\nsshCommand | | refused
h:r | | GIT_SSH=@@/with space/ssh | openssh
h:r | | GIT_SSH=../bin/my-ssh | openssh
h:r | | GIT_SSH_COMMAND=../bin/my-ssh | openssh
h:r | | GIT_SSH=my-ssh -v | refused
h:r | | GIT_SSH= | refused
h:r | | GIT_SSH_COMMAND= | refused
h:r | | GIT_SSH_COMMAND=no-such-ssh | refused
# The variant.
h:r | | GIT_SSH=old-ssh | as git
ssh://h:22/r | | GIT_SSH=old-ssh | refused
ssh://h:22/r | | GIT_SSH=my-ssh | openssh
ssh://h:22/r | | GIT_SSH=old-ssh ; GIT_SSH_VARIANT=ssh | openssh
ssh://h:22/r | [ssh]\nvariant = whatever | GIT_SSH=old-ssh | openssh
ssh://h:22/r | [ssh]\nvariant = simple | GIT_SSH_VARIANT=plink | plink
h:r | [ssh]\nvariant = simple | | as git
ssh://h:22/r | [ssh]\nvariant = simple | | refused
ssh://h:22/r | [ssh]\nvariant = putty | | plink
ssh://h:22/r | [ssh]\nvariant = tortoiseplink | | as git
ssh://h:22/r | [ssh]\nvariant = auto | GIT_SSH=old-ssh | refused
ssh://h:22/r | | GIT_SSH=plink | plink
ssh://h:22/r | | GIT_SSH=Plink.EXE | plink
ssh://h:22/r | | GIT_SSH_COMMAND=TortoisePlink -v | as git
h:r | | GIT_SSH_COMMAND=plink ; GIT_SSH_VARIANT=SIMPLE | openssh
h:r | [ssh]\nvariant | | refused
# The program on the other side, the version of the protocol, and what is allowed.
h:r | receivepack = /opt/git receive-pack | | openssh
h:r | receivepack = sudo 'x y' | GIT_SSH_COMMAND=ssh -v | openssh
ssh://h:22/r | [protocol]\nversion = 1 | | openssh
h:r | [protocol]\nversion = 1 | GIT_SSH=plink | plink
h:r | [protocol]\nversion = 1 | GIT_SSH=my-ssh | openssh
h:r | [protocol]\nversion = 2 | GIT_PROTOCOL=version=1 | openssh
h:r | [protocol]\nversion = 0 | | openssh
h:r | [protocol]\nversion = 3 | | refused
h:r | [protocol]\nallow = never | | refused
h:r | [protocol]\nallow = never\n[protocol "ssh"]\nallow = always | | openssh
git+ssh://h/r | [protocol "ssh"]\nallow = never | | refused
h:r | [protocol "ssh"]\nallow = user | GIT_PROTOCOL_FROM_USER=0 | refused
h:r | [protocol "ssh"]\nallow = user | GIT_PROTOCOL_FROM_USER=true | openssh
h:r | [protocol "ssh"]\nallow = user | GIT_PROTOCOL_FROM_USER=perhaps | refused
h:r | [protocol "ssh"]\nallow = perhaps | | refused
h:r | | GIT_ALLOW_PROTOCOL=file:https | refused
h:r | [protocol]\nallow = never | GIT_ALLOW_PROTOCOL=file:ssh | openssh
# What describes the local repository stays here.
h:r | | GIT_CONFIG_COUNT=1 ; GIT_CONFIG_KEY_0=core.sshCommand ; GIT_CONFIG_VALUE_0=ssh -v | openssh
h:r | | GIT_CONFIG_PARAMETERS='ssh.variant=plink' ; GIT_OBJECT_DIRECTORY=@@/work/.git/objects | plink
"#;

/// One call of a recorder.
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
    for (name, value) in &case.variables {
        sandbox.var(name, localised(value));
    }
    sandbox.config(&format!(
        "[remote \"x\"]\nurl = {}\n{}",
        case.url,
        localised(&case.config)
    ));
    sandbox
}

/// Removes the additions to git's arguments, which must be there.
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
    let lines = CASES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases: Vec<Case> = lines.map(Case::parse).collect();
    for case in &cases {
        let sandbox = sandbox_of(case);
        let name = format!("{} {:?} {:?}", case.url, case.config, case.variables);
        let output = sandbox.output(&sandbox.work(), &["push", "x", "main"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}: {stderr}");
        let git_calls = take_calls(&sandbox);

        let pusher = sandbox.pusher("x");
        let failure = failure_of(attempt(&pusher).await);
        close(&pusher).await;
        let daemon_calls = take_calls(&sandbox);

        let connections = git_calls.iter().filter(|call| !call.is_probe()).count();
        let expected = usize::from(case.added.is_some());
        assert_eq!(connections, expected, "{name}: git: {stderr}");
        let added = case.added.unwrap_or_default();
        let daemon_calls: Vec<Call> = daemon_calls
            .into_iter()
            .map(|call| without_additions(call, added))
            .collect();
        assert_eq!(
            daemon_calls.len(),
            git_calls.len(),
            "{name}: {failure}, git: {stderr}"
        );
        for (by_daemon, mut by_git) in daemon_calls.into_iter().zip(git_calls) {
            // The directory of git's own programs is of no use to ssh.
            by_git
                .variables
                .retain(|variable| !variable.starts_with("GIT_EXEC_PATH="));
            if by_git.is_probe() {
                // git's own probe has the variables of the local repository, which ssh ignores.
                assert_eq!(by_daemon.arguments, by_git.arguments, "{name}");
            } else {
                assert_eq!(by_daemon, by_git, "{name}");
            }
        }
    }
    report(&format!("compared with git: {} calls of ssh", cases.len()));
}
