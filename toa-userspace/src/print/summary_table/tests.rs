use toa_common::{
    address::{Address, Client},
    attribution::{Attribution, LearnedFrom},
};

use super::*;
use crate::{
    event::Closed,
    print::tests::first_request,
    segment::{Segment, tests::segment},
};

fn connection(id: u64, last: u8) -> Connection {
    let address = Address::from_ipv4(&[203, 0, 113, last]);
    let attribution = Attribution::from_outside(&Client { address, port_be: 0 }, LearnedFrom::Table);
    Connection::new(id, &Segment { attribution, ..segment(1, 0, b"") })
}

fn table(by: &str) -> SummaryTable {
    SummaryTable::new(by.parse().unwrap(), Redactor::default())
}

fn open(table: &mut SummaryTable, id: u64, last: u8) {
    table.event(&connection(id, last), &Event::Opened);
}

fn ask(table: &mut SummaryTable, id: u64, last: u8, team: &str, time_ns: u64) {
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-team: {team}\r\n\r\n");
    table.event(&connection(id, last), &Event::Request(&first_request(head.as_bytes(), time_ns)));
}

/// Returns the rows as text: the values, requests and connections.
fn rows(table: &SummaryTable) -> Vec<String> {
    let row = |Row { values, counts, .. }: Row<'_>| {
        let values: Vec<_> = values.into_iter().map(|value| value.unwrap_or("-")).collect();
        format!("{} {} {}", values.join(" "), counts.requests, counts.connections)
    };
    table.rows().into_iter().map(row).collect()
}

#[test]
fn connections_and_requests_add_up_by_client_and_the_busiest_comes_first() {
    let mut table = table("client");
    for (id, last) in [(1, 9), (2, 9), (3, 7), (4, 8), (5, 8)] {
        open(&mut table, id, last);
    }
    for _ in 0..3 {
        ask(&mut table, 3, 7, "a", 1);
    }
    assert_eq!(rows(&table), ["203.0.113.7 3 1", "203.0.113.8 0 2", "203.0.113.9 0 2"]);
    assert_eq!(table.others(), Counts::default());
}

#[test]
fn a_connection_counts_once_in_each_group_in_which_it_has_requests() {
    let mut table = table("header:x-team");
    open(&mut table, 1, 9);
    for (id, team) in [(1, "a"), (2, "a"), (1, "b"), (1, "a"), (2, "a"), (1, "b")] {
        ask(&mut table, id, 9, team, 1);
    }
    assert_eq!(rows(&table), ["a 4 2", "b 2 1"]);
    assert_eq!(table.pairs, 3);
    for id in [1, 2, 2] {
        table.event(&connection(id, 9), &Event::Closed(Closed::Fin));
    }
    assert_eq!((table.pairs, table.connections.len()), (0, 0));
}

#[test]
fn groups_know_when_they_were_seen_first_and_last() {
    let mut table = table("client,header:x-team");
    for (team, time_ns) in [("a", 5), ("b", 3), ("a", 2), ("a", 7)] {
        ask(&mut table, 1, 9, team, time_ns);
    }
    let times: Vec<_> = table.rows().iter().map(|row| (row.counts.first_ns, row.counts.last_ns)).collect();
    assert_eq!(times, [(2, 7), (3, 3)]);
    let sum = Counts::sum(table.rows().into_iter().map(|row| row.counts).chain([Counts::default()]));
    assert_eq!(sum, Counts { requests: 4, connections: 2, first_ns: 2, last_ns: 7 });
}

#[test]
fn connections_that_nothing_names_are_a_group() {
    let mut table = table("client");
    let unnamed = Segment { attribution: Attribution::EMPTY, ..segment(1, 0, b"") };
    table.event(&Connection::new(1, &unnamed), &Event::Opened);
    assert_eq!(rows(&table), ["- 0 1"]);
}

#[test]
fn groups_without_room_are_counted_together() {
    let mut table = SummaryTable { max_groups: 2, ..table("client") };
    for (id, last) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 2)] {
        open(&mut table, id, last);
    }
    assert_eq!(rows(&table), ["203.0.113.2 0 2", "203.0.113.1 0 1"]);
    assert_eq!((table.others().requests, table.others().connections), (0, 2));
}

#[test]
fn the_first_groups_of_any_order_are_those_of_all() {
    let mut table = table("header:x-team");
    for number in 0..50 {
        // The first one has most requests, and was seen first.
        for _ in number..50 {
            ask(&mut table, number, 9, &format!("{number:02}"), number);
        }
    }
    let first = |limit| -> Vec<_> {
        let rows = table.first_rows(limit, |_, counts| Reverse(counts.last_ns));
        rows.into_iter().map(|row| row.number).collect()
    };
    assert_eq!(first(3), [49, 48, 47]);
    assert_eq!(first(100), (0..50).rev().collect::<Vec<_>>());
    assert_eq!(first(0), [0; 0]);
    let all: Vec<_> = table.rows().iter().map(|row| row.number).collect();
    assert_eq!(all, (0..50).collect::<Vec<_>>());
    assert_eq!(table.requests(), (1..=50).rev().collect::<Vec<_>>());
    assert_eq!((table.len(), table.total().requests, table.total().connections), (50, 1275, 50));
}
