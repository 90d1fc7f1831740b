//! Pushes to a real `git receive-pack` that checks every object: the packs of special and of random
//! histories, and the exchange with hooks, refusals and malformed answers. Also checks the inputs that the fuzz targets keep.

mod bench;
mod corpus;
mod exchange;
#[path = "../../fuzz/src/lib.rs"]
#[expect(
    unreachable_pub,
    reason = "the fuzz targets, which share it, are crates of their own"
)]
mod fuzz;
mod histories;
mod random;
