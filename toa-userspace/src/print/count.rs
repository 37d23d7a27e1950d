//! Counts as text for people.

use std::fmt;

/// A count with its digits in groups of three.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

impl From<u64> for Count {
    fn from(count: u64) -> Self {
        Self(count)
    }
}

impl From<usize> for Count {
    fn from(count: usize) -> Self {
        Self(count as u64)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.char_indices() {
            if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Returns a count with its noun: `1 rule`, `2 rules`.
pub fn plural(count: impl Into<Count>, noun: &str) -> String {
    let count = count.into();
    let ending = if count.0 == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let numbers = [0, 999, 1000, 12_431, u64::MAX].map(|number| Count(number).to_string());
        assert_eq!(numbers, ["0", "999", "1,000", "12,431", "18,446,744,073,709,551,615"]);
    }
}
