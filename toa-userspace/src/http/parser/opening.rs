//! The beginning of a connection, which may be a PROXY header, and whether the connection is wanted.

use super::{
    super::{
        NotHttp,
        context::Context,
        partial::Partial,
        proxy::{Beginning, HeaderReader, Progress, header::ProxyHeader},
        start::Before,
    },
    Parser, State,
};
use crate::{event::Event, ledger::add};

impl Parser {
    /// Looks for a PROXY header in the first bytes of the connection. Returns the bytes that are not part of one.
    pub(super) fn opening<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let State::Opening(signature) = &mut self.state else {
            return bytes;
        };
        let before = *signature;
        match signature.read(bytes) {
            Beginning::Partial => &[],
            Beginning::Other => {
                self.begin(None, cx);
                self.data(before.kept(), cx);
                bytes
            }
            Beginning::Header { signature, version, passed } => {
                self.state = State::Proxy(HeaderReader::new(signature, version));
                add(&mut cx.ledger.head_bytes, before.kept().len().saturating_add(passed) as u64);
                bytes.get(passed..).unwrap_or_default()
            }
        }
    }

    /// Continues with a head, unless the receiver does not want the connection.
    pub(super) fn begin(&mut self, proxy: Option<ProxyHeader>, cx: &mut Context<'_>) {
        let version = proxy.as_ref().map(|header| header.version);
        self.state = if cx.receiver.begin(proxy) { State::Head(Partial::default()) } else { State::Unwanted };
        if let (Some(version), State::Head(_)) = (version, &self.state) {
            cx.receiver.event(&Event::Proxy(version));
        }
    }

    /// Continues with a head if what was kept cannot become the signature of a PROXY header any more.
    pub(super) fn leave_opening(&mut self, cx: &mut Context<'_>) {
        if let State::Opening(signature) = self.state
            && !signature.kept().is_empty()
        {
            self.begin(None, cx);
            self.data(signature.kept(), cx);
        }
    }

    /// Reads the rest of a PROXY header. Returns the bytes after it. It shows no start, because a body may contain it.
    pub(super) fn proxy<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let State::Proxy(reader) = &mut self.state else {
            return bytes;
        };
        let unknown = ProxyHeader::unknown(reader.version());
        let (passed, progress) = reader.read(bytes);
        let rest = bytes.get(passed..).unwrap_or_default();
        add(&mut cx.ledger.head_bytes, passed as u64);
        match progress {
            Progress::More => {}
            Progress::Done(header) => {
                self.certainty.possibly_unread |= header.is_malformed;
                self.begin(Some(header), cx);
            }
            Progress::Broken => {
                self.begin(Some(unknown), cx);
                match self.before {
                    _ if self.is_unwanted() => {}
                    Before::Unknown => self.lose(cx),
                    _ => self.stop(NotHttp::Other, rest, cx),
                }
            }
        }
        rest
    }

    /// Returns whether the receiver does not want the connection.
    pub(super) fn is_unwanted(&self) -> bool {
        matches!(self.state, State::Unwanted)
    }

    /// Begins or ends to read a connection whose client turned out to be another one. What was kept of a head is
    /// discarded; one that was not read is searched for the next request.
    pub fn want(&mut self, is_wanted: bool, cx: &mut Context<'_>) {
        match &self.state {
            // Decided when the opening is known.
            State::Opening(_) | State::Proxy(_) => {}
            State::Unwanted if is_wanted => self.lose(cx),
            _ if is_wanted => {}
            _ => {
                let unread = self.unread_bytes();
                add(&mut cx.ledger.unwanted_bytes, unread as u64);
                self.state = State::Unwanted;
                cx.ledger.rebuffer(unread, 0);
            }
        }
    }
}
