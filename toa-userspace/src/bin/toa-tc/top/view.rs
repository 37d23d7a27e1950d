//! Draws what `top` shows: two or three lines about the run, the table, the latest message, and the keys.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table, Wrap},
};

use super::columns::{Column, Columns, SPACING};
use crate::terminal::{cut, width};

/// Most lines of the latest message.
const MESSAGE_LINES: usize = 3;

/// What is shown around the table.
#[derive(Debug)]
pub(super) struct Around {
    /// What the run is attached to and watches.
    pub(super) title: String,
    /// How long it has run.
    pub(super) run_time: String,
    /// What it has found.
    pub(super) found: String,
    /// What was lost.
    pub(super) lost: Option<String>,
    /// The latest message.
    pub(super) message: Option<String>,
}

/// Where things are shown.
#[derive(Debug)]
pub(super) struct Areas {
    top: Rect,
    table: Rect,
    message: Rect,
    bottom: Rect,
}

/// A row: its values, and the cells of the other columns.
pub(super) type Cells = (Vec<String>, [String; Column::ALL.len()]);

/// The table.
#[derive(Debug)]
pub(super) struct Body {
    /// The names of the keys.
    pub(super) keys: Vec<String>,
    /// The rows that are shown.
    pub(super) rows: Vec<Cells>,
    /// The column that they are sorted by.
    pub(super) sorted_by: Column,
    /// Which rows are shown, of how many.
    pub(super) position: String,
}

impl Around {
    /// Divides the terminal.
    pub(super) fn areas(&self, area: Rect) -> Areas {
        let columns = usize::from(area.width).max(1);
        let message = self.message.as_deref().map_or(0, |message| {
            // Words are not divided, so that some lines are shorter.
            let lines = width(message).saturating_add(columns / 4).div_ceil(columns);
            lines.clamp(1, MESSAGE_LINES)
        });
        let length = |lines: usize| Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX));
        let rows = [length(self.lines(columns).len()), Constraint::Min(0), length(message), length(1)];
        let [top, table, message, bottom] = Layout::vertical(rows).areas(area);
        Areas { top, table, message, bottom }
    }

    /// Returns the lines at the top.
    fn lines(&self, columns: usize) -> Vec<Line<'_>> {
        let strong = Style::new().add_modifier(Modifier::BOLD);
        let room = columns.saturating_sub(width(&self.run_time).saturating_add(1));
        let title = cut(&self.title, room);
        let gap = " ".repeat(columns.saturating_sub(width(&title)).saturating_sub(width(&self.run_time)));
        let mut first = Line::from(vec![Span::styled(title, strong), Span::raw(gap)]);
        first.push_span(self.run_time.as_str());
        let lost = match &self.lost {
            None => Span::raw("nothing lost"),
            Some(lost) => Span::styled(lost.as_str(), strong.add_modifier(Modifier::REVERSED)),
        };
        let found = self.found.as_str();
        if width(found).saturating_add(2).saturating_add(lost.width()) <= columns {
            return vec![first, Line::from(vec![Span::raw(found), Span::raw(", "), lost])];
        }
        vec![first, Line::from(found), Line::from(lost)]
    }

    /// Draws all of it.
    pub(super) fn draw(&self, frame: &mut Frame<'_>, areas: &Areas, body: &Body) {
        frame.render_widget(Paragraph::new(self.lines(areas.top.width.into())), areas.top);
        if body.rows.is_empty() {
            frame.render_widget(Paragraph::new("nothing seen yet"), areas.table);
        } else {
            frame.render_widget(body.table(areas.table.width.into()), areas.table);
        }
        let message = self.message.as_deref().unwrap_or_default();
        frame.render_widget(Paragraph::new(message).wrap(Wrap { trim: true }), areas.message);
        let reversed = Style::new().add_modifier(Modifier::REVERSED);
        frame.render_widget(
            Paragraph::new(body.bottom(areas.bottom.width.into())).style(reversed),
            areas.bottom,
        );
    }
}

impl Areas {
    /// Returns how many rows the table has room for.
    pub(super) fn rows(&self) -> usize {
        usize::from(self.table.height).saturating_sub(1)
    }
}

impl Body {
    fn table(&self, available: usize) -> Table<'_> {
        let keys = self.keys.iter().enumerate().map(|(at, name)| {
            let cells = self.rows.iter().filter_map(|(keys, _)| keys.get(at));
            let widest = cells.map(|cell| width(cell)).chain([width(name)]).max().unwrap_or(0);
            (widest, name == "client")
        });
        let cell =
            |others: &[String], column: Column| others.get(column as usize).cloned().unwrap_or_default();
        let columns = Columns::fit(available, &keys.collect::<Vec<_>>(), |column| {
            self.rows.iter().map(|(_, others)| cell(others, column)).collect()
        });
        let row = |keys: &[String], others: &dyn Fn(Column) -> Cell<'static>| {
            let keys = keys.iter().zip(&columns.keys).map(|(key, width)| Cell::from(cut(key, *width)));
            let others = columns.others.iter().map(|(column, _)| others(*column));
            Row::new(keys.chain(others).collect::<Vec<_>>())
        };
        let heading = row(&self.keys, &|column| {
            let is_sorted = column == self.sorted_by;
            let style = if is_sorted { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
            Cell::from(Line::from(Span::styled(column.heading(), style)).right_aligned())
        });
        let rows = self.rows.iter().map(|(keys, others)| {
            row(keys, &|column| Cell::from(Line::from(cell(others, column)).right_aligned()))
        });
        let widths = columns.keys.iter().chain(columns.others.iter().map(|(_, width)| width));
        let widths: Vec<_> =
            widths.map(|width| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX))).collect();
        Table::new(rows.collect::<Vec<_>>(), widths)
            .header(heading.style(Style::new().add_modifier(Modifier::BOLD)))
            .column_spacing(u16::try_from(SPACING).unwrap_or(0))
    }

    /// Returns the last line.
    fn bottom(&self, columns: usize) -> String {
        let sort = self.sorted_by.heading();
        let long = format!("q quit  ↑↓ PgUp PgDn scroll  s sort: {sort}");
        let brief = format!("q quit  ↑↓ scroll  s sort: {sort}");
        let room = columns.saturating_sub(width(&self.position).saturating_add(2));
        let keys = if width(&long) <= room { long } else { cut(&brief, room) };
        let gap = columns.saturating_sub(width(&keys)).saturating_sub(width(&self.position));
        format!("{keys}{}{}", " ".repeat(gap), self.position)
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn drawn((columns, rows): (u16, u16), message: Option<&str>, rows_of_table: usize) -> Vec<String> {
        let around = Around {
            title: "eth0: every client with TOA".to_owned(),
            run_time: "1m03s".to_owned(),
            found: "1,234 requests (12 per s) on 56 connections".to_owned(),
            lost: Some("7 packets lost".to_owned()),
            message: message.map(str::to_owned),
        };
        let area = Rect::new(0, 0, columns, rows);
        let areas = around.areas(area);
        let row = |number: usize| {
            let cells = ["9", "1.5", "1", "5s ago", "0s ago"].map(str::to_owned);
            (vec![format!("203.0.113.{number}"), r"b\xffd".to_owned()], cells)
        };
        let body = Body {
            keys: vec!["client".to_owned(), "header:x-team".to_owned()],
            rows: (0..rows_of_table.min(areas.rows())).map(row).collect(),
            sorted_by: Column::Requests,
            position: "1-2 of 2".to_owned(),
        };
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| around.draw(frame, &areas, &body)).unwrap();
        let text = terminal.backend().to_string();
        text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
    }

    #[test]
    fn losses_and_messages_are_shown_beside_the_table() {
        let lines = drawn((60, 9), Some("added 203.0.113.10"), 2);
        let expected = [
            "eth0: every client with TOA                            1m03s",
            "1,234 requests (12 per s) on 56 connections, 7 packets lost",
            "client       header:x-team  requests  per s  last seen",
            r"203.0.113.0  b\xffd                9    1.5     0s ago",
            r"203.0.113.1  b\xffd                9    1.5     0s ago",
            "",
            "",
            "added 203.0.113.10",
            "q quit  ↑↓ PgUp PgDn scroll  s sort: requests       1-2 of 2",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn nothing_fails_on_the_smallest_terminals() {
        for size in [(1, 1), (2, 2), (10, 3), (200, 1), (1, 50)] {
            drawn(size, Some("a message of a few words"), 50);
        }
        assert!(drawn((50, 5), None, 0).contains(&"nothing seen yet".to_owned()));
    }
}
