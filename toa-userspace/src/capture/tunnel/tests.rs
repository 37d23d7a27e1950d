use proptest::prelude::*;

use super::*;

/// What every tunnel carries: an IPv4 header, of which only the version matters here.
const INNER: &[u8] = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];

fn ethernet(ether_type: u16, content: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &ether_type.to_be_bytes(), content].concat()
}

fn ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + content.len()).unwrap().to_be_bytes();
    let header = [0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    [&header, content].concat()
}

fn ipv6(next: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = [0x60, 0, 0, 0, len[0], len[1], next, 64];
    [&header[..], &[0xfd; 32], content].concat()
}

fn udp(port: u16, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + content.len()).unwrap().to_be_bytes();
    ipv4(17, &[&[0xc0, 0][..], &port.to_be_bytes(), &len, &[0, 0], content].concat())
}

/// Opens a packet. Returns what it carries and the counts.
fn opened(link: LinkType, bytes: &[u8]) -> (LinkType, Vec<u8>, Vec<(Tunnel, bool)>) {
    let wire_len = u32::try_from(bytes.len()).unwrap();
    let mut tunnels = Tunnels::default();
    let packet = tunnels.open(Packet { time_ns: 7, interface: 3, link, bytes, wire_len, comment: None });
    assert_eq!((packet.time_ns, packet.interface), (7, 3));
    assert_eq!(usize::try_from(packet.wire_len).unwrap(), packet.bytes.len());
    (packet.link, packet.bytes.to_vec(), tunnels.counts().keys().copied().collect())
}

#[test]
fn a_packet_in_every_kind_of_tunnel_is_found() {
    let frame = ethernet(0x0800, INNER);
    let gre = |head: &[u8], content: &[u8]| ipv4(47, &[head, content].concat());
    let below = [
        (Tunnel::Vlan, ethernet(0x8100, &[&[0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0], INNER].concat())),
        (Tunnel::Vlan, ethernet(0x9100, &[&[0, 1, 8, 0], INNER].concat())),
        (Tunnel::Snap, ethernet(28, &[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], INNER].concat())),
        (Tunnel::Mpls, ethernet(0x8847, &[&[0, 1, 0, 64, 0, 2, 1, 64], INNER].concat())),
        (Tunnel::Pppoe, ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, 22, 0, 0x21], INNER].concat())),
    ];
    for (tunnel, bytes) in below {
        let found = opened(LinkType::Ethernet, &bytes);
        assert_eq!(found, (LinkType::Ip, INNER.to_vec(), vec![(tunnel, true)]), "{tunnel}");
    }
    let above = [
        (Tunnel::IpInIp, ipv4(4, INNER)),
        (Tunnel::IpInIp, ipv6(4, INNER)),
        (Tunnel::IpInIp, ipv6(60, &[&[4, 0, 4, 1, 4, 1, 0, 0], INNER].concat())),
        (Tunnel::Gre, gre(&[0, 0, 8, 0], INNER)),
        (Tunnel::Gre, gre(&[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], INNER)),
        (Tunnel::Gue, udp(6080, &[&[0, 4, 0, 0], INNER].concat())),
        (Tunnel::Gue, udp(6080, INNER)),
        (Tunnel::Gtp, udp(2152, &[&[0x30, 255, 0, 20, 0, 0, 0, 1], INNER].concat())),
        (
            Tunnel::Gtp,
            udp(2152, &[&[0x34, 255, 0, 28, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0], INNER].concat()),
        ),
        (Tunnel::Geneve, udp(6081, &[&[1, 0, 8, 0, 0, 0, 1, 0, 1, 2, 3, 0], INNER].concat())),
    ];
    for (tunnel, bytes) in above {
        let found = opened(LinkType::Ip, &bytes);
        assert_eq!(found, (LinkType::Ip, INNER.to_vec(), vec![(tunnel, true)]), "{tunnel}");
    }
    let frames = [
        (Tunnel::Gre, gre(&[0, 0, 0x65, 0x58], &frame)),
        (Tunnel::Erspan, gre(&[0, 0, 0x88, 0xbe], &frame)),
        (Tunnel::Erspan, gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], &[&[0x10; 8], &frame[..]].concat())),
        (Tunnel::Erspan, gre(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1], &[&[0x20; 12], &frame[..]].concat())),
        (Tunnel::Vxlan, udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0], &frame[..]].concat())),
        (Tunnel::Geneve, udp(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 1, 0], &frame[..]].concat())),
    ];
    for (tunnel, bytes) in frames {
        let found = opened(LinkType::Ip, &bytes);
        assert_eq!(found, (LinkType::Ethernet, frame.clone(), vec![(tunnel, true)]), "{tunnel}");
    }
    let teredo = udp(3544, &ipv6(59, b""));
    assert_eq!(opened(LinkType::Ip, &teredo), (LinkType::Ip, ipv6(59, b""), vec![(Tunnel::Teredo, true)]));
}

#[test]
fn a_tunnel_in_a_tunnel_is_counted_as_the_inner_one() {
    let vxlan = udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, &ipv4(4, INNER))].concat());
    let found = opened(LinkType::Ethernet, &ethernet(0x0800, &vxlan));
    assert_eq!(found, (LinkType::Ip, INNER.to_vec(), vec![(Tunnel::IpInIp, true)]));
    // As many as it takes: the depth is limited.
    let deep = (0..100).fold(INNER.to_vec(), |inner, _| ipv4(4, &inner));
    assert_eq!(opened(LinkType::Ip, &deep).1.len(), deep.len() - 20 * MAX_DEPTH);
}

#[test]
fn what_cannot_be_read_is_named_and_left_as_it_is() {
    for (tunnel, bytes) in [
        (Tunnel::Esp, ipv4(50, &[1; 40])),
        (Tunnel::Esp, udp(4500, &[1; 40])),
        (Tunnel::L2tp, udp(1701, &[0, 2, 0, 8])),
        (Tunnel::WireGuard, udp(51820, &[4, 0, 0, 0, 1])),
        (Tunnel::Gre, ipv4(47, &[0x30, 1, 0x88, 0x0b, 0, 0, 0, 0])),
        (Tunnel::Mpls, ipv4(47, &[0, 0, 0x88, 0x47])),
    ] {
        let (link, inner, counts) = opened(LinkType::Ip, &bytes);
        let expected = if tunnel == Tunnel::Mpls { Tunnel::Gre } else { tunnel };
        assert_eq!((link, &inner, counts), (LinkType::Ip, &bytes, vec![(expected, false)]), "{tunnel}");
    }
}

#[test]
fn other_packets_are_left_as_they_are() {
    for bytes in [
        ipv4(6, &[0; 20]),
        udp(53, &[1; 40]),
        // The ports of tunnels with what is none.
        udp(4789, &[0; 40]),
        udp(2152, &[0x30, 1, 0, 0, 0, 0, 0, 0]),
        udp(4500, &[0, 0, 0, 0, 1]),
        udp(51820, &[9; 40]),
        // A later fragment.
        [&[0x45, 0, 0, 40, 0, 0, 0, 1, 64, 4, 0, 0][..], &[10; 28]].concat(),
        b"".to_vec(),
    ] {
        assert_eq!(opened(LinkType::Ip, &bytes), (LinkType::Ip, bytes.clone(), vec![]));
    }
    let arp = ethernet(0x0806, &[0; 28]);
    assert_eq!(opened(LinkType::Ethernet, &arp), (LinkType::Ethernet, arp.clone(), vec![]));
}

proptest! {
    #[test]
    fn any_bytes_are_opened_or_left(
        is_ip: bool,
        start in prop::sample::select(vec![
            ethernet(0x8100, b""), ethernet(0x8847, b""), ipv4(47, b""), udp(2152, b""), udp(6081, b""),
            ipv6(60, b""), udp(6080, b""),
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let link = if is_ip { LinkType::Ip } else { LinkType::Ethernet };
        let bytes = [start, rest].concat();
        let (_, inner, _) = opened(link, &bytes);
        prop_assert!(bytes.ends_with(&inner));
    }
}
