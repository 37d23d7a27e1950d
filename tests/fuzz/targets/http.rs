//! One connection's stream: every byte is counted once, and where the place in the stream was never lost, the same
//! requests are found however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_userspace::{
    http::{HttpEvent, parser::Parser},
    ledger::HttpLedger,
    limits::Limits,
    stream::StreamEvent,
};

/// What was found, and how often the place in the stream was lost.
fn parse(pieces: &[&[u8]], gap_at: usize, from_syn: bool) -> (Vec<Vec<u8>>, u64) {
    let mut limits = Limits::default();
    (limits.head_bytes, limits.fields) = (600, 20);
    let (mut parser, mut ledger, mut found, mut used) =
        (Parser::default(), HttpLedger::default(), Vec::new(), 0);
    let mut emit = |event: HttpEvent<'_>| {
        found.push(match event {
            HttpEvent::Request(request) => request.raw().to_vec(),
            HttpEvent::Proxy(version) => version.name().as_bytes().to_vec(),
            HttpEvent::Tls(hello) => hello.server_name.clone().unwrap_or_default(),
            HttpEvent::NotHttp { reason, preview } => {
                assert!(preview.len() <= 64);
                reason.name().as_bytes().to_vec()
            }
        });
    };
    let mut accept = |parser: &mut Parser, event| {
        if let StreamEvent::Data { bytes, .. } = event {
            used += bytes.len() as u64;
        }
        parser.accept(event, &limits, &mut ledger, &mut emit);
        let sum = ledger.head_bytes + ledger.body_bytes + ledger.resync_bytes + ledger.opaque_bytes;
        assert_eq!(sum + ledger.buffered_bytes, used, "{ledger:?}");
    };
    accept(&mut parser, StreamEvent::Start { from_syn });
    for (number, bytes) in pieces.iter().enumerate() {
        if number == gap_at {
            let bytes = parser.unneeded_bytes();
            accept(
                &mut parser,
                if bytes > 0 { StreamEvent::Skipped { bytes } } else { StreamEvent::Gap { bytes: 7 } },
            );
        }
        if !bytes.is_empty() {
            accept(&mut parser, StreamEvent::Data { bytes, time_ns: 0 });
        }
        assert!(parser.buffered_bytes() <= 40 << 10);
    }
    let resyncs = ledger.resyncs;
    parser.drop_head(&mut ledger, &mut emit);
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
    // A line that is too long as a head may be told from one that is none only when all of it is there.
    if (whole_resyncs, cut_resyncs) == (0, 0) {
        assert_eq!(whole, cut);
    }
    parse(&pieces, usize::from(*gap_at), *gap_at < 128);
});
