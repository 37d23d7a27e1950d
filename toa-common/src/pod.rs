//! Implementations of `aya::Pod` for the types that are copied to and from maps.

use crate::{
    address::Address,
    bypass::Bypass,
    config::Config,
    flow::Flow,
    flow_key::FlowKey,
    plaintext::TaskLayout,
    remembered::RememberCounts,
    rule::{PrefixKey, RuleKey},
    rule_change::ChangeRecord,
    run_activity::RunActivity,
    run_info::RunInfo,
    socket::SocketLayout,
};

// SAFETY: `repr(C)`, words only, no padding (asserted by size).
unsafe impl aya::Pod for Address {}
// SAFETY: as above.
unsafe impl aya::Pod for FlowKey {}
// SAFETY: as above.
unsafe impl aya::Pod for RuleKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PrefixKey {}
// SAFETY: `repr(C)`, integers only, no padding (asserted by size).
unsafe impl aya::Pod for Config {}
// SAFETY: as above.
unsafe impl aya::Pod for Flow {}
// SAFETY: as above.
unsafe impl aya::Pod for RunInfo {}
// SAFETY: as above.
unsafe impl aya::Pod for RunActivity {}
// SAFETY: as above.
unsafe impl aya::Pod for ChangeRecord {}
// SAFETY: as above.
unsafe impl aya::Pod for Bypass {}
// SAFETY: as above.
unsafe impl aya::Pod for SocketLayout {}
// SAFETY: as above.
unsafe impl aya::Pod for RememberCounts {}
// SAFETY: as above.
unsafe impl aya::Pod for TaskLayout {}
