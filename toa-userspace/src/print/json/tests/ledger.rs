use super::*;
use crate::ledger::kernel::KernelLedger;

#[test]
fn the_ledger_has_every_term() {
    let kernel = KernelLedger {
        matched_packets: 10,
        matched_bytes: 1000,
        cut_bytes: 100,
        lost_ring_full_packets: 2,
        lost_ring_full_bytes: 200,
        lost_no_reader_packets: 1,
        lost_no_reader_bytes: 50,
        ..KernelLedger::default()
    };
    let mut pipeline = crate::ledger::Ledger { connections: 4, ..crate::ledger::Ledger::default() };
    (pipeline.stream.delivered_packets, pipeline.stream.delivered_bytes) = (7, 650);
    (pipeline.stream.used_bytes, pipeline.stream.duplicate_bytes, pipeline.stream.late_bytes) = (600, 40, 10);
    (pipeline.stream.gaps, pipeline.stream.gap_bytes) = (2, 350);
    (pipeline.http.requests, pipeline.http.incomplete_requests) = (5, 1);
    let mut json = printer(Redactor::default());
    json.ledger(&Summary { kernel: &kernel, pipeline: &pipeline, after_gro: true }, TIME_NS);
    let lines = lines(&mut json);
    let lost = |ring_full, no_reader| json!({"ring_full": ring_full, "no_reader": no_reader, "other": 0});
    let expected = json!({
        "event": "ledger", "timestamp": "2026-11-22T07:43:27.123456789Z", "host": {"name": "web-17"},
        "packets": {"matched": 10, "delivered": 7, "lost": lost(2, 1), "bypassed": 0},
        "bytes": {
            "matched": 1000, "delivered": 650, "cut": 100, "lost": lost(200, 50), "bypassed": 0,
            "used": 600, "duplicate": 40, "discarded": 10
        },
        "requests": 5, "incomplete": 1, "connections": 4, "gaps": {"count": 2, "bytes": 350}
    });
    assert_eq!(lines, [expected]);
}
