//! Classifies the tables of packets in [`toa_packets::fixtures`] with kernel and classifier, and compares the
//! results with the tables and with the oracle.

use std::iter;

use anyhow::{Context, Result, ensure};
use toa_common::{config::Config, skip_reason::SkipReason, wire::toa_pairs::ToaPairs};

use super::{Differential, Open};
use toa_packets::{
    builder::PacketBuilder,
    fixtures::{
        flows,
        headers::{self, Header, Outcome},
        vectors::{self, EXTENDED, Expected},
    },
    observation::Observation,
    oracle::options::{USUAL, Wanted},
    selection,
    shared::{address_of, client_of},
};
use toa_userspace::{capture::classifier::Selection, rule::Rule};

/// Returns the selections of TOA options, each with its equivalent for the oracle.
pub fn selections() -> Vec<(Selection, Wanted<'static>)> {
    let extended = Config::DEFAULT.with_pairs(ToaPairs::new(&EXTENDED));
    let all = Wanted { pairs: &EXTENDED, last: false };
    vec![
        (selection::with_config(Config::DEFAULT), USUAL),
        (selection::with_config(Config::DEFAULT.picking_last()), Wanted { last: true, ..USUAL }),
        (selection::with_config(extended), all),
        (selection::with_config(extended.picking_last()), Wanted { last: true, ..all }),
    ]
}

/// Returns a selection of pairs that hardly any balancer uses.
pub fn unusual() -> (Selection, Wanted<'static>) {
    const PAIRS: [(u8, u8); 5] = [(254, 24), (77, 8), (200, 20), (77, 6), (254, 18)];
    (
        selection::with_config(Config::DEFAULT.with_pairs(ToaPairs::new(&PAIRS))),
        Wanted { pairs: &PAIRS, last: false },
    )
}

/// Returns a selection of any connection, from whatever balancer.
pub fn any_flow() -> (Selection, Wanted<'static>) {
    let config = Config::DEFAULT.following_any().with_balancers();
    let everywhere = ["0.0.0.0/0", "::/0"].into_iter().filter_map(|net| net.parse().ok()).collect();
    (Selection { balancers: everywhere, ..selection::with_config(config) }, USUAL)
}

/// Fails unless the shared code and the oracle see the same in a frame. Returns what they see.
pub fn agree(
    frame: &[u8],
    selection: &Selection,
    wanted: Wanted<'_>,
) -> Result<Result<Observation, SkipReason>> {
    let look = Observation::shared(frame, &selection.config)?;
    let second = Observation::second(frame, wanted)?;
    ensure!(look.ok() == second, "{look:?} and {second:?}: {frame:02x?}");
    Ok(look)
}

/// Classifies every option area of the table with each selection. Returns the number of packets.
pub fn vectors(open: Open) -> Result<usize> {
    let mut count = 0;
    for (selection, wanted) in selections() {
        let mut hosts = open(&selection)?;
        for vector in vectors::all()? {
            let extended = wanted.pairs.len() > USUAL.pairs.len();
            let expected = match (wanted.last, extended) {
                (true, _) => vector.last(extended)?,
                (false, true) => vector.extended.clone(),
                (false, false) => vector.default.clone(),
            };
            for packet in
                [PacketBuilder::ipv4(), PacketBuilder::ipv6(), PacketBuilder::ipv4().payload(b"GET /")]
            {
                let frame = packet.options(&vector.options).build();
                vector_is(&mut hosts, &frame, &expected, &selection, wanted)
                    .with_context(|| format!("{}, {wanted:?}", vector.id))?;
                count += 2;
            }
        }
    }
    Ok(count)
}

fn vector_is(
    hosts: &mut Differential,
    frame: &[u8],
    expected: &Expected,
    selection: &Selection,
    wanted: Wanted<'_>,
) -> Result<()> {
    let look = agree(frame, selection, wanted)?;
    let look = look.map_err(|reason| anyhow::anyhow!("skipped: {reason:?}"))?;
    let client = expected.client().map(|(address, port)| (address_of(address), port));
    ensure!(look.client == client, "{look:?}");
    match expected {
        Expected::Found { offset, .. } => {
            let place =
                if wanted.last { look.hits.checked_ilog2() } else { Some(look.hits.trailing_zeros()) };
            ensure!(place == Some(u32::try_from(*offset)?), "{look:?}");
        }
        Expected::None { why, end } => ensure!((look.why, look.end) == (why.as_str(), *end), "{look:?}"),
    }
    for watched in [None, Some(Rule::Any)] {
        hosts.restart(watched.as_slice())?;
        let taken = hosts.classify(frame)?;
        let followed = hosts.flow(&taken)?.map(|flow| flow.attribution.address);
        let expected = client.filter(|_| watched.is_some()).map(|(address, _)| address);
        ensure!(followed == expected, "{watched:?} watched: followed as {followed:?}");
    }
    Ok(())
}

/// Classifies kind 28 in every version, alone, before and after another TOA. Returns the number of packets.
pub fn versions(open: Open) -> Result<usize> {
    let mut count = 0;
    for (selection, wanted) in selections().into_iter().filter(|(_, wanted)| wanted.pairs.contains(&(28, 7)))
    {
        let mut hosts = open(&selection)?;
        hosts.restart(&[Rule::Any])?;
        for version in 0..=u8::MAX {
            let short = [28, 7, version, 192, 0, 2, 5, 1];
            let long = [&[28, 19, version][..], &[0x20; 16], &[1]].concat();
            let usual = [254, 8, 0xd4, 0x31, 203, 0, 113, 9];
            let client = |address: [u8; 4], port| Some((address_of(address.into()), port));
            let alone = if version == 1 { client([192, 0, 2, 5], None) } else { None };
            let behind = client([203, 0, 113, 9], Some(54321));
            for (options, expected) in [
                (short.to_vec(), alone),
                ([short, usual].concat(), if wanted.last { behind } else { alone.or(behind) }),
                ([usual, short].concat(), if wanted.last { alone.or(behind) } else { behind }),
                (long, Some((address_of([0x20; 16].into()), None))),
            ] {
                let frame = PacketBuilder::ipv4().options(&options).build();
                let look = agree(&frame, &selection, wanted)?;
                ensure!(look.is_ok_and(|look| look.client == expected), "version {version}: {look:?}");
                hosts.classify(&frame)?.map_err(|reason| anyhow::anyhow!("skipped: {reason:?}"))?;
                count += 1;
            }
        }
        hosts.check_counts()?;
    }
    Ok(count)
}

/// Classifies every unusual header. Returns the number of packets.
pub fn headers(open: Open) -> Result<usize> {
    let mut count = 0;
    let usual = [(selection::with_config(Config::DEFAULT), headers::all())];
    for (selection, headers) in usual.into_iter().chain(headers::chosen()) {
        let mut hosts = open(&selection)?;
        hosts.restart(&[Rule::Any])?;
        for header in &headers {
            header_is(&mut hosts, header).with_context(|| header.id)?;
        }
        hosts.check_counts()?;
        count += headers.len();
    }
    Ok(count)
}

fn header_is(hosts: &mut Differential, header: &Header) -> Result<()> {
    let taken = hosts.classify(&header.frame)?;
    let found = taken.as_ref().map(|(it, _)| it.toa.is_some().then_some(it.toa.client)).map_err(|it| *it);
    let expected = match header.expected {
        Outcome::Client(client) => Ok(Some(client_of(client))),
        Outcome::NoToa | Outcome::Untrusted => Ok(None),
        Outcome::Skipped(reason) => Err(reason),
    };
    ensure!(found == expected, "{taken:?}");
    let is_marked = taken.is_ok_and(|(it, _)| it.walk.has_hit());
    ensure!(is_marked == matches!(header.expected, Outcome::Client(_) | Outcome::Untrusted), "{taken:?}");
    Ok(())
}

/// Classifies every flow. Returns the number of packets.
pub fn flows(open: Open) -> Result<usize> {
    let mut count = 0;
    let mut hosts = open(&selection::with_config(Config::DEFAULT))?;
    for flow in flows::all() {
        flow_is(&mut hosts, &flow).with_context(|| format!("{}, {:?} watched", flow.id, flow.watched))?;
        count += flow.steps.len();
    }
    hosts.check_counts()?;
    Ok(count)
}

fn flow_is(hosts: &mut Differential, flow: &flows::Flow) -> Result<()> {
    hosts.restart(&[flow.watched.map_or(Rule::Any, Rule::Address)])?;
    let mut conflicts = 0;
    let mut followed = None;
    for (number, step) in flow.steps.iter().enumerate() {
        let taken = hosts.classify(&step.frame)?;
        conflicts += usize::from(taken.is_ok_and(|(_, decision)| decision.conflict));
        followed = hosts.flow(&taken)?;
        let client = followed.map(|flow| flow.attribution.client());
        ensure!(client == step.followed_as.map(client_of), "packet {number} is followed as {client:?}");
    }
    ensure!(conflicts == flow.conflicts, "{conflicts} conflicts");
    let learned_from = followed.and_then(|flow| flow.attribution.learned_from());
    ensure!(learned_from == flow.learned_from, "learned from {learned_from:?}");
    Ok(())
}

/// Classifies the packets of connections that nothing names, and every flow of those that a TOA names, for a run that
/// follows any connection. Returns the number of packets.
pub fn unnamed(open: Open) -> Result<usize> {
    let mut count = 0;
    let by_port = selection::with_config(Config::DEFAULT.following_any().with_server_port(80));
    for selection in iter::once(by_port).chain(iter::once(any_flow().0)) {
        let mut hosts = open(&selection)?;
        for flow in flows::unnamed() {
            hosts.restart(&[])?;
            for (number, step) in flow.steps.iter().enumerate() {
                let taken = hosts.classify(&step.frame)?;
                let client = hosts.flow(&taken)?.map(|flow| flow.attribution.client());
                let expected = step.followed_as.map(client_of);
                ensure!(client == expected, "{}: packet {number} is followed as {client:?}", flow.id);
            }
            count += flow.steps.len();
        }
        for flow in flows::all() {
            hosts.restart(&[])?;
            for step in &flow.steps {
                hosts.classify(&step.frame)?.map_err(|reason| anyhow::anyhow!("skipped: {reason:?}"))?;
            }
            count += flow.steps.len();
        }
        hosts.check_counts()?;
    }
    Ok(count)
}
