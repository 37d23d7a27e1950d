//! Detection and reading of PROXY protocol headers (versions 1 and 2), with which a proxy or balancer may begin a
//! connection. [`header`] has their content.

pub(super) mod header;

use header::{ProxyHeader, ProxyVersion};

/// Longest header of version 1, in bytes (PROXY protocol section 2.1).
const MAX_LINE_BYTES: usize = 107;

/// Length of the part of a header of version 2 after which its length is known, in bytes: signature, version and
/// command, family, length (section 2.2).
const FIXED_BYTES: usize = 16;

/// How much of a header of version 2 is read, in bytes. The rest is skipped. A sender keeps a header short enough for
/// the first segment (section 2), and one with a certificate's names has a few hundred bytes.
const MAX_KEPT_BYTES: usize = 4096;

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

/// The result of comparing the first bytes with the signatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beginning {
    /// Undecided. All bytes were kept.
    Partial,
    /// No header: the kept bytes, and then the given ones, are to be read as something else.
    Other,
    /// A header whose signature ends after the first `passed` of the given bytes.
    Header { signature: &'static [u8], version: ProxyVersion, passed: usize },
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
                    let passed = passed.saturating_add(1);
                    return Beginning::Header { signature, version: *version, passed };
                }
                Some(_) => {}
            }
        }
        *self = now;
        Beginning::Partial
    }
}

/// How a header goes on.
#[derive(Debug)]
pub(super) enum Progress {
    /// It is not complete.
    More,
    /// It has ended.
    Done(ProxyHeader),
    /// The line is too long.
    Broken,
}

/// A header after its signature.
#[derive(Debug)]
pub(super) struct HeaderReader {
    version: ProxyVersion,
    kept: Vec<u8>,
    /// Bytes after the kept ones that are not read.
    skipped: usize,
}

impl HeaderReader {
    /// Begins a header after its signature.
    pub(super) fn new(signature: &[u8], version: ProxyVersion) -> Self {
        Self { version, kept: signature.to_vec(), skipped: 0 }
    }

    /// Returns the version.
    pub(super) fn version(&self) -> ProxyVersion {
        self.version
    }

    /// Returns the memory for the kept bytes.
    pub(super) fn memory(&self) -> usize {
        self.kept.capacity()
    }

    /// Takes the header's part of `bytes`. Returns how many of them belong to it.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, Progress) {
        match self.version {
            ProxyVersion::V1 => self.read_line(bytes),
            ProxyVersion::V2 => self.read_binary(bytes),
        }
    }

    fn read_line(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let room = MAX_LINE_BYTES.saturating_sub(self.kept.len());
        let end = memchr::memchr(b'\n', bytes.get(..room).unwrap_or(bytes));
        let passed = end.map_or(bytes.len().min(room), |end| end.saturating_add(1));
        self.kept.extend_from_slice(bytes.get(..passed).unwrap_or_default());
        let progress = if end.is_some() {
            Progress::Done(ProxyHeader::from_line(&self.kept))
        } else if self.kept.len() >= MAX_LINE_BYTES {
            Progress::Broken
        } else {
            Progress::More
        };
        (passed, progress)
    }

    fn read_binary(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut passed = 0_usize;
        // First up to the length, then up to the end.
        while let Some(left) = self.left().filter(|left| *left > 0) {
            let rest = bytes.get(passed..).unwrap_or_default();
            let part = rest.get(..left).unwrap_or(rest);
            if part.is_empty() {
                return (passed, Progress::More);
            }
            let room = MAX_KEPT_BYTES.saturating_sub(self.kept.len());
            let kept = part.get(..room).unwrap_or(part);
            self.kept.extend_from_slice(kept);
            self.skipped = self.skipped.saturating_add(part.len().saturating_sub(kept.len()));
            passed = passed.saturating_add(part.len());
        }
        (passed, Progress::Done(ProxyHeader::from_binary(self.kept.get(12..).unwrap_or_default())))
    }

    /// Returns how many bytes of a header of version 2 are missing, as far as that is known.
    fn left(&self) -> Option<usize> {
        let read = self.kept.len().saturating_add(self.skipped);
        let end = match self.kept.get(14..FIXED_BYTES) {
            Some([high, low]) => FIXED_BYTES.saturating_add(usize::from(u16::from_be_bytes([*high, *low]))),
            _ => FIXED_BYTES,
        };
        end.checked_sub(read)
    }
}
