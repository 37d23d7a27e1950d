//! Connections that have ended.

use super::*;

#[test]
fn a_retransmission_after_the_end_opens_nothing() {
    let (mut pipeline, mut kept) = pipeline();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, GET) }, &mut kept);
    pipeline.segment(&Segment { flags: FIN | ACK, ..segment(1, 19, b"") }, &mut kept);
    assert_eq!(kept.closed, [Closed::Fin]);
    pipeline.segment(&segment(1, 1, GET), &mut kept);
    pipeline.segment(&segment(1, 20, b"abc"), &mut kept);
    assert_eq!((kept.opened, kept.heads[&1].len()), (1, 1));
    assert_eq!(pipeline.ledger().stream.duplicate_bytes, 18);
    assert_eq!(pipeline.ledger().stream.after_end_bytes, 3);
    pipeline.tick(Limits::default().linger_ns, &mut kept);
    assert!(pipeline.ended.is_empty());
}

#[test]
fn payload_that_goes_on_after_the_end_takes_it_back() {
    for flags in [FIN | ACK, RST] {
        let (mut pipeline, mut kept) = pipeline();
        pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, GET) }, &mut kept);
        pipeline.segment(&Segment { flags, ..segment(1, 19, b"") }, &mut kept);
        pipeline.segment(&segment(1, 19, GET), &mut kept);
        assert_eq!((kept.opened, kept.closed.len(), kept.heads[&1].len()), (2, 1, 2));
        assert_eq!(pipeline.ledger().http.reopened_requests, 1);
        check(&pipeline);
    }
}

#[test]
fn too_many_ended_connections_are_forgotten() {
    let limits = Limits { ended_connections: 2, ..Limits::default() };
    let (mut pipeline, mut kept) = (Pipeline::new(limits), RecordingSink::default());
    for generation in 0..5 {
        pipeline.segment(&Segment { flags: SYN | FIN, ..segment(generation, 0, GET) }, &mut kept);
    }
    assert_eq!((pipeline.ended.len(), pipeline.ledger().ended_evicted), (2, 3));
}
