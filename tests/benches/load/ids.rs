//! The identifiers of wrk's requests, in whatever a program writes.

use std::collections::HashSet;

/// Digits of a thread of wrk, and of its request.
const DIGITS: (usize, usize) = (2, 10);

/// Distinct identifiers.
#[derive(Debug, Default)]
pub(crate) struct Ids(HashSet<u64>);

impl Ids {
    /// Finds those in `text`.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut ids = Self::default();
        ids.add(text);
        ids
    }

    /// Adds those in `text`.
    pub(crate) fn add(&mut self, text: &[u8]) {
        let hyphens = text.iter().enumerate().filter(|(_, byte)| **byte == b'-');
        self.0.extend(hyphens.filter_map(|(at, _)| {
            let thread = number(text.get(at.checked_sub(DIGITS.0)?..at)?)?;
            Some(thread * 10_u64.pow(10) + number(text.get(at + 1..=at + DIGITS.1)?)?)
        }));
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns how many are in both.
    pub(crate) fn common(&self, others: &Self) -> usize {
        self.0.intersection(&others.0).count()
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}
