//! The entries, their order, and the files that are refused, compared with `git config --list`.

use git_local::config::Config;

use crate::report;
use crate::sandbox::Sandbox;

/// Scope, key and value of every entry.
type Listing = Vec<(String, String, Option<String>)>;

fn listing_of_git(sandbox: &Sandbox) -> Listing {
    let output = sandbox.git(&["config", "--list", "-z", "--show-scope"]);
    let mut fields = output.split_terminator('\0');
    let mut listing = Listing::new();
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        let (key, value) = match entry.split_once('\n') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (entry, None),
        };
        listing.push((scope.to_owned(), key.to_owned(), value));
    }
    listing
}

fn listing_of_daemon(config: &Config) -> Listing {
    config
        .entries()
        .iter()
        .map(|entry| {
            (
                entry.scope().to_string(),
                entry.key().to_owned(),
                entry.value().map(str::to_owned),
            )
        })
        .collect()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn set_ups() -> Vec<(&'static str, Sandbox)> {
    let new = Sandbox::new;
    let nested = |depth: usize| {
        (0..depth).fold(new().local("[include]path = ../../i0\n"), |sandbox, level| {
            sandbox.file(
                &format!("i{level}"),
                format!("[level]l = {level}\n[include]path = i{}\n", level + 1),
            )
        })
    };
    vec![
        ("a fresh repository", new()),
        ("comments", new().local("# c\n; c\n[a]b=1#x\nc=2;y\n  [b] d=3 # [e]\n[f]g=\";\"#\n")),
        ("continued lines", new().local("[a]b = x\\\n  y \\\n z\nc=\\\n\nd=\"q\\\nr\"\n")),
        ("CR LF", new().local("[a]\r\nb = 1 \r\nc = x\\\r\ny\r\n[d \"e\"]\r\nf\r\n")),
        ("a lone CR", new().local("[a]\rb = 1\rc\n d = \rx\r\n")),
        ("a byte order mark", new().file("home/.gitconfig", "\u{feff}[a]b=1\n")),
        ("quotes", new().local("[a]b=\" x \"y\" z\"\nc=\"\"\nd=x\"#\"y\ne=\"a\\\"b\"\n")),
        ("escapes", new().local("[a]b=\\t\\n\\b\\\\\\\"\nc=x \\t y\t\n")),
        ("inner white space", new().local("[a]b=x \t  y   \nc =   \td\t\n\te\t=\tf\n")),
        ("empty and missing values", new().local("[a]b=\nc\nd =\ne \t\nf= ;x\n")),
        ("upper case", new().local("[SEC]Key=V\n[Sec \"Sub\"]KEY=V\n[sEC.Sub]k=V\n")),
        (
            "odd subsections",
            new().local("[a \"b.c d\"]e=1\n[a \"\\\"\\\\\\x\"]e=2\n[a \"\"]e=3\n[a   \"]=#\"]e=4\n[a.b \"c\"]e=5\n[a \"é\"]e=6\n"),
        ),
        ("odd sections", new().local("[a-1]b-2=1\n[.]c=2\n[ \"x\"]d=3\n[1.2.3]e=4\n[a][b]f=5\n")),
        ("several on one line", new().local("[a]b=1\n[c]d\n[e]f=2\n[g][h]i=3\n")),
        ("a variable before the first section", new().file("home/.gitconfig", "b=1\n[c]d=2\n")),
        ("no line feed at the end", new().local("[a]b=1 ")),
        ("bytes that are not UTF-8", new().local(b"[a]b=x\xff\xfey\n")),
        ("a NUL in a value", new().local(b"[a]b=x\0y\nc=2\n")),
        (
            "all files",
            new()
                .without_var("GIT_CONFIG_NOSYSTEM")
                .var("GIT_CONFIG_SYSTEM", "@@/system")
                .file("system", "[a]b=system\n")
                .file("home/.config/git/config", "[a]b=xdg\n")
                .file("home/.gitconfig", "[a]b=home\n")
                .local("[a]b=local\n"),
        ),
        (
            "XDG_CONFIG_HOME",
            new()
                .var("XDG_CONFIG_HOME", "@@/xdg")
                .file("xdg/git/config", "[a]b=xdg\n")
                .file("home/.config/git/config", "[a]b=not read\n")
                .file("home/.gitconfig", "[a]b=home\n"),
        ),
        (
            "an empty XDG_CONFIG_HOME",
            new().var("XDG_CONFIG_HOME", "").file("home/.config/git/config", "[a]b=xdg\n"),
        ),
        (
            "GIT_CONFIG_GLOBAL",
            new()
                .var("GIT_CONFIG_GLOBAL", "@@/global")
                .file("global", "[a]b=global\n")
                .file("home/.gitconfig", "[a]b=not read\n"),
        ),
        (
            "GIT_CONFIG_GLOBAL is empty",
            new().var("GIT_CONFIG_GLOBAL", "").file("home/.gitconfig", "[a]b=not read\n"),
        ),
        (
            "GIT_CONFIG_NOSYSTEM",
            new().var("GIT_CONFIG_SYSTEM", "@@/system").file("system", "[a]b=1\n"),
        ),
        (
            "GIT_CONFIG_NOSYSTEM is false",
            new()
                .var("GIT_CONFIG_NOSYSTEM", "no")
                .var("GIT_CONFIG_SYSTEM", "@@/system")
                .file("system", "[a]b=1\n"),
        ),
        ("no HOME", new().without_var("HOME").file("home/.gitconfig", "[a]b=1\n")),
        (
            "GIT_CONFIG_COUNT",
            new()
                .var("GIT_CONFIG_COUNT", "2")
                .var("GIT_CONFIG_KEY_0", "A.Sub.B")
                .var("GIT_CONFIG_VALUE_0", " x\ny ")
                .var("GIT_CONFIG_KEY_1", "a.b")
                .var("GIT_CONFIG_VALUE_1", ""),
        ),
        ("an empty GIT_CONFIG_COUNT", new().var("GIT_CONFIG_COUNT", "")),
        (
            "GIT_CONFIG_PARAMETERS in both styles, behind GIT_CONFIG_COUNT",
            new()
                .var("GIT_CONFIG_PARAMETERS", r"'a.b=c=d' 'a.x=y.b'='it'\''s'\!''  'a.c'= 'a.d' 'a.e'=''")
                .var("GIT_CONFIG_COUNT", "1")
                .var("GIT_CONFIG_KEY_0", "a.z")
                .var("GIT_CONFIG_VALUE_0", "1"),
        ),
        (
            "includes",
            new()
                .local("[a]b=1\n[include]path = ../../one\npath=@@/two\npath=~/three\npath=/nonexistent\npath = none\n[a]b=2\n")
                .file("one", "[a]b=one\n[include]path=sub/four\n")
                .file("two", "[a]b=two\n")
                .file("home/three", "[a]b=three\n")
                .file("sub/four", "[a]b=four\n[include]path=../five\n")
                .file("five", "[a]b=five\n"),
        ),
        (
            "an include from the environment",
            new()
                .var("GIT_CONFIG_COUNT", "1")
                .var("GIT_CONFIG_KEY_0", "include.path")
                .var("GIT_CONFIG_VALUE_0", "@@/one")
                .file("one", "[a]b=one\n"),
        ),
        (
            "an include that is only nearly one",
            new()
                .local("[include \"x\"]path=@@/one\n[includeIf]path=@@/one\n[includeIf \"gitdir:/\"]paths=@@/one\n")
                .file("one", "[a]b=one\n"),
        ),
        ("includes ten deep", nested(10)),
        (
            "gitdir patterns",
            [
                "gitdir:@@/work/.git",
                "gitdir:@@/work/",
                "gitdir:@@/work",
                "gitdir:@@/**/.git",
                "gitdir:@@/*/.git",
                "gitdir:@@/*",
                "gitdir:work/",
                "gitdir:.git",
                "gitdir:WORK/",
                "gitdir/i:WORK/",
                "gitdir/i:@@/W[N-P]RK/.GIT",
                "gitdir:~/../work/",
                "gitdir:./work/",
                "gitdir:./",
                "gitdir:.",
                "gitdir:",
                "gitdir:/",
                "gitdir:w?rk/**",
                "gitdir:[!v]ork/",
                "gitdir:[",
                "GITDIR:work/",
                "worktree-unknown:x",
                "",
            ]
            .iter()
            .enumerate()
            .fold(new(), |sandbox, (index, pattern)| {
                sandbox
                    .file(&format!("c{index}"), format!("[hit]n={index}\n"))
                    .local(format!("[includeIf \"{pattern}\"]path=@@/c{index}\n"))
            }),
        ),
        (
            "gitdir relative to the including file",
            new()
                .file("home/.gitconfig", "[includeIf \"gitdir:./\"]path=no\n[include]path=@@/top\n")
                .file("home/no", "[hit]n=no\n")
                .file("top", "[includeIf \"gitdir:./work/\"]path=yes\n[includeIf \"gitdir/i:./WORK/.git\"]path=yes\n")
                .file("yes", "[hit]n=yes\n"),
        ),
        (
            "gitdir below a home that is a link",
            {
                let sandbox = new();
                std::os::unix::fs::symlink(sandbox.base(), sandbox.base().join("link")).expect("a link");
                sandbox
                    .var("HOME", "@@/link")
                    .file(".gitconfig", "[includeIf \"gitdir:~/work/\"]path=yes\n[includeIf \"gitdir:@@/link/work/\"]path=yes\n")
                    .file("yes", "[hit]n=yes\n")
            },
        ),
        (
            "onbranch patterns",
            ["main", "ma*", "other", "m/", "**", "[m]ain", "refs/heads/main"]
                .iter()
                .enumerate()
                .fold(new(), |sandbox, (index, pattern)| {
                    sandbox
                        .file(&format!("c{index}"), format!("[hit]n={index}\n"))
                        .local(format!("[includeIf \"onbranch:{pattern}\"]path=@@/c{index}\n"))
                }),
        ),
        (
            "onbranch with directories",
            ["feature/", "feature/*", "feature/**", "**/x", "*"]
                .iter()
                .enumerate()
                .fold(new(), |sandbox, (index, pattern)| {
                    sandbox
                        .file(&format!("c{index}"), format!("[hit]n={index}\n"))
                        .local(format!("[includeIf \"onbranch:{pattern}\"]path=@@/c{index}\n"))
                })
                .run(&["symbolic-ref", "HEAD", "refs/heads/feature/a/x"]),
        ),
        (
            "a branch that is a symbolic ref",
            new()
                .run(&["symbolic-ref", "refs/heads/main", "refs/heads/real"])
                .local("[includeIf \"onbranch:real\"]path=@@/c\n[includeIf \"onbranch:main\"]path=@@/c\n")
                .file("c", "[hit]n=1\n"),
        ),
        (
            "hasconfig",
            new()
                .file(
                    "home/.gitconfig",
                    "[includeIf \"hasconfig:remote.*.url:https://*.example.com/**\"]path=@@/a\n[includeIf \"hasconfig:remote.*.url:https://other/**\"]path=@@/b\n",
                )
                .file("a", "[hit]n=a\n[include]path=c\n")
                .file("b", "[hit]n=b\n")
                .file("c", "[hit]n=c\n")
                .local("[remote \"x\"]url=https://git.example.com/o/r\n"),
        ),
        (
            "hasconfig and a URL in a plain include",
            new()
                .file("home/.gitconfig", "[includeIf \"hasconfig:remote.*.url:h:*\"]path=@@/a\n")
                .file("a", "[hit]n=a\n")
                .file("remote", "[remote \"x\"]url=h:r\n")
                .local("[include]path=@@/remote\n"),
        ),
        (
            "config.worktree",
            new()
                .local("[extensions]worktreeConfig=true\n")
                .file("work/.git/config.worktree", "[a]b=worktree\n"),
        ),
        (
            "config.worktree without the extension",
            new().file("work/.git/config.worktree", "[a]b=worktree\n"),
        ),
        (
            "the extension by an include does not count",
            new()
                .local("[include]path=@@/x\n")
                .file("x", "[extensions]worktreeConfig=true\n")
                .file("work/.git/config.worktree", "[a]b=worktree\n"),
        ),
        (
            "a linked worktree",
            new()
                .local("[extensions]worktreeConfig\n[includeIf \"gitdir:worktrees/\"]path=@@/hit\n[includeIf \"onbranch:side\"]path=@@/hit\n")
                .in_linked_worktree()
                .file("hit", "[hit]n=1\n")
                .file("work/.git/config.worktree", "[a]b=main\n")
                .file("work/.git/worktrees/linked/config.worktree", "[a]b=linked\n"),
        ),
    ]
}

#[test]
fn entries_are_those_that_git_lists() {
    let set_ups = set_ups();
    for (name, sandbox) in &set_ups {
        assert_eq!(
            listing_of_daemon(&sandbox.config()),
            listing_of_git(sandbox),
            "{name}"
        );
    }
    assert!(set_ups.len() >= 25);
    report("set-ups of git's configuration", set_ups.len());
}

#[test]
fn a_file_that_git_refuses_is_a_local_failure_that_names_the_place() {
    let new = Sandbox::new;
    let cases = [
        (new().file("home/.gitconfig", "[a]\nb = \"c\n"), "line 2 in file"),
        (new().file("home/.gitconfig", "[a]\nb = \\x\n"), "line 2 in file"),
        (new().file("home/.gitconfig", "[a\nb=1\n"), "line 1 in file"),
        (new().file("home/.gitconfig", "[a]\n\n=1\n"), "line 3 in file"),
        (
            new().file("home/.gitconfig", "[a \"b\"]x=1\n[a \"b\n"),
            "line 2 in file",
        ),
        (new().file("home/.gitconfig", "[a_b]\n"), "line 1 in file"),
        (new().file("home/.gitconfig", "[a]\nb c\n"), "line 2 in file"),
        (new().file("home/.gitconfig", "[a]\nb_c = 1\n"), "line 2 in file"),
        (
            new().file("home/.gitconfig", b"\xef\xbb[a]b=1\n"),
            "line 1 in file",
        ),
        (new().file("home/.gitconfig", "[include]\npath\n"), "include.path"),
        (
            new().file("home/.gitconfig", "[include]\npath=~nobody-at-all/x\n"),
            "include.path",
        ),
        (new().file("home/.gitconfig", "[include]\npath=@@/home\n"), "home"),
        (
            new().file("home/.gitconfig", "[include]path=.gitconfig\n"),
            "circle",
        ),
        (new().var("GIT_CONFIG_COUNT", "1"), "GIT_CONFIG_KEY_0"),
        (new().var("GIT_CONFIG_COUNT", "one"), "GIT_CONFIG_COUNT"),
        (
            new().var("GIT_CONFIG_PARAMETERS", "a.b=c"),
            "GIT_CONFIG_PARAMETERS",
        ),
        (new().var("GIT_CONFIG_PARAMETERS", "'ab=c'"), "'ab'"),
        (
            new().var("GIT_CONFIG_PARAMETERS", "'include.path=relative'"),
            "absolute",
        ),
        (new().var("GIT_CONFIG_NOSYSTEM", "maybe"), "GIT_CONFIG_NOSYSTEM"),
        (
            new().local("[extensions]worktreeConfig=maybe\n"),
            "worktreeconfig",
        ),
        (
            new()
                .file(
                    "home/.gitconfig",
                    "[includeIf \"hasconfig:remote.*.url:x\"]path=@@/a\n",
                )
                .file("a", "[remote \"x\"]url=x\n"),
            "hasconfig",
        ),
        (
            new()
                .file(
                    "home/.gitconfig",
                    "[includeIf \"hasconfig:remote.*.url:x\"]path=@@/a\n",
                )
                .local("[includeIf \"gitdir:work/\"]path=@@/b\n")
                .file("b", "[remote \"x\"]url=x\n"),
            "hasconfig",
        ),
    ];
    for (sandbox, place) in &cases {
        let output = sandbox.output(&["config", "--list"]);
        assert!(!output.status.success(), "git took it: {place}");
        let failure =
            Config::load(&sandbox.env, &sandbox.common_dir, &sandbox.git_dir).expect_err("git refuses it");
        assert!(failure.message().contains(place), "{failure}, expected {place}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if place.starts_with("line ") {
            assert!(stderr.contains(place), "{stderr}, expected {place}");
        }
    }
    report("configurations refused by both", cases.len());
}

/// Many small files of random pieces of the syntax, the same at every run.
#[test]
fn random_files_are_read_or_refused_as_by_git() {
    const PIECES: [&str; 24] = [
        "[a]",
        "[a \"b\"]",
        "[a.b]",
        "[",
        "]",
        "\"",
        "\\",
        "\\n",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "=",
        " = ",
        " ",
        "\t",
        "#",
        ";",
        "key",
        "K",
        "1",
        "-",
        "é",
        "\\\"",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut taken = 0;
    let count = 400;
    let mut sandbox = Sandbox::new().var("GIT_CONFIG_GLOBAL", "@@/global");
    for _ in 0..count {
        let content: String = (0..random.usize(1..14))
            .map(|_| PIECES[random.usize(..PIECES.len())])
            .collect();
        // Half of them begin well, so that values are reached.
        let start = if random.bool() { "[s]\nk = " } else { "" };
        sandbox = sandbox.file("global", format!("{start}{content}"));
        let is_taken = sandbox.output(&["config", "--list"]).status.success();
        let gits = is_taken.then(|| listing_of_git(&sandbox));
        let by_daemon = Config::load(&sandbox.env, &sandbox.common_dir, &sandbox.git_dir)
            .ok()
            .map(|config| listing_of_daemon(&config));
        assert_eq!(by_daemon, gits, "{start}{content:?}");
        taken += usize::from(is_taken);
    }
    assert!(
        taken > count / 10 && taken < count,
        "{taken} of {count} were well-formed"
    );
    report("random files", count);
}

/// Every pattern of three pieces. The order of the entries shows which includes happen.
#[test]
fn patterns_match_as_gits_do() {
    const PIECES: [&str; 14] = [
        "*",
        "**",
        "?",
        "/",
        "a",
        "b",
        "[a-b]",
        "[!a]",
        "\\\\",
        "**/",
        "/**",
        "[[:alpha:]",
        "]",
        "-",
    ];
    let mut patterns = String::new();
    for first in PIECES {
        for second in PIECES {
            for third in PIECES {
                patterns.push_str("[includeIf \"hasconfig:remote.*.url:");
                patterns.extend([first, second, third, "\"]path=@@/hit\n"]);
            }
        }
    }
    let texts = [
        "a", "ab", "a/b", "/a", "a/", "b/a/b", "aab", "a//b", "-", "[:alpha:", "a-b", "aa/bb/ab",
    ];
    for text in texts {
        let sandbox = Sandbox::new()
            .local(format!("[remote \"x\"]url={text}\n{patterns}"))
            .file("hit", "[h]h\n");
        assert_eq!(
            listing_of_daemon(&sandbox.config()),
            listing_of_git(&sandbox),
            "{text}"
        );
    }
    report("pairs of pattern and text", PIECES.len().pow(3) * texts.len());
}
