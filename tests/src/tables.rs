//! Responsible for taking the tables of packets on all sides and for comparing what is found with what the tables say
//! and with the second opinion. Not responsible for the tables: see [`crate::fixtures`].

use anyhow::{Context, Result, ensure};
use toa_common::{config::Config, skip_reason::SkipReason, wire::toa_pairs::ToaPairs};

use crate::{
    fixtures::{
        flows,
        headers::{self, Header, Outcome},
        vectors::{self, EXTENDED, Expected},
    },
    host::{Choice, Watch, address_of, client_of},
    look::Look,
    oracle::options::{USUAL, Wanted},
    packet_builder::PacketBuilder,
    sides::{Open, Sides},
};

/// What a run may choose of TOA, and the same for the second opinion.
#[must_use]
pub fn choices() -> Vec<(Choice, Wanted<'static>)> {
    let extended = Config::DEFAULT.with_pairs(ToaPairs::new(&EXTENDED));
    let all = Wanted { pairs: &EXTENDED, last: false };
    vec![
        (Choice::new(Config::DEFAULT), USUAL),
        (Choice::new(Config::DEFAULT.picking_last()), Wanted { last: true, ..USUAL }),
        (Choice::new(extended), all),
        (Choice::new(extended.picking_last()), Wanted { last: true, ..all }),
    ]
}

/// The choice of somebody whose balancer writes what hardly any other does.
#[must_use]
pub fn unusual() -> (Choice, Wanted<'static>) {
    const PAIRS: [(u8, u8); 3] = [(254, 24), (77, 8), (200, 20)];
    (Choice::new(Config::DEFAULT.with_pairs(ToaPairs::new(&PAIRS))), Wanted { pairs: &PAIRS, last: false })
}

/// Fails unless the shared code and the second opinion see the same in a frame. Returns what they see.
pub fn agree(frame: &[u8], choice: &Choice, wanted: Wanted<'_>) -> Result<Result<Look, SkipReason>> {
    let look = Look::shared(frame, &choice.config)?;
    let second = Look::second(frame, wanted)?;
    ensure!(look.ok() == second, "{look:?} and {second:?}: {frame:02x?}");
    Ok(look)
}

/// Every option area of the table, of each choice. Returns how many packets were taken.
pub fn vectors(open: Open) -> Result<usize> {
    let mut count = 0;
    for (choice, wanted) in choices() {
        let mut sides = open(&choice)?;
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
                vector_is(&mut sides, &frame, &expected, &choice, wanted)
                    .with_context(|| format!("{}, {wanted:?}", vector.id))?;
                count += 2;
            }
        }
    }
    Ok(count)
}

fn vector_is(
    sides: &mut Sides,
    frame: &[u8],
    expected: &Expected,
    choice: &Choice,
    wanted: Wanted<'_>,
) -> Result<()> {
    let look = agree(frame, choice, wanted)?;
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
    for watch in [Watch::Nobody, Watch::Any] {
        sides.restart(watch)?;
        let taken = sides.take(frame)?;
        let followed = sides.followed(&taken)?.map(|it| it.known.client.address);
        let expected = client.filter(|_| watch == Watch::Any).map(|(address, _)| address);
        ensure!(followed == expected, "{watch:?} watched: followed as {followed:?}");
    }
    Ok(())
}

/// Kind 28 names a client by its version: every one, alone and before another TOA. Returns how many packets were taken.
pub fn versions(open: Open) -> Result<usize> {
    let mut count = 0;
    for (choice, wanted) in choices().into_iter().filter(|(_, wanted)| wanted.pairs.contains(&(28, 7))) {
        let mut sides = open(&choice)?;
        sides.restart(Watch::Any)?;
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
                let look = agree(&frame, &choice, wanted)?;
                ensure!(look.is_ok_and(|look| look.client == expected), "version {version}: {look:?}");
                sides.take(&frame)?.map_err(|reason| anyhow::anyhow!("skipped: {reason:?}"))?;
                count += 1;
            }
        }
        sides.check_counts()?;
    }
    Ok(count)
}

/// Every unusual header. Returns how many packets were taken.
pub fn headers(open: Open) -> Result<usize> {
    let mut count = 0;
    let usual = [(Choice::new(Config::DEFAULT), headers::all())];
    for (choice, headers) in usual.into_iter().chain(headers::chosen()) {
        let mut sides = open(&choice)?;
        sides.restart(Watch::Any)?;
        for header in &headers {
            header_is(&mut sides, header).with_context(|| header.id)?;
        }
        sides.check_counts()?;
        count += headers.len();
    }
    Ok(count)
}

fn header_is(sides: &mut Sides, header: &Header) -> Result<()> {
    let taken = sides.take(&header.frame)?;
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

/// Every flow. Returns how many packets were taken.
pub fn flows(open: Open) -> Result<usize> {
    let mut count = 0;
    let mut sides = open(&Choice::new(Config::DEFAULT))?;
    for flow in flows::all() {
        flow_is(&mut sides, &flow).with_context(|| format!("{}, {:?} watched", flow.id, flow.watched))?;
        count += flow.steps.len();
    }
    sides.check_counts()?;
    Ok(count)
}

fn flow_is(sides: &mut Sides, flow: &flows::Flow) -> Result<()> {
    sides.restart(flow.watched.map_or(Watch::Any, Watch::Address))?;
    let mut conflicts = 0;
    let mut followed = None;
    for (number, step) in flow.steps.iter().enumerate() {
        let taken = sides.take(&step.frame)?;
        conflicts += usize::from(taken.is_ok_and(|(_, decision)| decision.conflict));
        followed = sides.followed(&taken)?;
        let client = followed.map(|followed| followed.known.client);
        ensure!(client == step.followed_as.map(client_of), "packet {number} is followed as {client:?}");
    }
    ensure!(conflicts == flow.conflicts, "{conflicts} conflicts");
    let learned_from = followed.map(|followed| followed.learned_from);
    ensure!(learned_from == flow.learned_from, "learned from {learned_from:?}");
    Ok(())
}
