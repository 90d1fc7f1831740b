//! The inputs that the fuzz targets keep: a minimal set that covers all code that was ever reached, and the inputs that once
//! failed. The tests check the properties of the targets with them, on stable Rust and without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fuzz;

/// The name of a target, and its property.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 10] = [
    ("advertisement", fuzz::advertisement::check),
    ("config", fuzz::config::check),
    ("histories", fuzz::histories::check),
    ("pkt_line", fuzz::pkt_line::check),
    ("porcelain", fuzz::porcelain::check),
    ("redaction", fuzz::redaction::check),
    ("reftable", fuzz::reftable::check),
    ("report_status", fuzz::report_status::check),
    ("sideband", fuzz::sideband::check),
    ("url", fuzz::url::check),
];

fn files_in(kept: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(kept)
        .join(target);
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    files.sort();
    files
}

/// The inputs that a target keeps.
pub(crate) fn inputs(target: &str) -> Vec<PathBuf> {
    [files_in("corpus", target), files_in("regressions", target)].concat()
}

/// Prints the path of the input if its check panics.
struct PrintOnPanic(PathBuf);

impl Drop for PrintOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the path is needed to reproduce the failure")]
            {
                eprintln!("{} failed", self.0.display());
            }
        }
    }
}

#[test]
fn every_fuzz_target_is_listed() {
    let targets = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets"));
    let mut targets: Vec<String> = targets
        .expect("the targets")
        .filter_map(|file| {
            let name = file.expect("readable").file_name();
            name.to_str()?.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    targets.sort();
    assert_eq!(targets, TARGETS.map(|(name, _)| name));
}

#[test]
fn every_kept_input_passes_its_check() {
    for (target, check) in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let content = fs::read(&input).expect("readable");
            let _print = PrintOnPanic(input);
            check(&content);
        }
    }
}
