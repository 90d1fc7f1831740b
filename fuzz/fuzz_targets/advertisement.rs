//! `cargo fuzz run advertisement`: the properties are in `src/advertisement.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::advertisement::check(data));
