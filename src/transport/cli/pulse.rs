//! The sign of life of a git command: that one of its processes moves bytes or computes.
//!
//! What it prints would be none. A hook that runs tests, or a remote that unpacks, is silent for minutes, whereas
//! over a dead connection nothing moves. So the processes of the command's group are looked at, ssh and hooks
//! included: the keep-alives of a busy `receive-pack`, every five seconds, are bytes too. Where there is no `/proc`
//! nothing can be told, and a push is bounded by the limit of the attempt alone.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::transport::activity::Activity;

/// How often is looked within the limit.
const LOOKS: u32 = 8;

/// A share of the time that is more than a process spends on looking whether there is anything to do, as curl does
/// some times each second: one in so many.
const BUSY: u32 = 20;

/// The kernel counts processor time in ticks of 10 ms, whatever its own are.
const TICK: Duration = Duration::from_millis(10);

/// Leaves a sign of life whenever the group has done something since the last look, for ever.
pub(super) async fn follow(group: Option<u32>, limit: Duration, activity: Activity) -> Infallible {
    let Some(group) = group.filter(|_| can_be_told()) else {
        return unlimited(limit, &activity).await;
    };
    let pause = limit / LOOKS;
    let enough = (pause / BUSY).max(TICK).as_millis() / TICK.as_millis();
    let mut last = Work::default();
    loop {
        let now = spawn_blocking(move || Work::of_group(group))
            .await
            .unwrap_or_default();
        if now.bytes != last.bytes || u128::from(now.ticks.abs_diff(last.ticks)) >= enough {
            activity.touch();
        }
        last = now;
        sleep(pause).await;
    }
}

/// Whether the kernel shows what processes do.
fn can_be_told() -> bool {
    Path::new("/proc/self/io").exists()
}

/// Takes any time for a sign of life.
async fn unlimited(limit: Duration, activity: &Activity) -> Infallible {
    loop {
        activity.touch();
        sleep(limit / LOOKS).await;
    }
}

/// What the processes of a group have done so far. It shrinks as they end, which is a sign of life as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Work {
    bytes: u64,
    ticks: u64,
}

impl Work {
    fn of_group(group: u32) -> Self {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return Self::default();
        };
        let works = processes
            .flatten()
            .filter_map(|process| Self::of_process(&process.path(), group));
        works.fold(Self::default(), |sum, work| Self {
            bytes: sum.bytes.wrapping_add(work.bytes),
            ticks: sum.ticks.wrapping_add(work.ticks),
        })
    }

    fn of_process(process: &Path, group: u32) -> Option<Self> {
        let ticks = ticks_in_group(&std::fs::read_to_string(process.join("stat")).ok()?, group)?;
        // Readable unless the process has another owner.
        let io = std::fs::read_to_string(process.join("io")).unwrap_or_default();
        Some(Self {
            bytes: bytes_moved(&io),
            ticks,
        })
    }
}

/// The processor time of a process and of the children it has waited for, if it is in the group (`proc_pid_stat(5)`).
fn ticks_in_group(stat: &str, group: u32) -> Option<u64> {
    // The name before may hold anything, parentheses included. The third field follows it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    (field(5)? == u64::from(group)).then_some(())?;
    (14..=17).map(field).sum()
}

/// What a process has read and written, through pipes and sockets too (`proc_pid_io(5)`).
fn bytes_moved(io: &str) -> u64 {
    let counters = io.lines().filter_map(|line| line.split_once(": "));
    counters
        .filter(|(name, _)| matches!(*name, "rchar" | "wchar"))
        .filter_map(|(_, count)| count.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_process_and_its_children_in_the_group() {
        let stat = "42 (a) b) S 1 7 7 0 -1 4194560 100 200 0 0 1 2 3 4 20 0 1 0 12345 0 0";
        assert_eq!(ticks_in_group(stat, 7), Some(10));
        assert_eq!(ticks_in_group(stat, 8), None);
        assert_eq!(ticks_in_group("42 (a", 7), None);
    }

    #[test]
    fn bytes_are_those_read_and_those_written() {
        let io = "rchar: 100\nwchar: 20\nsyscr: 5\nread_bytes: 4096\n";
        assert_eq!(bytes_moved(io), 120);
        assert_eq!(bytes_moved(""), 0);
    }
}
