//! The internet checksum.

/// Writes the checksum of `bytes` and the pseudo header at `at`, which must contain zeros.
pub fn set_checksum(bytes: &mut [u8], at: usize, pseudo_header: &[u8]) {
    let sum = checksum(&[pseudo_header, bytes].concat());
    bytes.iter_mut().skip(at).zip(sum.to_be_bytes()).for_each(|(to, from)| *to = from);
}

/// Returns the internet checksum (RFC 1071).
pub fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| match pair {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    };
    let mut sum: u64 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}
