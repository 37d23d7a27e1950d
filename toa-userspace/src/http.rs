//! Finding the heads of HTTP requests in one direction of a connection. Responses are not read.
//!
//! [`parser::Parser`] takes the events of a stream and emits [`Event`](crate::event::Event)s. A head within one segment
//! is parsed in place. Only a head that is spread over several segments is collected, and only its new bytes are
//! searched for its end.
//!
//! # What is unusual
//! A head whose end was found is always emitted, and its body is passed over by its own length. What a server may refuse
//! is marked as malformed. A head that is longer than allowed, or whose end does not come, is emitted as far as it is
//! known, with the reason.
//!
//! # When bytes are missing
//! Inside a body of known length, a gap counts like the bytes that it replaces. Anywhere else, the parser has lost its
//! place in the stream: it emits the part of a head that it has as incomplete, and searches for a request at the start of
//! each segment and of each line. A body may contain what looks like a request, so what is found, and everything after it
//! on the connection, is marked as resynchronized.
//!
//! # HTTP/2
//! A connection of HTTP/2 begins with its preface, at once or after a request for an upgrade. A connection that was joined later may also
//! be HTTP/2 if several frames follow each other, with a request among them.
//!
//! # When it is not HTTP
//! A PROXY protocol header is read, because it may name the client, and what follows it is read as usual. Whether it is
//! read depends on the client: see [`context::Receiver::begin`]. Of TLS, the `ClientHello` is read.
//!
//! A stream that was seen from its start and does not begin with a request line is not HTTP: there is one event. The same
//! applies after a request for an upgrade or a tunnel, unless another request follows, as it does when the server
//! refused. From then on only samples of the stream are searched, in ever longer intervals. A stream that was joined
//! later may begin anywhere. There the parser searches, unless the bytes are a TLS record or HTTP/2.

mod body;
pub mod context;
mod expectation;
mod field_line;
mod framing;
pub mod head;
mod host;
mod http2;
mod known_lines;
mod long_head;
mod memory;
pub mod parser;
mod partial;
mod proxy;
mod reading;
mod request_line;
mod search;

pub mod start;

pub use framing::FramingFault;
pub use memory::HeadMemory;
pub use proxy::header::{Endpoint, ProxyHeader, ProxyVersion};
pub use request_line::Malformation;

/// Longest preview of bytes that are not HTTP, in bytes.
pub const PREVIEW_BYTES: usize = 64;

/// The protocol of a stream, or of its rest, that is neither readable HTTP nor TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotHttp {
    /// HTTP/2 that breaks its rules, so that no server reads on, or ended without a request.
    Http2,
    /// Another protocol, after a request for an upgrade.
    Upgrade,
    /// Another protocol, after a request for a tunnel.
    Connect,
    /// An unknown protocol.
    Other,
}

impl NotHttp {
    /// Returns the name used in results.
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
