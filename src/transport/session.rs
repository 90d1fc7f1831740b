//! A session over a pair of byte streams: a child's pipes or a socket.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::activity::{Activity, PushLimits, Watched};
use super::child::Child;
use super::hangup::{ADVERTISING, PUSHING, failure_of, overdue, silence};
use super::{Background, LocalFuture, PackReceiver, PushFailure, Session, Settings};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::pkt_line::{self, PacketReader};
use crate::send_pack::{self, Advertisement, Command, Report};
use crate::user_agent::agent_capability;

/// How long a remote that nothing was pushed to may take to end the connection. It has nothing to finish, and the
/// connection may have died unnoticed while it was kept.
const GOODBYE: Duration = Duration::from_secs(2);

pub(super) struct StreamSession<R, W> {
    reader: PacketReader<Watched<R>>,
    /// `None` once it was closed behind a pack.
    writer: Option<Watched<W>>,
    child: Option<Child>,
    advertisement: Advertisement,
    advertised_at: Instant,
    activity: Activity,
    limits: PushLimits,
    /// What we call ourselves.
    agent: String,
    background: Background,
    has_pushed: bool,
    /// Whether the remote's hooks are processes of this machine, which would end with the session.
    is_local: bool,
}

impl<R, W> StreamSession<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    /// Reads the advertisement.
    pub(super) async fn open(
        reader: R,
        writer: W,
        mut child: Option<Child>,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let activity = Activity::new();
        let mut reader = PacketReader::new(Watched::new(reader, &activity));
        let writer = Watched::new(writer, &activity);
        let reading = activity.guard(settings.idle_timeout, Advertisement::read(&mut reader));
        let read = match &mut child {
            None => reading.await,
            Some(child) => tokio::select! {
                read = reading => read,
                words = child.question() => return Err(Failure::from_question(&words)),
            },
        };
        let advertisement = match read {
            None => return Err(silence(settings.idle_timeout, ADVERTISING)),
            Some(Err(error)) => return Err(failure_of(error, child.as_mut(), ADVERTISING).await),
            Some(Ok(advertisement)) => advertisement,
        };
        Ok(Self {
            reader,
            writer: Some(writer),
            child,
            advertisement,
            advertised_at: Instant::now(),
            activity,
            limits: PushLimits {
                idle: settings.idle_timeout,
                report: settings.report_timeout,
                hears_keepalives: true,
            },
            agent: agent_capability(&settings.environment),
            background: settings.background.clone(),
            has_pushed: false,
            is_local: false,
        })
    }

    /// Has the remote's hooks waited for even when the daemon ends: they run below it.
    pub(super) fn on_this_machine(self) -> Self {
        Self {
            is_local: true,
            ..self
        }
    }
}

impl<R, W> Session for StreamSession<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
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
            // As git does: the end of a child's pipe is the end of the pack, which some servers wait for. Half of a
            // connection is left open, as not everything between here and the server expects that.
            let writer: Box<dyn AsyncWrite + Unpin> = match (&self.child, &mut self.writer) {
                (None, Some(writer)) => Box::new(writer),
                (_, writer) => Box::new(writer.take().ok_or_else(pushed_before)?),
            };
            let sending = send_pack::send(
                &mut self.reader,
                writer,
                &self.advertisement,
                command,
                shallow,
                &self.agent,
                pack,
            );
            match self.activity.guard_push(self.limits, sending).await {
                // The silence may have begun after the last byte was sent.
                Err(limit) => Err(PushFailure {
                    failure: overdue(limit),
                    sent: true,
                }),
                Ok(Ok(report)) => Ok(report),
                Ok(Err(error)) => {
                    let failure = failure_of(error.source, self.child.as_mut(), PUSHING).await;
                    Err(PushFailure {
                        failure: failure.with_server_messages(&error.messages),
                        sent: error.sent,
                    })
                }
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
                        // Without it the server complains that its peer hung up.
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
            // Whatever comes now is not an answer, and so the end of what can be understood.
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
