//! Detection and skipping of PROXY protocol headers (versions 1 and 2), with which a proxy may begin a connection.
//! Their addresses are not read: the TOA names the client.

/// Longest header of version 1, in bytes (PROXY protocol section 2.1).
const MAX_LINE_BYTES: usize = 107;

/// Signatures of headers and their versions. The signature of version 2 is 12 bytes with which no other protocol begins
/// (section 2.2).
const SIGNATURES: [(&[u8], ProxyVersion); 4] = [
    (b"PROXY TCP4 ", ProxyVersion::V1),
    (b"PROXY TCP6 ", ProxyVersion::V1),
    (b"PROXY UNKNOWN", ProxyVersion::V1),
    (b"\r\n\r\n\0\r\nQUIT\n", ProxyVersion::V2),
];

/// Length of the longest signature, in bytes.
const MAX_SIGNATURE_BYTES: usize = 13;

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyVersion {
    /// Returns the name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "proxy-v1",
            Self::V2 => "proxy-v2",
        }
    }
}

/// The result of comparing the first bytes with the signatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beginning {
    /// Undecided. All bytes were kept.
    Partial,
    /// No header: the kept bytes, and then the given ones, are to be read as something else.
    Other,
    /// A header whose signature ends after the first `passed` of the given bytes.
    Header { version: ProxyVersion, passed: usize },
}

/// The first bytes of a connection, for as long as they may be a signature.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signature {
    kept: [u8; MAX_SIGNATURE_BYTES],
    len: u8,
}

impl Signature {
    /// Returns the kept bytes.
    pub(super) fn kept(&self) -> &[u8] {
        self.kept.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Takes the next bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Beginning {
        let mut now = *self;
        for (passed, byte) in bytes.iter().enumerate() {
            if let Some(place) = now.kept.get_mut(usize::from(now.len)) {
                *place = *byte;
                now.len = now.len.saturating_add(1);
            }
            let is_possible = |signature: &[u8]| signature.starts_with(now.kept());
            match SIGNATURES.iter().find(|(signature, _)| is_possible(signature)) {
                None => return Beginning::Other,
                Some((signature, version)) if signature.len() == usize::from(now.len) => {
                    return Beginning::Header { version: *version, passed: passed.saturating_add(1) };
                }
                Some(_) => {}
            }
        }
        *self = now;
        Beginning::Partial
    }
}

/// The rest of a header, after its signature.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// A line of which at most `left` more bytes may follow.
    Line { left: u8 },
    /// Version, command, family and length: `seen` of these four bytes were read, and `length` as far as it was.
    Fixed { seen: u8, length: u16 },
    /// Addresses, with `left` bytes to skip.
    Addresses { left: u16 },
    /// The header has ended.
    Done,
    /// The line is too long.
    Broken,
}

impl Rest {
    /// Returns what follows the signature of this version.
    pub(super) fn of(version: ProxyVersion) -> Self {
        match version {
            ProxyVersion::V1 => Self::Line { left: (MAX_LINE_BYTES - MAX_SIGNATURE_BYTES) as u8 },
            ProxyVersion::V2 => Self::Fixed { seen: 0, length: 0 },
        }
    }

    /// Skips the header's part of `bytes`. Returns how many of them belong to the header.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0_usize;
        while let Some(byte) = bytes.get(passed).copied() {
            *self = match *self {
                Self::Line { .. } if byte == b'\n' => Self::Done,
                Self::Line { left: 0 } => Self::Broken,
                Self::Line { left } => Self::Line { left: left.saturating_sub(1) },
                Self::Fixed { seen, length } => {
                    let length = (length << 8) | u16::from(byte);
                    match seen.saturating_add(1) {
                        4 if length == 0 => Self::Done,
                        4 => Self::Addresses { left: length },
                        seen => Self::Fixed { seen, length },
                    }
                }
                Self::Addresses { left: 1 } => Self::Done,
                Self::Addresses { left } => Self::Addresses { left: left.saturating_sub(1) },
                Self::Done | Self::Broken => return passed,
            };
            if let Self::Broken = self {
                return passed;
            }
            passed = passed.saturating_add(1);
        }
        passed
    }
}
