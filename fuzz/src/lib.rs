//! What must hold for any input: the properties that the fuzz targets try to break, one module for each target.
//!
//! Each module has a `check`, which panics if the property does not hold. The targets in `fuzz_targets` call it with the
//! inputs of libFuzzer. `tests/wire/corpus.rs` includes this file and calls it with the corpus and with every input that once
//! failed, on stable Rust and without a fuzzer.

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
