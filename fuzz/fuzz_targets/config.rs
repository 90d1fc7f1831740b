//! `cargo fuzz run config`: the properties are in `src/config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::config::check(data));
