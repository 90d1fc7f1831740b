//! Divides a large push into steps: fast-forwards along the chain of first parents, each with what it merges.
//!
//! How large a pack will be is known only once it is made, so the size of its objects stands for it: a pack is hardly ever
//! larger. Sizes are read without the objects where their storage allows that.

use std::collections::HashMap;

use git_wire::oid::Oid;
use git2::ObjectType;

use super::enumerate::{Enumeration, Listed};
use super::objects::Objects;
use super::{PackRequest, tree};
use crate::LocalError;
use crate::repository::ObjectStore;

/// Commits of the chain whose history is read at once, the first time; each further time twice as many.
const WINDOW: usize = 64;

/// What an object takes in a pack besides its content: its header, and the name of its base.
const OVERHEAD: u64 = 32;

/// A new version of a tree is sent as what has changed in it, a small part of its entries.
const CHANGED_PART_OF_TREE: u64 = 16;

/// A part of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The commit to which it moves the branch.
    pub tip: Oid,
    /// About the size of its pack in bytes.
    pub bytes: u64,
    /// How many commits of the chain it takes.
    pub length: usize,
    /// Its largest object, and about the bytes that this takes.
    pub largest: Option<(u64, Oid)>,
}

impl Step {
    /// The longest step along `chain` whose pack has at most about `most` bytes; but at least one commit of the chain, however
    /// large. `None` if the chain is empty.
    ///
    /// # Errors
    ///
    /// If an object is missing or damaged, or the step `is_wanted` no longer, which is asked before each commit is read.
    pub fn longest(
        store: impl Into<ObjectStore>,
        chain: &[Oid],
        request: &PackRequest,
        most: u64,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Option<Self>, LocalError> {
        let Some((&first, &last)) = chain.first().zip(chain.last()) else {
            return Ok(None);
        };
        let mut objects = Objects::new(store.into());
        let mut enumeration = Enumeration::new(request.leave_out_missing);
        let mut listed = Vec::new();
        let mut remote_has = request.remote_has.clone();
        let mut step = Self {
            tip: first,
            bytes: 0,
            length: 0,
            largest: None,
        };
        let mut next = step;
        let (mut from, mut window) = (0, WINDOW);
        while from < chain.len() {
            let to = (from + window).min(chain.len());
            let places: HashMap<Oid, usize> = (from..to).map(|at| (chain[at], at)).collect();
            // Side histories come before the commit that merges them, so each commit of the chain ends its part.
            for commit in objects.missing_commits(chain[to - 1], &remote_has)? {
                if !is_wanted() {
                    return Err(LocalError::new("the step was cancelled"));
                }
                listed.clear();
                enumeration.list_commit(&mut objects, &commit, &mut listed)?;
                for object in &listed {
                    let bytes = about(&mut objects, object)?;
                    next.bytes += bytes;
                    if next.largest.is_none_or(|(largest, _)| largest < bytes) {
                        next.largest = Some((bytes, object.oid));
                    }
                }
                if next.bytes > most && step.length > 0 {
                    return Ok(Some(step));
                }
                // A commit that the remote has on another branch is not listed.
                if let Some(at) = places.get(&commit.oid) {
                    next.tip = commit.oid;
                    next.length = at + 1;
                    step = next;
                }
            }
            remote_has.push(chain[to - 1]);
            (from, window) = (to, window * 2);
        }
        Ok(Some(Self {
            tip: last,
            length: chain.len(),
            ..next
        }))
    }
}

/// About the bytes that an object takes in a pack.
pub(super) fn about(objects: &mut Objects, listed: &Listed) -> Result<u64, LocalError> {
    let (bytes, kind) = objects.about(listed.oid)?;
    let sent = match kind {
        Some(ObjectType::Tree) if listed.base.is_some() => bytes / CHANGED_PART_OF_TREE,
        _ => bytes,
    };
    Ok(sent + OVERHEAD)
}

/// An object of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Where it is in the commit; `None` if it is no file or directory of it.
    pub path: Option<String>,
    /// The size of its content in bytes.
    pub size: u64,
}

impl Described {
    /// Describes an object.
    ///
    /// # Errors
    ///
    /// If it, or a tree, is missing or damaged.
    pub fn find(store: impl Into<ObjectStore>, commit: Oid, wanted: Oid) -> Result<Self, LocalError> {
        let mut objects = Objects::new(store.into());
        let (size, _) = objects.header(wanted)?;
        let mut described = Self {
            path: None,
            size: size as u64,
        };
        let root = objects.tree_of(commit)?.map(|root| (root, String::new()));
        let mut pending: Vec<(Oid, String)> = root.into_iter().collect();
        while let Some((oid, path)) = pending.pop() {
            let tree = objects.read(oid)?;
            for entry in tree::parse(&tree.data, oid.format()).unwrap_or_default() {
                let path = format!("{path}{}", String::from_utf8_lossy(entry.name));
                if entry.oid == wanted {
                    described.path = Some(path);
                    return Ok(described);
                }
                if entry.kind == tree::EntryKind::Tree {
                    pending.push((entry.oid, path + "/"));
                }
            }
        }
        Ok(described)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::pack::write_pack;
    use crate::repository::testing::Sandbox;

    /// Commits a file of so many bytes that cannot be compressed, below the size of an entry.
    fn commit(sandbox: &Sandbox, work: &Path, name: &str, size: usize) -> Oid {
        let path = work.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("creates");
        let content: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(size).collect();
        fs::write(path, content).expect("writes");
        sandbox.git(work, &["add", "."]);
        sandbox.commit(work, name)
    }

    fn request(tip: Oid, remote_has: &[Oid]) -> PackRequest {
        PackRequest {
            tip,
            remote_has: remote_has.to_vec(),
            leave_out_missing: false,
        }
    }

    #[test]
    fn steps_are_as_long_as_their_size_allows_and_their_packs_hold_everything_once() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        for number in 0..10 {
            commit(&sandbox, &work, &format!("files/{number}"), 10_000);
        }
        sandbox.git(&work, &["checkout", "-q", "-b", "side", "main~5"]);
        for number in 0..3 {
            commit(&sandbox, &work, &format!("side/{number}"), 10_000);
        }
        sandbox.git(&work, &["checkout", "-q", "main"]);
        sandbox.git(&work, &["merge", "-q", "-m", "merge", "side"]);
        let tip = commit(&sandbox, &work, "last", 50_000);
        let repository = sandbox.open(&work);
        let all = write_pack(repository.objects(), &request(tip, &[]), &mut Vec::new()).expect("made");

        let chain = repository.chain(tip, None).expect("readable");
        let (mut at, mut lengths, mut objects) = (None, Vec::new(), 0);
        while at != Some(tip) {
            let has: Vec<Oid> = at.into_iter().collect();
            let request = request(tip, &has);
            let step = Step::longest(repository.objects(), chain.after(at), &request, 25_000, || true)
                .expect("readable")
                .expect("a step");
            let request = PackRequest {
                tip: step.tip,
                ..request
            };
            let made = write_pack(repository.objects(), &request, &mut Vec::new()).expect("made");
            assert!(made.bytes <= step.bytes, "{made:?} {step:?}");
            assert!(step.bytes <= 25_000 || step.length == 1, "{step:?}");
            lengths.push(step.length);
            objects += made.objects;
            at = Some(step.tip);
        }
        // Ten commits; the merge with three others; a large one.
        assert_eq!(lengths, [2, 2, 2, 2, 2, 1, 1]);
        assert_eq!(objects, all.objects);
    }

    #[test]
    fn a_step_reaches_the_tip_if_its_size_allows_however_long_the_chain_is() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let mut tips = Vec::new();
        for number in 0..WINDOW * 3 + 5 {
            tips.push(sandbox.commit(&work, &number.to_string()));
        }
        let tip = tips[tips.len() - 1];
        let repository = sandbox.open(&work);
        let chain = repository.chain(tip, Some(tips[2])).expect("readable");
        let request = request(tip, &[tips[2]]);
        let whole = Step::longest(
            repository.objects(),
            chain.after(Some(tips[2])),
            &request,
            u64::MAX,
            || true,
        );
        let whole = whole.expect("readable").expect("a step");
        assert_eq!((whole.tip, whole.length), (tip, tips.len() - 3));
        let half = Step::longest(
            repository.objects(),
            chain.after(None),
            &request,
            whole.bytes / 2,
            || true,
        );
        let half = half.expect("readable").expect("a step");
        assert!(
            (tips.len() / 2 - 5..tips.len() / 2 + 5).contains(&half.length),
            "{half:?}"
        );
        assert_eq!(half.tip, tips[half.length + 2]);
    }

    #[test]
    fn the_largest_object_of_a_step_is_found_and_has_a_path() {
        let sandbox = Sandbox::new();
        let work = sandbox.init("work");
        let root = commit(&sandbox, &work, "a/small", 10);
        let tip = commit(&sandbox, &work, "b/c/large file", 5_000);
        let repository = sandbox.open(&work);
        let chain = repository.chain(tip, Some(root)).expect("readable");
        let step = Step::longest(
            repository.objects(),
            chain.after(Some(root)),
            &request(tip, &[root]),
            100,
            || true,
        );
        let largest = step
            .expect("readable")
            .expect("a step")
            .largest
            .expect("an object");
        assert!(largest.0 > 5_000, "{largest:?}");
        for (commit, path) in [(tip, Some("b/c/large file".to_owned())), (root, None)] {
            let described = Described::find(repository.objects(), commit, largest.1);
            assert_eq!(described, Ok(Described { path, size: 5_000 }));
        }
    }
}
