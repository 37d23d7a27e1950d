//! Access to the bytes of packets.

/// Access to the bytes of one packet. The eBPF program and user space have their own implementations.
pub trait PacketView: Sized {
    /// A longer packet may have an IP length of 0, in bytes: it was merged from several, or is still to be cut into
    /// several. Of a shorter one, a receiver discards it.
    const MAX_STATED_LEN: u32;

    /// Returns the packet's length on the wire, in bytes, which may be more than can be viewed.
    fn wire_len(&self) -> u32;

    /// Returns the `N` bytes from `offset` on, or `None` unless all of them can be read in place. `N` is at least 2:
    /// the verifier derives no range from the comparison that a one-byte view compiles to.
    fn bytes<const N: usize>(&self, offset: u32) -> Option<&[u8; N]>;

    /// Returns a view of the same packet that begins at `offset`.
    #[must_use]
    fn at(&self, offset: u32) -> Self;
}

/// A captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// The captured bytes, from the beginning of the view on.
    pub bytes: &'a [u8],
    /// Length on the wire, in bytes.
    pub wire_len: u32,
}

impl PacketView for Captured<'_> {
    // Where packets are sent, captures have them as they are before the interface cuts them. So this is the usual MTU.
    const MAX_STATED_LEN: u32 = 1500;

    fn wire_len(&self) -> u32 {
        self.wire_len
    }

    fn bytes<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        self.bytes.get(usize::try_from(offset).ok()?..)?.first_chunk()
    }

    fn at(&self, offset: u32) -> Self {
        let bytes =
            usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset..)).unwrap_or_default();
        Self { bytes, ..*self }
    }
}

/// The header that a packet begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// An IP header, on devices without a link header.
    Ip,
}
