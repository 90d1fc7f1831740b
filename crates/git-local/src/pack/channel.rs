//! Carries a pack from the blocking thread that makes it to the task that sends it.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::LocalError;

/// Bytes that are gathered before they are passed on.
const PIECE: usize = 64 * 1024;

/// Writes to a bounded channel, in pieces of 64 KiB, and blocks while the channel is full. After the receiver is dropped the
/// next write fails with a broken pipe.
///
/// To be used on a thread that may block. The receiver takes the end of the channel for the end of the pack, so a writer that
/// is dropped before [`finish`](Self::finish) sends a failure first.
pub struct ChannelWriter {
    sender: Sender<Result<Bytes, LocalError>>,
    buffer: BytesMut,
    is_finished: bool,
    on_piece: Box<dyn FnMut(usize) + Send>,
}

impl ChannelWriter {
    /// Makes a writer to this channel.
    #[must_use]
    pub fn new(sender: Sender<Result<Bytes, LocalError>>) -> Self {
        Self {
            sender,
            buffer: BytesMut::new(),
            is_finished: false,
            on_piece: Box::new(|_| ()),
        }
    }

    /// Tells the length of each piece that was passed on.
    #[must_use]
    pub fn telling(mut self, on_piece: impl FnMut(usize) + Send + 'static) -> Self {
        self.on_piece = Box::new(on_piece);
        self
    }

    /// Sends the last piece, and ends the channel.
    ///
    /// # Errors
    ///
    /// If the receiver was dropped.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.is_finished = true;
        Ok(())
    }

    /// Ends the channel with a failure, so that the receiver does not take its pieces for a whole pack.
    pub fn fail(mut self, failure: LocalError) {
        // Without a receiver there is no one to tell.
        let _: Result<(), _> = self.sender.blocking_send(Err(failure));
        self.is_finished = true;
    }

    fn send_buffer(&mut self) -> io::Result<()> {
        let piece = self.buffer.split().freeze();
        let length = piece.len();
        self.sender.blocking_send(Ok(piece)).map_err(|_| broken_pipe())?;
        (self.on_piece)(length);
        Ok(())
    }

    fn check_receiver(&self) -> io::Result<()> {
        if self.sender.is_closed() {
            Err(broken_pipe())
        } else {
            Ok(())
        }
    }
}

fn broken_pipe() -> io::Error {
    io::Error::from(io::ErrorKind::BrokenPipe)
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_receiver()?;
        let taken = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.reserve(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PIECE {
            self.send_buffer()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check_receiver()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.send_buffer()
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let failure = LocalError::new("the pack is incomplete");
        // Does not block if there is room: a runtime that shuts down may drop this on a thread that must not block, but then
        // nothing was written yet.
        if let Err(TrySendError::Full(failure)) = self.sender.try_send(Err(failure)) {
            let _: Result<(), _> = self.sender.blocking_send(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[test]
    fn pieces_are_of_one_size_and_the_last_is_the_rest() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut writer = ChannelWriter::new(sender);
        for _ in 0..15 {
            writer.write_all(&[7; 10_000]).expect("room");
        }
        writer.finish().expect("room");
        let mut sizes = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            sizes.push(piece.expect("no failure").len());
        }
        assert_eq!(sizes, [PIECE, PIECE, 150_000 - 2 * PIECE]);
    }

    #[test]
    fn a_dropped_receiver_is_a_broken_pipe_at_the_next_write_or_flush() {
        let (sender, receiver) = mpsc::channel(1);
        let mut writer = ChannelWriter::new(sender);
        writer.write_all(b"x").expect("room");
        drop(receiver);
        for error in [writer.write_all(b"y"), writer.flush(), writer.finish()] {
            assert_eq!(
                error.expect_err("there is no receiver").kind(),
                io::ErrorKind::BrokenPipe
            );
        }
    }

    #[test]
    fn an_unfinished_pack_never_ends_like_a_whole_one() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut writer = ChannelWriter::new(sender);
        writer.write_all(b"x").expect("room");
        drop(writer);
        assert!(receiver.blocking_recv().expect("a failure").is_err());
    }
}
