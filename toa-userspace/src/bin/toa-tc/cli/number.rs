//! Numbers, sizes and times as options take them.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use parse_size::Config;

/// Parses a size in bytes, such as `65536`, `64K` or `4MiB`. As for tcpdump and systemd, a K is 1024 bytes.
pub(crate) fn size(text: &str, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    let Ok(bytes) = Config::new().with_binary().parse_size(text) else {
        return Err("not a size such as 65536, 64K or 1M".to_owned());
    };
    let (least, most) = (written(*allowed.start()), written(*allowed.end()));
    if allowed.contains(&bytes) { Ok(bytes) } else { Err(format!("not in {least} to {most}")) }
}

/// Returns a size as it would be typed: with the largest suffix that divides it.
fn written(bytes: u64) -> String {
    let suffixes = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let fitting = suffixes.iter().find(|(bits, _)| bytes.trailing_zeros() >= *bits);
    fitting.map_or_else(|| bytes.to_string(), |(bits, suffix)| format!("{}{suffix}", bytes >> bits))
}

/// Parses a number. The error names what is allowed.
pub(crate) fn number(text: &str, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    text.parse().ok().filter(|number| allowed.contains(number)).ok_or_else(|| match *allowed.end() {
        u64::MAX => format!("not a whole number of at least {}", allowed.start()),
        most => format!("not a whole number from {} to {most}", allowed.start()),
    })
}

/// Parses a time. A day has 24 hours.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<Span>().ok();
    span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .filter(SignedDuration::is_positive)
        .ok_or_else(|| "not a time such as 30s, 5m, 1h30m or 1d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_suffixes() {
        let parsed = |text: &str| size(text, 256..=1 << 30);
        for (text, bytes) in [
            ("4096", 4096),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("64KB", 64 << 10),
            ("1M", 1 << 20),
            ("4MiB", 4 << 20),
            ("1G", 1 << 30),
        ] {
            assert_eq!(parsed(text), Ok(bytes), "{text}");
        }
        assert_eq!(parsed("255"), Err("not in 256 to 1G".to_owned()));
        assert_eq!(parsed("2G"), Err("not in 256 to 1G".to_owned()));
        for wrong in ["", "K", "-1", "64X", "much"] {
            assert_eq!(parsed(wrong), Err("not a size such as 65536, 64K or 1M".to_owned()), "{wrong}");
        }
        assert_eq!([1 << 40, 1 << 20, 3 << 10, 1000].map(written), ["1T", "1M", "3K", "1000"]);
    }

    #[test]
    fn numbers_and_times_say_what_is_allowed() {
        assert_eq!(number("7", 1..=9), Ok(7));
        assert_eq!(number("ten", 1..=9), Err("not a whole number from 1 to 9".to_owned()));
        assert_eq!(number("0", 1..=u64::MAX), Err("not a whole number of at least 1".to_owned()));
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h30m", 5400), ("1d", 86400), ("2 days", 172_800)]
        {
            assert_eq!(duration(text), Ok(SignedDuration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "soon", "-1s", "0s", "30", "1 month"] {
            assert!(duration(wrong).unwrap_err().contains("1d"), "{wrong}");
        }
    }
}
