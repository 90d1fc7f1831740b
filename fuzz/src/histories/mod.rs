//! The pack of any history contains every object that the remote lacks, unchanged, and none that it has.
//!
//! A strict reader of the format reads the pack, because a server takes some ten milliseconds for a push. `tests/wire` pushes
//! the same kind of histories to `git receive-pack`.

mod dir;
mod history;
mod reachable;
mod received;
mod store;

use std::cell::RefCell;
use std::collections::HashSet;

use arbitrary::Unstructured;
use git_local::pack::{PackRequest, write_pack};
use git_wire::oid::Oid;
use git2::{ObjectFormat, ObjectType, Repository, RepositoryInitOptions};
use tempfile::TempDir;

pub use dir::{Dir, Node};
use history::up_to;
pub use history::{Headers, History};
use reachable::{parents, reach};
use received::receive;
pub use store::{Store, Stored, id_length};

/// How many objects a repository may have before a new one is made, to limit the memory.
const MANY: usize = 20_000;

/// A repository that holds the histories of many inputs.
struct Place {
    repository: Repository,
    store: Store,
    _directory: TempDir,
}

impl Place {
    fn new(format: ObjectFormat) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = RepositoryInitOptions::new();
        options.bare(true).object_format(format);
        let repository = Repository::init_opts(directory.path(), &options).expect("a repository");
        Self {
            store: Store::new(&repository),
            repository,
            _directory: directory,
        }
    }
}

thread_local! {
    static PLACES: RefCell<[Option<Place>; 2]> = const { RefCell::new([None, None]) };
}

/// The input determines the commits, which of them the remote has, and which are pushed. It is checked with SHA-1 and with
/// SHA-256.
///
/// # Panics
///
/// If the property does not hold.
pub fn check(input: &[u8]) {
    PLACES.with_borrow_mut(|places| {
        for (place, format) in places.iter_mut().zip([ObjectFormat::Sha1, ObjectFormat::Sha256]) {
            if place.as_ref().is_none_or(|place| place.store.len() > MANY) {
                *place = Some(Place::new(format));
            }
            check_in(place.as_ref().expect("just made"), &mut Unstructured::new(input));
        }
    });
}

fn check_in(place: &Place, input: &mut Unstructured<'_>) {
    let headers = match up_to(input, 1) {
        0 => Headers::Valid,
        _ => Headers::Odd,
    };
    let mut history = History::new(&place.store, headers);
    let mut advertised = Vec::new();
    for _ in 0..=up_to(input, 2) {
        for _ in 0..=up_to(input, 5) {
            history.commit(input);
        }
        for _ in 0..up_to(input, 2) {
            advertised.push(something(&history, &place.store, input));
        }
        let commits = &history.commits;
        let tip = commits[commits.len() - 1 - up_to(input, commits.len() - 1)].0;
        let lost = (up_to(input, 15) == 15).then(|| commits[up_to(input, commits.len() - 1)].0);
        push(place, tip, &advertised, lost);
        advertised.push(tip);
    }
}

/// An id that a remote may advertise: most often a local commit, else a missing commit, a tag or a tree.
fn something(history: &History<'_>, store: &Store, input: &mut Unstructured<'_>) -> git2::Oid {
    let (commit, files) = &history.commits[up_to(input, history.commits.len() - 1)];
    match up_to(input, 7) {
        5 => git2::Oid::from_bytes(&[7; 32][..id_length(store.format)]).expect("an id"),
        6 => {
            let tag =
                format!("object {commit}\ntype commit\ntag v1\ntagger A <a@example.org> 0 +0000\n\nv1\n");
            store.write(ObjectType::Tag, tag.as_bytes())
        }
        7 => files.write(store),
        _ => *commit,
    }
}

/// Whether neither a merge nor a root lies between a tip and an advertised commit.
fn is_chain(store: &Store, tip: git2::Oid, advertised: &[git2::Oid]) -> bool {
    let mut oid = tip;
    while !advertised.contains(&oid) {
        match parents(store.format, &store.get(oid).expect("it was written"))[..] {
            [parent] => oid = parent,
            _ => return false,
        }
    }
    true
}

/// Makes the pack as a push does, and checks it against the objects of the remote. The local repository lacks the commit
/// `lost`: the pack must then be complete without it, or fail.
fn push(place: &Place, tip: git2::Oid, advertised: &[git2::Oid], lost: Option<git2::Oid>) {
    let store = &place.store;
    let mut on_remote = HashSet::new();
    for &oid in advertised.iter().filter(|&&oid| store.get(oid).is_some()) {
        reach(store, oid, &mut on_remote);
    }
    let request = PackRequest {
        tip: wire_oid(tip),
        remote_has: advertised.iter().map(|&oid| wire_oid(oid)).collect(),
        leave_out_missing: false,
    };
    let mut pack = Vec::new();
    let made = match lost {
        None => write_pack(&place.repository, &request, &mut pack),
        Some(lost) => {
            store.lose(lost);
            // A new handle, because the old one may have cached the commit.
            let repository = Repository::open(place.repository.path()).expect("a repository");
            let made = write_pack(&repository, &request, &mut pack);
            store.restore(lost);
            made
        }
    };
    let stats = match made {
        Ok(stats) => stats,
        Err(failure) => {
            assert!(lost.is_some(), "{failure}");
            return;
        }
    };

    let on_remote_before = |oid| store.get(oid).filter(|_| on_remote.contains(&oid));
    let received = receive(&pack, store.format, on_remote_before).objects;
    // A chain down to a tip of the remote is sent without reading the remote's other tips.
    let is_chain = is_chain(store, tip, advertised);
    let mut commits = 0;
    for (oid, object) in &received {
        assert_eq!(
            store.get(*oid).as_ref(),
            Some(object),
            "{oid} is as it was written"
        );
        if object.kind == ObjectType::Commit {
            commits += 1;
            assert!(
                !on_remote.contains(oid) || is_chain || lost.is_some(),
                "{oid} is on the remote"
            );
        }
    }
    assert_eq!(
        (stats.commits, stats.objects, stats.bytes),
        (commits, received.len(), pack.len() as u64)
    );
    let mut needed = HashSet::new();
    reach(store, tip, &mut needed);
    let sent: HashSet<git2::Oid> = received.iter().map(|(oid, _)| *oid).collect();
    for oid in &needed {
        assert!(
            sent.contains(oid) || on_remote.contains(oid),
            "{oid} is missing on the remote"
        );
    }
    assert!(
        sent.is_subset(&needed),
        "nothing is sent that does not belong to the tip"
    );
}

fn wire_oid(oid: git2::Oid) -> Oid {
    Oid::from_bytes(oid.as_bytes()).expect("an id")
}
