//! Responsible for reading the tool's account of what became of every packet and byte. Not responsible for
//! its sums: the tests check them.
//!
//! A line belongs to it if it is about `packets` or about `bytes` and has a number next to a name:
//! `… bytes: 10 matched = 7 delivered + 1 cut + …` as well as `… bytes matched 10, delivered 7, …`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// Numbers by unit and name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    packets: BTreeMap<String, u64>,
    bytes: BTreeMap<String, u64>,
    said: String,
}

impl Ledger {
    /// Reads it from what the tool said at its end.
    pub fn parse(stderr: &str) -> Result<Self> {
        let mut ledger = Self { said: stderr.to_owned(), ..Self::default() };
        for line in stderr.lines() {
            let words: Vec<&str> = line.split([' ', ':', ';', '=', '+', '(', ')', '\t']).collect();
            let is_about = |unit: &str| words.iter().any(|word| word.trim_end_matches(',') == unit);
            let unit = match (is_about("packets"), is_about("bytes")) {
                (true, false) => &mut ledger.packets,
                (false, true) => &mut ledger.bytes,
                _ => continue,
            };
            for (name, number) in pairs(&words) {
                unit.entry(name).or_insert(number);
            }
        }
        ensure!(!ledger.bytes.is_empty() && !ledger.packets.is_empty(), "no ledger in: {stderr}");
        Ok(ledger)
    }

    /// How many packets have this name.
    pub fn packets(&self, name: &str) -> Result<u64> {
        self.packets.get(name).copied().with_context(|| format!("no packets {name} in: {}", self.said))
    }

    /// How many bytes of payload have this name.
    pub fn bytes(&self, name: &str) -> Result<u64> {
        self.bytes.get(name).copied().with_context(|| format!("no bytes {name} in: {}", self.said))
    }

    /// Fails unless every packet and byte that matched is accounted for.
    pub fn check(&self) -> Result<()> {
        let of_bytes = |name: &str| self.bytes(name);
        let parts = of_bytes("delivered")? + of_bytes("cut")? + of_bytes("lost")? + of_bytes("skipped")?;
        ensure!(of_bytes("matched")? == parts, "the bytes do not add up: {}", self.said);
        // A packet that was cut was delivered.
        let parts = self.packets("delivered")? + self.packets("lost")? + self.packets("skipped")?;
        ensure!(self.packets("matched")? == parts, "the packets do not add up: {}", self.said);
        Ok(())
    }
}

/// Names next to numbers: all of `number name`, or if there are none all of `name number`.
fn pairs(words: &[&str]) -> Vec<(String, u64)> {
    let words: Vec<&str> = words.iter().map(|word| word.trim_end_matches(',')).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let number = |word: &str| word.replace([',', '_'], "").parse::<u64>().ok();
    let is_name = |word: &str| word.starts_with(char::is_alphabetic);
    let pair = |number_first: bool| {
        let of_window = move |window: &[&str]| {
            let [first, second] = *window else { return None };
            let (value, name) = if number_first { (first, second) } else { (second, first) };
            let is_unit = matches!(name, "packets" | "bytes");
            is_name(name)
                .then(|| number(value))
                .flatten()
                .filter(|_| !is_unit)
                .map(|value| (name.to_owned(), value))
        };
        words.windows(2).filter_map(of_window).collect::<Vec<_>>()
    };
    let first = pair(true);
    if first.len() > 1 { first } else { pair(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_are_read() {
        for text in [
            "toa-tc: packets: 1,010 matched = 1,000 delivered + 2 cut + 10 lost + 0 skipped on order\n\
             toa-tc: bytes: 99 matched = 90 delivered + 2 cut + 3 lost + 4 skipped on order\n",
            "  packets  matched 1010, delivered 1000, cut 2, lost 10, skipped 0\n\
             \x20 bytes    matched 99, delivered 90, cut 2, lost 3, skipped 4\n",
        ] {
            let ledger = Ledger::parse(text).unwrap();
            assert_eq!(
                (ledger.packets("matched").unwrap(), ledger.packets("lost").unwrap()),
                (1010, 10),
                "{text}"
            );
            assert_eq!((ledger.bytes("cut").unwrap(), ledger.bytes("skipped").unwrap()), (2, 4), "{text}");
            ledger.check().unwrap();
        }
    }

    #[test]
    fn a_wrong_sum_is_an_error() {
        let text = "bytes: 9 matched = 9 delivered + 1 cut + 0 lost + 0 skipped\n\
                    packets: 1 matched = 1 delivered + 1 cut + 0 lost + 0 skipped\n";
        assert!(Ledger::parse(text).unwrap().check().is_err());
        assert!(Ledger::parse("toa-tc: attached to eth0\n").is_err());
    }
}
