//! Formats times, time spans and JSON values.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use toa_userspace::{live::host::clock, print::escape::printable_json};

use crate::time_zone;

/// Converts a time of `CLOCK_MONOTONIC` in nanoseconds to a timestamp.
pub(crate) fn timestamp(time_ns: u64) -> Timestamp {
    let unix_ns = time_ns.saturating_add(clock::unix_offset_ns());
    Timestamp::from_nanosecond(unix_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Converts a time of `CLOCK_MONOTONIC` in nanoseconds to seconds since the Unix epoch.
pub(crate) fn unix_seconds(time_ns: u64) -> f64 {
    timestamp(time_ns).as_duration().as_secs_f64()
}

/// Formats a time of `CLOCK_MONOTONIC` in UTC, for machines.
pub(crate) fn utc(time_ns: u64) -> String {
    format!("{:.3}", timestamp(time_ns))
}

/// Formats a time of `CLOCK_MONOTONIC` in the local time zone, for people. The offset is added if the zone is unknown.
pub(crate) fn local(time_ns: u64) -> String {
    let zone = time_zone::get();
    let format = if zone.is_unknown() { "%Y-%m-%d %H:%M:%S+00:00" } else { "%Y-%m-%d %H:%M:%S" };
    timestamp(time_ns).to_zoned(zone).strftime(format).to_string()
}

/// Formats a time span for people.
pub(crate) fn span(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds}.{}s", ns / 100_000_000 % 10),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats a time span in whole seconds if it is short.
pub(crate) fn age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        _ => span(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
    }
}

/// Formats a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    Ok(printable_json(serde_json::to_string(value)?) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_short() {
        let spans = [0, 1_250_000_000, 61_000_000_000, 3_720_000_000_000].map(span);
        assert_eq!(spans, ["0.0s", "1.2s", "1m01s", "1h02m"]);
        assert_eq!([1999, 61_999].map(|ms| age(Duration::from_millis(ms))), ["1s", "1m01s"]);
    }
}
