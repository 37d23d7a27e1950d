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

/// Bytes that are examined at once, one in eight bits of a word. What is found of them is a word, too, with the highest bit
/// of a byte set where it is found. A compiler does this for simple loops only, and less well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eight(u64);

/// A word of eight equal bytes, if multiplied by one of them.
const EACH: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
const HIGH: u64 = 0x80 * EACH;

impl Eight {
    /// What is found if all bytes are.
    pub(crate) const ALL: u64 = HIGH;

    fn new(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// Returns up to seven bytes, and a letter instead of each that is missing.
    fn padded(bytes: &[u8]) -> Self {
        Self(bytes.iter().rev().fold(EACH * u64::from(b'a'), |word, byte| (word << 8) | u64::from(*byte)))
    }

    /// Finds bytes beyond ASCII.
    #[inline]
    pub(crate) fn beyond_ascii(self) -> u64 {
        self.0 & HIGH
    }

    /// Finds ASCII characters from `first` to `last`.
    #[inline]
    pub(crate) fn within(self, first: u8, last: u8) -> u64 {
        // No sum exceeds its byte.
        let low = self.0 & !HIGH;
        let from_first = low.wrapping_add(u64::from(0x80 - first) * EACH);
        let after_last = low.wrapping_add(u64::from(0x7f - last) * EACH);
        from_first & !after_last & !self.0 & HIGH
    }

    /// Finds an ASCII character.
    #[inline]
    pub(crate) fn is(self, byte: u8) -> u64 {
        let low = (self.0 & !HIGH) ^ (u64::from(byte) * EACH);
        !low.wrapping_add(0x7f * EACH) & !self.0 & HIGH
    }

    /// Returns the bytes with ASCII letters in lower case, and some others changed.
    #[inline]
    pub(crate) fn lower(self) -> Self {
        Self(self.0 | (0x20 * EACH))
    }
}

/// Returns whether `find` finds any byte.
#[inline]
pub(crate) fn has_any(bytes: &[u8], find: impl Fn(Eight) -> u64) -> bool {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let found = chunks.iter().fold(0, |found, chunk| found | find(Eight::new(*chunk)));
    // The last ones are examined together with others again.
    let last = bytes.last_chunk::<8>().map_or_else(|| Eight::padded(rest), |last| Eight::new(*last));
    found | find(last) != 0
}

/// Calls `visit` with the position of each byte that `find` finds, until that returns true. Returns whether it did.
#[inline]
pub(crate) fn any_at(
    bytes: &[u8],
    find: impl Fn(Eight) -> u64,
    mut visit: impl FnMut(usize) -> bool,
) -> bool {
    let mut visit_all = |start: usize, mut found: u64| {
        while found != 0 {
            if visit(start.wrapping_add(found.trailing_zeros() as usize / 8)) {
                return true;
            }
            found &= found.wrapping_sub(1);
        }
        false
    };
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut start = 0;
    for chunk in chunks {
        if visit_all(start, find(Eight::new(*chunk))) {
            return true;
        }
        start = start.wrapping_add(8);
    }
    !rest.is_empty() && visit_all(start, find(Eight::padded(rest)))
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
        fn eight_at_once_are_examined_like_one_after_another(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            (first, last) in (0..0x80_u8, 0..0x80_u8),
        ) {
            let is_within = |byte: &u8| (first..=last).contains(byte);
            let places = |find: &dyn Fn(Eight) -> u64| {
                let mut places = Vec::new();
                assert!(!any_at(&bytes, find, |at| { places.push(at); false }));
                places
            };
            let expected = |is: &dyn Fn(&u8) -> bool| {
                bytes.iter().enumerate().filter(|(_, byte)| is(byte)).map(|(at, _)| at).collect::<Vec<_>>()
            };
            // The padding is a letter, which these have to leave out.
            let padding = |found: Vec<usize>| found.into_iter().filter(|at| *at < bytes.len()).collect::<Vec<_>>();
            prop_assert_eq!(padding(places(&|eight| eight.within(first, last))), expected(&is_within));
            prop_assert_eq!(padding(places(&|eight| eight.is(first))), expected(&|byte| *byte == first));
            prop_assert_eq!(places(&Eight::beyond_ascii), expected(&|byte| !byte.is_ascii()));
            let is_upper = |byte: &u8| byte.is_ascii_alphabetic();
            prop_assert_eq!(
                padding(places(&|eight| eight.lower().within(b'a', b'z'))),
                expected(&|byte| is_upper(byte))
            );
            prop_assert_eq!(has_any(&bytes, Eight::beyond_ascii), !bytes.is_ascii());
            prop_assert_eq!(has_any(&bytes, |eight| eight.is(b'#')), bytes.contains(&b'#'));
        }
    }
}
