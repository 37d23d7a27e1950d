//! Events of a connection.

use crate::{
    http::{
        NotHttp, ProxyVersion,
        head::{Cause, HttpRequest},
    },
    tls::ClientHello,
};

/// Something that happened on a connection. In the variants, *it* is the connection.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Its first segment was seen.
    Opened,
    /// The head of a request.
    Request(&'a HttpRequest<'a>),
    /// It begins with a PROXY protocol header. HTTP may follow.
    Proxy(ProxyVersion),
    /// It is TLS.
    Tls(&'a ClientHello),
    /// It, or the rest of it, is neither HTTP nor TLS.
    NotHttp {
        /// The protocol, as far as it is known.
        reason: NotHttp,
        /// Its first bytes, at most [`crate::http::PREVIEW_BYTES`].
        preview: &'a [u8],
    },
    /// Bytes that arrived twice with different content, or in a segment that the server may have discarded.
    Conflict {
        /// How many bytes.
        bytes: u64,
    },
    /// Missing bytes that were given up.
    Gap {
        /// How many bytes.
        bytes: u64,
    },
    /// It was dropped from the table.
    Closed(Closed),
}

/// Why a connection was dropped from the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closed {
    /// It ended with a FIN.
    Fin,
    /// It ended with a RST.
    Rst,
    /// It was silent for too long. If it continues, it is reported as a new connection.
    Idle,
    /// There were too many connections. If it continues, it is reported as a new connection.
    Evicted,
    /// The run ended.
    Finished,
}

impl From<Closed> for Cause {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Fin | Closed::Rst => Self::End,
            Closed::Idle => Self::Idle,
            Closed::Evicted => Self::Limit,
            Closed::Finished => Self::Finished,
        }
    }
}

impl Closed {
    /// Returns the name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::Finished => "finished",
        }
    }
}
