//! Responsible for all access to a packet's bytes and metadata. Not responsible for what the bytes mean.

use aya_ebpf::{
    EbpfContext as _, bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, programs::TcContext,
};
use toa_common::{
    limits::{MAX_HEADERS_BYTES, MAX_VIEW_BYTES},
    packet::Packet,
};

use crate::maps::scratch;

/// The part of a packet that can be read in place. It is only read: an observer changes nothing, and does not
/// pull the rest in.
pub(crate) struct Linear {
    start: usize,
    end: usize,
    wire_len: u32,
}

impl Linear {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end(), wire_len: ctx.len() }
    }

    /// Whether there is more of the packet than can be read in place.
    #[inline(always)]
    pub(crate) fn is_part(&self) -> bool {
        (self.end.wrapping_sub(self.start) as u64) < u64::from(self.wire_len)
    }
}

impl Packet for Linear {
    #[inline(always)]
    fn wire_len(&self) -> u32 {
        self.wire_len
    }

    #[inline(always)]
    fn view<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        let start = opaque(self.start.wrapping_add(bounded::<MAX_OFFSET>(offset)));
        // For the verifier: the pointer that is compared is the one that is read through, plus a constant.
        if start.wrapping_add(N) > self.end {
            return None;
        }
        // SAFETY: the `N` bytes lie before the end of the packet's linear part, which stays where it is while
        // the program runs; any bytes are a valid array of alignment 1.
        Some(unsafe { &*(start as *const [u8; N]) })
    }
}

/// Returns `value`, which the compiler then knows nothing about. Otherwise it may split the sum of start and
/// offset differently for the comparison and for the read, and the verifier loses the connection.
#[inline(always)]
fn opaque(value: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: one move on a register. (Without an instruction the assembly would leave two line records at
        // one place, which the kernel refuses.) No packet begins at address 0.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack));
            core::hint::assert_unchecked(value != 0);
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// A copy of a packet's headers, for packets whose headers are not linear.
pub(crate) struct Copied {
    bytes: &'static [u8; MAX_HEADERS_BYTES + MAX_VIEW_BYTES],
    len: u32,
    wire_len: u32,
}

impl Copied {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Option<Self> {
        // SAFETY: a field of a live map value.
        let bytes = unsafe { &raw mut (*scratch()?).headers };
        let wire_len = ctx.len();
        // From 1 to `MAX_HEADERS_BYTES`, so that the verifier sees both bounds at the call.
        let len = bounded::<{ MAX_HEADERS_BYTES as u32 - 1 }>(
            wire_len.min(MAX_HEADERS_BYTES as u32).wrapping_sub(1),
        ) as u32
            + 1;
        // SAFETY: the map's value has room for `len` bytes, 1 to `MAX_HEADERS_BYTES`.
        let result = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), 0, bytes.cast(), len) };
        if result != 0 {
            return None;
        }
        // SAFETY: nothing else writes this CPU's value while this program runs.
        Some(Self { bytes: unsafe { &*bytes }, len, wire_len })
    }
}

impl Packet for Copied {
    #[inline(always)]
    fn wire_len(&self) -> u32 {
        self.wire_len
    }

    #[inline(always)]
    fn view<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        const { assert!(N <= MAX_VIEW_BYTES) };
        if offset.wrapping_add(N as u32) > self.len {
            return None;
        }
        // SAFETY: the offset is below `MAX_HEADERS_BYTES`, so the `N` bytes lie within the map's value.
        Some(unsafe { &*self.bytes.as_ptr().add(bounded::<{ MAX_HEADERS_BYTES as u32 - 1 }>(offset)).cast() })
    }
}

/// The highest offset that any header has in a packet, rounded up to a mask.
const MAX_OFFSET: u32 = 1023;

/// Returns `value`, which is at most `MASK`, as a number that the verifier knows to be so: it forgets the bounds
/// of what was in memory, and adds to a packet's start nothing that could be large. In assembly, because the
/// compiler leaves out a mask that it can prove to do nothing.
#[inline(always)]
fn bounded<const MASK: u32>(value: u32) -> usize {
    const { assert!((MASK as usize + 1).is_power_of_two()) };
    #[cfg(target_arch = "bpf")]
    {
        let mut value = u64::from(value);
        // SAFETY: arithmetic on one register, no memory.
        unsafe {
            core::arch::asm!("{0} &= {1}", inout(reg) value, const MASK, options(pure, nomem, nostack));
        }
        value as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        (value & MASK) as usize
    }
}

/// What the kernel keeps beside a packet's bytes.
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

    /// The tag, or 0 without one.
    #[inline(always)]
    pub(crate) fn vlan_tci(&self) -> u16 {
        if self.0.vlan_present == 0 { 0 } else { self.0.vlan_tci as u16 }
    }

    #[inline(always)]
    pub(crate) fn gso_segments(&self) -> u16 {
        self.0.gso_segs as u16
    }
}
