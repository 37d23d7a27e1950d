//! The ledger as text: the counts of the kernel and the pipeline as equations. Those that do not add up are reported.

use std::fmt;

use super::count::{Count, plural};
use crate::ledger::{Ledger, account::Account, kernel::KernelLedger};

/// Both ledgers, for printing line by line.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The kernel's ledger, or for a file that of the classifier, which takes the kernel's place.
    pub kernel: &'a KernelLedger,
    /// The pipeline's ledger.
    pub pipeline: &'a Ledger,
    /// Whether packets were counted after GRO, which merges several packets of the wire: true for a live run, false for
    /// a capture.
    pub after_gro: bool,
}

impl Summary<'_> {
    /// Returns the account of the packets.
    pub(super) fn packets(&self) -> Account {
        Account { delivered: self.pipeline.stream.delivered_packets, ..self.kernel.packets() }
    }

    /// Returns the account of their payload bytes.
    pub(super) fn bytes(&self) -> Account {
        Account { delivered: self.pipeline.stream.delivered_bytes, ..self.kernel.bytes() }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, pipeline: ledger, after_gro } = *self;
        let (stream, http) = (&ledger.stream, &ledger.http);
        let packets = if after_gro { PACKETS_AFTER_GRO } else { "packets" };
        for (unit, account) in [(packets, self.packets()), (PAYLOAD_BYTES, self.bytes())] {
            writeln!(f, "toa-tc: {unit}: {}", Equation(&account))?;
            let (matched, sum) = (account.matched, account.accounted());
            if matched != sum {
                let (matched, sum, difference) = (Count(matched), Count(sum), Count(sum.abs_diff(matched)));
                writeln!(
                    f,
                    "toa-tc: {unit} do not add up: {matched} matched, {sum} accounted for, {difference} apart"
                )?;
            }
        }
        let pairs = [
            ("packets", kernel.emitted_packets, stream.delivered_packets),
            ("bytes", kernel.emitted_bytes, stream.delivered_bytes),
            ("cut packets", kernel.cut_packets, stream.cut_packets),
            ("cut bytes", kernel.cut_bytes, stream.cut_bytes),
        ];
        for (unit, sent, read) in pairs.into_iter().filter(|(_, sent, read)| sent != read) {
            let (sent, read) = (Count(sent), Count(read));
            writeln!(f, "toa-tc: {unit} do not add up: {sent} sent by the kernel, {read} read")?;
        }
        writeln!(
            f,
            "toa-tc: delivered bytes: {} used, {} duplicate, {} discarded",
            Count(stream.used_bytes),
            Count(stream.duplicate_bytes),
            Count(stream.discarded_bytes()),
        )?;
        write!(
            f,
            "toa-tc: {} ({} incomplete) on {}, ",
            plural(http.requests, "request"),
            Count(http.incomplete_requests),
            plural(ledger.connections, "connection"),
        )?;
        if stream.gaps == 0 {
            writeln!(f, "no gaps")?;
        } else {
            writeln!(f, "{} of {}", plural(stream.gaps, "gap"), plural(stream.gap_bytes, "byte"))?;
        }
        for (count, noun, what) in remarks(ledger) {
            if count > 0 {
                writeln!(f, "toa-tc: {}{what}", plural(count, noun))?;
            }
        }
        Ok(())
    }
}

/// Returns the counts that are worth a line only if they are not zero.
fn remarks(ledger: &Ledger) -> [(u64, &'static str, &'static str); 18] {
    let (stream, http) = (&ledger.stream, &ledger.http);
    [
        (ledger.undecodable_samples, "undecodable ring sample", ""),
        (stream.hole_timeouts, "hole", " given up: not filled in time"),
        (stream.connection_bytes_limits, "hole", " given up: too much data waiting on one connection"),
        (stream.range_limits, "hole", " given up: too many ranges waiting on one connection"),
        (ledger.total_bytes_limits, "wait", " given up: --max-memory reached"),
        (stream.late_bytes, "byte", " discarded: arrived after their gap was reported"),
        (stream.before_start_bytes, "byte", " discarded: before the start of the connection"),
        (stream.after_end_bytes, "byte", " discarded: after the end of the connection"),
        (stream.out_of_window_bytes, "byte", " discarded: outside the TCP window"),
        (ledger.connections_evicted, "connection", " evicted: too many are open"),
        (ledger.ended_evicted, "ended connection", " forgotten early: too many"),
        (http.not_http, "connection", " not HTTP/1, or not any more"),
        (http.oversized_heads, "request head", " longer than --max-head"),
        (http.oversized_hellos, "TLS ClientHello", " too long"),
        (http.malformed_heads, "malformed request head", ""),
        (http.unfinished_heads, "request head", " without an end"),
        (http.faulty_framings, "request", " with ambiguous body length"),
        (http.resync_bytes, "byte", " skipped in search of the next request"),
    ]
}

/// The unit of packets in a live run.
pub const PACKETS_AFTER_GRO: &str = "packets (after GRO)";
/// The unit of bytes.
pub const PAYLOAD_BYTES: &str = "payload bytes";

/// An account as an equation.
#[derive(Debug)]
pub struct Equation<'a>(pub &'a Account);

impl fmt::Display for Equation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { matched, delivered, cut, lost, bypassed } = self.0;
        write!(f, "{} matched = {} delivered", Count(*matched), Count(*delivered))?;
        if let Some(cut) = cut {
            write!(f, " + {} cut", Count(*cut))?;
        }
        write!(f, " + {} lost", Count(lost.total()))?;
        if lost.total() > 0 {
            let (ring_full, no_reader, other) =
                (Count(lost.ring_full), Count(lost.no_reader), Count(lost.other));
            write!(f, " ({ring_full} ring full, {no_reader} no reader, {other} other)")?;
        }
        write!(f, " + {} bypassed", Count(*bypassed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: KernelLedger = KernelLedger {
        matched_packets: 1234,
        matched_bytes: 1_000_000,
        emitted_packets: 1200,
        emitted_bytes: 990_000,
        cut_packets: 1,
        cut_bytes: 4000,
        lost_ring_full_packets: 30,
        lost_ring_full_bytes: 5000,
        lost_no_reader_packets: 4,
        lost_no_reader_bytes: 1000,
        lost_other_packets: 0,
        lost_other_bytes: 0,
        bypassed_packets: 0,
        bypassed_bytes: 0,
    };

    fn pipeline() -> Ledger {
        let mut ledger = Ledger { connections: 56, ..Ledger::default() };
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
toa-tc: packets (after GRO): 1,234 matched = 1,200 delivered + 34 lost (30 ring full, 4 no reader, 0 other) + 0 bypassed
toa-tc: payload bytes: 1,000,000 matched = 990,000 delivered + 4,000 cut + 6,000 lost (5,000 ring full, 1,000 no reader, 0 other) + 0 bypassed
toa-tc: delivered bytes: 980,000 used, 9,000 duplicate, 1,000 discarded
toa-tc: 2,000 requests (3 incomplete) on 56 connections, 3 gaps of 4,344 bytes
toa-tc: 1,000 bytes discarded: arrived after their gap was reported
";
        assert_eq!(Summary { kernel: &KERNEL, pipeline: &pipeline(), after_gro: true }.to_string(), expected);
    }

    #[test]
    fn sums_that_do_not_add_up_say_so() {
        let kernel = KernelLedger { matched_packets: 1240, emitted_packets: 1201, ..KERNEL };
        let text = Summary { kernel: &kernel, pipeline: &pipeline(), after_gro: true }.to_string();
        assert!(
            text.contains("packets (after GRO) do not add up: 1,240 matched, 1,234 accounted for, 6 apart")
        );
        assert!(text.contains("packets do not add up: 1,201 sent by the kernel, 1,200 read"));
    }

    #[test]
    fn one_is_singular_and_a_capture_has_no_gro() {
        let mut ledger = Ledger { connections: 1, ..Ledger::default() };
        ledger.http.requests = 1;
        let kernel = KernelLedger::default();
        let text = Summary { kernel: &kernel, pipeline: &ledger, after_gro: false }.to_string();
        assert!(text.starts_with("toa-tc: packets: 0 matched = "), "{text}");
        assert!(text.ends_with("toa-tc: 1 request (0 incomplete) on 1 connection, no gaps\n"), "{text}");
    }
}
