//! How a request's body is delimited (RFC 9112 section 6.3).

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// A length in bytes; 0 if there is no body.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Unknown: the end of the body cannot be determined.
    Broken,
}

/// Why the length of a request's body is ambiguous or unknown (RFC 9112 section 6.3). If two servers in a row interpret
/// it differently, they see different requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FramingFault {
    /// Content-Length is repeated with the same value.
    RepeatedLength,
    /// Content-Length has different values.
    ConflictingLengths,
    /// Content-Length is not a valid number of bytes.
    InvalidLength,
    /// Both Content-Length and Transfer-Encoding are present. The latter wins.
    LengthAndCoding,
    /// Transfer-Encoding does not end in a single `chunked`, or is used with HTTP/1.0.
    UnknownCoding,
    /// There is whitespace between the name of such a field and the colon (RFC 9112 section 5.1).
    SpaceBeforeColon,
}

impl FramingFault {
    /// Returns the name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RepeatedLength => "repeated content-length",
            Self::ConflictingLengths => "conflicting content-lengths",
            Self::InvalidLength => "invalid content-length",
            Self::LengthAndCoding => "content-length and transfer-encoding",
            Self::UnknownCoding => "unknown transfer-encoding",
            Self::SpaceBeforeColon => "space before colon",
        }
    }
}

/// The fields that determine the framing, as they are read.
#[derive(Debug, Default)]
pub(super) struct FramingFields {
    length: Length,
    /// How often `chunked` occurs, and whether it is the last coding.
    codings: Option<(u32, bool)>,
    has_space: bool,
}

impl FramingFields {
    /// Takes a field into account. `has_space` says whether there is whitespace between its name and the colon.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8], has_space: bool) {
        if name.eq_ignore_ascii_case(b"content-length") {
            value.split(|byte| *byte == b',').for_each(|number| self.length.add(number.trim_ascii()));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            for coding in value.split(|byte| *byte == b',') {
                let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                let before = self.codings.map_or(0, |(count, _)| count);
                self.codings = Some((before.saturating_add(is_chunked.into()), is_chunked));
            }
        } else {
            return;
        }
        self.has_space |= has_space;
    }

    /// Determines the framing of a request of HTTP/1.`minor_version`.
    pub(super) fn framing(&self, minor_version: u16) -> (Framing, Option<FramingFault>) {
        let (framing, fault) = match self.codings {
            Some((1, true)) if minor_version >= 1 => {
                (Framing::Chunked, self.length.is_there().then_some(FramingFault::LengthAndCoding))
            }
            Some(_) => (Framing::Broken, Some(FramingFault::UnknownCoding)),
            None => match (self.length.fault, self.length.value) {
                (fault @ (None | Some(FramingFault::RepeatedLength)), value) => {
                    (Framing::Length(value.unwrap_or(0)), fault)
                }
                (fault, _) => (Framing::Broken, fault),
            },
        };
        (framing, fault.or_else(|| self.has_space.then_some(FramingFault::SpaceBeforeColon)))
    }
}

/// The values of Content-Length, as they are read.
#[derive(Debug, Default)]
struct Length {
    value: Option<u64>,
    fault: Option<FramingFault>,
}

impl Length {
    fn add(&mut self, digits: &[u8]) {
        let fault = match (self.value, decimal(digits)) {
            (_, None) => FramingFault::InvalidLength,
            (None, value) => {
                self.value = value;
                return;
            }
            (before, value) if before == value => FramingFault::RepeatedLength,
            _ => FramingFault::ConflictingLengths,
        };
        if let None | Some(FramingFault::RepeatedLength) = self.fault {
            self.fault = Some(fault);
        }
    }

    fn is_there(&self) -> bool {
        self.value.is_some() || self.fault.is_some()
    }
}

/// Parses `1*DIGIT` (RFC 9110 section 8.6) that fits into a file size.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
        value.checked_mul(10)?.checked_add(i64::from(digit))
    });
    value.map(i64::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_read_as_rfc_9112_says() {
        use FramingFault as Fault;
        for (version, fields, expected, fault) in [
            ("1.1", "", Framing::Length(0), None),
            ("1.1", "Content-Length: 10\r\n", Framing::Length(10), None),
            ("1.1", "content-length: 10, 10\r\n", Framing::Length(10), Some(Fault::RepeatedLength)),
            (
                "1.1",
                "content-length: 10\r\nContent-length: 10\r\n",
                Framing::Length(10),
                Some(Fault::RepeatedLength),
            ),
            (
                "1.1",
                "content-length: 10\r\ncontent-length: 10, 11\r\n",
                Framing::Broken,
                Some(Fault::ConflictingLengths),
            ),
            ("1.1", "content-length: -1\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length: +1\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length:\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length: 1, a\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length: 99999999999999999999\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "transfer-encoding: Chunked\r\n", Framing::Chunked, None),
            ("1.1", "transfer-encoding: gzip, chunked\r\n", Framing::Chunked, None),
            ("1.1", "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", Framing::Chunked, None),
            ("1.1", "transfer-encoding: chunked, gzip\r\n", Framing::Broken, Some(Fault::UnknownCoding)),
            ("1.1", "transfer-encoding: chunked, chunked\r\n", Framing::Broken, Some(Fault::UnknownCoding)),
            ("1.0", "transfer-encoding: chunked\r\n", Framing::Broken, Some(Fault::UnknownCoding)),
            (
                "1.1",
                "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
                Framing::Chunked,
                Some(Fault::LengthAndCoding),
            ),
            (
                "1.1",
                "content-length: x\r\ntransfer-encoding: chunked\r\n",
                Framing::Chunked,
                Some(Fault::LengthAndCoding),
            ),
            ("1.1", "transfer-encoding : chunked\r\n", Framing::Chunked, Some(Fault::SpaceBeforeColon)),
            ("1.1", "content-length : 3\r\n", Framing::Length(3), Some(Fault::SpaceBeforeColon)),
        ] {
            let mut read = FramingFields::default();
            for (name, value) in fields.lines().map(|line| line.split_once(':').unwrap()) {
                read.add(name.trim_end().as_bytes(), value.trim().as_bytes(), name.ends_with(' '));
            }
            assert_eq!(read.framing(u16::from(version == "1.1")), (expected, fault), "{fields}");
        }
    }
}
