//! A session over a pair of byte streams: a child's pipes or a socket.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::activity::{Activity, Watched};
use super::child::Child;
use super::{Background, LocalFuture, PushFailure, Session, Settings};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::pkt_line::{self, PacketReader};
use crate::send_pack::{self, Advertisement, Command, PackReceiver, Report, WireError};

/// What is awaited, for the messages of failures.
pub(super) const ADVERTISING: &str = "before the remote had said what it has";
pub(super) const PUSHING: &str = "before the remote had confirmed the push";

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
        let read = activity
            .guard(settings.idle_timeout, Advertisement::read(&mut reader))
            .await;
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
        })
    }
}

pub(super) fn silence(limit: Option<Duration>, context: &str) -> Failure {
    let seconds = limit.unwrap_or_default().as_secs_f64();
    Failure::new(
        Kind::Timeout,
        format!("the remote was silent for {seconds} s {context}"),
    )
}

/// Finds the cause behind an error of the wire: what the remote's process said, if it said anything.
pub(super) async fn failure_of(error: WireError, child: Option<&mut Child>, context: &str) -> Failure {
    let words = match child {
        Some(child) if matches!(error, WireError::Io(_) | WireError::UnexpectedEof { .. }) => {
            child.last_words().await
        }
        _ => String::new(),
    };
    match error {
        WireError::Io(_) | WireError::UnexpectedEof { .. } if !words.is_empty() => {
            Failure::from_hangup(context, &words)
        }
        WireError::Io(error) => Failure::from_remote_io("the connection broke", &error),
        WireError::UnexpectedEof { context } => Failure::from_hangup(context, ""),
        WireError::Remote(message) => Failure::from_hangup(context, &message),
        WireError::Pack(failure) => failure,
        WireError::Protocol(_) => Failure::new(Kind::RemoteError, error.to_string()),
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
                    let failure = if error.messages.is_empty() {
                        failure
                    } else {
                        Failure::new(
                            failure.kind(),
                            format!("{}\n{}", failure.message(), error.messages),
                        )
                    };
                    Err(PushFailure {
                        failure,
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
