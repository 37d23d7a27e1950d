//! A table on a terminal that is replaced while it changes.

use std::time::{Duration, Instant};

use crate::terminal::{USUAL, cut, width};

/// Shortest time between two updates.
const INTERVAL: Duration = Duration::from_secs(1);

/// Most rows that are shown, with which the table fits into the smallest usual terminal.
const ROWS: usize = 20;

/// Lines of the terminal that are not rows: the heading, the sum of what is not shown, and that of the cursor.
const OTHER_LINES: usize = 3;

/// The part of the terminal that the table takes.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    shown: String,
    /// The number of other lines that were written before the table.
    others: u64,
    updated: Option<Instant>,
}

impl Screen {
    /// Returns what replaces the table, or `None` if it is too early or the table is as shown. `others` is the number of
    /// other lines that were written to the terminal. If there are new ones, the table appears after them again. `size`
    /// has the columns and lines of the terminal. `table` is called with the number of rows to show. Lines that are too long
    /// are cut: those that take several lines of the terminal could not be counted.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        others: u64,
        size: Option<(u16, u16)>,
        table: impl FnOnce(usize) -> String,
    ) -> Option<String> {
        if self.updated.is_some_and(|updated| now.duration_since(updated) < INTERVAL) {
            return None;
        }
        self.updated = Some(now);
        let (columns, lines) = size.unwrap_or(USUAL);
        let (columns, lines) = (usize::from(columns), usize::from(lines));
        let table = table(ROWS.min(lines.saturating_sub(OTHER_LINES)));
        let table: String = table.lines().map(|line| cut(line, columns) + "\n").collect();
        if table == self.shown {
            return None;
        }
        let text = if self.is_in_place(others, size) { self.erase() + &table } else { table.clone() };
        (self.shown, self.others) = (table, others);
        Some(text)
    }

    /// Returns what erases the table at the end, or at least a `^C` after it that the terminal shows.
    pub(crate) fn end(self, others: u64, size: Option<(u16, u16)>) -> String {
        if self.is_in_place(others, size) { self.erase() } else { "\r\x1b[J".to_owned() }
    }

    /// Returns whether the table is what was written last, and each of its lines one of the terminal's. Some may have become
    /// several when the terminal became narrower.
    fn is_in_place(&self, others: u64, size: Option<(u16, u16)>) -> bool {
        let (columns, _) = size.unwrap_or(USUAL);
        others == self.others && self.shown.lines().all(|line| width(line) <= columns.into())
    }

    /// Returns what erases the table: the control sequences "cursor up" and "erase to the end" (ECMA-48).
    fn erase(&self) -> String {
        match self.shown.lines().count() {
            0 => String::new(),
            lines => format!("\r\x1b[{lines}A\x1b[J"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_the_one_before_if_it_differs_and_at_most_once_a_second() {
        let (mut screen, start) = (Screen::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        let mut update =
            |ms, others, table: &str| screen.update(after(ms), others, None, |_| table.to_owned());
        assert_eq!(update(0, 1, "a\nb\n").as_deref(), Some("a\nb\n"));
        assert_eq!(update(999, 1, "c\n"), None);
        assert_eq!(update(1000, 1, "c\n").as_deref(), Some("\r\x1b[2A\x1b[Jc\n"));
        assert_eq!(update(2000, 1, "c\n"), None);
        // Another line was written after the table, and stays.
        assert_eq!(update(3000, 2, "d\n").as_deref(), Some("d\n"));
        assert_eq!(update(4000, 2, "e\n").as_deref(), Some("\r\x1b[1A\x1b[Je\n"));
        assert_eq!(screen.end(2, None), "\r\x1b[1A\x1b[J");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        let (mut screen, start) = (Screen::default(), Instant::now());
        let mut update = |seconds, size, table: &str| {
            let mut rows = 0;
            let now = start + Duration::from_secs(seconds);
            let text = screen.update(now, 0, Some(size), |most| {
                rows = most;
                table.to_owned()
            });
            (text.unwrap(), rows)
        };
        assert_eq!(update(0, (5, 24), "abcdef\n"), ("abcd…\n".to_owned(), 20));
        assert_eq!(update(1, (6, 10), "abcdef\n"), ("\r\x1b[1A\x1b[Jabcdef\n".to_owned(), 7));
        // The line before may take two by now.
        assert_eq!(update(2, (5, 10), "x\n"), ("x\n".to_owned(), 7));
    }
}
