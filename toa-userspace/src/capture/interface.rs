//! Interfaces of pcapng sections.

use pcap_parser::{InterfaceDescriptionBlock, OptionCode};

use super::{
    link::LinkType,
    names::{Names, UNNAMED},
};

/// Timestamp units per second, unless an interface sets others (`if_tsresol`).
const MICROSECONDS: u128 = 1_000_000;

/// Nanoseconds per second.
const SECOND_NS: i128 = 1_000_000_000;

/// An interface of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    /// The number of its name.
    pub(super) name: u32,
    /// The number of its link type.
    pub(super) link_type: u16,
    /// The beginning of its packets; `None` if the link type is not supported.
    pub(super) link: Option<LinkType>,
    /// Maximum number of captured bytes per packet; 0 means no limit.
    snaplen: u32,
    /// Timestamp units per second.
    resolution: u128,
    /// Seconds to add to timestamps.
    offset_s: i64,
}

impl Interface {
    /// Reads a description and adds its name to `names`. Returns `None` if it is malformed.
    pub(super) fn read(
        block: &InterfaceDescriptionBlock<'_>,
        big_endian: bool,
        names: &Names,
    ) -> Option<Self> {
        let option = |code| {
            block.options.iter().find(|option| option.code == code).and_then(|option| option.as_bytes().ok())
        };
        let resolution = option(OptionCode::IfTsresol).and_then(|value| value.first().copied());
        let resolution = resolution.map_or(Some(MICROSECONDS), units)?;
        // `pcap-parser` always reads this option as little-endian.
        let offset_s =
            option(OptionCode::IfTsoffset).and_then(|value| value.first_chunk()).map_or(0, |value| {
                if big_endian { i64::from_be_bytes(*value) } else { i64::from_le_bytes(*value) }
            });
        let link_type = u16::try_from(block.linktype.0).ok()?;
        Some(Self {
            name: option(OptionCode::IfName).map_or(UNNAMED, |name| names.number(name)),
            link_type,
            link: LinkType::from_number(link_type),
            snaplen: block.snaplen,
            resolution,
            offset_s,
        })
    }

    /// Returns the maximum captured length of a packet of `wire_len` bytes.
    pub(super) fn captured(&self, wire_len: u32) -> u32 {
        if self.snaplen == 0 { wire_len } else { wire_len.min(self.snaplen) }
    }

    /// Converts a timestamp to nanoseconds since the Unix epoch. Times outside of 1970 to 2554 are clamped.
    pub(super) fn time_ns(&self, high: u32, low: u32) -> u64 {
        let units = u128::from(high) << 32 | u128::from(low);
        let since_offset = units.saturating_mul(SECOND_NS.unsigned_abs()) / self.resolution.max(1);
        let offset_ns = i128::from(self.offset_s).saturating_mul(SECOND_NS);
        let time_ns = i128::try_from(since_offset).unwrap_or(i128::MAX).saturating_add(offset_ns);
        u64::try_from(time_ns.max(0)).unwrap_or(u64::MAX)
    }
}

/// Returns the units per second: a power of 10 or, if the highest bit is set, of 2 (pcapng section 4.2, `if_tsresol`).
fn units(resolution: u8) -> Option<u128> {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10_u128.checked_pow(exponent) } else { 1_u128.checked_shl(exponent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(resolution: u8, offset_s: i64) -> Interface {
        let resolution = units(resolution).unwrap();
        Interface { name: UNNAMED, link_type: 1, link: None, snaplen: 0, resolution, offset_s }
    }

    #[test]
    fn times_have_the_resolution_and_offset_of_their_interface() {
        assert_eq!(interface(6, 0).time_ns(0, 1_500_000), 1_500_000_000);
        assert_eq!(interface(9, 0).time_ns(1, 5), (1 << 32) + 5);
        assert_eq!(interface(0, -3).time_ns(0, 10), 7_000_000_000);
        assert_eq!(interface(0x8a, 2).time_ns(0, 1536), 3_500_000_000);
    }

    #[test]
    fn times_out_of_range_are_the_nearest_that_can_be_told() {
        assert_eq!(interface(6, i64::MIN).time_ns(0, 1), 0);
        assert_eq!(interface(0, i64::MAX).time_ns(u32::MAX, 1), u64::MAX);
        assert_eq!(interface(38, 0).time_ns(u32::MAX, 1), 0);
        assert_eq!(interface(0xff, 0).time_ns(u32::MAX, 1), 0);
        assert_eq!(units(39), None);
    }
}
