//! A connection kept ready so that the next push need not log in.
//!
//! Its advertisement was read when the connection was opened, and may be stale when it is used. So the connection is used
//! only for a push that replaces exactly the last confirmed tip, which the server itself verifies; the caller must be ready
//! to connect again. Losing the kept connection is harmless.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use git_wire::oid::Oid;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::{Background, Session};
use crate::failure::{Failure, Kind};

/// At most one session, on which nothing was sent. `R` is the route that it takes.
pub struct Kept<R> {
    keep_for: Duration,
    refname: String,
    background: Background,
    /// Ends the kept session at once, when there will be no next push.
    closed: CancellationToken,
    moved: Arc<Notify>,
    slot: RefCell<Option<Slot<R>>>,
}

struct Slot<R> {
    route: R,
    confirmed: Oid,
    /// Dropping it ends the session.
    claim: oneshot::Sender<Claimant>,
}

/// Receives the session once it is claimed.
type Claimant = oneshot::Sender<Box<dyn Session>>;

impl<R> fmt::Debug for Kept<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Kept")
            .field("keep_for", &self.keep_for)
            .finish_non_exhaustive()
    }
}

impl<R: PartialEq> Kept<R> {
    /// Keeps sessions for pushes to `refname` until their advertisement is `keep_for` old; zero disables keeping.
    #[must_use]
    pub fn new(keep_for: Duration, refname: &str, background: Background) -> Self {
        Self {
            keep_for,
            refname: refname.to_owned(),
            background,
            closed: CancellationToken::new(),
            moved: Arc::default(),
            slot: RefCell::default(),
        }
    }

    /// Whether sessions are ever kept.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        !self.keep_for.is_zero()
    }

    /// Connects in the background and keeps the session in place of any other. Ends it unless its remote is at
    /// `confirmed`.
    pub fn keep(
        &self,
        route: R,
        confirmed: Oid,
        connecting: impl Future<Output = Result<Box<dyn Session>, Failure>> + Send + 'static,
    ) {
        if !self.is_enabled() {
            return;
        }
        let (claim, claimed) = oneshot::channel();
        let refname = self.refname.clone();
        let keeping = keep(connecting, refname, confirmed, self.keep_for, claimed);
        let (closed, moved) = (self.closed.clone(), Arc::clone(&self.moved));
        self.background.spawn(async move {
            tokio::select! {
                biased;
                () = closed.cancelled() => {}
                end = keeping => {
                    if end == End::Moved {
                        moved.notify_one();
                    }
                }
            }
        });
        *self.slot.borrow_mut() = Some(Slot {
            route,
            confirmed,
            claim,
        });
    }

    /// Takes the session, once it is connected, and the tip that its remote is at. Ends the session if it takes another
    /// route. In either case nothing is kept afterwards.
    pub async fn take(&self, route: &R) -> Option<(Box<dyn Session>, Oid)> {
        let slot = self.slot.borrow_mut().take()?;
        if slot.route != *route {
            tracing::debug!("the route to the remote has changed: the kept connection is not used");
            return None;
        }
        let (give, given) = oneshot::channel();
        slot.claim.send(give).ok()?;
        let session = given.await.ok()?;
        Some((session, slot.confirmed))
    }

    /// Resolves when an unclaimed session finds the remote at another tip than the confirmed one. Cancel-safe.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Ends the kept session, and keeps none from now on.
    pub fn close(&self) {
        self.closed.cancel();
        *self.slot.borrow_mut() = None;
    }
}

/// The end of keeping a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The session was claimed, or ended for a reason that says nothing about the remote.
    Gone,
    /// The remote is at another tip.
    Moved,
}

/// Connects, and holds the session until it is claimed, released, ended by the remote, or too old.
async fn keep(
    connecting: impl Future<Output = Result<Box<dyn Session>, Failure>>,
    refname: String,
    confirmed: Oid,
    keep_for: Duration,
    mut claimed: oneshot::Receiver<Claimant>,
) -> End {
    let mut connecting = pin!(connecting);
    let (connected, mut claimant) = tokio::select! {
        connected = &mut connecting => (connected, None),
        claim = &mut claimed => {
            let Ok(mut claimant) = claim else { return End::Gone };
            tokio::select! {
                connected = connecting => (connected, Some(claimant)),
                () = claimant.closed() => return End::Gone,
            }
        }
    };
    // A claimant reconnects and will discover this itself.
    let moved = if claimant.is_none() { End::Moved } else { End::Gone };
    let mut session = match connected {
        Ok(session) => session,
        Err(failure) => {
            tracing::debug!(%failure, "no connection could be made ready for the next push");
            // The repository may have been removed, together with the confirmed commit.
            return if failure.kind() == Kind::RemoteError {
                moved
            } else {
                End::Gone
            };
        }
    };
    if session.advertisement().tip(&refname) != Some(confirmed) {
        tracing::debug!("the remote has moved since the push: the connection is not kept");
        session.finish();
        return moved;
    }
    tracing::debug!("a connection is ready for the next push");
    let expiry = session.advertised_at() + keep_for;
    if claimant.is_none() {
        claimant = tokio::select! {
            biased;
            () = session.hung_up() => {
                tracing::debug!("the remote has closed the kept connection");
                return End::Gone;
            }
            claim = claimed => claim.ok(),
            () = sleep_until(expiry) => {
                tracing::debug!("the kept connection was not needed");
                None
            }
        };
    }
    let unwanted = match claimant {
        Some(claimant) => claimant.send(session).err(),
        None => Some(session),
    };
    if let Some(session) = unwanted {
        session.finish();
    }
    End::Gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    use git_wire::pkt_line::{encode, encode_flush};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::{Instant, sleep};

    use crate::transport::Settings;
    use crate::transport::session::StreamSession;

    const KEEP_FOR: Duration = Duration::from_secs(30);
    const MAIN: &str = "refs/heads/main";

    fn tip() -> Oid {
        Oid::sha1([1; 20])
    }

    fn kept(keep_for: Duration) -> Kept<&'static str> {
        Kept::new(keep_for, MAIN, Background::default())
    }

    /// A connection to a server that is at [`tip`], and the server's end of it.
    fn server() -> (
        DuplexStream,
        impl Future<Output = Result<Box<dyn Session>, Failure>> + Send + 'static,
    ) {
        let (client, server) = tokio::io::duplex(1024);
        let connecting = async move {
            let (reader, writer) = tokio::io::split(client);
            let session =
                StreamSession::open(Box::new(reader), Box::new(writer), None, &Settings::default()).await?;
            Ok(Box::new(session) as Box<dyn Session>)
        };
        (server, connecting)
    }

    async fn advertise(server: &mut DuplexStream) {
        let mut bytes = Vec::new();
        encode(format!("{} {MAIN}\0report-status", tip()).as_bytes(), &mut bytes);
        encode_flush(&mut bytes);
        server.write_all(&bytes).await.expect("open");
    }

    /// Everything that the server receives until the connection ends.
    async fn received(mut server: DuplexStream) -> Vec<u8> {
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.expect("readable");
        received
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_taken_once_for_the_same_route() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        advertise(&mut server).await;
        kept.keep("a", tip(), connecting);
        sleep(KEEP_FOR / 2).await;
        let (session, confirmed) = kept.take(&"a").await.expect("kept");
        assert_eq!(confirmed, tip());
        assert_eq!(session.advertisement().tip(MAIN), Some(tip()));
        assert!(kept.take(&"a").await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn taking_waits_for_a_session_that_is_being_connected() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        kept.keep("a", tip(), connecting);
        let late = async {
            sleep(Duration::from_secs(5)).await;
            advertise(&mut server).await;
        };
        let (taken, ()) = tokio::join!(kept.take(&"a"), late);
        assert!(taken.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn another_route_ends_the_session_politely() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        advertise(&mut server).await;
        kept.keep("a", tip(), connecting);
        assert!(kept.take(&"b").await.is_none());
        assert!(kept.take(&"a").await.is_none());

        let (mut server, connecting) = self::server();
        advertise(&mut server).await;
        kept.keep("a", tip(), connecting);
        sleep(Duration::from_secs(1)).await;
        assert!(kept.take(&"b").await.is_none());
        assert_eq!(received(server).await, b"0000");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_session_ends_when_its_advertisement_is_too_old() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        advertise(&mut server).await;
        let before = Instant::now();
        kept.keep("a", tip(), connecting);
        assert_eq!(received(server).await, b"0000");
        assert_eq!(before.elapsed().as_secs(), KEEP_FOR.as_secs());
        assert!(kept.take(&"a").await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_the_remote_ended_is_not_given() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        advertise(&mut server).await;
        kept.keep("a", tip(), connecting);
        sleep(Duration::from_secs(1)).await;
        drop(server);
        assert!(kept.take(&"a").await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_whose_remote_has_moved_is_ended() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        advertise(&mut server).await;
        kept.keep("a", Oid::sha1([2; 20]), connecting);
        kept.moved().await;
        assert_eq!(received(server).await, b"0000");
        assert!(kept.take(&"a").await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_repository_counts_as_moved_and_a_network_failure_does_not() {
        for (kind, is_moved) in [(Kind::RemoteError, true), (Kind::Network, false)] {
            let kept = kept(KEEP_FOR);
            kept.keep("a", tip(), ready(Err(Failure::new(kind, "lost"))));
            let notified = tokio::time::timeout(KEEP_FOR, kept.moved()).await;
            assert_eq!(notified.is_ok(), is_moved, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claimant_is_not_notified_of_a_move() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        kept.keep("a", Oid::sha1([2; 20]), connecting);
        let late = async {
            sleep(Duration::from_secs(5)).await;
            advertise(&mut server).await;
        };
        let (taken, ()) = tokio::join!(kept.take(&"a"), late);
        assert!(taken.is_none());
        tokio::select! {
            () = kept.moved() => panic!("notified"),
            () = sleep(KEEP_FOR) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_connection_is_not_kept() {
        let kept = kept(KEEP_FOR);
        kept.keep("a", tip(), ready(Err(Failure::new(Kind::Network, "refused"))));
        assert!(kept.take(&"a").await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_sessions_in_any_phase_and_keeps_no_more() {
        for is_connected in [true, false] {
            let background = Background::default();
            let kept = Kept::new(KEEP_FOR, MAIN, background.clone());
            let (mut server, connecting) = server();
            if is_connected {
                advertise(&mut server).await;
            }
            kept.keep("a", tip(), connecting);
            sleep(Duration::from_secs(1)).await;
            let before = Instant::now();
            kept.close();
            assert_eq!(received(server).await, b"", "{is_connected}");
            let (mut server, connecting) = self::server();
            advertise(&mut server).await;
            kept.keep("a", tip(), connecting);
            assert!(kept.take(&"a").await.is_none());
            background.close(Instant::now() + KEEP_FOR).await;
            assert_eq!(before.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_a_claim_ends_the_connecting() {
        let kept = kept(KEEP_FOR);
        let (server, connecting) = server();
        kept.keep("a", tip(), connecting);
        tokio::select! {
            _ = kept.take(&"a") => panic!("nothing was advertised"),
            () = sleep(Duration::from_secs(1)) => {}
        }
        assert_eq!(received(server).await, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_for_no_time() {
        let kept = kept(Duration::ZERO);
        kept.keep("a", tip(), pending());
        assert!(kept.take(&"a").await.is_none());
    }
}
