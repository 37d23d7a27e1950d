//! Requests to the kernel not to copy a part of a connection.

use toa_common::{bypass::Bypass, flow_key::FlowKey};

/// The kernel's table of bypasses.
pub trait BypassTable {
    /// Asks the kernel not to copy what `bypass` covers. Replaces an earlier bypass of the connection. Returns whether
    /// the kernel will apply it, from some later time on.
    fn set(&mut self, key: &FlowKey, bypass: &Bypass) -> bool;

    /// Withdraws a bypass of the connection: its window has been passed, or the connection is being probed for life. One
    /// with another end or of a later connection with the same 4-tuple remains.
    fn clear(&mut self, key: &FlowKey, bypass: &Bypass);

    /// Does the same as [`Self::set`] for the connection's plaintext.
    fn set_plaintext(&mut self, _: &FlowKey, _: &Bypass) -> bool {
        false
    }

    /// Does the same as [`Self::clear`] for the connection's plaintext.
    fn clear_plaintext(&mut self, _: &FlowKey, _: &Bypass) {}
}

/// The table without a kernel: everything is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBypass;

impl BypassTable for NoBypass {
    fn set(&mut self, _: &FlowKey, _: &Bypass) -> bool {
        false
    }

    fn clear(&mut self, _: &FlowKey, _: &Bypass) {}
}
