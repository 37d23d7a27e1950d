//! Responsible for what a run chooses before its program is loaded: options that are TOA, local ports, whether
//! balancers are restricted. Not responsible for what is watched: that changes while a run goes on.
//!
//! For the eBPF program this is memory that user space fills before loading and that nobody writes afterwards. So
//! everything is read volatile, or the compiler would put in what stands in the object; and the verifier, which
//! knows the values, leaves out whatever a run does not use.

use core::ptr::read_volatile;

use crate::{
    verifier::masked,
    wire::toa_pairs::{Class, ToaPairs},
};

/// Ports as a set: a bit for each value of the two bytes, as they lie in a header.
type Ports = [u64; 1024];

/// What a run chooses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Config {
    /// The local ports of interest, if not all are.
    server_ports: Ports,
    /// What counts as TOA.
    pairs: ToaPairs,
    /// A set of [`bits`].
    bits: u32,
    #[doc(hidden)]
    _unused: u32,
}

const _: () = assert!(size_of::<Config>() == 8192 + 2048 + 8);

/// Bits of [`Config`].
mod bits {
    /// Of several TOA the last one is taken, not the first.
    pub(super) const PICK_LAST: u32 = 1;
    /// Only some local ports are of interest.
    pub(super) const SERVER_PORTS: u32 = 1 << 1;
    /// Only some sources may write TOA.
    pub(super) const BALANCERS: u32 = 1 << 2;
}

impl Config {
    /// The usual options, the first of several, any port, any source.
    pub const DEFAULT: Self = Self { server_ports: [0; 1024], pairs: ToaPairs::DEFAULT, bits: 0, _unused: 0 };

    /// With other options that count as TOA.
    #[must_use]
    pub fn with_pairs(self, pairs: ToaPairs) -> Self {
        Self { pairs, ..self }
    }

    /// With the last of several TOA taken, not the first.
    #[must_use]
    pub fn picking_last(self) -> Self {
        Self { bits: self.bits | bits::PICK_LAST, ..self }
    }

    /// With TOA believed from some sources only; which, the host knows.
    #[must_use]
    pub fn with_balancers(self) -> Self {
        Self { bits: self.bits | bits::BALANCERS, ..self }
    }

    /// With one more local port of interest; without any, all are.
    #[must_use]
    pub fn with_server_port(mut self, port: u16) -> Self {
        let (word, bit) = place(port.to_be());
        if let Some(word) = self.server_ports.get_mut(word) {
            *word |= bit;
        }
        self.bits |= bits::SERVER_PORTS;
        self
    }

    /// What counts as TOA.
    pub fn pairs(&self) -> &ToaPairs {
        &self.pairs
    }

    /// The class of an option of `kind` and `length`.
    #[inline(always)]
    pub(crate) fn class_of(&self, kind: u8, length: u8) -> Class {
        self.pairs.class_of(kind, length)
    }

    /// Whether the last of several TOA is taken.
    #[inline(always)]
    pub(crate) fn picks_last(&self) -> bool {
        self.has(bits::PICK_LAST)
    }

    /// Whether only some local ports are of interest.
    #[inline(always)]
    pub fn restricts_ports(&self) -> bool {
        self.has(bits::SERVER_PORTS)
    }

    /// Whether TOA is believed from some sources only.
    #[inline(always)]
    pub fn restricts_balancers(&self) -> bool {
        self.has(bits::BALANCERS)
    }

    /// Whether packets to a local port, in network order, are of interest.
    #[inline(always)]
    pub fn serves(&self, port_be: u16) -> bool {
        if !self.restricts_ports() {
            return true;
        }
        let (word, bit) = place(port_be);
        // SAFETY: `place` is within the array.
        unsafe { read_volatile(self.server_ports.as_ptr().add(word)) & bit != 0 }
    }

    #[inline(always)]
    fn has(&self, bit: u32) -> bool {
        // SAFETY: a reference is valid to read.
        unsafe { read_volatile(&raw const self.bits) & bit != 0 }
    }
}

/// The word and the bit of a port.
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
