//! A bounded queue of requests between the reader of packets, which never waits, and the thread that sends them.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Most bytes that wait, as lines of JSON. Further requests are dropped and counted.
const BYTES: usize = 16 << 20;

/// Bytes that are sent at once.
const BATCH: usize = 512 << 10;

/// How long requests wait for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);

/// The queue, as a writer of lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    /// Bytes in `waiting`.
    bytes: usize,
    counts: Counts,
    /// When to give up, once no more requests come.
    end: Option<Instant>,
    is_done: bool,
}

/// Numbers of requests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    /// All that came.
    pub(super) all: u64,
    /// Those that were accepted by the receiver.
    pub(super) sent: u64,
    /// Those for which there was no room.
    pub(super) dropped: u64,
    /// Those that could not be sent.
    pub(super) failed: u64,
}

impl Counts {
    /// Returns how many will not arrive, or not as far as is known.
    pub(super) fn missing(self) -> u64 {
        self.all.saturating_sub(self.sent)
    }
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

impl Write for Queue {
    /// Takes whole lines, or drops them. Never blocks, and never fails.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let count = count(lines);
        let mut state = self.lock();
        state.counts.all += count;
        if state.bytes + lines.len() > BYTES {
            state.counts.dropped += count;
        } else {
            state.bytes += lines.len();
            state.waiting.push_back(lines.to_vec());
            self.0.changed.notify_all();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, patience: Option<Duration>) -> MutexGuard<'a, State> {
        let changed = &self.0.changed;
        match patience {
            None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0,
        }
    }

    /// Waits for requests, and a moment for more. Returns their lines, or `None` when there will be no more.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.end.is_some() {
                state.is_done = true;
                self.0.changed.notify_all();
                return None;
            }
            state = self.wait(state, None);
        }
        let since = Instant::now();
        while state.bytes < BATCH && state.end.is_none() {
            let left = DELAY.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, Some(left));
        }
        let mut batch = state.waiting.pop_front()?;
        while batch.len() < BATCH
            && let Some(mut lines) = state.waiting.pop_front()
        {
            batch.append(&mut lines);
        }
        state.bytes = state.bytes.saturating_sub(batch.len());
        Some(batch)
    }

    /// Waits before another attempt. Returns false if it is time to give up.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        let was_ending = state.end.is_some();
        loop {
            let now = Instant::now();
            if state.end.is_some_and(|end| end <= now) {
                return false;
            }
            // The end is a reason to try again at once.
            if until <= now || (state.end.is_some() && !was_ending) {
                return true;
            }
            let until = state.end.map_or(until, |end| end.min(until));
            state = self.wait(state, Some(until - now));
        }
    }

    /// Returns how long an attempt may take.
    pub(super) fn patience(&self, most: Duration) -> Duration {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        self.lock().end.map_or(most, left).min(most)
    }

    /// Counts what became of requests.
    pub(super) fn add(&self, sent: u64, failed: u64) {
        let counts = &mut self.lock().counts;
        counts.sent += sent;
        counts.failed += failed;
    }

    /// Returns the counts.
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Says that no more requests come, and waits until the others were sent, but not longer than `patience`. Returns the
    /// counts.
    pub(super) fn finish(&self, patience: Duration) -> Counts {
        let end = Instant::now() + patience;
        let mut state = self.lock();
        state.end = Some(end);
        self.0.changed.notify_all();
        while !state.is_done {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, Some(left));
        }
        state.counts
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let mut queue = Queue::default();
        let lines = [&vec![b'x'; BYTES / 2 - 1][..], b"\n"].concat();
        for _ in 0..3 {
            queue.write_all(&lines).unwrap();
        }
        assert_eq!(queue.counts(), Counts { all: 3, dropped: 1, ..Counts::default() });
        assert_eq!(queue.take().unwrap().len(), lines.len());
        queue.write_all(b"a\nb\n").unwrap();
        assert_eq!(queue.counts(), Counts { all: 5, dropped: 1, ..Counts::default() });
    }

    #[test]
    fn requests_are_taken_together_and_the_end_waits_for_them() {
        let mut queue = Queue::default();
        queue.write_all(b"a\n").unwrap();
        queue.write_all(b"b\nc\n").unwrap();
        let sender = queue.clone();
        let sending = thread::spawn(move || {
            let mut batches = Vec::new();
            while let Some(batch) = sender.take() {
                sender.add(count(&batch), 0);
                batches.push(batch);
            }
            batches
        });
        let counts = queue.finish(Duration::from_secs(20));
        assert_eq!(counts, Counts { all: 3, sent: 3, ..Counts::default() });
        assert_eq!(sending.join().unwrap(), [b"a\nb\nc\n"]);
    }

    #[test]
    fn the_end_waits_no_longer_than_it_may() {
        let mut queue = Queue::default();
        queue.write_all(b"a\n").unwrap();
        assert!(queue.pause(Duration::ZERO));
        assert_eq!(queue.finish(Duration::ZERO).missing(), 1);
        assert!(!queue.pause(Duration::from_secs(1000)));
        assert_eq!(queue.patience(Duration::from_secs(10)), Duration::ZERO);
        assert_eq!(queue.take().unwrap(), b"a\n");
        assert_eq!(queue.take(), None);
    }
}
