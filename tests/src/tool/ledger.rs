//! Parses the ledger that the tool prints and checks its sums. The tests compare the counts with what nginx
//! logged.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// The prefix of each line of the ledger, and the part that it belongs to.
const LINES: [(&str, Part); 3] = [
    ("toa-tc: packets", Part::Packets),
    ("toa-tc: payload bytes: ", Part::Bytes),
    ("toa-tc: delivered bytes: ", Part::Delivered),
];

/// The prefix of the line that only a ledger with plaintext has.
const PLAINTEXT: (&str, Part) = ("toa-tc: plaintext reads: ", Part::PlaintextReads);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    Packets,
    Bytes,
    Delivered,
    PlaintextReads,
}

/// Counts by part and name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    counts: BTreeMap<(Part, String), u64>,
    /// All that the tool wrote to stderr, for error messages.
    said: String,
}

impl Ledger {
    /// Parses the ledger from what the tool wrote to stderr.
    pub fn parse(stderr: &str) -> Result<Self> {
        let mut ledger = Self { said: stderr.to_owned(), ..Self::default() };
        for (beginning, part) in LINES.into_iter().chain([PLAINTEXT]) {
            let line = stderr.lines().find_map(|line| line.strip_prefix(beginning));
            if line.is_none() && part == Part::PlaintextReads {
                continue;
            }
            let line = line.with_context(|| format!("no line {beginning:?} in: {stderr}"))?;
            let words: Vec<&str> = line.split([' ', '(', ')']).filter(|word| !word.is_empty()).collect();
            let counts = words.windows(2).filter_map(|window| {
                let [number, name] = window else { return None };
                let number: u64 = number.replace(',', "").parse().ok()?;
                Some(((part, name.trim_end_matches(',').to_owned()), number))
            });
            ledger.counts.extend(counts);
        }
        Ok(ledger)
    }

    /// Returns a count of packets after GRO: `matched`, `delivered`, `lost` or `bypassed`.
    pub fn packets(&self, name: &str) -> Result<u64> {
        self.count(Part::Packets, name)
    }

    /// Returns a count of payload bytes: one of those of packets, or `cut`.
    pub fn bytes(&self, name: &str) -> Result<u64> {
        self.count(Part::Bytes, name)
    }

    /// Returns a count of reads of plaintext: `matched`, `delivered`, `lost` or `bypassed`. 0 if there were none.
    pub fn plaintext_reads(&self, name: &str) -> Result<u64> {
        let has_any = self.counts.keys().any(|(part, _)| *part == Part::PlaintextReads);
        if has_any { self.count(Part::PlaintextReads, name) } else { Ok(0) }
    }

    /// Returns the payload bytes that matched, without those that a sender's stack retransmitted.
    pub fn bytes_once(&self) -> Result<u64> {
        Ok(self.bytes("matched")? - self.count(Part::Delivered, "duplicate")?)
    }

    fn count(&self, part: Part, name: &str) -> Result<u64> {
        let count = self.counts.get(&(part, name.to_owned()));
        count.copied().with_context(|| format!("no {part:?} {name} in: {}", self.said))
    }

    /// Fails unless everything that matched, and everything that was delivered, is accounted for.
    pub fn check(&self) -> Result<()> {
        let sum = |part, names: &[&str]| {
            names.iter().try_fold(0, |sum, name| Ok::<_, anyhow::Error>(sum + self.count(part, name)?))
        };
        let accounts = [
            (self.packets("matched")?, sum(Part::Packets, &["delivered", "lost", "bypassed"])?),
            (self.bytes("matched")?, sum(Part::Bytes, &["delivered", "cut", "lost", "bypassed"])?),
            (
                self.bytes("delivered")?,
                sum(Part::Delivered, &["used", "duplicate", "conflicting", "discarded"])?,
            ),
            (
                self.plaintext_reads("matched")?,
                ["delivered", "lost", "bypassed"]
                    .iter()
                    .try_fold(0, |sum, name| anyhow::Ok(sum + self.plaintext_reads(name)?))?,
            ),
        ];
        for (whole, parts) in accounts {
            ensure!(whole == parts, "{whole} is not {parts}: {}", self.said);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
toa-tc: attached to eth0 (tcx, first), 2 rules
toa-tc: 2,000 requests (3 incomplete) of 7 clients on 56 connections, 3 gaps of 4,344 bytes
toa-tc: packets (after GRO): 1,234 matched = 1,200 delivered + 34 lost (30 ring full, 4 no reader, 0 other) + 0 bypassed
toa-tc: payload bytes: 1,000,000 matched = 990,000 delivered + 4,000 cut + 6,000 lost (5,000 ring full) + 0 bypassed
toa-tc: delivered bytes: 979,000 used, 9,000 duplicate, 1,000 conflicting, 1,000 discarded
";

    #[test]
    fn the_account_is_read() {
        let ledger = Ledger::parse(SAID).unwrap();
        assert_eq!((ledger.packets("matched").unwrap(), ledger.packets("lost").unwrap()), (1234, 34));
        assert_eq!((ledger.bytes("cut").unwrap(), ledger.bytes("bypassed").unwrap()), (4000, 0));
        ledger.check().unwrap();
        assert_eq!(ledger.bytes_once().unwrap(), 991_000);
        assert!(ledger.packets("cut").is_err());
        assert!(Ledger::parse("toa-tc: attached to eth0 (tcx, first), 2 rules\n").is_err());
    }

    #[test]
    fn reads_of_plaintext_are_read_if_there_are_any() {
        assert_eq!(Ledger::parse(SAID).unwrap().plaintext_reads("lost").unwrap(), 0);
        let with = |line: &str| Ledger::parse(&format!("{SAID}toa-tc: plaintext reads: {line}\n")).unwrap();
        let right =
            with("1,005 matched = 1,000 delivered + 5 lost (5 ring full, 0 no reader, 0 other) + 0 bypassed");
        assert_eq!(right.plaintext_reads("lost").unwrap(), 5);
        right.check().unwrap();
        assert!(with("1,005 matched = 1,000 delivered + 0 lost + 0 bypassed").check().is_err());
    }

    #[test]
    fn a_wrong_sum_is_an_error() {
        for (right, wrong) in
            [("34 lost", "35 lost"), ("4,000 cut", "0 cut"), ("9,000 duplicate", "1 duplicate")]
        {
            assert!(Ledger::parse(&SAID.replace(right, wrong)).unwrap().check().is_err(), "{wrong}");
        }
    }
}
