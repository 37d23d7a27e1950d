//! Responsible for the ledger that is printed at the end: what the kernel and the pipeline counted, as sums
//! that add up or say that they do not. Not responsible for counting.

use std::fmt;

use super::count::Count;
use crate::ledger::{Ledger, kernel::KernelLedger};

/// Both ledgers, to be printed line by line.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The kernel's, or of what stands in for it.
    pub kernel: &'a KernelLedger,
    /// The pipeline's.
    pub pipeline: &'a Ledger,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, pipeline: ledger } = *self;
        let (stream, http) = (&ledger.stream, &ledger.http);
        Account {
            unit: "packets (after GRO)",
            matched: kernel.matched_packets,
            delivered: stream.delivered_packets,
            cut: None,
            lost: [kernel.lost_ring_full_packets, kernel.lost_no_reader_packets, kernel.lost_other_packets],
            bypassed: kernel.bypassed_packets,
        }
        .fmt(f)?;
        Account {
            unit: "bytes of payload",
            matched: kernel.matched_bytes,
            delivered: stream.delivered_bytes,
            cut: Some(kernel.cut_bytes),
            lost: [kernel.lost_ring_full_bytes, kernel.lost_no_reader_bytes, kernel.lost_other_bytes],
            bypassed: kernel.bypassed_bytes,
        }
        .fmt(f)?;
        let pairs = [
            ("packets", kernel.emitted_packets, stream.delivered_packets),
            ("bytes", kernel.emitted_bytes, stream.delivered_bytes),
            ("cut packets", kernel.cut_packets, stream.cut_packets),
            ("cut bytes", kernel.cut_bytes, stream.cut_bytes),
        ];
        for (unit, sent, delivered) in pairs.into_iter().filter(|(_, sent, read)| sent != read) {
            let (sent, delivered) = (Count(sent), Count(delivered));
            writeln!(f, "toa-tc: the kernel sent {sent} {unit}, {delivered} were read")?;
        }
        writeln!(
            f,
            "toa-tc: of the delivered bytes {} used, {} duplicate, {} discarded by a limit",
            Count(stream.used_bytes),
            Count(stream.duplicate_bytes),
            Count(stream.discarded_bytes()),
        )?;
        writeln!(
            f,
            "toa-tc: {} requests ({} incomplete) on {} connections, {} gaps of {} bytes",
            Count(http.requests),
            Count(http.incomplete_requests),
            Count(ledger.connections),
            Count(stream.gaps),
            Count(stream.gap_bytes),
        )?;
        for (count, what) in remarks(ledger) {
            if count > 0 {
                writeln!(f, "toa-tc: {} {what}", Count(count))?;
            }
        }
        Ok(())
    }
}

/// What is worth a line only if it happened.
fn remarks(ledger: &Ledger) -> [(u64, &'static str); 18] {
    let (stream, http) = (&ledger.stream, &ledger.http);
    [
        (ledger.undecodable_samples, "samples were no segments"),
        (stream.hole_timeouts, "holes given up: not filled in time"),
        (stream.connection_bytes_limits, "holes given up: too many bytes wait in one connection"),
        (stream.range_limits, "holes given up: too many ranges wait in one connection"),
        (ledger.total_bytes_limits, "times given up waiting: too many bytes wait in all connections"),
        (stream.late_bytes, "bytes discarded: later than their hole was given up"),
        (stream.before_start_bytes, "bytes discarded: before the start of their connection"),
        (stream.after_end_bytes, "bytes discarded: behind the end of their connection"),
        (stream.out_of_window_bytes, "bytes discarded: further ahead than TCP allows"),
        (ledger.connections_evicted, "connections forgotten: too many"),
        (ledger.ended_evicted, "ended connections forgotten: too many"),
        (http.not_http, "connections, or rests of them, not HTTP/1"),
        (http.oversized_heads, "heads beyond a limit"),
        (http.oversized_hellos, "TLS hellos beyond a limit"),
        (http.malformed_heads, "malformed heads"),
        (http.unfinished_heads, "heads without an end"),
        (http.faulty_framings, "requests with a doubtful length of their body"),
        (http.resync_bytes, "bytes passed over in search of the next request"),
    ]
}

/// One line of the kernel's account.
struct Account {
    unit: &'static str,
    matched: u64,
    delivered: u64,
    cut: Option<u64>,
    /// Ring full, no reader, other.
    lost: [u64; 3],
    bypassed: u64,
}

impl Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ring_full, no_reader, other] = self.lost;
        let lost = ring_full.saturating_add(no_reader).saturating_add(other);
        let (matched, delivered) = (Count(self.matched), Count(self.delivered));
        write!(f, "toa-tc: {} {matched} matched = {delivered} delivered", self.unit)?;
        if let Some(cut) = self.cut {
            write!(f, " + {} cut", Count(cut))?;
        }
        write!(f, " + {} lost", Count(lost))?;
        if lost > 0 {
            let (ring_full, no_reader, other) = (Count(ring_full), Count(no_reader), Count(other));
            write!(f, " ({ring_full} ring full, {no_reader} no reader, {other} other)")?;
        }
        writeln!(f, " + {} bypassed", Count(self.bypassed))?;
        let sum = self.delivered.saturating_add(self.cut.unwrap_or(0)).saturating_add(lost);
        let sum = sum.saturating_add(self.bypassed);
        if sum != self.matched {
            let (difference, sum) = (Count(sum.abs_diff(self.matched)), Count(sum));
            writeln!(
                f,
                "toa-tc: this does not add up: {matched} {} matched, {sum} accounted for, {difference} apart",
                self.unit
            )?;
        }
        Ok(())
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
toa-tc: packets (after GRO) 1,234 matched = 1,200 delivered + 34 lost (30 ring full, 4 no reader, 0 other) + 0 bypassed
toa-tc: bytes of payload 1,000,000 matched = 990,000 delivered + 4,000 cut + 6,000 lost (5,000 ring full, 1,000 no reader, 0 other) + 0 bypassed
toa-tc: of the delivered bytes 980,000 used, 9,000 duplicate, 1,000 discarded by a limit
toa-tc: 2,000 requests (3 incomplete) on 56 connections, 3 gaps of 4,344 bytes
toa-tc: 1,000 bytes discarded: later than their hole was given up
";
        assert_eq!(Summary { kernel: &KERNEL, pipeline: &pipeline() }.to_string(), expected);
    }

    #[test]
    fn sums_that_do_not_add_up_say_so() {
        let kernel = KernelLedger { matched_packets: 1240, emitted_packets: 1201, ..KERNEL };
        let text = Summary { kernel: &kernel, pipeline: &pipeline() }.to_string();
        assert!(text.contains(
            "this does not add up: 1,240 packets (after GRO) matched, 1,234 accounted for, 6 apart"
        ));
        assert!(text.contains("the kernel sent 1,201 packets, 1,200 were read"));
    }
}
