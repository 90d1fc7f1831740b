//! A session over a pair of byte streams: a child's pipes or a socket.

use std::time::Duration;

use futures_util::future::BoxFuture;
use git_wire::oid::Oid;
use git_wire::pkt_line::{self, PacketReader};
use git_wire::send_pack::{self, Advertisement, Command, Report, Request, WireError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::activity::{ADVERTISING, Activity, Limits, PUSHING, Watched};
use super::child::Child;
use super::{Background, LocalFuture, PackReceiver, PushFailure, Session, Settings};
use crate::failure::{Failure, Kind, is_silent};
use crate::transfer::Transfer;
use crate::user_agent::agent_capability;

/// How long a remote may take to end a connection without a push. It has nothing to finish, and a kept connection may have
/// died unnoticed.
const GOODBYE: Duration = Duration::from_secs(2);

/// The streams of a session. One type for all, so that sessions are compiled once.
pub(super) type Reader = Box<dyn AsyncRead + Unpin + Send>;
pub(super) type Writer = Box<dyn AsyncWrite + Unpin + Send>;

pub(super) struct StreamSession {
    reader: PacketReader<Watched<Reader>>,
    /// `None` once it was closed after a pack.
    writer: Option<Watched<Writer>>,
    child: Option<Child>,
    advertisement: Advertisement,
    advertised_at: Instant,
    activity: Activity,
    limits: Limits,
    agent: String,
    background: Background,
    transfer: Transfer,
    has_pushed: bool,
    /// Whether the remote's hooks are processes of this machine, which end with the session.
    is_local: bool,
}

impl StreamSession {
    /// Reads the advertisement.
    pub(super) async fn open(
        reader: Reader,
        writer: Writer,
        mut child: Option<Child>,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let activity = Activity::new();
        let mut reader = PacketReader::new(Watched::new(reader, &activity));
        let writer = Watched::new(writer, &activity);
        let idle = Limits::of_silence(settings.idle_timeout);
        let reading = activity.guard(idle, ADVERTISING, Advertisement::read(&mut reader));
        let read = match &mut child {
            None => reading.await,
            Some(child) => tokio::select! {
                read = reading => read,
                stderr = child.question() => return Err(Failure::from_question(&stderr)),
            },
        };
        let advertisement = match (read?, &mut child) {
            (Ok(advertisement), _) => advertisement,
            (Err(WireError::Io(_) | WireError::UnexpectedEof { .. }), Some(child)) => {
                let stderr = child.last_stderr().await;
                return Err(if is_silent(&stderr) {
                    Failure::from_silent_end(ADVERTISING, &stderr)
                } else {
                    Failure::from_broken_connection(ADVERTISING, &stderr)
                });
            }
            (Err(error), _) => return Err(error.into()),
        };
        Ok(Self {
            reader,
            writer: Some(writer),
            child,
            advertisement,
            advertised_at: Instant::now(),
            activity,
            limits: Limits {
                report: settings.report_timeout,
                ..idle
            },
            agent: agent_capability(&settings.environment),
            background: settings.background.clone(),
            transfer: settings.transfer.clone(),
            has_pushed: false,
            is_local: false,
        })
    }

    /// Makes the end of the daemon wait for the remote's hooks, which run on this machine.
    pub(super) fn on_this_machine(self) -> Self {
        Self {
            is_local: true,
            ..self
        }
    }

    /// The failure behind an error of the wire: if the connection broke, the child's standard error may tell why.
    async fn failure_of(&mut self, error: WireError) -> Failure {
        if let (WireError::Io(_) | WireError::UnexpectedEof { .. }, Some(child)) = (&error, &mut self.child) {
            let stderr = child.last_stderr().await;
            if !stderr.is_empty() {
                return Failure::from_broken_connection(PUSHING, &stderr);
            }
        }
        error.into()
    }
}

impl Session for StreamSession {
    fn advertisement(&self) -> &Advertisement {
        &self.advertisement
    }

    fn push<'a>(
        &'a mut self,
        command: &'a Command,
        shallow: &'a [Oid],
        pack: PackReceiver,
    ) -> LocalFuture<'a, Result<Report, PushFailure>> {
        Box::pin(async move {
            self.has_pushed = true;
            // As git does: closing a child's pipe ends the pack, which some servers wait for. A socket stays open in both
            // directions, because not everything between here and the server supports half-closed connections.
            let writer: Box<dyn AsyncWrite + Unpin> = match (&self.child, &mut self.writer) {
                (None, Some(writer)) => Box::new(writer),
                (_, writer) => Box::new(writer.take().ok_or_else(pushed_before)?),
            };
            let request = Request {
                advertisement: &self.advertisement,
                command,
                shallow,
                agent: &self.agent,
            };
            let mut told = |message: &[u8]| self.transfer.server_says(message);
            let sending = send_pack::send(&mut self.reader, writer, &request, pack, &mut told);
            match self.activity.guard(self.limits, PUSHING, sending).await {
                // The silence may have begun after the last byte was sent.
                Err(failure) => Err(PushFailure { failure, sent: true }),
                Ok(Ok(report)) => Ok(report),
                Ok(Err(error)) => Err(PushFailure {
                    failure: self
                        .failure_of(error.source)
                        .await
                        .with_server_messages(&error.messages),
                    sent: error.sent,
                }),
            }
        })
    }

    fn finish(self: Box<Self>) {
        let Self {
            mut reader,
            writer,
            child,
            background,
            has_pushed,
            is_local,
            ..
        } = *self;
        let ended = background.clone();
        background.spawn(async move {
            let finishing = async {
                if let Some(mut writer) = writer {
                    if !has_pushed {
                        // Without a flush packet the server complains that the client hung up.
                        let mut goodbye = Vec::new();
                        pkt_line::encode_flush(&mut goodbye);
                        let _ = writer.write_all(&goodbye).await;
                    }
                    let _ = writer.shutdown().await;
                }
                let _ = reader.discard().await;
                if let Some(mut child) = child {
                    child.exited().await;
                }
            };
            let finishing = async {
                if has_pushed {
                    finishing.await;
                } else {
                    let _ = timeout(GOODBYE, finishing).await;
                }
            };
            tokio::select! {
                () = finishing => {}
                () = ended.dismissed(), if !is_local => {}
                () = ended.ended() => {}
            }
        });
    }

    fn hung_up(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Before a push, anything that the remote sends is unexpected, so it ends the session as well.
            let _ = self.reader.read().await;
        })
    }

    fn advertised_at(&self) -> Instant {
        self.advertised_at
    }
}

fn pushed_before() -> PushFailure {
    PushFailure {
        failure: Failure::new(Kind::Local, "a bug: a session carries one push"),
        sent: false,
    }
}
