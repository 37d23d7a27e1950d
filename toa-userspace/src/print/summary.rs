//! Tables of groups as text.

use super::{
    clock::Clock,
    count::{Count, plural},
    group_by::shown,
    push_fmt,
    summary_table::{Counts, Row, SummaryTable},
    table::table,
};

/// Returns the table with its first `max_rows` groups.
pub(super) fn text(groups: &SummaryTable, max_rows: usize, clock: &Clock) -> String {
    let names = groups.by().names();
    let headings: Vec<_> =
        names.chain(["requests", "connections", "first seen", "last seen"].map(str::to_owned)).collect();
    let rows = groups.rows();
    let row = |Row { values, counts, .. }: &Row<'_>| {
        let values = values.iter().map(|value| shown(*value).to_owned());
        let counted = [counts.requests.to_string(), counts.connections.to_string()];
        values.chain(counted).chain([counts.first_ns, counts.last_ns].map(|ns| clock.date_time(ns))).collect()
    };
    let first: Vec<Vec<String>> = rows.iter().take(max_rows).map(row).collect();
    let mut text = String::new();
    table(&mut text, "", &headings, first);
    let hidden = rows.iter().skip(max_rows).map(|row| row.counts);
    let rest = Counts::sum(hidden.chain([groups.others()]));
    if rest != Counts::default() {
        let more = match rows.len().saturating_sub(max_rows) {
            0 => "others".to_owned(),
            more if groups.others() == Counts::default() => format!("{} more", Count::from(more)),
            more => format!("more than {} others", Count::from(more)),
        };
        let (requests, connections) =
            (plural(rest.requests, "request"), plural(rest.connections, "connection"));
        push_fmt(&mut text, format_args!("and {more}: {requests} on {connections}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        event::Event,
        pipeline::{Sink as _, connection::Connection},
        print::{clock::TimeForm, redact::Redactor, tests::first_request},
        segment::tests::segment,
    };

    fn shown(by: &str, teams: &[&str], max_rows: usize) -> String {
        let mut groups = SummaryTable::new(by.parse().unwrap(), Redactor::default());
        let connection = Connection::new(1, &segment(1, 0, b""));
        for (number, team) in teams.iter().enumerate() {
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-team:{team}\r\n\r\n");
            let time_ns = number as u64 * 1_000_000_000;
            groups.event(&connection, &Event::Request(&first_request(head.as_bytes(), time_ns)));
        }
        text(&groups, max_rows, &Clock::new(TimeForm::OfDay(TimeZone::UTC)))
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "\
client           header:x-team  requests  connections  first seen           last seen
120.120.111.111  payments       2         1            1970-01-01 00:00:00  1970-01-01 00:00:02
120.120.111.111  \"\"             1         1            1970-01-01 00:00:01  1970-01-01 00:00:01
";
        assert_eq!(shown("client,header:x-team", &["payments", "", "payments"], 10), expected);
    }

    #[test]
    fn a_table_without_groups_has_a_heading() {
        assert_eq!(shown("client", &[], 10), "client  requests  connections  first seen  last seen\n");
    }

    #[test]
    fn what_is_not_shown_is_added_up() {
        let shown = shown("header:x-team", &["a", "a", "b", "c", "c", "d"], 2);
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.ends_with("\nand 2 more: 2 requests on 2 connections\n"), "{shown}");
    }
}
