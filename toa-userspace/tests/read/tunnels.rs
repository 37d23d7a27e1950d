//! Captures of tunnels.

use super::{ACK, File, PRINTED, REQUEST, Result, SYN, TOA, block, header, packet, text};

/// Returns a capture of packets that were each put into something else.
fn capture(wrap: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let packets = [packet(7, 9, SYN, &TOA, b""), packet(7, 10, ACK, &[], REQUEST)];
    [header()].into_iter().chain(packets.into_iter().map(|packet| block(&wrap(packet)))).flatten().collect()
}

/// Puts content into an IPv4 packet.
fn ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + content.len()).unwrap_or(0).to_be_bytes();
    [&[0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 8, 0, 1, 10, 8, 0, 2], content].concat()
}

fn vxlan(packet: &[u8]) -> Vec<u8> {
    let len = u16::try_from(30 + packet.len()).unwrap_or(0).to_be_bytes();
    let head = [0xc0, 0, 0x12, 0xb5, len[0], len[1], 0, 0, 8, 0, 0, 0, 0, 0, 1, 0];
    ipv4(17, &[&head[..], &[2; 12], &[8, 0], packet].concat())
}

#[test]
fn what_is_in_a_tunnel_is_read_and_the_tunnel_is_named() -> Result {
    for (name, bytes) in [
        ("IP in IP", capture(|packet| ipv4(4, &packet))),
        ("GRE", capture(|packet| ipv4(47, &[&[0, 0, 8, 0], &packet[..]].concat()))),
        ("VXLAN", capture(|packet| vxlan(&packet))),
    ] {
        let output = File::new("tunnel", &bytes)?.read(&["--any"])?;
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), PRINTED), "{said}");
        let expected = format!("toa-tc: 2 packets of tunnels ({name}): the packets inside were read\n");
        assert!(said.contains(&expected), "{said}");
    }
    Ok(())
}

#[test]
fn a_tunnel_that_cannot_be_read_is_named() -> Result {
    let output = File::new("sealed", &capture(|packet| ipv4(50, &packet)))?.read(&["--any"])?;
    let said = text(&output.stderr);
    let expected = "toa-tc: 2 packets of tunnels (IPsec (ESP)) skipped: the packets inside cannot be read\n";
    assert!(output.stdout.is_empty() && said.contains(expected), "{said}");
    Ok(())
}
