//! Access to the bytes of one TCP header.

use toa_common::{
    verifier::{black_box, masked},
    wire::view::PacketView,
};

/// Mask for offsets in a header, which has at most 60 bytes.
const MASK: u32 = 63;

/// A header in a packet.
pub(crate) struct Header {
    start: usize,
    end: usize,
    /// Offset of the view in the header.
    offset: u32,
}

impl Header {
    /// Creates a view of the header between these pointers of the context.
    #[inline(always)]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end, offset: 0 }
    }
}

impl PacketView for Header {
    const MAX_STATED_LEN: u32 = u16::MAX as u32;

    #[inline(always)]
    fn wire_len(&self) -> u32 {
        MASK
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        let offset = masked::<MASK>(self.offset.wrapping_add(offset));
        // Unknown to the compiler, as the verifier requires that the compared pointer is the one that is dereferenced.
        let start = black_box(self.start.wrapping_add(offset) as u64) as usize;
        if start.wrapping_add(N) > self.end {
            return None;
        }
        // SAFETY: the `N` bytes are before the end of the header. Any bytes are a valid array of alignment 1.
        Some(unsafe { &*(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn at(&self, offset: u32) -> Self {
        Self { offset: self.offset.wrapping_add(offset), ..*self }
    }
}
