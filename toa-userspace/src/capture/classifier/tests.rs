mod starts;

use toa_common::{
    skip_reason::SkipReason,
    wire::tcp::{ACK, FIN, RST, SYN},
};

use crate::{
    address::to_ip,
    capture::{LinkType, classifier::*},
};

const BALANCER: [u8; 4] = [10, 9, 0, 1];
const SERVER: [u8; 4] = [10, 9, 0, 2];
const TOA: [u8; 8] = [254, 8, 0xac, 0xb0, 120, 120, 111, 111];
const OTHER_TOA: [u8; 8] = [254, 8, 0, 7, 192, 0, 2, 5];
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// Returns a TCP packet over IPv4. An endpoint is an address and a port.
pub(crate) fn ip_packet(
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    seq: u32,
    flags: u8,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4));
    let header_len = 20 + options.len();
    let total_len = u16::try_from(20 + header_len + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(total_len.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend([from.0, to.0].as_flattened());
    packet.extend([from.1.to_be_bytes(), to.1.to_be_bytes()].as_flattened());
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 0, u8::try_from(header_len / 4 * 16).unwrap(), flags, 0, 0, 0, 0, 0, 0]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// Returns a packet from the client's side.
fn up(port: u16, seq: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    ip_packet((BALANCER, port), (SERVER, 80), seq, flags, options, payload)
}

/// Returns a packet from the server's side.
fn down(port: u16, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    ip_packet((SERVER, 80), (BALANCER, port), seq, flags, &[], payload)
}

fn classifier(rules: &[&str], any_flow: bool) -> Classifier {
    with(rules, any_flow, &Config::DEFAULT)
}

fn with(rules: &[&str], any_flow: bool, config: &Config) -> Classifier {
    Classifier::new(Selection {
        config: if any_flow { config.following_any() } else { *config },
        rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        balancers: vec!["10.9.0.0/30".parse().unwrap()],
        max_flows: 2,
    })
}

fn packet(time_ns: u64, bytes: &[u8]) -> Packet<'_> {
    let wire_len = u32::try_from(bytes.len()).unwrap();
    Packet { time_ns, interface: 3, link: LinkType::Ip, bytes, wire_len, comment: None }
}

/// Returns the segment that a packet is handed on as, if any.
fn handed_on<'a>(classifier: &mut Classifier, packet: &Packet<'a>) -> Option<Segment<'a>> {
    classifier.classify(packet).ok()?.segment
}

/// Hands in packets. Returns the client of each segment, and an empty text for a packet that is not handed on.
fn clients(classifier: &mut Classifier, packets: &[Vec<u8>]) -> Vec<String> {
    let take = |bytes: &Vec<u8>| {
        let attribution = handed_on(classifier, &packet(1, bytes))?.attribution;
        Some(format!(
            "{}:{} {}",
            to_ip(attribution.address),
            attribution.client().port(),
            attribution.toa_kind
        ))
    };
    packets.iter().map(take).map(Option::unwrap_or_default).collect()
}

#[test]
fn a_watched_client_is_followed_from_the_packet_that_names_it() {
    let mut classifier = classifier(&["120.120.111.111"], false);
    let packets = [
        up(1, 9, SYN, &[], b""),
        up(1, 10, ACK, &TOA, b""),
        up(1, 10, ACK, &[], REQUEST),
        up(1, 28, ACK | FIN, &[], b""),
        up(2, 5, SYN, &OTHER_TOA, b""),
        up(2, 6, ACK, &[], REQUEST),
    ];
    let me = "120.120.111.111:44208 254";
    assert_eq!(clients(&mut classifier, &packets), ["", "", me, me, "", ""]);
    let ledger = classifier.counters().ledger();
    assert_eq!((ledger.matched_packets, ledger.matched_bytes), (2, REQUEST.len() as u64));
    assert_eq!((ledger.emitted_packets, ledger.emitted_bytes), (2, REQUEST.len() as u64));
    let counts = [Counter::Unmarked, Counter::Unwatched, Counter::Toa, Counter::Learned, Counter::PureAck];
    assert_eq!(counts.map(|counter| classifier.counters().get(counter)), [2, 1, 2, 1, 1]);
}

#[test]
fn what_a_syn_says_is_provisional() {
    let mut classifier = classifier(&["any"], false);
    let packets =
        [up(1, 9, SYN, &OTHER_TOA, b""), up(1, 10, ACK, &TOA, REQUEST), up(1, 28, ACK, &OTHER_TOA, b"x")];
    let me = "120.120.111.111:44208 254";
    assert_eq!(clients(&mut classifier, &packets), ["", me, me]);
    assert_eq!(classifier.counters().get(Counter::Conflict), 2);
    let mut only_other = with(&["192.0.2.5"], false, &Config::DEFAULT);
    assert_eq!(clients(&mut only_other, &packets), ["", "", "192.0.2.5:7 254"]);
    assert_eq!(only_other.counters().get(Counter::Unfollowed), 0);
}

#[test]
fn only_the_balancers_are_believed() {
    let mut classifier = with(&["any"], false, &Config::DEFAULT.with_balancers());
    let stranger = ip_packet(([10, 9, 0, 77], 1), (SERVER, 80), 1, ACK, &TOA, REQUEST);
    assert_eq!(clients(&mut classifier, &[stranger, up(1, 1, ACK, &TOA, REQUEST)])[0], "");
    assert_eq!(classifier.counters().get(Counter::Untrusted), 1);
    assert_eq!(classifier.counters().get(Counter::Learned), 1);
}

#[test]
fn with_any_flow_the_client_is_who_sent_the_syn_until_a_toa_names_another() {
    let mut classifier = classifier(&[], true);
    let packets = [
        up(1, 9, SYN, &[], b""),
        down(1, 99, SYN | ACK, b""),
        up(1, 10, ACK, &[], REQUEST),
        down(1, 100, ACK, REQUEST),
        up(1, 28, ACK, &TOA, REQUEST),
        up(1, 46, ACK, &OTHER_TOA, REQUEST),
    ];
    let (peer, me) = ("10.9.0.1:1 0", "120.120.111.111:44208 254");
    assert_eq!(clients(&mut classifier, &packets[..5]), ["", "", peer, "", me]);
    assert_eq!(classifier.counters().get(Counter::Conflict), 0);
    assert_eq!(clients(&mut classifier, &packets[5..]), [me]);
    assert_eq!(classifier.counters().get(Counter::Conflict), 1);
}

#[test]
fn with_any_flow_and_no_syn_the_client_is_who_asks_or_sends_to_the_servers_port() {
    let packets = [
        down(1, 99, ACK, b"HTTP/1.1 200 OK\r\n\r\n"),
        up(1, 10, ACK, &[], b"rest of a body"),
        up(1, 24, RST, &[], b""),
        up(1, 24, ACK, &[], REQUEST),
        down(1, 118, ACK, REQUEST),
    ];
    let peer = "10.9.0.1:1 0";
    assert_eq!(clients(&mut classifier(&[], true), &packets), ["", "", "", peer, ""]);
    let config = Config::DEFAULT.with_server_port(80);
    let mut classifier = with(&[], true, &config);
    assert_eq!(clients(&mut classifier, &packets), ["", peer, peer, peer, ""]);
    assert_eq!(classifier.counters().get(Counter::OtherPort), 2);
    // No payload was captured, so either side could be the client.
    let bytes = up(2, 10, ACK, &[], REQUEST);
    let cut = Packet { bytes: &bytes[..40], ..packet(1, &bytes) };
    assert!(handed_on(&mut self::classifier(&[], true), &cut).is_none());
}

#[test]
fn a_later_connection_of_the_same_ports_is_another_one() {
    let mut classifier = classifier(&[], true);
    let take = |classifier: &mut Classifier, time_ns, bytes: &[u8]| {
        handed_on(classifier, &packet(time_ns, bytes)).map(|segment| segment.generation)
    };
    // A SYN alone begins nothing.
    assert_eq!(take(&mut classifier, 5, &up(1, 9, SYN, &[], b"")), None);
    let first = take(&mut classifier, 5, &up(1, 10, ACK, &[], REQUEST));
    assert_eq!(take(&mut classifier, 5, &up(1, 9, SYN, &[], b"")), first);
    // The server challenges a SYN while it knows the connection. Only what completes a new handshake begins another.
    assert_eq!(take(&mut classifier, 5, &up(1, 100_900, SYN, &[], b"")), None);
    assert_eq!(take(&mut classifier, 5, &up(1, 10, ACK, &[], REQUEST)), first);
    assert_eq!(take(&mut classifier, 5, &up(1, 100_900, SYN, &[], b"")), None);
    let second = take(&mut classifier, 5, &up(1, 100_901, ACK, &[], REQUEST));
    assert!(first.is_some() && second > first);
    assert_eq!(classifier.counters().get(Counter::ReplacedOpen), 1);
    let end = 100_901 + u32::try_from(REQUEST.len()).unwrap();
    assert_eq!(take(&mut classifier, 6, &up(1, end, FIN | ACK, &[], b"")), second);
    assert_eq!(take(&mut classifier, 7, &up(1, end + 1, ACK, &[], b"late")), second);
    let counts = [Counter::Closed, Counter::AfterEnd, Counter::Challenged];
    assert_eq!(counts.map(|counter| classifier.counters().get(counter)), [1, 1, 2]);
}

#[test]
fn connections_are_bounded() {
    let mut classifier = classifier(&[], true);
    for port in 1..=4 {
        handed_on(&mut classifier, &packet(1, &up(port, 10, ACK, &[], REQUEST)));
    }
    let end = 10 + u32::try_from(REQUEST.len()).unwrap();
    handed_on(&mut classifier, &packet(1, &up(3, end, FIN | ACK, &[], b"")));
    for port in 5..=6 {
        handed_on(&mut classifier, &packet(1, &up(port, 10, ACK, &[], REQUEST)));
    }
    // Four connections were dropped. The last of them had ended, so it does not count.
    assert_eq!((classifier.flows.len(), classifier.evicted()), (2, 3));
}

/// Sets the TCP checksum of a packet without IP options.
fn with_checksum(mut packet: Vec<u8>) -> Vec<u8> {
    let len = u8::try_from(packet.len() - 20).unwrap();
    let pseudo = [&packet[12..20], &[0, 6, 0, len]].concat();
    let words = [&pseudo[..], &packet[20..]].concat();
    let sum: u32 =
        words.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    let checksum = !u16::try_from((folded >> 16) + (folded & 0xffff)).unwrap();
    packet[36..38].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[test]
fn nothing_follows_from_a_wrong_checksum() {
    let mut classifier = classifier(&["120.120.111.111"], false);
    let mut take =
        |packet: Vec<u8>| handed_on(&mut classifier, &self::packet(1, &packet)).map(|it| it.payload.len());
    let next = 10 + u32::try_from(REQUEST.len()).unwrap();
    let forged = |flags, seq, options: &[u8]| {
        let mut packet = with_checksum(up(1, seq, flags, options, b""));
        packet[37] ^= 0x55;
        packet
    };
    take(with_checksum(up(1, 10, ACK, &TOA, REQUEST)));
    // It is handed on, to be counted.
    for flags in [RST, FIN | ACK, SYN] {
        assert_eq!(take(forged(flags, next, &[])), Some(0));
    }
    assert_eq!(take(forged(ACK, next, &OTHER_TOA)), Some(0));
    take(forged(SYN, 900, &TOA));
    take(forged(ACK, 901, &TOA));
    assert_eq!(take(with_checksum(up(1, next, ACK, &[], REQUEST))), Some(REQUEST.len()));
    let counters = [Counter::Closed, Counter::Challenged, Counter::Conflict, Counter::Reopened];
    assert_eq!(counters.map(|counter| classifier.counters().get(counter)), [0; 4]);
}

#[test]
fn the_pipeline_is_told_which_wrong_checksums_are_refused() {
    let mut classifier = classifier(&["120.120.111.111"], false);
    let checksum = |classifier: &mut Classifier, bytes: &[u8]| {
        handed_on(classifier, &packet(1, bytes)).map(|segment| segment.details.checksum)
    };
    let right = with_checksum(up(1, 10, ACK, &TOA, REQUEST));
    let mut wrong = right.clone();
    wrong[37] ^= 0x55;
    assert_eq!(
        checksum(&mut classifier, &wrong),
        Some(Checksum::Wrong),
        "of a source that never sends right ones"
    );
    // The pipeline does not see this one, but it is enough.
    assert_eq!(checksum(&mut classifier, &with_checksum(up(1, 10, ACK, &TOA, b""))), None);
    assert_eq!(checksum(&mut classifier, &wrong), Some(Checksum::Refused));
    assert_eq!(checksum(&mut classifier, &right), Some(Checksum::Right));
    // Nothing is handed on of a client that is not watched.
    let mut other = self::classifier(&["192.0.2.5"], false);
    checksum(&mut other, &with_checksum(up(1, 10, ACK, &TOA, b"")));
    assert_eq!(checksum(&mut other, &wrong), None);
}

#[test]
fn payload_that_was_not_captured_is_cut() {
    let mut classifier = classifier(&["any"], false);
    let bytes = [up(1, 10, ACK, &TOA, REQUEST), vec![0xaa; 6]].concat();
    let whole = packet(1, &bytes);
    let segment = handed_on(&mut classifier, &whole).unwrap();
    assert_eq!((segment.payload, segment.cut_bytes(), segment.interface_index), (REQUEST, 0, 3));
    let cut = Packet { bytes: &bytes[..52], ..whole };
    let segment = handed_on(&mut classifier, &cut).unwrap();
    assert_eq!((segment.payload, segment.cut_bytes()), (&REQUEST[..4], REQUEST.len() as u64 - 4));
    let ledger = classifier.counters().ledger();
    assert_eq!((ledger.cut_packets, ledger.cut_bytes), (1, REQUEST.len() as u64 - 4));
    assert_eq!(ledger.matched_bytes, ledger.emitted_bytes + ledger.cut_bytes);
}

#[test]
fn what_is_passed_is_counted() {
    let mut classifier = classifier(&["any"], false);
    let mut fragment = up(1, 10, ACK, &TOA, REQUEST);
    fragment[7] = 1;
    for bytes in [&fragment[..], &fragment[..19], &[0x45], b""] {
        assert!(handed_on(&mut classifier, &packet(1, bytes)).is_none());
    }
    let counts = [Counter::Fragment, Counter::Truncated].map(|counter| classifier.counters().get(counter));
    assert_eq!(counts, [1, 3]);
    assert_eq!(SkipReason::from_code(3), Some(SkipReason::Fragment));
}

#[test]
fn every_link_type_leads_to_the_same_packet() {
    let ip = up(1, 10, ACK, &TOA, REQUEST);
    let ethernet = [0; 12];
    let (v4, vlan) = ([8, 0], [0x81, 0, 0, 7]);
    for (link, header) in [
        (101, vec![]),
        (0, vec![2, 0, 0, 0]),
        (108, vec![0, 0, 0, 2]),
        (1, [&ethernet[..], &v4].concat()),
        (1, [&ethernet[..], &vlan, &v4].concat()),
        (113, [&[0; 14][..], &v4].concat()),
        (113, [&[0; 14][..], &vlan, &v4].concat()),
        (276, [&v4[..], &[0; 18]].concat()),
        (276, [&vlan[..2], &[0; 18], &vlan[2..], &v4].concat()),
    ] {
        let bytes = [&header[..], &ip].concat();
        let link = LinkType::from_number(link).unwrap();
        let mut classifier = classifier(&["any"], false);
        let whole = Packet { link, ..packet(1, &bytes) };
        assert_eq!(handed_on(&mut classifier, &whole).unwrap().payload, REQUEST, "{link:?} {header:?}");
        for len in 0..bytes.len() {
            // Must not panic at any length.
            let _ =
                handed_on(&mut self::classifier(&["any"], false), &Packet { bytes: &bytes[..len], ..whole });
        }
    }
    let arp = [&[0; 14][..], &[8, 6], &ip].concat();
    let mut classifier = classifier(&["any"], false);
    assert!(handed_on(&mut classifier, &Packet { link: LinkType::Cooked, ..packet(1, &arp) }).is_none());
    assert_eq!(classifier.counters().get(Counter::NotIp), 1);
}
