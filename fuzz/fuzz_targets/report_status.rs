//! `cargo fuzz run report_status`: the properties are in `src/report_status.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::report_status::check(data));
