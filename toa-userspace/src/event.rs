//! What becomes of a connection.

use crate::{
    http::{NotHttp, ProxyVersion, head::HttpRequest},
    tls::ClientHello,
};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It is seen for the first time.
    Opened,
    /// A request's head.
    Request(&'a HttpRequest<'a>),
    /// It begins with a header of the PROXY protocol. HTTP may follow.
    Proxy(ProxyVersion),
    /// It is TLS.
    Tls(&'a ClientHello),
    /// It, or its rest, is neither HTTP/1 nor TLS.
    NotHttp {
        /// What it is.
        reason: NotHttp,
        /// Its first bytes, at most [`crate::http::PREVIEW_BYTES`].
        preview: &'a [u8],
    },
    /// Bytes are missing for good.
    Gap {
        /// How many.
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
    /// It was silent for too long. If it goes on, it is a new connection here.
    Idle,
    /// There were too many connections. If it goes on, it is a new connection here.
    Evicted,
    /// The run ended.
    Finished,
}

impl Closed {
    /// The name used in results.
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
