//! Responsible for the maps and for their lookups. Not responsible for what is looked up.

use core::mem::MaybeUninit;

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerfEventByteArray},
};
use toa_common::{
    counters::CounterValues,
    flow_key::FlowKey,
    inspect::Inspected,
    limits::{MAX_FLOWS, MAX_HEADERS_BYTES, MAX_RULES, MAX_VIEW_BYTES},
    rule::{self, RuleKey},
    segment::{Flow, SegmentRecord},
    wire::toa::{Client, ToaPairs},
};

/// What counts as TOA, set by user space before the program is loaded.
#[unsafe(no_mangle)]
pub(crate) static TOA_PAIRS: ToaPairs = ToaPairs::DEFAULT;

/// What is watched, written by user space at any time. The value means nothing.
#[map]
pub(crate) static WATCH: HashMap<RuleKey, u32> = HashMap::with_max_entries(MAX_RULES, 0);

/// One word: the shapes of the rules in [`WATCH`], written by user space.
#[map]
static SHAPES: Array<u32> = Array::with_max_entries(1, 0);

/// The connections that are followed, and no others. Written here only.
#[map]
pub(crate) static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(MAX_FLOWS, 0);

/// What happened, per CPU.
#[map]
pub(crate) static COUNTERS: PerCpuArray<CounterValues> = PerCpuArray::with_max_entries(1, 0);

/// The way out: one perf ring a CPU.
#[map]
pub(crate) static EVENTS: PerfEventByteArray = PerfEventByteArray::new(0);

/// What the stack of 512 bytes has no room for, and what one part of the program hands to the next: for the
/// verifier, memory makes one of all the ways in which it can have been filled.
#[repr(C)]
pub(crate) struct Scratch {
    /// The packet.
    pub(crate) inspected: MaybeUninit<Inspected>,
    /// A flow to be inserted.
    pub(crate) flow: Flow,
    /// A record to be streamed.
    pub(crate) record: SegmentRecord,
    /// Headers that are not in the packet's linear part, and room behind for a view from any place in them.
    pub(crate) headers: [u8; MAX_HEADERS_BYTES + MAX_VIEW_BYTES],
}

/// This CPU's [`Scratch`].
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's scratch, which nothing else uses while a program runs on this CPU. `None` cannot happen; the
/// verifier wants it asked.
#[inline(always)]
pub(crate) fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// Whether a rule watches `client`.
#[inline(always)]
pub(crate) fn is_watched(client: &Client) -> bool {
    let Some(shapes) = SHAPES.get(0) else {
        return false;
    };
    rule::is_watched(*shapes, client, |key| {
        // SAFETY: the value is only asked for its presence; a concurrent write does not matter.
        unsafe { WATCH.get(key) }.is_some()
    })
}
