//! The meaning of values, and the values for a URL, compared with `git config --get`.

use std::path::Path;

use git_local::config::Scope;

use crate::report;
use crate::sandbox::Sandbox;

#[test]
fn bools_and_numbers_are_read_as_git_reads_them() {
    let values = [
        "true",
        "TRUE",
        "yes",
        "On",
        "1",
        "-1",
        "2k",
        "false",
        "no",
        "off",
        "0",
        "",
        "00",
        "0x1F",
        "010",
        "1m",
        "1g",
        "maybe",
        "1.5",
        "k",
        "+5",
        "1kk",
        "9223372036854775807",
        "9223372036854775808",
        "-7G",
        "tru",
    ];
    for value in values {
        let sandbox = Sandbox::new().local(format!("[a]b = \"{value}\"\n"));
        let config = sandbox.config();
        let typed = |kind: &str| {
            let output = sandbox.output(&["config", "--get", kind, "a.b"]);
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let number = config.int("a.b").ok().flatten().map(|number| number.to_string());
        assert_eq!(number, typed("--type=int"), "{value:?} as a number");
        let bool = config.bool("a.b").ok().flatten().map(|bool| bool.to_string());
        assert_eq!(bool, typed("--type=bool"), "{value:?} as a bool");
    }
}

#[test]
fn paths_are_expanded_as_git_expands_them() {
    for value in ["~/x", "~", "/a/~/b", "x/y", "~root/x", "~/", "%(prefix)/share"] {
        let sandbox = Sandbox::new().local(format!("[a]b = {value}\n"));
        let path = sandbox.config().path("a.b").expect("expandable").expect("set");
        let by_git = sandbox.git(&["config", "--get", "--type=path", "a.b"]);
        assert_eq!(path, Path::new(by_git.trim_end_matches('\n')), "{value}");
    }
}

#[test]
fn settings_by_url_are_those_that_git_matches() {
    let patterns = [
        "https://example.com",
        "https://example.com/",
        "https://example.com/a",
        "https://example.com/a/b/",
        "https://*.example.com/",
        "https://*.*.com",
        "https://git.example.com",
        "https://user@example.com",
        "https://user@example.com/a",
        "https://example.com:8443/",
        "http://example.com:80",
        "HTTPS://EXAMPLE.COM/Case",
        "https://example.com/%7Ex",
        "https://example.com/a%2Fb",
        "https://example.com/c/./d/../e",
        "https://[::1]:444/",
        "https://exam*le.com",
        "https://example.com/a?q",
        "file:///srv",
        "example.com",
        "https://example.com/..",
        "https://example.com:0443/port",
        "ssh://git@h/",
        "https://",
    ];
    let urls = [
        "https://example.com",
        "https://example.com/",
        "https://example.com/a",
        "https://example.com/ab",
        "https://example.com/a/b",
        "https://example.com/a/b/c.git",
        "https://user@example.com/x",
        "https://user:secret@example.com/a/x",
        "https://other@example.com/a/x",
        "https://git.example.com/r",
        "https://a.git.example.com/r",
        "https://x.y.com",
        "https://example.com.:443/",
        "https://example.com:8443/r",
        "https://example.com:8444/r",
        "http://example.com/r",
        "https://example.com/Case",
        "https://example.com/case",
        "https://example.com/~x/y",
        "https://example.com/a/%62",
        "https://example.com/a%2fb",
        "https://example.com/c/e/f",
        "https://example.com/c/d/../e",
        "https://example.com/port",
        "https://[::1]:444/x",
        "https://[::1]/x",
        "https://example.com/a?q",
        "file:///srv/x",
        "file://host/srv",
        "ssh://git@h/x",
        "ssh://h/x",
        "ftp://example.com/",
    ];
    let general = "[http]key = general\n";
    let special: String = patterns
        .iter()
        .map(|pattern| format!("[http \"{pattern}\"]key = {pattern}\n"))
        .collect::<Vec<_>>()
        .concat();
    let reversed: String = patterns
        .iter()
        .rev()
        .map(|pattern| format!("[http \"{pattern}\"]Key = {pattern}\n"))
        .collect::<Vec<_>>()
        .concat();
    let mut count = 0;
    for content in [
        format!("{general}{special}"),
        format!("{reversed}{general}"),
        special.clone() + "[http \"https://example.com/a\"]key\n",
    ] {
        let sandbox = Sandbox::new().local(content);
        let config = sandbox.config();
        for url in urls {
            let output = sandbox.output(&["config", "--get-urlmatch", "http.key", url]);
            let by_git = output.status.success().then(|| {
                String::from_utf8_lossy(&output.stdout)
                    .trim_end_matches('\n')
                    .to_owned()
            });
            let by_daemon = config
                .url_match("http", "key", url)
                .map(|entry| entry.value().unwrap_or_default().to_owned());
            assert_eq!(by_daemon, by_git, "{url}");
            count += 1;
        }
    }
    report("settings by URL", count);
}

#[test]
fn scopes_have_gits_names() {
    let sandbox = Sandbox::new().local("[a]b=1\n");
    let config = sandbox.config();
    let entry = config.entry("a.b").expect("set");
    assert_eq!(entry.scope(), Scope::Local);
    assert_eq!(entry.file(), Some(&*sandbox.common_dir.join("config")));
}
