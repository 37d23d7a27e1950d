//! The maps of the plaintext programs. They have one entry each, unless user space makes them larger before it loads the
//! programs.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use toa_common::{
    bypass::Bypass,
    flow_key::FlowKey,
    limits::MAX_PLAINTEXT_BYTES,
    plaintext::{PlaintextRecord, Session, SessionKey},
};

/// The TLS objects whose connection is known.
#[map]
pub(super) static SESSIONS: LruHashMap<SessionKey, Session> = LruHashMap::with_max_entries(1, 0);

/// The windows of plaintext that user space does not need, by which it is read. Written by user space.
#[map]
pub(super) static PLAINTEXT_BYPASS: HashMap<FlowKey, Bypass> =
    HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

/// One word, written by user space: not 0 while the connections of objects are learned from system calls.
#[map]
static LEARNING: Array<u32> = Array::with_max_entries(1, 0);

/// Room for a record and its plaintext.
#[repr(C)]
pub(super) struct Buffer {
    /// 1 while it is being used.
    pub(super) is_taken: u64,
    pub(super) record: PlaintextRecord,
    pub(super) bytes: [u8; MAX_PLAINTEXT_BYTES],
}

/// This CPU's buffers.
#[map]
pub(super) static BUFFERS: PerCpuArray<Buffer> = PerCpuArray::with_max_entries(1, 0);

/// Returns whether the connections of objects are learned from system calls.
#[inline(always)]
pub(super) fn is_learning() -> bool {
    LEARNING.get(0).is_some_and(|word| *word != 0)
}
