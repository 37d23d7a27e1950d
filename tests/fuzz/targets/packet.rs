//! Frames of several connections. The classifier of `toa-tc read` follows them, and the shared code must read
//! the same from each frame as the tests' oracle.
//!
//! The first byte of an input selects the TOA layouts, which TOA counts, and the watched clients. Frames follow, each
//! preceded by its length in two bytes, little-endian.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_common::{
    config::Config,
    tcp_packet::SegmentKind,
    wire::toa_pairs::{KNOWN_PAIRS, ToaPairs},
};
use toa_packets::{
    observation::Observation,
    oracle::options::{USUAL, Wanted},
    selection,
};
use toa_userspace::{
    capture::{
        LinkType, Packet,
        classifier::{Classifier, Selection},
    },
    rule::Rule,
};

fuzz_target!(|input: &[u8]| {
    let [choice, frames @ ..] = input else {
        return;
    };
    let wanted =
        Wanted { pairs: if choice & 1 == 0 { USUAL.pairs } else { &KNOWN_PAIRS }, last: choice & 2 != 0 };
    let config = Config::DEFAULT.with_pairs(ToaPairs::new(wanted.pairs));
    let config = if wanted.last { config.picking_last() } else { config };
    let rule = if choice & 4 == 0 { Rule::Any } else { Rule::Address([203, 0, 113, 9].into()) };
    let mut classifier = Classifier::new(Selection { rules: vec![rule], ..selection::with_config(config) });
    let (mut rest, mut time_ns) = (frames, 1);
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (frame, behind) = behind.split_at(length);
        rest = behind;
        let (shared, second) = (Observation::shared(frame, &config), Observation::second(frame, wanted));
        assert!(shared.is_ok() && second.is_ok(), "{shared:?}, {second:?}: {frame:02x?}");
        assert_eq!(shared.ok().and_then(Result::ok), second.ok().flatten(), "{frame:02x?}");
        time_ns += 1;
        let wire_len = u32::try_from(length).unwrap_or(u32::MAX);
        let packet =
            Packet { time_ns, interface: 0, link: LinkType::Ethernet, bytes: frame, wire_len, comment: None };
        if let Ok(classified) = classifier.classify(&packet) {
            let inspected = classified.inspected;
            let is_followed = classifier.flow(&inspected.tcp.key).is_some();
            // If all clients are watched, a TOA in a client's packet teaches a connection.
            let teaches = !matches!(inspected.segment_kind(), SegmentKind::SynAck | SegmentKind::Rst);
            let is_taught = rule == Rule::Any && inspected.toa.is_some() && teaches;
            assert!(is_followed || !is_taught, "{inspected:?}");
            assert!(is_followed || classified.segment.is_none(), "{inspected:?}");
        }
    }
});
