//! How far the push under way has come: written where it is learned, read once a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use git_wire::oid::Oid;

use crate::failure::Tail;

/// A line of a server that is longer is not shown.
const LONGEST_LINE: usize = 8 * 1024;

/// What a push is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransferPhase {
    /// The objects to send are being listed.
    #[default]
    Counting,
    /// git looks for deltas between them.
    Compressing,
    /// The pack is being sent.
    Sending,
    /// All of it is handed over; the server stores it, checks it and runs its hooks.
    Server,
}

impl TransferPhase {
    /// The name that JavaScript sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counting => "counting",
            Self::Compressing => "compressing",
            Self::Sending => "sending",
            Self::Server => "server",
        }
    }
}

/// How far a push has come at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferState {
    /// What it is doing.
    pub phase: TransferPhase,
    /// The commit to which it moves the branch.
    pub commit: Option<Oid>,
    /// Objects that this phase is through with.
    pub objects: u64,
    /// Objects of the phase in all, if they are known.
    pub total_objects: Option<u64>,
    /// Bytes of the pack that were handed over to be sent.
    pub bytes: u64,
    /// Which step of the backlog it is, from 1.
    pub step: u32,
    /// About the number of the steps.
    pub steps: u32,
    /// The last line of the server's own progress or messages.
    pub server: Option<String>,
}

/// The present state as an event tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferProgress {
    /// The state.
    pub state: TransferState,
    /// How long the push has been running, with all steps of its backlog.
    pub elapsed: Duration,
    /// Bytes in the last second; `None` while nothing is sent.
    pub bytes_per_second: Option<u64>,
    /// About how much longer this phase will take, if that can be told.
    pub remaining: Option<Duration>,
}

/// The push under way, shared by the attempt and the daemon.
#[derive(Debug, Clone, Default)]
pub struct Transfer(Arc<Mutex<Option<Noted>>>);

#[derive(Debug, Default)]
struct Noted {
    state: TransferState,
    /// The beginning of a line of the server.
    unfinished: Vec<u8>,
}

impl Transfer {
    /// The state; `None` while nothing is pushed.
    #[must_use]
    pub fn get(&self) -> Option<TransferState> {
        self.lock().as_ref().map(|noted| noted.state.clone())
    }

    /// A push to this commit begins.
    pub(crate) fn begin(&self, commit: Oid, (step, steps): (u32, u32)) {
        *self.lock() = Some(Noted {
            state: TransferState {
                commit: Some(commit),
                step,
                steps,
                ..TransferState::default()
            },
            unfinished: Vec::new(),
        });
    }

    /// The push has ended.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// The objects are listed.
    pub(crate) fn counted(&self, total: usize) {
        self.update(|state| {
            state.phase = TransferPhase::Sending;
            (state.objects, state.total_objects) = (0, Some(total as u64));
        });
    }

    /// So many objects were handed over.
    pub(crate) fn handed_over(&self, objects: usize) {
        self.update(|state| state.objects = objects as u64);
    }

    /// So many more bytes were handed over.
    pub(crate) fn passed(&self, bytes: usize) {
        self.update(|state| {
            state.phase = TransferPhase::Sending;
            state.bytes += bytes as u64;
        });
    }

    /// The whole pack was handed over.
    pub(crate) fn all_passed(&self) {
        self.update(|state| state.phase = TransferPhase::Server);
    }

    /// The bytes that were handed over.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().as_ref().map_or(0, |noted| noted.state.bytes)
    }

    /// Takes a line of `git push`: its progress, or what the server tells.
    pub(crate) fn take_line(&self, line: &str) {
        if let Some(said) = line.strip_prefix("remote: ") {
            return self.server_says(format!("{said}\n").as_bytes());
        }
        let Some(progress) = GitProgress::parse(line) else {
            return;
        };
        self.update(|state| {
            progress.note(state);
            state.bytes = progress.bytes.unwrap_or(state.bytes);
            if progress.phase == TransferPhase::Sending && line.ends_with("done.") {
                state.phase = TransferPhase::Server;
            }
        });
    }

    /// Takes a line of the progress of `git pack-objects`, whose pack is sent here.
    pub(crate) fn take_packing_line(&self, line: &str) {
        if let Some(progress) = GitProgress::parse(line) {
            self.update(|state| progress.note(state));
        }
    }

    /// The server told this, maybe a part of a line. The last whole line is kept: a part of one may hide a secret.
    pub(crate) fn server_says(&self, message: &[u8]) {
        let mut noted = self.lock();
        let Some(noted) = &mut *noted else { return };
        noted.unfinished.extend_from_slice(message);
        let ended = noted
            .unfinished
            .iter()
            .rposition(|byte| matches!(byte, b'\r' | b'\n'));
        if let Some(end) = ended {
            let mut tail = Tail::default();
            tail.push(&noted.unfinished[..end]);
            noted.unfinished.drain(..=end);
            if let Some(line) = tail.text().lines().last() {
                noted.state.server = Some(line.to_owned());
            }
        } else if noted.unfinished.len() > LONGEST_LINE {
            noted.unfinished.clear();
        }
    }

    fn update(&self, change: impl FnOnce(&mut TransferState)) {
        if let Some(noted) = &mut *self.lock() {
            change(&mut noted.state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of the progress of git, such as `Writing objects:  45% (123/271), 1.20 MiB | 2.00 MiB/s`.
#[derive(Debug, PartialEq, Eq)]
struct GitProgress {
    phase: TransferPhase,
    objects: u64,
    total: Option<u64>,
    bytes: Option<u64>,
}

impl GitProgress {
    fn note(&self, state: &mut TransferState) {
        state.phase = self.phase;
        (state.objects, state.total_objects) = (self.objects, self.total);
    }

    fn parse(line: &str) -> Option<Self> {
        let (title, amounts) = line.split_once(':')?;
        let phase = match title {
            "Enumerating objects" | "Counting objects" => TransferPhase::Counting,
            "Compressing objects" => TransferPhase::Compressing,
            "Writing objects" => TransferPhase::Sending,
            _ => return None,
        };
        let Amounts {
            objects,
            total,
            bytes,
        } = Amounts::parse(amounts)?;
        Some(Self {
            phase,
            objects,
            total,
            bytes,
        })
    }
}

/// What stands behind the title in a line of git's progress: `  45% (123/271), 1.20 MiB | 2.00 MiB/s`, or `1234, done.`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) objects: u64,
    pub(crate) total: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

impl Amounts {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let Some((_, counted)) = text.split_once('(') else {
            let digits = text.split(|character: char| !character.is_ascii_digit()).next()?;
            return Some(Self {
                objects: digits.parse().ok()?,
                total: None,
                bytes: None,
            });
        };
        let (counts, rest) = counted.split_once(')')?;
        let (objects, total) = counts.split_once('/')?;
        Some(Self {
            objects: objects.parse().ok()?,
            total: Some(total.parse().ok()?),
            bytes: rest.strip_prefix(", ").and_then(bytes_of),
        })
    }
}

/// `1.20 MiB | …` in bytes.
fn bytes_of(amount: &str) -> Option<u64> {
    let mut words = amount.split_ascii_whitespace();
    let number: f64 = words.next()?.parse().ok().filter(|number| *number >= 0.0)?;
    let unit = match words.next()?.trim_end_matches(',') {
        "bytes" | "byte" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and a cast saturates"
    )]
    Some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> TransferState {
        let transfer = Transfer::default();
        transfer.begin(Oid::sha1([1; 20]), (2, 5));
        for line in lines {
            transfer.take_line(line);
        }
        transfer.get().expect("a push is under way")
    }

    #[test]
    fn the_progress_of_git_is_read() {
        use TransferPhase::{Compressing, Counting, Sending, Server};
        for (line, expected) in [
            ("Enumerating objects: 1234, done.", (Counting, 1234, None, 0)),
            ("Counting objects:  45% (123/271)", (Counting, 123, Some(271), 0)),
            (
                "Compressing objects: 100% (7/7), done.",
                (Compressing, 7, Some(7), 0),
            ),
            ("Writing objects:   0% (1/300)", (Sending, 1, Some(300), 0)),
            (
                "Writing objects:  45% (123/271), 1.50 MiB | 2.00 MiB/s",
                (Sending, 123, Some(271), 3 << 19),
            ),
            (
                "Writing objects: 100% (3/3), 250 bytes | 250.00 KiB/s, done.",
                (Server, 3, Some(3), 250),
            ),
            ("Total 3 (delta 0), reused 0 (delta 0)", (Counting, 0, None, 0)),
            ("Writing objects: soon", (Counting, 0, None, 0)),
            ("To ../r.git", (Counting, 0, None, 0)),
        ] {
            let state = after(&[line]);
            let got = (state.phase, state.objects, state.total_objects, state.bytes);
            assert_eq!(got, expected, "{line}");
        }
    }

    #[test]
    fn the_last_whole_line_of_the_server_is_kept_without_secrets() {
        let said = after(&["remote: Resolving deltas:  45% (9/20)", "remote: "]).server;
        assert_eq!(said.as_deref(), Some("Resolving deltas:  45% (9/20)"));

        let transfer = Transfer::default();
        transfer.begin(Oid::sha1([1; 20]), (1, 1));
        let said = || transfer.get().expect("a push is under way").server;
        for (part, expected) in [
            ("first\nsee https://me:se", Some("first")),
            ("cret@h.example/x for more", Some("first")),
            ("\n", Some("see https://***@h.example/x for more")),
            ("\n\r", Some("see https://***@h.example/x for more")),
            (
                "Resolving deltas:  50% (1/2)\rResolving de",
                Some("Resolving deltas:  50% (1/2)"),
            ),
        ] {
            transfer.server_says(part.as_bytes());
            assert_eq!(said().as_deref(), expected, "{part:?}");
        }
        transfer.server_says(&vec![b'x'; 2 * LONGEST_LINE]);
        transfer.server_says(b"\nlast\n");
        assert_eq!(said().as_deref(), Some("last"));
    }

    #[test]
    fn the_bytes_of_a_pack_that_git_makes_are_those_that_were_passed_on() {
        let transfer = Transfer::default();
        transfer.begin(Oid::sha1([1; 20]), (1, 1));
        transfer.take_packing_line("Compressing objects: 100% (7/7), done.");
        transfer.passed(10);
        transfer.take_packing_line("Writing objects:  45% (123/271), 1.50 MiB | 2.00 MiB/s");
        transfer.passed(10);
        let state = transfer.get().expect("a push is under way");
        let got = (state.phase, state.objects, state.total_objects, state.bytes);
        assert_eq!(got, (TransferPhase::Sending, 123, Some(271), 20));
    }

    #[test]
    fn nothing_is_noted_while_nothing_is_pushed() {
        let transfer = Transfer::default();
        transfer.passed(7);
        transfer.take_line("Writing objects:   0% (1/300)");
        assert_eq!(transfer.get(), None);
        transfer.begin(Oid::sha1([1; 20]), (1, 1));
        transfer.passed(7);
        assert_eq!(transfer.bytes(), 7);
        transfer.end();
        assert_eq!(transfer.get(), None);
    }
}
