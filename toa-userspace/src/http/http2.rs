//! HTTP/2 from client to server (RFC 9113): frames, header blocks and their compression (RFC 7541).
//!
//! # What a passive observer cannot know
//! A connection may have been joined in its middle, or lost bytes. Then the entries that its client had put into the
//! compression's table are unknown, and so are fields that refer to them. They count as unknown and are never guessed. What
//! is sent from then on is exact: each new entry takes the lowest index and moves the others up, so an index tells whether
//! an entry was seen. The published decoders refuse an index that they have no entry for, and with it the connection; none
//! has a place for an entry whose content is unknown. So the decoder is our own.
//!
//! The server's settings are not seen either. The client announces the size of the table that it uses (RFC 7541 section
//! 4.2), and of larger frames than usual only the length matters here.
//!
//! # What is kept
//! Of a connection: its table up to [`hpack::table::MAX_TABLE_BYTES`], and the header block that is being read, up to the limits of a
//! head. The end of a longer block is decoded for the table alone. The payload of other frames is passed over.

mod binary;
pub(super) mod block;
pub(super) mod connection;
mod connection_errors;
mod frame;
mod hpack;
pub(super) mod join;
mod payload;

pub(super) use frame::{PREFACE, may_begin};
#[cfg(test)]
pub(super) use hpack::table::MAX_TABLE_BYTES;
