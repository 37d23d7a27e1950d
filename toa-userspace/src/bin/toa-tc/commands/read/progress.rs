//! A line about how much of the captures was read, where nothing else shows it.

use std::time::{Duration, Instant};

use toa_userspace::print::count::plural;

use crate::stderr;

/// The time before the first update, and between two. Small captures are read sooner.
const INTERVAL: Duration = Duration::from_millis(200);

/// The progress.
pub(super) struct Progress {
    /// Size of all files, in bytes.
    size: u64,
    due: Instant,
}

impl Progress {
    /// Begins, if the size of the captures is known and the progress may be shown.
    pub(super) fn new(size: Option<u64>) -> Option<Self> {
        let size = size.filter(|size| *size > 0 && stderr::shows_progress())?;
        Some(Self { size, due: Instant::now() + INTERVAL })
    }

    /// Shows how far reading is, if it is time. `position` returns how many bytes were read.
    pub(super) fn show(&mut self, position: impl FnOnce() -> u64, requests: u64) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + INTERVAL;
        // A file may grow while it is read.
        let percent = (position().saturating_mul(100) / self.size).min(100);
        stderr::progress(format_args!("{percent} % read, {} so far", plural(requests, "request")));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        stderr::end_progress();
    }
}
