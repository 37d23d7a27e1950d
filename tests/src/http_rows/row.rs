//! A row of the table: the bytes of one connection.

use super::sent_head::SentHead;

/// The fields of a head if the row is not about fields.
pub(super) const FIELDS: &[u8] = b"Host: lab\r\nX-Team: payments\r\n\r\n";

/// The last request of most rows, which shows whether the place in the stream was kept.
pub(super) const TAIL: &[u8] = b"GET /tail HTTP/1.1\r\nHost: lab\r\nX-Team: tail\r\n\r\n";

/// A complete head that is the content of bodies: it is no request.
pub const PHANTOM: &[u8] = b"GET /phantom HTTP/1.1\r\nHost: lab\r\nX-Team: victim\r\n\r\n";

/// A row: the bytes of one connection.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it shows.
    pub name: String,
    /// Its bytes, in parts.
    pub parts: Vec<Part>,
}

/// A part of a connection.
#[derive(Clone, Debug)]
pub enum Part {
    /// A head, or what a client sends in its place.
    Head(Vec<u8>),
    /// Bytes that are no head: bodies, empty lines.
    Other(Vec<u8>),
}

impl Row {
    pub(super) fn new(sort: &str, name: &[u8], parts: impl IntoIterator<Item = Part>) -> Self {
        let shown: String = name.escape_ascii().to_string().chars().take(90).collect();
        Self { name: format!("{sort}: {shown}"), parts: parts.into_iter().collect() }
    }

    /// Returns all its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|(Part::Head(bytes) | Part::Other(bytes))| bytes.iter().copied()).collect()
    }

    /// Returns its heads in order.
    pub fn heads(&self) -> Vec<SentHead> {
        let heads = self.parts.iter().filter_map(|part| match part {
            Part::Head(bytes) => Some(SentHead::read(bytes)),
            Part::Other(_) => None,
        });
        heads.collect()
    }
}

pub(super) fn head(parts: &[&[u8]]) -> Part {
    Part::Head(parts.concat())
}

pub(super) fn other(bytes: &[u8]) -> Part {
    Part::Other(bytes.to_vec())
}

pub(super) fn tail() -> Part {
    head(&[TAIL])
}
