//! The program's working memory.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use toa_common::{
    body::{Head, HeadBuffer, Position},
    bypass::Bypass,
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
    /// Whether the packet is to be copied, unless it is bypassed: see [`due`].
    pub(crate) due: u32,
    /// What the server does with the packet: see [`crate::server_socket::fate`].
    pub(crate) fate: u32,
    /// Not 0 if the server had read from the connection before, so that the packet is not its start.
    pub(crate) is_joined: u32,
    /// How much of the packet's payload is to be copied.
    pub(crate) copied: u32,
    /// A position in a body.
    pub(crate) position: Position,
    /// A window to be inserted.
    pub(crate) bypass: Bypass,
    /// What was read of a head.
    pub(crate) head: Head,
    /// The beginning of a payload.
    pub(crate) head_bytes: HeadBuffer,
}

/// The values of [`Scratch::due`].
pub(crate) mod due {
    /// The packet is not to be copied.
    pub(crate) const NOT: u32 = 0;
    /// It is to be copied.
    pub(crate) const COPY: u32 = 1;
    /// It is to be copied, and begins with the next expected byte of its connection.
    pub(crate) const COPY_NEXT: u32 = 2;
}

/// This CPU's [`Scratch`].
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

impl Scratch {
    /// Returns this CPU's scratch, of which there must be only one reference at a time. Never `None`; the verifier requires
    /// the check.
    #[inline(always)]
    pub(crate) fn this_cpu<'a>() -> Option<&'a mut Self> {
        // SAFETY: the pointer is to a value of a per-CPU map, which nothing else uses while the program runs on this
        // CPU. Any bytes that the programs leave in it are valid values.
        SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
    }
}
