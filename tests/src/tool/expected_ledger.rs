//! Responsible for what a run's ledger must say of frames that somebody else has seen. Not responsible for seeing them.

use anyhow::Result;

use crate::tool::ledger::Ledger;
use toa_packets::{
    builder::flags::{FIN, RST, SYN},
    oracle::Segment,
};

/// Longest part of a frame that a record carries, in bytes: 65,516 with the record's own 64.
const RECORD: usize = 65_516 - 64;

/// What is to be matched, and what of it no record has room for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// Packets with payload, or with SYN, FIN or RST.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Bytes beyond what a record carries.
    pub cut: u64,
    /// Bytes of the longest frame.
    pub longest: usize,
}

impl Account {
    /// Of the frames of followed connections.
    pub fn of(frames: &[Vec<u8>]) -> Self {
        let mut account = Self::default();
        for frame in frames {
            let Some(segment) = Segment::of(frame) else { continue };
            let payload = segment.payload().len();
            if payload > 0 || segment.flags() & (SYN | FIN | RST) != 0 {
                account.packets += 1;
                account.bytes += payload as u64;
                account.cut += frame.len().saturating_sub(RECORD).min(payload) as u64;
                account.longest = account.longest.max(frame.len());
            }
        }
        account
    }

    /// Fails unless the ledger says just this, and that nothing was lost. Of frames that were bypassed nothing is
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
