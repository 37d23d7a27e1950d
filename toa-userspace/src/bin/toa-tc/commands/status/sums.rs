//! A run's ledger: the kernel's half, and what user space has shown of its own.

use serde::{Serialize, Serializer};
use toa_common::run_activity::RunActivity;
use toa_userspace::ledger::{account::Account, kernel::KernelLedger};

#[derive(Serialize)]
pub(super) struct Ledger {
    #[serde(serialize_with = "total")]
    pub(super) packets: Account,
    #[serde(serialize_with = "total")]
    pub(super) bytes: Account,
}

/// Gaps in streams.
#[derive(Serialize)]
pub(super) struct Gaps {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// What became of the bytes that were delivered to user space.
#[derive(Serialize)]
pub(super) struct DeliveredBytes {
    used: u64,
    duplicate: u64,
    conflicting: u64,
    discarded: u64,
}

impl DeliveredBytes {
    pub(super) fn new(activity: &RunActivity) -> Self {
        Self {
            used: activity.used_bytes,
            duplicate: activity.duplicate_bytes,
            conflicting: activity.conflicting_bytes,
            discarded: activity.discarded_bytes,
        }
    }
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
