//! The kernel's clocks, in nanoseconds.

use rustix::time::{ClockId, clock_gettime};

/// Returns the nanoseconds to add to a time of the kernel program (`CLOCK_MONOTONIC`) to get nanoseconds since the Unix
/// epoch. Read it once per run: the times of the run then stay consistent if the clock is set.
pub fn unix_offset_ns() -> u64 {
    now_ns(ClockId::Realtime).saturating_sub(now_ns(ClockId::Monotonic))
}

/// Returns the time of the kernel program's clock (`CLOCK_MONOTONIC`), in nanoseconds.
pub fn monotonic_ns() -> u64 {
    now_ns(ClockId::Monotonic)
}

fn now_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither clock is ever before its epoch.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
