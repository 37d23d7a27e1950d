//! Times of results. Most share their second with the one before.

use std::io::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::digits;

/// Nanoseconds per second.
const SECOND_NS: u64 = 1_000_000_000;

/// Writes times in one form.
#[derive(Debug)]
pub(super) struct Clock {
    form: Form,
    /// Nanoseconds that are added to each time.
    shift_ns: i64,
    second: Option<u64>,
    /// `second` without its fraction.
    text: Vec<u8>,
}

/// The forms of times.
#[derive(Debug)]
enum Form {
    /// `HH:MM:SS.micros`, with the offset if the zone is unknown.
    TimeOfDay(TimeZone),
    /// RFC 3339 in UTC, with nanoseconds.
    Rfc3339,
}

impl Clock {
    /// Returns a clock of times of day in a time zone. An unknown one acts like UTC.
    pub(super) fn of_day(zone: TimeZone) -> Self {
        Self::new(Form::TimeOfDay(zone))
    }

    /// Returns a clock of dates and times.
    pub(super) fn rfc3339() -> Self {
        Self::new(Form::Rfc3339)
    }

    fn new(form: Form) -> Self {
        Self { form, shift_ns: 0, second: None, text: Vec::new() }
    }

    /// Adds `ns` nanoseconds to every time that is written from now on.
    pub(super) fn shift(&mut self, ns: i64) {
        self.shift_ns = ns;
    }

    /// Returns a time as it is written.
    pub(super) fn shifted(&self, time_ns: u64) -> u64 {
        time_ns.saturating_add_signed(self.shift_ns)
    }

    /// Appends a time, given in nanoseconds since the Unix epoch.
    pub(super) fn write(&mut self, time_ns: u64, out: &mut Vec<u8>) {
        let time_ns = self.shifted(time_ns);
        let (second, fraction) = (time_ns / SECOND_NS, time_ns % SECOND_NS);
        if self.second != Some(second) {
            self.begin(second);
        }
        out.extend_from_slice(&self.text);
        match &self.form {
            Form::TimeOfDay(zone) => {
                digits::push_padded::<6>(fraction / 1000, out);
                if zone.is_unknown() {
                    out.extend_from_slice(b"+00:00");
                }
            }
            Form::Rfc3339 => {
                digits::push_padded::<9>(fraction, out);
                out.push(b'Z');
            }
        }
    }

    fn begin(&mut self, second: u64) {
        // 2^64 ns are 585 years, which is within the range of a timestamp.
        let since_epoch = i64::try_from(second).unwrap_or(0);
        let time = Timestamp::from_second(since_epoch).unwrap_or(Timestamp::UNIX_EPOCH);
        self.text.clear();
        // Writing to a `Vec` cannot fail.
        _ = match &self.form {
            Form::TimeOfDay(zone) => {
                let time = zone.to_datetime(time);
                write!(self.text, "{:02}:{:02}:{:02}.", time.hour(), time.minute(), time.second())
            }
            Form::Rfc3339 => {
                let time = TimeZone::UTC.to_datetime(time);
                write!(self.text, "{time:.0}.")
            }
        };
        self.second = Some(second);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_are_written_as_jiff_writes_them(times_ns in prop::collection::vec(any::<u64>(), 1..4)) {
            let mut clock = Clock::rfc3339();
            for time_ns in times_ns.iter().flat_map(|ns| [*ns, ns / 10, ns.saturating_add(1)]) {
                let mut out = Vec::new();
                clock.write(time_ns, &mut out);
                let time = Timestamp::from_nanosecond(time_ns.into()).unwrap();
                prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{time:.9}"));
            }
        }
    }
}
