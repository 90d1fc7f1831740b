//! Where a push goes, compared with `git remote get-url` and `git fetch-pack --diag-url`.

use std::path::PathBuf;

use git_local::url::{Remote, RemoteUrl};

use crate::report;
use crate::sandbox::Sandbox;

#[test]
fn push_urls_are_those_that_git_names() {
    let configurations = [
        "[remote \"x\"]url=h:r\n",
        "[remote \"x\"]url=h:r\npushurl=p:r\n",
        "[remote \"x\"]url=h:r\npushurl=p:r\npushurl=q:r\n",
        "[remote \"x\"]url=h:r\nurl=i:r\n",
        "[remote \"x\"]url=h:r\nurl=\nurl=i:r\n",
        "[remote \"x\"]url=h:r\npushurl=p:r\npushurl=\npushurl=q:r\n",
        "[remote \"x\"]url=h:r\npushurl=p:r\npushurl=\n",
        "[remote \"x\"]url=gh:o/r\n[url \"https://github.com/\"]insteadOf=gh:\n",
        "[remote \"x\"]url=gh:o/r\n[url \"https://github.com/\"]insteadOf=gh:\n[url \"git@github.com:\"]pushInsteadOf=gh:\n",
        "[remote \"x\"]url=gh:o/r\n[url \"git@github.com:\"]pushInsteadOf=https://github.com/\n[url \"https://github.com/\"]insteadOf=gh:\n",
        "[remote \"x\"]url=gh:o/r\npushurl=gh:o/p\n[url \"A:\"]pushInsteadOf=gh:\n",
        "[remote \"x\"]url=gh:o/r\npushurl=gh:o/p\n[url \"A:\"]pushInsteadOf=gh:\n[url \"B:\"]insteadOf=gh:\n",
        "[url \"A:\"]insteadOf=gh:\n[url \"B:\"]insteadOf=gh:o/\n[remote \"x\"]url=gh:o/r\n",
        "[url \"B:\"]insteadOf=gh:o/\n[url \"A:\"]insteadOf=gh:\n[remote \"x\"]url=gh:o/r\n",
        "[url \"A:\"]insteadOf=gh:\n[url \"B:\"]insteadOf=gh:\n[remote \"x\"]url=gh:o/r\n",
        "[url \"B:\"]insteadOf=z:\n[url \"A:\"]insteadOf=gh:\n[url \"B:\"]insteadOf=gh:\n[remote \"x\"]url=gh:o/r\n",
        "[url \"A:\"]insteadOf=gh:\ninsteadOf=gl:\n[remote \"x\"]url=gl:o/r\nurl=gh:o/r\n",
        "[url \"A:\"]insteadOf=\n[remote \"x\"]url=r\n",
        "[url \"A:\"]insteadOf=gh:\n[url \"B:\"]insteadOf=A:\n[remote \"x\"]url=gh:r\n",
        "[url \"A:\"]pushInsteadOf=gh:\n[remote \"x\"]url=gh:r\nurl=other:r\n",
        "[Remote \"x\"]URL=h:r\n[remote \"X\"]url=no:r\n",
        "[remote \"x\"]url=../relative\n[remote \"y\"]pushurl=no\n",
        "[remote.x]url=h:r\n",
    ];
    for configuration in configurations {
        let sandbox = Sandbox::new().local(configuration);
        let remote = Remote::resolve(&sandbox.config(), "x", &sandbox.work_dir).expect("configured");
        assert_eq!(remote.name.as_deref(), Some("x"));
        let gits = sandbox.git(&["remote", "get-url", "--push", "--all", "x"]);
        let by_daemon: Vec<&str> = std::iter::once(&remote.url)
            .chain(&remote.further_urls)
            .map(String::as_str)
            .collect();
        assert_eq!(by_daemon, gits.lines().collect::<Vec<_>>(), "{configuration}");
    }
    report("remotes with their push URLs", configurations.len());
}

#[test]
fn a_url_that_is_given_is_rewritten_as_git_rewrites_it() {
    let sandbox = Sandbox::new().local(
        "[url \"https://github.com/\"]insteadOf=gh:\n[url \"ssh://\"]insteadOf=git://\n[url \"/srv/\"]insteadOf=srv\n[remote \"/abs\"]url=no:r\n",
    );
    for given in [
        "gh:o/r",
        "git://h/r",
        "https://h/r",
        "/srv/x",
        "srvx",
        "/abs",
        "./x",
        "..",
    ] {
        let remote = Remote::resolve(&sandbox.config(), given, &sandbox.work_dir).expect("a URL or path");
        assert_eq!(
            remote.url,
            sandbox.git(&["ls-remote", "--get-url", given]).trim_end(),
            "{given}"
        );
        assert_eq!(remote.name, None, "{given}");
    }
}

#[test]
fn settings_of_a_remote_are_found() {
    let sandbox = Sandbox::new().local(
        "[remote \"x\"]url=h:r\nreceivepack=first\nreceivepack=second\nproxy=a\nproxy=\n[remote \"v\"]url=h:r\nvcs=hg\n",
    );
    let config = sandbox.config();
    let remote = Remote::resolve(&config, "x", &sandbox.work_dir).expect("configured");
    assert_eq!(remote.receive_pack.as_deref(), Some("first"));
    assert_eq!(remote.proxy.as_deref(), Some(""));
    let foreign = Remote::resolve(&config, "v", &sandbox.work_dir).expect("configured");
    assert!(matches!(foreign.parsed, RemoteUrl::Helper { .. }));
    assert_eq!(foreign.parsed.to_string(), "hg::h:r");
}

#[test]
fn a_relative_path_is_below_the_root_and_a_missing_word_is_an_error() {
    let sandbox = Sandbox::new()
        .local("[remote \"origin\"]url=https://u:hunter2@h/r\n[remote \"half\"]fetch=x\n")
        .file("work/there/x", "")
        .file("work/bare.git/x", "");
    let config = sandbox.config();
    let resolve = |given: &str| Remote::resolve(&config, given, &sandbox.work_dir);
    for (given, path) in [
        ("there", sandbox.work_dir.join("there")),
        ("bare", sandbox.work_dir.join("bare")),
        ("../missing", sandbox.work_dir.join("../missing")),
        (".", sandbox.work_dir.join(".")),
        ("/srv/x", PathBuf::from("/srv/x")),
        ("~/x", PathBuf::from("~/x")),
    ] {
        let remote = resolve(given).expect("a path");
        assert_eq!(remote.parsed, RemoteUrl::Local(path), "{given}");
        assert_eq!(remote.url, given);
    }
    for given in ["orign", "half", "", "Origin"] {
        let message = resolve(given).expect_err("no such remote").to_string();
        assert!(
            message.contains(&format!("'{given}'")) && message.contains("origin"),
            "{message}"
        );
        assert!(!message.contains("hunter2"));
    }
    let origin = resolve("origin").expect("configured");
    assert!(!format!("{origin:?}").contains("hunter2"));
}

/// The output of `git fetch-pack --diag-url`; `None` if git refuses the URL.
fn gits_diagnosis(sandbox: &Sandbox, url: &str) -> Option<String> {
    let output = sandbox.output(&["fetch-pack", "--diag-url", url]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    // git ignores the host of a file URL.
    let is_file = url.starts_with("file:");
    output.status.success().then(|| {
        stdout
            .lines()
            .filter(|line| !line.starts_with("Diag: url="))
            .filter(|line| !(is_file && line.starts_with("Diag: hostandport=")))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// The same output from our parts; `None` for a refused URL.
fn our_diagnosis(url: &str) -> Option<String> {
    Some(match RemoteUrl::parse(url).ok()? {
        RemoteUrl::Ssh {
            user,
            host,
            port,
            path,
        } => {
            let user = user.map(|user| user + "@").unwrap_or_default();
            let port = port.map_or_else(|| "NONE".to_owned(), |port| port.to_string());
            format!(
                "Diag: protocol=ssh\nDiag: userandhost={user}{host}\nDiag: port={port}\nDiag: path={path}"
            )
        }
        RemoteUrl::Git { authority, path, .. } => {
            format!("Diag: protocol=git\nDiag: hostandport={authority}\nDiag: path={path}")
        }
        RemoteUrl::Local(path) => {
            format!(
                "Diag: protocol=file\nDiag: hostandport=\nDiag: path={}",
                path.display()
            )
        }
        RemoteUrl::File(path) => format!("Diag: protocol=file\nDiag: path={}", path.display()),
        other => panic!("git fetch-pack does not take {other:?}"),
    })
}

/// Every combination of the parts below, and some special URLs.
fn urls() -> Vec<String> {
    const HOSTS: [&str; 9] = [
        "host",
        "user@host",
        "[::1]",
        "user@[::1]",
        "[host]",
        "user@[host]",
        "host.",
        "u@v@host",
        "h%41",
    ];
    const SCP_HOSTS: [&str; 7] = [
        "[host:22]",
        "[user@host:22]",
        "[user@host]",
        "[user@::1]",
        "[::1:22]",
        "a.b",
        "h_h",
    ];
    const PORTS: [&str; 6] = ["", ":", ":22", ":65535", ":65536", ":x"];
    const PATHS: [&str; 12] = [
        "/x", "/~u/x", "/~", "//x", "/x%20y", "/x:y", "/a@b", "", "/%zz", "/é", "/x?y#z", "/x~y",
    ];
    const SCP_PATHS: [&str; 13] = [
        "x", "/x", "~/x", "~u/x", "/~u/x", "x~y", "xy~z", "x:y", "22/x", "a/b", "%20", "é~", "x y",
    ];
    const OTHERS: [&str; 42] = [
        "/x",
        "x",
        "./x:y",
        "../x",
        "/x:y",
        "a/b:c",
        "~/x",
        "~u/x",
        ".",
        "x y",
        "é",
        "file:///x",
        "file://host/x",
        "file:///x%20y",
        "file://x",
        "file:////x",
        "file:///x:y",
        "file://~/x",
        "ssh://host",
        "ssh://host:22",
        "ssh://u:p@host/x",
        "ssh://u:p@host:22/x",
        "ssh://host/a@[b]/c",
        "git://u:p@host/x",
        "/a://b",
        "a_b://c/d",
        "ssh://host/-x",
        "./-x",
        "host:./-x",
        "host:-x",
        "ssh://a/b://c",
        "ssh:host/x",
        "x@y/z:w",
        "ssh://host%2fx/y",
        "ssh://host%3a22/y",
        "ssh://host/x%00y",
        "+x:y",
        "a+b:c",
        "ssh://[::1/x",
        "[::1:x",
        "ssh://[::1]x:22/y",
        "ssh://[h]:/y",
    ];
    let mut urls: Vec<String> = OTHERS.map(str::to_owned).into();
    for scheme in ["ssh", "git+ssh", "ssh+git", "git"] {
        for host in HOSTS {
            for port in PORTS {
                urls.extend(PATHS.map(|path| format!("{scheme}://{host}{port}{path}")));
            }
        }
    }
    for host in HOSTS.into_iter().chain(SCP_HOSTS) {
        urls.extend(SCP_PATHS.map(|path| format!("{host}:{path}")));
    }
    urls
}

#[test]
fn urls_are_parsed_as_git_parses_them() {
    let urls = urls();
    let sandbox = Sandbox::new();
    let mut refused = 0;
    for url in &urls {
        let gits = gits_diagnosis(&sandbox, url);
        assert_eq!(our_diagnosis(url), gits, "{url}");
        refused += usize::from(gits.is_none());
    }
    assert!(
        refused > 0 && refused < urls.len() / 2,
        "{refused} of {}",
        urls.len()
    );
    report("URLs", urls.len());
}
