//! The ledger as text: the counts of the kernel and the pipeline as equations. Those that do not add up are reported.

use std::fmt;

use super::{
    count::{Count, plural},
    hidden::Hidden,
};
use crate::{
    address::ClientAddress,
    ledger::{
        Ledger,
        account::Account,
        counters::Snapshot,
        examples::Examples,
        losses::{self, Loss, Losses},
        remarks::Remark,
    },
};

/// Both ledgers, for printing line by line.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The kernel's counters, or for a file those of the classifier, which takes the kernel's place.
    pub counters: &'a Snapshot,
    /// The pipeline's ledger.
    pub pipeline: &'a Ledger,
    /// Clients for whom the pipeline counted something worth a remark.
    pub examples: &'a Examples,
    /// Open connections that were evicted from the table of followed ones.
    pub evicted: u64,
    /// Whether packets were counted after GRO, which merges several packets of the wire: true for a live run, false for
    /// a capture.
    pub after_gro: bool,
    /// Requests that were not printed.
    pub hidden: Hidden,
    /// Whether results could not be written.
    pub is_unwritten: bool,
}

impl<'a> Summary<'a> {
    /// Returns the account of the packets.
    pub fn packets(&self) -> Account {
        Account { delivered: self.pipeline.stream.delivered_packets, ..self.counters.ledger().packets() }
    }

    /// Returns the number of gaps, in packets and in plaintext.
    pub(super) fn gaps(&self) -> u64 {
        self.pipeline.stream.gaps.saturating_add(self.pipeline.plaintext.gaps)
    }

    /// Returns how many bytes are in gaps.
    pub(super) fn gap_bytes(&self) -> u64 {
        self.pipeline.stream.gap_bytes.saturating_add(self.pipeline.plaintext.gap_bytes)
    }

    /// Returns the accounts of reads of plaintext and of their bytes, if there were any.
    pub fn plaintext(&self) -> Option<(Account, Account)> {
        let (kernel, pipeline) = (self.counters.ledger().plaintext, &self.pipeline.plaintext);
        (kernel.matched > 0 || pipeline.delivered_packets > 0).then(|| {
            let reads = Account { delivered: pipeline.delivered_packets, ..kernel.reads() };
            (reads, Account { delivered: pipeline.delivered_bytes, ..kernel.bytes() })
        })
    }

    /// Returns the remarks, each with clients for example.
    pub(super) fn remarks(&self) -> impl Iterator<Item = (Remark, &'a [ClientAddress])> {
        let kernel = self.counters.remarks(self.after_gro).map(|remark| (remark, &[][..]));
        self.pipeline.remarks().into_iter().zip(self.examples.clients()).chain(kernel)
    }

    /// Returns the account of their payload bytes.
    pub(super) fn bytes(&self) -> Account {
        Account { delivered: self.pipeline.stream.delivered_bytes, ..self.counters.ledger().bytes() }
    }
}

impl Summary<'_> {
    /// Returns whether everything that matched was read and used, so that the counts of packets and bytes say nothing more.
    pub fn is_whole(&self) -> bool {
        let Ledger { stream, plaintext, .. } = self.pipeline;
        self.is_lossless() && stream.discarded_bytes() == 0 && plaintext.discarded_bytes() == 0
    }

    /// Returns whether every connection was followed, and every byte read that was not bypassed.
    pub fn is_lossless(&self) -> bool {
        let adds_up = |account: &Account| account.matched == account.accounted();
        let Ledger { stream, plaintext, .. } = self.pipeline;
        let is_read = self.counters.ledger().cut_packets == 0 && stream.gaps == 0;
        let is_plaintext_read = self.plaintext().is_none_or(|(reads, bytes)| {
            bytes.cut == Some(0) && plaintext.gaps == 0 && adds_up(&reads) && adds_up(&bytes)
        });
        is_read
            && is_plaintext_read
            && self.losses().next().is_none()
            && adds_up(&self.packets())
            && adds_up(&self.bytes())
    }

    /// Returns what was lost, by reason.
    fn losses(&self) -> impl Iterator<Item = Loss> + use<> {
        Losses::default().until(losses::counts(self.counters, self.evicted, self.pipeline), 0)
    }

    /// Returns the first line, and the remarks.
    pub fn brief(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        _ = self.write_sentence(&mut text).and_then(|()| self.write_remarks(&mut text));
        text
    }

    /// Writes what the run comes to.
    fn write_sentence(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let Ledger { clients, connections, http, .. } = self.pipeline;
        write!(out, "toa-tc: {}", plural(http.requests, "request"))?;
        let incomplete = http.incomplete_requests;
        let incomplete = (incomplete > 0).then(|| format!("{} incomplete", Count(incomplete)));
        let details: Vec<_> = incomplete.into_iter().chain(self.hidden.parts()).collect();
        if !details.is_empty() {
            write!(out, " ({})", details.join(", "))?;
        }
        if *clients > 0 {
            write!(out, " of {}", plural(*clients, "client"))?;
        }
        write!(out, " on {}, ", plural(*connections, "connection"))?;
        let unwritten = self.is_unwritten.then(|| "not all results were written".to_owned());
        if self.is_lossless() {
            return writeln!(out, "{}", unwritten.as_deref().unwrap_or("nothing lost"));
        }
        let kernel = self.counters.ledger();
        let (cut, gap_bytes) = (kernel.cut_packets, plural(self.gap_bytes(), "byte"));
        // Of packets, the sums have the reasons.
        let others = self.losses().filter(|loss| loss.reason.noun != "packet");
        let others =
            others.map(|loss| format!("{} {}", plural(loss.count, loss.reason.noun), loss.reason.fate));
        let lost = self.packets().lost.total();
        let lost = (lost > 0).then(|| format!("{} lost", plural(lost, "packet")));
        let cut = (cut > 0).then(|| format!("{} cut", plural(cut, "packet")));
        let cut_reads = kernel.plaintext.cut;
        let cut_reads = (cut_reads > 0).then(|| format!("{} cut", plural(cut_reads, "plaintext read")));
        let gaps = (self.gaps() > 0).then(|| format!("{} of {gap_bytes}", plural(self.gaps(), "gap")));
        let mut parts: Vec<_> =
            gaps.into_iter().chain(lost).chain(cut).chain(cut_reads).chain(others).collect();
        if parts.is_empty() {
            parts.push("the counts do not add up".to_owned());
        }
        parts.extend(unwritten);
        writeln!(out, "{}", parts.join(", "))
    }

    /// Writes what is worth a remark, with clients for example.
    fn write_remarks(&self, out: &mut impl fmt::Write) -> fmt::Result {
        for (remark, clients) in self.remarks().filter(|(remark, _)| remark.count > 0) {
            write!(out, "toa-tc: {}{}", plural(remark.count, remark.noun), remark.text)?;
            for (number, client) in clients.iter().enumerate() {
                write!(out, "{}{client}", if number == 0 { " (for example " } else { ", " })?;
            }
            writeln!(out, "{}", if clients.is_empty() { "" } else { ")" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counters, pipeline: ledger, after_gro, .. } = *self;
        let kernel = counters.ledger();
        let stream = &ledger.stream;
        self.write_sentence(f)?;
        let packets = if after_gro { PACKETS_AFTER_GRO } else { "packets" };
        let plaintext = self.plaintext();
        let plaintext = plaintext.map(|(reads, bytes)| [(PLAINTEXT_READS, reads), (PLAINTEXT_BYTES, bytes)]);
        let accounts = [(packets, self.packets()), (PAYLOAD_BYTES, self.bytes())];
        for (unit, account) in accounts.into_iter().chain(plaintext.into_iter().flatten()) {
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
            (PLAINTEXT_READS, kernel.plaintext.emitted, ledger.plaintext.delivered_packets),
            (PLAINTEXT_BYTES, kernel.plaintext.emitted_bytes, ledger.plaintext.delivered_bytes),
        ];
        for (unit, sent, read) in pairs.into_iter().filter(|(_, sent, read)| sent != read) {
            let (sent, read) = (Count(sent), Count(read));
            writeln!(f, "toa-tc: {unit} do not add up: {sent} sent by the kernel, {read} read")?;
        }
        writeln!(
            f,
            "toa-tc: delivered bytes: {} used, {} duplicate, {} conflicting, {} discarded",
            Count(stream.used_bytes),
            Count(stream.duplicate_bytes),
            Count(stream.conflicting_bytes),
            Count(stream.discarded_bytes()),
        )?;
        self.write_remarks(f)
    }
}

/// The unit of packets in a live run.
pub const PACKETS_AFTER_GRO: &str = "packets (after GRO)";
/// The unit of bytes.
pub const PAYLOAD_BYTES: &str = "payload bytes";

/// The unit of what servers read from TLS connections.
const PLAINTEXT_READS: &str = "plaintext reads";
/// The unit of its bytes.
const PLAINTEXT_BYTES: &str = "plaintext bytes";

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
        assert!(
            text.contains("packets (after GRO) do not add up: 1,240 matched, 1,234 accounted for, 6 apart")
        );
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
    fn what_was_not_printed_is_no_loss_and_told() {
        let (none, examples, pipeline) = (Snapshot::default(), Examples::default(), pipeline());
        let hidden = Hidden { grep: 1200, once_by: 7 };
        let text = Summary { hidden, ..of(&none, &pipeline, &examples) }.brief();
        let details =
            "2,000 requests (3 incomplete, 1,200 hidden by --grep, 7 hidden by --once-by) of 7 clients";
        assert!(text.contains(details), "{text}");
        let nothing = Ledger::default();
        let hidden = Summary { hidden: Hidden { grep: 1, once_by: 0 }, ..of(&none, &nothing, &examples) };
        let expected = "toa-tc: 0 requests (1 hidden by --grep) on 0 connections, nothing lost\n";
        assert!(hidden.is_whole() && hidden.brief() == expected);
    }

    #[test]
    fn results_that_were_not_written_are_told_beside_what_was_lost() {
        let (none, examples, nothing) = (Snapshot::default(), Examples::default(), Ledger::default());
        let unwritten =
            |counters| Summary { is_unwritten: true, ..of(counters, &nothing, &examples) }.brief();
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
        let late =
            "toa-tc: 7 bytes discarded: arrived after the gap was reported (for example 192.0.2.1:7)\n";
        assert!(text.contains(late), "{text}");
        assert!(text.ends_with("toa-tc: 2 packets with a signature (MD5, TCP-AO)\n"), "{text}");
    }
}
