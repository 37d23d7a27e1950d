//! What was lost while a run lasts, by reason, in an interval.

use toa_common::counters::Counter;

use super::{Ledger, counters::Snapshot};

/// Number of reasons.
pub const REASONS: usize = 12;

/// A reason.
#[derive(Debug, Eq, PartialEq)]
pub struct Reason {
    /// The name for machines.
    pub name: &'static str,
    /// What is counted, in the singular.
    pub noun: &'static str,
    /// What became of it.
    pub fate: &'static str,
    /// Why, for people.
    pub cause: &'static str,
    /// What helps, for people.
    pub remedy: Option<&'static str>,
    /// The option that helps.
    pub option: Option<&'static str>,
    /// Whether the count is a lower bound.
    pub is_least: bool,
}

impl Reason {
    const fn new(name: &'static str, noun: &'static str, fate: &'static str, cause: &'static str) -> Self {
        Self { name, noun, fate, cause, remedy: None, option: None, is_least: false }
    }

    const fn with(self, option: &'static str, remedy: &'static str) -> Self {
        Self { option: Some(option), remedy: Some(remedy), ..self }
    }
}

/// The reasons, in the order of [`LossCounts`].
static ALL: [Reason; REASONS] = [
    Reason::new("ring_full", "packet", "lost", "the rings were full")
        .with("--ring-size", "a larger --ring-size, or a faster reader of the output"),
    Reason::new("no_reader", "packet", "lost", "a CPU had no ring"),
    Reason::new("other", "packet", "lost", "the kernel could not write to the ring of a CPU"),
    Reason {
        is_least: true,
        ..Reason::new("evicted", "open connection", "evicted", "the table was full")
            .with("--max-flows", "a larger --max-flows")
    },
    Reason::new("flow_insert_failed", "connection", "not followed", "the table refused it")
        .with("--max-flows", "a larger --max-flows"),
    Reason::new("connections_evicted", "connection", "given up", "too many are open")
        .with("--max-flows", "a larger --max-flows"),
    Reason::new("total_bytes_limits", "wait", "given up", "too much data is incomplete")
        .with("--max-memory", "a larger --max-memory"),
    Reason::new("connection_limits", "hole", "given up", "too much data waits on one connection"),
    Reason::new("hole_timeouts", "hole", "given up", "the bytes did not come in time"),
    Reason::new("oversized_heads", "request head", "skipped", "too long")
        .with("--max-head", "a larger --max-head"),
    Reason::new("plaintext_ring_full", "plaintext read", "lost", "the rings were full")
        .with("--ring-size", "a larger --ring-size, or a faster reader of the output"),
    Reason::new("plaintext_other", "plaintext read", "lost", "the kernel could not copy it"),
];

/// Returns the reasons' names for machines, in the order of [`LossCounts`].
pub fn names() -> [&'static str; REASONS] {
    ALL.each_ref().map(|reason| reason.name)
}

/// How much was lost since a run began, for each reason.
pub type LossCounts = [u64; REASONS];

/// Returns the counts. `evicted` is the number of open connections that the kernel evicted.
pub fn counts(counters: &Snapshot, evicted: u64, pipeline: &Ledger) -> LossCounts {
    let (stream, plaintext) = (&pipeline.stream, &pipeline.plaintext);
    let sum = |counts: &[u64]| counts.iter().copied().fold(0, u64::saturating_add);
    [
        counters.get(Counter::LostRingFull),
        counters.get(Counter::LostNoReader),
        counters.get(Counter::LostOther),
        evicted,
        counters.get(Counter::FlowInsertFailed),
        pipeline.connections_evicted,
        pipeline.total_bytes_limits,
        sum(&[
            stream.connection_bytes_limits,
            stream.range_limits,
            plaintext.connection_bytes_limits,
            plaintext.range_limits,
        ]),
        stream.hole_timeouts.saturating_add(plaintext.hole_timeouts),
        pipeline.http.oversized_heads,
        counters.get(Counter::PlaintextLostRingFull),
        counters
            .get(Counter::PlaintextLostNoReader)
            .saturating_add(counters.get(Counter::PlaintextLostOther)),
    ]
}

/// What was lost in an interval for one reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Loss {
    /// The reason.
    pub reason: &'static Reason,
    /// How much.
    pub count: u64,
    /// The length of the interval in seconds.
    pub seconds: u64,
}

/// Compares counts with earlier ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses(LossCounts);

impl Losses {
    /// Returns what was lost in the `seconds` since the last call.
    pub fn until(&mut self, counts: LossCounts, seconds: u64) -> impl Iterator<Item = Loss> + use<> {
        let before = std::mem::replace(&mut self.0, counts);
        let differences = counts.into_iter().zip(before).map(|(now, before)| now.saturating_sub(before));
        let losses = ALL.iter().zip(differences).map(move |(reason, count)| Loss { reason, count, seconds });
        losses.filter(|loss| loss.count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_lost_since_the_last_time_is_returned() {
        let mut counters = Snapshot::default();
        let mut losses = Losses::default();
        counters.add(Counter::LostRingFull, 1203);
        let found: Vec<_> = losses.until(counts(&counters, 0, &Ledger::default()), 10).collect();
        assert_eq!(
            found.iter().map(|it| (it.reason.name, it.count)).collect::<Vec<_>>(),
            [("ring_full", 1203)]
        );
        assert_eq!(losses.until(counts(&counters, 0, &Ledger::default()), 10).count(), 0);
        counters.add(Counter::LostRingFull, 1);
        let found: Vec<_> = losses.until(counts(&counters, 7, &Ledger::default()), 10).collect();
        let found: Vec<_> = found.iter().map(|it| (it.reason.name, it.count)).collect();
        assert_eq!(found, [("ring_full", 1), ("evicted", 7)]);
    }
}
