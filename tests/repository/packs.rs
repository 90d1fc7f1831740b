//! How objects are stored: loose, in packs of every kind, with the indexes that git keeps beside them.

use std::fs;
use std::path::PathBuf;

use super::MAIN;
use super::case::{Case, FORMATS};
use super::side_by_side::Expected::{Pushed, Rejected};
use super::side_by_side::{Row, check, prepared};

impl Case {
    /// The files of packs with this ending.
    fn packs(&self, ending: &str) -> Vec<PathBuf> {
        let directory = self.git_dir().join("objects/pack");
        let files = fs::read_dir(directory).expect("packs");
        files
            .map(|file| file.expect("an entry").path())
            .filter(|file| file.extension().is_some_and(|found| found == ending))
            .collect()
    }

    /// Removes the files of packs with this ending.
    fn without_packs(self, ending: &str) -> Self {
        for file in self.packs(ending) {
            fs::remove_file(file).expect("removes");
        }
        self
    }

    /// Packs what is loose after each of several commits.
    fn in_many_packs(self) -> Self {
        (0..5).fold(self.published(), |case, _| {
            case.edited("a/file").run(&["repack", "-dq"])
        })
    }

    /// The file of an object that is not in a pack, below the git directory.
    fn loose(&self, revision: &str) -> String {
        let id = self.id(revision);
        let (directory, file) = id.split_at(2);
        format!("objects/{directory}/{file}")
    }

    /// Damages a file of the repository `work`.
    fn overwritten(self, name: &str, content: &str) -> Self {
        self.file(&format!("work/.git/{name}"), content)
    }
}

/// An object that only a cruft pack has, in a new commit.
fn from_cruft(case: Case) -> Case {
    let case = case.published();
    let blob = case.git_reads(&["hash-object", "-w", "--stdin"], "lost and found\n");
    case.run(&["repack", "--cruft", "-dq"]).added("found", &blob)
}

const PACKS: &[Row] = &[
    ("loose objects alone", Pushed, |case| {
        case.published().edited("a/b/file")
    }),
    ("one pack and nothing loose", Pushed, |case| {
        case.published().edited("a/b/file").run(&["repack", "-adq"])
    }),
    ("many packs", Pushed, Case::in_many_packs),
    ("a first push of many packs", Pushed, |case| {
        case.in_many_packs().run_there(&["update-ref", "-d", MAIN])
    }),
    ("packs of limited size", Pushed, |case| {
        let lines: Vec<_> = (0..400_000_u64)
            .map(|line| (line * 7919 % 1_000_003).to_string())
            .collect();
        let content = lines.join("\n");
        case.file("work/large", &content)
            .committed("large")
            .file("work/large2", &content.replace('1', "x"))
            .committed("larger")
            .run(&[
                "-c",
                "pack.packSizeLimit=1m",
                "-c",
                "pack.window=0",
                "repack",
                "-adq",
            ])
    }),
    ("a pack to keep", Pushed, |case| {
        let case = case.published().run(&["repack", "-adq"]);
        let pack = case.packs("pack").remove(0);
        fs::write(pack.with_extension("keep"), "").expect("writes");
        case.edited("a/file").run(&["repack", "-adq"])
    }),
    ("a pack without its reverse index", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["repack", "-adq"])
            .without_packs("rev")
    }),
    ("a pack with a bitmap", Pushed, |case| {
        case.published().edited("top").run(&["repack", "-adbq"])
    }),
    ("a bitmap that is older than the commit", Pushed, |case| {
        case.published().run(&["repack", "-adbq"]).edited("top")
    }),
    ("an index of version 1", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["-c", "pack.indexVersion=1", "repack", "-adq"])
    }),
    ("an index of offsets with 64 bits", Pushed, |case| {
        let case = case.published().edited("top").run(&["repack", "-adq"]);
        let pack = case.packs("pack").remove(0);
        for ending in ["idx", "rev"] {
            fs::remove_file(pack.with_extension(ending)).expect("removes");
        }
        case.run(&[
            "index-pack",
            "--index-version=2,0x40",
            pack.to_str().expect("UTF-8"),
        ])
    }),
    ("deep chains of deltas", Pushed, |case| {
        let case = (0..20).fold(case.published(), |case, _| case.edited("a/b/file"));
        case.run(&["repack", "-adfq", "--depth=4000", "--window=50"])
    }),
    ("objects that are not compressed", Pushed, |case| {
        case.config("[core]\n\tcompression = 0\n\tlooseCompression = 0\n")
            .published()
            .run(&["repack", "-adq"])
            .edited("top")
    }),
    ("objects that are compressed most", Pushed, |case| {
        case.config("[core]\n\tcompression = 9\n[pack]\n\tcompression = 9\n")
            .published()
            .run(&["repack", "-adq"])
            .edited("top")
    }),
    ("a multi-pack-index", Pushed, |case| {
        case.in_many_packs().run(&["multi-pack-index", "write"])
    }),
    ("a multi-pack-index with a bitmap", Pushed, |case| {
        case.in_many_packs()
            .run(&["multi-pack-index", "write", "--bitmap"])
    }),
    ("a multi-pack-index in layers", Pushed, |case| {
        case.in_many_packs()
            .run(&["multi-pack-index", "write", "--incremental"])
            .edited("top")
            .run(&["repack", "-dq"])
            .run(&["multi-pack-index", "write", "--incremental"])
    }),
    (
        "a multi-pack-index that is older than the packs",
        Pushed,
        |case| {
            case.in_many_packs()
                .run(&["multi-pack-index", "write"])
                .edited("top")
                .run(&["repack", "-dq"])
        },
    ),
    ("a multi-pack-index of packs that are gone", Pushed, |case| {
        let case = case.in_many_packs().run(&["multi-pack-index", "write"]);
        let index = case.git_dir().join("objects/pack/multi-pack-index");
        let content = fs::read(&index).expect("an index");
        let case = case.run(&["repack", "-adq"]);
        fs::write(&index, content).expect("writes");
        case
    }),
    (
        "a multi-pack-index in place of the indexes",
        Rejected("which this repository lacks", "index unavailable"),
        |case| {
            case.published()
                .edited("top")
                .run(&["repack", "-adq"])
                .run(&["multi-pack-index", "write"])
                .without_packs("idx")
        },
    ),
    ("a multi-pack-index that is damaged", Pushed, |case| {
        case.in_many_packs()
            .run(&["multi-pack-index", "write"])
            .overwritten("objects/pack/multi-pack-index", "nothing of the kind")
    }),
    ("a cruft pack", Pushed, from_cruft),
    ("a cruft pack in a multi-pack-index", Pushed, |case| {
        from_cruft(case).run(&["multi-pack-index", "write"])
    }),
    ("what an interrupted git leaves behind", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["repack", "-adq"])
            .overwritten("objects/pack/tmp_pack_xyz", "PACK")
            .overwritten("objects/pack/pack-00.idx", "")
            .overwritten("objects/12/tmp_obj_xyz", "")
            .overwritten("gc.pid", "1 host")
    }),
    ("a commit-graph", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["commit-graph", "write", "--reachable"])
    }),
    ("a commit-graph with changed paths", Pushed, |case| {
        case.published()
            .run(&["commit-graph", "write", "--reachable", "--changed-paths"])
            .edited("top")
    }),
    ("a commit-graph in layers", Pushed, |case| {
        case.published()
            .run(&["commit-graph", "write", "--reachable", "--split"])
            .edited("top")
            .run(&["commit-graph", "write", "--reachable", "--split=no-merge"])
    }),
    ("a commit-graph of commits that are gone", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["commit-graph", "write", "--reachable"])
            .run(&["reset", "--quiet", "--hard", "HEAD~1"])
            .run(&["reflog", "expire", "--expire=now", "--all"])
            .run(&["-c", "gc.writeCommitGraph=false", "gc", "--quiet", "--prune=now"])
            .edited("top")
    }),
    ("a commit-graph that is damaged", Pushed, |case| {
        case.published()
            .edited("top")
            .overwritten("objects/info/commit-graph", "nothing of the kind")
    }),
    ("everything that git gc writes", Pushed, |case| {
        case.published()
            .edited("top")
            .run(&["gc", "--quiet", "--aggressive"])
    }),
    ("what git maintenance writes", Pushed, |case| {
        let case = case.in_many_packs();
        ["loose-objects", "incremental-repack", "commit-graph", "pack-refs"]
            .iter()
            .fold(case, |case, task| {
                case.run(&["maintenance", "run", "--quiet", &format!("--task={task}")])
            })
    }),
    (
        "an old directory that is lost here, and not on the remote",
        Pushed,
        |case| {
            let case = case.published();
            let old = case.loose("main:a");
            case.edited("a/file").removed(&format!("work/.git/{old}"))
        },
    ),
    (
        "an old directory that is damaged here",
        Rejected("cannot be read from the local repository", "corrupt"),
        |case| {
            let case = case.published();
            let old = case.loose("main:a");
            case.edited("a/file").overwritten(&old, "nothing of the kind")
        },
    ),
    (
        "a new file that is lost",
        Rejected("is missing from the local repository", "unable to read"),
        |case| {
            let case = case.published().edited("a/file");
            let new = case.loose("main:a/file");
            case.removed(&format!("work/.git/{new}"))
        },
    ),
];

#[tokio::test]
async fn objects_are_read_however_git_stores_them() {
    check(prepared(FORMATS, PACKS)).await;
}
