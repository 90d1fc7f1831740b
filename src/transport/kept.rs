//! The connection that is kept ready for the next push, so that it need not wait for a login.
//!
//! Its advertisement was read when it was opened and may be stale by the time it is used: it is good for one
//! thing, a push from exactly the tip that was last confirmed, for which the server itself compares the old value.
//! Whoever takes it must be ready to look afresh. Nothing here is ever a failure: what cannot be kept is not there.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::{Background, Session};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;

/// At most one session, which nothing was sent on. `W` tells the way that it goes.
pub struct Kept<W> {
    keep_for: Duration,
    refname: String,
    background: Background,
    /// Ends what is kept at once, when there will be no next push.
    closed: CancellationToken,
    moved: Arc<Notify>,
    slot: RefCell<Option<Slot<W>>>,
}

struct Slot<W> {
    way: W,
    confirmed: Oid,
    /// Dropping it lets the session go.
    claim: oneshot::Sender<Claimant>,
}

/// Where the session goes once it is claimed.
type Claimant = oneshot::Sender<Box<dyn Session>>;

impl<W> fmt::Debug for Kept<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Kept")
            .field("keep_for", &self.keep_for)
            .finish_non_exhaustive()
    }
}

impl<W: PartialEq> Kept<W> {
    /// Keeps sessions for pushes to `refname` until their advertisement is `keep_for` old; not at all if that is zero.
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

    /// Whether anything is ever kept.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        !self.keep_for.is_zero()
    }

    /// Keeps what `connecting` gives, from now on in the background, in the place of anything else. It is let go unless
    /// its remote is at `confirmed`.
    pub fn keep(
        &self,
        way: W,
        confirmed: Oid,
        connecting: impl Future<Output = Result<Box<dyn Session>, Failure>> + Send + 'static,
    ) {
        if !self.is_enabled() {
            return;
        }
        let (claim, claimed) = oneshot::channel();
        let keeping = keep(
            connecting,
            self.refname.clone(),
            confirmed,
            self.keep_for,
            claimed,
        );
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
            way,
            confirmed,
            claim,
        });
    }

    /// Takes the session, once it is connected, and the tip that its remote is at; lets it go if it goes another way.
    /// Either way nothing is kept any more.
    pub async fn take(&self, way: &W) -> Option<(Box<dyn Session>, Oid)> {
        let slot = self.slot.borrow_mut().take()?;
        if slot.way != *way {
            tracing::debug!("the way to the remote has changed: the kept connection is not used");
            return None;
        }
        let (give, given) = oneshot::channel();
        slot.claim.send(give).ok()?;
        let session = given.await.ok()?;
        Some((session, slot.confirmed))
    }

    /// Resolves when a remote turned out to be elsewhere than at the tip that it had confirmed, and nobody was there to
    /// look again. Cancel-safe.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Cuts off what is kept, and keeps nothing from now on.
    pub fn close(&self) {
        self.closed.cancel();
        *self.slot.borrow_mut() = None;
    }
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Given away, or let go for a reason that says nothing of the remote.
    Gone,
    /// The remote is not where it was.
    Moved,
}

/// Connects, and holds the session until it is claimed, let go, ended by the remote, or too old.
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
    let mut session = match connected {
        Ok(session) => session,
        Err(failure) => {
            tracing::debug!(%failure, "no connection could be made ready for the next push");
            // A repository that is not there any more: what was just confirmed may have gone with it.
            let is_moved = failure.kind() == Kind::RemoteError && claimant.is_none();
            return if is_moved { End::Moved } else { End::Gone };
        }
    };
    if session.advertisement().tip(&refname) != Some(confirmed) {
        tracing::debug!("the remote has moved since the push: the connection is not kept");
        session.finish();
        // Whoever waits for this connection looks again by himself.
        return if claimant.is_none() { End::Moved } else { End::Gone };
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

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::{Instant, sleep};

    use crate::config::Environment;
    use crate::pkt_line::{encode, encode_flush};
    use crate::transport::session::StreamSession;
    use crate::transport::{Settings, SharedClient};

    const KEEP_FOR: Duration = Duration::from_secs(30);
    const MAIN: &str = "refs/heads/main";

    fn tip() -> Oid {
        Oid::from_bytes([1; 20])
    }

    fn kept(keep_for: Duration) -> Kept<&'static str> {
        Kept::new(keep_for, MAIN, Background::default())
    }

    /// Connects to a server that is at [`tip`], whose end of the connection it gives.
    fn server() -> (
        DuplexStream,
        impl Future<Output = Result<Box<dyn Session>, Failure>> + Send + 'static,
    ) {
        let (client, server) = tokio::io::duplex(1024);
        let connecting = async move {
            let (reader, writer) = tokio::io::split(client);
            let settings = Settings {
                idle_timeout: None,
                report_timeout: None,
                environment: Environment::default(),
                background: Background::default(),
                http: SharedClient::default(),
            };
            let session = StreamSession::open(reader, writer, None, &settings).await?;
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

    /// What the server is told until the connection ends.
    async fn told(mut server: DuplexStream) -> Vec<u8> {
        let mut told = Vec::new();
        server.read_to_end(&mut told).await.expect("readable");
        told
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_taken_once_for_the_same_way() {
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
    async fn a_session_that_is_being_connected_is_waited_for() {
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
    async fn another_way_lets_the_session_go_politely() {
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
        assert_eq!(told(server).await, b"0000");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_nobody_needs_ends_when_its_advertisement_is_too_old() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        advertise(&mut server).await;
        let before = Instant::now();
        kept.keep("a", tip(), connecting);
        assert_eq!(told(server).await, b"0000");
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
    async fn a_remote_that_has_moved_since_is_let_go() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        advertise(&mut server).await;
        kept.keep("a", Oid::from_bytes([2; 20]), connecting);
        kept.moved().await;
        assert_eq!(told(server).await, b"0000");
        assert!(kept.take(&"a").await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_repository_that_is_gone_is_told_and_a_network_that_is_away_is_not() {
        for (kind, is_told) in [(Kind::RemoteError, true), (Kind::Network, false)] {
            let kept = kept(KEEP_FOR);
            kept.keep("a", tip(), ready(Err(Failure::new(kind, "as it says"))));
            let told = tokio::time::timeout(KEEP_FOR, kept.moved()).await;
            assert_eq!(told.is_ok(), is_told, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_remote_that_has_moved_needs_no_other_word() {
        let kept = kept(KEEP_FOR);
        let (mut server, connecting) = server();
        kept.keep("a", Oid::from_bytes([2; 20]), connecting);
        let late = async {
            sleep(Duration::from_secs(5)).await;
            advertise(&mut server).await;
        };
        let (taken, ()) = tokio::join!(kept.take(&"a"), late);
        assert!(taken.is_none());
        tokio::select! {
            () = kept.moved() => panic!("told twice"),
            () = sleep(KEEP_FOR) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_cannot_be_made_is_just_not_there() {
        let kept = kept(KEEP_FOR);
        kept.keep("a", tip(), ready(Err(Failure::new(Kind::Network, "refused"))));
        assert!(kept.take(&"a").await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_cuts_off_what_is_kept_and_what_is_being_connected_and_keeps_no_more() {
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
            assert_eq!(told(server).await, b"", "{is_connected}");
            let (mut server, connecting) = self::server();
            advertise(&mut server).await;
            kept.keep("a", tip(), connecting);
            assert!(kept.take(&"a").await.is_none());
            background.close(Instant::now() + KEEP_FOR).await;
            assert_eq!(before.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_is_given_up_ends_the_connecting() {
        let kept = kept(KEEP_FOR);
        let (server, connecting) = server();
        kept.keep("a", tip(), connecting);
        tokio::select! {
            _ = kept.take(&"a") => panic!("nothing was advertised"),
            () = sleep(Duration::from_secs(1)) => {}
        }
        assert_eq!(told(server).await, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_for_no_time() {
        let kept = kept(Duration::ZERO);
        kept.keep("a", tip(), pending());
        assert!(kept.take(&"a").await.is_none());
    }
}
