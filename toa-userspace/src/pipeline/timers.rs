//! A queue of timers, by deadline.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// A timer. Timers are compared by deadline only.
#[derive(Debug)]
struct Timer<K> {
    deadline_ns: u64,
    key: K,
}

impl<K> Ord for Timer<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.deadline_ns.cmp(&other.deadline_ns)
    }
}

impl<K> PartialOrd for Timer<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Timer<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K> Eq for Timer<K> {}

/// The queue. A timer that is no longer needed stays until its deadline; its owner has to ignore it then.
#[derive(Debug)]
pub(super) struct Timers<K>(BinaryHeap<Reverse<Timer<K>>>);

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<K> Timers<K> {
    /// Adds a timer.
    pub(super) fn set(&mut self, deadline_ns: u64, key: K) {
        self.0.push(Reverse(Timer { deadline_ns, key }));
    }

    /// Removes and returns the earliest timer that is due.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<K> {
        if self.0.peek()?.0.deadline_ns > now_ns {
            return None;
        }
        self.0.pop().map(|Reverse(timer)| timer.key)
    }

    /// Returns the number of timers.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops the timers that are no longer needed.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(&K) -> bool) {
        self.0.retain(|Reverse(timer)| is_wanted(&timer.key));
    }
}
