//! Access to the fixed TCP header (RFC 9293 section 3.1). For its options, see [`super::tcp_option`].
//!
//! ```text
//!  0 source port        2 destination port    4 sequence number    8 acknowledgment number
//! 12 data offset (4 bits)   13 flags   14 window   16 checksum   18 urgent pointer
//! 20 options, to 4 * data offset
//! ```

use crate::{
    field::{be32, byte, field, ne16, ne32},
    seq::Seq,
};

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Reset the connection.
pub const RST: u8 = 0x04;
/// The acknowledgment number is valid.
pub const ACK: u8 = 0x10;
/// The urgent pointer is valid.
pub const URG: u8 = 0x20;

/// The fixed part of a TCP header.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a>(pub &'a [u8; 20]);

impl Tcp<'_> {
    /// Length of the fixed header, in bytes.
    pub const FIXED_LEN: u32 = 20;
    /// Offset of the acknowledgment number.
    pub const ACK_OFFSET: u32 = 8;

    /// Returns the source and destination ports as the first four bytes of the header, in network order.
    #[inline(always)]
    pub fn ports(&self) -> u32 {
        ne32(field::<0, 4, _>(self.0))
    }

    /// Returns the destination port in network order.
    #[inline(always)]
    pub fn destination_port_be(&self) -> u16 {
        ne16(field::<2, 2, _>(self.0))
    }

    /// Returns the sequence number.
    #[inline(always)]
    pub fn seq(&self) -> Seq {
        Seq(be32(field::<4, 4, _>(self.0)))
    }

    /// Returns the length of the header with options, in bytes, 0 to 60. It is computed from the data offset and not
    /// checked.
    #[inline(always)]
    pub fn header_len(&self) -> u32 {
        u32::from(byte::<12, _>(self.0) >> 4) << 2
    }

    /// Returns the flags.
    #[inline(always)]
    pub fn flags(&self) -> u8 {
        byte::<13, _>(self.0)
    }
}
