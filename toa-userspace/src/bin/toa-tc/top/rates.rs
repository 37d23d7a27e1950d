//! How many requests of each group have come lately.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The time that a rate is of, if the run lasts for that long.
const SPAN: Duration = Duration::from_secs(5);

/// The number of requests of each group at several times. Groups have numbers.
#[derive(Debug)]
pub(super) struct Rates(VecDeque<(Instant, Vec<u64>)>);

impl Rates {
    /// Begins without requests.
    pub(super) fn new(now: Instant) -> Self {
        Self([(now, Vec::new())].into())
    }

    /// Takes the number of requests of each group. Calls need an interval that leaves few of them in [`SPAN`].
    pub(super) fn add(&mut self, now: Instant, requests: Vec<u64>) {
        let Self(looks) = self;
        looks.push_back((now, requests));
        // The first one is at the beginning of the span, or before it.
        while looks.get(1).is_some_and(|(second, _)| now.duration_since(*second) >= SPAN) {
            looks.pop_front();
        }
    }

    /// Returns the number of requests of a group in the span.
    pub(super) fn recent(&self, group: u32) -> u64 {
        let at = usize::try_from(group).unwrap_or(usize::MAX);
        let of = |look: Option<&(Instant, Vec<u64>)>| {
            look.and_then(|(_, requests)| requests.get(at)).copied().unwrap_or(0)
        };
        of(self.0.back()).saturating_sub(of(self.0.front()))
    }

    /// Returns the number of requests of all groups in the span.
    pub(super) fn recent_of_all(&self) -> u64 {
        let sum = |look: Option<&(Instant, Vec<u64>)>| look.map_or(0, |(_, requests)| requests.iter().sum());
        sum(self.0.back()).saturating_sub(sum(self.0.front()))
    }

    /// Returns how long the span is.
    pub(super) fn span(&self) -> Duration {
        match (self.0.front(), self.0.back()) {
            (Some((first, _)), Some((last, _))) => last.duration_since(*first),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut rates = Rates::new(start);
        assert_eq!((rates.recent(0), rates.span()), (0, Duration::ZERO));
        rates.add(after(1), vec![3]);
        assert_eq!((rates.recent(0), rates.recent(1), rates.span()), (3, 0, Duration::from_secs(1)));
        for second in 2..=10 {
            rates.add(after(second), vec![3, second]);
        }
        assert_eq!((rates.recent(0), rates.recent(1), rates.recent_of_all()), (0, 5, 5));
        assert_eq!((rates.span(), rates.0.len()), (SPAN, 6));
    }
}
