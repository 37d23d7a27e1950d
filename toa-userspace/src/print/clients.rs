//! The table of clients as text.

use super::table::table;
use crate::client_table::{ClientCounts, ClientTable};

/// Returns the table with its first `max_rows` clients.
pub fn text(clients: &ClientTable, max_rows: usize) -> String {
    let mut text = String::new();
    let (rows, others, unknown) = (clients.rows(), clients.others(), clients.unknown());
    let row =
        |name: String, connections: u64, requests: u64| [name, connections.to_string(), requests.to_string()];
    let shown = rows.iter().take(max_rows);
    let shown = shown.map(|(client, counts)| row(client.to_string(), counts.connections, counts.requests));
    let hidden = rows.iter().skip(max_rows).map(|(_, counts)| *counts).chain([others]);
    let (connections, requests) = hidden.fold((0_u64, 0_u64), |(connections, requests), counts| {
        (connections.saturating_add(counts.connections), requests.saturating_add(counts.requests))
    });
    let rest = (connections, requests) != (0, 0);
    let rest = rest.then(|| row("others".to_owned(), connections, requests));
    let unknown = (unknown != ClientCounts::default())
        .then(|| row("-".to_owned(), unknown.connections, unknown.requests));
    let rows = shown.chain(rest).chain(unknown);
    table(&mut text, "", ["client", "connections", "requests"], rows);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Event,
        pipeline::{Sink as _, connection::Connection},
        segment::tests::segment,
    };

    #[test]
    fn a_table_without_clients_has_a_heading() {
        assert_eq!(text(&ClientTable::default(), 10), "client  connections  requests\n");
    }

    #[test]
    fn what_is_not_shown_is_added_up() {
        let mut clients = ClientTable::default();
        clients.event(&Connection::new(1, &segment(1, 0, b"")), &Event::Opened);
        let shown = text(&clients, 10);
        assert!(shown.lines().count() == 2 && !shown.contains("others"), "{shown}");
        assert_eq!(text(&clients, 0), "client  connections  requests\nothers  1            0\n");
    }
}
