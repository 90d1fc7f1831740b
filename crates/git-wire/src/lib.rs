//! The push side of git's protocol: packet lines, what a server advertises, the commands, the pack's frame, the report.
//!
//! It reads and writes whatever stream it is given, and opens none. It knows neither remotes nor failures.

pub mod oid;
pub mod pkt_line;
pub mod send_pack;
