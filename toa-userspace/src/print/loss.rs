//! A loss as a line of text.

use std::fmt;

use super::count::plural;
use crate::ledger::losses::Loss;

/// Displays a loss: `1,203 packets lost in 10 s: the rings were full (a larger --ring-size, …)`.
#[derive(Debug)]
pub struct LossLine<'a>(pub &'a Loss);

impl fmt::Display for LossLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { reason, count, seconds } = self.0;
        let least = if reason.is_least { "at least " } else { "" };
        write!(f, "{least}{} {} in {seconds} s: {}", plural(*count, reason.noun), reason.fate, reason.cause)?;
        match reason.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use toa_common::counters::Counter;

    use super::*;
    use crate::ledger::{
        Ledger,
        counters::Snapshot,
        losses::{Losses, counts},
    };

    #[test]
    fn a_line_has_the_number_the_reason_and_the_remedy() {
        let mut counters = Snapshot::default();
        counters.add(Counter::LostRingFull, 1203);
        counters.add(Counter::LostNoReader, 1);
        let losses = Losses::default().until(counts(&counters, 7, &Ledger::default()), 10);
        let lines: Vec<_> = losses.map(|loss| LossLine(&loss).to_string()).collect();
        assert_eq!(
            lines,
            [
                "1,203 packets lost in 10 s: the rings were full (a larger --ring-size, or a faster reader of the \
                 output)",
                "1 packet lost in 10 s: a CPU had no ring",
                "at least 7 open connections evicted in 10 s: the table was full (a larger --max-flows)",
            ]
        );
    }
}
