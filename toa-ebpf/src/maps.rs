//! Responsible for the maps and for their lookups. Not responsible for what is looked up.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerfEventByteArray, lpm_trie::Key},
};
use toa_common::{
    address::Address,
    config::Config,
    counters::CounterValues,
    flow::Flow,
    flow_key::FlowKey,
    inspect::Inspected,
    limits::{
        MAX_BALANCERS, MAX_FLOWS, MAX_HEADERS_BYTES, MAX_ORDERS, MAX_PREFIXES, MAX_RULES, MAX_UNTRUSTED,
        MAX_VIEW_BYTES,
    },
    order::Order,
    record::SegmentRecord,
    rule::{self, PrefixKey, RuleKey},
    tcp_packet::TcpPacket,
    wire::toa::Toa,
};

/// What the run chose, set by user space before the program is loaded.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Config = Config::DEFAULT;

/// What is watched, written by user space at any time. The value means nothing.
#[map]
pub(crate) static WATCH: HashMap<RuleKey, u32> = HashMap::with_max_entries(MAX_RULES, 0);

/// What is watched by prefix, as [`WATCH`].
#[map]
static PREFIXES: LpmTrie<PrefixKey, u32> = LpmTrie::with_max_entries(MAX_PREFIXES, 0);

/// One word: the shapes of the rules in [`WATCH`] and [`PREFIXES`], written by user space.
#[map]
static SHAPES: Array<u32> = Array::with_max_entries(1, 0);

/// The sources whose TOA is believed, if the configuration restricts them. Written by user space before it attaches.
#[map]
static BALANCERS: LpmTrie<Address, u32> = LpmTrie::with_max_entries(MAX_BALANCERS, 0);

/// Sources of which a TOA was not believed. Written here, read by user space, which tells of each once.
#[map]
static UNTRUSTED: LruHashMap<Address, u32> = LruHashMap::with_max_entries(MAX_UNTRUSTED, 0);

/// The connections that are followed, and no others. Written here only.
#[map]
pub(crate) static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(MAX_FLOWS, 0);

/// What user space needs no copy of. Written there only. Without preallocation: entries of such a map are not used
/// again while a program may still read them.
#[map]
static ORDERS: HashMap<FlowKey, Order> = HashMap::with_max_entries(MAX_ORDERS, BPF_F_NO_PREALLOC);

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
    pub(crate) inspected: Inspected,
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

/// Whether a rule watches the client of `toa`.
#[inline(always)]
pub(crate) fn is_watched(toa: &Toa) -> bool {
    let Some(shapes) = SHAPES.get(0) else {
        return false;
    };
    rule::is_watched(
        *shapes,
        &toa.client,
        toa.has_port(),
        // SAFETY: the value is only asked for its presence; a concurrent write does not matter.
        |key| unsafe { WATCH.get(key) }.is_some(),
        |key| PREFIXES.get(Key::new(PrefixKey::BITS, *key)).is_some(),
    )
}

/// Whether a TOA from `source` is believed. One that is not is remembered.
#[inline(always)]
pub(crate) fn is_trusted(source: &Address) -> bool {
    if !CONFIG.restricts_balancers() || BALANCERS.get(Key::new(Address::BITS, *source)).is_some() {
        return true;
    }
    // Fails where it is known already.
    let _ = UNTRUSTED.insert(source, 0, u64::from(BPF_NOEXIST));
    false
}

/// Whether user space has ordered not to copy a packet of the connection with this generation.
#[inline(always)]
pub(crate) fn is_skipped(tcp: &TcpPacket, generation: u64) -> bool {
    let key = &tcp.key;
    // SAFETY: an entry is replaced as a whole, and not used again while we may read it.
    let order = unsafe { ORDERS.get(key) };
    order.is_some_and(|order| order.skips(generation, tcp.flags, tcp.seq, tcp.payload_len))
}
