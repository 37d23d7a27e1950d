//! Responsible for two columns of plain text. Not responsible for what is in them.

use std::fmt::Write;

/// Rows under a heading.
#[must_use]
pub fn table(heading: (&str, &str), rows: &[(String, String)]) -> String {
    let lefts = rows.iter().map(|(left, _)| left.as_str()).chain([heading.0]);
    let width = lefts.map(|left| left.chars().count()).max().unwrap_or_default();
    let rights = rows.iter().map(|(_, right)| right.as_str()).chain([heading.1]);
    let rest = rights.map(|right| right.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    let mut row = |left: &str, right: &str| {
        let line = format!("  {left:width$} | {right}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    };
    row(heading.0, heading.1);
    row(&"-".repeat(width), &"-".repeat(rest));
    for (left, right) in rows {
        row(left, right);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let rows = [("aaa".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())];
        let expected = "  x   | one\n  --- | ---\n  aaa | 1\n  b   |\n";
        assert_eq!(table(("x", "one"), &rows), expected);
    }
}
