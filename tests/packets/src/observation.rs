//! What the shared code and the oracle see in a frame, in a form that can be compared.

use anyhow::{Context, Result, ensure};
use toa_common::{
    address::Address,
    config::Config,
    inspect::{Inspected, find_toa, inspect},
    skip_reason::SkipReason,
    wire::{
        tcp_option::{Stop, Walk},
        toa_pairs::KNOWN_PAIRS,
        view::Link,
    },
};

use crate::oracle::{Segment, options::Wanted};
use crate::shared::{address_of, captured};

/// Everything that the shared code reads from a TCP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Observation {
    /// Source and destination.
    pub addresses: [Address; 2],
    /// Source and destination port.
    pub ports: [u16; 2],
    /// Sequence number.
    pub seq: u32,
    /// Flags.
    pub flags: u8,
    /// Where the IP header, the TCP header and the payload begin in the frame.
    pub offsets: [usize; 3],
    /// Bytes of payload.
    pub payload_len: usize,
    /// The client in the TOA that counts, and its port if the layout has one.
    pub client: Option<(Address, Option<u16>)>,
    /// That TOA's kind and length.
    pub pair: Option<(u8, u8)>,
    /// Whether it could be the option of an experiment.
    pub is_ambiguous: bool,
    /// One bit for the position of each option of a wanted pair.
    pub hits: u64,
    /// One bit for each known pair that is present but not wanted.
    pub others: u32,
    /// Where the walk over the options ended.
    pub end: usize,
    /// Why it ended there.
    pub why: &'static str,
}

impl Observation {
    /// Returns what the shared code sees. It walks the options even if a walk is not worth it, and fails if
    /// that finds a TOA.
    pub fn shared(frame: &[u8], config: &Config) -> Result<Result<Self, SkipReason>> {
        let packet = captured(frame);
        let Inspected { tcp, toa, walk } = match inspect(&packet, Link::Ethernet, config) {
            Ok(inspected) => inspected,
            Err(reason) => return Ok(Err(reason)),
        };
        let (found, full) = find_toa(&packet, &tcp, config);
        ensure!(found == toa, "what is not worth a walk has a TOA: {found:?}");
        ensure!(walk == full || walk == Walk::none(), "two walks over the same options: {walk:?}, {full:?}");
        let hits = full.hits().fold(0, |hits, position| hits | 1 << position);
        let usize = |number: u32| number as usize;
        Ok(Ok(Self {
            addresses: [tcp.key.source, tcp.key.destination],
            ports: [tcp.key.source_port(), tcp.key.destination_port()],
            seq: tcp.seq.0,
            flags: tcp.flags,
            offsets: [tcp.network_offset, tcp.transport_offset, tcp.payload_offset()].map(usize),
            payload_len: usize(tcp.payload_len),
            client: toa.is_some().then(|| (toa.client.address, toa.has_port().then(|| toa.client.port()))),
            pair: toa.is_some().then_some((toa.kind, toa.length)),
            is_ambiguous: toa.is_some() && toa.is_ambiguous(),
            hits,
            others: full.unselected(),
            end: usize(full.end()),
            why: match full.stop() {
                Stop::End => "end",
                Stop::EndOfList => "eol",
                Stop::TooShort => "size<2",
                Stop::PastEnd => "past end",
                Stop::Truncated => "truncated",
            },
        }))
    }

    /// Returns what the oracle sees; `None` if there is no complete TCP header.
    pub fn second(frame: &[u8], wanted: Wanted<'_>) -> Result<Option<Self>> {
        let Some(segment) = Segment::of(frame) else {
            return Ok(None);
        };
        let opinion = segment.opinion(wanted);
        let mut others = 0;
        for pair in &opinion.others {
            let number = KNOWN_PAIRS.iter().position(|known| known == pair);
            others |= 1 << number.with_context(|| format!("{pair:?} is not known"))?;
        }
        let Segment { source, destination, ip_at, tcp_at, .. } = segment;
        Ok(Some(Self {
            addresses: [address_of(source.ip()), address_of(destination.ip())],
            ports: [source.port(), destination.port()],
            seq: segment.seq(),
            flags: segment.flags(),
            offsets: [ip_at, tcp_at, tcp_at + 20 + segment.options().len()],
            payload_len: segment.payload().len(),
            client: opinion.found.map(|found| (address_of(found.address), found.port)),
            pair: opinion.found.map(|found| found.pair),
            is_ambiguous: opinion.found.is_some_and(|found| found.is_ambiguous()),
            hits: opinion.hits.iter().fold(0, |hits, position| hits | 1 << position),
            others,
            end: opinion.end,
            why: opinion.why,
        }))
    }
}
