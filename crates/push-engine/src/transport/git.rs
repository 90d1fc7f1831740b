//! `git://`: a TCP connection to `git daemon`, without encryption or authentication.

use futures_util::future::BoxFuture;
use git_wire::pkt_line;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::activity::{KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_TRIES};
use super::session::StreamSession;
use super::{Session, Settings, Transport};
use crate::failure::{Failure, Kind};
use crate::turns;

/// Pushes to a `git://` address.
#[derive(Debug)]
pub struct GitTransport {
    authority: String,
    host: String,
    port: u16,
    path: String,
    settings: Settings,
}

impl GitTransport {
    /// `authority` is the host and port as written, `host` a name or an address without brackets.
    #[must_use]
    pub fn new(authority: &str, host: &str, port: u16, path: &str, settings: Settings) -> Self {
        Self {
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            settings,
        }
    }

    /// Makes the system end the connection if the peer stops answering, whether data is in flight or not. On a system that
    /// cannot do so, the limits of the push end it.
    fn find_dead_peer(&self, stream: &TcpStream) {
        let socket = SockRef::from(stream);
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_EVERY)
            .with_retries(KEEPALIVE_TRIES);
        let _ = socket.set_tcp_keepalive(&keepalive);
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let _ = socket.set_tcp_user_timeout(self.settings.idle_timeout);
    }

    /// The first request (gitprotocol-pack(5), "Git Transport").
    fn request(&self) -> Vec<u8> {
        let mut request = Vec::new();
        let line = format!("git-receive-pack {}\0host={}\0", self.path, self.authority);
        pkt_line::encode(line.as_bytes(), &mut request);
        request
    }
}

impl Transport for GitTransport {
    fn name(&self) -> &'static str {
        "git"
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            // git:// has no users: a user and password are part of the host name, and must not be shown.
            let host = self.host.rsplit('@').next().unwrap_or_default();
            let address = format!("{host} port {}", self.port);
            let connecting = async {
                let addresses = turns::look_up(&self.host, self.port).await?;
                TcpStream::connect(&*addresses).await
            };
            let stream = connecting.await.map_err(|error| {
                Failure::from_remote_io(&format!("could not connect to {address}"), &error)
            })?;
            // The packets are small, and each waits for an answer.
            let _ = stream.set_nodelay(true);
            self.find_dead_peer(&stream);
            let (reader, mut writer) = stream.into_split();
            writer
                .write_all(&self.request())
                .await
                .map_err(|error| Failure::from_remote_io(&format!("could not talk to {address}"), &error))?;
            let session = StreamSession::open(Box::new(reader), Box::new(writer), None, &self.settings).await.map_err(|failure| {
                // A daemon that does not accept pushes hangs up without a message.
                if failure.kind() == Kind::Network {
                    let advice = "check that the server runs `git daemon --enable=receive-pack` and exports this repository";
                    Failure::new(Kind::Network, format!("{} ({advice})", failure.message()))
                } else {
                    failure
                }
            })?;
            Ok(Box::new(session) as Box<dyn Session>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn transport(port: u16) -> GitTransport {
        let settings = Settings {
            idle_timeout: Some(Duration::from_secs(7)),
            ..Settings::default()
        };
        GitTransport::new("h:1234", "127.0.0.1", port, "/data.git", settings)
    }

    #[test]
    fn the_request_names_the_path_and_the_host_as_written() {
        let request = transport(1234).request();
        assert_eq!(request, b"002bgit-receive-pack /data.git\0host=h:1234\0");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_looks_for_dead_peers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(address).await.expect("connected");
        transport(address.port()).find_dead_peer(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("readable"));
        assert_eq!(socket.tcp_keepalive_time().expect("readable"), KEEPALIVE_AFTER);
        assert_eq!(
            socket.tcp_user_timeout().expect("readable"),
            Some(Duration::from_secs(7))
        );
    }
}
