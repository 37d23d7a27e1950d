//! What the socket iterator reports of a TCP socket, and what a TOA module keeps in one.
//!
//! The module `toa` of DPVS, LVS and Huawei keeps the TOA of a connection in `sk_user_data`, which otherwise is a
//! pointer of the socket's owner: kTLS, sockmap, RPC and others. An IPv4 listener's connection has the eight bytes of
//! the option in place of the pointer. An IPv6 listener's connection and a NAT64 connection have a pointer to an
//! [`Entry`].

use crate::{
    address::{Address, Client},
    field::{byte, field, ne32},
};

/// The option's kind in the module, `TCPOPT_TOA`.
const KIND: u8 = 254;
/// Length of the option with an IPv4 address, in bytes.
pub const LENGTH_IPV4: u8 = 8;
/// Length of the option with an IPv6 address, in bytes.
pub const LENGTH_IPV6: u8 = 20;

/// The top byte of kernel addresses: on x86-64 with five-level paging, and on arm64 with 52-bit addresses.
const KERNEL: u64 = 0xff;

/// What `sk_user_data` may be. Zero is none of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UserData {
    /// Bytes of an option in place of a pointer.
    InPlace,
    /// A pointer, perhaps to an [`Entry`].
    Pointer,
    /// A pointer with flags in its lowest bits, which the module does not set.
    Tagged,
}

impl UserData {
    /// Classifies a value. The option of a client whose address ends in .255 counts as a pointer, as it could be one.
    #[inline(always)]
    pub fn of(value: u64) -> Self {
        if value >> 56 != KERNEL {
            Self::InPlace
        } else if value.is_multiple_of(8) {
            Self::Pointer
        } else {
            Self::Tagged
        }
    }
}

/// The start of the module's `struct toa_ip6_entry`, 32 bytes:
///
/// ```text
///  0 kind   1 length   2 port   4 address   20 padding   24 the socket whose TOA this is
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Entry {
    /// The option's bytes.
    pub option: [u32; 5],
    #[doc(hidden)]
    pub _padding: u32,
    /// The kernel's address of the socket.
    pub socket: u64,
}

const _: () = assert!(size_of::<Entry>() == 32);

/// Offsets of the fields that the iterator reads, in bytes from the start of a socket. User space takes them from the
/// kernel's BTF before it loads the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct SocketLayout {
    /// `sock_common.skc_state`, a byte.
    pub state: u32,
    /// `sock_common.skc_cookie`, eight bytes.
    pub cookie: u32,
    /// `sock.sk_user_data`, a pointer.
    pub user_data: u32,
    /// The byte with the bit `tcp_sock.rx_opt.saw_unknown`.
    pub saw_unknown: u32,
    /// That bit in its byte.
    pub saw_unknown_mask: u32,
}

impl SocketLayout {
    /// The value in the object.
    pub const UNSET: Self = Self { state: 0, cookie: 0, user_data: 0, saw_unknown: 0, saw_unknown_mask: 0 };
}

/// An established TCP socket, 32 bytes:
///
/// ```text
///  0 cookie   8 option   28 option length   29 saw unknown   30 unused
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct SocketRecord {
    /// The socket's cookie; 0 if it has none yet.
    pub cookie: u64,
    /// The bytes that could be a TOA, if there are any.
    pub option: [u32; 5],
    /// Their number: [`LENGTH_IPV4`], [`LENGTH_IPV6`], or 0 if there are none.
    pub option_length: u8,
    /// 1 if the last options that the kernel parsed included an unknown one, such as a TOA.
    pub saw_unknown: u8,
    #[doc(hidden)]
    pub _unused: u16,
}

const _: () = assert!(size_of::<SocketRecord>() == SocketRecord::BYTES);

impl SocketRecord {
    /// Length of a record.
    pub const BYTES: usize = 32;

    /// Reads a record.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self {
            cookie: u64::from_ne_bytes(*field::<0, 8, _>(bytes)),
            option: [
                ne32(field::<8, 4, _>(bytes)),
                ne32(field::<12, 4, _>(bytes)),
                ne32(field::<16, 4, _>(bytes)),
                ne32(field::<20, 4, _>(bytes)),
                ne32(field::<24, 4, _>(bytes)),
            ],
            option_length: byte::<28, _>(bytes),
            saw_unknown: byte::<29, _>(bytes),
            _unused: 0,
        }
    }

    /// Returns whether the kernel saw an unknown option. If not, that says nothing: later options may have reset it.
    pub fn saw_unknown(&self) -> bool {
        self.saw_unknown != 0
    }

    /// Returns the client, if the bytes are a TOA of the module's kind and of the length of their place.
    pub fn client(&self) -> Option<Client> {
        let [head, a, b, c, d] = self.option.map(u32::to_ne_bytes);
        let [kind, length, port @ ..] = head;
        let address = match (self.option_length, length) {
            (LENGTH_IPV4, LENGTH_IPV4) => Address::from_ipv4(&a),
            (LENGTH_IPV6, LENGTH_IPV6) => Address([a, b, c, d].map(u32::from_ne_bytes)),
            _ => return None,
        };
        let port_be = u16::from_ne_bytes(port);
        let is_client = kind == KIND && port_be != 0 && !is_unspecified(&address);
        is_client.then_some(Client { address, port_be })
    }
}

/// Returns whether this is the unspecified address of either family.
fn is_unspecified(address: &Address) -> bool {
    *address == Address([0; 4]) || *address == Address::from_ipv4(&[0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the record of a socket with these bytes in `sk_user_data`, or where that points to.
    fn record(option: &[u8]) -> SocketRecord {
        let mut bytes = [0; SocketRecord::BYTES];
        bytes[..8].copy_from_slice(&0x1_0000_0002_u64.to_ne_bytes());
        bytes[8..8 + option.len()].copy_from_slice(option);
        bytes[28] = u8::try_from(option.len()).unwrap();
        bytes[29] = 1;
        SocketRecord::from_bytes(&bytes)
    }

    const IPV4: [u8; 8] = [254, 8, 0xd4, 0x31, 203, 0, 113, 9];
    const IPV6: [u8; 20] = [254, 20, 0x9c, 0x40, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    const MAPPED: [u8; 20] = [254, 20, 0xd4, 0x31, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 9];

    #[test]
    fn the_modules_bytes_name_the_client() {
        let found = record(&IPV4);
        assert_eq!((found.cookie, found.saw_unknown()), (0x1_0000_0002, true));
        let client = found.client().unwrap();
        assert_eq!((client.address, client.port()), (Address::from_ipv4(&[203, 0, 113, 9]), 54321));
        // The connection of an IPv6 listener with an IPv4 client.
        assert_eq!(record(&MAPPED).client(), Some(client));
        let client = record(&IPV6).client().unwrap();
        assert_eq!(client.address.octets()[..], IPV6[4..]);
        assert_eq!(client.port(), 40000);
    }

    #[test]
    fn other_bytes_name_no_client() {
        assert_eq!(record(&[]).client(), None);
        for (place, option) in [(0, 253), (0, 0), (1, 7), (1, 20), (1, 0)] {
            let mut bytes = IPV4;
            bytes[place] = option;
            assert_eq!(record(&bytes).client(), None, "{bytes:?}");
        }
        for (place, option) in [(0, 253), (1, 8), (1, 21)] {
            let mut bytes = IPV6;
            bytes[place] = option;
            assert_eq!(record(&bytes).client(), None, "{bytes:?}");
        }
        let without_port = [254, 8, 0, 0, 203, 0, 113, 9];
        assert_eq!(record(&without_port).client(), None);
        assert_eq!(record(&[254, 8, 0xd4, 0x31, 0, 0, 0, 0]).client(), None);
        let mut unspecified = IPV6;
        unspecified[4..].fill(0);
        assert_eq!(record(&unspecified).client(), None);
        unspecified[14..16].fill(0xff);
        assert_eq!(record(&unspecified).client(), None);
    }

    #[test]
    fn pointers_are_no_options() {
        assert_eq!(UserData::of(u64::from_le_bytes(IPV4)), UserData::InPlace);
        // Kernel addresses: x86-64 with four and with five levels, arm64.
        for address in [0xffff_8880_1234_fe08, 0xff11_0001_0000_0000, 0xfff0_0000_1000_0010] {
            assert_eq!(UserData::of(address), UserData::Pointer);
            // Sockmap and the reuseport array set flags (`SK_USER_DATA_*` of `net/sock.h`).
            for flags in 1..8 {
                assert_eq!(UserData::of(address | flags), UserData::Tagged);
            }
        }
        // An option that could be a pointer is not read as one.
        let ambiguous = u64::from_le_bytes([254, 8, 0xd4, 0x31, 203, 0, 113, 255]);
        assert_eq!(UserData::of(ambiguous), UserData::Tagged);
    }
}
