//! `cargo fuzz run url`: the properties are in `src/url.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::url::check(data));
