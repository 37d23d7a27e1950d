//! A builder for Ethernet frames with TCP. Lengths and checksums are right unless a test sets them otherwise.

use std::net::{IpAddr, SocketAddr};

use checksum::set_checksum;

pub mod checksum;
pub mod extension;

/// TCP flags.
pub mod flags {
    /// The sender is done.
    pub const FIN: u8 = 0x01;
    /// Start of a connection.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number is valid.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer is valid.
    pub const URG: u8 = 0x20;
}

/// The MAC address that frames come from.
pub const SOURCE_STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The MAC address that frames are for.
pub const DESTINATION_STATION: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// EtherType of a customer VLAN tag (IEEE 802.1Q).
pub const VLAN: u16 = 0x8100;
/// EtherType of a service VLAN tag (IEEE 802.1Q, once 802.1ad).
pub const SERVICE_VLAN: u16 = 0x88a8;

/// The IPv4 flag *more fragments* (RFC 791, section 3.1).
const MORE_FRAGMENTS: u16 = 0x2000;

/// A frame under construction. Fields that are not set get the value that a real stack would write.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    source: SocketAddr,
    destination: SocketAddr,
    vlans: Vec<(u16, u16)>,
    ether_type: Option<u16>,
    ip_options: Vec<u8>,
    ihl_words: Option<u8>,
    ip_length: Option<u16>,
    fragment: u16,
    extensions: Vec<(u8, Vec<u8>)>,
    protocol: u8,
    seq: u32,
    ack: u32,
    flags: u8,
    options: Vec<u8>,
    data_offset_words: Option<u8>,
    payload: Vec<u8>,
    trailer: Vec<u8>,
    urgent: u16,
    checksum_error: u16,
    station: [u8; 6],
}

impl PacketBuilder {
    /// Starts an ACK from `source` to `destination`. Both have the same address family, which selects IPv4 or
    /// IPv6.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            vlans: Vec::new(),
            ether_type: None,
            ip_options: Vec::new(),
            ihl_words: None,
            ip_length: None,
            fragment: 0,
            extensions: Vec::new(),
            protocol: TCP,
            seq: 1,
            ack: 1,
            flags: flags::ACK,
            options: Vec::new(),
            data_offset_words: None,
            payload: Vec::new(),
            trailer: Vec::new(),
            urgent: 0,
            checksum_error: 0,
            station: DESTINATION_STATION,
        }
    }

    /// Starts an IPv4 packet from a balancer to a server.
    pub fn ipv4() -> Self {
        Self::new(([10, 9, 0, 1], 37608).into(), ([10, 9, 0, 2], 80).into())
    }

    /// Starts an IPv6 packet from a balancer to a server.
    pub fn ipv6() -> Self {
        let address = |last| [0xfd00, 9, 0, 0, 0, 0, 0, last];
        Self::new((address(1), 37608).into(), (address(2), 80).into())
    }

    /// Sets the source port.
    #[must_use]
    pub fn source_port(mut self, port: u16) -> Self {
        self.source.set_port(port);
        self
    }

    /// Sets the TCP flags.
    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the sequence and acknowledgment numbers.
    #[must_use]
    pub fn numbers(mut self, seq: u32, ack: u32) -> Self {
        (self.seq, self.ack) = (seq, ack);
        self
    }

    /// Sets the TCP options, zero-padded to a multiple of four bytes.
    #[must_use]
    pub fn options(mut self, area: &[u8]) -> Self {
        self.options = area.to_vec();
        self
    }

    /// Sets the payload.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Sets the IPv4 options, zero-padded to a multiple of four bytes.
    #[must_use]
    pub fn ip_options(mut self, area: &[u8]) -> Self {
        self.ip_options = area.to_vec();
        self
    }

    /// Appends an IPv6 extension header before TCP: see [`extension`]. Its first byte, the next header, is
    /// overwritten.
    #[must_use]
    pub fn extension(mut self, (number, header): (u8, Vec<u8>)) -> Self {
        self.extensions.push((number, header));
        self
    }

    /// Appends a VLAN tag inside the existing ones: its `EtherType` and its contents.
    #[must_use]
    pub fn vlan(mut self, ether_type: u16, tag: u16) -> Self {
        self.vlans.push((ether_type, tag));
        self
    }

    /// Sets the destination port.
    #[must_use]
    pub fn destination_port(mut self, port: u16) -> Self {
        self.destination.set_port(port);
        self
    }

    /// Replaces the protocol number; the bytes stay TCP's.
    #[must_use]
    pub fn protocol(mut self, number: u8) -> Self {
        self.protocol = number;
        self
    }

    /// Replaces the `EtherType`; the bytes stay the same.
    #[must_use]
    pub fn ether_type(mut self, number: u16) -> Self {
        self.ether_type = Some(number);
        self
    }

    /// Sets the IPv4 header length in words, right or wrong.
    #[must_use]
    pub fn ihl(mut self, words: u8) -> Self {
        self.ihl_words = Some(words);
        self
    }

    /// Sets the IPv4 total length or the IPv6 payload length, right or wrong.
    #[must_use]
    pub fn ip_length(mut self, bytes: u16) -> Self {
        self.ip_length = Some(bytes);
        self
    }

    /// Sets the data offset in words, right or wrong.
    #[must_use]
    pub fn data_offset(mut self, words: u8) -> Self {
        self.data_offset_words = Some(words);
        self
    }

    /// Makes it an IPv4 fragment. `offset` is in units of eight bytes; `more` sets *more fragments*.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = (offset & 0x1fff) | if more { MORE_FRAGMENTS } else { 0 };
        self
    }

    /// Appends these bytes after the IP packet, as a link does to pad short frames.
    #[must_use]
    pub fn trailer(mut self, bytes: &[u8]) -> Self {
        self.trailer = bytes.to_vec();
        self
    }

    /// Sets the urgent pointer and its flag.
    #[must_use]
    pub fn urgent(mut self, pointer: u16) -> Self {
        self.urgent = pointer;
        self.flags |= flags::URG;
        self
    }

    /// Makes the TCP checksum wrong.
    #[must_use]
    pub fn wrong_checksum(mut self) -> Self {
        self.checksum_error = 0x5555;
        self
    }

    /// Sets the MAC address that the frame is for.
    #[must_use]
    pub fn station(mut self, address: [u8; 6]) -> Self {
        self.station = address;
        self
    }

    /// Returns the frame.
    pub fn build(&self) -> Vec<u8> {
        let ether_type = if self.source.is_ipv4() { 0x0800 } else { 0x86dd };
        let mut frame = [self.station, SOURCE_STATION].concat();
        for (ether_type, tag) in &self.vlans {
            frame.extend(ether_type.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(self.ether_type.unwrap_or(ether_type).to_be_bytes());
        frame.extend(self.build_packet());
        frame
    }

    /// Returns the IP packet without a link header, as some devices carry it, followed by the trailer.
    pub fn build_packet(&self) -> Vec<u8> {
        let mut packet = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4_packet(&[source.octets(), destination.octets()].concat())
            }
            (source, destination) => self.ipv6_packet(&[octets(source), octets(destination)].concat()),
        };
        packet.extend(&self.trailer);
        packet
    }

    fn ipv4_packet(&self, addresses: &[u8]) -> Vec<u8> {
        let tcp = self.tcp_segment(addresses);
        let options = padded(&self.ip_options);
        let header_len = 20 + options.len();
        let ihl = self.ihl_words.unwrap_or_else(|| low_byte(header_len / 4));
        let length = self.ip_length.unwrap_or_else(|| low_half(header_len + tcp.len()));
        let mut header = vec![0x40 | (ihl & 0x0f), 0];
        header.extend(length.to_be_bytes());
        header.extend([0, 1]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([64, self.protocol, 0, 0]);
        header.extend(addresses);
        header.extend(options);
        set_checksum(&mut header, 10, &[]);
        header.extend(tcp);
        header
    }

    fn ipv6_packet(&self, addresses: &[u8]) -> Vec<u8> {
        let tcp = self.tcp_segment(addresses);
        let mut next = self.extensions.iter().map(|(kind, _)| *kind).chain([self.protocol]);
        let next_header = next.next().unwrap_or(self.protocol);
        let mut headers = Vec::new();
        for ((_, header), kind) in self.extensions.iter().zip(next) {
            headers.push(kind);
            headers.extend(header.iter().skip(1));
        }
        let length = self.ip_length.unwrap_or_else(|| low_half(headers.len() + tcp.len()));
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([next_header, 64]);
        packet.extend(addresses);
        packet.extend(headers);
        packet.extend(tcp);
        packet
    }

    fn tcp_segment(&self, addresses: &[u8]) -> Vec<u8> {
        let options = padded(&self.options);
        let words = self.data_offset_words.unwrap_or_else(|| low_byte((20 + options.len()) / 4));
        let mut segment = Vec::new();
        segment.extend(self.source.port().to_be_bytes());
        segment.extend(self.destination.port().to_be_bytes());
        segment.extend(self.seq.to_be_bytes());
        segment.extend(self.ack.to_be_bytes());
        segment.extend([words << 4, self.flags, 0xff, 0xff, 0, 0]);
        segment.extend(self.urgent.to_be_bytes());
        segment.extend(options);
        segment.extend(&self.payload);
        let length = u32::try_from(segment.len()).unwrap_or_default();
        let pseudo_header = [addresses, &length.to_be_bytes(), &[0, 0, 0, TCP]].concat();
        set_checksum(&mut segment, 16, &pseudo_header);
        segment
            .iter_mut()
            .skip(16)
            .zip(self.checksum_error.to_be_bytes())
            .for_each(|(to, error)| *to ^= error);
        segment
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn padded(area: &[u8]) -> Vec<u8> {
    let mut area = area.to_vec();
    area.resize(area.len().next_multiple_of(4), 0);
    area
}

fn low_byte(number: usize) -> u8 {
    u8::try_from(number & 0xff).unwrap_or_default()
}

/// A length that exceeds 16 bits is written as 0, as BIG TCP does.
fn low_half(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{checksum::checksum, *};

    #[test]
    fn lengths_and_checksums_are_right() {
        let frame = PacketBuilder::ipv4().ip_options(&[7, 3, 4]).options(&[1, 1]).payload(b"abc").build();
        assert_eq!(frame.len(), 14 + 24 + 24 + 3);
        assert_eq!((frame[14], frame[16], frame[17]), (0x46, 0, 51));
        assert_eq!(frame[38 + 12], 6 << 4);
        assert_eq!(checksum(&frame[14..38]), 0);
        let pseudo = [&frame[26..34], &[0, 6, 0, 27]].concat();
        assert_eq!(checksum(&[&pseudo[..], &frame[38..]].concat()), 0);
    }

    #[test]
    fn ipv6_has_its_extensions_before_tcp() {
        let packet = PacketBuilder::ipv6().extension(extension::fragment(0, true));
        let frame = packet.extension(extension::destination_options(8)).build();
        assert_eq!((frame[12], frame[13], frame[14]), (0x86, 0xdd, 0x60));
        assert_eq!((frame[18], frame[19], frame[20]), (0, 36, extension::FRAGMENT));
        assert_eq!((frame[54], frame[57], frame[62]), (extension::DESTINATION_OPTIONS, 1, TCP));
        let pseudo = [&frame[22..54], &[0, 0, 0, 20, 0, 0, 0, 6]].concat();
        assert_eq!(checksum(&[&pseudo[..], &frame[70..]].concat()), 0);
    }

    #[test]
    fn tags_stand_before_the_packet() {
        let packet = PacketBuilder::ipv4().vlan(SERVICE_VLAN, 0x2003).vlan(VLAN, 7);
        let (frame, bare) = (packet.build(), packet.build_packet());
        assert_eq!(frame[12..22], [0x88, 0xa8, 0x20, 0x03, 0x81, 0x00, 0, 7, 0x08, 0x00]);
        assert_eq!((frame.len(), &frame[22..]), (22 + bare.len(), &bare[..]));
    }

    #[test]
    fn what_a_test_wants_wrong_is_wrong() {
        let frame =
            PacketBuilder::ipv4().ihl(4).ip_length(7).data_offset(15).fragment(3, true).trailer(&[9]).build();
        assert_eq!((frame[14], frame[17], frame[20], frame[21]), (0x44, 7, 0x20, 3));
        assert_eq!((frame[34 + 12], frame.last()), (15 << 4, Some(&9)));
    }

    #[test]
    fn an_odd_checksum_counts_its_last_byte_high() {
        assert_eq!(checksum(&[0x12, 0x34, 0x56]), !(0x1234 + 0x5600));
        assert_eq!(checksum(&[0xff, 0xff, 0x00, 0x01]), !1);
    }
}
