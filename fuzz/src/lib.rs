//! What must hold for any input: the properties that the fuzz targets try to break, one module for each target.
//!
//! Each has a `check` that panics where its property does not hold. The targets in `fuzz_targets` hand it what libFuzzer
//! makes up; `tests/wire/corpus.rs`, which includes this file, hands it the corpus and all that was ever found, on stable
//! Rust and without a fuzzer.

pub mod advertisement;
pub mod config;
pub mod histories;
pub mod pkt_line;
pub mod porcelain;
pub mod redaction;
pub mod reftable;
pub mod report_status;
pub mod sideband;
mod stream;
pub mod url;
