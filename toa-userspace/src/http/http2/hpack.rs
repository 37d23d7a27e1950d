//! The compression of header lists (RFC 7541). [`decoder::Decoder`] is that of one connection.

pub(super) mod decoder;
pub(super) mod error;
mod huffman;
mod integer;
mod static_table;
pub(super) mod table;
