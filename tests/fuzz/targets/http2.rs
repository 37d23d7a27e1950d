//! The frames of one HTTP/2 connection, from its preface on or joined in its middle. Every byte is counted once, memory stays
//! bounded, and the requests are the same however the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_common::seq::Seq;
use toa_userspace::{
    event::Event,
    http::{HeadMemory, context::Context, head::Cause, parser::Parser},
    ledger::HttpLedger,
    limits::Limits,
    stream::{Arrival, StreamEvent},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most memory of a connection, in bytes: a table, a head block and the beginning of a field, each with room to grow.
const MAX_MEMORY: usize = 256 << 10;

/// Returns what was found.
fn parse(pieces: &[&[u8]], gap_at: usize, is_known: bool) -> Vec<Vec<u8>> {
    let mut limits = Limits::default();
    (limits.head_bytes, limits.fields) = (600, 20);
    let (mut parser, mut ledger, mut found, mut used) =
        (Parser::default(), HttpLedger::default(), Vec::new(), 0);
    let receiver = &mut |event: &Event<'_>| {
        found.push(match event {
            Event::Request(request) => {
                assert!(is_known || request.certainty.resynchronized);
                request.raw().to_vec()
            }
            Event::NotHttp { reason, .. } => reason.name().as_bytes().to_vec(),
            Event::Tls(_) | Event::Proxy(_) => Vec::new(),
            other => unreachable!("{other:?}"),
        });
    };
    let heads = &mut HeadMemory::default();
    let mut cx = Context { limits: &limits, ledger: &mut ledger, heads, receiver };
    let mut accept = |parser: &mut Parser, event| {
        if let StreamEvent::Data { bytes, .. } = event {
            used += bytes.len() as u64;
        }
        parser.accept(event, &mut cx);
        let ledger = &cx.ledger;
        let sum = ledger.head_bytes + ledger.body_bytes + ledger.resync_bytes + ledger.opaque_bytes;
        assert_eq!(sum + ledger.buffered_bytes, used, "{ledger:?}");
        assert!(parser.buffered_bytes() <= MAX_MEMORY);
    };
    accept(&mut parser, StreamEvent::Start { is_known });
    let arrival = Arrival { time_ns: 0, ack: Seq(0) };
    if is_known {
        accept(&mut parser, StreamEvent::Data { bytes: PREFACE, arrival });
    }
    for (number, bytes) in pieces.iter().enumerate() {
        if number == gap_at {
            let bytes = parser.unneeded_bytes();
            let is_bypassed = bytes > 0;
            accept(
                &mut parser,
                if is_bypassed { StreamEvent::Bypassed { bytes } } else { StreamEvent::Gap { bytes: 7 } },
            );
        }
        if !bytes.is_empty() {
            accept(&mut parser, StreamEvent::Data { bytes, arrival });
        }
    }
    parser.give_up(Cause::Finished, &mut cx);
    assert_eq!(ledger.buffered_bytes, 0);
    found
}

fuzz_target!(|data: &[u8]| {
    let [step, gap_at, bytes @ ..] = data else {
        return;
    };
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(*step).max(1)).collect();
    let whole = parse(&[bytes], usize::MAX, true);
    assert_eq!(whole, parse(&pieces, usize::MAX, true));
    parse(&pieces, usize::from(*gap_at), true);
    parse(&pieces, usize::from(*gap_at), false);
});
