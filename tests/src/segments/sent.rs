//! What was sent on one connection.

use std::net::SocketAddr;

/// Digits of a connection's number in a target.
pub(super) const ID_DIGITS: usize = 6;

/// A connection.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its number, which is in every target.
    pub id: u32,
    /// The client that its TOA names.
    pub client: SocketAddr,
    /// The station's side.
    pub peer: SocketAddr,
    /// Whether part of the first request came before any packet that named the client.
    pub is_late: bool,
    /// Where a RST may end the connection, if it was left open.
    pub left_open: Option<[u32; 2]>,
    /// The segments, for error messages.
    pub trace: Vec<String>,
}
