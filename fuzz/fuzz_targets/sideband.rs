//! `cargo fuzz run sideband`: the properties are in `src/sideband.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::sideband::check(data));
