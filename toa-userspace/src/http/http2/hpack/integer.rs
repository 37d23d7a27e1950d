//! Integers (RFC 7541 section 5.1).

use super::error::CompressionError;

/// Reads an integer whose first byte ends with `prefix_bits` bits of it. Returns it and its length in bytes, or `None` if
/// its end is missing.
pub(super) fn read(bytes: &[u8], prefix_bits: u32) -> Result<Option<(u32, usize)>, CompressionError> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let most = (1_u32 << prefix_bits).wrapping_sub(1);
    let prefix = u32::from(*first) & most;
    if prefix < most {
        return Ok(Some((prefix, 1)));
    }
    let mut value = u64::from(prefix);
    for (number, byte) in rest.iter().enumerate() {
        // Seven bits in each of five bytes are more than 32 in all.
        let shift = 7_usize.saturating_mul(number);
        if shift > 28 {
            return Err(CompressionError);
        }
        value = value.saturating_add(u64::from(byte & 0x7f) << shift);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| CompressionError)?;
            return Ok(Some((value, number.saturating_add(2))));
        }
    }
    if rest.len() > 4 { Err(CompressionError) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_in_the_appendix() {
        for (bytes, prefix_bits, expected) in [
            // RFC 7541 appendix C.1.
            (&[0b1110_1010][..], 5, Ok(Some((10, 1)))),
            (&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5, Ok(Some((1337, 3)))),
            (&[0b0010_1010], 8, Ok(Some((42, 1)))),
            (&[], 5, Ok(None)),
            (&[0x1f], 5, Ok(None)),
            (&[0x1f, 0x80, 0x80, 0x80, 0x80], 5, Ok(None)),
            (&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80], 5, Err(CompressionError)),
            (&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0], 5, Err(CompressionError)),
            (&[0x1f, 0xe0, 0xff, 0xff, 0xff, 0x0f], 5, Ok(Some((u32::MAX, 6)))),
            (&[0x1f, 0xe1, 0xff, 0xff, 0xff, 0x0f], 5, Err(CompressionError)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 7, Err(CompressionError)),
        ] {
            assert_eq!(read(bytes, prefix_bits), expected, "{bytes:02x?}");
        }
    }
}
