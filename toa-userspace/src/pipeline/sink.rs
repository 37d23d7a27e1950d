//! Responsible for what a pipeline tells the world, and what it asks of the kernel. Not responsible for when.

use toa_common::order::Order;

use crate::{
    http::{NotHttp, ProxyVersion, head::HttpRequest},
    pipeline::connection::Connection,
    tls::ClientHello,
};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It is seen for the first time.
    Opened,
    /// A request's head.
    Request(&'a HttpRequest<'a>),
    /// It begins with a header of the PROXY protocol.
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
    /// It is not known any more.
    Closed(Closed),
}

/// Why a connection is not known any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Closed {
    /// It ended with a FIN.
    Fin,
    /// It ended with a RST.
    Rst,
    /// It was silent for too long. If it goes on, it is a new connection here.
    Idle,
    /// There were too many connections. If it goes on, it is a new connection here.
    Evicted,
    /// The pipeline was finished.
    Finished,
}

impl Closed {
    /// Its name for people and machines.
    #[must_use]
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

/// Where results go.
pub trait Sink {
    /// Something became of a connection: it was opened, then what its stream had in its order, then it was closed.
    /// This cannot fail: a sink that writes keeps its error until it is asked.
    fn event(&mut self, connection: &Connection, event: &Event<'_>);

    /// Asks the kernel not to copy what `order` says; it takes the place of the connection's earlier one. Returns
    /// whether the kernel will do so from some time on. A sink without a kernel, or without room for the order,
    /// says no, and everything goes on as it came.
    fn order(&mut self, _connection: &Connection, _order: &Order) -> bool {
        false
    }

    /// Withdraws the order of this connection: its window has been passed, or it is to give a sign of life. An
    /// order of a later connection of the same 4-tuple, which has another generation, stays.
    fn withdraw(&mut self, _connection: &Connection) {}
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        (**self).event(connection, event);
    }

    fn order(&mut self, connection: &Connection, order: &Order) -> bool {
        (**self).order(connection, order)
    }

    fn withdraw(&mut self, connection: &Connection) {
        (**self).withdraw(connection);
    }
}
