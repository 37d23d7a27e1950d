//! HTTP/2 over TLS, one request at a time, and what was sent. As browsers and gRPC do, it sends a field once and refers to it
//! from then on (HPACK, RFC 7541), except those that differ in every request.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::{
    lab::netns::Namespace,
    peers::{
        client::{Bound, Request},
        tls_pipe::TlsPipe,
    },
};

/// What a client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 section 6).
mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
}

/// Flags of frames.
mod flag {
    /// Of DATA and HEADERS: nothing follows on the stream.
    pub(super) const END_STREAM: u8 = 1;
    /// Of SETTINGS.
    pub(super) const ACK: u8 = 1;
    /// Of HEADERS: no CONTINUATION follows.
    pub(super) const END_HEADERS: u8 = 4;
}

/// `:status 200` in the static table.
const OK: u8 = 0x88;
/// `:method GET` and `:scheme https` in it.
const GET_OF_HTTPS: [u8; 2] = [0x82, 0x87];
/// Table sizes of 0 and then of 4,096 bytes, the initial one (RFC 7541 section 6.3).
const EMPTY_TABLE: [u8; 4] = [0x20, 0x3f, 0xe1, 0x1f];
/// The number of entries in the static table.
const STATIC_ENTRIES: usize = 61;

/// The host of all requests.
pub const AUTHORITY: &str = "lab";

/// The field that is never put into the table, apart from `:path`.
const UNINDEXED: &str = "x-request-id";

/// A connection.
#[derive(Debug)]
pub struct Http2Connection {
    pipe: TlsPipe,
    /// The table of fields sent, the latest one first.
    table: Vec<(String, String)>,
    stream: u32,
    sent: Vec<Request>,
    /// Whether the table is emptied before the next request.
    empties_table: bool,
}

impl Http2Connection {
    /// Connects to `server` from the address and port of `bound`.
    pub fn open(namespace: &Namespace, bound: Bound, server: SocketAddr) -> Result<Self> {
        Self::over(TlsPipe::open(namespace, bound, server, "h2", None)?)
    }

    /// Like [`Self::open`], and appends the connection's secrets to the file `keys`.
    pub fn open_with_keys(
        namespace: &Namespace,
        bound: Bound,
        server: SocketAddr,
        keys: &Path,
    ) -> Result<Self> {
        Self::over(TlsPipe::open(namespace, bound, server, "h2", Some(keys))?)
    }

    fn over(mut pipe: TlsPipe) -> Result<Self> {
        pipe.write(&[PREFACE, &frame(frame::SETTINGS, 0, 0, &[])?].concat())?;
        Ok(Self { pipe, table: Vec::new(), stream: 1, sent: Vec::new(), empties_table: false })
    }

    /// Empties the table of fields with the next request.
    pub fn empty_table(&mut self) {
        self.empties_table = true;
    }

    /// Returns its local address and port.
    pub fn local(&self) -> SocketAddr {
        self.pipe.local()
    }

    /// Returns the requests sent, in order.
    pub fn sent(&self) -> &[Request] {
        &self.sent
    }

    /// Sends a `GET` without a body and reads its answer.
    pub fn ask(&mut self, request: Request) -> Result<()> {
        ensure!(request.method == "GET" && request.body == 0, "only GET is supported");
        let stream = self.stream;
        self.stream += 2;
        let mut block = Vec::new();
        if std::mem::take(&mut self.empties_table) {
            block.extend(EMPTY_TABLE);
            self.table.clear();
        }
        block.extend(GET_OF_HTTPS);
        // Without indexing, named by the static table's entry 4.
        block.push(4);
        string(&request.target, &mut block)?;
        self.field(":authority", AUTHORITY, &mut block)?;
        for (name, value) in &request.fields {
            self.field(name, value, &mut block)?;
        }
        self.sent.push(request);
        let flags = flag::END_STREAM | flag::END_HEADERS;
        self.pipe.write(&frame(frame::HEADERS, flags, stream, &block)?)?;
        self.read_answer(stream).with_context(|| format!("answer on stream {stream} to {}", self.local()))
    }

    /// Appends a field to a block of header fields.
    fn field(&mut self, name: &str, value: &str, block: &mut Vec<u8>) -> Result<()> {
        if let Some(at) = self.table.iter().position(|(known, its)| known == name && its == value) {
            let index = u8::try_from(STATIC_ENTRIES + 1 + at)?;
            ensure!(index < 0x7f, "an index of one byte");
            block.push(0x80 | index);
            return Ok(());
        }
        let is_indexed = name != UNINDEXED;
        block.push(if is_indexed { 0x40 } else { 0 });
        string(name, block)?;
        string(value, block)?;
        if is_indexed {
            self.table.insert(0, (name.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    /// Reads frames until the stream's last one.
    fn read_answer(&mut self, stream: u32) -> Result<()> {
        loop {
            let head = self.pipe.take(9)?;
            let [a, b, c, kind, flags, of @ ..] = *head.first_chunk::<9>().context("a frame's head")?;
            let payload = self.pipe.take(usize::try_from(u32::from_be_bytes([0, a, b, c]))?)?;
            let is_ours = u32::from_be_bytes(of) == stream;
            match kind {
                frame::SETTINGS if flags & flag::ACK == 0 => {
                    self.pipe.write(&frame(frame::SETTINGS, flag::ACK, 0, &[])?)?;
                }
                frame::GOAWAY | frame::RST_STREAM => anyhow::bail!("refused: {payload:?}"),
                frame::HEADERS if is_ours => ensure!(payload.first() == Some(&OK), "no 200: {payload:?}"),
                _ => {}
            }
            if is_ours && matches!(kind, frame::HEADERS | frame::DATA) && flags & flag::END_STREAM != 0 {
                return Ok(());
            }
        }
    }
}

/// Returns a frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Vec<u8>> {
    let [_, len @ ..] = u32::try_from(payload.len())?.to_be_bytes();
    Ok([&len[..], &[kind, flags], &stream.to_be_bytes(), payload].concat())
}

/// Appends a string without Huffman code.
fn string(text: &str, block: &mut Vec<u8>) -> Result<()> {
    let len = u8::try_from(text.len())?;
    ensure!(len < 0x7f, "a length of one byte");
    block.push(len);
    block.extend(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_begins_with_its_length_and_stream() {
        let bytes = frame(frame::HEADERS, 5, 3, b"abc").unwrap();
        assert_eq!(bytes, [0, 0, 3, 1, 5, 0, 0, 0, 3, b'a', b'b', b'c']);
        let mut block = Vec::new();
        string("ab", &mut block).unwrap();
        assert_eq!(block, [2, b'a', b'b']);
        assert!(string(&"x".repeat(127), &mut block).is_err());
    }
}
