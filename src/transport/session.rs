//! A session over a pair of byte streams: a child's pipes or a socket.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::activity::{Activity, Watched};
use super::child::Child;
use super::hangup::{ADVERTISING, PUSHING, failure_of, silence};
use super::{Background, LocalFuture, PushFailure, Session, Settings};
use crate::failure::Failure;
use crate::oid::Oid;
use crate::pkt_line::{self, PacketReader};
use crate::send_pack::{self, Advertisement, Command, PackReceiver, Report};

/// How long a remote that nothing was pushed to may take to end the connection. It has nothing to finish, and the
/// connection may have died unnoticed while it was kept.
const GOODBYE: Duration = Duration::from_secs(2);

pub(super) struct StreamSession<R, W> {
    reader: PacketReader<Watched<R>>,
    writer: Watched<W>,
    child: Option<Child>,
    advertisement: Advertisement,
    advertised_at: Instant,
    activity: Activity,
    idle_timeout: Option<Duration>,
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
            writer,
            child,
            advertisement,
            advertised_at: Instant::now(),
            activity,
            idle_timeout: settings.idle_timeout,
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
            let sending = send_pack::send(
                &mut self.reader,
                &mut self.writer,
                &self.advertisement,
                command,
                shallow,
                pack,
            );
            match self.activity.guard(self.idle_timeout, sending).await {
                // The silence may have begun after the last byte was sent.
                None => Err(PushFailure {
                    failure: silence(self.idle_timeout, PUSHING),
                    sent: true,
                }),
                Some(Ok(report)) => Ok(report),
                Some(Err(error)) => {
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
            mut writer,
            child,
            background,
            has_pushed,
            is_local,
            ..
        } = *self;
        let ended = background.clone();
        background.spawn(async move {
            let finishing = async {
                if !has_pushed {
                    // Without it the server complains that its peer hung up.
                    let mut goodbye = Vec::new();
                    pkt_line::encode_flush(&mut goodbye);
                    let _ = writer.write_all(&goodbye).await;
                }
                let _ = writer.shutdown().await;
                drop(writer);
                let _ = send_pack::drain(&mut reader).await;
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
