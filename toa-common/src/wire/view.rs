//! Responsible for access to the bytes of packets. Not responsible for what they mean.

/// Access to the bytes of one packet, each host's own.
pub trait PacketView: Sized {
    /// Bytes on the wire, which may be more than can be viewed.
    fn wire_len(&self) -> u32;

    /// The `N` bytes from `offset` on, or `None` unless all of them can be read in place. `N` is at least 2:
    /// the verifier derives no range from the comparison that a one-byte view compiles to.
    fn bytes<const N: usize>(&self, offset: u32) -> Option<&[u8; N]>;

    /// A view that begins at `offset`, of the same packet.
    #[must_use]
    fn at(&self, offset: u32) -> Self;
}

/// A captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// What was captured of it, from the view's beginning on.
    pub bytes: &'a [u8],
    /// Bytes on the wire.
    pub wire_len: u32,
}

impl PacketView for Captured<'_> {
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

/// What the first byte of a packet belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// An IP header: devices without a link header.
    Ip,
}
