//! The Huffman code of strings (RFC 7541 section 5.2 and appendix B).
//!
//! It is canonical: the codes of a length are consecutive, in the order of their symbols. So the lengths determine it.

use super::error::CompressionError;

/// The symbol that ends a string. It is never sent; padding is its beginning.
const EOS: u16 = 256;

/// Number of symbols.
const SYMBOLS: usize = 257;

/// Longest code, in bits.
const LONGEST: usize = 30;

/// Longest code that is looked up at once, in bits.
const SHORT: usize = 8;

/// Length of the code of each symbol, in bits.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The code, made for decoding.
struct Code {
    /// The symbols in the order of their codes.
    symbols: [u16; SYMBOLS],
    /// For each length: the first 32 bits that are beyond the codes of that length.
    ends: [u64; LONGEST + 1],
    /// For each length: what to add to a code to get the position of its symbol.
    offsets: [u32; LONGEST + 1],
    /// For each value of the next eight bits: the symbol and the length of its code, or 0 if that is longer.
    short: [(u8, u8); 1 << SHORT],
}

static CODE: Code = Code::new();

impl Code {
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn new() -> Self {
        let mut this = Self {
            symbols: [0; SYMBOLS],
            ends: [0; LONGEST + 1],
            offsets: [0; LONGEST + 1],
            short: [(0, 0); 1 << SHORT],
        };
        let (mut position, mut code, mut length) = (0, 0_u64, 1);
        while length <= LONGEST {
            this.offsets[length] = (position as u32).wrapping_sub(code as u32);
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if LENGTHS[symbol] as usize == length {
                    this.symbols[position] = symbol as u16;
                    position += 1;
                    let mut rest = 0;
                    while length <= SHORT && rest < 1 << (SHORT - length) {
                        this.short[((code as usize) << (SHORT - length)) + rest] =
                            (symbol as u8, length as u8);
                        rest += 1;
                    }
                    code += 1;
                }
                symbol += 1;
            }
            this.ends[length] = code << (32 - length);
            code <<= 1;
            length += 1;
        }
        assert!(
            position == SYMBOLS && this.ends[LONGEST] == 1 << 32,
            "every bit sequence begins with a code"
        );
        this
    }

    /// Returns the first symbol of `bits` and the length of its code.
    fn first(&self, bits: u64) -> (u16, u32) {
        if let Some((symbol, length @ 1..)) = self.short.get((bits >> (64 - SHORT)) as usize) {
            return ((*symbol).into(), (*length).into());
        }
        let window = bits >> 32;
        let length = self.ends.iter().position(|end| window < *end).unwrap_or(LONGEST);
        let offset = self.offsets.get(length).copied().unwrap_or_default();
        let position = ((window >> (32_usize.saturating_sub(length))) as u32).wrapping_add(offset);
        (self.symbols.get(position as usize).copied().unwrap_or(EOS), length as u32)
    }
}

/// Appends the decoded bytes to `out`.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    // The next bits, from the highest on, and how many there are.
    let (mut bits, mut count) = (0_u64, 0_u32);
    let mut rest = bytes.iter();
    loop {
        while count <= 56
            && let Some(byte) = rest.next()
        {
            bits |= u64::from(*byte) << 56_u32.saturating_sub(count);
            count = count.saturating_add(8);
        }
        let (symbol, length) = CODE.first(bits);
        if length > count {
            let is_padding = count < 8 && bits.leading_ones() == count;
            return if is_padding { Ok(()) } else { Err(CompressionError) };
        }
        out.push(u8::try_from(symbol).map_err(|_| CompressionError)?);
        bits <<= length;
        count = count.saturating_sub(length);
    }
}

/// Returns the least number of bytes that `len` coded bytes stand for: the last seven bits may be padding.
pub(super) fn least_decoded_bytes(len: usize) -> usize {
    len.saturating_mul(8).saturating_sub(7).div_ceil(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String, CompressionError> {
        let mut out = Vec::new();
        decode(bytes, &mut out)?;
        Ok(out.escape_ascii().to_string())
    }

    #[test]
    fn strings_are_decoded_as_in_the_appendix() {
        for (bytes, expected) in [
            // RFC 7541 appendices C.4 and C.6.
            (&b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", "custom-key"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", "custom-value"),
            (
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            (b"", ""),
            // The symbols with the longest codes.
            (b"\xff\xff\xff\xf3", r"\n"),
            (b"\xff\xff\xff\xf7", r"\r"),
        ] {
            assert_eq!(decoded(bytes).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn wrong_padding_and_the_end_symbol_are_errors() {
        // Zeros, eight bits, the end symbol, a cut code.
        for bytes in
            [&b"\x18"[..], b"\xff", b"\x1f\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\xfc", b"\xff\xff"]
        {
            assert_eq!(decoded(bytes), Err(CompressionError), "{bytes:02x?}");
        }
        assert_eq!(decoded(b"\x1f").as_deref(), Ok("a"));
    }
}
