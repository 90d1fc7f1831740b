//! pkt_line
