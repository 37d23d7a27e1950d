//! The interfaces of our network namespace, as the kernel lists them, and when they change.

use std::{fmt, io};

use netlink_packet_core::{DecodeError, NLM_F_DUMP, NlaBuffer, NlasIterator};
use netlink_sys::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    interfaces::interface_index,
    route::{self, Message, PART_BYTES, text, word},
};

/// Bytes of `struct ifinfomsg` of `linux/rtnetlink.h`.
const IFINFOMSG_BYTES: usize = 16;
/// `RTEXT_FILTER_SKIP_STATS` of `linux/rtnetlink.h`: the list without counters, which cost the kernel the most.
const SKIP_STATS: u32 = 1 << 3;
/// `IFLA_INFO_KIND` of `linux/if_link.h`, within `IFLA_LINKINFO`.
const IFLA_INFO_KIND: u16 = 1;
/// The multicast group of changed interfaces, `RTNLGRP_LINK` of `linux/rtnetlink.h`.
const RTNLGRP_LINK: u32 = 1;

/// An interface.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Link {
    /// Its index, which stays the same if it is renamed. The kernel assigns an index again only after all others, so a new
    /// interface of the same name has another index.
    pub index: u32,
    /// Its name, which may change.
    pub name: String,
    /// Its hardware type, an `ARPHRD_` number.
    pub hardware: u16,
    /// Its kind, such as `bridge`, or empty for hardware.
    pub kind: String,
    /// Index of the interface that it is a port of, such as a bridge or bond.
    pub master: Option<u32>,
    /// Index of the interface of our own network namespace that it is made from, such as that of a VLAN. Of a veth, it is
    /// the other end.
    pub origin: Option<u32>,
    /// Whether it is up, and whether it can also send and receive.
    pub state: LinkState,
}

/// Whether an interface is in use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LinkState {
    /// It is switched off.
    #[default]
    Down,
    /// It is switched on, but has no carrier.
    NoCarrier,
    /// It can send and receive.
    Up,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "down",
            Self::NoCarrier => "no carrier",
            Self::Up => "up",
        })
    }
}

impl Link {
    /// Returns whether every packet that arrives on `lower` and is for this interface then passes this interface, too.
    pub fn is_above(&self, lower: &Self) -> bool {
        let receives_from_origin =
            matches!(self.kind.as_str(), "vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap");
        (self.receives_from_ports() && lower.master == Some(self.index))
            || (receives_from_origin && self.origin == Some(lower.index))
    }

    /// Returns whether it receives what its ports receive.
    pub fn receives_from_ports(&self) -> bool {
        matches!(self.kind.as_str(), "bridge" | "bond" | "team")
    }
}

/// Returns the interfaces of our network namespace.
pub fn list() -> io::Result<Vec<Link>> {
    let mut payload = vec![0; IFINFOMSG_BYTES];
    payload.extend(8_u16.to_ne_bytes());
    payload.extend(libc::IFLA_EXT_MASK.to_ne_bytes());
    payload.extend(SKIP_STATS.to_ne_bytes());
    let mut links = Vec::new();
    route::ask(Message { kind: libc::RTM_GETLINK, payload }, NLM_F_DUMP, |payload| {
        links.push(decode(payload)?);
        Ok(())
    })?;
    Ok(links)
}

/// Returns whether an interface still exists and still has its name.
pub(crate) fn is_there(link: &Link) -> bool {
    interface_index(&link.name) == Some(link.index)
}

/// Decodes a `struct ifinfomsg` and those of its attributes that matter here. New kernels add attributes, and a decoder of
/// all of them may refuse one.
fn decode(payload: &[u8]) -> Result<Link, DecodeError> {
    let short = || DecodeError::from("an interface that is too short");
    let hardware = payload.get(2..).and_then(|bytes| bytes.first_chunk()).ok_or_else(short)?;
    let mut link = Link {
        index: word(payload, 4).ok_or_else(short)?,
        hardware: u16::from_ne_bytes(*hardware),
        state: state(word(payload, 8).ok_or_else(short)?),
        ..Link::default()
    };
    let mut origin_is_elsewhere = false;
    for attribute in NlasIterator::new(payload.get(IFINFOMSG_BYTES..).ok_or_else(short)?) {
        let attribute: NlaBuffer<&[u8]> = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_MASTER => link.master = word(value, 0),
            libc::IFLA_LINK => link.origin = word(value, 0).filter(|index| *index != 0),
            libc::IFLA_LINK_NETNSID => origin_is_elsewhere = true,
            libc::IFLA_LINKINFO => {
                for info in NlasIterator::new(value) {
                    let info: NlaBuffer<&[u8]> = info?;
                    if info.kind() == IFLA_INFO_KIND {
                        link.kind = text(info.value());
                    }
                }
            }
            _ => {}
        }
    }
    link.origin = link.origin.filter(|_| !origin_is_elsewhere);
    Ok(link)
}

/// Decodes the flags of an interface (`netdevice(7)`).
fn state(flags: u32) -> LinkState {
    let has = |flag: i32| flags & flag.unsigned_abs() != 0;
    match (has(libc::IFF_UP), has(libc::IFF_RUNNING)) {
        (false, _) => LinkState::Down,
        (true, false) => LinkState::NoCarrier,
        (true, true) => LinkState::Up,
    }
}

/// Notifications that interfaces of our network namespace have changed.
pub struct LinkChanges(AsyncFd<Socket>);

impl LinkChanges {
    /// Subscribes to them.
    pub fn subscribe() -> io::Result<Self> {
        let socket = route::open()?;
        socket.add_membership(RTNLGRP_LINK)?;
        socket.set_non_blocking(true)?;
        // SAFETY: the socket keeps its one descriptor open until it is dropped together with this value.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(socket?))
    }

    /// Waits until something has changed. What it was is not of interest, because notifications can get lost: list the
    /// interfaces again.
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut part = Vec::with_capacity(PART_BYTES);
        let mut ready = self.0.readable_mut().await?;
        loop {
            part.clear();
            match ready.get_inner().recv(&mut part, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some were lost, so something has changed.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// An interface as the kernel lists it, with an attribute that nobody knows.
    fn listed(more: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; IFINFOMSG_BYTES];
        bytes[2..4].copy_from_slice(&1_u16.to_ne_bytes());
        bytes[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[8..12].copy_from_slice(&0x41_u32.to_ne_bytes());
        bytes.extend(attribute(libc::IFLA_IFNAME, b"eth0.5\0"));
        bytes.extend(attribute(1000, b"?"));
        bytes.extend(attribute(libc::IFLA_LINK, &2_u32.to_ne_bytes()));
        bytes.extend(attribute(libc::IFLA_MASTER, &9_u32.to_ne_bytes()));
        bytes.extend(attribute(libc::IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, b"vlan\0")));
        bytes.extend(more);
        bytes
    }

    #[test]
    fn an_interface_is_decoded() {
        let link = decode(&listed(&[])).unwrap();
        let expected = Link {
            index: 7,
            name: "eth0.5".to_owned(),
            hardware: libc::ARPHRD_ETHER,
            kind: "vlan".to_owned(),
            master: Some(9),
            origin: Some(2),
            state: LinkState::Up,
        };
        assert_eq!(link, expected);
        assert_eq!(
            [0, 0x40, 1, 0x41].map(state),
            [LinkState::Down, LinkState::Down, LinkState::NoCarrier, LinkState::Up]
        );
        // The other interface is in another network namespace.
        let elsewhere = decode(&listed(&attribute(libc::IFLA_LINK_NETNSID, &[0; 4]))).unwrap();
        assert_eq!(elsewhere.origin, None);
    }

    #[test]
    fn an_interface_that_is_cut_anywhere_is_an_error_or_a_part_of_it() {
        let whole = listed(&[]);
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).map_or(true, |link| link.kind.is_empty()), "{length}");
        }
    }

    #[test]
    fn what_passes_two_interfaces_is_known_by_their_kind() {
        let link = |index, kind: &str| Link { index, kind: kind.to_owned(), ..Link::default() };
        let (port, bridge) = (Link { master: Some(2), ..link(1, "veth") }, link(2, "bridge"));
        assert!(bridge.is_above(&port) && !port.is_above(&bridge));
        assert!(!link(2, "vrf").is_above(&port));
        let vlan = Link { origin: Some(1), ..link(3, "vlan") };
        assert!(vlan.is_above(&port) && !vlan.is_above(&bridge));
        // The ends of a veth pair are different hosts' interfaces.
        assert!(!Link { origin: Some(1), ..link(4, "veth") }.is_above(&port));
    }

    #[test]
    fn the_loopback_is_listed() {
        let links = list().unwrap();
        let loopback = links.iter().find(|link| link.index == 1).unwrap();
        assert_eq!((loopback.name.as_str(), loopback.hardware), ("lo", libc::ARPHRD_LOOPBACK));
    }
}
