use toa_common::counters::Counter;

use super::*;
use crate::{
    ledger::{Ledger, counters::Snapshot, examples::Examples},
    print::hidden::Hidden,
};

#[test]
fn the_ledger_has_every_term() {
    let mut counters = Snapshot::default();
    for (counter, count) in [
        (Counter::Matched, 10),
        (Counter::MatchedBytes, 1000),
        (Counter::CutBytes, 100),
        (Counter::LostRingFull, 2),
        (Counter::LostRingFullBytes, 200),
        (Counter::LostNoReader, 1),
        (Counter::LostNoReaderBytes, 50),
    ] {
        counters.add(counter, count);
    }
    let mut pipeline = Ledger { clients: 3, connections: 4, ..Ledger::default() };
    (pipeline.stream.delivered_packets, pipeline.stream.delivered_bytes) = (7, 650);
    (pipeline.stream.used_bytes, pipeline.stream.duplicate_bytes) = (600, 30);
    (pipeline.stream.conflicting_bytes, pipeline.stream.late_bytes) = (10, 10);
    (pipeline.stream.gaps, pipeline.stream.gap_bytes) = (2, 350);
    (pipeline.http.requests, pipeline.http.incomplete_requests) = (5, 1);
    let mut json = printer(Redactor::default());
    let summary = Summary {
        counters: &counters,
        pipeline: &pipeline,
        examples: &Examples::default(),
        evicted: 0,
        after_gro: true,
        hidden: Hidden { grep: 2, once_by: 1 },
        is_unwritten: false,
    };
    json.ledger(&summary, TIME_NS);
    let mut lines = lines(&mut json);
    let remarks = lines[0].as_object_mut().unwrap().remove("remarks").unwrap();
    let names: Vec<_> = summary.remarks().map(|(remark, _)| remark.name).collect();
    assert_eq!(remarks.as_object().unwrap().len(), names.len());
    assert!(names.iter().all(|name| remarks[name]["count"].is_u64()));
    assert_eq!(remarks["late_bytes"], json!({"count": 10, "clients": []}));
    let lost = |ring_full, no_reader| json!({"ring_full": ring_full, "no_reader": no_reader, "other": 0});
    let expected = json!({
        "event": "ledger", "timestamp": "2026-11-22T07:43:27.123456789Z", "host": {"name": "web-17"},
        "packets": {"matched": 10, "delivered": 7, "lost": lost(2, 1), "bypassed": 0},
        "bytes": {
            "matched": 1000, "delivered": 650, "cut": 100, "lost": lost(200, 50), "bypassed": 0,
            "used": 600, "duplicate": 30, "conflicting": 10, "discarded": 10
        },
        "plaintext": null, "requests": 5, "incomplete": 1, "hidden": {"grep": 2, "once_by": 1}, "clients": 3, "connections": 4, "gaps": {"count": 2, "bytes": 350}
    });
    assert_eq!(lines, [expected]);
}

#[test]
fn a_summary_has_a_line_for_each_group() {
    let by = "client,header:x-team,header:x-none".parse().unwrap();
    let mut groups = SummaryTable::new(by, Redactor::default());
    for (number, team) in ["pay \"me\"", "a", "a"].into_iter().enumerate() {
        let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-team: {team}\r\n\r\n");
        let mut request = request(head.as_bytes());
        request.time_ns += number as u64;
        groups.event(&connection(), &Event::Request(&request));
    }
    let mut json = printer(Redactor::default());
    json.summary(&groups, TIME_NS);
    let line = |team: &str, requests: u64, first: &str, last: &str| {
        json!({
            "event": "summary", "timestamp": "2026-11-22T07:43:27.123456789Z", "host": {"name": "web-17"},
            "by": {"client": "120.120.111.111", "header:x-team": team, "header:x-none": null},
            "is_others": false, "requests": requests, "connections": 1,
            "first_seen": format!("2026-11-22T07:43:27.123456{first}Z"),
            "last_seen": format!("2026-11-22T07:43:27.123456{last}Z"),
        })
    };
    assert_eq!(lines(&mut json), [line("a", 2, "790", "791"), line("pay \"me\"", 1, "789", "789")]);
}
