//! The push: the command and the pack as the body of a POST, the report from its answer.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Client, RequestBuilder, Response, Url};
use tokio::time::Instant;
use tokio_util::io::StreamReader;

use super::client::chain;
use super::content_type;
use super::requester::{Refused, Requester, shown};
use crate::failure::{Failure, Kind};
use crate::oid::Oid;
use crate::pkt_line::{PacketReader, encode_flush};
use crate::send_pack::{Advertisement, Command, PackPieces, Report, WireError, encode_request, read_report};
use crate::transport::activity::{Activity, Limits, PUSHING, Watched};
use crate::transport::{Background, LocalFuture, PackReceiver, PushFailure, Session, Settings};
use crate::user_agent::agent_capability;

const REQUEST_TYPE: &str = "application/x-git-receive-pack-request";
const RESULT_TYPE: &str = "application/x-git-receive-pack-result";

/// An answer as packets.
pub(super) type AnswerReader =
    PacketReader<Watched<StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>>>;

/// Reads an answer's body, and counts its bytes as signs of life.
pub(super) fn reader_of(response: Response, activity: &Activity) -> AnswerReader {
    let chunks = response.bytes_stream();
    let chunks = chunks.map(|chunk| chunk.map_err(|error| io::Error::other(chain(&error.without_url()))));
    PacketReader::new(Watched::new(StreamReader::new(chunks.boxed()), activity))
}

/// A repository on a server, whose advertisement has been read.
pub(super) struct HttpSession {
    requester: Requester,
    /// With a slash at its end.
    base: Url,
    advertisement: Advertisement,
    advertised_at: Instant,
    /// The advertisement is what an earlier push left, and whom the server takes us for may have changed since.
    is_remembered: bool,
    post_buffer: usize,
    activity: Activity,
    limits: Limits,
    /// What we call ourselves.
    agent: String,
    background: Background,
    /// What the server still says after its report.
    rest: Option<AnswerReader>,
}

impl HttpSession {
    pub(super) fn new(
        requester: Requester,
        base: Url,
        advertisement: Advertisement,
        post_buffer: usize,
        activity: Activity,
        settings: &Settings,
    ) -> Self {
        Self {
            requester,
            base,
            advertisement,
            advertised_at: Instant::now(),
            is_remembered: false,
            post_buffer,
            activity,
            limits: Limits {
                idle: settings.idle_timeout,
                report: settings.report_timeout,
                // A proxy in front may gather the answer until it is whole.
                hears_keepalives: false,
            },
            agent: agent_capability(&settings.environment),
            background: settings.background.clone(),
            rest: None,
        }
    }

    async fn exchange(
        &mut self,
        command: &Command,
        shallow: &[Oid],
        mut pack: PackReceiver,
        progress: &Progress,
    ) -> Result<Report, Failure> {
        let offers = |capability| self.advertisement.supports(capability);
        if !self.advertisement.confirms_pushes() {
            let message = "the server offers no report-status, so that a push could not be confirmed";
            return Err(Failure::new(Kind::RemoteError, message));
        }
        let has_sideband = offers("side-band-64k");
        let request = encode_request(&self.advertisement, command, shallow, &self.agent);
        let url = Url::parse(&format!("{}git-receive-pack", self.base)).map_err(|error| {
            Failure::new(Kind::Local, format!("{} cannot be requested: {error}", self.base))
        })?;
        let answered = match gather(&request, &mut pack, self.post_buffer).await? {
            Gathered::Whole(pieces) => {
                let length: usize = pieces.iter().map(Bytes::len).sum();
                let activity = self.activity.clone();
                let prepare = |client: &Client| {
                    let body = streamed(pieces.clone(), no_more(), progress.clone(), &activity);
                    let request = post(client, &url).header(CONTENT_LENGTH, length);
                    request.body(Body::wrap_stream(body))
                };
                self.send(&url, prepare).await
            }
            Gathered::Part(pieces) => {
                self.probe(&url).await?;
                let body = Body::wrap_stream(streamed(pieces, pack, progress.clone(), &self.activity));
                let request = post(&self.requester.client, &url).body(body);
                self.requester.send_only(&url, request).await
            }
        };
        let response = answered.map_err(|refused| progress.settle(refused))?;
        if response.status().is_redirection() {
            progress.set_unsent();
            let message = format!(
                "{} redirects the push elsewhere ({}), which is not followed: set the remote to the new URL",
                shown(&url),
                response.status()
            );
            return Err(Failure::new(Kind::RemoteError, message));
        }
        // git takes an answer of any type for the report; this only explains one that is none.
        let found = content_type(response.headers());
        let mut reader = reader_of(response, &self.activity);
        match read_report(&mut reader, has_sideband, command.refname()).await {
            Ok(report) => {
                self.rest = Some(reader);
                Ok(report)
            }
            Err(WireError::Protocol(problem)) if found != RESULT_TYPE => {
                let message = format!(
                    "{} gave no report: expected an answer of the type {RESULT_TYPE}, got '{found}' ({problem})",
                    shown(&url)
                );
                Err(Failure::new(Kind::RemoteError, message))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request. A credential that was taken from the helpers for an earlier push and is refused by now is no
    /// reason to make them forget one: they are asked anew by whoever looks afresh.
    async fn send(
        &mut self,
        url: &Url,
        prepare: impl Fn(&Client) -> RequestBuilder + Send,
    ) -> Result<Response, Refused> {
        if self.is_remembered {
            let request = prepare(&self.requester.client);
            self.requester.send_only(url, request).await
        } else {
            self.requester.send(url, prepare).await
        }
    }

    /// Reads what the server still says after its report, in the background.
    fn drain(&mut self) {
        let Some(mut rest) = self.rest.take() else { return };
        let background = self.background.clone();
        self.background.spawn(async move {
            let finishing = async {
                if let Err(error) = rest.discard().await {
                    tracing::debug!(%error, "what the server said after its report could not be read");
                }
            };
            tokio::select! {
                () = finishing => {}
                () = background.dismissed() => {}
            }
        });
    }

    /// Sends the smallest request, as git does: a server that wants credentials says so now, and not
    /// when the pack has gone out in vain.
    async fn probe(&mut self, url: &Url) -> Result<(), Failure> {
        let mut flush = Vec::new();
        encode_flush(&mut flush);
        let prepare = |client: &Client| post(client, url).body(flush.clone());
        let answered = self.send(url, prepare).await;
        let response = answered.map_err(|refused| refused.failure)?;
        match reader_of(response, &self.activity).discard().await {
            Ok(()) => Ok(()),
            Err(error) => Err(WireError::from(error).into()),
        }
    }
}

fn post(client: &Client, url: &Url) -> RequestBuilder {
    client
        .post(url.clone())
        .header(CONTENT_TYPE, REQUEST_TYPE)
        .header(ACCEPT, RESULT_TYPE)
}

/// How far a request has come, seen from outside of its body.
#[derive(Clone, Default)]
struct Progress {
    /// The last piece was handed over.
    is_sent: Arc<AtomicBool>,
    /// Why the pack could not be made.
    pack_failure: Arc<Mutex<Option<Failure>>>,
}

impl Progress {
    fn set_sent(&self) {
        self.is_sent.store(true, Ordering::Relaxed);
    }

    fn set_unsent(&self) {
        self.is_sent.store(false, Ordering::Relaxed);
    }

    fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Relaxed)
    }

    fn pack_failure(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.pack_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure of a request without an answer, or with one that refuses it.
    fn settle(&self, refused: Refused) -> Failure {
        if refused.by_server || !refused.was_sent {
            self.set_unsent();
        }
        match self.pack_failure().take() {
            Some(failure) => failure,
            None => refused.failure,
        }
    }
}

/// The end of a pack that is all there.
fn no_more() -> PackReceiver {
    tokio::sync::mpsc::channel(1).1
}

/// The beginning of a body, or all of it.
enum Gathered {
    Whole(VecDeque<Bytes>),
    Part(VecDeque<Bytes>),
}

/// Collects a body until it is whole or longer than `limit`.
async fn gather(request: &[u8], pack: &mut PackReceiver, limit: usize) -> Result<Gathered, Failure> {
    let mut pieces = VecDeque::from([Bytes::copy_from_slice(request)]);
    let mut length = request.len();
    while let Some(piece) = pack.recv().await {
        let piece = piece?;
        length += piece.len();
        pieces.push_back(piece);
        if length > limit {
            return Ok(Gathered::Part(pieces));
        }
    }
    if length == request.len() {
        return Err(Failure::new(Kind::Local, "the pack ended before it began"));
    }
    Ok(Gathered::Whole(pieces))
}

/// The body of a streamed request.
fn streamed(
    pieces: VecDeque<Bytes>,
    pack: PackReceiver,
    progress: Progress,
    activity: &Activity,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    progress.set_unsent();
    activity.unsent();
    let body = (PackPieces::new(pieces, pack), progress, activity.clone());
    stream::unfold(body, |(mut pieces, progress, activity)| async {
        let piece = match pieces.next().await? {
            Ok((piece, is_last)) => {
                if is_last {
                    progress.set_sent();
                    activity.sent();
                }
                Ok(piece)
            }
            Err(failure) => {
                let error = io::Error::other(failure.to_string());
                *progress.pack_failure() = Some(failure);
                Err(error)
            }
        };
        activity.touch();
        Some((piece, (pieces, progress, activity)))
    })
}

impl Session for HttpSession {
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
            let progress = Progress::default();
            let (activity, limits) = (self.activity.clone(), self.limits);
            activity.unsent();
            let exchange = self.exchange(command, shallow, pack, &progress);
            let exchanged = activity.guard(limits, PUSHING, exchange).await;
            exchanged
                .and_then(|exchanged| exchanged)
                .map_err(|failure| PushFailure {
                    failure,
                    sent: progress.is_sent(),
                })
        })
    }

    fn finish(mut self: Box<Self>) {
        self.drain();
    }

    fn finish_for_next(mut self: Box<Self>, refname: &str, tip: Oid) -> Option<Box<dyn Session>> {
        self.drain();
        self.advertisement.move_tip(refname, tip);
        self.is_remembered = true;
        Some(self)
    }

    fn advertised_at(&self) -> Instant {
        self.advertised_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn pack(pieces: &[Result<&'static str, Failure>]) -> PackReceiver {
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            let piece = piece.clone().map(|text| Bytes::from_static(text.as_bytes()));
            sender.try_send(piece).expect("room");
        }
        receiver
    }

    async fn stream_all(
        pieces: &[&'static str],
        rest: PackReceiver,
        progress: &Progress,
    ) -> Vec<io::Result<Bytes>> {
        let pieces = pieces.iter().map(|&piece| Bytes::from(piece)).collect();
        let stream = streamed(pieces, rest, progress.clone(), &Activity::new());
        stream.collect().await
    }

    #[tokio::test]
    async fn a_small_pack_is_gathered_whole_and_a_large_one_is_not() {
        let gathered = gather(b"R", &mut pack(&[Ok("PA"), Ok("CK")]), 5).await;
        assert!(matches!(gathered, Ok(Gathered::Whole(pieces)) if pieces == ["R", "PA", "CK"]));
        let gathered = gather(b"R", &mut pack(&[Ok("PA"), Ok("CK"), Ok("!")]), 4).await;
        assert!(matches!(gathered, Ok(Gathered::Part(pieces)) if pieces.len() == 3));
        assert!(gather(b"R", &mut pack(&[]), 5).await.is_err());
    }

    #[tokio::test]
    async fn a_streamed_pack_counts_as_sent_with_its_last_piece() {
        let progress = Progress::default();
        let sent = stream_all(&["R", "PA"], pack(&[Ok(""), Ok("CK")]), &progress).await;
        let sent: Vec<Bytes> = sent.into_iter().map(|piece| piece.expect("no failure")).collect();
        assert_eq!(sent, ["R", "PA", "CK"]);
        assert!(progress.is_sent());
    }

    #[tokio::test]
    async fn a_body_counts_as_sent_once_its_last_bytes_are_handed_over() {
        let progress = Progress::default();
        let pieces = VecDeque::from(["R", "PA", "CK"].map(Bytes::from));
        let body = streamed(pieces, no_more(), progress.clone(), &Activity::new());
        let mut body = std::pin::pin!(body);
        let mut sent = Vec::new();
        while let Some(piece) = body.next().await {
            sent.extend_from_slice(&piece.expect("no failure"));
            assert_eq!(progress.is_sent(), sent == b"RPACK");
        }
        assert_eq!(sent, b"RPACK");
    }

    #[tokio::test]
    async fn a_pack_that_cannot_be_made_ends_the_body_before_its_last_piece() {
        let progress = Progress::default();
        let failure = Failure::new(Kind::Local, "object gone");
        let sent = stream_all(&["R"], pack(&[Ok("PACK"), Err(failure.clone())]), &progress).await;
        assert_eq!(sent.len(), 2);
        assert!(!progress.is_sent());
        let settled = progress.settle(Refused {
            failure: Failure::new(Kind::Network, "aborted"),
            by_server: false,
            was_sent: true,
        });
        assert_eq!(settled, failure);
    }
}
