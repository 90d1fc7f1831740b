//! The connections to a remote.
