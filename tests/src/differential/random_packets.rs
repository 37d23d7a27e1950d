//! Classifies millions of random packets with kernel and classifier, and compares them with the oracle.
//! [`toa_packets::fixtures::random`] generates the packets.

use std::{collections::BTreeMap, env, time::Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use toa_common::wire::view::{Captured, PacketView};
use toa_packets::fixtures::{
    headers,
    random::{Areas, Packets},
};
use toa_userspace::rule::Rule;

use super::{
    Open, probe,
    tables::{agree, any_flow, selections, unusual},
};

/// Packets between two restarts, so that the kernel's table of connections stays small and no connection gets
/// older than the time for which ended connections are remembered.
const ROUND: usize = 4096;

/// Decisions and ends of option walks that must each occur.
const READ: [&str; 11] =
    ["Ignore", "Reject", "Follow", "Learn", "Remember", "Replace", "End", "end", "eol", "size<2", "past end"];

/// Skip reasons that must each occur among damaged packets.
const SKIPPED: [&str; 7] =
    ["NotIp", "NotTcp", "Fragment", "Truncated", "Malformed", "ExtensionHeaders", "NoAck"];

/// The variable with the seed of all random numbers.
const SEED: &str = "TOA_SEED";

/// Classifies `count` whole packets with random option areas.
pub fn areas(open: Open, count: usize) -> Result<()> {
    let areas = Areas::new();
    run("option areas", open, count, &READ, |random, frame| {
        areas.next(random, frame);
        Ok(())
    })
}

/// Classifies `count` random packets.
pub fn packets(open: Open, count: usize) -> Result<()> {
    let packets = Packets::new()?;
    run("packets", open, count, &[READ.as_slice(), &SKIPPED].concat(), |random, frame| {
        packets.next(random, frame)
    })
}

fn run(
    what: &str,
    open: Open,
    count: usize,
    outcomes: &[&str],
    generate: impl Fn(&mut Rng, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse().with_context(|| format!("{SEED}={seed}"))?,
        Err(_) => fastrand::u64(..),
    };
    println!("{what}: {SEED}={seed}");
    let mut random = Rng::with_seed(seed);
    let mut hosts = Vec::new();
    for (selection, wanted) in selections().into_iter().chain(vec![unusual(), any_flow()]) {
        hosts.push((open(&selection)?, selection, wanted));
    }
    let (start, mut frame, mut tally) = (Instant::now(), Vec::new(), BTreeMap::<String, usize>::new());
    for round in 0..count.div_ceil(ROUND) {
        let selection = round % hosts.len();
        let (hosts, selection, wanted) = hosts.get_mut(selection).context("no hosts")?;
        let watched = match random.u8(0..4) {
            0 => None,
            1 => Some(Rule::Address(headers::client().ip())),
            _ => Some(Rule::Any),
        };
        hosts.restart(watched.as_slice())?;
        for number in (round * ROUND..count).take(ROUND) {
            generate(&mut random, &mut frame)?;
            while !probe::takes(&frame) || has_no_length(&frame) {
                generate(&mut random, &mut frame)?;
            }
            let context = || format!("{SEED}={seed}, {what} {number}, {wanted:?}");
            let look = agree(&frame, selection, *wanted).with_context(context)?;
            let taken = hosts.classify(&frame).with_context(context)?;
            let outcomes = match (look, taken) {
                (Ok(look), Ok((_, decision))) => [format!("{:?}", decision.action), look.why.to_owned()],
                (Err(reason), _) | (_, Err(reason)) => [format!("{reason:?}"), "skipped".to_owned()],
            };
            for outcome in outcomes {
                *tally.entry(outcome).or_default() += 1;
            }
        }
        hosts.check_counts()?;
    }
    println!("{count} {what} in {:?}: {tally:?}", start.elapsed());
    // If an outcome hardly ever occurs, the packets are too uniform to test it.
    for outcome in outcomes {
        let times = tally.get(*outcome).copied().unwrap_or_default();
        ensure!(times * 10_000 >= count, "{outcome} {times} times: {tally:?}");
    }
    Ok(())
}

/// Returns whether a frame is so long that its IP length may be 0 in a capture, and is: the kernel and the host read such a one
/// differently (see [`PacketView::MAX_STATED_LEN`]).
fn has_no_length(frame: &[u8]) -> bool {
    let mut rest = frame.get(12..).unwrap_or_default();
    while let [0x81 | 0x91, 0x00, _, _, behind @ ..] | [0x88, 0xa8, _, _, behind @ ..] = rest {
        rest = behind;
    }
    let field = match rest {
        [0x08, 0x00, packet @ ..] => packet.get(2..4),
        [0x86, 0xdd, packet @ ..] => packet.get(4..6),
        _ => None,
    };
    rest.len() > Captured::MAX_STATED_LEN as usize && field == Some(&[0, 0])
}
