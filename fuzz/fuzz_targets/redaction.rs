//! `cargo fuzz run redaction`: the properties are in `src/redaction.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::redaction::check(data));
