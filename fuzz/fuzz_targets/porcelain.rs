//! `cargo fuzz run porcelain`: the properties are in `src/porcelain.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::porcelain::check(data));
