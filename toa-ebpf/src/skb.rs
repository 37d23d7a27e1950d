//! Access to a packet's bytes and metadata.

use core::mem::offset_of;

use aya_ebpf::{
    EbpfContext as _, bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, programs::TcContext,
};
use toa_common::{
    limits::{MAX_HEADERS_BYTES, MAX_VIEW_BYTES},
    verifier::{black_box, masked},
    wire::view::PacketView,
};

/// The linear part of a packet, which can be read in place. The program does not pull in the rest, because it must not
/// change packets.
pub(crate) struct Linear {
    start: usize,
    end: usize,
    wire_len: u32,
}

impl Linear {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self {
            start: pointer::<{ offset_of!(__sk_buff, data) }>(ctx),
            end: pointer::<{ offset_of!(__sk_buff, data_end) }>(ctx),
            wire_len: ctx.len(),
        }
    }

    /// Returns whether the packet is longer than its linear part.
    #[inline(always)]
    pub(crate) fn is_part(&self) -> bool {
        (self.end.wrapping_sub(self.start) as u64) < u64::from(self.wire_len)
    }
}

impl PacketView for Linear {
    const MAX_STATED_LEN: u32 = u16::MAX as u32;

    #[inline(always)]
    fn wire_len(&self) -> u32 {
        self.wire_len
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        let start = opaque_start(self.start.wrapping_add(masked::<MAX_OFFSET>(offset)));
        // The verifier requires that the compared pointer is the one that is dereferenced, plus a constant.
        if start.wrapping_add(N) > self.end {
            return None;
        }
        // SAFETY: the `N` bytes are before the end of the packet's linear part, which does not move while the program
        // runs. Any bytes are a valid array of alignment 1.
        Some(unsafe { &*(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn at(&self, offset: u32) -> Self {
        let start = opaque_start(self.start.wrapping_add(masked::<MAX_OFFSET>(offset)));
        Self { start, ..*self }
    }
}

/// Returns the four bytes at `offset` in network order, from the linear part if they are there, or through `memory`.
#[inline(always)]
pub(crate) fn word(ctx: &TcContext, offset: u32, memory: &mut [u8]) -> Option<u32> {
    if let Some(bytes) = Linear::new(ctx).bytes(offset) {
        return Some(u32::from_be_bytes(*bytes));
    }
    let memory = memory.first_chunk_mut::<4>()?;
    // SAFETY: there is room for the four bytes.
    let result = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, memory.as_mut_ptr().cast(), 4) };
    (result == 0).then(|| u32::from_be_bytes(*memory))
}

/// Returns the context's pointer at offset `AT`, to the packet's start or end. The fields are declared as 32-bit words,
/// and the verifier turns loads of them into pointers. The compiler would widen them with a 32-bit move, after which
/// the verifier no longer treats them as pointers; hence the load in assembly.
#[inline(always)]
fn pointer<const AT: usize>(ctx: &TcContext) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let value: usize;
        // SAFETY: reads a field of the context, which lives as long as the program runs.
        unsafe {
            core::arch::asm!(
                "{0} = *(u32 *)({1} + {2})", out(reg) value, in(reg) ctx.as_ptr(), const AT,
                options(pure, readonly, nostack)
            );
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        if AT == offset_of!(__sk_buff, data) { ctx.data() } else { ctx.data_end() }
    }
}

/// Returns `start` as a value unknown to the compiler. Otherwise it may split the sum of start and offset differently
/// for the comparison and for the read, and the verifier could not relate the two.
#[inline(always)]
fn opaque_start(start: usize) -> usize {
    let start = black_box(start as u64) as usize;
    // SAFETY: no packet begins at address 0.
    unsafe { core::hint::assert_unchecked(cfg!(not(target_arch = "bpf")) || start != 0) };
    start
}

/// A copy of a packet's headers, for packets whose headers are not linear.
pub(crate) struct Copied {
    bytes: *const u8,
    /// Offset of the view in the copy.
    offset: u32,
    wire_len: u32,
}

/// Memory for the copy.
type Headers = [u8; MAX_HEADERS_BYTES + MAX_VIEW_BYTES];

impl Copied {
    /// Copies the packet's headers to `headers`, which must outlive the view.
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext, headers: &mut Headers) -> Option<Self> {
        let this = Self::again(ctx, headers);
        // From 1 to `MAX_HEADERS_BYTES`, so that the verifier sees both bounds at the call.
        let len = masked::<MASK>(this.len().wrapping_sub(1)) as u32 + 1;
        // SAFETY: `headers` has room for `len` bytes, which are 1 to `MAX_HEADERS_BYTES`.
        let result = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), 0, headers.as_mut_ptr().cast(), len) };
        (result == 0).then_some(this)
    }

    /// Returns a view of the headers that [`Self::new`] copied to `headers`.
    #[inline(always)]
    pub(crate) fn again(ctx: &TcContext, headers: &Headers) -> Self {
        Self { bytes: headers.as_ptr(), offset: 0, wire_len: ctx.len() }
    }

    /// Returns the number of bytes that were copied.
    #[inline(always)]
    fn len(&self) -> u32 {
        self.wire_len.min(MAX_HEADERS_BYTES as u32)
    }
}

impl PacketView for Copied {
    const MAX_STATED_LEN: u32 = u16::MAX as u32;

    #[inline(always)]
    fn wire_len(&self) -> u32 {
        self.wire_len
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        const { assert!(N <= MAX_VIEW_BYTES) };
        let offset = self.offset.wrapping_add(offset);
        if offset.wrapping_add(N as u32) > self.len() {
            return None;
        }
        // SAFETY: the offset is below `MAX_HEADERS_BYTES`, so the `N` bytes are within the map's value, which nothing
        // else writes while this program runs on this CPU.
        Some(unsafe { &*self.bytes.add(masked::<MASK>(offset)).cast() })
    }

    #[inline(always)]
    fn at(&self, offset: u32) -> Self {
        Self { offset: self.offset.wrapping_add(offset), ..*self }
    }
}

/// Mask for offsets in a packet: above the offset of any header.
const MAX_OFFSET: u32 = 1023;

/// Mask for offsets in a copy.
const MASK: u32 = MAX_HEADERS_BYTES as u32 - 1;

/// A frame for another host (`linux/if_packet.h`).
const PACKET_OTHERHOST: u32 = 3;

/// The kernel's metadata of a packet.
pub(crate) struct Metadata<'a>(&'a __sk_buff);

impl<'a> Metadata<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        // SAFETY: the context of a classifier is a `__sk_buff` for as long as the program runs.
        Self(unsafe { &*ctx.skb.skb })
    }

    #[inline(always)]
    pub(crate) fn interface_index(&self) -> u32 {
        self.0.ifindex
    }

    /// Returns whether the frame is addressed to another host: the device is in promiscuous mode.
    #[inline(always)]
    pub(crate) fn is_for_other_host(&self) -> bool {
        self.0.pkt_type == PACKET_OTHERHOST
    }

    /// Returns the VLAN tag, or 0 if there is none.
    #[inline(always)]
    pub(crate) fn vlan_tci(&self) -> u16 {
        if self.0.vlan_present == 0 { 0 } else { self.0.vlan_tci as u16 }
    }

    #[inline(always)]
    pub(crate) fn gso_segments(&self) -> u16 {
        self.0.gso_segs as u16
    }
}
