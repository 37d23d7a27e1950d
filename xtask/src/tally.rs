//! Counts of test results.

use std::ops::AddAssign;

/// Numbers of tests by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that are marked as ignored. They are reported at the end, because no test is skipped silently.
    pub(crate) ignored: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Parses the numbers of a `test result:` line; `None` for any other line.
pub(crate) fn parse(line: &str) -> Option<Tally> {
    let numbers = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut tally = Tally::default();
    for part in numbers.split(';') {
        match part.trim().split_once(' ') {
            Some((count, "passed")) => tally.passed = count.parse().ok()?,
            Some((count, "failed")) => tally.failed = count.parse().ok()?,
            Some((count, "ignored")) => tally.ignored = count.parse().ok()?,
            _ => {}
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_read() {
        let end = "0 measured; 3 filtered out; finished in 0.00s\n";
        let line = format!("test result: ok. 12 passed; 0 failed; 1 ignored; {end}");
        assert_eq!(parse(&line), Some(Tally { passed: 12, failed: 0, ignored: 1 }));
        let line = format!("test result: FAILED. 5 passed; 2 failed; 0 ignored; {end}");
        assert_eq!(parse(&line), Some(Tally { passed: 5, failed: 2, ignored: 0 }));
    }

    #[test]
    fn other_lines_are_not() {
        for line in
            ["", "test a ... ok", "running 12 tests", " test result: ok. 1 passed; 0 failed", "test result: "]
        {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
