//! send_pack
