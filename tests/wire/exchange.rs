//! The answers of a real server, and malformed ones.

use std::io::Write;
use std::path::Path;

use git_local::pack::{PackRequest, stream_pack};
use git_wire::pkt_line::{MAX_PACKET, PacketReader};
use git_wire::send_pack::{Advertisement, WireError, read_report};

use crate::bench::{Bench, Dir, MAIN, Unpack, for_each_unpack, oid};

fn tip_of(bench: &Bench, content: &str) -> git2::Oid {
    let mut files = Dir::default();
    files.set("file", bench.file(content));
    bench.commit(&files, &[])
}

#[test]
fn the_message_of_a_declining_hook_is_passed_on() {
    for_each_unpack(|bench| {
        let tip = tip_of(bench, "x");
        for (hook, reason, git_message) in [
            ("pre-receive", "pre-receive hook declined", ""),
            (
                "update",
                "hook declined",
                "\nerror: hook declined to update refs/heads/main",
            ),
        ] {
            bench.hook(
                hook,
                r"printf '\033[31mno pushes\033[0m on Friday\r\n' >&2; exit 1",
            );
            let (report, _) = bench.connect().push(bench.local.path(), MAIN, tip, &[]);
            let report = report.expect("a report");
            assert_eq!(report.unpack, Ok(()));
            assert_eq!(report.reference, Err(reason.to_owned()));
            let messages = report.messages.replace('\r', "");
            assert_eq!(
                messages,
                format!("\x1b[31mno pushes\x1b[0m on Friday{git_message}")
            );
            bench.hook(hook, "exit 0");
        }
        assert_eq!(bench.remote_tip(MAIN), None);
    });
}

#[test]
fn the_report_does_not_wait_for_a_slow_post_receive_hook() {
    let bench = Bench::new(Unpack::Loose);
    let tip = tip_of(&bench, "x");
    // The hook ends when the test writes into the pipe.
    let pipe = bench.path("pipe");
    let done = bench.path("done");
    crate::bench::run(std::process::Command::new("mkfifo").arg(&pipe));
    let quoted = |path: &Path| format!("'{}'", path.to_str().expect("UTF-8"));
    bench.hook(
        "post-receive",
        &format!("cat {} >&2; : >{}", quoted(&pipe), quoted(&done)),
    );
    let mut connection = bench.connect();
    let (report, _) = connection.push_only(bench.local.path(), MAIN, tip, &[]);
    assert!(report.expect("a report").is_success());
    assert!(!done.exists());
    std::fs::OpenOptions::new()
        .write(true)
        .open(&pipe)
        .and_then(|mut pipe| pipe.write_all(b"now"))
        .expect("the hook reads");
    connection.finish();
    assert!(done.exists());
    bench.check(MAIN, tip);
}

#[test]
fn megabytes_of_messages_do_not_harm_a_push() {
    for_each_unpack(|bench| {
        let tip = tip_of(bench, "x");
        bench.hook(
            "pre-receive",
            "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo the end >&2",
        );
        let (report, _) = bench.connect().push(bench.local.path(), MAIN, tip, &[]);
        let report = report.expect("a report");
        assert!(report.is_success());
        assert!(report.messages.ends_with("the end"));
        assert!(report.messages.len() <= 2 * MAX_PACKET);
        bench.check(MAIN, tip);
    });
}

#[test]
fn a_lost_race_is_a_refusal_and_overwrites_nothing() {
    for_each_unpack(|bench| {
        let first = tip_of(bench, "first");
        let second = tip_of(bench, "second");
        let outdated = bench.connect();
        bench.push(second);
        let (report, _) = outdated.push(bench.local.path(), MAIN, first, &[]);
        let reason = report
            .expect("a report")
            .reference
            .expect_err("the ref exists now");
        assert!(push_engine::failure::is_lost_race(&reason), "{reason}");
        bench.check(MAIN, second);
    });
}

#[test]
fn a_server_that_dies_after_the_pack_leaves_the_outcome_unknown() {
    let bench = Bench::new(Unpack::Loose);
    let tip = tip_of(&bench, "x");
    bench.hook("pre-receive", "echo last words >&2; kill -9 $PPID");
    let (report, _) = bench.connect().push(bench.local.path(), MAIN, tip, &[]);
    let error = report.expect_err("no report");
    assert!(error.sent);
    assert!(matches!(error.source, WireError::UnexpectedEof { .. }), "{error}");
    assert_eq!(bench.remote_tip(MAIN), None);
}

#[test]
fn a_pack_that_the_server_stops_reading_is_refused_with_its_reason() {
    let bench = Bench::new(Unpack::Packed);
    let mut config = git2::Config::open(&bench.remote.join("config")).expect("a file");
    config.set_i32("receive.maxInputSize", 100_000).expect("writable");
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(20_000_000)
        .collect();
    let mut files = Dir::default();
    files.set("noise", bench.file(noise));
    let tip = bench.commit(&files, &[]);
    let (report, _) = bench.connect().push(bench.local.path(), MAIN, tip, &[]);
    let report = report.expect("a report");
    assert!(report.unpack.is_err());
    assert!(
        report.messages.contains("exceeds maximum allowed size"),
        "{report:?}"
    );
    assert_eq!(bench.remote_tip(MAIN), None);
}

#[test]
fn a_pack_without_a_reader_is_not_made() {
    let bench = Bench::new(Unpack::Loose);
    let request = PackRequest {
        tip: oid(tip_of(&bench, "x")),
        remote_has: Vec::new(),
        leave_out_missing: false,
    };
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    drop(receiver);
    let failure = stream_pack(&bench.local, &request, sender).expect_err("cancelled");
    assert_eq!(failure.message(), "the pack was cancelled");
}

#[test]
fn nonsense_from_a_server_is_an_error_and_never_a_success_or_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let valid_advertisement: &[u8] = b"00b1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa refs/heads/main\0report-status side-band-64k object-format=sha1 agent=git/2.47.3 quiet atomic ofs-delta report-status-v2 delete-refs\n0000";
    let refusal: &[u8] = b"0030\x01000eunpack ok\n0019ng refs/heads/main no\n00000000";
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..50_000 {
        let mut bytes: Vec<u8> = match random.u8(0..3) {
            0 => std::iter::repeat_with(|| random.u8(..)).take(100).collect(),
            1 => valid_advertisement.to_vec(),
            _ => refusal.to_vec(),
        };
        for _ in 0..random.u8(0..6) {
            let at = random.usize(0..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.alphanumeric() as u8),
            }
        }
        runtime.block_on(async {
            let _: Result<_, _> = Advertisement::read(&mut PacketReader::new(&bytes[..])).await;
            for sideband in [false, true] {
                let mut reader = PacketReader::new(&bytes[..]);
                if let Ok(report) = read_report(&mut reader, sideband, MAIN, &mut |_| ()).await {
                    assert!(!report.is_success(), "{}", bytes.escape_ascii());
                }
            }
        });
    }
}
