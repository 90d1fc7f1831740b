//! The push protocol, receive-pack version 0 and 1, over any byte stream: the server's advertisement, the command and the
//! pack that are sent, and the report that is received (`gitprotocol-pack`, "Pushing Data To a Server").
//!
//! It pushes one ref per connection. It cannot delete a ref, and it always sends the old value, so the server itself
//! refuses an update whose premise is stale. It opens no connection, sets no deadline, does not decide whether an update
//! is a fast-forward, and returns the server's texts as they came: the caller must clean and redact them.

mod advertisement;
mod error;
mod exchange;
mod pieces;
mod report;
mod request;

pub use advertisement::Advertisement;
pub use error::{SendError, WireError};
pub use exchange::send;
pub use pieces::PackPieces;
pub use report::{Report, read_report};
pub use request::{Command, Request};
