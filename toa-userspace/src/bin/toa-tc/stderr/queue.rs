//! A bounded queue of lines between those who report and the thread that writes.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Most bytes that wait. Further lines are dropped and counted.
const BYTES: usize = 1 << 20;

/// Erases a line: the control sequences "carriage return" and "erase in line" (ECMA-48).
const ERASE: &[u8] = b"\r\x1b[K";

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Returns the line that says how many were dropped.
    notice: fn(u64) -> Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    /// Bytes in `waiting`.
    bytes: usize,
    /// Lines that were dropped since the last one that was accepted.
    dropped: u64,
    is_writing: bool,
    /// The line that follows all others, and is replaced. Empty if there is none.
    progress: String,
    /// As it was written last.
    shown: String,
    /// Whether nothing may be written for now.
    is_held: bool,
    /// Number of entries that were written.
    written: u64,
}

impl State {
    /// Returns what is to be written next, if anything is.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.is_held || (self.waiting.is_empty() && self.progress == self.shown) {
            return None;
        }
        let mut next = if self.shown.is_empty() { Vec::new() } else { ERASE.to_vec() };
        if let Some(lines) = self.waiting.pop_front() {
            self.bytes = self.bytes.saturating_sub(lines.len());
            next.extend(lines);
        }
        next.extend(self.progress.as_bytes());
        self.shown.clone_from(&self.progress);
        Some(next)
    }

    /// Adds lines, after one that says how many were dropped before them.
    fn add(&mut self, lines: Vec<u8>) {
        self.add_notice();
        self.bytes += lines.len();
        self.waiting.push_back(lines);
    }

    fn add_notice(&mut self) {
        if self.dropped > 0 {
            let notice = (self.notice)(self.dropped);
            self.dropped = 0;
            self.add(notice);
        }
    }
}

impl Queue {
    /// Creates an empty queue. `notice` returns the line that says how many were dropped.
    pub(super) fn new(notice: fn(u64) -> Vec<u8>) -> Self {
        let state = State {
            notice,
            waiting: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            is_writing: false,
            written: 0,
            is_held: false,
            progress: String::new(),
            shown: String::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one line, or drops it if too much is waiting. Never blocks.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.bytes + line.len() > BYTES {
            state.dropped += 1;
        } else {
            state.add(line);
            self.changed.notify_all();
        }
    }

    /// Adds lines however much is waiting.
    pub(super) fn push_in_any_case(&self, lines: Vec<u8>) {
        self.lock().add(lines);
        self.changed.notify_all();
    }

    /// Keeps lines back from now on, or no more.
    pub(super) fn hold(&self, is_held: bool) {
        self.lock().is_held = is_held;
        self.changed.notify_all();
    }

    /// Keeps this line after all others from now on, in place of the one before. An empty one is none.
    pub(super) fn show_progress(&self, line: &str) {
        line.clone_into(&mut self.lock().progress);
        self.changed.notify_all();
    }

    /// Ends the line on which others have written, which may be that of progress.
    pub(super) fn end_line(&self) {
        let mut state = self.lock();
        if state.progress.is_empty() {
            state.add(b"\n".to_vec());
        }
        state.progress.clear();
        self.changed.notify_all();
    }

    /// Passes all lines to `write`. Never returns, because more lines may follow.
    pub(super) fn write_to(&self, mut write: impl FnMut(&[u8])) -> ! {
        let mut state = self.lock();
        loop {
            let Some(lines) = state.next() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.is_writing = true;
            drop(state);
            write(&lines);
            state = self.lock();
            state.is_writing = false;
            state.written += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until everything is written. Returns false if nothing was written for as long as `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        state.add_notice();
        self.changed.notify_all();
        let (mut written, mut since) = (state.written, Instant::now());
        while !state.waiting.is_empty() || state.is_writing || state.progress != state.shown {
            if state.written != written {
                (written, since) = (state.written, Instant::now());
            }
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        thread,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A queue whose writer needs a permit for each entry that it writes.
    fn gated() -> (Arc<Queue>, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let queue = Arc::new(Queue::new(|dropped| format!("{dropped} dropped\n").into_bytes()));
        let (permit, permits) = mpsc::channel::<()>();
        let (written, lines) = mpsc::channel();
        let writer = Arc::clone(&queue);
        thread::spawn(move || {
            writer.write_to(|line| {
                if permits.recv().is_ok() {
                    let _ = written.send(String::from_utf8_lossy(line).into_owned());
                }
            })
        });
        (queue, permit, lines)
    }

    #[test]
    fn lines_keep_their_order() {
        let (queue, permit, lines) = gated();
        for number in 0..3 {
            queue.push(format!("{number}\n").into_bytes());
            permit.send(()).unwrap();
        }
        assert!(queue.flush(PATIENCE));
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["0\n", "1\n", "2\n"]);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_but_for_the_ledger() {
        let (queue, permit, lines) = gated();
        let long = vec![b'x'; BYTES / 2];
        queue.push(long.clone());
        // What the writer has taken waits no more.
        while !queue.lock().is_writing {
            thread::yield_now();
        }
        for _ in 1..8 {
            queue.push(long.clone());
        }
        queue.push_in_any_case(b"ledger\n".to_vec());
        assert!(!queue.flush(Duration::ZERO), "nothing could be written");
        for _ in 0..8 {
            permit.send(()).unwrap();
        }
        assert!(queue.flush(PATIENCE));
        let lines: Vec<_> = lines.try_iter().collect();
        assert!(lines.iter().take(3).all(|line| line.len() == long.len()));
        assert_eq!(lines[3..], ["5 dropped\n", "ledger\n"]);
    }

    #[test]
    fn progress_follows_all_lines_and_is_erased() {
        let (queue, permit, lines) = gated();
        let next = || {
            permit.send(()).unwrap();
            assert!(queue.flush(PATIENCE));
            lines.try_iter().collect::<String>()
        };
        queue.show_progress("1 request");
        assert_eq!(next(), "1 request");
        queue.push(b"lost\n".to_vec());
        assert_eq!(next(), "\r\x1b[Klost\n1 request");
        queue.show_progress("2 requests");
        assert_eq!(next(), "\r\x1b[K2 requests");
        queue.end_line();
        assert_eq!(next(), "\r\x1b[K");
        queue.end_line();
        assert_eq!(next(), "\n");
    }

    #[test]
    fn lines_are_kept_back_while_they_are_held() {
        let (queue, permit, lines) = gated();
        permit.send(()).unwrap();
        queue.hold(true);
        queue.push(b"1\n".to_vec());
        assert!(!queue.flush(Duration::from_millis(50)), "written: {:?}", lines.try_recv());
        queue.hold(false);
        assert!(queue.flush(PATIENCE));
        assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), "1\n");
    }

    #[test]
    fn a_flush_says_what_was_dropped_last() {
        let (queue, permit, lines) = gated();
        queue.push(vec![b'x'; BYTES]);
        queue.push(vec![b'x'; BYTES + 1]);
        permit.send(()).unwrap();
        permit.send(()).unwrap();
        assert!(queue.flush(PATIENCE));
        assert_eq!(lines.try_iter().last().unwrap(), "1 dropped\n");
    }
}
