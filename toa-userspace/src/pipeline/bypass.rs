//! What is asked of the kernel: not to copy a part of a connection.

use toa_common::{bypass::Bypass, flow_key::FlowKey};

/// The kernel's table of bypasses.
pub trait BypassTable {
    /// Asks the kernel not to copy what `bypass` covers, in place of the connection's earlier one. Returns whether the
    /// kernel will do so from some time on.
    fn set(&mut self, key: &FlowKey, bypass: &Bypass) -> bool;

    /// Withdraws the bypass of the connection with this generation: the window has been passed, or the connection is
    /// being probed for life. One of a later connection of the same 4-tuple stays.
    fn clear(&mut self, key: &FlowKey, generation: u64);
}

/// Where there is no kernel, everything comes as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBypass;

impl BypassTable for NoBypass {
    fn set(&mut self, _: &FlowKey, _: &Bypass) -> bool {
        false
    }

    fn clear(&mut self, _: &FlowKey, _: u64) {}
}
