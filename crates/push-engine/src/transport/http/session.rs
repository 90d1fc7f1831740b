//! The push: the command and the pack as the body of a POST, the report from its answer.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use git_wire::oid::Oid;
use git_wire::pkt_line::{PacketReader, encode_flush};
use git_wire::send_pack::{Advertisement, Command, PackPieces, Report, Request, WireError, read_report};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Client, RequestBuilder, Response, Url};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::io::StreamReader;

use super::requester::{Refused, Requester, shown};
use super::status::{chain, content_type};
use crate::failure::{Failure, Kind};
use crate::transfer::Transfer;
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

/// Why a pack could not be made, for the push whose body it ends: HTTP/2 does not pass the error of a body on.
type PackFailure = Arc<Mutex<Option<Failure>>>;

/// A repository on a server, whose advertisement has been read.
pub(super) struct HttpSession {
    requester: Requester,
    /// With a slash at its end.
    base: Url,
    advertisement: Advertisement,
    advertised_at: Instant,
    /// The advertisement is from before an earlier push, and the credential may have been revoked since.
    is_remembered: bool,
    post_buffer: usize,
    limits: Limits,
    agent: String,
    background: Background,
    transfer: Transfer,
    /// The rest of the answer behind the report.
    rest: Option<AnswerReader>,
}

impl HttpSession {
    pub(super) fn new(
        requester: Requester,
        base: Url,
        advertisement: Advertisement,
        post_buffer: usize,
        settings: &Settings,
    ) -> Self {
        Self {
            requester,
            base,
            advertisement,
            advertised_at: Instant::now(),
            is_remembered: false,
            post_buffer,
            limits: Limits {
                idle: settings.idle_timeout,
                report: settings.report_timeout,
                // A proxy may hold the answer back until it is whole.
                hears_keepalives: false,
            },
            agent: agent_capability(&settings.environment),
            background: settings.background.clone(),
            transfer: settings.transfer.clone(),
            rest: None,
        }
    }

    async fn exchange(
        &mut self,
        command: &Command,
        shallow: &[Oid],
        mut pack: PackReceiver,
    ) -> Result<Report, Failure> {
        if !self.advertisement.confirms_pushes() {
            let message = "the server does not support report-status, so a push could not be confirmed";
            return Err(Failure::new(Kind::RemoteError, message));
        }
        let has_sideband = self.advertisement.supports("side-band-64k");
        let request = Request {
            advertisement: &self.advertisement,
            command,
            shallow,
            agent: &self.agent,
        };
        let request = request.encode();
        let url = Url::parse(&format!("{}git-receive-pack", self.base)).map_err(|error| {
            Failure::new(Kind::Local, format!("{} is not a valid URL: {error}", self.base))
        })?;
        let activity = self.requester.activity.clone();
        let pack_failure = PackFailure::default();
        let (pieces, is_whole) = gather(&request, &mut pack, self.post_buffer).await?;
        let answered = if is_whole {
            let length: usize = pieces.iter().map(Bytes::len).sum();
            let prepare = |client: &Client| {
                let no_more = mpsc::channel(1).1;
                let body = streamed(pieces.clone(), no_more, &pack_failure, &activity);
                let request = post(client, &url).header(CONTENT_LENGTH, length);
                request.body(Body::wrap_stream(body))
            };
            self.send(&url, prepare).await
        } else {
            self.probe(&url).await?;
            let body = streamed(pieces, pack, &pack_failure, &activity);
            let request = post(&self.requester.client, &url).body(Body::wrap_stream(body));
            self.requester.send_only(&url, request).await
        };
        let response = answered.map_err(|refused| {
            if !refused.may_have_acted {
                activity.unsent();
            }
            take(&pack_failure).unwrap_or(refused.failure)
        })?;
        if response.status().is_redirection() {
            activity.unsent();
            let message = format!(
                "{} redirects the push ({}), but only the first request may be redirected: set the remote to the new URL",
                shown(&url),
                response.status()
            );
            return Err(Failure::new(Kind::RemoteError, message));
        }
        // git accepts an answer of any type as the report; the type only explains an answer that is none.
        let found = content_type(response.headers());
        let mut reader = reader_of(response, &activity);
        let mut told = |message: &[u8]| self.transfer.server_says(message);
        match read_report(&mut reader, has_sideband, command.refname(), &mut told).await {
            Ok(report) => {
                self.rest = Some(reader);
                Ok(report)
            }
            Err(WireError::Protocol(problem)) if found != RESULT_TYPE => {
                let message = format!(
                    "{} sent no report: expected an answer of the type {RESULT_TYPE}, got '{found}' ({problem})",
                    shown(&url)
                );
                Err(Failure::new(Kind::RemoteError, message))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request. If the credential of an earlier push is refused by now, the helpers are not told to forget it: the
    /// next connection asks them anew.
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

    /// Reads the rest of the answer behind the report in the background.
    fn drain(&mut self) {
        let Some(mut rest) = self.rest.take() else { return };
        let background = self.background.clone();
        self.background.spawn(async move {
            tokio::select! {
                drained = rest.discard() => {
                    if let Err(error) = drained {
                        tracing::debug!(%error, "the rest of the server's answer could not be read");
                    }
                }
                () = background.dismissed() => {}
            }
        });
    }

    /// Sends the smallest request, as git does: a server that wants credentials says so now, before the pack is sent in
    /// vain.
    async fn probe(&mut self, url: &Url) -> Result<(), Failure> {
        let mut flush = Vec::new();
        encode_flush(&mut flush);
        let prepare = |client: &Client| post(client, url).body(flush.clone());
        let answered = self.send(url, prepare).await;
        let response = answered.map_err(|refused| refused.failure)?;
        let mut reader = reader_of(response, &self.requester.activity);
        reader
            .discard()
            .await
            .map_err(|error| WireError::from(error).into())
    }
}

fn post(client: &Client, url: &Url) -> RequestBuilder {
    client
        .post(url.clone())
        .header(CONTENT_TYPE, REQUEST_TYPE)
        .header(ACCEPT, RESULT_TYPE)
}

fn take(pack_failure: &PackFailure) -> Option<Failure> {
    pack_failure.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Collects a body until it is longer than `limit` or whole, and returns which.
async fn gather(
    request: &[u8],
    pack: &mut PackReceiver,
    limit: usize,
) -> Result<(VecDeque<Bytes>, bool), Failure> {
    let mut pieces = VecDeque::from([Bytes::copy_from_slice(request)]);
    let mut length = request.len();
    while let Some(piece) = pack.recv().await {
        let piece = piece?;
        length += piece.len();
        pieces.push_back(piece);
        if length > limit {
            return Ok((pieces, false));
        }
    }
    if length == request.len() {
        return Err(Failure::new(Kind::Local, "the pack is empty"));
    }
    Ok((pieces, true))
}

/// The body of a request.
fn streamed(
    pieces: VecDeque<Bytes>,
    pack: PackReceiver,
    pack_failure: &PackFailure,
    activity: &Activity,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    activity.unsent();
    let body = (
        PackPieces::new(pieces, pack),
        Arc::clone(pack_failure),
        activity.clone(),
    );
    stream::unfold(body, |(mut pieces, pack_failure, activity)| async {
        let piece = match pieces.next().await? {
            Ok((piece, is_last)) => {
                activity.touch();
                if is_last {
                    activity.sent();
                }
                Ok(piece)
            }
            Err(failure) => {
                let error = io::Error::other(failure.to_string());
                *pack_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.into());
                Err(error)
            }
        };
        Some((piece, (pieces, pack_failure, activity)))
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
            let (activity, limits) = (self.requester.activity.clone(), self.limits);
            activity.unsent();
            let exchange = self.exchange(command, shallow, pack);
            let exchanged = activity.guard(limits, PUSHING, exchange).await;
            exchanged
                .and_then(|report| report)
                .map_err(|failure| PushFailure {
                    failure,
                    sent: activity.is_sent(),
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
    use git_local::LocalError;

    use super::*;

    fn pack(pieces: &[Result<&'static str, LocalError>]) -> PackReceiver {
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
        activity: &Activity,
    ) -> Vec<io::Result<Bytes>> {
        let pieces = pieces.iter().map(|&piece| Bytes::from(piece)).collect();
        let stream = streamed(pieces, rest, &PackFailure::default(), activity);
        stream.collect().await
    }

    #[tokio::test]
    async fn a_small_pack_is_gathered_whole_and_a_large_one_is_not() {
        let gathered = gather(b"R", &mut pack(&[Ok("PA"), Ok("CK")]), 5).await;
        assert!(matches!(gathered, Ok((pieces, true)) if pieces == ["R", "PA", "CK"]));
        let gathered = gather(b"R", &mut pack(&[Ok("PA"), Ok("CK"), Ok("!")]), 4).await;
        assert!(matches!(gathered, Ok((pieces, false)) if pieces.len() == 3));
        assert!(gather(b"R", &mut pack(&[]), 5).await.is_err());
    }

    #[tokio::test]
    async fn a_streamed_pack_counts_as_sent_with_its_last_piece() {
        let activity = Activity::new();
        let sent = stream_all(&["R", "PA"], pack(&[Ok(""), Ok("CK")]), &activity).await;
        let sent: Vec<Bytes> = sent.into_iter().map(|piece| piece.expect("no failure")).collect();
        assert_eq!(sent, ["R", "PA", "CK"]);
        assert!(activity.is_sent());
    }

    #[tokio::test]
    async fn a_body_counts_as_sent_once_its_last_bytes_are_handed_over() {
        let activity = Activity::new();
        let pieces = VecDeque::from(["R", "PA", "CK"].map(Bytes::from));
        let body = streamed(pieces, pack(&[]), &PackFailure::default(), &activity);
        let mut body = std::pin::pin!(body);
        let mut sent = Vec::new();
        while let Some(piece) = body.next().await {
            sent.extend_from_slice(&piece.expect("no failure"));
            assert_eq!(activity.is_sent(), sent == b"RPACK");
        }
        assert_eq!(sent, b"RPACK");
    }

    #[tokio::test]
    async fn a_pack_that_cannot_be_made_ends_the_body_before_its_last_piece() {
        let activity = Activity::new();
        let failure = LocalError::new("object gone");
        let pack_failure = PackFailure::default();
        let pack = pack(&[Ok("PACK"), Err(failure.clone())]);
        let body = streamed(VecDeque::from([Bytes::from("R")]), pack, &pack_failure, &activity);
        assert_eq!(body.collect::<Vec<_>>().await.len(), 2);
        assert!(!activity.is_sent());
        assert_eq!(take(&pack_failure), Some(failure.into()));
    }
}
