//! Responsible for taking very many random packets on all sides, and for comparing them with the second opinion. Not
//! responsible for the packets: see [`crate::fixtures::random`].

use std::{collections::BTreeMap, env, time::Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use crate::{
    fixtures::{
        headers,
        random::{Areas, Packets},
    },
    host::Watch,
    probe,
    sides::Open,
    tables::{agree, choices, unusual},
};

/// Packets between two restarts: the kernel's table of connections stays small, and no connection outlives the time
/// for which one that has ended is remembered.
const ROUND: usize = 4096;

/// What must become of some of the packets.
const READ: [&str; 9] = ["Ignore", "Follow", "Learn", "Replace", "End", "end", "eol", "size<2", "past end"];

/// And of some of those that are damaged.
const SKIPPED: [&str; 6] = ["NotIp", "NotTcp", "Fragment", "Truncated", "Malformed", "ExtensionHeaders"];

/// Names the number that everything random comes from.
const SEED: &str = "TOA_SEED";

/// Takes `count` random option areas in whole packets.
pub fn areas(open: Open, count: usize) -> Result<()> {
    let areas = Areas::new();
    run("option areas", open, count, &READ, |random, frame| {
        areas.next(random, frame);
        Ok(())
    })
}

/// Takes `count` random packets.
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
    let mut sides = Vec::new();
    for (choice, wanted) in choices().into_iter().chain([unusual()]) {
        sides.push((open(&choice)?, choice, wanted));
    }
    let (start, mut frame, mut tally) = (Instant::now(), Vec::new(), BTreeMap::<String, usize>::new());
    for round in 0..count.div_ceil(ROUND) {
        let choice = round % sides.len();
        let (sides, choice, wanted) = sides.get_mut(choice).context("no sides")?;
        let watch = match random.u8(0..4) {
            0 => Watch::Nobody,
            1 => Watch::Address(headers::client().ip()),
            _ => Watch::Any,
        };
        sides.restart(watch)?;
        for number in (round * ROUND..count).take(ROUND) {
            generate(&mut random, &mut frame)?;
            while !probe::takes(&frame) {
                generate(&mut random, &mut frame)?;
            }
            let context = || format!("{SEED}={seed}, {what} {number}, {wanted:?}");
            let look = agree(&frame, choice, *wanted).with_context(context)?;
            let taken = sides.take(&frame).with_context(context)?;
            let outcomes = match (look, taken) {
                (Ok(look), Ok((_, decision))) => [format!("{:?}", decision.action), look.why.to_owned()],
                (Err(reason), _) | (_, Err(reason)) => [format!("{reason:?}"), "skipped".to_owned()],
            };
            for outcome in outcomes {
                *tally.entry(outcome).or_default() += 1;
            }
        }
        sides.check_counts()?;
    }
    println!("{count} {what} in {:?}: {tally:?}", start.elapsed());
    // If something hardly ever happens, the packets are too much alike to show anything.
    for outcome in outcomes {
        let times = tally.get(*outcome).copied().unwrap_or_default();
        ensure!(times * 1000 >= count, "{outcome} {times} times: {tally:?}");
    }
    Ok(())
}
