//! Times of results. Most share their second with the one before.

use std::io::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::digits;

/// Nanoseconds per second.
const SECOND_NS: u64 = 1_000_000_000;

/// The forms of times for people (`--time`).
#[derive(Clone, Debug)]
pub enum TimeForm {
    /// `HH:MM:SS.micros`, with the offset if the zone is unknown.
    OfDay(TimeZone),
    /// RFC 3339 with microseconds and the offset of a zone. If that is UTC, the offset is `Z`.
    DateTime(TimeZone),
    /// Seconds since the Unix epoch, with microseconds.
    Epoch,
    /// Seconds since the time before, with microseconds. Tables have times in a zone.
    Delta(TimeZone),
}

/// Writes times in one form.
#[derive(Debug)]
pub(super) struct Clock {
    form: Form,
    /// Nanoseconds that are added to each time.
    shift_ns: i64,
    second: Option<u64>,
    /// What is written before and after the fraction of `second`.
    begin: Vec<u8>,
    end: Vec<u8>,
    /// The time before.
    last_ns: Option<u64>,
}

/// The forms of times.
#[derive(Debug)]
enum Form {
    People(TimeForm),
    /// RFC 3339 in UTC, with nanoseconds.
    Rfc3339,
}

impl Clock {
    /// Returns a clock of times for people.
    pub(super) fn new(form: TimeForm) -> Self {
        Self::of(Form::People(form))
    }

    /// Returns a clock of dates and times for machines.
    pub(super) fn rfc3339() -> Self {
        Self::of(Form::Rfc3339)
    }

    fn of(form: Form) -> Self {
        Self { form, shift_ns: 0, second: None, begin: Vec::new(), end: Vec::new(), last_ns: None }
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
        if matches!(self.form, Form::People(TimeForm::Delta(_))) {
            let last_ns = self.last_ns.replace(time_ns).unwrap_or(time_ns);
            out.push(if time_ns < last_ns { b'-' } else { b'+' });
            push_micros(time_ns.abs_diff(last_ns), out);
            return;
        }
        let (second, fraction) = (time_ns / SECOND_NS, time_ns % SECOND_NS);
        if self.second != Some(second) {
            self.begin(second);
        }
        out.extend_from_slice(&self.begin);
        match &self.form {
            Form::People(_) => digits::push_padded::<6>(fraction / 1000, out),
            Form::Rfc3339 => digits::push_padded::<9>(fraction, out),
        }
        out.extend_from_slice(&self.end);
    }

    /// Returns a time to the second: the seconds since the Unix epoch if that is the form, otherwise date and time.
    pub(super) fn date_time(&self, time_ns: u64) -> String {
        let second = self.shifted(time_ns) / SECOND_NS;
        let (zone, has_offset) = match &self.form {
            Form::People(TimeForm::OfDay(zone) | TimeForm::Delta(zone)) => (zone.clone(), zone.is_unknown()),
            Form::People(TimeForm::DateTime(zone)) => (zone.clone(), true),
            Form::People(TimeForm::Epoch) => return second.to_string(),
            Form::Rfc3339 => (TimeZone::UTC, true),
        };
        let offset = match () {
            () if !has_offset => String::new(),
            () if zone == TimeZone::UTC => "Z".to_owned(),
            () => timestamp(second).to_zoned(zone.clone()).strftime("%:z").to_string(),
        };
        zone.to_datetime(timestamp(second)).strftime("%Y-%m-%d %H:%M:%S").to_string() + &offset
    }

    fn begin(&mut self, second: u64) {
        self.begin.clear();
        self.end.clear();
        let (begin, time) = (&mut self.begin, timestamp(second));
        // Writing to a `Vec` cannot fail.
        _ = match &self.form {
            Form::People(TimeForm::OfDay(zone)) => {
                self.end.extend_from_slice(if zone.is_unknown() { b"+00:00" } else { b"" });
                let time = zone.to_datetime(time);
                write!(begin, "{:02}:{:02}:{:02}.", time.hour(), time.minute(), time.second())
            }
            Form::People(TimeForm::DateTime(zone)) => {
                let offset = zone.to_offset(time);
                if *zone == TimeZone::UTC {
                    self.end.push(b'Z');
                } else {
                    _ = write!(self.end, "{}", time.to_zoned(zone.clone()).strftime("%:z"));
                }
                write!(begin, "{:.0}.", offset.to_datetime(time))
            }
            Form::Rfc3339 => {
                self.end.push(b'Z');
                write!(begin, "{:.0}.", TimeZone::UTC.to_datetime(time))
            }
            Form::People(TimeForm::Epoch | TimeForm::Delta(_)) => write!(begin, "{second}."),
        };
        self.second = Some(second);
    }
}

/// Appends a time span in seconds.
fn push_micros(ns: u64, out: &mut Vec<u8>) {
    digits::push(ns / SECOND_NS, out);
    out.push(b'.');
    digits::push_padded::<6>(ns % SECOND_NS / 1000, out);
}

/// Converts seconds since the Unix epoch. 2^64 ns are 585 years, which is within the range of a timestamp.
fn timestamp(second: u64) -> Timestamp {
    let since_epoch = i64::try_from(second).unwrap_or(0);
    Timestamp::from_second(since_epoch).unwrap_or(Timestamp::UNIX_EPOCH)
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

    /// 2026-11-22T12:01:02.123456789Z.
    const TIME_NS: u64 = 1_795_348_862_123_456_789;

    fn written(form: TimeForm, times_ns: &[u64]) -> Vec<String> {
        let mut clock = Clock::new(form);
        let write = |time_ns: &u64| {
            let mut out = Vec::new();
            clock.write(*time_ns, &mut out);
            String::from_utf8(out).unwrap()
        };
        times_ns.iter().map(write).collect()
    }

    #[test]
    fn people_choose_a_form() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(8)));
        for (form, expected) in [
            (TimeForm::OfDay(zone.clone()), "20:01:02.123456"),
            (TimeForm::OfDay(TimeZone::unknown()), "12:01:02.123456+00:00"),
            (TimeForm::DateTime(zone), "2026-11-22T20:01:02.123456+08:00"),
            (TimeForm::DateTime(TimeZone::UTC), "2026-11-22T12:01:02.123456Z"),
            (TimeForm::Epoch, "1795348862.123456"),
        ] {
            assert_eq!(written(form, &[TIME_NS]), [expected]);
        }
    }

    #[test]
    fn a_delta_is_the_time_since_the_one_before() {
        let times = [TIME_NS, TIME_NS + 1_500_000_000, TIME_NS + 1_499_999_000];
        assert_eq!(written(TimeForm::Delta(TimeZone::UTC), &times), ["+0.000000", "+1.500000", "-0.000001"]);
    }

    #[test]
    fn tables_have_dates() {
        let date_time = |form| Clock::new(form).date_time(TIME_NS);
        assert_eq!(date_time(TimeForm::OfDay(TimeZone::fixed(jiff::tz::offset(-13)))), "2026-11-21 23:01:02");
        assert_eq!(date_time(TimeForm::OfDay(TimeZone::unknown())), "2026-11-22 12:01:02+00:00");
        assert_eq!(date_time(TimeForm::Delta(TimeZone::UTC)), "2026-11-22 12:01:02");
        assert_eq!(date_time(TimeForm::DateTime(TimeZone::UTC)), "2026-11-22 12:01:02Z");
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(date_time(TimeForm::DateTime(zone)), "2026-11-22 20:01:02+08:00");
        assert_eq!(date_time(TimeForm::Epoch), "1795348862");
    }
}
