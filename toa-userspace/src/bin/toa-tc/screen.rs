//! A table on a terminal that is replaced while it changes.

use std::time::{Duration, Instant};

/// Shortest time between two updates.
const INTERVAL: Duration = Duration::from_secs(1);

/// The part of the terminal that the table takes.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    shown: String,
    /// The number of other lines that were written before the table.
    others: u64,
    updated: Option<Instant>,
}

impl Screen {
    /// Number of rows that are shown, which fit into the smallest usual terminal with the heading and the last row.
    pub(crate) const ROWS: usize = 20;

    /// Returns what replaces the table, or `None` if it is too early or the table is as shown. `others` is the number of
    /// other lines that were written to the terminal. If there are new ones, the table appears after them again.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        others: u64,
        table: impl FnOnce() -> String,
    ) -> Option<String> {
        if self.updated.is_some_and(|updated| now.duration_since(updated) < INTERVAL) {
            return None;
        }
        self.updated = Some(now);
        let table = table();
        if table == self.shown {
            return None;
        }
        let text = if others == self.others { self.erase() + &table } else { table.clone() };
        (self.shown, self.others) = (table, others);
        Some(text)
    }

    /// Returns what erases the table: the control sequences "cursor up" and "erase to the end" (ECMA-48).
    fn erase(&self) -> String {
        match self.shown.lines().count() {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
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
        let mut update = |ms, others, table: &str| screen.update(after(ms), others, || table.to_owned());
        assert_eq!(update(0, 1, "a\nb\n").as_deref(), Some("a\nb\n"));
        assert_eq!(update(999, 1, "c\n"), None);
        assert_eq!(update(1000, 1, "c\n").as_deref(), Some("\x1b[2A\x1b[Jc\n"));
        assert_eq!(update(2000, 1, "c\n"), None);
        // Another line was written after the table, and stays.
        assert_eq!(update(3000, 2, "d\n").as_deref(), Some("d\n"));
        assert_eq!(update(4000, 2, "e\n").as_deref(), Some("\x1b[1A\x1b[Je\n"));
    }
}
