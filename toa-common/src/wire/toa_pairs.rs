//! The pairs of kind and length by which options are recognised as TOA.

use crate::verifier::black_box;

/// Length of the option with an IPv4 address, in bytes.
pub const LENGTH_IPV4: u8 = 8;
/// Length of the option with an IPv6 address, in bytes.
pub const LENGTH_IPV6: u8 = 20;
/// Length of the option with nothing but an IPv4 address, in bytes.
pub const LENGTH_IPV4_WITHOUT_PORT: u8 = 6;
/// Length of the option with nothing but an IPv6 address, in bytes.
pub const LENGTH_IPV6_WITHOUT_PORT: u8 = 18;

/// Kind of the options with a version in place of the port, which have length 7 or 19.
pub(super) const KIND_WITH_VERSION: u8 = 28;

/// Returns whether a TOA of this kind and length has a version before the address, and no port.
#[inline(always)]
pub const fn has_version(kind: u8, length: u8) -> bool {
    kind == KIND_WITH_VERSION && matches!(length, 7 | 19)
}

/// Returns whether a TOA of this kind and length names a port.
#[inline(always)]
pub const fn has_port(kind: u8, length: u8) -> bool {
    !has_version(kind, length) && !matches!(length, LENGTH_IPV4_WITHOUT_PORT | LENGTH_IPV6_WITHOUT_PORT)
}

/// Known pairs of kind and length that name a client. The index of a pair is its number, and its bit in a `Class`. A
/// run's [`ToaPairs`] selects the pairs that are TOA. Packets with the other known pairs are counted, so that a wrong
/// selection is noticed.
pub const KNOWN_PAIRS: [(u8, u8); 13] = [
    // LVS, DPVS and related balancers.
    (254, LENGTH_IPV4),
    (254, LENGTH_IPV6),
    // LVS v3 and Alibaba.
    (253, LENGTH_IPV6),
    // The first LVS FULLNAT, ip_vs_ca, Jupiter, Tencent Cloud, UCloud.
    (200, LENGTH_IPV4),
    // UCloud.
    (253, LENGTH_IPV4),
    // Alibaba Cloud in a VPC: client and virtual address, IPv4 and IPv6.
    (252, 20),
    (249, 40),
    // Client and virtual address, of the module "toa 3".
    (254, 16),
    // Akamai, CDNs and NetScaler: a version and an address without a port, IPv4 and IPv6.
    (28, 7),
    (28, 19),
    // Declared by Baidu's module, which does not read it.
    (254, 24),
    // F5: nothing but an address, IPv4 and IPv6. Its kind 29 is that of TCP-AO, so it is not known unless selected.
    (28, LENGTH_IPV4_WITHOUT_PORT),
    (28, LENGTH_IPV6_WITHOUT_PORT),
];

/// Maximum number of selected pairs: half the bits of a `Class`. The other half has the known pairs and three more bits.
pub const MAX_PAIRS: usize = 16;

/// Bits of the options that sign a segment: MD5 (RFC 2385) and TCP-AO (RFC 5925). A server without the key discards the
/// segment.
const MD5: Class = 1 << 13;
const TCP_AO: Class = 1 << 14;

/// Bit of a TCP Fast Open cookie (RFC 7413 section 4.1.1).
const FAST_OPEN: Class = 1 << 15;

/// The bits of known pairs.
const KNOWN: Class = MD5 - 1;

const _: () = assert!(1 << KNOWN_PAIRS.len() <= KNOWN + 1);

/// Kind of the MD5 signature.
pub const MD5_KIND: u8 = 19;
/// Kind of TCP-AO.
pub const TCP_AO_KIND: u8 = 29;
/// Kind of a TCP Fast Open cookie.
pub const FAST_OPEN_KIND: u8 = 34;

/// Options that are noted besides those with a client: their kind, their lengths as first, last and step, and their bit.
const NOTED: [(u8, [u8; 3], Class); 3] = [
    (MD5_KIND, [18, 18, 1], MD5),
    (TCP_AO_KIND, [4, 40, 1], TCP_AO),
    (FAST_OPEN_KIND, [6, 18, 2], FAST_OPEN),
];

/// The pairs that are TOA unless a run selects others.
pub const DEFAULT_PAIRS: [(u8, u8); 3] = [(254, LENGTH_IPV4), (254, LENGTH_IPV6), (253, LENGTH_IPV6)];

/// The class of a pair of kind and length. A pair that is TOA has the bit of its index in the selection, in the upper
/// half. A known pair that is not TOA has the bit of its number, in the lower half. The options
/// that sign a segment and a Fast Open cookie have a bit each. Any other pair has 0.
pub(crate) type Class = u32;

/// The pairs of kind and length that are TOA, and the known pairs that are not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct ToaPairs {
    /// For each kind, the combined classes of its pairs.
    kinds: [Class; 256],
    /// For each length, the combined classes of its pairs.
    lengths: [Class; 256],
}

impl ToaPairs {
    /// Kind 254 with both lengths, and kind 253 with the longer one.
    pub const DEFAULT: Self = Self::new(&DEFAULT_PAIRS);

    /// Selects the first [`MAX_PAIRS`] pairs of `selected` as TOA. The known pairs that are not in `selected` have the
    /// bit of their number.
    pub const fn new(selected: &[(u8, u8)]) -> Self {
        let mut this = Self { kinds: [0; 256], lengths: [0; 256] };
        let mut bit = MAX_PAIRS;
        let mut pairs = selected;
        while let [(kind, length), rest @ ..] = pairs
            && bit < 2 * MAX_PAIRS
        {
            this = this.with(*kind, *length, 1 << bit);
            (bit, pairs) = (bit + 1, rest);
        }
        let mut number = 0;
        let mut pairs = KNOWN_PAIRS.as_slice();
        while let [(kind, length), rest @ ..] = pairs {
            if !contains(selected, *kind, *length) {
                this = this.with(*kind, *length, 1 << number);
            }
            (number, pairs) = (number + 1, rest);
        }
        let mut noted = NOTED.as_slice();
        while let [(kind, [first, last, step], class), rest @ ..] = noted {
            let mut length = *first;
            while length <= *last {
                if !contains(selected, *kind, length) {
                    this = this.with(*kind, length, *class);
                }
                length += *step;
            }
            noted = rest;
        }
        this
    }

    #[expect(clippy::indexing_slicing, reason = "a byte is within both tables")]
    const fn with(mut self, kind: u8, length: u8, class: Class) -> Self {
        self.kinds[kind as usize] |= class;
        self.lengths[length as usize] |= class;
        self
    }

    /// Does not note options of this kind, which the server's kernel does not know.
    #[must_use]
    pub fn without_noted(mut self, kind: u8) -> Self {
        if let Some(class) = self.kinds.get_mut(usize::from(kind)) {
            *class &= !(MD5 | TCP_AO | FAST_OPEN);
        }
        self
    }

    /// Returns the pairs that are TOA, in the order of their selection.
    pub fn selected(&self) -> impl Iterator<Item = (u8, u8)> {
        let find = |table: &[Class; 256], bit: Class| {
            (0..=u8::MAX).zip(table).find(|(_, class)| *class & bit != 0).map(|(index, _)| index)
        };
        (MAX_PAIRS..2 * MAX_PAIRS).map_while(move |place| {
            let bit = 1 << place;
            find(&self.kinds, bit).zip(find(&self.lengths, bit))
        })
    }

    /// Returns the class of `kind` with `length`: of all the pairs' bits, only that pair's is set for both.
    ///
    /// The loads are volatile, because the loader of the eBPF program sets other pairs in the object, after the
    /// compiler has seen the values.
    #[inline(always)]
    pub(crate) fn class_of(&self, kind: u8, length: u8) -> Class {
        match read(&self.kinds, kind) {
            // Almost every option.
            0 => 0,
            class => class & read(&self.lengths, length),
        }
    }
}

/// Returns whether `pairs` contains the pair of `kind` and `length`.
const fn contains(mut pairs: &[(u8, u8)], kind: u8, length: u8) -> bool {
    while let [(a, b), rest @ ..] = pairs {
        if *a == kind && *b == length {
            return true;
        }
        pairs = rest;
    }
    false
}

/// Returns 1 if `class` is that of a TOA, and 0 otherwise.
#[inline(always)]
pub(super) fn is_toa(class: Class) -> u32 {
    black_box(u64::from((class >> MAX_PAIRS).wrapping_add(0xffff) >> MAX_PAIRS)) as u32
}

/// Returns one bit for each known pair that is not TOA and is among `classes`.
#[inline(always)]
pub(super) fn unselected(classes: Class) -> u32 {
    classes & KNOWN
}

/// Returns whether a signature is among `classes`.
#[inline(always)]
pub(super) fn is_signed(classes: Class) -> bool {
    classes & (MD5 | TCP_AO) != 0
}

/// Returns whether a Fast Open cookie is among `classes`.
#[inline(always)]
pub(super) fn is_fast_open(classes: Class) -> bool {
    classes & FAST_OPEN != 0
}

/// Returns the entry at `index`.
#[inline(always)]
fn read(table: &[Class; 256], index: u8) -> Class {
    // SAFETY: the table has an entry for every `u8`.
    unsafe { core::ptr::read_volatile(table.as_ptr().add(usize::from(index))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_class() {
        for kind in 0..=255 {
            for length in 0..=255 {
                let expected = match (kind, length) {
                    (254, 8) => 1 << 16,
                    (254, 20) => 1 << 17,
                    (253, 20) => 1 << 18,
                    (200, 8) => 1 << 3,
                    (253, 8) => 1 << 4,
                    (252, 20) => 1 << 5,
                    (249, 40) => 1 << 6,
                    (254, 16) => 1 << 7,
                    (28, 7) => 1 << 8,
                    (28, 19) => 1 << 9,
                    (254, 24) => 1 << 10,
                    (28, 6) => 1 << 11,
                    (28, 18) => 1 << 12,
                    (19, 18) => 1 << 13,
                    (29, 4..=40) => 1 << 14,
                    (34, 6 | 8 | 10 | 12 | 14 | 16 | 18) => 1 << 15,
                    _ => 0,
                };
                assert_eq!(ToaPairs::DEFAULT.class_of(kind, length), expected, "{kind}:{length}");
            }
        }
    }

    #[test]
    fn a_selected_option_is_no_signature() {
        let pairs = ToaPairs::new(&[(29, 6), (29, 18)]);
        let classes = [6, 18, 16].map(|length| pairs.class_of(29, length));
        assert_eq!(classes, [1 << 16, 1 << 17, 1 << 14]);
    }

    #[test]
    fn an_option_that_is_not_noted_has_no_class() {
        let pairs = ToaPairs::DEFAULT.without_noted(TCP_AO_KIND);
        assert_eq!(pairs.class_of(29, 16), 0);
        assert_eq!((pairs.class_of(19, 18), pairs.class_of(254, 8)), (1 << 13, 1 << 16));
    }
}
