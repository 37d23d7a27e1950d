//! Which fields of a request are printed (`--header`, `--not-header`).

use glob::{MatchOptions, Pattern};

use crate::memo::Memo;

/// How names are compared: in any case (RFC 9110 section 5.1).
const ANY_CASE: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// A choice of fields by their names. By default, all are chosen.
#[derive(Clone, Debug, Default)]
pub struct FieldChoice {
    only: Vec<Pattern>,
    without: Vec<Pattern>,
    /// What was found out about names.
    known: Memo<bool>,
}

impl FieldChoice {
    /// Chooses the fields that match a pattern of `only`, or all if there is none, and none of `without`.
    pub fn new(only: Vec<Pattern>, without: Vec<Pattern>) -> Self {
        Self { only, without, known: Memo::default() }
    }

    /// Returns whether all fields are chosen.
    #[inline]
    pub fn is_everything(&self) -> bool {
        self.only.is_empty() && self.without.is_empty()
    }

    /// Returns whether the fields of this name are chosen.
    #[inline]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.is_everything() || self.known.get(name, || self.matches(name))
    }

    fn matches(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name);
        let is_of = |patterns: &[Pattern]| patterns.iter().any(|it| it.matches_with(&name, ANY_CASE));
        (self.only.is_empty() || is_of(&self.only)) && !is_of(&self.without)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns_in_any_case() {
        let patterns = |names: &[&str]| names.iter().map(|name| Pattern::new(name).unwrap()).collect();
        let choice = |only: &[&str], without: &[&str]| FieldChoice::new(patterns(only), patterns(without));
        let chosen = |choice: FieldChoice| {
            ["host", "X-Team", "x-trace-id", "\u{fffd}"].map(|name| choice.contains(name.as_bytes()))
        };
        assert_eq!(chosen(choice(&[], &[])), [true; 4]);
        assert_eq!(chosen(choice(&["HOST", "x-t*"], &[])), [true, true, true, false]);
        assert_eq!(chosen(choice(&[], &["x-*"])), [true, false, false, true]);
        assert_eq!(chosen(choice(&["x-*"], &["*-id"])), [false, true, false, false]);
        assert!(!choice(&["x-*"], &[]).contains(b"\xff"));
    }
}
