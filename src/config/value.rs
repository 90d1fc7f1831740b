//! What a value means: git's words for true and false, its numbers, its paths.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::environment::Environment;

/// git's bool; `None` where git would refuse the word. A key without a value is true, an empty one false.
pub(super) fn parse_bool(value: Option<&str>) -> Option<bool> {
    let Some(value) = value else {
        return Some(true);
    };
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is_one_of(["true", "yes", "on"]) {
        Some(true)
    } else if value.is_empty() || is_one_of(["false", "no", "off"]) {
        Some(false)
    } else {
        let number = i32::try_from(parse_int(value)?).ok()?;
        Some(number != 0)
    }
}

/// git's integer: C's notation (`0x` hexadecimal, a leading 0 octal) with a suffix k, m or g.
pub(super) fn parse_int(value: &str) -> Option<i64> {
    let text = value.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, text) = match text.as_bytes() {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let end = text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let factor = match suffix {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let signed = if is_negative { -magnitude } else { magnitude };
    i64::try_from(signed * factor).ok()
}

/// What the expansion of a path needs to know.
#[derive(Clone, Default)]
pub(super) struct Expansion {
    home: Option<OsString>,
    prefix: PathBuf,
}

impl Expansion {
    pub(super) fn new(env: &Environment) -> Self {
        Self {
            home: env.get_os("HOME").map(OsStr::to_os_string),
            prefix: installation_prefix(env),
        }
    }

    /// The system's file for this installation: git's Makefile puts it in `/etc` for the prefix `/usr`, else in
    /// `etc` under the prefix.
    pub(super) fn system_file(&self) -> PathBuf {
        if self.prefix == Path::new("/usr") {
            PathBuf::from("/etc/gitconfig")
        } else {
            self.prefix.join("etc/gitconfig")
        }
    }

    /// Expands `~/`, `~user/` and `%(prefix)/` at the start of a path; `None` where the home is not known.
    pub(super) fn expand(&self, path: &str) -> Option<PathBuf> {
        self.expand_with(path, OsStr::to_os_string)
    }

    /// The same with symbolic links in `~` resolved, as the patterns of `includeIf` need it.
    pub(super) fn expand_real(&self, path: &str) -> Option<PathBuf> {
        self.expand_with(path, |home| {
            fs::canonicalize(home).map_or_else(|_| home.to_os_string(), PathBuf::into_os_string)
        })
    }

    fn expand_with(&self, path: &str, own_home: impl Fn(&OsStr) -> OsString) -> Option<PathBuf> {
        if let Some(rest) = path.strip_prefix("%(prefix)/") {
            return Some(self.prefix.join(rest));
        }
        let Some(rest) = path.strip_prefix('~') else {
            return Some(PathBuf::from(path));
        };
        let (user, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut expanded = if user.is_empty() {
            own_home(self.home.as_deref()?)
        } else {
            home_of(user)?.into()
        };
        expanded.push(rest);
        Some(PathBuf::from(expanded))
    }
}

/// A user's home by `/etc/passwd`. Users known only to a network service are not found.
fn home_of(user: &str) -> Option<String> {
    let passwd = fs::read(Path::new("/etc/passwd")).ok()?;
    String::from_utf8_lossy(&passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(4).map(str::to_owned))?
    })
}

/// The directory above the `bin` of the first `git` in `PATH`; `/usr` if there is none. Symbolic links are not
/// resolved: where they matter (Homebrew), the configuration is beside the link.
fn installation_prefix(env: &Environment) -> PathBuf {
    let search = env.get_os("PATH").unwrap_or_default();
    std::env::split_paths(search)
        .filter(|directory| directory.is_absolute())
        .find(|directory| directory.join("git").is_file())
        .and_then(|directory| directory.parent().map(Path::to_path_buf))
        .filter(|prefix| prefix != Path::new("/"))
        .unwrap_or_else(|| PathBuf::from("/usr"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bools_are_gits_words_and_numbers() {
        for (value, expected) in [
            (None, Some(true)),
            (Some(""), Some(false)),
            (Some("TRUE"), Some(true)),
            (Some("On"), Some(true)),
            (Some("no"), Some(false)),
            (Some("0"), Some(false)),
            (Some("-1"), Some(true)),
            (Some("1k"), Some(true)),
            (Some("3g"), None),
            (Some("maybe"), None),
            (Some(" true"), None),
        ] {
            assert_eq!(parse_bool(value), expected, "{value:?}");
        }
    }

    #[test]
    fn integers_have_cs_notation_and_a_suffix() {
        for (value, expected) in [
            ("10", Some(10)),
            ("+1k", Some(1024)),
            ("-2M", Some(-2 << 20)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("9g", Some(9 << 30)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775807k", None),
            ("", None),
            ("k", None),
            ("1 k", None),
            ("1.5", None),
            ("08", None),
        ] {
            assert_eq!(parse_int(value), expected, "{value:?}");
        }
    }

    #[test]
    fn home_directories_are_expanded_only_at_the_start() {
        let expansion = Expansion::new(&Environment::default().with("HOME", "/home/me"));
        let expand = |path| expansion.expand(path).map(|path| path.display().to_string());
        assert_eq!(expand("~").as_deref(), Some("/home/me"));
        assert_eq!(expand("~/a").as_deref(), Some("/home/me/a"));
        assert_eq!(expand("/x/~/a").as_deref(), Some("/x/~/a"));
        assert_eq!(
            expand("~root/a").as_deref(),
            home_of("root").map(|home| home + "/a").as_deref()
        );
        assert_eq!(expand("~no-such-user/a"), None);
        assert_eq!(expand("%(prefix)/share").as_deref(), Some("/usr/share"));
        assert_eq!(Expansion::default().expand("~/a"), None);
    }

    #[test]
    fn the_system_file_belongs_to_the_first_git_in_the_path() {
        let opt = tempfile::tempdir().expect("a directory");
        let bin = opt.path().join("bin");
        fs::create_dir(&bin).expect("bin");
        let search = std::env::join_paths([Path::new("/nonexistent"), &bin]).expect("no colon");
        let env = Environment::default().with("PATH", search);
        assert_eq!(Expansion::new(&env).system_file(), Path::new("/etc/gitconfig"));
        fs::write(bin.join("git"), "").expect("git");
        assert_eq!(
            Expansion::new(&env).system_file(),
            opt.path().join("etc/gitconfig")
        );
    }
}
