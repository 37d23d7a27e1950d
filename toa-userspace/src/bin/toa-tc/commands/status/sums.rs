//! The kernel's half of a run's ledger.

use serde::{Serialize, Serializer};
use toa_userspace::ledger::{account::Account, kernel::KernelLedger};

#[derive(Serialize)]
pub(super) struct Ledger {
    #[serde(serialize_with = "total")]
    pub(super) packets: Account,
    #[serde(serialize_with = "total")]
    pub(super) bytes: Account,
}

#[derive(Serialize)]
struct Sum {
    matched: u64,
    delivered: u64,
    /// Only for bytes: a cut packet counts as delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<u64>,
    lost: u64,
    bypassed: u64,
}

impl Ledger {
    pub(super) fn new(kernel: &KernelLedger) -> Self {
        Self { packets: kernel.packets(), bytes: kernel.bytes() }
    }
}

/// Serializes an account with the sum of its losses, which is all that `status` shows of them.
fn total<S: Serializer>(account: &Account, serializer: S) -> Result<S::Ok, S::Error> {
    let Account { matched, delivered, cut, lost, bypassed } = *account;
    Sum { matched, delivered, cut, lost: lost.total(), bypassed }.serialize(serializer)
}
