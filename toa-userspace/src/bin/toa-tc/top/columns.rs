//! The columns of the table, as many as fit the terminal.

use crate::terminal::width;

/// Columns between two columns of the table.
pub(super) const SPACING: usize = 2;

/// To this width a key, other than an address, is shortened before columns are left out.
const LONG_KEY: usize = 24;

/// To this width keys are shortened at most.
const SHORT_KEY: usize = 8;

/// A column after those of the keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Column {
    /// Number of requests.
    Requests,
    /// Requests per second.
    Rate,
    /// Number of connections.
    Connections,
    /// How long ago the first was seen.
    FirstSeen,
    /// How long ago the last was seen.
    LastSeen,
}

impl Column {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 5] =
        [Self::Requests, Self::Rate, Self::Connections, Self::FirstSeen, Self::LastSeen];

    /// Those that are left out on a narrow terminal, the first one first.
    const DISPENSABLE: [Self; 4] = [Self::FirstSeen, Self::Connections, Self::LastSeen, Self::Rate];

    /// Returns the heading.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Rate => "per s",
            Self::Connections => "connections",
            Self::FirstSeen => "first seen",
            Self::LastSeen => "last seen",
        }
    }
}

/// The columns that fit, with their widths.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Columns {
    /// The widths of the keys.
    pub(super) keys: Vec<usize>,
    /// The others.
    pub(super) others: Vec<(Column, usize)>,
}

impl Columns {
    /// Chooses columns for `available` columns of the terminal. `keys` are the widths of the keys' longest cells, and
    /// whether they are addresses.
    pub(super) fn fit(
        available: usize,
        keys: &[(usize, bool)],
        cells: impl Fn(Column) -> Vec<String>,
    ) -> Self {
        let widest = |column: Column| {
            let cells = cells(column);
            cells.iter().map(|cell| width(cell)).chain([width(column.heading())]).max().unwrap_or(0)
        };
        let others = Column::ALL.map(|column| (column, widest(column))).to_vec();
        let mut columns = Self { keys: keys.iter().map(|(width, _)| *width).collect(), others };
        let least: Vec<_> =
            keys.iter().map(|(width, is_address)| if *is_address { *width } else { LONG_KEY }).collect();
        columns.shorten(available, &least);
        for dispensable in Column::DISPENSABLE {
            if columns.width() > available {
                columns.others.retain(|(column, _)| *column != dispensable);
            }
        }
        columns.shorten(available, &vec![SHORT_KEY; keys.len()]);
        columns
    }

    fn width(&self) -> usize {
        let widths = self.keys.iter().chain(self.others.iter().map(|(_, width)| width));
        widths.map(|width| width.saturating_add(SPACING)).sum::<usize>().saturating_sub(SPACING)
    }

    /// Shortens the keys, the longest one first, to no less than `least`.
    fn shorten(&mut self, available: usize, least: &[usize]) {
        while self.width() > available {
            let keys = self.keys.iter_mut().zip(least);
            let Some((longest, _)) =
                keys.filter(|(width, least)| **width > **least).max_by_key(|(width, _)| **width)
            else {
                return;
            };
            *longest = longest.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(available: usize, keys: &[(usize, bool)]) -> (Vec<usize>, Vec<Column>) {
        let columns = Columns::fit(available, keys, |_| vec!["1,234".to_owned()]);
        assert!(columns.width() <= available, "{columns:?}");
        (columns.keys, columns.others.into_iter().map(|(column, _)| column).collect())
    }

    #[test]
    fn addresses_stay_whole_and_columns_are_left_out() {
        use Column::{Connections, LastSeen, Rate, Requests};
        assert_eq!(fit(80, &[(15, true)]), (vec![15], Column::ALL.to_vec()));
        assert_eq!(fit(80, &[(39, true)]), (vec![39], vec![Requests, Rate, Connections, LastSeen]));
        assert_eq!(fit(50, &[(15, true)]), (vec![15], vec![Requests, Rate, LastSeen]));
        assert_eq!(fit(50, &[(39, true)]), (vec![39], vec![Requests]));
    }

    #[test]
    fn long_values_are_shortened_first() {
        assert_eq!(fit(200, &[(15, true), (257, false)]), (vec![15, 130], Column::ALL.to_vec()));
        assert_eq!(fit(50, &[(15, true), (257, false)]).0, [15, 23]);
        assert_eq!(fit(30, &[(257, false), (257, false)]).0, [9, 9]);
    }
}
