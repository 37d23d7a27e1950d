//! Compares a rate with and without another activity, in pairs of legs.

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;

/// Whether the other activity runs during a leg.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leg {
    /// It does not run.
    Without,
    /// It runs.
    With,
}

/// Two pairs: every second one is the other way round, so that a steady drift affects both sides alike (ABBA).
const PAIRS: [[Leg; 2]; 2] = [[Leg::Without, Leg::With], [Leg::With, Leg::Without]];

/// The result of some pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The mean rate of all legs without the activity.
    pub without: f64,
    /// The rate with the activity divided by the rate without: the median of all pairs.
    pub ratio: f64,
    /// Lower bound of the median's interval: see [`CONFIDENCE`].
    pub low: f64,
    /// Upper bound of that interval.
    pub high: f64,
}

/// Confidence of an interval, by the percentile bootstrap.
pub const CONFIDENCE: f64 = 0.95;

/// Number of resamples of the bootstrap.
const RESAMPLES: usize = 10_000;
/// Number of them outside the interval at each end: 2.5 %.
const OUTSIDE: usize = RESAMPLES / 40;

/// Measures this many pairs. `rate` measures one leg.
pub fn compare(pairs: u32, mut rate: impl FnMut(Leg) -> Result<f64>) -> Result<Compared> {
    let (mut ratios, mut total) = (Vec::new(), 0.0);
    for pair in PAIRS.iter().cycle().take(usize::try_from(pairs)?) {
        let (mut without, mut with) = (0.0, 0.0);
        for leg in *pair {
            *(if leg == Leg::With { &mut with } else { &mut without }) = rate(leg)?;
        }
        ensure!(without > 0.0, "nothing was done in a leg");
        ratios.push(with / without);
        total += without;
    }
    let ratio = median(&mut ratios).context("no pairs")?;
    let (low, high) = interval(&ratios).context("no pairs")?;
    Ok(Compared { without: total / f64::from(pairs), ratio, low, high })
}

/// Returns the interval of the median of these values.
fn interval(values: &[f64]) -> Option<(f64, f64)> {
    // The same values have the same interval.
    let mut random = Rng::with_seed(1);
    let mut resample = || -> Option<f64> {
        let mut drawn: Vec<_> = values.iter().filter_map(|_| random.choice(values).copied()).collect();
        median(&mut drawn)
    };
    let mut medians: Vec<_> = (0..RESAMPLES).filter_map(|_| resample()).collect();
    medians.sort_unstable_by(f64::total_cmp);
    Some((*medians.get(OUTSIDE)?, *medians.get(RESAMPLES - 1 - OUTSIDE)?))
}

/// Sorts the values and returns their median.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
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
        assert!((without - 935.0).abs() < 1e-9, "{without}");
        assert!(
            [ratio, low, high].into_iter().all(|ratio| (ratio - 0.5).abs() < 0.01),
            "{ratio} {low} {high}"
        );
        assert!((ratio - 0.5).abs() < 1e-3, "{ratio}");
        assert!(compare(0, |_| Ok(1.0)).is_err());
        assert!(compare(6, |_| Ok(0.0)).is_err());
    }

    #[test]
    fn intervals_enclose_the_median_and_not_the_outliers() {
        let mut values: Vec<f64> = (1..=21).map(f64::from).collect();
        assert_eq!(median(&mut values), Some(11.0));
        let (low, high) = interval(&values).unwrap();
        assert!((5.0..11.0).contains(&low) && high > 11.0 && high < 17.0, "{low} to {high}");
        assert_eq!(interval(&[2.0]), Some((2.0, 2.0)));
        assert_eq!(median(&mut [3.0, 1.0]), Some(2.0));
        assert_eq!(interval(&[]), None);
    }
}
