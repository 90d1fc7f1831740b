//! Streams that deliver bytes as a connection may, and the execution of futures without a runtime.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use git_wire::pkt_line::{MAX_PAYLOAD, encode, encode_flush};
use tokio::io::{AsyncRead, ReadBuf};

/// The ways in which the same bytes arrive: all at once, one by one, and in pieces with pauses between them.
pub(super) const ARRIVALS: [Arrival; 3] = [
    Arrival {
        piece: usize::MAX,
        pauses: false,
    },
    Arrival {
        piece: 1,
        pauses: false,
    },
    Arrival {
        piece: 7,
        pauses: true,
    },
];

/// How bytes arrive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    piece: usize,
    /// Whether every other read finds nothing.
    pauses: bool,
}

impl Arrival {
    pub(super) fn of(self, bytes: &[u8]) -> Stream<'_> {
        Stream {
            rest: bytes,
            arrival: self,
            has_paused: false,
            largest_buffer: Rc::default(),
        }
    }
}

/// A connection that delivers these bytes and ends.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    rest: &'a [u8],
    arrival: Arrival,
    has_paused: bool,
    /// The largest buffer that a reader has offered, which a hostile length must not inflate.
    pub(super) largest_buffer: Rc<Cell<usize>>,
}

impl AsyncRead for Stream<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.largest_buffer
            .set(this.largest_buffer.get().max(buffer.remaining()));
        if this.arrival.pauses && !std::mem::replace(&mut this.has_paused, true) {
            return Poll::Pending;
        }
        this.has_paused = false;
        let taken = this.rest.len().min(this.arrival.piece).min(buffer.remaining());
        let (now, later) = this.rest.split_at(taken);
        buffer.put_slice(now);
        this.rest = later;
        Poll::Ready(Ok(()))
    }
}

/// Runs a future to its end.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Some(done) = future.as_mut().now_or_never() {
            return done;
        }
    }
}

/// Runs an operation to its end, but drops it and starts it again at each pause. A cancel-safe operation loses nothing.
pub(super) fn run_cancelled<T>(mut operation: impl AsyncFnMut() -> T) -> T {
    loop {
        if let Some(done) = operation().now_or_never() {
            return done;
        }
    }
}

/// Encodes a fuzzer's input as a server's stream. Input that begins with `!` is taken as it is. Otherwise each line becomes
/// a packet and each empty line a flush, so that the fuzzer need not learn the encoding of lengths.
pub(super) fn wire(input: &[u8]) -> Vec<u8> {
    if let Some(raw) = input.strip_prefix(b"!") {
        return raw.to_vec();
    }
    let mut wire = Vec::new();
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        if line == b"\n" {
            encode_flush(&mut wire);
            continue;
        }
        for piece in line.chunks(MAX_PAYLOAD) {
            encode(piece, &mut wire);
        }
    }
    wire
}

/// Whether a text can be logged and shown on a terminal.
pub(super) fn is_presentable(text: &str) -> bool {
    let mut characters = text.chars();
    characters.all(|character| !character.is_control() || matches!(character, '\n' | '\t'))
}
