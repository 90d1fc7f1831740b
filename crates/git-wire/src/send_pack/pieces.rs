//! Tells which piece of a pack is the last: until that is handed over, nothing can have happened on the server.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::mpsc;

/// The pieces of a pack. Each is held back until the next one arrives, so that the last one is known to be the last.
#[derive(Debug)]
pub struct PackPieces<E> {
    first: VecDeque<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, E>>,
    held: Option<Bytes>,
}

impl<E> PackPieces<E> {
    /// Takes the pieces that were received already, and the receiver of the others.
    #[must_use]
    pub const fn new(first: VecDeque<Bytes>, rest: mpsc::Receiver<Result<Bytes, E>>) -> Self {
        Self {
            first,
            rest,
            held: None,
        }
    }

    /// Returns the next piece that is not empty, and whether it is the last; `None` after that.
    pub async fn next(&mut self) -> Option<Result<(Bytes, bool), E>> {
        loop {
            let next = match self.first.pop_front() {
                Some(piece) => Some(Ok(piece)),
                None => self.rest.recv().await,
            };
            match next {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    if let Some(ready) = self.held.replace(piece) {
                        return Some(Ok((ready, false)));
                    }
                }
                Some(Err(error)) => {
                    // Or it would be the last piece at the next call.
                    self.held = None;
                    return Some(Err(error));
                }
                None => return Some(Ok((self.held.take()?, true))),
            }
        }
    }
}
