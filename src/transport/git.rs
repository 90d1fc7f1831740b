//! The git protocol: a TCP connection to `git daemon`, without encryption or authentication.

use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::session::StreamSession;
use super::{Session, Settings, Transport};
use crate::failure::{Failure, Kind};
use crate::pkt_line;

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
    /// `authority` is host and port as they were written, `host` a name or an address without brackets.
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

    /// The request that opens the conversation (gitprotocol-pack(5), "Git Transport").
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
            let address = format!("{} port {}", self.host, self.port);
            let stream = TcpStream::connect((self.host.as_str(), self.port))
                .await
                .map_err(|error| {
                    Failure::from_remote_io(&format!("could not connect to {address}"), &error)
                })?;
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
    use crate::config::Environment;
    use crate::transport::{Background, SharedClient};

    #[test]
    fn the_request_names_the_path_and_the_host_as_it_was_written() {
        let settings = Settings {
            idle_timeout: None,
            environment: Environment::default(),
            background: Background::default(),
            http: SharedClient::default(),
        };
        let request = GitTransport::new("h:1234", "h", 1234, "/data.git", settings).request();
        assert_eq!(request, b"002bgit-receive-pack /data.git\0host=h:1234\0");
    }
}
