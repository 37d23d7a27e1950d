//! The shared walker and decision, as the host compiles them, against tables and against a second opinion.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result};
use proptest::{
    collection::vec,
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest},
};
use toa_common::{
    flow_key::{Address, FlowKey},
    follow::{Action, Known, SegmentKind, decide},
    inspect::{Inspected, inspect},
    packet::{Captured, Link},
    skip_reason::SkipReason,
    wire::{
        tcp_option::{Stop, Walk},
        toa::{Client, ToaPairs, find},
    },
};
use toa_tests::{
    fixtures::{
        flows,
        headers::{self, Outcome},
        vectors::{self, Expected},
    },
    oracle::{self, Opinion},
    packet_builder::PacketBuilder,
};

fn client_of(client: SocketAddr) -> Client {
    let address = match client.ip() {
        IpAddr::V4(address) => Address::from_ipv4(&address.octets()),
        IpAddr::V6(address) => Address::from_ipv6(&address.octets()),
    };
    Client { address, port_be: client.port().to_be() }
}

/// Reads a frame, and walks its options also where there is nothing to find.
fn read(frame: &[u8]) -> Result<(Inspected, Walk), SkipReason> {
    let wire_len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let packet = Captured { bytes: frame, wire_len };
    let inspected = inspect(&packet, Link::Ethernet, &ToaPairs::DEFAULT)?;
    let (toa, walk) = find(&packet, &inspected.tcp, &ToaPairs::DEFAULT);
    assert_eq!(toa, inspected.toa, "what is not worth a walk has a TOA");
    Ok((inspected, walk))
}

fn why(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end",
        Stop::EndOfList => "eol",
        Stop::TooShort => "size<2",
        Stop::PastEnd => "past end",
        Stop::Truncated => "truncated",
    }
}

/// The client, its option's offset, whether there are several, where the walk ended, and why.
type Look = (Option<Client>, Option<u32>, bool, u32, &'static str);

/// What the shared code makes of a frame, in the words of the second opinion.
fn opinion(frame: &[u8]) -> Result<Look, SkipReason> {
    let (Inspected { toa, .. }, walk) = read(frame)?;
    let (client, first) = toa.is_some().then_some((toa.client, walk.first())).unzip();
    assert_eq!(walk.has_hit(), toa.is_some());
    Ok((client, first, walk.has_several(), walk.end(), why(walk.stop())))
}

fn second_opinion(opinion: Opinion) -> Result<Look> {
    let offset = opinion.found.map(|found| u32::try_from(found.offset)).transpose()?;
    let client = opinion.found.map(|found| client_of(found.client));
    Ok((client, offset, opinion.hits > 1, u32::try_from(opinion.end)?, opinion.why))
}

#[test]
fn every_vector_yields_what_its_table_says() -> Result<()> {
    for vector in vectors::all()? {
        for packet in [PacketBuilder::ipv4(), PacketBuilder::ipv6(), PacketBuilder::ipv4().payload(b"GET /")]
        {
            let frame = packet.options(&vector.options).build();
            let (client, offset, _, end, why) = opinion(&frame).unwrap();
            let id = &vector.id;
            match &vector.default {
                Expected::Found { offset: expected, .. } => {
                    let expected_client = client_of(vector.default.client().unwrap());
                    assert_eq!(
                        (client, offset),
                        (Some(expected_client), Some(u32::try_from(*expected)?)),
                        "{id}"
                    );
                }
                Expected::None { why: expected_why, end: expected_end } => {
                    assert_eq!((client, why), (None, expected_why.as_str()), "{id}");
                    assert_eq!(end, u32::try_from(*expected_end)?, "{id}");
                }
            }
            let second = oracle::look(&frame).context("no TCP")?;
            assert_eq!(opinion(&frame).unwrap(), second_opinion(second)?, "{id}");
        }
    }
    Ok(())
}

#[test]
fn only_the_cookie_that_could_be_a_toa_is_ambiguous() -> Result<()> {
    for vector in vectors::all()? {
        let (Inspected { toa, .. }, _) =
            read(&PacketBuilder::ipv4().options(&vector.options).build()).unwrap();
        assert_eq!(toa.is_some() && toa.is_ambiguous(), vector.id == "V27", "{}", vector.id);
    }
    Ok(())
}

#[test]
fn unusual_headers_yield_what_they_must() {
    for header in headers::all() {
        let found = match read(&header.frame) {
            Ok((Inspected { toa, .. }, _)) => Ok(toa.is_some().then_some(toa.client)),
            Err(reason) => Err(reason),
        };
        let expected = match header.expected {
            // IPv6 extension headers are not walked yet.
            Outcome::Client(_) if header.id == "H08" => Err(SkipReason::NotTcp),
            Outcome::Client(client) => Ok(Some(client_of(client))),
            Outcome::NoToa => Ok(None),
            Outcome::NotTcp => Err(SkipReason::NotTcp),
            Outcome::Fragment => Err(SkipReason::Fragment),
            Outcome::Malformed => Err(SkipReason::Malformed),
        };
        assert_eq!(found, expected, "{}", header.id);
    }
}

/// The smallest host: a map of connections and whom they belong to.
#[derive(Default)]
struct Host {
    flows: HashMap<FlowKey, Known>,
    conflicts: usize,
}

impl Host {
    /// As whose a packet is followed.
    fn take(&mut self, frame: &[u8], watched: Option<IpAddr>) -> Result<Option<Client>, SkipReason> {
        let (inspected, _) = read(frame)?;
        let Inspected { tcp, toa, .. } = inspected;
        let segment = inspected.segment_kind();
        let watched = watched.map(|address| client_of(SocketAddr::new(address, 0)).address);
        let is_watched = |client: &Client| watched.is_none_or(|watched| watched == client.address);
        let decision = decide(segment, self.flows.get(&tcp.key).copied(), &toa, is_watched);
        self.conflicts += usize::from(decision.conflict);
        match decision.action {
            Action::Learn | Action::Replace => {
                let known = Known { client: toa.client, provisional: segment == SegmentKind::Syn };
                self.flows.insert(tcp.key, known);
            }
            Action::End => {
                self.flows.remove(&tcp.key);
            }
            Action::Ignore | Action::Follow => {}
        }
        if decision.action == Action::Ignore {
            return Ok(None);
        }
        let known = self.flows.get_mut(&tcp.key);
        Ok(known.map(|known| {
            known.provisional &= !decision.confirmed;
            known.client
        }))
    }
}

#[test]
fn every_flow_belongs_to_whom_it_must() {
    for flow in flows::all() {
        let mut host = Host::default();
        for (number, step) in flow.steps.iter().enumerate() {
            let followed_as = host.take(&step.frame, flow.watched).unwrap();
            let (id, watched) = (flow.id, flow.watched);
            assert_eq!(
                followed_as,
                step.followed_as.map(client_of),
                "{id}, {watched:?} watched, packet {number}"
            );
        }
        assert_eq!(host.conflicts, flow.conflicts, "{}, {:?} watched", flow.id, flow.watched);
    }
}

/// Pieces of option areas: real options, wrong ones, and bytes that are none.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let option = |kind: u8, length: u8| {
        let value = usize::from(length.saturating_sub(2));
        vec(any::<u8>(), value).prop_map(move |value| [&[kind, length], value.as_slice()].concat())
    };
    prop_oneof![
        4 => Just(vec![1]),
        1 => Just(vec![0]),
        4 => option(254, 8),
        2 => option(254, 20),
        2 => option(253, 20),
        2 => option(8, 10),
        1 => option(5, 18),
        1 => option(2, 4),
        1 => (any::<u8>(), 0_u8..12).prop_flat_map(move |(kind, length)| option(kind, length)),
        1 => vec(any::<u8>(), 1..8),
    ]
}

fn area() -> impl Strategy<Value = Vec<u8>> {
    (vec(piece(), 0..12), 0_usize..=10).prop_map(|(pieces, words)| {
        let mut area = pieces.concat();
        area.resize(words * 4, 1);
        area
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn two_opinions_on_any_option_area_agree(area in area(), ipv6 in any::<bool>()) {
        let packet = if ipv6 { PacketBuilder::ipv6() } else { PacketBuilder::ipv4() };
        let frame = packet.options(&area).build();
        let second = second_opinion(oracle::look(&frame).unwrap()).unwrap();
        assert_eq!(opinion(&frame).unwrap(), second);
    }

    #[test]
    fn two_opinions_on_any_damaged_frame_agree(
        area in area(),
        ipv6 in any::<bool>(),
        damage in vec((0_usize..64, any::<u8>()), 0..4),
        cut in 0_usize..200,
    ) {
        let packet = if ipv6 { PacketBuilder::ipv6() } else { PacketBuilder::ipv4() };
        let mut frame = packet.options(&area).payload(b"GET / HTTP/1.1").build();
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(cut.max(14));
        let second = oracle::look(&frame).map(|opinion| second_opinion(opinion).unwrap());
        assert_eq!(opinion(&frame).ok(), second);
    }
}
