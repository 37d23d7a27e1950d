//! The program's maps and lookups in them.

use core::ptr::NonNull;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::generated::bpf_jiffies64,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerfEventByteArray, lpm_trie::Key},
};
use toa_common::{
    address::Address,
    attribution,
    bypass::Bypass,
    config::Config,
    counters::CounterValues,
    flow::Flow,
    flow_key::FlowKey,
    handshake::Handshake,
    limits::{
        CLIENT_EXAMPLES, HANDSHAKE_PORTS, MAX_BALANCERS, MAX_BYPASSES, MAX_FLOWS, MAX_HANDSHAKES,
        MAX_PREFIXES, MAX_RULES, MAX_UNTRUSTED,
    },
    rule::{self, PrefixKey, RuleKey},
    wire::toa::Toa,
};

/// The settings of the run, written by user space before the program is loaded.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Config = Config::DEFAULT;

/// The rules without a prefix, written by user space at any time. The values have no meaning.
#[map]
pub(crate) static WATCH: HashMap<RuleKey, u32> = HashMap::with_max_entries(MAX_RULES, 0);

/// The rules with a prefix, written like [`WATCH`].
#[map]
static PREFIXES: LpmTrie<PrefixKey, u32> = LpmTrie::with_max_entries(MAX_PREFIXES, 0);

/// One word: the set of the shapes of the rules in [`WATCH`] and [`PREFIXES`], written by user space.
#[map]
static SHAPES: Array<u32> = Array::with_max_entries(1, 0);

/// The sources whose TOA is trusted, if [`CONFIG`] restricts them. Written by user space before it attaches.
#[map]
static BALANCERS: LpmTrie<Address, u32> = LpmTrie::with_max_entries(MAX_BALANCERS, 0);

/// Sources whose TOA was not trusted. Written by this program and read by user space, which reports each source once.
#[map]
static UNTRUSTED: LruHashMap<Address, u32> = LruHashMap::with_max_entries(MAX_UNTRUSTED, 0);

/// Clients that a trusted TOA named lately, watched or not, as examples for user space. Each has its place by its address.
#[map]
static CLIENTS: PerCpuArray<Address> = PerCpuArray::with_max_entries(CLIENT_EXAMPLES, 0);

/// The followed connections, and no others. User space adds and removes entries, but never changes one.
#[map]
pub(crate) static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(MAX_FLOWS, 0);

/// The windows of connections that user space does not need. Written by user space, and by this program for bodies that it
/// reads itself.
#[map]
pub(crate) static BYPASS: HashMap<FlowKey, Bypass> =
    HashMap::with_max_entries(MAX_BYPASSES, BPF_F_NO_PREALLOC);

/// SYNs that may open a connection.
#[map]
static HANDSHAKES: LruHashMap<FlowKey, Handshake> = LruHashMap::with_max_entries(MAX_HANDSHAKES, 0);

/// When the last SYN in [`HANDSHAKES`] came from each source port, modulo the number of entries: the lower half of the
/// jiffies, with the lowest bit set. Spares almost every packet the lookup in [`HANDSHAKES`].
#[map]
static SYN_PORTS: Array<u32> = Array::with_max_entries(HANDSHAKE_PORTS, 0);

/// The counters, per CPU.
#[map]
pub(crate) static COUNTERS: PerCpuArray<CounterValues> = PerCpuArray::with_max_entries(1, 0);

/// The output: one perf ring per CPU.
#[map]
pub(crate) static EVENTS: PerfEventByteArray = PerfEventByteArray::new(0);

/// Returns whether a rule watches the client of `toa`.
#[inline(always)]
pub(crate) fn is_watched(toa: &Toa) -> bool {
    let Some(shapes) = SHAPES.get(0) else {
        return false;
    };
    rule::is_watched(
        *shapes,
        &toa.client,
        toa.has_port(),
        // SAFETY: the value is not read, only its presence is tested, so a concurrent write does not matter.
        |key| unsafe { WATCH.get(key) }.is_some(),
        |key| PREFIXES.get(Key::new(PrefixKey::BITS, *key)).is_some(),
    )
}

/// Returns whether `source` is a balancer, as far as the run restricts them.
#[inline(always)]
pub(crate) fn is_balancer(source: &Address) -> bool {
    !CONFIG.restricts_balancers() || BALANCERS.get(Key::new(Address::BITS, *source)).is_some()
}

/// Returns whether a TOA from `source` is trusted. Records the source in [`UNTRUSTED`] if not.
#[inline(always)]
pub(crate) fn is_trusted(source: &Address) -> bool {
    if is_balancer(source) {
        return true;
    }
    // Fails if the source is already in the map.
    let _ = UNTRUSTED.insert(source, 0, u64::from(BPF_NOEXIST));
    false
}

/// Keeps the client of a TOA as an example.
#[inline(always)]
pub(crate) fn keep_example(client: &Address) {
    let [.., last] = &client.0;
    // The last byte of the address, whatever the order of bytes in a word.
    let [.., number] = last.to_ne_bytes();
    if let Some(example) = CLIENTS.get_ptr_mut(u32::from(number) & (CLIENT_EXAMPLES - 1)) {
        // SAFETY: the pointer is from the map. Nothing else writes it while the program runs on this CPU.
        attribution::copy_address(unsafe { &mut *example }, client);
    }
}

/// The handshakes of connections that are not followed yet.
pub(crate) mod handshakes {
    use super::{FlowKey, HANDSHAKE_PORTS, HANDSHAKES, Handshake, SYN_PORTS, bpf_jiffies64};

    /// How long a port counts as used, in jiffies: 65 s at 1,000 Hz, more at lower rates. A SYN is retransmitted for
    /// longer, but then counts anew.
    const MAX_AGE: u32 = 1 << 16;

    /// Remembers the SYN of a connection. Returns whether the map took it.
    #[inline(always)]
    pub(crate) fn remember(key: &FlowKey, handshake: &Handshake) -> bool {
        if HANDSHAKES.insert(key, handshake, 0).is_err() {
            return false;
        }
        if let Some(used) = SYN_PORTS.get_ptr_mut(slot(key)) {
            // SAFETY: the pointer is from the map. Any CPU may write it at any time.
            unsafe { used.write_volatile(odd_jiffies()) };
        }
        true
    }

    /// Returns whether there may be a handshake with this source port.
    #[inline(always)]
    pub(crate) fn may_have(key: &FlowKey) -> bool {
        let Some(used) = SYN_PORTS.get_ptr(slot(key)) else {
            return false;
        };
        // SAFETY: the pointer is from the map. Any CPU may write it at any time.
        let used = unsafe { used.read_volatile() };
        used != 0 && odd_jiffies().wrapping_sub(used) < MAX_AGE
    }

    /// Copies the handshake of a connection to `found`. Returns whether there is one.
    #[inline(always)]
    pub(crate) fn find(key: &FlowKey, found: &mut Handshake) -> bool {
        let Some(handshake) = HANDSHAKES.get_ptr(key) else {
            return false;
        };
        // SAFETY: the pointer is from the map and valid while the program runs. If the entry is reused during the copy, its
        // sequence number does not fit.
        let handshake = unsafe { &*handshake };
        found.attribution.copy_from(&handshake.attribution);
        (found.syn_seq, found.used) = (handshake.syn_seq, handshake.used);
        true
    }

    /// Marks the handshake of a connection as used.
    #[inline(always)]
    pub(crate) fn mark_used(key: &FlowKey) {
        if let Some(handshake) = HANDSHAKES.get_ptr_mut(key) {
            // SAFETY: the pointer is from the map and valid while the program runs.
            unsafe { (&raw mut (*handshake).used).write_volatile(1) };
        }
    }

    #[inline(always)]
    fn slot(key: &FlowKey) -> u32 {
        u32::from(key.source_port()) & (HANDSHAKE_PORTS - 1)
    }

    /// Returns the time in jiffies, made odd, so that it is never 0.
    #[inline(always)]
    fn odd_jiffies() -> u32 {
        // SAFETY: the helper has no arguments.
        unsafe { bpf_jiffies64() as u32 | 1 }
    }
}

/// A followed connection in the map.
#[derive(Clone, Copy)]
pub(crate) struct FlowRef(NonNull<Flow>);

impl FlowRef {
    /// Returns the flow of a connection, if it is followed.
    #[inline(always)]
    pub(crate) fn find(key: &FlowKey) -> Option<Self> {
        FLOWS.get_ptr_mut(key).and_then(NonNull::new).map(Self)
    }

    /// Returns the flow for reading. Another CPU may write it at the same time: each field is read separately and is
    /// meaningful on its own.
    #[inline(always)]
    pub(crate) fn get(&self) -> &Flow {
        // SAFETY: the pointer is from the map and valid while the program runs.
        unsafe { self.0.as_ref() }
    }

    /// Returns the flow for writing. Packets of one connection are handled one after the other, except while the
    /// connection moves to another CPU. An increment may then be lost.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self) -> &mut Flow {
        // SAFETY: the pointer is from the map and valid while the program runs.
        unsafe { self.0.as_mut() }
    }
}
