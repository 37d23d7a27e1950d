//! Classes of bytes, and looks at several bytes at once.

/// A set of bytes, as a table: one load tells whether a byte is in it.
#[derive(Debug)]
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// Returns the set of these bytes.
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut rest = bytes;
        while let [byte, more @ ..] = rest {
            #[expect(clippy::indexing_slicing, reason = "the table has an entry for every byte")]
            {
                table[*byte as usize] = true;
            }
            rest = more;
        }
        Self(table)
    }

    /// Returns whether a byte is in the set.
    #[inline]
    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).is_some_and(|is_in| *is_in)
    }
}

/// Number of bytes that are examined at once: those of the smallest vector register of today's processors.
const WIDTH: usize = 16;

/// The mark of a byte in [`mark`].
const MARK: u8 = 0x80;

/// Sets the mark of each byte that `is_wanted`.
///
/// Never inlined: on its own, this loop becomes a few vector instructions, but not as a part of another one.
#[inline(never)]
fn mark(bytes: &[u8; WIDTH], marks: &mut [u8; WIDTH], is_wanted: impl Fn(u8) -> bool) {
    for (mark, byte) in marks.iter_mut().zip(bytes) {
        *mark |= if is_wanted(*byte) { MARK } else { 0 };
    }
}

/// Returns a bit for each mark, the lowest for the first.
fn bits(marks: &[u8; WIDTH]) -> u32 {
    let marks = u128::from_le_bytes(*marks);
    // Each factor of two moves the bit of one byte to its place in the highest byte, and all others elsewhere.
    let bits = |marks: u64| ((marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32;
    bits(marks as u64) | bits((marks >> 64) as u64) << 8
}

/// Returns whether a byte is one of those from `first` to `last`. With this, the compiler finds vector instructions for
/// [`mark`]; with `matches!` it does not.
#[inline]
pub(crate) const fn is_within(byte: u8, first: u8, last: u8) -> bool {
    byte.wrapping_sub(first) <= last.wrapping_sub(first)
}

/// Returns fewer than [`WIDTH`] bytes, and a letter instead of each that is missing.
fn padded(bytes: &[u8]) -> [u8; WIDTH] {
    let mut padded = [b'a'; WIDTH];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    padded
}

/// Returns whether any byte `is_wanted`, which no letter `a` is.
#[inline]
pub(crate) fn has_any(bytes: &[u8], is_wanted: impl Fn(u8) -> bool + Copy) -> bool {
    let (chunks, rest) = bytes.as_chunks();
    let mut marks = [0; WIDTH];
    for chunk in chunks {
        mark(chunk, &mut marks, is_wanted);
    }
    match bytes.last_chunk() {
        _ if rest.is_empty() => {}
        // The last ones are examined together with others again.
        Some(last) => mark(last, &mut marks, is_wanted),
        None => mark(&padded(rest), &mut marks, is_wanted),
    }
    u128::from_ne_bytes(marks) != 0
}

/// Calls `visit` with the position of each byte that `is_wanted`, which no letter `a` is, until that returns true. Returns
/// whether it did.
#[inline]
pub(crate) fn any_at(
    bytes: &[u8],
    is_wanted: impl Fn(u8) -> bool + Copy,
    mut visit: impl FnMut(usize) -> bool,
) -> bool {
    let mut start = 0_usize;
    while let Some(rest @ [_, ..]) = bytes.get(start..) {
        let mut marks = [0; WIDTH];
        let known = match (rest.first_chunk(), bytes.last_chunk()) {
            (Some(chunk), _) => {
                mark(chunk, &mut marks, is_wanted);
                0
            }
            (None, Some(last)) => {
                mark(last, &mut marks, is_wanted);
                WIDTH.wrapping_sub(rest.len())
            }
            (None, None) => {
                mark(&padded(rest), &mut marks, is_wanted);
                0
            }
        };
        let mut bits = bits(&marks) >> known;
        while bits != 0 {
            if visit(start.wrapping_add(bits.trailing_zeros() as usize)) {
                return true;
            }
            bits &= bits.wrapping_sub(1);
        }
        start = start.wrapping_add(WIDTH);
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_has_its_bytes_and_no_others() {
        let set = ByteSet::of(b"a\0\xff");
        let found: Vec<_> = (0..=255).filter(|byte| set.contains(*byte)).collect();
        assert_eq!(found, b"\0a\xff");
    }

    proptest! {
        #[test]
        fn many_at_once_are_examined_like_one_after_another(
            bytes in prop::collection::vec(any::<u8>(), 0..70),
            (first, last) in (0..0x60_u8, 0..0x60_u8),
            stop in 0..70_usize,
        ) {
            let is_wanted = |byte: u8| (first..=last).contains(&byte) || byte >= 0xf0;
            let expected: Vec<_> =
                bytes.iter().enumerate().filter(|(_, byte)| is_wanted(**byte)).map(|(at, _)| at).collect();
            let mut places = Vec::new();
            let stops = any_at(&bytes, is_wanted, |at| { places.push(at); false });
            prop_assert!(!stops);
            prop_assert_eq!(&places, &expected);
            prop_assert_eq!(has_any(&bytes, is_wanted), !expected.is_empty());
            let mut visited = 0;
            let stops = any_at(&bytes, is_wanted, |at| { visited += 1; at >= stop });
            let before = expected.iter().take_while(|at| **at < stop).count();
            prop_assert_eq!((stops, visited), (before < expected.len(), expected.len().min(before + 1)));
        }
    }
}
