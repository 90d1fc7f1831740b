//! The pack of a few commits in a row, made before anybody knows what else the remote has.

use git_push_daemon::failure::Failure;
use git_push_daemon::oid::Oid;
use git_push_daemon::pack::{PackRequest, PackStats, RecentTrees, stream_chain, stream_pack};
use tokio::sync::mpsc;

use crate::bench::{Bench, Dir, Unpack, oid};

/// Room for any pack here: nobody takes it away while it is made.
const PIECES: usize = 64;

fn all_of(mut pieces: mpsc::Receiver<Result<bytes::Bytes, Failure>>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.blocking_recv() {
        all.extend_from_slice(&piece.expect("a piece"));
    }
    all
}

/// The pack from `base` to `tip`, the commits that were named, and what is said of it.
fn chain(bench: &Bench, base: git2::Oid, tip: git2::Oid) -> (Vec<u8>, Vec<Oid>, Option<PackStats>) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let mut named = Vec::new();
    let ends = (oid(base), oid(tip));
    let stats = stream_chain(&bench.local, ends, &RecentTrees::default(), sender, |commits| {
        named = commits;
        true
    });
    (all_of(receiver), named, stats.expect("readable"))
}

#[test]
fn it_is_the_pack_that_a_remote_at_its_base_gets() {
    let bench = Bench::new(Unpack::Loose);
    let mut files = Dir::default();
    files.set("a", bench.file("1"));
    let base = bench.commit(&files, &[]);
    files.set("a", bench.file("2"));
    let middle = bench.commit(&files, &[base]);
    files.set("b/c", bench.file("3"));
    let tip = bench.commit(&files, &[middle]);

    let (pack, named, stats) = chain(&bench, base, tip);
    assert_eq!(named, [oid(middle), oid(tip)]);
    let request = PackRequest {
        tip: oid(tip),
        remote_has: vec![oid(base)],
    };
    let (sender, receiver) = mpsc::channel(PIECES);
    let expected = stream_pack(&bench.local, &request, &RecentTrees::default(), sender);
    assert_eq!(stats, Some(expected.expect("readable")));
    assert_eq!(pack, all_of(receiver));
}

#[test]
fn where_no_commits_in_a_row_lead_on_there_is_none() {
    let bench = Bench::new(Unpack::Loose);
    let mut files = Dir::default();
    let base = bench.commit(&files, &[]);
    files.set("a", bench.file("1"));
    let one = bench.commit(&files, &[base]);
    let other = bench.commit(&Dir::default(), &[base]);
    let merge = bench.commit(&files, &[one, other]);
    let root = bench.commit(&files, &[]);
    for (from, to) in [(base, merge), (one, base), (one, other), (base, root)] {
        let (pack, named, stats) = chain(&bench, from, to);
        assert_eq!((pack.len(), named.len(), stats), (0, 0, None), "{from} to {to}");
    }
}

#[test]
fn it_ends_where_it_is_not_wanted() {
    let bench = Bench::new(Unpack::Loose);
    let mut files = Dir::default();
    let base = bench.commit(&files, &[]);
    files.set("a", bench.file("1"));
    let tip = bench.commit(&files, &[base]);
    let (sender, receiver) = mpsc::channel(PIECES);
    let ends = (oid(base), oid(tip));
    let made = stream_chain(&bench.local, ends, &RecentTrees::default(), sender, |_| false);
    assert_eq!(made.expect("readable"), None);
    assert!(all_of(receiver).is_empty());
}
