//! What the lab's programs and the tests share: the values of their maps. Not responsible for the bytes of any
//! option: the tests hand over whole options.
#![no_std]

pub mod digest;

/// Longest option, in bytes: the whole option area (RFC 9293 section 3.2).
pub const MAX_OPTION_BYTES: usize = 40;

/// Most connections that one lab marks in its life.
pub const MAX_MARKS: u32 = 131_072;

/// An option for one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Mark {
    /// Bytes of the option, 2 to [`MAX_OPTION_BYTES`].
    pub length: u32,
    /// The tests' own number for it.
    pub number: u32,
    /// The option: kind, length, value. What is behind its length is not written.
    pub option: [u8; MAX_OPTION_BYTES],
}

const _: () = assert!(size_of::<Mark>() == 48);

/// What the program does, the only value of the map `SETTINGS`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Settings {
    /// Connections of this network namespace are marked, no others (`SO_NETNS_COOKIE`).
    pub namespace_cookie: u64,
    /// One of [`habit`].
    pub habit: u32,
    #[doc(hidden)]
    pub _unused: u32,
}

const _: () = assert!(size_of::<Settings>() == 16);

/// Which packets of a connection are marked: the habits of real balancers. An early packet acknowledges
/// nothing but the server's SYN.
pub mod habit {
    /// The SYN and nothing else.
    pub const SYN: u32 = 1;
    /// The SYN and every early packet.
    pub const SYN_AND_EARLY: u32 = 2;
    /// Every early packet, but not the SYN.
    pub const EARLY: u32 = 3;
    /// The first packet after the SYN and nothing else.
    pub const HANDSHAKE_ACK: u32 = 4;
    /// The first packet with data and nothing else.
    pub const FIRST_DATA: u32 = 5;
}

/// The key of a connection in the maps `ASSIGNED` and `MARKED`: address family and local port.
pub const fn key(family: u32, local_port: u32) -> u32 {
    family << 16 | local_port
}

/// Most peers that one stand-in for the TOA module knows the clients of.
pub const MAX_CLIENTS: u32 = 131_072;

/// The socket option of `IPPROTO_IP` that the TOA module answers with the IPv6 client of an IPv4 socket
/// (`TOA_SO_GET_LOOKUP` of DPVS).
pub const NAT64_OPTION: u32 = 4096;

/// A peer or a client, in the stand-in's maps; in memory also the module's answer to [`NAT64_OPTION`]: address, port
/// and two bytes of nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct End {
    /// The words of its address, in network byte order; see [`mapped`] for IPv4.
    pub address: [u32; 4],
    /// Its port in network byte order, as sockets have it: 16 bits, then nothing.
    pub port: u32,
}

const _: () = assert!(size_of::<End>() == 20);

/// The words of an IPv4 address in IPv6's form, `::ffff:a.b.c.d`. All in network byte order.
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
