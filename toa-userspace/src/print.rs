//! The text and JSON forms of results.

pub mod clock;
mod color;
pub mod count;
mod digits;
pub mod escape;
pub mod existing;
pub mod field_choice;
mod fields;
pub mod group_by;
pub mod hidden;
pub mod interfaces;
pub mod json;
pub mod ledger;
pub mod lines;
pub mod loss;
pub mod metrics;
pub mod no_match;
pub mod once;
#[cfg(feature = "otlp")]
pub mod otlp;
mod recent;
pub mod redact;
pub mod remembered;
mod summary;
pub mod summary_table;
pub mod table;
mod target;
pub mod text;
pub mod view;

use std::fmt::{self, Write as _};

/// Appends formatted text.
pub fn push_fmt(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use std::{
        borrow::Cow,
        io::{self, Write},
    };

    use toa_common::seq::Seq;

    use crate::{
        event::Event,
        http::{HeadMemory, context::Context, head::HttpRequest, parser::Parser},
        ledger::HttpLedger,
        limits::Limits,
        stream::{Arrival, StreamEvent},
    };

    /// Hands the first request of an HTTP/2 connection that was joined at `time_ns` to `take`. It has secrets in its target, in
    /// a field, and in one whose name is unknown, and a field of which nothing is known.
    pub(super) fn joined_http2(time_ns: u64, take: impl FnOnce(&HttpRequest<'_>)) {
        let block =
            b"\x82\x86\x04\x0e/a?token=x1y2z\x41\x0bapi.example\x57\x0aBearer abc\x7f\x01\x07hunter2\xc6";
        let length = u8::try_from(block.len()).unwrap();
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let bytes = [&[0, 0, length, 1, 5, 0, 0, 0, 7], &block[..], settings].concat();
        assert_eq!(first_http2(false, &bytes, time_ns, take).unknown_fields, 2);
    }

    /// Hands a request of HTTP/2 whose header block is empty to `take`.
    pub(super) fn empty_http2(time_ns: u64, take: impl FnOnce(&HttpRequest<'_>)) {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let (settings, headers) = (b"\0\0\0\x04\0\0\0\0\0", b"\0\0\0\x01\x05\0\0\0\x01");
        let bytes = [&preface[..], settings, headers].concat();
        assert_eq!(first_http2(true, &bytes, time_ns, take).malformed_requests, 1);
    }

    /// Hands the first request of an HTTP/2 connection, which arrives at `time_ns`, to `take`. Returns what was counted.
    fn first_http2(
        is_known: bool,
        bytes: &[u8],
        time_ns: u64,
        take: impl FnOnce(&HttpRequest<'_>),
    ) -> HttpLedger {
        let mut take = Some(take);
        let receiver = &mut |event: &Event<'_>| {
            let (Event::Request(request), Some(take)) = (event, take.take()) else { panic!("{event:?}") };
            take(request);
        };
        let (limits, ledger, heads) =
            (&Limits::default(), &mut HttpLedger::default(), &mut HeadMemory::default());
        let mut cx = Context { limits, ledger, heads, receiver };
        let mut parser = Parser::default();
        parser.accept(StreamEvent::Start { is_known }, &mut cx);
        let arrival = Arrival { time_ns, ack: Seq(0) };
        parser.accept(StreamEvent::Data { bytes, arrival }, &mut cx);
        *cx.ledger
    }

    /// Reads a head as that of the first request of a connection.
    pub(super) fn first_request<'a>(head: impl Into<Cow<'a, [u8]>>, time_ns: u64) -> HttpRequest<'a> {
        let mut request = HttpRequest::read(head, usize::MAX, &mut HeadMemory::default());
        (request.time_ns, request.number) = (time_ns, 1);
        request
    }

    /// Keeps what is written, one entry per write.
    #[derive(Default)]
    pub(super) struct Writes(pub(super) Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
