use toa_common::counters::Counter;

use super::*;

/// Counters of 1,234 packets that add up, except for what `change` changes.
fn counters(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut counters = Snapshot::default();
    for (counter, count) in [
        (Counter::Matched, 1234),
        (Counter::MatchedBytes, 1_000_000),
        (Counter::Emitted, 1200),
        (Counter::EmittedBytes, 990_000),
        (Counter::Cut, 1),
        (Counter::CutBytes, 4000),
        (Counter::LostRingFull, 30),
        (Counter::LostRingFullBytes, 5000),
        (Counter::LostNoReader, 4),
        (Counter::LostNoReaderBytes, 1000),
    ] {
        counters.add(counter, count);
    }
    change(&mut counters);
    counters
}

fn of<'a>(counters: &'a Snapshot, pipeline: &'a Ledger, examples: &'a Examples) -> Summary<'a> {
    let hidden = Hidden::default();
    Summary { counters, pipeline, examples, evicted: 0, after_gro: true, hidden, is_unwritten: false }
}

fn summary(counters: &Snapshot, pipeline: &Ledger, after_gro: bool) -> String {
    Summary { after_gro, ..of(counters, pipeline, &Examples::default()) }.to_string()
}

fn pipeline() -> Ledger {
    let mut ledger = Ledger { clients: 7, connections: 56, ..Ledger::default() };
    ledger.stream.delivered_packets = 1200;
    ledger.stream.delivered_bytes = 990_000;
    ledger.stream.cut_packets = 1;
    ledger.stream.cut_bytes = 4000;
    ledger.stream.used_bytes = 980_000;
    ledger.stream.duplicate_bytes = 9000;
    ledger.stream.late_bytes = 1000;
    ledger.stream.gaps = 3;
    ledger.stream.gap_bytes = 4344;
    ledger.http.requests = 2000;
    ledger.http.incomplete_requests = 3;
    ledger
}

#[test]
fn sums_add_up() {
    let expected = "\
toa-tc: 2,000 requests (3 incomplete) of 7 clients on 56 connections, 3 gaps of 4,344 bytes, 34 packets lost, 1 packet cut
toa-tc: packets (after GRO): 1,234 matched = 1,200 delivered + 34 lost (30 ring full, 4 no reader, 0 other) + 0 bypassed
toa-tc: payload bytes: 1,000,000 matched = 990,000 delivered + 4,000 cut + 6,000 lost (5,000 ring full, 1,000 no reader, 0 other) + 0 bypassed
toa-tc: delivered bytes: 980,000 used, 9,000 duplicate, 0 conflicting, 1,000 discarded
toa-tc: 1,000 bytes discarded: arrived after the gap was reported
";
    assert_eq!(summary(&counters(|_| ()), &pipeline(), true), expected);
}

#[test]
fn sums_that_do_not_add_up_say_so() {
    let counters = counters(|counters| {
        counters.add(Counter::Matched, 6);
        counters.add(Counter::Emitted, 1);
    });
    let text = summary(&counters, &pipeline(), true);
    assert!(text.contains("packets (after GRO) do not add up: 1,240 matched, 1,234 accounted for, 6 apart"));
    assert!(text.contains("packets do not add up: 1,201 sent by the kernel, 1,200 read"));
}

#[test]
fn one_is_singular_and_a_capture_has_no_gro() {
    let mut ledger = Ledger { clients: 1, connections: 1, ..Ledger::default() };
    ledger.http.requests = 1;
    let text = summary(&Snapshot::default(), &ledger, false);
    let sentence = "toa-tc: 1 request of 1 client on 1 connection, nothing lost\n";
    assert!(text.starts_with(&format!("{sentence}toa-tc: packets: 0 matched = ")), "{text}");
}

#[test]
fn a_run_without_losses_is_one_sentence() {
    let (none, examples) = (Snapshot::default(), Examples::default());
    let is_whole = |counters: &Snapshot, pipeline: &Ledger| of(counters, pipeline, &examples).is_whole();
    let nothing = Ledger::default();
    assert!(is_whole(&none, &nothing));
    let brief = of(&none, &nothing, &examples);
    assert_eq!(brief.brief(), "toa-tc: 0 requests on 0 connections, nothing lost\n");
    let lost = [Counter::LostRingFull, Counter::Cut, Counter::Matched];
    for counter in lost {
        let mut counters = Snapshot::default();
        counters.add(counter, 1);
        assert!(!is_whole(&counters, &Ledger::default()), "{counter:?}");
    }
    let mut gap = Ledger::default();
    gap.stream.gaps = 1;
    let evicted = Summary { evicted: 5, ..brief };
    assert!(!evicted.is_whole() && evicted.brief().ends_with(", 5 open connections evicted\n"));
    let mut late = Ledger::default();
    late.stream.late_bytes = 1;
    assert!(!is_whole(&none, &gap) && !is_whole(&none, &late));
}

#[test]
fn bytes_that_fit_in_no_connection_are_told() {
    let (none, examples, mut ledger) = (Snapshot::default(), Examples::default(), Ledger::default());
    (ledger.stream.after_end_bytes, ledger.stream.out_of_window_bytes) = (50, 8);
    let summary = of(&none, &ledger, &examples);
    let sentence = "toa-tc: 0 requests on 0 connections, 58 bytes discarded\n";
    assert!(!summary.is_lossless() && summary.brief().starts_with(sentence), "{}", summary.brief());
}

#[test]
fn what_was_not_printed_is_no_loss_and_told() {
    let (none, examples, pipeline) = (Snapshot::default(), Examples::default(), pipeline());
    let hidden = Hidden { grep: 1200, once_by: 7 };
    let text = Summary { hidden, ..of(&none, &pipeline, &examples) }.brief();
    let details = "2,000 requests (3 incomplete, 1,200 hidden by --grep, 7 hidden by --once-by) of 7 clients";
    assert!(text.contains(details), "{text}");
    let nothing = Ledger::default();
    let hidden = Summary { hidden: Hidden { grep: 1, once_by: 0 }, ..of(&none, &nothing, &examples) };
    let expected = "toa-tc: 0 requests (1 hidden by --grep) on 0 connections, nothing lost\n";
    assert!(hidden.is_whole() && hidden.brief() == expected);
}

#[test]
fn results_that_were_not_written_are_told_beside_what_was_lost() {
    let (none, examples, nothing) = (Snapshot::default(), Examples::default(), Ledger::default());
    let unwritten = |counters| Summary { is_unwritten: true, ..of(counters, &nothing, &examples) }.brief();
    assert_eq!(unwritten(&none), "toa-tc: 0 requests on 0 connections, not all results were written\n");
    let expected = "toa-tc: 0 requests on 0 connections, 1 packet cut, not all results were written\n";
    let mut cut = Snapshot::default();
    cut.add(Counter::Cut, 1);
    assert_eq!(unwritten(&cut), expected);
}

#[test]
fn remarks_name_clients() {
    let mut ledger = Ledger::default();
    let before = ledger.remark_counts();
    ledger.stream.late_bytes = 7;
    let mut examples = Examples::default();
    let client = ClientAddress { address: [192, 0, 2, 1].into(), port: Some(7) };
    examples.add(&before, &ledger.remark_counts(), || client);
    let counters = counters(|counters| counters.add(Counter::Signed, 2));
    let text = of(&counters, &ledger, &examples).to_string();
    let late = "toa-tc: 7 bytes discarded: arrived after the gap was reported (for example 192.0.2.1:7)\n";
    assert!(text.contains(late), "{text}");
    assert!(text.ends_with("toa-tc: 2 packets with a signature (MD5, TCP-AO)\n"), "{text}");
}
