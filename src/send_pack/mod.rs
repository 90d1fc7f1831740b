//! The push protocol, receive-pack version 0 and 1, over any byte stream: what the server advertises, the
//! command and the pack that go to it, and the report that comes back (`gitprotocol-pack`, "Pushing Data To
//! a Server").
//!
//! It pushes one ref per connection. It cannot delete, and the old value is always sent, so the server
//! itself refuses an update whose premise is stale. It opens no connection, has no deadlines, and does not
//! judge whether an update is a fast-forward.

mod advertisement;
mod error;
mod exchange;
mod messages;
mod pieces;
mod report;
mod request;

pub use advertisement::Advertisement;
pub use error::{SendError, WireError};
pub use exchange::{PackReceiver, drain, send};
pub(crate) use messages::plain_text;
pub use pieces::PackPieces;
pub use report::{Report, read_report};
pub use request::{Command, encode_request};
