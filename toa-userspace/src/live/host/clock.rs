//! The kernel's clocks, in nanoseconds.
//!
//! The kernel program's clock is `CLOCK_MONOTONIC` of the initial time namespace. In another time namespace, our own
//! `CLOCK_MONOTONIC` differs from it by a constant, which [`monotonic_ns`] takes into account.

use std::{fs, sync::OnceLock, time::UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::live::host::namespace;

/// Nanoseconds per second.
const SECOND_NS: i64 = 1_000_000_000;

/// Longest time between two readings of a clock that are taken as one, in nanoseconds. They are further apart if this
/// thread was interrupted.
const AT_ONCE_NS: u64 = 500_000;

/// Smallest step of the wall clock that is followed, in nanoseconds. Smaller differences come from reading two clocks.
const STEP_NS: u64 = 1_000_000;

/// Attempts to read both clocks at once.
const ATTEMPTS: usize = 5;

/// Returns the time of the kernel program's clock.
pub fn monotonic_ns() -> u64 {
    static AHEAD_NS: OnceLock<i64> = OnceLock::new();
    own_monotonic_ns().saturating_add_signed(AHEAD_NS.get_or_init(ahead_ns).saturating_neg())
}

/// Returns the wall clock's time, since the Unix epoch.
pub fn unix_ns() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos().try_into().unwrap_or(u64::MAX))
}

/// Returns the nanoseconds to add to a time of the kernel program to get nanoseconds since the Unix epoch, as of now.
pub fn unix_offset_ns() -> u64 {
    unix_ns().saturating_sub(monotonic_ns())
}

/// Returns the time of the `CLOCK_MONOTONIC` of our time namespace.
fn own_monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The clock is never before its epoch.
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND_NS.cast_unsigned()
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Returns how many nanoseconds our `CLOCK_MONOTONIC` is ahead of the kernel program's clock.
fn ahead_ns() -> i64 {
    // The file is about the namespace that our children will be in. It is missing on kernels without time namespaces.
    let is_own = matches!(
        (namespace::inode("self", "time"), namespace::inode("self", "time_for_children")),
        (Ok(own), Ok(children)) if own == children
    );
    let offsets = if is_own { fs::read_to_string("/proc/self/timens_offsets") } else { Ok(String::new()) };
    monotonic_offset_ns(&offsets.unwrap_or_default())
}

/// Returns the offset of `CLOCK_MONOTONIC` in the text of `timens_offsets`, or 0 if it is missing. Each line has the
/// clock's name, seconds and nanoseconds (`time_namespaces(7)`).
fn monotonic_offset_ns(text: &str) -> i64 {
    let offset = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("monotonic") {
            return None;
        }
        let (seconds, ns) = (words.next()?.parse::<i64>().ok()?, words.next()?.parse::<i64>().ok()?);
        seconds.checked_mul(SECOND_NS)?.checked_add(ns)
    });
    offset.unwrap_or(0)
}

/// Reads the kernel program's clock, the wall clock, and the kernel program's clock again. Returns the nanoseconds to add
/// to a time of the kernel program to get the wall clock's, or `None` if this thread was interrupted.
fn read_offset_ns() -> Option<u64> {
    let before_ns = monotonic_ns();
    offset_ns(before_ns, unix_ns(), monotonic_ns())
}

fn offset_ns(before_ns: u64, unix_ns: u64, after_ns: u64) -> Option<u64> {
    let took_ns = after_ns.saturating_sub(before_ns);
    (took_ns <= AT_ONCE_NS).then(|| unix_ns.saturating_sub(before_ns + took_ns / 2))
}

/// Follows the wall clock while a run lasts.
///
/// The pipeline's times must not jump, because it compares them. So they have a constant offset, which is right at the
/// start. What the wall clock was set by since then, or was ahead after a suspend, is added when a time is printed.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// The offset at the start.
    offset_ns: u64,
    /// How far the wall clock is ahead of the pipeline's times.
    ahead_ns: i64,
}

impl WallClock {
    /// Reads the clocks.
    pub fn start() -> Self {
        let offset_ns = std::iter::repeat_with(read_offset_ns).take(ATTEMPTS).flatten().next();
        Self { offset_ns: offset_ns.unwrap_or_else(unix_offset_ns), ahead_ns: 0 }
    }

    /// Returns the nanoseconds to add to a time of the kernel program to get the pipeline's time.
    pub fn offset_ns(&self) -> u64 {
        self.offset_ns
    }

    /// Returns the pipeline's time.
    pub fn now_ns(&self) -> u64 {
        monotonic_ns().saturating_add(self.offset_ns)
    }

    /// Reads the clocks again. If the wall clock was set, returns by how many nanoseconds it is ahead of the pipeline's
    /// times now.
    pub fn update(&mut self) -> Option<i64> {
        self.compare(read_offset_ns()?)
    }

    fn compare(&mut self, offset_ns: u64) -> Option<i64> {
        let ahead_ns = offset_ns.cast_signed().wrapping_sub(self.offset_ns.cast_signed());
        if ahead_ns.abs_diff(self.ahead_ns) < STEP_NS {
            return None;
        }
        self.ahead_ns = ahead_ns;
        Some(ahead_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_a_time_namespace_is_read() {
        for (text, ns) in [
            ("monotonic           0         0\nboottime            0         0\n", 0),
            ("boottime 7 7\nmonotonic        5000       250\n", 5_000_000_000_250),
            // -0.25 s.
            ("monotonic          -1 750000000\n", -250_000_000),
            ("monotonic\n", 0),
            ("monotonic 99999999999999999999 0\n", 0),
            ("", 0),
        ] {
            assert_eq!(monotonic_offset_ns(text), ns, "{text:?}");
        }
    }

    #[test]
    fn the_kernels_clock_is_the_monotonic_one() {
        // The tests run in the initial time namespace, or in one without an offset.
        let before = own_monotonic_ns();
        let between = monotonic_ns();
        assert!((before..=own_monotonic_ns()).contains(&between));
    }

    const HOUR_NS: i64 = 3600 * SECOND_NS;

    #[test]
    fn a_step_of_the_wall_clock_is_followed_once_in_either_direction() {
        let start = 1_700_000_000_000_000_000_u64;
        let mut clock = WallClock { offset_ns: start, ahead_ns: 0 };
        for (ahead, found) in [
            (0, None),
            (HOUR_NS, Some(HOUR_NS)),
            (HOUR_NS, None),
            // Set back to before the start.
            (-HOUR_NS, Some(-HOUR_NS)),
            (-HOUR_NS + 900_000, None),
            // Small steps add up.
            (-HOUR_NS + 1_800_000, Some(-HOUR_NS + 1_800_000)),
            (0, Some(0)),
        ] {
            assert_eq!(clock.compare(start.saturating_add_signed(ahead)), found, "{ahead}");
            assert_eq!(clock.offset_ns(), start, "the pipeline's times do not jump");
        }
    }

    #[test]
    fn a_reading_that_was_interrupted_says_nothing() {
        assert_eq!(offset_ns(1_000_000, 5_000_000, 1_000_000 + AT_ONCE_NS), Some(4_000_000 - AT_ONCE_NS / 2));
        assert_eq!(offset_ns(1_000_000, 5_000_000, 1_000_000 + AT_ONCE_NS + 1), None);
    }

    #[test]
    fn a_new_clock_agrees_with_the_wall_clock() {
        let mut clock = WallClock::start();
        assert!(clock.now_ns().abs_diff(unix_ns()) < 1_000_000_000);
        assert_eq!(clock.update(), None);
    }
}
