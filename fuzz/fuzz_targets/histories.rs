//! `cargo fuzz run histories`: the properties are in `src/histories/mod.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::histories::check(data));
