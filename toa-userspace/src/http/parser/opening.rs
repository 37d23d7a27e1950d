//! Responsible for what may stand before HTTP or in its place: a PROXY header, and TLS. Not responsible for requests.

use super::{Parser, State};
use crate::{
    http::{
        HttpEvent, NotHttp,
        proxy::{Beginning, Rest},
    },
    ledger::{HttpLedger, add},
    limits::Limits,
    tls::ClientHello,
};

impl Parser {
    /// Looks for a PROXY header in the connection's first bytes. Returns what is not part of one.
    pub(super) fn opening<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) -> &'b [u8] {
        let State::Opening(signature) = &mut self.state else {
            return bytes;
        };
        let before = *signature;
        match signature.read(bytes) {
            Beginning::Partial => &[],
            Beginning::Other => {
                self.state = State::Head;
                self.data(before.kept(), limits, ledger, emit);
                bytes
            }
            Beginning::Header { version, passed } => {
                self.state = State::Proxy(Rest::of(version));
                add(&mut ledger.head_bytes, before.kept().len().saturating_add(passed) as u64);
                emit(HttpEvent::Proxy(version));
                bytes.get(passed..).unwrap_or_default()
            }
        }
    }

    /// Passes over the rest of a PROXY header. Returns what is behind it.
    pub(super) fn proxy<'b>(
        &mut self,
        bytes: &'b [u8],
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) -> &'b [u8] {
        let State::Proxy(header) = &mut self.state else {
            return bytes;
        };
        let passed = header.pass(bytes);
        let rest = bytes.get(passed..).unwrap_or_default();
        add(&mut ledger.head_bytes, passed as u64);
        match header {
            Rest::Done => self.state = State::Head,
            Rest::Broken => self.stop(NotHttp::Other, rest, ledger, emit),
            _ => {}
        }
        rest
    }

    /// Reads a part of a `ClientHello`.
    pub(super) fn hello(
        &mut self,
        bytes: &[u8],
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) {
        add(&mut ledger.opaque_bytes, bytes.len() as u64);
        if let State::Hello(reader) = &mut self.state
            && let Some(hello) = reader.read(bytes)
        {
            self.stop_tls(&hello, ledger, emit);
        }
    }

    /// The stream is TLS, and this is what can be known of it.
    pub(super) fn stop_tls(
        &mut self,
        hello: &ClientHello,
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) {
        add(&mut ledger.not_http, 1);
        add(&mut ledger.oversized_hellos, u64::from(hello.is_cut));
        self.state = State::Stopped;
        emit(HttpEvent::Tls(hello));
    }
}
