//! The settings that are fixed when a run loads its program: which options are TOA, which local ports are of interest,
//! and whether only some balancers are trusted. The rules can change during a run, so they are in maps instead (see
//! [`crate::maps`]).
//!
//! User space writes the settings before it loads the eBPF program, and they do not change afterwards. They are read
//! with volatile loads, because the compiler would otherwise fold the values that are in the object. The verifier knows
//! the loaded values and removes the code that a run does not use.

use core::ptr::read_volatile;

use crate::{
    verifier::masked,
    wire::toa_pairs::{Class, ToaPairs},
};

/// A set of ports, with one bit for each port number in network order.
type Ports = [u64; 1024];

/// The settings of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Config {
    /// The local ports of interest, unless all are.
    server_ports: Ports,
    /// The options that count as TOA.
    pairs: ToaPairs,
    /// A set of [`bits`].
    bits: u32,
    #[doc(hidden)]
    _unused: u32,
}

const _: () = assert!(size_of::<Config>() == 8192 + 2048 + 8);

/// Bits of [`Config`].
mod bits {
    /// The last of several TOA is used, not the first.
    pub(super) const PICK_LAST: u32 = 1;
    /// Only some local ports are of interest.
    pub(super) const SERVER_PORTS: u32 = 1 << 1;
    /// TOA is trusted from some sources only.
    pub(super) const BALANCERS: u32 = 1 << 2;
    /// Connections whose client nothing names are followed, too.
    pub(super) const ANY_FLOW: u32 = 1 << 3;
    /// Packets are copied whole, bodies included.
    pub(super) const WHOLE: u32 = 1 << 4;
}

impl Config {
    /// The default TOA options, the first of several TOA, any local port, any source.
    pub const DEFAULT: Self = Self { server_ports: [0; 1024], pairs: ToaPairs::DEFAULT, bits: 0, _unused: 0 };

    /// Sets the options that count as TOA.
    #[must_use]
    pub fn with_pairs(self, pairs: ToaPairs) -> Self {
        Self { pairs, ..self }
    }

    /// Uses the last of several TOA, not the first.
    #[must_use]
    pub fn picking_last(self) -> Self {
        Self { bits: self.bits | bits::PICK_LAST, ..self }
    }

    /// Trusts TOA from some sources only. The list of them is not part of the settings.
    #[must_use]
    pub fn with_balancers(self) -> Self {
        Self { bits: self.bits | bits::BALANCERS, ..self }
    }

    /// Follows connections whose client nothing names, too: to the ports of interest, from the trusted sources. The rules
    /// are then left to user space, which learns of names that are not in a TOA.
    #[must_use]
    pub fn following_any(self) -> Self {
        Self { bits: self.bits | bits::ANY_FLOW, ..self }
    }

    /// Copies packets whole, bodies included.
    #[must_use]
    pub fn copying_whole(self) -> Self {
        Self { bits: self.bits | bits::WHOLE, ..self }
    }

    /// Adds a local port of interest. If none is added, all ports are of interest.
    #[must_use]
    pub fn with_server_port(mut self, port: u16) -> Self {
        let (word, bit) = place(port.to_be());
        if let Some(word) = self.server_ports.get_mut(word) {
            *word |= bit;
        }
        self.bits |= bits::SERVER_PORTS;
        self
    }

    /// Returns the options that count as TOA.
    pub fn pairs(&self) -> &ToaPairs {
        &self.pairs
    }

    /// Returns the class of an option of `kind` and `length`.
    #[inline(always)]
    pub(crate) fn class_of(&self, kind: u8, length: u8) -> Class {
        self.pairs.class_of(kind, length)
    }

    /// Returns whether the last of several TOA is used.
    #[inline(always)]
    pub fn picks_last(&self) -> bool {
        self.has(bits::PICK_LAST)
    }

    /// Returns whether only some local ports are of interest.
    #[inline(always)]
    pub fn restricts_ports(&self) -> bool {
        self.has(bits::SERVER_PORTS)
    }

    /// Returns whether TOA is trusted from some sources only.
    #[inline(always)]
    pub fn restricts_balancers(&self) -> bool {
        self.has(bits::BALANCERS)
    }

    /// Returns whether connections whose client nothing names are followed, too.
    #[inline(always)]
    pub fn follows_any(&self) -> bool {
        self.has(bits::ANY_FLOW)
    }

    /// Returns whether packets are copied whole, bodies included.
    #[inline(always)]
    pub fn copies_whole(&self) -> bool {
        self.has(bits::WHOLE)
    }

    /// Returns whether packets to a local port, in network order, are of interest.
    #[inline(always)]
    pub fn serves(&self, port_be: u16) -> bool {
        if !self.restricts_ports() {
            return true;
        }
        let (word, bit) = place(port_be);
        // SAFETY: `place` returns an index of at most 1023, and the array has 1024 words.
        unsafe { read_volatile(self.server_ports.as_ptr().add(word)) & bit != 0 }
    }

    #[inline(always)]
    fn has(&self, bit: u32) -> bool {
        // SAFETY: a reference is valid for reads.
        unsafe { read_volatile(&raw const self.bits) & bit != 0 }
    }
}

/// Returns the index of a port's word, and the port's bit in that word.
#[inline(always)]
fn place(port_be: u16) -> (usize, u64) {
    (masked::<1023>(u32::from(port_be) >> 6), 1 << (port_be & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ports_all_are_served() {
        assert!((0..=u16::MAX).all(|port| Config::DEFAULT.serves(port)));
    }

    #[test]
    fn only_the_ports_asked_for_are_served() {
        let wanted = [0, 80, 443, 8080, 65535];
        let config = wanted.iter().fold(Config::DEFAULT, |config, port| config.with_server_port(*port));
        for port in 0..=u16::MAX {
            assert_eq!(config.serves(port.to_be()), wanted.contains(&port), "{port}");
        }
    }
}
