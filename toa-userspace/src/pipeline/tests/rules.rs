//! Rules of a run that follows connections whose client nothing names.

use toa_common::{
    attribution::{Attribution, flags},
    bypass::Bypass,
    seq::Seq,
};

use super::{traffic::Kernel, *};
use crate::segment::tests::attribution;

/// Returns a segment that nothing names: its sender, 10.9.0.1, stands in for the client.
fn unnamed(seq: u32, payload: &[u8]) -> Segment<'_> {
    let whole = segment(1, seq, payload);
    let port_be = whole.key.source_port_be();
    let (address, flags) = (whole.key.source, flags::PROVISIONAL);
    let learned_from = 3;
    let attribution = Attribution { address, port_be, flags, learned_from, ..Attribution::EMPTY };
    Segment { attribution, flags: if seq == 0 { SYN } else { ACK }, ..whole }
}

fn with_rule(rule: &str) -> (Pipeline, RecordingSink) {
    let rules = Matcher::new(&[rule.parse().unwrap()]);
    (Pipeline::new(Limits::default()).with_rules(rules), RecordingSink::default())
}

/// Returns the printed requests, and the counts of connections without a name and without a rule.
fn end(pipeline: &mut Pipeline, mut kept: RecordingSink) -> (usize, u64, u64) {
    pipeline.finish(&mut kept);
    check(pipeline);
    let heads = kept.heads.get(&1).map_or(0, Vec::len);
    assert_eq!((kept.opened, kept.closed.len()), (heads.min(1), heads.min(1)));
    let ledger = pipeline.ledger();
    assert_eq!(ledger.http.requests, heads as u64);
    (heads, ledger.unnamed_connections, ledger.unwatched_connections)
}

const PROXY: &[u8] = b"PROXY TCP4 203.0.113.9 10.9.0.2 54321 80\r\n";

#[test]
fn rules_are_compared_with_the_sender_where_nothing_names_the_client() {
    for (rule, expected) in [("10.9.0.1", (2, 1, 0)), ("203.0.113.9", (0, 1, 1)), ("any", (2, 1, 0))] {
        let (mut pipeline, mut kept) = with_rule(rule);
        pipeline.segment(&unnamed(0, GET), &mut kept);
        pipeline.segment(&unnamed(19, GET), &mut kept);
        assert_eq!(end(&mut pipeline, kept), expected, "{rule}");
    }
}

#[test]
fn a_sender_that_a_rule_names_is_the_client() {
    for (rule, is_known) in [("10.9.0.1", true), ("10.9.0.0/24", true), ("any", false)] {
        let (mut pipeline, mut kept) = with_rule(rule);
        pipeline.segment(&unnamed(0, GET), &mut kept);
        pipeline.segment(&unnamed(19, GET), &mut kept);
        let client = is_known.then(|| ClientAddress::new(&unnamed(0, GET).attribution));
        assert_eq!(kept.client, client, "{rule}");
    }
}

#[test]
fn rules_match_the_client_of_a_proxy_header() {
    for (rule, expected) in [("10.9.0.1", (0, 0, 1)), ("203.0.113.9:54321", (2, 0, 0))] {
        for cut in [1, 8, PROXY.len()] {
            let (mut pipeline, mut kept) = with_rule(rule);
            let (first, rest) = PROXY.split_at(cut);
            let rest = [rest, GET].concat();
            let ends = [1, 1 + cut, 1 + cut + rest.len()].map(|seq| u32::try_from(seq).unwrap());
            pipeline.segment(&unnamed(0, first), &mut kept);
            pipeline.segment(&unnamed(ends[1], &rest), &mut kept);
            pipeline.segment(&unnamed(ends[2], GET), &mut kept);
            assert_eq!(end(&mut pipeline, kept), expected, "{rule} {cut}");
        }
    }
    // A TOA names another client.
    let (mut pipeline, mut kept) = with_rule("203.0.113.9");
    let bytes = [PROXY, GET].concat();
    let named = Segment { attribution: attribution(0), ..unnamed(0, &bytes) };
    pipeline.segment(&named, &mut kept);
    assert_eq!(end(&mut pipeline, kept), (0, 0, 1));
}

#[test]
fn a_name_that_comes_later_decides_from_then_on() {
    let name = attribution(0);
    for (rule, expected) in [("10.9.0.1", 1), (&*ClientAddress::new(&name).to_string(), 2), ("192.0.2.77", 0)]
    {
        let (mut pipeline, mut kept) = with_rule(rule);
        pipeline.segment(&unnamed(0, GET), &mut kept);
        for number in 1..3 {
            let seq = 1 + 18 * number;
            pipeline.segment(&Segment { attribution: name, ..unnamed(seq, GET) }, &mut kept);
        }
        assert_eq!(end(&mut pipeline, kept).0, expected, "{rule}");
    }
}

#[test]
fn what_no_rule_matches_is_bypassed_whole() {
    let kernel = Kernel { obeys: true, ..Kernel::default() };
    let rules = Matcher::new(&["203.0.113.9".parse().unwrap()]);
    let mut pipeline = Pipeline::with_bypass(Limits::default(), 0, kernel).with_rules(rules);
    pipeline.segment(&unnamed(0, b"GET /"), &mut RecordingSink::default());
    let rest = Bypass::new(1, Seq(6), u64::MAX);
    assert_eq!((pipeline.bypass.bypass, pipeline.ledger().http.unwanted_bytes), (Some(rest), 5));
}
