//! Responsible for the header that a proxy may put before everything else of a connection (PROXY protocol, versions 1
//! and 2). Not responsible for what it says: who the client is, TOA tells.

/// Longest header of version 1, in bytes (PROXY protocol section 2.1).
const MAX_LINE_BYTES: usize = 107;

/// Beginnings of headers and their version. That of version 2 is 12 bytes that no other protocol begins with
/// (section 2.2).
const SIGNATURES: [(&[u8], ProxyVersion); 4] = [
    (b"PROXY TCP4 ", ProxyVersion::V1),
    (b"PROXY TCP6 ", ProxyVersion::V1),
    (b"PROXY UNKNOWN", ProxyVersion::V1),
    (b"\r\n\r\n\0\r\nQUIT\n", ProxyVersion::V2),
];

/// Bytes of the longest of them.
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
    /// Its name for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "proxy-v1",
            Self::V2 => "proxy-v2",
        }
    }
}

/// What a beginning turns out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beginning {
    /// Nobody can know yet: all bytes were kept.
    Partial,
    /// No such header: what was kept before is to be read as something else, and then these bytes.
    Other,
    /// Such a header, whose signature ends behind so many of these bytes.
    Header { version: ProxyVersion, passed: usize },
}

/// The first bytes of a connection, as long as they may be such a header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signature {
    kept: [u8; MAX_SIGNATURE_BYTES],
    len: u8,
}

impl Signature {
    /// What was kept.
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

/// The rest of a header, behind its signature.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// A line, of which so many bytes may come.
    Line { left: u8 },
    /// Version, command, family and length, of which so many bytes came, and the length as far as it came.
    Fixed { seen: u8, length: u16 },
    /// Addresses.
    Addresses { left: u16 },
    /// Nothing.
    Done,
    /// A line that does not end.
    Broken,
}

impl Rest {
    /// What comes behind a signature.
    pub(super) fn of(version: ProxyVersion) -> Self {
        match version {
            ProxyVersion::V1 => Self::Line { left: (MAX_LINE_BYTES - MAX_SIGNATURE_BYTES) as u8 },
            ProxyVersion::V2 => Self::Fixed { seen: 0, length: 0 },
        }
    }

    /// Passes over `bytes`. Returns how many of them belong to the header.
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
