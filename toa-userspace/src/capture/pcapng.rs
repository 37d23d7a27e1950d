//! Sections and interfaces of pcapng files. [`super::reader`] splits a file into blocks.

use std::sync::{Arc, Mutex, PoisonError};

use pcap_parser::{InterfaceDescriptionBlock, OptionCode};

use super::{
    error::CaptureError,
    limits::{MAX_INTERFACES, MAX_NAME_BYTES},
    link::LinkType,
};
use crate::print::escape::Escaped;

/// Timestamp units per second, unless an interface sets others (`if_tsresol`).
const MICROSECONDS: u128 = 1_000_000;

/// Nanoseconds per second.
const SECOND_NS: i128 = 1_000_000_000;

/// The names of the interfaces of a file, as far as it has been read. Clones share the same list.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Vec<Option<Vec<u8>>>>>);

impl Names {
    /// Returns the name of the interface with this number within the file. It is escaped, because the author of the
    /// file chose it.
    pub fn get(&self, interface: u32) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names.get(usize::try_from(interface).ok()?)?.as_deref()?;
        Some(Escaped(name).to_string())
    }

    /// Adds the name of the next interface and returns its number.
    fn add(&self, name: Option<Vec<u8>>) -> Result<u32, CaptureError> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_INTERFACES {
            return Err(CaptureError::TooManyInterfaces);
        }
        names.push(name);
        Ok(u32::try_from(names.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }
}

/// An interface of a pcapng section, or the only one of a pcap file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    /// Its number within the file.
    pub(super) number: u32,
    /// The number of its link type. An unsupported one is an error only if the interface has packets.
    link_type: u16,
    /// Maximum number of captured bytes per packet; 0 means no limit.
    snaplen: u32,
    /// Timestamp units per second.
    resolution: u128,
    /// Seconds to add to timestamps.
    offset_s: i64,
}

impl Interface {
    /// Returns the single interface of a pcap file.
    pub(super) fn only(link_type: u16) -> Self {
        Self { number: 0, link_type, snaplen: 0, resolution: MICROSECONDS, offset_s: 0 }
    }

    /// Reads a description and adds its name to `names`. Returns `None` if it is malformed.
    pub(super) fn read(
        block: &InterfaceDescriptionBlock<'_>,
        big_endian: bool,
        names: &Names,
    ) -> Result<Option<Self>, CaptureError> {
        let option = |code| {
            block.options.iter().find(|option| option.code == code).and_then(|option| option.as_bytes().ok())
        };
        let resolution = option(OptionCode::IfTsresol).and_then(|value| value.first().copied());
        let resolution = resolution.map_or(Some(MICROSECONDS), units);
        // `pcap-parser` always reads this option as little-endian.
        let offset_s =
            option(OptionCode::IfTsoffset).and_then(|value| value.first_chunk()).map_or(0, |value| {
                if big_endian { i64::from_be_bytes(*value) } else { i64::from_le_bytes(*value) }
            });
        let (Some(resolution), Ok(link_type)) = (resolution, u16::try_from(block.linktype.0)) else {
            return Ok(None);
        };
        let name = option(OptionCode::IfName).map(|name| name.get(..MAX_NAME_BYTES).unwrap_or(name).to_vec());
        let number = names.add(name)?;
        Ok(Some(Self { number, link_type, snaplen: block.snaplen, resolution, offset_s }))
    }

    /// Returns what its packets begin with.
    pub(super) fn link(&self) -> Result<LinkType, CaptureError> {
        LinkType::from_number(self.link_type).ok_or(CaptureError::LinkType { number: self.link_type })
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
        Interface { resolution: units(resolution).unwrap(), offset_s, ..Interface::only(1) }
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
