//! What the kernel program knew about a packet, kept as the comment of each packet that `attach -w` writes. `read` needs it:
//! what named the client may have come before the first packet of the capture.
//!
//! ```text
//! client=120.120.111.111:44208 learned_from=syn toa=254:8 connection=18f2a3b4c5d6e7 stream=known:3735928559 flags=0x2 segments=3
//! ```
//!
//! `client` is `-` if nothing names it, and its port is `-` if the TOA has none. `connection` distinguishes connections of the
//! same 4-tuple. `stream` is where the connection's first byte is: [`Start`]. `segments` is how many segments were merged.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use toa_common::{
    address::{Address, Client},
    attribution::{Attribution, LearnedFrom},
    flow::flags as flow_flags,
    record::SegmentRecord,
    seq::Seq,
};

use crate::{
    address::{ClientAddress, OrUnknown, to_address},
    segment::Start,
};

/// In `flags`, follows those of the attribution: the packet is a reset at another place than the next byte.
const STRAY: u16 = 1 << 8;
/// Likewise: the server may have discarded the packet.
const DOUBTFUL: u16 = 1 << 9;

/// What was known about a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Recorded {
    /// The client. Without a name, the address is unspecified.
    pub(super) attribution: Attribution,
    /// Distinguishes the connection from others with the same 4-tuple.
    pub(super) generation: u64,
    /// Where its stream starts.
    pub(super) start: Start,
    pub(super) is_stray: bool,
    pub(super) is_doubtful: bool,
    /// Number of segments that were merged into the packet.
    pub(super) segments: u16,
}

impl From<&SegmentRecord> for Recorded {
    fn from(record: &SegmentRecord) -> Self {
        Self {
            attribution: record.attribution,
            generation: record.generation,
            start: Start::of_record(record),
            is_stray: record.flags & flow_flags::STRAY != 0,
            is_doubtful: record.flags & flow_flags::DOUBTFUL != 0,
            segments: record.gso_segments,
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attribution, generation, start, is_stray, is_doubtful, segments } = self;
        let client = OrUnknown(ClientAddress::named(attribution));
        let learned_from = attribution.learned_from().map_or("unknown", LearnedFrom::name);
        let (kind, length) = attribution.toa().unwrap_or_default();
        let stray = if *is_stray { STRAY } else { 0 };
        let doubtful = if *is_doubtful { DOUBTFUL } else { 0 };
        let flags = u16::from(attribution.flags) | stray | doubtful;
        write!(
            f,
            "client={client} learned_from={learned_from} toa={kind}:{length} connection={generation:x} "
        )?;
        match start {
            Start::Unknown => write!(f, "stream=unknown")?,
            Start::Data(Seq(seq)) => write!(f, "stream=data:{seq}")?,
            Start::Known(Seq(seq)) => write!(f, "stream=known:{seq}")?,
        }
        write!(f, " flags={flags:#x} segments={segments}")
    }
}

/// The text is not what a packet was recorded with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotRecorded;

impl FromStr for Recorded {
    type Err = NotRecorded;

    fn from_str(text: &str) -> Result<Self, NotRecorded> {
        Self::parse(text).ok_or(NotRecorded)
    }
}

impl Recorded {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let client = client(value("client")?)?;
        let name = value("learned_from")?;
        let learned_from = (0..=u8::MAX)
            .filter_map(LearnedFrom::from_byte)
            .find(|learned_from| learned_from.name() == name)?;
        let (kind, length) = value("toa")?.split_once(':')?;
        let generation = u64::from_str_radix(value("connection")?, 16).ok()?;
        let start = match value("stream")?.split_once(':') {
            Some(("data", seq)) => Start::Data(Seq(seq.parse().ok()?)),
            Some(("known", seq)) => Start::Known(Seq(seq.parse().ok()?)),
            _ => Start::Unknown,
        };
        let flags = u16::from_str_radix(value("flags")?.strip_prefix("0x")?, 16).ok()?;
        let segments = value("segments")?.parse().ok()?;
        let attribution = Attribution {
            toa_kind: kind.parse().ok()?,
            toa_length: length.parse().ok()?,
            // The upper half is not part of it.
            flags: flags as u8,
            ..Attribution::from_outside(&client, learned_from)
        };
        let (is_stray, is_doubtful) = (flags & STRAY != 0, flags & DOUBTFUL != 0);
        Some(Self { attribution, generation, start, is_stray, is_doubtful, segments })
    }
}

/// Parses a client: an address and a port, or `-` in place of the port or of both.
fn client(text: &str) -> Option<Client> {
    if text == "-" {
        return Some(Client { address: Address([0; 4]), port_be: 0 });
    }
    let (address, port) = match text.strip_suffix(":-") {
        None => {
            let client: SocketAddr = text.parse().ok()?;
            (client.ip(), client.port())
        }
        Some(address) => {
            let address =
                address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            (address.parse::<IpAddr>().ok()?, 0)
        }
    };
    Some(Client { address: to_address(address), port_be: port.to_be() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toa_common::attribution::flags;

    use super::*;

    fn recorded(address: [u8; 16], port: u16, pair: (u8, u8), learned_from: u8) -> Recorded {
        let client = Client { address: Address::from_ipv6(&address), port_be: port.to_be() };
        let from = LearnedFrom::from_byte(learned_from).unwrap();
        let (toa_kind, toa_length) = pair;
        let attribution = Attribution {
            toa_kind,
            toa_length,
            flags: flags::AMBIGUOUS,
            ..Attribution::from_outside(&client, from)
        };
        Recorded {
            attribution,
            generation: 7,
            start: Start::Unknown,
            is_stray: false,
            is_doubtful: false,
            segments: 0,
        }
    }

    #[test]
    fn the_comment_is_as_documented() {
        let mut address = [0; 16];
        address[10..].copy_from_slice(&[255, 255, 120, 120, 111, 111]);
        let recorded = Recorded {
            start: Start::Known(Seq(3_735_928_559)),
            generation: 0x18_f2a3_b4c5_d6e7,
            segments: 3,
            ..recorded(address, 44208, (254, 8), 1)
        };
        let expected = "client=120.120.111.111:44208 learned_from=syn toa=254:8 connection=18f2a3b4c5d6e7 \
                        stream=known:3735928559 flags=0x2 segments=3";
        assert_eq!(recorded.to_string(), expected);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            address in any::<[u8; 16]>(), port in any::<u16>(), learned_from in 1_u8..=7,
            pair in prop_oneof![Just((254, 8)), Just((254, 20)), Just((28, 7)), Just((28, 18))],
            generation in any::<u64>(), seq in any::<u32>(), start in 0_usize..3, is_stray in any::<bool>(),
            is_doubtful in any::<bool>(), segments in any::<u16>(),
        ) {
            let start = [Start::Unknown, Start::Data(Seq(seq)), Start::Known(Seq(seq))][start];
            let mut recorded = recorded(address, port, pair, learned_from);
            if !recorded.attribution.has_port() {
                recorded.attribution.port_be = 0;
            }
            let recorded = Recorded { generation, start, is_stray, is_doubtful, segments, ..recorded };
            prop_assert_eq!(recorded.to_string().parse(), Ok(recorded));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(client=|learned_from=|syn|toa=|254:8|connection=|-|stream=| |[0-9:.]{1,9}){0,20}") {
            let _ = text.parse::<Recorded>();
        }
    }
}
