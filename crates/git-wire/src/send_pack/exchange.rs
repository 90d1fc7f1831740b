//! The exchange itself: the request and the pack are sent while the answer is read.

use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::pieces::PackPieces;
use super::report::ReportReader;
use super::{Report, Request, SendError, WireError};
use crate::pkt_line::PacketReader;

/// Sends the command and the pack, and reads the report. The pack ends with the channel; dropping the receiver cancels
/// its generation. `on_message` is called with what the server and its hooks tell meanwhile.
///
/// Both directions run at once: a server may refuse before it has read the whole pack, and a server that dies explains
/// itself before the pipe breaks. So the server's message takes precedence over an error of writing. The writer is
/// flushed and dropped after the pack.
///
/// # Errors
///
/// No report came. A report that refuses the update is not an error.
pub async fn send<R, W, E>(
    reader: &mut PacketReader<R>,
    writer: W,
    request: &Request<'_>,
    pack: mpsc::Receiver<Result<Bytes, E>>,
    on_message: &mut dyn FnMut(&[u8]),
) -> Result<Report, SendError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let sent = Cell::new(false);
    let failed = |source, messages| SendError {
        sent: sent.get(),
        source,
        messages,
    };
    let Request {
        advertisement,
        command,
        ..
    } = *request;
    if !advertisement.confirms_pushes() {
        let problem = "it does not support report-status, so a push could not be confirmed";
        return Err(failed(WireError::Protocol(problem.to_owned()), String::new()));
    }
    let request = request.encode();
    let sideband = advertisement.supports("side-band-64k");
    let mut report_reader = ReportReader::new(sideband, command.refname(), on_message);

    let outcome = {
        let mut writing = pin!(write_request(writer, &request, pack, &sent));
        let mut reading = pin!(report_reader.read(reader));
        tokio::select! {
            biased;
            written = &mut writing => match written {
                Ok(()) => reading.await,
                // The server's last message tells why it hung up; the broken pipe does not.
                Err(WireError::Io(error)) if is_hangup(&error) => reading.await,
                Err(error) => Err(error),
            },
            read = &mut reading => read,
        }
    };
    outcome.map_err(|source| failed(source, report_reader.messages()))
}

fn is_hangup(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

/// Sets `sent` just before the last piece of the pack is written.
async fn write_request<W: AsyncWrite + Unpin, E: Into<Box<dyn Error + Send + Sync>>>(
    mut writer: W,
    request: &[u8],
    pack: mpsc::Receiver<Result<Bytes, E>>,
    sent: &Cell<bool>,
) -> Result<(), WireError> {
    writer.write_all(request).await?;
    let mut pieces = PackPieces::new(VecDeque::new(), pack);
    while let Some(piece) = pieces.next().await {
        let (piece, is_last) = piece.map_err(|error| WireError::Pack(error.into()))?;
        sent.set(is_last);
        writer.write_all(&piece).await?;
    }
    if !sent.get() {
        return Err(WireError::Pack("the pack is empty".into()));
    }
    writer.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Advertisement, Command};
    use super::*;
    use crate::oid::Oid;
    use crate::pkt_line::{encode, encode_flush};
    use tokio::io::{AsyncReadExt, DuplexStream};

    const PACK: &[u8] = b"PACK and so on";

    fn oid(digit: char) -> Oid {
        digit.to_string().repeat(40).parse().expect("40 digits")
    }

    async fn advertisement(capabilities: &str) -> Advertisement {
        let mut bytes = Vec::new();
        let line = format!("{} refs/heads/main\0{capabilities}\n", oid('a'));
        encode(line.as_bytes(), &mut bytes);
        encode_flush(&mut bytes);
        Advertisement::read(&mut PacketReader::new(&bytes[..]))
            .await
            .expect("valid")
    }

    type PackReceiver = mpsc::Receiver<Result<Bytes, String>>;

    fn pack(pieces: Vec<Result<Bytes, String>>) -> PackReceiver {
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            sender.try_send(piece).expect("room");
        }
        receiver
    }

    fn report(lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            encode(line.as_bytes(), &mut bytes);
        }
        encode_flush(&mut bytes);
        bytes
    }

    /// Pushes against a server played by `server`, and then closes the connection.
    async fn push<F, S>(capabilities: &str, pack: PackReceiver, server: F) -> Result<Report, SendError>
    where
        F: FnOnce(DuplexStream) -> S,
        S: Future<Output = ()>,
    {
        let (client, server_end) = tokio::io::duplex(1024);
        let advertisement = advertisement(capabilities).await;
        let command = Command::new("refs/heads/main", Some(oid('a')), oid('b')).expect("valid");
        let pushing = async move {
            let (reader, mut writer) = tokio::io::split(client);
            let mut reader = PacketReader::new(reader);
            let request = Request {
                advertisement: &advertisement,
                command: &command,
                shallow: &[],
                agent: "git/1",
            };
            send(&mut reader, &mut writer, &request, pack, &mut |_| ()).await
        };
        tokio::join!(pushing, server(server_end)).0
    }

    async fn read_pack(server: &mut DuplexStream) {
        let mut got = Vec::new();
        while !got.ends_with(PACK) {
            got.push(server.read_u8().await.expect("more of the pack"));
        }
    }

    #[tokio::test]
    async fn the_request_and_the_pack_arrive_and_the_report_is_returned() {
        let pieces = vec![
            Ok(Bytes::from_static(&PACK[..5])),
            Ok(Bytes::new()),
            Ok(Bytes::from_static(&PACK[5..])),
        ];
        let result = push("report-status", pack(pieces), |mut server| async move {
            read_pack(&mut server).await;
            let report = report(&["unpack ok", "ok refs/heads/main"]);
            server.write_all(&report).await.expect("writable");
        })
        .await;
        assert!(result.expect("a report").is_success());
    }

    #[tokio::test]
    async fn a_refusal_before_the_end_of_the_pack_is_returned_at_once() {
        // The pack never ends: the sender stays open.
        let (sender, receiver) = mpsc::channel(1);
        let result = push("report-status", receiver, |mut server| async move {
            let report = report(&["unpack ok", "ng refs/heads/main no"]);
            server.write_all(&report).await.expect("writable");
            sender.closed().await;
        })
        .await;
        assert_eq!(result.expect("a report").reference, Err("no".to_owned()));
    }

    #[tokio::test]
    async fn the_message_of_a_dying_server_counts_more_than_the_broken_pipe() {
        let pieces = vec![Ok(vec![7; 100_000].into()), Ok(vec![7; 100_000].into())];
        let error = push(
            "report-status side-band-64k",
            pack(pieces),
            |mut server| async move {
                let mut bytes = Vec::new();
                encode(b"\x02hint: something\n", &mut bytes);
                encode(b"\x03fatal: disk full\n", &mut bytes);
                server.write_all(&bytes).await.expect("writable");
            },
        )
        .await
        .expect_err("no report");
        assert!(matches!(&error.source, WireError::Remote(message) if message == "fatal: disk full"));
        assert_eq!(error.messages, "hint: something");
        assert!(!error.sent);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_during_the_pack_has_not_sent_it() {
        let pieces = vec![Ok(vec![7; 100_000].into()), Ok(vec![7; 100_000].into())];
        let error = push(
            "report-status",
            pack(pieces),
            |server| async move { drop(server) },
        )
        .await
        .expect_err("no report");
        assert!(!error.sent, "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_after_the_pack_leaves_the_outcome_unknown() {
        let pieces = vec![Ok(Bytes::from_static(PACK))];
        let error = push("report-status", pack(pieces), |mut server| async move {
            read_pack(&mut server).await;
        })
        .await
        .expect_err("no report");
        assert!(matches!(error.source, WireError::UnexpectedEof { .. }), "{error}");
        assert!(error.sent);
    }

    #[tokio::test]
    async fn a_pack_that_cannot_be_made_ends_the_push_before_its_last_piece() {
        let pieces = vec![Ok(Bytes::from_static(PACK)), Err("object gone".to_owned())];
        let error = push("report-status", pack(pieces), |mut server| async move {
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.expect("readable");
            assert!(!got.ends_with(PACK));
        })
        .await
        .expect_err("no report");
        assert!(matches!(error.source, WireError::Pack(error) if error.to_string() == "object gone"));
        assert!(!error.sent);
    }

    #[tokio::test]
    async fn a_server_that_cannot_confirm_gets_nothing() {
        let error = push("side-band-64k", pack(Vec::new()), |mut server| async move {
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.expect("readable");
            assert_eq!(got, b"");
        })
        .await
        .expect_err("refused");
        assert!(matches!(error.source, WireError::Protocol(_)));
        assert!(!error.sent);
    }
}
