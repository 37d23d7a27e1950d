//! Tables as text for people.

use super::push_fmt;

/// Appends a table with headings. Columns are as wide as their longest cell, in characters.
pub fn table(
    text: &mut String,
    indent: &str,
    headings: &[impl AsRef<str>],
    rows: impl IntoIterator<Item: AsRef<[String]>>,
) {
    let rows: Vec<_> = rows.into_iter().collect();
    let headings: Vec<_> = headings.iter().map(AsRef::as_ref).collect();
    let mut widths: Vec<_> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut put = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        push_fmt(text, format_args!("{indent}{}\n", cells.join("  ").trim_end()));
    };
    put(&mut headings.into_iter());
    for row in &rows {
        put(&mut row.as_ref().iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut text = String::new();
        let rows = [["jörg", "1"], ["b", ""]].map(|row| row.map(str::to_owned));
        table(&mut text, "  ", &["x", "one"], rows);
        assert_eq!(text, "  x     one\n  jörg  1\n  b\n");
    }
}
