//! The shared walker and decision, as the host compiles them, against tables and against a second opinion.

use anyhow::{Context, Result};
use proptest::prelude::{ProptestConfig, proptest};
use toa_common::{
    config::Config,
    inspect::{Inspected, inspect},
    packet::Link,
    skip_reason::SkipReason,
    wire::{
        tcp_option::{Stop, Walk},
        toa::{Client, find},
    },
};
use toa_tests::{
    fixtures::{
        flows,
        headers::{self, Outcome},
        random,
        vectors::{self, Expected},
    },
    host::{Host, Watch, captured, client_of},
    oracle::{self, Opinion},
    packet_builder::PacketBuilder,
};

/// Reads a frame, and walks its options also where there is nothing to find.
fn read(frame: &[u8]) -> Result<(Inspected, Walk), SkipReason> {
    let packet = captured(frame);
    let inspected = inspect(&packet, Link::Ethernet, &Config::DEFAULT)?;
    let (toa, walk) = find(&packet, &inspected.tcp, &Config::DEFAULT);
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
    let (client, first) = (toa.is_some().then_some(toa.client), walk.hits().first());
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
            Outcome::Client(client) => Ok(Some(client_of(client))),
            Outcome::NoToa => Ok(None),
            Outcome::NotTcp => Err(SkipReason::NotTcp),
            Outcome::Fragment => Err(SkipReason::Fragment),
            Outcome::Malformed => Err(SkipReason::Malformed),
        };
        assert_eq!(found, expected, "{}", header.id);
    }
}

#[test]
fn every_flow_belongs_to_whom_it_must() {
    for flow in flows::all() {
        let mut host = Host::new(flow.watched.map_or(Watch::Any, Watch::Address));
        let mut conflicts = 0;
        for (number, step) in flow.steps.iter().enumerate() {
            let (inspected, decision) = host.take(&step.frame).unwrap();
            conflicts += usize::from(decision.conflict);
            let (id, watched) = (flow.id, flow.watched);
            let expected = step.followed_as.map(client_of);
            assert_eq!(host.client(&inspected), expected, "{id}, {watched:?} watched, packet {number}");
        }
        assert_eq!(conflicts, flow.conflicts, "{}, {:?} watched", flow.id, flow.watched);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn two_opinions_on_any_option_area_agree(frame in random::frame()) {
        let second = second_opinion(oracle::look(&frame).unwrap()).unwrap();
        assert_eq!(opinion(&frame).unwrap(), second);
    }

    #[test]
    fn two_opinions_on_any_damaged_frame_agree(frame in random::damaged_frame()) {
        let second = oracle::look(&frame).map(|opinion| second_opinion(opinion).unwrap());
        assert_eq!(opinion(&frame).ok(), second);
    }
}
