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
        }
    }
}

impl Framing {
    /// Determines the framing from the fields of a head of HTTP/1.`minor_version`, each given as name and value.
    pub(super) fn of<'f>(
        minor_version: u8,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> (Self, Option<FramingFault>) {
        let mut length = Length::default();
        // How often `chunked` occurs, and whether it is the last coding.
        let mut codings: Option<(u32, bool)> = None;
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"content-length") {
                value.split(|byte| *byte == b',').for_each(|number| length.add(number.trim_ascii()));
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                for coding in value.split(|byte| *byte == b',') {
                    let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    let before = codings.map_or(0, |(count, _)| count);
                    codings = Some((before.saturating_add(is_chunked.into()), is_chunked));
                }
            }
        }
        match codings {
            Some((1, true)) if minor_version == 1 => {
                (Self::Chunked, length.is_there().then_some(FramingFault::LengthAndCoding))
            }
            Some(_) => (Self::Broken, Some(FramingFault::UnknownCoding)),
            None => match (length.fault, length.value) {
                (fault @ (None | Some(FramingFault::RepeatedLength)), value) => {
                    (Self::Length(value.unwrap_or(0)), fault)
                }
                (fault, _) => (Self::Broken, fault),
            },
        }
    }
}

/// The values of Content-Length, as they are read.
#[derive(Default)]
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

/// Parses `1*DIGIT` (RFC 9110 section 8.6).
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
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
        ] {
            let minor_version = u8::from(version == "1.1");
            let lines = fields.lines().map(|line| line.split_once(':').unwrap());
            let lines = lines.map(|(name, value)| (name.as_bytes(), value.trim().as_bytes()));
            assert_eq!(Framing::of(minor_version, lines), (expected, fault), "{fields}");
        }
    }
}
