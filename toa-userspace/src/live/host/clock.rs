//! Responsible for the clocks. Not responsible for what is timed.

use rustix::time::{ClockId, clock_gettime};

/// What is to be added to a time of the kernel program (`CLOCK_MONOTONIC`) to make it one since the Unix epoch,
/// in nanoseconds. Read once: a clock that is set later does not tear the times of one run apart.
pub fn unix_offset_ns() -> u64 {
    now_ns(ClockId::Realtime).saturating_sub(now_ns(ClockId::Monotonic))
}

/// The time of the kernel program, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    now_ns(ClockId::Monotonic)
}

fn now_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither clock is ever before its epoch.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
