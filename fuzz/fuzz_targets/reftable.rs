//! `cargo fuzz run reftable`: the properties are in `src/reftable/mod.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::reftable::check(data));
