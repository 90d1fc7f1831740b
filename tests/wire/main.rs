//! Pushes to a real `git receive-pack` that checks every object: the packs of special and of random
//! histories, and the exchange with hooks, refusals and nonsense.

mod bench;
mod exchange;
mod histories;
mod random;
