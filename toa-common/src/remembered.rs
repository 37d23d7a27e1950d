//! What `toa-tc remember` keeps of an open connection: its client.

use crate::{
    address::Address, attribution::Attribution, field::field, tcp_packet::SegmentKind, verifier::black_box,
    wire::toa::Toa,
};

/// Maximum number of packets that are examined after a connection was established. The kernel shows only packets with
/// options that it does not know, and some of those that follow such a packet.
pub const MAX_EXAMINED: u32 = 16;

/// What is kept in a socket's storage. 32 bytes:
///
/// ```text
///  0 attribution        24 packets examined        28 unused
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Remembered {
    /// The client, if a TOA has named it.
    pub attribution: Attribution,
    /// Packets that were examined after the connection was established.
    pub examined: u32,
    #[doc(hidden)]
    pub _unused: u32,
}

const _: () = assert!(size_of::<Remembered>() == 32);

impl Remembered {
    /// Returns the value for no client.
    #[inline(always)]
    pub fn none() -> Self {
        // A zero that is unknown to the compiler, or it would call `memset`, which writes byte by byte.
        let zero = black_box(0);
        let (word, half, byte) = (zero as u32, zero as u16, zero as u8);
        Self {
            attribution: Attribution {
                address: Address([word; 4]),
                port_be: half,
                toa_kind: byte,
                toa_length: byte,
                learned_from: byte,
                flags: byte,
                _unused: half,
            },
            examined: word,
            _unused: word,
        }
    }

    /// Notes the TOA of a packet; what a SYN said is provisional. Returns whether one was noted.
    #[inline(always)]
    pub fn note(&mut self, toa: &Toa, segment: SegmentKind, has_several: bool) -> bool {
        let names = toa.is_some() && segment.names_client();
        if names {
            self.attribution.name(toa, segment, has_several);
        }
        names
    }

    /// Counts a packet that was examined after the connection was established.
    #[inline(always)]
    pub fn count_examined(&mut self) {
        self.examined = self.examined.saturating_add(1);
    }

    /// Returns whether a TOA has named the client.
    #[inline(always)]
    pub fn is_named(&self) -> bool {
        self.attribution.toa_length != 0
    }

    /// Returns whether later packets need not be examined.
    #[inline(always)]
    pub fn is_settled(&self) -> bool {
        (self.is_named() && !self.attribution.is_provisional()) || self.examined >= MAX_EXAMINED
    }
}

/// A connection whose client is remembered, as the iterator reports it. 32 bytes:
///
/// ```text
///  0 cookie of the socket        8 attribution
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RememberedRecord {
    /// The socket's cookie.
    pub cookie: u64,
    /// The client, as a packet named it.
    pub attribution: Attribution,
}

const _: () = assert!(size_of::<RememberedRecord>() == RememberedRecord::LEN);

impl RememberedRecord {
    /// Size of a record, in bytes.
    pub const LEN: usize = 32;

    /// Reads a record.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let cookie = u64::from_ne_bytes(*field::<0, 8, _>(bytes));
        Self { cookie, attribution: Attribution::decode(field::<8, 24, _>(bytes)) }
    }
}

/// What the program counts. All are numbers of connections.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct RememberCounts {
    /// Accepted since the program was attached.
    pub accepted: u64,
    /// Those of them whose client a TOA named.
    pub named: u64,
    /// Those that were not examined any further, because [`MAX_EXAMINED`] packets had unknown options but no TOA.
    pub given_up: u64,
    /// Those whose client was named but could not be kept, for want of memory.
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Client;

    fn toa(last: u8) -> Toa {
        let client = Client { address: Address::from_ipv4(&[203, 0, 113, last]), port_be: 54321_u16.to_be() };
        Toa { client, kind: 254, length: 8 }
    }

    #[test]
    fn an_acks_toa_settles_the_client() {
        for segment in [SegmentKind::Ack, SegmentKind::Data] {
            let mut remembered = Remembered::none();
            assert!(remembered.note(&toa(1), segment, false));
            assert!(remembered.is_named() && remembered.is_settled());
            assert_eq!(remembered.attribution.client(), toa(1).client);
        }
    }

    #[test]
    fn a_syns_toa_holds_until_another_packet_has_one() {
        let mut remembered = Remembered::none();
        assert!(remembered.note(&toa(1), SegmentKind::Syn, false));
        assert!(remembered.is_named() && !remembered.is_settled());
        assert!(!remembered.note(&Toa::none(), SegmentKind::Data, false));
        assert_eq!(remembered.attribution.client(), toa(1).client);
        assert!(remembered.note(&toa(2), SegmentKind::Data, false));
        assert!(remembered.is_settled());
        assert_eq!(remembered.attribution.client(), toa(2).client);
    }

    #[test]
    fn no_more_than_some_packets_are_examined() {
        for first in [Toa::none(), toa(1)] {
            let mut remembered = Remembered::none();
            remembered.note(&first, SegmentKind::Syn, false);
            for _ in 0..MAX_EXAMINED {
                assert!(!remembered.is_settled());
                remembered.count_examined();
                assert!(!remembered.note(&Toa::none(), SegmentKind::Data, false));
            }
            assert!(remembered.is_settled());
            assert_eq!(remembered.is_named(), first.is_some());
        }
    }

    #[test]
    fn every_field_of_a_record_is_read_from_its_place() {
        let bytes = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let record = RememberedRecord::decode(&bytes);
        assert_eq!(record.cookie, u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(record.attribution.address.octets()[..], bytes[8..24]);
        let port_be = u16::from_ne_bytes([24, 25]);
        assert_eq!((record.attribution.port_be, record.attribution.toa()), (port_be, Some((26, 27))));
        assert_eq!((record.attribution.learned_from, record.attribution.flags), (28, 29));
    }

    #[test]
    fn a_reset_names_nobody() {
        let mut remembered = Remembered::none();
        assert!(!remembered.note(&toa(1), SegmentKind::Rst, false));
        assert!(!remembered.note(&toa(1), SegmentKind::SynAck, false));
        assert_eq!(remembered, Remembered::none());
    }
}
