//! The ledger as text: the counts of the kernel and the pipeline as equations. Those that do not add up are reported.

use std::fmt;

use super::{
    count::{Count, plural},
    hidden::Hidden,
};
use crate::{
    address::ClientAddress,
    ledger::{
        Ledger, StreamLedger,
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

    /// Returns how many bytes fit in no connection. A server discards such bytes, unless its connection was another one.
    fn misplaced_bytes(&self) -> u64 {
        let Ledger { stream, plaintext, .. } = self.pipeline;
        let of = |it: &StreamLedger| it.after_end_bytes.saturating_add(it.out_of_window_bytes);
        of(stream).saturating_add(of(plaintext))
    }

    /// Returns whether every connection was followed, and every byte read that was not bypassed and is part of one.
    pub fn is_lossless(&self) -> bool {
        let adds_up = |account: &Account| account.matched == account.accounted();
        let Ledger { stream, plaintext, .. } = self.pipeline;
        let is_read =
            self.counters.ledger().cut_packets == 0 && stream.gaps == 0 && self.misplaced_bytes() == 0;
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
        let misplaced = self.misplaced_bytes();
        let misplaced = (misplaced > 0).then(|| format!("{} discarded", plural(misplaced, "byte")));
        let counts = [gaps, lost, cut, cut_reads].into_iter().flatten();
        let mut parts: Vec<_> = counts.chain(others).chain(misplaced).collect();
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
mod tests;
