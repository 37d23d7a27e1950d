//! Compares a rate with and without another activity, in blocks of four legs.

use anyhow::{Context as _, Result, ensure};

/// Whether the other activity runs during a leg.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leg {
    /// It does not run.
    Without,
    /// It runs.
    With,
}

/// The legs of a block, in an order in which a steady drift affects both sides alike.
const BLOCK: [Leg; 4] = [Leg::Without, Leg::With, Leg::With, Leg::Without];

/// The result of some blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The mean rate of all legs without the activity.
    pub without: f64,
    /// The rate with the activity divided by the rate without: the median over all blocks.
    pub ratio: f64,
    /// Lower bound of an interval that contains the true median with a probability of [`confidence`].
    pub low: f64,
    /// Upper bound of that interval.
    pub high: f64,
}

/// Minimum confidence of an interval.
const SURE: f64 = 0.95;

/// Measures this many blocks. `rate` measures one leg.
pub fn compare(blocks: u32, mut rate: impl FnMut(Leg) -> Result<f64>) -> Result<Compared> {
    let (mut ratios, mut total) = (Vec::new(), 0.0);
    for _ in 0..blocks {
        let (mut without, mut with) = (0.0, 0.0);
        for leg in BLOCK {
            let sum = if leg == Leg::With { &mut with } else { &mut without };
            *sum += rate(leg)?;
        }
        ensure!(without > 0.0, "nothing was done in two legs");
        ratios.push(with / without);
        total += without;
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let (outside, _) = interval(blocks).with_context(|| format!("{blocks} blocks are too few"))?;
    let at = |index: usize| ratios.get(index).copied().context("no such block");
    let (low, high) = (at(outside)?, at(ratios.len() - 1 - outside)?);
    let ratio = at(ratios.len() / 2)?;
    Ok(Compared { without: total / (2.0 * f64::from(blocks)), ratio, low, high })
}

/// Returns the probability that the interval of this many blocks contains the true median.
pub fn confidence(blocks: u32) -> f64 {
    interval(blocks).map_or(0.0, |(_, confidence)| confidence)
}

/// Returns how many of the sorted ratios can be left out at each end, and the probability that the others
/// enclose the true median. This holds for any noise: each ratio is as likely to be below the median as above
/// it.
fn interval(blocks: u32) -> Option<(usize, f64)> {
    let mut narrowest = None;
    // Probability that exactly `outside` ratios are below the median.
    let mut chance = 0.5_f64.powf(blocks.into());
    let mut confidence = 1.0;
    for outside in 0..blocks / 2 {
        confidence -= 2.0 * chance;
        if confidence < SURE {
            break;
        }
        narrowest = Some((usize::try_from(outside).ok()?, confidence));
        chance *= f64::from(blocks - outside) / f64::from(outside + 1);
    }
    narrowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_evenly_does_not_count() {
        let mut speed = 1000.0;
        let compared = compare(6, |leg| {
            speed -= 10.0;
            Ok(if leg == Leg::With { speed / 2.0 } else { speed })
        });
        let Compared { without, ratio, low, high } = compared.unwrap();
        assert!((without - 875.0).abs() < 1e-9, "{without}");
        assert!(
            [ratio, low, high].into_iter().all(|ratio| (ratio - 0.5).abs() < 1e-9),
            "{ratio} {low} {high}"
        );
        assert!(compare(5, |_| Ok(1.0)).is_err());
        assert!(compare(6, |_| Ok(0.0)).is_err());
    }

    #[test]
    fn intervals_are_as_wide_as_they_must() {
        assert_eq!(interval(5), None);
        for (blocks, outside, confidence) in [(6, 0, 0.96875), (8, 0, 0.992_187_5), (9, 1, 0.960_937_5)] {
            let interval = interval(blocks).unwrap();
            assert!(
                interval.0 == outside && (interval.1 - confidence).abs() < 1e-9,
                "{blocks}: {interval:?}"
            );
        }
    }
}
