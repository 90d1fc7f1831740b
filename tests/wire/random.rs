//! Pushes of random histories, and of those that the fuzzer keeps, to refs that move at random. The server checks every
//! object that comes, and at the end of each history the remote is checked as a whole. Every fourth history has commits
//! with headers that git itself does not write; after those, the remote is only checked for missing objects.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arbitrary::Unstructured;
use fastrand::Rng;
use git2::ObjectFormat;

use crate::bench::{Bench, Unpack, git, run};
use crate::corpus::inputs;
use crate::fuzz::histories::{Headers, History};

const HISTORIES: u64 = 110;
const PUSHES_PER_HISTORY: usize = 20;

#[test]
fn every_push_of_a_random_history_arrives_whole() {
    // RANDOM_HISTORY=<seed> repeats one history; RANDOM_HISTORIES=<number> runs more of them.
    let number = |variable: &str| -> Option<u64> {
        let value = std::env::var(variable).ok()?;
        Some(value.parse().expect("a number"))
    };
    let end = number("RANDOM_HISTORIES").unwrap_or(HISTORIES);
    let (first, end) = number("RANDOM_HISTORY").map_or((0, end), |seed| (seed, seed + 1));
    let next = AtomicU64::new(first);
    let pushes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let _print = PrintOnPanic(seed);
                    pushes.fetch_add(push_history(seed), Ordering::Relaxed);
                }
            });
        }
    });
    let pushes = pushes.into_inner();
    assert_eq!(
        pushes,
        usize::try_from(end - first).expect("few") * PUSHES_PER_HISTORY
    );
    #[expect(
        clippy::print_stderr,
        reason = "the extent of a random test is part of its result"
    )]
    {
        eprintln!("{pushes} pushes of random histories");
    }
}

/// Prints the seed of the history if its push panics.
struct PrintOnPanic(u64);

impl Drop for PrintOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "it is needed to run the history again")]
            {
                eprintln!("RANDOM_HISTORY={} failed", self.0);
            }
        }
    }
}

/// The length of a history's instructions. Once they are used up, every choice is the first one.
const INSTRUCTIONS: usize = 4096;

fn push_history(seed: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    let instructions: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(INSTRUCTIONS)
        .collect();
    let unpack = if seed.is_multiple_of(2) {
        Unpack::Loose
    } else {
        Unpack::Packed
    };
    let headers = if seed % 4 == 3 {
        Headers::Odd
    } else {
        Headers::Valid
    };
    push_along(
        &instructions,
        format_of(seed),
        unpack,
        headers,
        PUSHES_PER_HISTORY,
    )
}

/// Four histories with SHA-1 are followed by four with SHA-256.
const fn format_of(number: u64) -> ObjectFormat {
    if number % 8 < 4 {
        ObjectFormat::Sha1
    } else {
        ObjectFormat::Sha256
    }
}

/// Makes a history by instructions, and pushes it step by step.
fn push_along(
    instructions: &[u8],
    format: ObjectFormat,
    unpack: Unpack,
    headers: Headers,
    pushes: usize,
) -> usize {
    let checks = headers == Headers::Valid;
    let bench = Bench::of(format, unpack, checks);
    let mut input = Unstructured::new(instructions);
    let choose = |input: &mut Unstructured<'_>, limit: usize| input.int_in_range(0..=limit).unwrap_or(0);
    let mut history = History::new(&bench.store, headers);
    let mut tips: Vec<(String, git2::Oid)> = Vec::new();
    for _ in 0..pushes {
        for _ in 0..=choose(&mut input, 4) {
            history.commit(&mut input);
        }
        let count = history.commits.len();
        let back = match choose(&mut input, 4) {
            4 => choose(&mut input, count - 1),
            _ => choose(&mut input, count.min(4) - 1),
        };
        let tip = history.commits[count - 1 - back].0;
        let refname = format!("refs/heads/{}", choose(&mut input, 3));
        // A ref that already has the value needs no push.
        if tips.contains(&(refname.clone(), tip)) {
            bench.push_to(&format!("refs/heads/again-{}", tips.len()), tip);
        } else {
            bench.push_to(&refname, tip);
            tips.retain(|(name, _)| *name != refname);
            tips.push((refname, tip));
        }
    }
    for (refname, tip) in tips {
        assert_eq!(bench.remote_tip(&refname), Some(tip.to_string()));
    }
    if checks {
        bench.fsck();
    } else {
        // A full check would complain about the headers.
        run(git(&bench.remote).args(["fsck", "--connectivity-only", "--no-progress"]));
    }
    pushes
}

/// How many of the kept histories are pushed to a server. A push to a server takes a hundred times as long as the fuzz
/// target's check.
const KEPT_HISTORIES: usize = 24;

#[test]
fn histories_that_the_fuzzer_keeps_arrive_whole() {
    let inputs = inputs("histories");
    assert!(!inputs.is_empty());
    let step = inputs.len().div_ceil(KEPT_HISTORIES);
    for (number, input) in (0_u64..).zip(inputs.into_iter().step_by(step)) {
        let instructions = std::fs::read(&input).expect("readable");
        let (unpack, headers) = match number % 4 {
            0 => (Unpack::Loose, Headers::Valid),
            1 => (Unpack::Packed, Headers::Valid),
            2 => (Unpack::Loose, Headers::Odd),
            _ => (Unpack::Packed, Headers::Odd),
        };
        push_along(&instructions, format_of(number), unpack, headers, 3);
    }
}
