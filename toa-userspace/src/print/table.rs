//! Tables as text for people.

use super::push_fmt;

/// Appends a table with headings. Columns are as wide as their longest cell, in characters.
pub fn table<const N: usize>(
    text: &mut String,
    indent: &str,
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let rows: Vec<_> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        push_fmt(text, format_args!("{indent}{}\n", cells.join("  ").trim_end()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut text = String::new();
        let rows = [["jörg", "1"], ["b", ""]].map(|row| row.map(str::to_owned));
        table(&mut text, "  ", ["x", "one"], rows.into_iter());
        assert_eq!(text, "  x     one\n  jörg  1\n  b\n");
    }
}
