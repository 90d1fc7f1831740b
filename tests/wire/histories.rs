//! Packs of histories that are hard to enumerate. The server stores most of them twice: as loose objects, and as a pack.

use git_local::pack::{PackRequest, write_pack};
use git2::{FileMode, ObjectType, Repository};
use std::fmt::Write as _;

use crate::bench::{Bench, Dir, MAIN, Node, Unpack, for_each_unpack, format, git, lines, oid, run};
use crate::fuzz::histories::id_length;

/// Files in directories, so many that a change is small by comparison.
fn some_files(bench: &Bench) -> Dir {
    let mut files = Dir::default();
    for directory in 0..10 {
        for file in 0..10 {
            files.set(
                &format!("records/{directory}/{file}.json"),
                bench.file(text(directory * 10 + file)),
            );
        }
    }
    files
}

/// About 4 KB, the same for the same seed.
fn text(seed: u64) -> String {
    lines(&mut fastrand::Rng::with_seed(seed), 100)
}

fn edited(text: &str) -> String {
    text.replacen("line 50", "changed", 1)
}

#[test]
fn a_root_commit_is_sent_whole() {
    for_each_unpack(|bench| {
        let tip = bench.commit(&some_files(bench), &[]);
        let stats = bench.push(tip);
        // The commit, the root, `records` and its 10 directories, 100 files.
        assert_eq!((stats.commits, stats.objects), (1, 113));
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_small_change_is_a_small_pack() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let root = bench.commit(&files, &[]);
        bench.push(root);
        files.set("records/3/3.json", bench.file(edited(&text(33))));
        let tip = bench.commit(&files, &[root]);
        let stats = bench.push(tip);
        // The commit, the three trees on the path, the file.
        assert_eq!((stats.commits, stats.objects), (1, 5));
        assert!(stats.bytes < 600, "{stats:?}");
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_commit_that_the_remote_has_gives_an_empty_pack() {
    for_each_unpack(|bench| {
        let root = bench.commit(&some_files(bench), &[]);
        let tip = bench.commit(&Dir::default(), &[root]);
        bench.push(tip);
        for (refname, oid) in [("refs/heads/same", tip), ("refs/heads/older", root)] {
            let stats = bench.push_to(refname, oid);
            let empty = 12 + tip.as_bytes().len() as u64;
            assert_eq!((stats.commits, stats.objects, stats.bytes), (0, 0, empty));
            bench.check(refname, oid);
        }
    });
}

#[test]
fn empty_commits_and_empty_trees() {
    for_each_unpack(|bench| {
        let empty = Dir::default();
        let root = bench.commit(&empty, &[]);
        bench.push(root);
        let mut files = some_files(bench);
        files.set("empty/inside", Node::Dir(Dir::default()));
        let full = bench.commit(&files, &[root]);
        let same = bench.commit(&files, &[full]);
        bench.push(same);
        assert_eq!(bench.push(bench.commit(&files, &[same])).objects, 1);
        let emptied = bench.commit(&empty, &[same]);
        let tip = bench.commit(&files, &[emptied]);
        bench.push(tip);
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_revert_of_a_revert_makes_no_cycle_of_deltas() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let a = bench.commit(&files, &[]);
        bench.push(a);
        // Within one push, and then push by push.
        let mut tip = a;
        for (round, content) in [edited(&text(33)), text(33)].iter().cycle().take(12).enumerate() {
            files.set("records/3/3.json", bench.file(content));
            tip = bench.commit(&files, &[tip]);
            if round > 5 {
                bench.push(tip);
            }
        }
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_revert_after_a_merge_whose_first_parent_lacks_the_file_makes_no_cycle_of_deltas() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let without = bench.commit(&files, &[]);
        files.set("file", bench.file(text(1000)));
        let with = bench.commit(&files, &[without]);
        bench.push(with);
        let mut side = some_files(bench);
        side.set("side", bench.file("x"));
        let side = bench.commit(&side, &[without]);
        bench.push_to("refs/heads/side", side);
        files.set("side", bench.file("x"));
        files.set("file", bench.file(edited(&text(1000))));
        let merge = bench.commit(&files, &[side, with]);
        files.set("file", bench.file(text(1000)));
        let tip = bench.commit(&files, &[merge]);
        bench.push(tip);
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_revert_to_content_of_the_remotes_history_is_not_sent_again() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let a = bench.commit(&files, &[]);
        bench.push(a);
        files.set("records/3/3.json", bench.file(edited(&text(33))));
        let b = bench.commit(&files, &[a]);
        files.set("records/3/3.json", bench.file(text(33)));
        let c = bench.commit(&files, &[b]);
        let stats = bench.push(c);
        // Two commits, and the three trees and the file of the first of them.
        assert_eq!((stats.commits, stats.objects), (2, 6));
        bench.check(MAIN, c);
    });
}

#[test]
fn merges_send_only_what_neither_parent_has() {
    for_each_unpack(|bench| {
        let mut base = some_files(bench);
        let root = bench.commit(&base, &[]);
        bench.push(root);
        let mut left_files = base.clone();
        left_files.set("records/1/1.json", bench.file(edited(&text(11))));
        let mut right_files = base.clone();
        right_files.set("records/1/2.json", bench.file(edited(&text(12))));
        let left = bench.commit(&left_files, &[root]);
        let right = bench.commit(&right_files, &[root]);
        bench.push(left);
        bench.push_to("refs/heads/side", right);
        base.set("records/1/1.json", bench.file(edited(&text(11))));
        base.set("records/1/2.json", bench.file(edited(&text(12))));
        let merge = bench.commit(&base, &[left, right]);
        assert_eq!(bench.push(merge).objects, 4);
        // The other parent first, and a change of its own.
        base.set("records/1/3.json", bench.file(edited(&text(13))));
        let evil = bench.commit(&base, &[right, merge]);
        assert_eq!(bench.push(evil).objects, 5);
        bench.check(MAIN, evil);
    });
}

#[test]
fn octopus_merges_and_repeated_parents_content() {
    for_each_unpack(|bench| {
        let base = some_files(bench);
        let root = bench.commit(&base, &[]);
        let mut merged = base.clone();
        let arms: Vec<_> = (0..6)
            .map(|arm| {
                let mut files = base.clone();
                let path = format!("records/{arm}/new.json");
                files.set(&path, bench.file(text(1000 + arm)));
                merged.set(&path, bench.file(text(1000 + arm)));
                bench.commit(&files, &[root])
            })
            .collect();
        let tip = bench.commit(&merged, &arms);
        bench.push(tip);
        bench.check(MAIN, tip);
    });
}

#[test]
fn unrelated_histories() {
    for_each_unpack(|bench| {
        let first = bench.commit(&some_files(bench), &[]);
        bench.push(first);
        let mut other = Dir::default();
        other.set(
            "records",
            bench.file("a file where the other history has a directory"),
        );
        let second = bench.commit(&other, &[]);
        bench.push_to("refs/heads/other", second);
        let mut both = some_files(bench);
        both.set("other", bench.file("x"));
        let tip = bench.commit(&both, &[first, second]);
        bench.push(tip);
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_file_becomes_a_directory_and_back() {
    for_each_unpack(|bench| {
        let mut files = Dir::default();
        // `a.b` sorts between the file `a` and the directory `a`.
        files.set("a", bench.file(text(1)));
        files.set("a.b", bench.file(text(2)));
        let mut tip = bench.commit(&files, &[]);
        bench.push(tip);
        for _ in 0..2 {
            files.set("a/b", bench.file(text(1)));
            files.set("a.b/c", bench.file(text(3)));
            tip = bench.commit(&files, &[tip]);
            bench.push(tip);
            files.set("a", bench.file(text(1)));
            files.set("a.b", bench.file(text(2)));
            tip = bench.commit(&files, &[tip]);
            bench.push(tip);
        }
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_change_of_mode_alone_sends_no_content() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let mut tip = bench.commit(&files, &[]);
        bench.push(tip);
        let Some(&Node::File(blob, _)) = files.get("records/3/3.json") else {
            panic!("a file")
        };
        for mode in [FileMode::BlobExecutable, FileMode::Link, FileMode::Blob] {
            files.set("records/3/3.json", Node::File(blob, mode));
            tip = bench.commit(&files, &[tip]);
            assert!(bench.push(tip).objects <= 4);
        }
        bench.check(MAIN, tip);
    });
}

#[test]
fn renamed_files_and_directories_are_not_sent_again() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let mut tip = bench.commit(&files, &[]);
        bench.push(tip);
        // Both to earlier and to later names than the old.
        for (from, to, objects) in [
            ("records/3/3.json", "records/3/0-first.json", 4),
            ("records/4/4.json", "records/4/z-last.json", 4),
            ("records/5/5.json", "records/2/moved.json", 5),
            ("records/6", "a/b", 4),
            ("records/7", "z", 3),
        ] {
            let node = files.remove(from).expect("there");
            files.set(to, node);
            tip = bench.commit(&files, &[tip]);
            assert_eq!(bench.push(tip).objects, objects, "{from} to {to}");
        }
        bench.check(MAIN, tip);
    });
}

#[test]
fn equal_files_and_directories_are_sent_once() {
    for_each_unpack(|bench| {
        let mut files = Dir::default();
        for directory in ["a", "b", "b/c"] {
            for file in 0..5 {
                files.set(&format!("{directory}/{file}"), bench.file("the same everywhere"));
            }
        }
        files.set("d", files.get("a").expect("there").clone());
        let tip = bench.commit(&files, &[]);
        // The commit, the root, one tree for a, b/c and d, one for b, one file.
        assert_eq!(bench.push(tip).objects, 5);
        bench.check(MAIN, tip);
    });
}

#[test]
fn the_commits_of_submodules_are_not_sent() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let elsewhere = |digit: &str| {
            let hex = digit.repeat(2 * id_length(bench.store.format));
            Node::Link(git2::Oid::from_str_ext(&hex, bench.store.format).expect("an id"))
        };
        files.set("sub", elsewhere("1"));
        let mut tip = bench.commit(&files, &[]);
        bench.push(tip);
        for node in [
            elsewhere("2"),
            bench.file("a file"),
            elsewhere("1"),
            some_files(bench).remove("records").expect("there"),
            elsewhere("2"),
        ] {
            files.set("sub", node);
            tip = bench.commit(&files, &[tip]);
            bench.push(tip);
        }
        files.remove("sub");
        tip = bench.commit(&files, &[tip]);
        bench.push(tip);
        bench.check(MAIN, tip);
    });
}

#[test]
fn commits_that_libgit2_does_not_read_are_pushed() {
    for unpack in [Unpack::Loose, Unpack::Packed] {
        let bench = Bench::of(format(), unpack, false);
        let mut files = some_files(&bench);
        let root = bench.commit(&files, &[]);
        let mut odd = |header: &str, parents: &[git2::Oid]| {
            files.set("records/3/3.json", bench.file(format!("of {header}")));
            let tree = files.write(&bench.store);
            let mut text = format!("tree {tree}\n");
            for parent in parents {
                writeln!(text, "parent {parent}").expect("a String takes everything");
            }
            write!(text, "{header}\nm\n").expect("a String takes everything");
            let oid = bench.store.write(ObjectType::Commit, text.as_bytes());
            assert!(bench.local.find_commit(oid).is_err(), "{text}");
            oid
        };
        let one = odd("author\ncommitter\n", &[root]);
        let two = odd("author A\ncommitter A <a@example.org> 7 +0000\n", &[one]);
        let other = odd("", &[root]);
        bench.push(one);
        let stats = bench.push(two);
        // The commit, the three trees on the path, the file.
        assert_eq!((stats.commits, stats.objects), (1, 5));
        let merge = odd("committer A <a@example.org> 8 +0000\n", &[two, other]);
        assert_eq!(bench.push(merge).commits, 2);
        assert_eq!(bench.remote_tip(MAIN), Some(merge.to_string()));
        run(git(&bench.remote).args(["fsck", "--connectivity-only", "--no-progress"]));
    }
}

#[test]
fn very_deep_directories() {
    for_each_unpack(|bench| {
        let mut files = Dir::default();
        let path = "d/".repeat(400) + "file";
        files.set(&path, bench.file(text(1)));
        let root = bench.commit(&files, &[]);
        bench.push(root);
        files.set(&path, bench.file(edited(&text(1))));
        let tip = bench.commit(&files, &[root]);
        assert_eq!(bench.push(tip).objects, 403);
        bench.check(MAIN, tip);
    });
}

#[test]
fn chains_of_deltas_end_at_fifty() {
    let bench = Bench::new(Unpack::Packed);
    let mut files = Dir::default();
    let mut content = text(1);
    let mut tip = None;
    for revision in 0..200 {
        writeln!(content, "revision {revision}").expect("a String takes everything");
        files.set("file", bench.file(&content));
        tip = Some(bench.commit(&files, tip.as_slice()));
    }
    let tip = tip.expect("200 commits");
    bench.push(tip);
    bench.check(MAIN, tip);
    let packs = std::fs::read_dir(bench.remote.join("objects/pack")).expect("readable");
    let index = packs
        .map(|entry| entry.expect("readable").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "idx"))
        .expect("a pack");
    let listing = run(git(&bench.remote).args(["verify-pack", "-v"]).arg(index));
    let longest = listing
        .lines()
        .filter_map(|line| {
            line.strip_prefix("chain length = ")?
                .split(':')
                .next()?
                .parse()
                .ok()
        })
        .max();
    assert_eq!(longest, Some(50));
}

#[test]
fn a_file_that_is_too_large_for_a_delta() {
    let bench = Bench::new(Unpack::Packed);
    let mut files = Dir::default();
    let mut content = vec![b'x'; 33 * 1024 * 1024];
    files.set("large", bench.file(&content));
    let root = bench.commit(&files, &[]);
    bench.push(root);
    content[1_000_000] = b'y';
    files.set("large", bench.file(&content));
    let tip = bench.commit(&files, &[root]);
    bench.push(tip);
    bench.check(MAIN, tip);
}

#[test]
fn wrong_dates_send_nothing_twice() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let mut chain = vec![bench.commit_at(2_000_000_000, &files, &[])];
        for (round, seconds) in (0..100).zip([0, 1_900_000_000, 5, 1_000_000_000].into_iter().cycle()) {
            files.set("counter", bench.file(round.to_string()));
            chain.push(bench.commit_at(seconds, &files, &chain[chain.len() - 1..]));
        }
        let middle = chain[50];
        bench.push(middle);
        // A merge is not a short chain, so all tips of the remote are read.
        let tip = bench.commit_at(7, &files, &[chain[100], chain[20]]);
        let stats = bench.push(tip);
        assert_eq!(stats.commits, 51);
        bench.check(MAIN, tip);
    });
}

#[test]
fn remote_tips_that_are_dated_before_their_ancestors_still_hide_them() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let root = bench.commit(&files, &[]);
        files.set("a", bench.file("x"));
        let parent = bench.commit(&files, &[root]);
        let early = bench.commit_at(5, &files, &[parent]);
        let earlier = bench.commit_at(3, &files, &[early]);
        bench.push(earlier);
        let side = bench.commit(&files, &[parent, root]);
        assert_eq!(bench.push_to("refs/heads/side", side).commits, 1);
        bench.check("refs/heads/side", side);
    });
}

#[test]
fn objects_behind_every_advertised_tip_are_not_sent() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let root = bench.commit(&files, &[]);
        files.set("a", bench.file(text(1)));
        let tagged = bench.commit(&files, &[root]);
        bench.push_to("refs/heads/side", tagged);
        // An annotated tag, and a commit that this repository lacks.
        run(git(&bench.remote)
            .args([
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "tag",
                "-m",
                "x",
                "v1",
            ])
            .arg(tagged.to_string()));
        run(git(&bench.remote).args(["update-ref", "-d", "refs/heads/side"]));
        let foreign = run(git(&bench.remote)
            .args([
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "commit-tree",
                "-m",
                "x",
            ])
            .arg(format!("{tagged}^{{tree}}")));
        run(git(&bench.remote).args(["update-ref", "refs/heads/foreign", foreign.trim()]));
        let tag = run(git(&bench.remote).args(["rev-parse", "refs/tags/v1"]));
        let data = git(&bench.remote)
            .args(["cat-file", "tag", tag.trim()])
            .output()
            .expect("git runs")
            .stdout;
        let odb = bench.local.odb().expect("objects");
        odb.write(git2::ObjectType::Tag, &data).expect("a tag");
        files.set("b", bench.file(text(2)));
        let left = bench.commit(&files, &[tagged]);
        let tip = bench.commit(&files, &[left, root]);
        assert_eq!(bench.push(tip).commits, 2);
        bench.check(MAIN, tip);
    });
}

#[test]
fn objects_that_the_remote_borrows_are_not_sent() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let root = bench.commit(&files, &[]);
        bench.push(root);
        let fork = bench.path("fork");
        let source = bench.remote.to_str().expect("UTF-8");
        run(git(&bench.remote)
            .args(["clone", "--bare", "--shared", "--quiet", source])
            .arg(&fork));
        run(git(&fork).args(["update-ref", "-d", MAIN]));
        files.set("a", bench.file("x"));
        let tip = bench.commit(&files, &[root]);
        let connection = crate::bench::Connection::open(&fork);
        assert_eq!(connection.advertisement.refs(), []);
        let (report, stats) = connection.push(bench.local.path(), MAIN, tip, &[]);
        assert!(report.expect("a report").is_success());
        assert_eq!(stats.expect("made").objects, 3);
        run(git(&fork).args(["fsck", "--strict"]));
    });
}

#[test]
fn a_shallow_clone_can_be_pushed_from() {
    for_each_unpack(|bench| {
        let mut files = some_files(bench);
        let mut tip = bench.commit(&files, &[]);
        for round in 0..5 {
            files.set("counter", bench.file(format!("{round}")));
            tip = bench.commit(&files, &[tip]);
        }
        bench.push(tip);
        let clone = bench.path("clone");
        let source = format!("file://{}", bench.remote.to_str().expect("UTF-8"));
        run(git(&bench.remote)
            .args([
                "clone",
                "--bare",
                "--quiet",
                "--depth=2",
                "--branch=main",
                &source,
            ])
            .arg(&clone));
        let repository = Repository::open(&clone).expect("a repository");
        let shallow: Vec<_> = std::fs::read_to_string(clone.join("shallow"))
            .expect("shallow")
            .lines()
            .map(|line| line.parse().expect("an id"))
            .collect();
        // On top of the tip, and as a merge, which is walked to the boundary.
        for parents in [
            vec![tip],
            vec![
                tip,
                repository
                    .find_commit(tip)
                    .expect("there")
                    .parent_id(0)
                    .expect("one"),
            ],
        ] {
            let parents: Vec<_> = parents
                .iter()
                .map(|&oid| repository.find_commit(oid).expect("there"))
                .collect();
            let signature = git2::Signature::new("A", "a@example.org", &git2::Time::new(1_800_000_000, 0))
                .expect("a name");
            let tree = parents[0].tree().expect("there");
            let new = repository
                .commit(
                    None,
                    &signature,
                    &signature,
                    "on top",
                    &tree,
                    &parents.iter().collect::<Vec<_>>(),
                )
                .expect("a commit");
            let (report, stats) = bench
                .connect()
                .push(&clone, "refs/heads/from-clone", new, &shallow);
            let report = report.expect("a report");
            assert!(report.is_success(), "{report:?}");
            assert_eq!(stats.expect("made").objects, 1);
            bench.check("refs/heads/from-clone", new);
            // An empty remote gets all commits down to the boundary.
            let out = &mut Vec::new();
            let request = PackRequest {
                tip: oid(new),
                remote_has: Vec::new(),
                leave_out_missing: false,
            };
            assert_eq!(write_pack(&repository, &request, out).expect("a pack").commits, 3);
        }
    });
}

#[test]
fn a_missing_object_is_named() {
    let bench = Bench::new(Unpack::Loose);
    let mut files = some_files(&bench);
    let root = bench.commit(&files, &[]);
    files.set("a", bench.file("gone"));
    let Some(&Node::File(blob, _)) = files.get("a") else {
        panic!("a file")
    };
    let tip = bench.commit(&files, &[root]);
    let tree = bench.local.find_commit(tip).expect("there").tree_id();
    let request = |tip| PackRequest {
        tip: oid(tip),
        remote_has: vec![oid(root)],
        leave_out_missing: false,
    };
    for missing in [blob, tree, tip] {
        bench.lose(missing);
        // A new handle, because the old one may have cached the object.
        let local = Repository::open(bench.local.path()).expect("a repository");
        let failure = write_pack(&local, &request(tip), &mut Vec::new()).expect_err("an object is missing");
        assert!(failure.message().contains(&missing.to_string()), "{failure}");
    }
}

#[test]
fn a_damaged_object_is_named_and_not_sent() {
    let bench = Bench::new(Unpack::Loose);
    let mut files = some_files(&bench);
    let root = bench.commit(&files, &[]);
    files.set("a", bench.file("good"));
    let tip = bench.commit(&files, &[root]);
    let (Some(&Node::File(good, _)), Node::File(other, _)) = (files.get("a"), bench.file("evil")) else {
        panic!("two files")
    };
    let path = bench.lose(good);
    std::fs::copy(bench.loose(other), path).expect("writable");
    let request = PackRequest {
        tip: oid(tip),
        remote_has: vec![oid(root)],
        leave_out_missing: false,
    };
    let local = Repository::open(bench.local.path()).expect("a repository");
    let failure = write_pack(&local, &request, &mut Vec::new()).expect_err("an object is damaged");
    assert!(failure.message().contains(&good.to_string()), "{failure}");
}

#[test]
fn history_that_is_missing_behind_another_tip_of_the_remote_does_no_harm() {
    let bench = Bench::new(Unpack::Loose);
    let mut files = some_files(&bench);
    let root = bench.commit(&files, &[]);
    files.set("a", bench.file("x"));
    let pruned = bench.commit(&files, &[root]);
    files.set("a", bench.file("y"));
    let other = bench.commit(&files, &[pruned]);
    bench.push_to("refs/heads/other", other);
    bench.lose(pruned);
    let tip = bench.commit(&files, &[root]);
    bench.push(tip);
    bench.check(MAIN, tip);
}

/// Many pushes of all kinds, with a directory so large that its tree is compared in pieces.
#[test]
fn consecutive_pushes_of_a_large_directory_arrive_whole() {
    for_each_unpack(|bench| {
        let mut files = Dir::default();
        for file in 0..3_000 {
            files.set(&format!("records/{file:04}.json"), bench.file(format!("{file}")));
        }
        let mut random = fastrand::Rng::with_seed(1);
        let mut states = vec![files.clone()];
        let root = bench.commit(&files, &[]);
        bench.push(root);
        let mut tip = root;
        for push in 0..40 {
            for _ in 0..random.usize(1..4) {
                let path = format!("records/{:04}.json", random.usize(0..3_100));
                match random.u8(0..6) {
                    0 => drop(files.remove(&path)),
                    // A revert to an earlier state.
                    1 => files = states[random.usize(0..states.len())].clone(),
                    // Elsewhere, so that the large directory stays.
                    2 => files.set("other/file", bench.file(format!("{push}"))),
                    _ => files.set(&path, bench.file(format!("{push} {}", random.u64(..)))),
                }
                let parents = if random.u8(0..8) == 0 {
                    vec![tip, root]
                } else {
                    vec![tip]
                };
                tip = bench.commit(&files, &parents);
                states.push(files.clone());
            }
            let made = bench.push(tip);
            assert!(made.bytes < 20_000, "{made:?}");
        }
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_backlog_of_ten_thousand_commits() {
    let bench = Bench::new(Unpack::Packed);
    let mut files = some_files(&bench);
    let root = bench.commit(&files, &[]);
    bench.push(root);
    let mut tip = root;
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..10_000 {
        let path = format!("records/{}/{}.json", random.u8(0..10), random.u8(0..10));
        files.set(&path, bench.file(edited(&text(random.u64(..)))));
        tip = bench.commit(&files, &[tip]);
    }
    let stats = bench.push(tip);
    assert_eq!(stats.commits, 10_000);
    bench.check(MAIN, tip);
}
