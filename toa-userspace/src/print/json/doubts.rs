//! What the reader should know about a request before believing it.

use super::literal::{put, put_bool, put_name, put_number};
use crate::{
    http::{
        FramingFault, Malformation,
        head::{Certainty, HttpRequest, Incomplete},
    },
    pipeline::connection::Connection,
    print::digits,
};

/// Everything that is said about a request.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Doubts {
    incomplete: Option<Incomplete>,
    malformation: Option<Malformation>,
    certainty: Certainty,
    is_client_conflicting: bool,
    framing_fault: Option<FramingFault>,
    unknown_fields: Option<u32>,
}

/// Writes doubts. They are kept from one request to the next, because most requests have the same: none.
#[derive(Debug, Default)]
pub(super) struct DoubtsWriter {
    last: Option<Doubts>,
    text: Vec<u8>,
}

impl DoubtsWriter {
    /// Appends what is to be said about a request.
    pub(super) fn put(&mut self, connection: &Connection, request: &HttpRequest<'_>, out: &mut Vec<u8>) {
        let doubts = Doubts {
            incomplete: request.incomplete,
            malformation: request.malformation,
            certainty: request.certainty,
            is_client_conflicting: connection.attribution.is_conflicting(),
            framing_fault: request.framing_fault(),
            unknown_fields: request.stream.map(|stream| stream.unknown_fields).filter(|count| *count > 0),
        };
        if self.last != Some(doubts) {
            self.last = Some(doubts);
            self.text.clear();
            doubts.put(&mut self.text);
        }
        out.extend_from_slice(&self.text);
    }
}

impl Doubts {
    fn put(&self, out: &mut Vec<u8>) {
        put(out, r#","incomplete":"#);
        match self.incomplete {
            None => put(out, "null"),
            Some(incomplete) => {
                put(out, r#"{"gap_bytes":"#);
                digits::push(incomplete.gap_bytes, out);
                put(out, r#","cause":"#);
                put_name(Some(incomplete.cause.name()), out);
                out.push(b'}');
            }
        }
        put(out, r#","malformed":"#);
        put_name(self.malformation.map(Malformation::name), out);
        put(out, r#","resynchronized":"#);
        put_bool(self.certainty.resynchronized, out);
        put(out, r#","reopened":"#);
        put_bool(self.certainty.reopened, out);
        put(out, r#","possibly_unread":"#);
        put_bool(self.certainty.possibly_unread, out);
        put(out, r#","conflicting":"#);
        put_name(
            match (self.certainty.conflicting, self.is_client_conflicting) {
                (false, false) => None,
                (true, false) => Some("bytes"),
                (false, true) => Some("client"),
                (true, true) => Some("bytes and client"),
            },
            out,
        );
        put(out, r#","framing_fault":"#);
        put_name(self.framing_fault.map(FramingFault::name), out);
        put(out, r#","unknown_fields":"#);
        put_number(self.unknown_fields, out);
    }
}
