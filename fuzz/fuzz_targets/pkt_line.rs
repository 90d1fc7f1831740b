//! `cargo fuzz run pkt_line`: the properties are in `src/pkt_line.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| git_push_daemon_fuzz::pkt_line::check(data));
