//! The map values that the lab's programs and the tests share.
#![no_std]

pub mod digest;

/// Maximum length of an option, in bytes: the whole option area (RFC 9293 section 3.2).
pub const MAX_OPTION_BYTES: usize = 40;

/// Maximum number of connections that one lab marks in total.
pub const MAX_MARKS: u32 = 131_072;

/// The option for one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Mark {
    /// Length of the option, in bytes, 2 to [`MAX_OPTION_BYTES`].
    pub length: u32,
    /// A number that the tests assign to the option.
    pub number: u32,
    /// The option as the tests pass it: kind, length, value. Bytes after its length are not written to packets.
    pub option: [u8; MAX_OPTION_BYTES],
}

const _: () = assert!(size_of::<Mark>() == 48);

/// The settings of the program: the only value of the map `SETTINGS`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Settings {
    /// Cookie of the network namespace whose connections are marked (`SO_NETNS_COOKIE`). No others are.
    pub namespace_cookie: u64,
    /// One of [`habit`].
    pub habit: u32,
    #[doc(hidden)]
    pub _unused: u32,
}

const _: () = assert!(size_of::<Settings>() == 16);

/// Which packets of a connection are marked, after the habits of real balancers. An early packet acknowledges nothing
/// but the server's SYN.
pub mod habit {
    /// Only the SYN.
    pub const SYN: u32 = 1;
    /// The SYN and every early packet.
    pub const SYN_AND_EARLY: u32 = 2;
    /// Every early packet, but not the SYN.
    pub const EARLY: u32 = 3;
    /// Only the first packet after the SYN.
    pub const HANDSHAKE_ACK: u32 = 4;
    /// Only the first packet with data.
    pub const FIRST_DATA: u32 = 5;
}

/// Returns the key of a connection in the maps `ASSIGNED` and `MARKED`: address family and local port.
pub const fn key(family: u32, local_port: u32) -> u32 {
    family << 16 | local_port
}

/// Maximum number of peers whose clients one stand-in for the TOA module knows.
pub const MAX_CLIENTS: u32 = 131_072;

/// The socket option of `IPPROTO_IP` that the TOA module answers with the IPv6 client of an IPv4 socket
/// (`TOA_SO_GET_LOOKUP` of DPVS).
pub const NAT64_OPTION: u32 = 4096;

/// A peer or a client in the stand-in's maps. Its layout is also that of the module's answer to [`NAT64_OPTION`]:
/// address, port and two unused bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct End {
    /// The words of the address in network order; see [`mapped`] for IPv4.
    pub address: [u32; 4],
    /// The port in network order, as in the kernel's contexts: 16 bits, followed by two zero bytes.
    pub port: u32,
}

const _: () = assert!(size_of::<End>() == 20);

/// Returns the words of the IPv4-mapped address `::ffff:a.b.c.d`. Argument and result are in network order.
pub const fn mapped(ipv4: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), ipv4]
}

#[cfg(feature = "user")]
mod pod {
    // SAFETY: `repr(C)`, integers only, no padding (asserted by size).
    unsafe impl aya::Pod for super::Mark {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Settings {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::End {}
}
