//! Responsible for finding the heads of HTTP/1 requests in one connection's stream, and for passing over
//! their bodies. Not responsible for the order of bytes, nor for what a server answers.
//!
//! [`parser::Parser`] takes the events of a stream and emits [`Event`](crate::event::Event)s. A head that lies in one segment is read
//! where it lies; only a head that is cut is collected, and only its new bytes are searched for its end.
//!
//! # When bytes are missing
//! Inside a body of known length a gap is counted like the bytes that it replaces. Anywhere else the place in
//! the stream is lost: what there is of a head is emitted as incomplete, and the parser searches for the next
//! request line with a known method, at the start of each segment and of each line. A body that contains such
//! a line after a gap is taken for a request.
//!
//! # When it is not HTTP
//! A header of the PROXY protocol is named and passed over: what it was put before is read as ever. Of TLS the
//! `ClientHello` is read.
//!
//! A stream that was seen from its SYN and does not begin with a request line is not HTTP: one event, then
//! its bytes are counted only. So it is after a request for an upgrade or a tunnel, unless the next bytes are
//! a request again, as when the server refused. A stream that was joined later begins anywhere, so there the
//! parser searches, unless a TLS `ClientHello` or the preface of HTTP/2 says what it is.

mod body;
pub mod context;
mod framing;
pub mod head;
pub mod parser;
mod partial;
mod proxy;
pub mod start;

pub use framing::FramingFault;
pub use proxy::ProxyVersion;

/// Longest preview of what is not HTTP, in bytes.
pub const PREVIEW_BYTES: usize = 64;

/// What a stream is that is neither HTTP/1 nor TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotHttp {
    /// HTTP/2 without TLS.
    Http2,
    /// Another protocol, after a request for an upgrade.
    Upgrade,
    /// Another protocol, after a request for a tunnel.
    Connect,
    /// Something else.
    Other,
}

impl NotHttp {
    /// Its name for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http2 => "http2",
            Self::Upgrade => "upgrade",
            Self::Connect => "connect",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests;
