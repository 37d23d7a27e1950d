//! Arithmetic on TCP sequence numbers (RFC 9293 section 3.4).

/// A TCP sequence number. It has no order, because only distances within half the number space are meaningful. Its
/// operations wrap and cannot overflow.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Seq(pub u32);

impl Seq {
    /// Returns by how many bytes `self` follows `earlier`; negative if it precedes it.
    pub fn distance(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

impl core::ops::Add<u32> for Seq {
    type Output = Self;

    /// Advances by `bytes`, modulo 2^32.
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn distance_across_the_wrap_is_exact() {
        assert_eq!(Seq(5).distance(Seq(u32::MAX - 4)), 10);
        assert_eq!(Seq(u32::MAX - 4).distance(Seq(5)), -10);
        assert_eq!(Seq(u32::MAX) + 1, Seq(0));
    }
}
