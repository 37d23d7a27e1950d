//! A table of what clients send to HTTP servers: ordinary, odd but legal, and illegal.

mod bodies;
mod fields;
mod lines;
mod others;
mod row;
pub mod sent_head;
mod streams;

pub use row::{PHANTOM, Part, Row};

/// Returns the table.
pub fn rows() -> Vec<Row> {
    [lines::rows(), fields::rows(), bodies::rows(), streams::rows(), others::rows()].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let rows = rows();
        let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), rows.len());
        assert!(rows.len() >= 150, "{}", rows.len());
    }
}
