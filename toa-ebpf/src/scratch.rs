//! The program's working memory.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use toa_common::{
    flow::Flow,
    handshake::Handshake,
    inspect::Inspected,
    limits::{MAX_HEADERS_BYTES, MAX_VIEW_BYTES},
    record::SegmentRecord,
};

/// Working memory for one packet: too large for the 512-byte stack, and passing data through it merges verifier states.
#[repr(C)]
pub(crate) struct Scratch {
    /// The packet.
    pub(crate) inspected: Inspected,
    /// A flow to be inserted.
    pub(crate) flow: Flow,
    /// A handshake to be inserted, or that of the packet's connection.
    pub(crate) handshake: Handshake,
    /// A record to be copied to user space.
    pub(crate) record: SegmentRecord,
    /// The headers of a packet whose headers are not all linear, with room after them for a view at any position.
    pub(crate) headers: [u8; MAX_HEADERS_BYTES + MAX_VIEW_BYTES],
}

/// This CPU's [`Scratch`].
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

impl Scratch {
    /// Returns this CPU's scratch, which must be requested only once per packet. Never `None`; the verifier requires
    /// the check.
    #[inline(always)]
    pub(crate) fn this_cpu<'a>() -> Option<&'a mut Self> {
        // SAFETY: the pointer is to a value of a per-CPU map, which nothing else uses while the program runs on this
        // CPU. Any bytes that the programs leave in it are valid values.
        SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
    }
}
