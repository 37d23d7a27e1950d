//! One connection's stream. Every byte is counted once. Unless the parser lost its place in the stream, it
//! finds the same requests however the stream is cut.
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

/// Returns what was found, and how often the parser lost its place in the stream.
fn parse(pieces: &[&[u8]], gap_at: usize, is_known: bool) -> (Vec<Vec<u8>>, u64) {
    let mut limits = Limits::default();
    (limits.head_bytes, limits.fields) = (600, 20);
    let (mut parser, mut ledger, mut found, mut used) =
        (Parser::default(), HttpLedger::default(), Vec::new(), 0);
    let receiver = &mut |event: &Event<'_>| {
        found.push(match event {
            Event::Request(request) => request.raw().to_vec(),
            Event::Proxy(version) => version.name().as_bytes().to_vec(),
            Event::Tls(hello) => hello.server_name.clone().unwrap_or_default(),
            Event::NotHttp { reason, preview } => {
                assert!(preview.len() <= 64);
                reason.name().as_bytes().to_vec()
            }
            Event::Opened | Event::Gap { .. } | Event::Conflict { .. } | Event::Closed(_) => {
                unreachable!("{event:?}")
            }
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
    };
    accept(&mut parser, StreamEvent::Start { is_known });
    for (number, bytes) in pieces.iter().enumerate() {
        if number == gap_at {
            let bytes = parser.unneeded_bytes();
            accept(
                &mut parser,
                if bytes > 0 { StreamEvent::Bypassed { bytes } } else { StreamEvent::Gap { bytes: 7 } },
            );
        }
        if !bytes.is_empty() {
            let arrival = Arrival { time_ns: 0, ack: Seq(0) };
            accept(&mut parser, StreamEvent::Data { bytes, arrival });
        }
        assert!(parser.buffered_bytes() <= 256 << 10);
    }
    let resyncs = cx.ledger.resyncs;
    parser.give_up(Cause::Finished, &mut cx);
    assert_eq!(ledger.buffered_bytes, 0);
    (found, resyncs)
}

fuzz_target!(|data: &[u8]| {
    let [step, gap_at, bytes @ ..] = data else {
        return;
    };
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(*step).max(1)).collect();
    let (whole, whole_resyncs) = parse(&[bytes], usize::MAX, true);
    let (cut, cut_resyncs) = parse(&pieces, usize::MAX, true);
    // Whether an overlong line is a head that is too long or no head at all may be known only once all of it
    // has arrived.
    if (whole_resyncs, cut_resyncs) == (0, 0) {
        assert_eq!(whole, cut);
    }
    parse(&pieces, usize::from(*gap_at), *gap_at < 128);
});
