use proptest::prelude::*;
use toa_common::{
    address::Address,
    attribution::{LearnedFrom, flags},
    plaintext::PlaintextRecord,
    wire::tcp::{ACK, SYN},
};

use super::{checksum::Checksum, plaintext::Plaintext, *};

/// Returns the client 120.120.111.111:44208, from a SYN.
pub(crate) fn attribution(flags: u8) -> Attribution {
    Attribution {
        address: Address::from_ipv4(&[120, 120, 111, 111]),
        port_be: 44208_u16.to_be(),
        toa_kind: 254,
        toa_length: 8,
        learned_from: LearnedFrom::Syn as u8,
        flags,
        _unused: 0,
    }
}

/// Returns a segment of the connection `generation`, for tests of the stages after decoding.
pub(crate) fn segment(generation: u64, seq: u32, payload: &[u8]) -> Segment<'_> {
    Segment {
        key: FlowKey {
            source: Address::from_ipv4(&[10, 9, 0, 1]),
            destination: Address::from_ipv4(&[10, 9, 0, 2]),
            ports: u32::from_ne_bytes([0x92, 0xe8, 0, 80]),
        },
        generation,
        time_ns: 0,
        interface_index: 2,
        attribution: attribution(0),
        seq: Seq(seq),
        flags: ACK,
        // So that a SYN may carry payload.
        details: Details { is_fast_open: true, ..Details::default() },
        start: Start::Unknown,
        is_stray: false,
        is_doubtful: false,
        payload,
        payload_len: u32::try_from(payload.len()).unwrap(),
        left_out: None,
    }
}

const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// A TCP header with one TOA.
const TCP: usize = 28;

/// Returns an Ethernet frame with IPv4, TCP and a TOA, and the record that belongs to it.
fn sample(payload: &[u8], captured_of_payload: usize) -> (SegmentRecord, Vec<u8>) {
    let total_len = u16::try_from(IPV4 + TCP + payload.len()).unwrap();
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0]);
    frame.extend(total_len.to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend([10, 9, 0, 1, 10, 9, 0, 2]);
    frame.extend([0x92, 0xe8, 0, 80]);
    frame.extend(0xffff_fff0_u32.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0x70, ACK | SYN, 0, 0, 0, 0, 0, 0]);
    frame.extend([254, 8, 0xac, 0xb0, 120, 120, 111, 111]);
    let headers = frame.len();
    assert_eq!(headers, ETHERNET + IPV4 + TCP);
    frame.extend(payload);
    let record = SegmentRecord {
        time_ns: 1_000,
        generation: 77,
        attribution: attribution(flags::PROVISIONAL | flags::MULTIPLE),
        frame_len: u32::try_from(frame.len()).unwrap(),
        captured_len: u32::try_from(headers + captured_of_payload).unwrap(),
        payload_len: u32::try_from(payload.len()).unwrap(),
        interface_index: 3,
        payload_offset: u16::try_from(headers).unwrap(),
        vlan_tci: 0,
        gso_segments: 0,
        transport_offset: u8::try_from(ETHERNET + IPV4).unwrap(),
        network_offset: u8::try_from(ETHERNET).unwrap(),
        start_seq: 0xffff_fff1,
        flags: flow_flags::START_KNOWN,
        body_state: 0,
        body_digits: 0,
        body_seq: 0,
        body_size: 0,
    };
    frame.truncate(headers + captured_of_payload);
    (record, frame)
}

/// Returns the bytes of a record, laid out as its documentation says, followed by `frame`.
fn bytes_of(record: &SegmentRecord, frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(record.time_ns.to_ne_bytes());
    bytes.extend(record.generation.to_ne_bytes());
    let Attribution { address, port_be, toa_kind, toa_length, learned_from, flags, .. } = record.attribution;
    bytes.extend(address.octets());
    bytes.extend(port_be.to_ne_bytes());
    bytes.extend([toa_kind, toa_length, learned_from, flags, 0, 0]);
    for word in [record.frame_len, record.captured_len, record.payload_len, record.interface_index] {
        bytes.extend(word.to_ne_bytes());
    }
    for half in [record.payload_offset, record.vlan_tci, record.gso_segments] {
        bytes.extend(half.to_ne_bytes());
    }
    bytes.extend([record.transport_offset, record.network_offset]);
    bytes.extend(record.start_seq.to_ne_bytes());
    bytes.extend(record.flags.to_ne_bytes());
    bytes.extend([record.body_state, record.body_digits]);
    bytes.extend(record.body_seq.to_ne_bytes());
    bytes.extend(record.body_size.to_ne_bytes());
    assert_eq!(bytes.len(), SegmentRecord::LEN);
    bytes.extend(frame);
    bytes
}

/// Returns a whole sample, for tests of the pipeline.
pub(crate) fn sample_bytes(payload: &[u8]) -> Vec<u8> {
    let (record, mut frame) = sample(payload, payload.len());
    // A SYN without Fast Open carries no payload that counts.
    let tcp = &mut frame[ETHERNET + IPV4..];
    tcp[4..8].copy_from_slice(&record.start_seq.to_be_bytes());
    tcp[13] = ACK;
    bytes_of(&record, &frame)
}

#[test]
fn a_sample_is_read_from_its_frame() {
    let (record, frame) = sample(b"hello", 5);
    let mut bytes = bytes_of(&record, &frame);
    bytes.extend([0xaa; 7]);
    let read = Segment::decode(&bytes, 5_000).unwrap();
    let expected = Segment {
        generation: 77,
        time_ns: 6_000,
        interface_index: 3,
        attribution: attribution(flags::PROVISIONAL | flags::MULTIPLE),
        flags: ACK | SYN,
        details: Details { checksum: Checksum::Wrong, ..Details::default() },
        start: Start::Known(Seq(0xffff_fff1)),
        ..segment(0, 0xffff_fff0, b"hello")
    };
    assert_eq!(read, expected);
}

#[test]
fn data_that_named_nobody_shows_no_start() {
    let (record, frame) = sample(b"hello", 5);
    let start = |flags, toa_length| {
        let attribution = Attribution { toa_length, ..record.attribution };
        let record = SegmentRecord { flags, attribution, ..record };
        Segment::decode(&bytes_of(&record, &frame), 0).unwrap().start
    };
    let first = Seq(0xffff_fff1);
    assert_eq!(start(flow_flags::START_KNOWN, 0), Start::Known(first));
    assert_eq!(start(flow_flags::START_DATA, 8), Start::Data(first));
    assert_eq!([start(flow_flags::START_DATA, 0), start(0, 8)], [Start::Unknown; 2]);
}

#[test]
fn what_was_cut_is_known() {
    let (record, frame) = sample(b"hello", 2);
    let bytes = bytes_of(&record, &frame);
    let read = Segment::decode(&bytes, 0).unwrap();
    assert_eq!((read.payload, read.payload_len, read.cut_bytes()), (&b"he"[..], 5, 3));
}

#[test]
fn padding_of_the_link_layer_is_no_payload() {
    let (mut record, mut frame) = sample(b"a", 1);
    frame.extend([0; 9]);
    record.frame_len += 9;
    record.captured_len += 9;
    let bytes = bytes_of(&record, &frame);
    assert_eq!(Segment::decode(&bytes, 0).unwrap().payload, b"a");
}

#[test]
fn contradictions_are_errors() {
    let (good, frame) = sample(b"hello", 5);
    let error = |change: fn(&mut SegmentRecord)| {
        let mut record = good;
        change(&mut record);
        Segment::decode(&bytes_of(&record, &frame), 0).unwrap_err()
    };
    let found = frame.len();
    let captured_len = good.captured_len + 1;
    assert_eq!(
        error(|record| record.captured_len += 1),
        SegmentError::FrameTooShort { captured_len, frame_len: good.frame_len }
    );
    assert_eq!(
        error(|record| (record.captured_len, record.frame_len) = (record.captured_len + 1, 999)),
        SegmentError::FrameMissing { captured_len, found }
    );
    assert_eq!(
        error(|record| record.payload_len += 1),
        SegmentError::Contradiction { field: "payload length", record: 6, frame: 5 }
    );
    assert_eq!(
        error(|record| record.transport_offset = 0),
        SegmentError::Contradiction { field: "transport offset", record: 0, frame: 34 }
    );
    assert_eq!(
        error(|record| record.network_offset = 255),
        SegmentError::Headers { network_offset: 255, reason: SkipReason::Truncated }
    );
    assert_eq!(
        error(|record| record.network_offset = 0),
        SegmentError::Headers { network_offset: 0, reason: SkipReason::NotIp }
    );
    assert_eq!(error(|record| record.attribution.learned_from = 9), SegmentError::LearnedFrom { byte: 9 });
    assert_eq!(Segment::decode(&[0; 71], 0), Err(SegmentError::NoRecord { len: 71 }));
}

proptest! {
    #[test]
    fn no_sample_is_trusted(
        len in 0_usize..200,
        changes in prop::collection::vec((0_usize..200, any::<u8>()), 0..6),
    ) {
        let mut bytes = sample_bytes(&[b'x'; 60]);
        for (at, byte) in changes {
            let len = bytes.len();
            bytes[at % len] = byte;
        }
        bytes.truncate(len);
        if let Ok(segment) = Segment::decode(&bytes, u64::MAX) {
            prop_assert!(segment.payload.len() <= segment.payload_len as usize);
        }
    }

    #[test]
    fn no_bytes_are_trusted(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Segment::decode(&bytes, 0);
    }
}

#[test]
fn plaintext_is_a_segment_of_a_stream_that_begins_at_0() {
    let mut sample = vec![0; PlaintextRecord::LEN];
    sample[..8].copy_from_slice(&1000_u64.to_ne_bytes());
    sample[8..16].copy_from_slice(&77_u64.to_ne_bytes());
    sample[36] = LearnedFrom::Syn as u8;
    sample[40..48].copy_from_slice(&((1_u64 << 32) + 9).to_ne_bytes());
    sample[48..52].copy_from_slice(&5_u32.to_ne_bytes());
    sample[52..56].copy_from_slice(&3_u32.to_ne_bytes());
    sample[68] = 1;
    sample.extend(b"GETpadd");
    let Plaintext { segment, is_end } = Plaintext::decode(&sample, 10).unwrap();
    assert_eq!((segment.payload, segment.payload_len, segment.cut_bytes()), (&b"GET"[..], 5, 2));
    assert_eq!((segment.seq, segment.start, is_end), (Seq(9), Start::Known(Seq(0)), false));
    assert_eq!((segment.time_ns, segment.generation), (1010, 77));
    sample[68] = 2;
    let Plaintext { segment, is_end } = Plaintext::decode(&sample, 10).unwrap();
    assert_eq!((segment.start, is_end), (Start::Unknown, true));
    sample[52] = 6;
    assert_eq!(
        Plaintext::decode(&sample, 0),
        Err(SegmentError::FrameTooShort { captured_len: 6, frame_len: 5 })
    );
    assert!(Plaintext::decode(&sample[..100], 0).is_err());
}
