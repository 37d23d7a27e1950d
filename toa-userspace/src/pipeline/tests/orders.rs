//! Orders, as the kernel gets them: exactly as large as what is of no interest, in time, and withdrawn.

use toa_common::order::Order;

use super::{traffic::Kernel, *};

const POST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n";

fn obeying() -> (Pipeline, Kernel) {
    (Pipeline::new(Limits::default(), 0), Kernel { obeys: true, ..Kernel::default() })
}

/// Hands in a packet, unless the kernel skips it. Returns how many records it left.
fn pass(pipeline: &mut Pipeline, kernel: &mut Kernel, segment: &Segment<'_>) -> u64 {
    let is_copied = !kernel.skips(segment);
    if is_copied {
        pipeline.segment(segment, kernel);
        check(pipeline);
    }
    is_copied.into()
}

#[test]
fn an_order_is_as_long_as_the_body() {
    let (mut pipeline, mut kernel) = obeying();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kernel);
    let from = 1 + u32::try_from(POST.len()).unwrap();
    assert_eq!(kernel.order, Some(Order { generation: 1, from, until: from + 1_000_000 }));
    pipeline.segment(&segment(1, from + 1_000_000, GET), &mut kernel);
    assert_eq!((kernel.order, kernel.orders, kernel.withdrawn), (None, 1, 1));
    assert_eq!(kernel.kept.heads[&1], [POST, GET]);
    assert_eq!(pipeline.ledger().stream.skipped_bytes, 1_000_000);
    assert_eq!((pipeline.ledger().orders, kernel.kept.gaps), (1, 0));
}

#[test]
fn a_small_body_is_not_worth_an_order() {
    let (mut pipeline, mut kernel) = obeying();
    let head = b"POST / HTTP/1.1\r\ncontent-length: 65535\r\n\r\n";
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, head) }, &mut kernel);
    assert_eq!(kernel.orders, 0);
}

#[test]
fn a_kernel_that_refuses_changes_nothing() {
    let (mut pipeline, mut kernel) = (Pipeline::new(Limits::default(), 0), Kernel::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kernel);
    let end = 1 + u32::try_from(POST.len()).unwrap() + 1_000_000;
    pipeline.segment(&segment(1, end, GET), &mut kernel);
    pipeline.tick(3_000_000_000, &mut kernel);
    assert_eq!((kernel.kept.gaps, kernel.withdrawn), (1_000_000, 0));
    assert_eq!(kernel.kept.heads[&1].len(), 2);
}

#[test]
fn any_size_costs_a_few_records() {
    // TLS has no end; a body of 5 GiB has one, which lies behind the wrap.
    let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", 5_u64 << 30).into_bytes();
    for (first, is_endless) in [(&head[..], false), (b"SSH-2.0-x\r\n", true)] {
        let (mut pipeline, mut kernel) = obeying();
        pipeline.segment(&Segment { flags: SYN, ..segment(1, u32::MAX - 1, first) }, &mut kernel);
        let mut seq = u32::try_from(first.len()).unwrap();
        let payload = vec![b'\n'; 1 << 16];
        let mut records = 0;
        for _ in 0..(5_u64 << 30) / (1 << 16) {
            records += pass(&mut pipeline, &mut kernel, &segment(1, seq, &payload));
            seq = seq.wrapping_add(1 << 16);
        }
        pass(&mut pipeline, &mut kernel, &segment(1, seq, GET));
        assert!(records < 10, "{records} records");
        let ledger = pipeline.ledger();
        assert_eq!((ledger.stream.gaps, ledger.stream.out_of_window_bytes), (0, 0));
        if !is_endless {
            assert_eq!(kernel.kept.heads[&1], [&head[..], GET]);
            assert_eq!(kernel.order, None);
            // Nothing is left that could meet the same numbers again.
            seq = seq.wrapping_add(u32::try_from(GET.len()).unwrap());
            for _ in 0..(5_u64 << 30) / (1 << 26) {
                assert_eq!(pass(&mut pipeline, &mut kernel, &segment(1, seq, GET)), 1);
                seq = seq.wrapping_add(1 << 26);
            }
        }
    }
}

#[test]
fn a_window_is_renewed_before_it_is_passed() {
    // All of it is copied, as if the order came late.
    let (mut pipeline, mut kernel) = obeying();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"SSH-2.0-x\r\n") }, &mut kernel);
    let payload = vec![b'x'; 1 << 20];
    for number in 0..600 {
        pipeline.segment(&segment(1, 12 + (number << 20), &payload), &mut kernel);
    }
    assert_eq!((kernel.orders, kernel.withdrawn), (2, 0));
    assert!(kernel.order.unwrap().until > 3 << 29);
}

#[test]
fn silence_withdraws_the_order_before_it_ends_the_connection() {
    let idle_ns = Limits::default().idle_ns;
    let (mut pipeline, mut kernel) = obeying();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kernel);
    let body = 1 + u32::try_from(POST.len()).unwrap();
    assert_eq!(pass(&mut pipeline, &mut kernel, &segment(1, body, b"skipped")), 0);
    pipeline.tick(idle_ns, &mut kernel);
    assert_eq!((pipeline.connections(), kernel.order, kernel.withdrawn), (1, None, 1));
    // A sign of life, and what was skipped is known; from here on it is skipped again.
    let segment_of = |at, time_ns| Segment { time_ns, ..segment(1, at, b"alive") };
    assert_eq!(pass(&mut pipeline, &mut kernel, &segment_of(body + 1000, idle_ns + 1)), 1);
    assert_eq!((pipeline.ledger().stream.skipped_bytes, kernel.orders), (1000, 2));
    assert_eq!(pass(&mut pipeline, &mut kernel, &segment_of(body + 2000, idle_ns + 1)), 0);
    pass(&mut pipeline, &mut kernel, &Segment { time_ns: idle_ns + 1, ..segment(1, body + 1_000_000, GET) });
    assert_eq!((kernel.kept.heads[&1].len(), kernel.kept.gaps), (2, 0));
    // And one that does not live.
    let (mut pipeline, mut kernel) = obeying();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kernel);
    pipeline.tick(idle_ns, &mut kernel);
    pipeline.tick(2 * idle_ns - 1, &mut kernel);
    assert_eq!(pipeline.connections(), 1);
    pipeline.tick(2 * idle_ns, &mut kernel);
    assert_eq!((kernel.kept.closed, kernel.withdrawn), (vec![Closed::Idle], 1));
}

#[test]
fn an_order_ends_with_its_connection() {
    for flags in [FIN | ACK, RST] {
        let (mut pipeline, mut kernel) = obeying();
        pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kernel);
        let body = 1 + u32::try_from(POST.len()).unwrap();
        assert_eq!(pass(&mut pipeline, &mut kernel, &Segment { flags, ..segment(1, body + 500, b"") }), 1);
        assert_eq!((kernel.order, kernel.kept.closed.len(), kernel.kept.gaps), (None, 1, 0));
    }
    let limits = Limits { connections: 1, ..Limits::default() };
    let (mut pipeline, mut kernel) = (Pipeline::new(limits, 0), Kernel { obeys: true, ..Kernel::default() });
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kernel);
    pipeline.segment(&Segment { flags: SYN, ..segment(2, 0, GET) }, &mut kernel);
    assert_eq!((kernel.order, kernel.kept.closed), (None, vec![Closed::Evicted]));
}

#[test]
fn the_same_addresses_used_again_at_once_are_another_connection() {
    let (mut pipeline, mut kernel) = obeying();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kernel);
    let body = 1 + u32::try_from(POST.len()).unwrap();
    // The order still stands; the next connection begins in the middle of its window.
    assert_eq!(pass(&mut pipeline, &mut kernel, &Segment { flags: SYN, ..segment(2, body + 100, b"") }), 1);
    assert_eq!(pass(&mut pipeline, &mut kernel, &segment(2, body + 101, POST)), 1);
    assert_eq!(kernel.order.map(|order| order.generation), Some(2));
    // The first one is given up later, without taking the order of the second.
    pipeline.finish(&mut kernel);
    assert_eq!(kernel.kept.heads.len(), 2);
}
