//! The equation that every matched packet and byte is part of.

use serde::Serialize;

/// What became of the matched packets, or of their bytes: `matched = delivered + cut + lost + bypassed`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Account {
    /// Of followed connections.
    pub matched: u64,
    /// Copied to user space.
    pub delivered: u64,
    /// Bytes that did not fit into a sample. `None` for packets: a cut packet is a delivered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// Matched, but not copied.
    pub lost: Lost,
    /// Not copied, because user space said that it does not need them.
    pub bypassed: u64,
}

/// What was lost, by cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Lost {
    /// The ring was full.
    pub ring_full: u64,
    /// Nobody read the ring of this CPU.
    pub no_reader: u64,
    /// Any other error.
    pub other: u64,
}

impl Lost {
    /// The sum.
    pub fn total(&self) -> u64 {
        self.ring_full.saturating_add(self.no_reader).saturating_add(self.other)
    }
}

impl Account {
    /// The right side of the equation.
    pub fn accounted(&self) -> u64 {
        let parts = [self.delivered, self.cut.unwrap_or(0), self.lost.total(), self.bypassed];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}
