//! The git protocol: a TCP connection to `git daemon`, without encryption or authentication.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::session::StreamSession;
use super::{LocalFuture, Session, Settings, Transport};
use crate::failure::{Failure, Kind};
use crate::pkt_line;

/// Pushes to a `git://` address.
#[derive(Debug)]
pub struct GitTransport {
    host: String,
    port: u16,
    path: String,
    settings: Settings,
}

impl GitTransport {
    /// The port that IANA assigned to git.
    pub const DEFAULT_PORT: u16 = 9418;

    /// `host` is a name or an address, an IPv6 one without brackets.
    #[must_use]
    pub fn new(host: &str, port: Option<u16>, path: &str, settings: Settings) -> Self {
        Self {
            host: host.to_owned(),
            port: port.unwrap_or(Self::DEFAULT_PORT),
            path: path.to_owned(),
            settings,
        }
    }

    /// The request that opens the conversation (gitprotocol-pack(5), "Git Transport").
    fn request(&self) -> Vec<u8> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let host = if self.port == Self::DEFAULT_PORT { host } else { format!("{host}:{}", self.port) };
        let mut request = Vec::new();
        pkt_line::encode(format!("git-receive-pack {}\0host={host}\0", self.path).as_bytes(), &mut request);
        request
    }
}

impl Transport for GitTransport {
    fn name(&self) -> &'static str {
        "git"
    }

    fn connect(&self) -> LocalFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let address = format!("{} port {}", self.host, self.port);
            let stream = TcpStream::connect((self.host.as_str(), self.port))
                .await
                .map_err(|error| Failure::from_remote_io(&format!("could not connect to {address}"), &error))?;
            // Small packets are the rule, and each waits for an answer.
            let _ = stream.set_nodelay(true);
            let (reader, mut writer) = stream.into_split();
            writer
                .write_all(&self.request())
                .await
                .map_err(|error| Failure::from_remote_io(&format!("could not talk to {address}"), &error))?;
            let session = StreamSession::open(reader, writer, None, &self.settings).await.map_err(|failure| {
                // A daemon that does not serve pushes just hangs up.
                if failure.kind() == Kind::Network {
                    let advice = "does the server run `git daemon --enable=receive-pack`, and export this repository?";
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
    use crate::transport::Background;

    fn request(host: &str, port: Option<u16>) -> String {
        let settings = Settings { idle_timeout: None, background: Background::default() };
        String::from_utf8(GitTransport::new(host, port, "/data.git", settings).request()).expect("ASCII")
    }

    #[test]
    fn the_request_names_the_host_with_a_port_that_is_not_the_default() {
        assert_eq!(request("h", None), "0025git-receive-pack /data.git\0host=h\0");
        assert_eq!(request("h", Some(9418)), request("h", None));
        assert!(request("h", Some(1234)).ends_with("\0host=h:1234\0"));
        assert!(request("::1", Some(1234)).ends_with("\0host=[::1]:1234\0"));
    }
}
