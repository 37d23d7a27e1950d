//! Frames of several connections: each is read and decided on, and what is read is what the second opinion of the
//! tests reads.
//!
//! The first byte of an input chooses what counts as TOA and who is watched; then come frames, each behind two bytes
//! with its length, the lower one first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_common::{
    config::Config,
    wire::toa_pairs::{KNOWN_PAIRS, ToaPairs},
};

#[path = "../../src/host.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::large_types_passed_by_value,
    reason = "the tests' own, of which this uses a part"
)]
mod host;
#[path = "../../src/look.rs"]
#[expect(unreachable_pub, reason = "the tests' own")]
mod look;
#[path = "../../src/oracle.rs"]
#[expect(unreachable_pub, reason = "the tests' own")]
mod oracle;

use host::{Choice, Host, Watch};
use look::Look;
use oracle::options::{USUAL, Wanted};

fuzz_target!(|input: &[u8]| {
    let [choice, frames @ ..] = input else {
        return;
    };
    let wanted =
        Wanted { pairs: if choice & 1 == 0 { USUAL.pairs } else { &KNOWN_PAIRS }, last: choice & 2 != 0 };
    let config = Config::DEFAULT.with_pairs(ToaPairs::new(wanted.pairs));
    let config = if wanted.last { config.picking_last() } else { config };
    let watch = if choice & 4 == 0 { Watch::Any } else { Watch::Address([203, 0, 113, 9].into()) };
    let mut host = Host::new(Choice::new(config), watch);
    let mut rest = frames;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (frame, behind) = behind.split_at(length);
        rest = behind;
        let (shared, second) = (Look::shared(frame, &config), Look::second(frame, wanted));
        assert!(shared.is_ok() && second.is_ok(), "{shared:?}, {second:?}: {frame:02x?}");
        assert_eq!(shared.ok().and_then(Result::ok), second.ok().flatten(), "{frame:02x?}");
        if let Ok((inspected, _)) = host.take(frame) {
            let known = host.followed(&inspected).is_some();
            assert!(known || watch != Watch::Any || inspected.toa.length == 0 || !teaches(&inspected));
        }
    }
});

/// Whether a packet with a TOA of a watched client begins the following of its connection.
fn teaches(inspected: &toa_common::inspect::Inspected) -> bool {
    use toa_common::tcp_packet::SegmentKind::{Rst, SynAck};
    !matches!(inspected.segment_kind(), SynAck | Rst)
}
