//! The pack of one attempt, made while it is sent.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::branch::SharedSide;
use crate::failure::Failure;
use crate::pack::{PackRequest, PackStats};

/// Pieces of the pack that are ready before the remote takes them: the back-pressure on its generation.
pub(super) const PACK_PIECES: usize = 8;

/// Of a pack that was not made, or not counted.
pub(super) const EMPTY: PackStats = PackStats {
    commits: 0,
    objects: 0,
    bytes: 0,
};

/// Makes the pack on a blocking thread. `on_packed` is called when all of it is made.
pub(super) fn pack(
    side: &SharedSide,
    request: PackRequest,
    sender: mpsc::Sender<Result<Bytes, Failure>>,
    on_packed: impl FnOnce() + Send + 'static,
) -> JoinHandle<Result<PackStats, Failure>> {
    let side = side.clone();
    tokio::task::spawn_blocking(move || {
        let made = side.stream_pack(&request, sender);
        on_packed();
        made
    })
}

/// Counts the commits of a pack that is made elsewhere, in the place of making it. Its size is not known.
pub(super) fn count(side: &SharedSide, request: PackRequest) -> JoinHandle<Result<PackStats, Failure>> {
    let side = side.clone();
    tokio::spawn(async move {
        let counted = side.ask(move |side| {
            let ahead = side.repository().ahead(request.tip, &request.remote_has)?;
            Ok(usize::try_from(ahead.commits).unwrap_or(usize::MAX))
        });
        let commits = counted.await.unwrap_or_default();
        Ok(PackStats { commits, ..EMPTY })
    })
}
