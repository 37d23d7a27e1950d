//! The ledger that a run must print for frames that were observed independently.

use anyhow::Result;

use crate::tool::ledger::Ledger;
use toa_packets::{
    builder::flags::{FIN, RST},
    oracle::Segment,
};

/// Maximum bytes of a frame in a record: 65,516 less the record's own 72.
const RECORD: usize = 65_516 - 72;

/// What must match, and how much of it exceeds the records.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// Packets with payload, or with FIN or RST. A connection is not followed yet at its SYN.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Bytes that exceed the records.
    pub cut: u64,
    /// Length of the longest frame in bytes.
    pub longest: usize,
}

impl Account {
    /// Counts the frames of followed connections.
    pub fn of(frames: &[Vec<u8>]) -> Self {
        let mut account = Self::default();
        for frame in frames {
            let Some(segment) = Segment::of(frame) else { continue };
            let payload = segment.payload().len();
            if payload > 0 || segment.flags() & (FIN | RST) != 0 {
                account.packets += 1;
                account.bytes += payload as u64;
                account.cut += frame.len().saturating_sub(RECORD).min(payload) as u64;
                account.longest = account.longest.max(frame.len());
            }
        }
        account
    }

    /// Fails unless the ledger has exactly these counts and nothing was lost. Bypassed frames do not count as
    /// cut.
    pub fn check(&self, ledger: &Ledger) -> Result<()> {
        ledger.check()?;
        let found = (ledger.packets("matched")?, ledger.bytes("matched")?);
        let expected = (self.packets, self.bytes);
        anyhow::ensure!(found == expected, "matched {found:?}, on the wire {expected:?}");
        let (cut, bypassed) = (ledger.bytes("cut")?, ledger.bytes("bypassed")?);
        anyhow::ensure!(
            if bypassed == 0 { cut == self.cut } else { cut <= self.cut },
            "{cut} cut and {bypassed} bypassed, on the wire {} to be cut",
            self.cut
        );
        let lost = (ledger.packets("lost")?, ledger.bytes("lost")?);
        anyhow::ensure!(lost == (0, 0), "lost {lost:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toa_packets::builder::PacketBuilder;

    #[test]
    fn what_a_record_has_no_room_for_is_cut() {
        let frame = |payload: usize| PacketBuilder::ipv4().payload(&vec![b'x'; payload]).build();
        let fits = RECORD - 54;
        let account = Account::of(&[frame(fits), frame(fits + 1), frame(0), frame(100_000)]);
        let bytes = 2 * fits as u64 + 1 + 100_000;
        let expected = Account { packets: 3, bytes, cut: 1 + 54 + 100_000 - RECORD as u64, longest: 100_054 };
        assert_eq!(account, expected);
    }
}
