//! The equation that accounts for every matched packet and byte.

use serde::Serialize;

/// What became of the matched packets, or of their bytes: `matched = delivered + cut + lost + bypassed`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Account {
    /// Packets of followed connections with payload, SYN, FIN or RST, or their bytes of payload.
    pub matched: u64,
    /// Copied to user space.
    pub delivered: u64,
    /// Bytes that did not fit into a sample. `None` for packets: a cut packet counts as delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// Matched, but could not be copied.
    pub lost: Lost,
    /// Not copied because user space does not need them.
    pub bypassed: u64,
}

/// What was lost, by cause.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Lost {
    /// The ring was full.
    pub ring_full: u64,
    /// The ring of this CPU had no reader.
    pub no_reader: u64,
    /// Any other error.
    pub other: u64,
}

impl Lost {
    /// Returns the sum.
    pub fn total(&self) -> u64 {
        self.ring_full.saturating_add(self.no_reader).saturating_add(self.other)
    }
}

impl Account {
    /// Returns the right side of the equation.
    pub fn accounted(&self) -> u64 {
        let parts = [self.delivered, self.cut.unwrap_or(0), self.lost.total(), self.bypassed];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}
