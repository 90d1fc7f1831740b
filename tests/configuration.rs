//! Runs the readers of git's configuration and of its URLs side by side with the real git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use git_push_daemon::config::{Config, Environment, Scope};
use tempfile::TempDir;

/// A home, a repository and an environment of their own.
struct Sandbox {
    root: TempDir,
    env: Environment,
    /// Where git runs, and what it then takes for its directories.
    work_dir: PathBuf,
    common_dir: PathBuf,
    git_dir: PathBuf,
}

impl Sandbox {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        // git shows resolved paths, and the temporary directory may be behind a symbolic link.
        let base = fs::canonicalize(root.path()).expect("it exists");
        let work_dir = base.join("work");
        let git_dir = work_dir.join(".git");
        fs::create_dir(base.join("home")).expect("home");
        let env = Environment::default()
            .with("PATH", std::env::var_os("PATH").unwrap_or_default())
            .with("HOME", base.join("home"))
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("LC_ALL", "C");
        let sandbox = Self {
            root,
            env,
            common_dir: git_dir.clone(),
            git_dir,
            work_dir: base.clone(),
        };
        sandbox.git(&["init", "--quiet", "--initial-branch=main", "--template=", "work"]);
        Self { work_dir, ..sandbox }
    }

    fn base(&self) -> PathBuf {
        fs::canonicalize(self.root.path()).expect("it exists")
    }

    /// Writes a file, in which `@` followed by `/` stands for the sandbox's own directory.
    fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.base().join(path);
        fs::create_dir_all(path.parent().expect("not the root")).expect("directories");
        fs::write(path, self.localised(content.as_ref())).expect("writable");
        self
    }

    fn localised(&self, content: &[u8]) -> Vec<u8> {
        let marker = b"@@";
        let mut localised = Vec::new();
        let mut rest = content;
        while let Some(at) = rest.windows(marker.len()).position(|window| window == marker) {
            localised.extend(&rest[..at]);
            localised.extend(self.base().as_os_str().as_encoded_bytes());
            rest = &rest[at + marker.len()..];
        }
        localised.extend(rest);
        localised
    }

    /// Adds to the repository's own configuration.
    fn local(self, content: impl AsRef<[u8]>) -> Self {
        let path = self.common_dir.join("config");
        let mut whole = fs::read(&path).expect("git init wrote it");
        whole.extend(self.localised(content.as_ref()));
        fs::write(path, whole).expect("writable");
        self
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        let value = String::from_utf8(self.localised(value.as_bytes())).expect("text");
        self.env = self.env.with(name, value);
        self
    }

    fn without_var(mut self, name: &str) -> Self {
        self.env = self.env.without(name);
        self
    }

    fn run(self, args: &[&str]) -> Self {
        self.git(args);
        self
    }

    /// Goes into a linked worktree on a branch of its own.
    fn in_linked_worktree(mut self) -> Self {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        self.git(
            &[
                &identity[..],
                &["commit", "--quiet", "--allow-empty", "--message=x"],
            ]
            .concat(),
        );
        self.git(&["worktree", "add", "--quiet", "-b", "side", "../linked"]);
        self.git_dir = self.common_dir.join("worktrees/linked");
        self.work_dir = self.base().join("linked");
        self
    }

    fn output(&self, args: &[&str]) -> Output {
        Command::new("git")
            .args(args)
            .current_dir(&self.work_dir)
            .env_clear()
            .envs(self.env.iter())
            .output()
            .expect("git is installed")
    }

    fn git(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn config(&self) -> Config {
        Config::load(&self.env, &self.common_dir, &self.git_dir).expect("git takes it as well")
    }
}

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

fn listing_of_ours(config: &Config) -> Listing {
    config
        .entries()
        .iter()
        .map(|entry| {
            (
                entry.origin().scope().to_string(),
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
            listing_of_ours(&sandbox.config()),
            listing_of_git(sandbox),
            "{name}"
        );
    }
    assert!(set_ups.len() >= 25);
    report("set-ups of git's configuration", set_ups.len());
}

#[test]
fn what_git_refuses_to_read_is_a_local_failure_that_names_the_place() {
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
            "worktreeConfig",
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
        let said = sandbox.output(&["config", "--list"]);
        assert!(!said.status.success(), "git took it: {place}");
        let failure =
            Config::load(&sandbox.env, &sandbox.common_dir, &sandbox.git_dir).expect_err("git refuses it");
        assert!(failure.message().contains(place), "{failure}, expected {place}");
        let gits_words = String::from_utf8_lossy(&said.stderr).into_owned();
        if place.starts_with("line ") {
            assert!(gits_words.contains(place), "{gits_words}, expected {place}");
        }
    }
    report("configurations refused by both", cases.len());
}

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
        let gits = sandbox.git(&["config", "--get", "--type=path", "a.b"]);
        assert_eq!(path, Path::new(gits.trim_end_matches('\n')), "{value}");
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
        .collect();
    let reversed: String = patterns
        .iter()
        .rev()
        .map(|pattern| format!("[http \"{pattern}\"]Key = {pattern}\n"))
        .collect();
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
            let gits = output.status.success().then(|| {
                String::from_utf8_lossy(&output.stdout)
                    .trim_end_matches('\n')
                    .to_owned()
            });
            let ours = config
                .url_match("http", "key", url)
                .map(|entry| entry.value().unwrap_or_default().to_owned());
            assert_eq!(ours, gits, "{url}");
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
    assert_eq!(entry.origin().scope(), Scope::Local);
    assert_eq!(entry.origin().file(), Some(&*sandbox.common_dir.join("config")));
}

#[expect(
    clippy::print_stderr,
    reason = "how many combinations ran is part of the result"
)]
fn report(what: &str, count: usize) {
    eprintln!("compared with git: {count} {what}");
}
