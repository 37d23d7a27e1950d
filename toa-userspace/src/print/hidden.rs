//! Requests that were read, but not printed because the user did not ask for them.

use serde::Serialize;

use super::count::Count;

/// Counts of them, by the option that hid them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Hidden {
    /// Not matched by `--grep`.
    pub grep: u64,
    /// Not the first of their group of `--once-by`.
    pub once_by: u64,
}

impl Hidden {
    /// Returns the counts that are not zero, in words.
    pub(super) fn parts(self) -> impl Iterator<Item = String> {
        let counts = [(self.grep, "--grep"), (self.once_by, "--once-by")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, option)| format!("{} hidden by {option}", Count(count)))
    }
}
