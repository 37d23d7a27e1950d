//! The content of a PROXY protocol header: the client, and the endpoint of a cloud's private link.

use std::{
    net::{IpAddr, SocketAddr},
    str,
};

/// Types of the extensions (TLV) in which clouds name the endpoint, and the subtype that both use for it: AWS
/// `PP2_TYPE_AWS` with the endpoint's identifier as text, Azure `PP2_TYPE_AZURE` with a link identifier of four bytes in
/// little-endian order.
const AWS: u8 = 0xea;
const AZURE: u8 = 0xee;
const ENDPOINT_SUBTYPE: u8 = 1;

/// The byte with version 2 and the command `PROXY` (PROXY protocol section 2.2). With the command `LOCAL`, the sender
/// speaks for itself, and addresses are to be ignored.
const VERSION_2_PROXY: u8 = 0x21;
const VERSION_2_LOCAL: u8 = 0x20;

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyVersion {
    /// Returns the name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "proxy-v1",
            Self::V2 => "proxy-v2",
        }
    }
}

/// What a PROXY header says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyHeader {
    /// Its version.
    pub version: ProxyVersion,
    /// The client. `None` if the header names none (`UNKNOWN`, `LOCAL`, Unix sockets), or cannot be read.
    pub client: Option<SocketAddr>,
    /// The endpoint that the client used, if the header names one.
    pub endpoint: Option<Endpoint>,
    /// Whether it breaks the rules, so that a server refuses it.
    pub is_malformed: bool,
}

/// An endpoint of a cloud's private link, through which clients in other networks connect. The addresses that the server
/// sees are the provider's, so only the endpoint tells the callers apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The provider: `aws` or `azure`.
    pub provider: &'static str,
    /// The identifier: a text such as `vpce-08d2bf15fac5001c9` from AWS, a decimal number from Azure. It is not checked.
    pub id: Vec<u8>,
}

impl ProxyHeader {
    /// Returns a header that says nothing.
    pub fn unknown(version: ProxyVersion) -> Self {
        Self { version, client: None, endpoint: None, is_malformed: false }
    }

    /// Reads a line, with its line end (section 2.1).
    pub(super) fn from_line(line: &[u8]) -> Self {
        let client = line_client(line);
        let is_known = client.is_some() || line.starts_with(b"PROXY UNKNOWN");
        let is_malformed = !(is_known && line.ends_with(b"\r\n"));
        Self { client, is_malformed, ..Self::unknown(ProxyVersion::V1) }
    }

    /// Reads what follows the signature of version 2: version and command, family, length, addresses, extensions.
    pub(super) fn from_binary(bytes: &[u8]) -> Self {
        let unknown = Self::unknown(ProxyVersion::V2);
        let [VERSION_2_PROXY, family, _, _, content @ ..] = bytes else {
            return Self { is_malformed: bytes.first() != Some(&VERSION_2_LOCAL), ..unknown };
        };
        let (client, extensions) = match family >> 4 {
            1 => ipv4_client(content),
            2 => ipv6_client(content),
            3 => (None, content.get(216..)),
            _ => (None, Some(content)),
        };
        Self {
            client,
            endpoint: extensions.and_then(endpoint),
            is_malformed: extensions.is_none(),
            ..unknown
        }
    }
}

fn line_client(line: &[u8]) -> Option<SocketAddr> {
    let line = str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut words = line.strip_suffix('\r').unwrap_or(line).split(' ');
    let (Some("PROXY"), Some(family)) = (words.next(), words.next()) else {
        return None;
    };
    let (source, destination): (IpAddr, IpAddr) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (source_port, _): (u16, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let is_family = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    (is_family && words.next().is_none()).then(|| SocketAddr::new(source, source_port))
}

/// Reads source and destination address, source and destination port. Returns the source and the bytes that follow.
fn ipv4_client(content: &[u8]) -> (Option<SocketAddr>, Option<&[u8]>) {
    match content {
        [a, b, c, d, _, _, _, _, high, low, _, _, rest @ ..] => {
            (Some(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low])).into()), Some(rest))
        }
        _ => (None, None),
    }
}

/// Does the same for IPv6.
fn ipv6_client(content: &[u8]) -> (Option<SocketAddr>, Option<&[u8]>) {
    let Some((source, rest)) = content.split_first_chunk::<16>() else {
        return (None, None);
    };
    match rest.get(16..) {
        Some([high, low, _, _, rest @ ..]) => {
            let source = IpAddr::from(*source).to_canonical();
            (Some(SocketAddr::new(source, u16::from_be_bytes([*high, *low]))), Some(rest))
        }
        _ => (None, None),
    }
}

/// Looks for the extension that names an endpoint. Ends at one that is longer than what is left.
fn endpoint(mut extensions: &[u8]) -> Option<Endpoint> {
    while let [kind, high, low, rest @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length)?;
        match (*kind, value) {
            (AWS, [ENDPOINT_SUBTYPE, id @ ..]) if !id.is_empty() => {
                return Some(Endpoint { provider: "aws", id: id.to_vec() });
            }
            (AZURE, [ENDPOINT_SUBTYPE, a, b, c, d]) => {
                let id = u32::from_le_bytes([*a, *b, *c, *d]).to_string().into_bytes();
                return Some(Endpoint { provider: "azure", id });
            }
            _ => extensions = rest,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<String> {
        ProxyHeader::from_line(text.as_bytes()).client.map(|client| client.to_string())
    }

    #[test]
    fn a_line_names_its_client() {
        let client = |text| line(text).unwrap();
        assert_eq!(client("PROXY TCP4 203.0.113.9 10.9.0.2 54321 80\r\n"), "203.0.113.9:54321");
        assert_eq!(client("PROXY TCP6 2001:db8::7 fd00::2 1 65535\r\n"), "[2001:db8::7]:1");
        for nothing in [
            "PROXY UNKNOWN\r\n",
            "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
            "PROXY TCP4 2001:db8::7 10.9.0.2 1 2\r\n",
            "PROXY TCP6 203.0.113.9 10.9.0.2 1 2\r\n",
            "PROXY TCP4 203.0.113.9 10.9.0.2 65536 80\r\n",
            "PROXY TCP4 203.0.113.9 10.9.0.2 1\r\n",
            "PROXY TCP4 203.0.113.9 10.9.0.2 1 2 3\r\n",
            "PROXY TCP4  203.0.113.9 10.9.0.2 1 2\r\n",
            "PROXY TCP4 203.0.113.9 10.9.0.2 1 2",
        ] {
            assert_eq!(line(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_a_server_refuses_is_malformed() {
        let is_malformed = |text: &str| ProxyHeader::from_line(text.as_bytes()).is_malformed;
        for right in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN a b\r\n", "PROXY TCP4 203.0.113.9 10.9.0.2 1 2\r\n"]
        {
            assert!(!is_malformed(right), "{right}");
        }
        for wrong in [
            "PROXY UNKNOWN\n",
            "PROXY TCP4 203.0.113.9 10.9.0.2 1 2\n",
            "PROXY TCP4 203.0.113.9 10.9.0.2 99999 80\r\n",
            "PROXY TCP4 203.0.113.9 10.9.0.2 1\r\n",
        ] {
            assert!(is_malformed(wrong), "{wrong}");
        }
        for (command, family, content, expected) in [
            (0x21, 0x11, &V4[..], false),
            (0x21, 0, &[], false),
            (0x20, 0x11, &[], false),
            (0x21, 0x11, &V4[..11], true),
            (0x11, 0x11, &V4, true),
            (0x22, 0x11, &V4, true),
        ] {
            assert_eq!(binary(command, family, &[content]).is_malformed, expected, "{command:x} {family:x}");
        }
    }

    /// A header after its signature. The length is not read here.
    fn binary(command: u8, family: u8, content: &[&[u8]]) -> ProxyHeader {
        ProxyHeader::from_binary(&[&[command, family, 0, 0], &content.concat()[..]].concat())
    }

    const V4: [u8; 12] = [203, 0, 113, 9, 10, 9, 0, 2, 0xd4, 0x31, 0, 80];
    /// A checksum (`PP2_TYPE_CRC32C`), which other senders put first.
    const CRC: [u8; 7] = [3, 0, 4, 1, 2, 3, 4];
    const VPCE: &[u8] = b"\xea\x00\x17\x01vpce-08d2bf15fac5001c9";

    #[test]
    fn addresses_of_both_families_are_read() {
        let client = |family, content| binary(0x21, family, &[content]).client.map(|it| it.to_string());
        assert_eq!(client(0x11, &V4).unwrap(), "203.0.113.9:54321");
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        (v6[15], v6[32], v6[33]) = (7, 0xd4, 0x31);
        assert_eq!(client(0x21, &v6).unwrap(), "[2001:db8::7]:54321");
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 9]);
        assert_eq!(client(0x21, &mapped).unwrap(), "203.0.113.9:0");
        // Too short, no family, a Unix socket.
        assert_eq!([client(0x11, &V4[..11]), client(0x21, &v6[..35])], [None, None]);
        assert_eq!([client(0, &V4), client(0x31, &[1; 216])], [None, None]);
        // The sender speaks for itself, another version.
        assert_eq!(binary(0x20, 0x11, &[&V4, VPCE]), ProxyHeader::unknown(ProxyVersion::V2));
        let refused = ProxyHeader { is_malformed: true, ..ProxyHeader::unknown(ProxyVersion::V2) };
        assert_eq!(binary(0x31, 0x11, &[&V4, VPCE]), refused);
        assert_eq!(ProxyHeader::from_binary(b"\x21\x11\0"), refused);
    }

    #[test]
    fn endpoints_are_found_among_other_extensions() {
        let endpoint = |extensions: &[&[u8]]| {
            let content = [&[&V4[..]], extensions].concat();
            binary(0x21, 0x11, &content).endpoint.map(|it| (it.provider, it.id))
        };
        assert_eq!(endpoint(&[&CRC, VPCE]), Some(("aws", b"vpce-08d2bf15fac5001c9".to_vec())));
        let azure = b"\xee\x00\x05\x01\x78\x56\x34\x12";
        assert_eq!(endpoint(&[azure, &CRC]), Some(("azure", b"305419896".to_vec())));
        for none in [&b""[..], b"\xea\x00\x01\x01", b"\xea\x00\x02\x02v", b"\xee\x00\x04\x01\x78\x56\x34"] {
            assert_eq!(endpoint(&[&CRC, none]), None, "{none:x?}");
        }
        // Longer than the header, and the end of one.
        assert_eq!(endpoint(&[b"\x04\xff\xff", VPCE]), None);
        for len in 0..VPCE.len() {
            assert_eq!(endpoint(&[&VPCE[..len]]), None);
        }
        let content = [&[0; 216], VPCE].concat();
        assert!(binary(0x21, 0x31, &[&content]).endpoint.is_some());
    }
}
