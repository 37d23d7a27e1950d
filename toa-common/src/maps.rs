//! Names, types and sizes of the maps that other processes open.

use crate::{
    counters::CounterValues,
    flow::Flow,
    flow_key::FlowKey,
    limits::{MAX_PREFIXES, MAX_RULES},
    remembered::{RememberCounts, Remembered},
    rule::{PrefixKey, RuleKey},
    rule_change::{ChangeRecord, KEPT_CHANGES},
    run_activity::RunActivity,
    run_info::{PINNED_MAPS, RunInfo},
};

/// The required properties of a map that other processes open. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MapSpec {
    /// Name in the object and of the pin.
    pub name: &'static str,
    /// Type, see [`kind`].
    pub kind: u32,
    /// Size of a key.
    pub key_size: u32,
    /// Size of a value.
    pub value_size: u32,
    /// Number of entries; `None` if the run chooses it.
    pub max_entries: Option<u32>,
}

/// Size of the value of [`SETTINGS`].
pub const SETTINGS_BYTES: usize = 16 << 10;

/// Map types (`enum bpf_map_type` of `linux/bpf.h`).
pub mod kind {
    /// A hash map.
    pub const HASH: u32 = 1;
    /// An array.
    pub const ARRAY: u32 = 2;
    /// An array with one value per CPU.
    pub const PER_CPU_ARRAY: u32 = 6;
    /// A hash map that evicts the least recently used entries.
    pub const LRU_HASH: u32 = 9;
    /// A trie that matches the longest prefix.
    pub const LPM_TRIE: u32 = 11;
    /// Values in sockets.
    pub const SK_STORAGE: u32 = 24;
}

impl MapSpec {
    const fn new<K, V>(name: &'static str, kind: u32, max_entries: Option<u32>) -> Self {
        Self { name, kind, key_size: size_of::<K>() as u32, value_size: size_of::<V>() as u32, max_entries }
    }
}

/// The rules without a prefix. The values have no meaning.
pub const WATCH: MapSpec = MapSpec::new::<RuleKey, u32>("WATCH", kind::HASH, Some(MAX_RULES));
/// The rules with a prefix. A key is a length in bits, followed by a [`PrefixKey`]. The values have no meaning.
pub const PREFIXES: MapSpec =
    MapSpec::new::<(u32, PrefixKey), u32>("PREFIXES", kind::LPM_TRIE, Some(MAX_PREFIXES));
/// One word: the set of the rules' shapes, see [`crate::rule::shape`].
pub const SHAPES: MapSpec = MapSpec::new::<u32, u32>("SHAPES", kind::ARRAY, Some(1));
/// The followed connections.
pub const FLOWS: MapSpec = MapSpec::new::<FlowKey, Flow>("FLOWS", kind::LRU_HASH, None);
/// The counters, per CPU.
pub const COUNTERS: MapSpec = MapSpec::new::<u32, CounterValues>("COUNTERS", kind::PER_CPU_ARRAY, Some(1));
/// The description of the run. User space creates this map; it is not in the object.
pub const INFO: MapSpec = MapSpec::new::<u32, RunInfo>("INFO", kind::ARRAY, Some(1));
/// How the run was started, as JSON. User space creates this map, too.
pub const SETTINGS: MapSpec = MapSpec::new::<u32, [u8; SETTINGS_BYTES]>("SETTINGS", kind::ARRAY, Some(1));
/// What the run has found so far. User space creates this map, too.
pub const ACTIVITY: MapSpec = MapSpec::new::<u32, RunActivity>("ACTIVITY", kind::ARRAY, Some(1));
/// The last changes of rules by other processes. User space creates this map, too.
pub const CHANGES: MapSpec = MapSpec::new::<u32, ChangeRecord>("CHANGES", kind::ARRAY, Some(KEPT_CHANGES));

/// The clients of open connections, of `toa-tc remember`. If the layout of its value changes, so does its name.
pub const REMEMBERED: MapSpec = MapSpec::new::<u32, Remembered>("REMEMBERED", kind::SK_STORAGE, Some(0));
/// What `toa-tc remember` counts.
pub const REMEMBER_COUNTS: MapSpec = MapSpec::new::<u32, RememberCounts>("COUNTS", kind::ARRAY, Some(1));

/// The program's maps that a run pins, in the order of [`RunInfo::map_ids`].
pub const PINNED: [MapSpec; PINNED_MAPS] = [WATCH, PREFIXES, SHAPES, FLOWS, COUNTERS];

/// The maps by which a run describes itself. [`INFO`] is pinned last.
pub const DESCRIPTIONS: [MapSpec; 4] = [SETTINGS, ACTIVITY, CHANGES, INFO];

const _: () = assert!(PREFIXES.key_size == 4 + size_of::<PrefixKey>() as u32);
