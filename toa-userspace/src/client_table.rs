//! Counts connections and requests by real client (`toa-tc clients`, `--summary-by client`).

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use crate::{
    event::Event,
    ledger::add,
    pipeline::{Sink, connection::Connection},
};

/// Maximum number of clients that are counted separately.
const MAX_CLIENTS: usize = 65_536;

/// The counts of one client, or of several.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClientCounts {
    /// Connections that sent anything.
    pub connections: u64,
    /// Requests, also incomplete ones.
    pub requests: u64,
}

/// The clients, by address: a client's ports change with its connections.
#[derive(Clone, Debug)]
pub struct ClientTable {
    clients: HashMap<IpAddr, ClientCounts>,
    max_clients: usize,
    others: ClientCounts,
    unknown: ClientCounts,
}

impl Default for ClientTable {
    fn default() -> Self {
        let none = ClientCounts::default();
        Self { clients: HashMap::new(), max_clients: MAX_CLIENTS, others: none, unknown: none }
    }
}

impl ClientTable {
    /// Returns the clients with their counts. Those with the most requests come first.
    pub fn rows(&self) -> Vec<(IpAddr, ClientCounts)> {
        let mut rows: Vec<_> = self.clients.iter().map(|(client, counts)| (*client, *counts)).collect();
        rows.sort_unstable_by_key(|(client, counts)| {
            (Reverse(counts.requests), Reverse(counts.connections), *client)
        });
        rows
    }

    /// Returns the counts of the clients for whom the table had no room, together.
    pub fn others(&self) -> ClientCounts {
        self.others
    }

    /// Returns the counts of all connections whose clients nothing names.
    pub fn unknown(&self) -> ClientCounts {
        self.unknown
    }

    fn counts(&mut self, client: Option<IpAddr>) -> &mut ClientCounts {
        let Some(client) = client else {
            return &mut self.unknown;
        };
        if self.clients.len() < self.max_clients || self.clients.contains_key(&client) {
            self.clients.entry(client).or_default()
        } else {
            &mut self.others
        }
    }
}

impl Sink for ClientTable {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let client = connection.client().map(|client| client.address);
        match event {
            Event::Opened => add(&mut self.counts(client).connections, 1),
            Event::Request(_) => add(&mut self.counts(client).requests, 1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use toa_common::{
        address::{Address, Client},
        attribution::{Attribution, LearnedFrom},
    };

    use super::*;
    use crate::segment::{Segment, tests::segment};

    fn connection(last: u8, port: u16) -> Connection {
        let address = Address::from_ipv4(&[203, 0, 113, last]);
        let client = Client { address, port_be: port.to_be() };
        let attribution = Attribution::from_outside(&client, LearnedFrom::Table);
        Connection::new(1, &Segment { attribution, ..segment(1, 0, b"") })
    }

    fn counts(connections: u64, requests: u64) -> ClientCounts {
        ClientCounts { connections, requests }
    }

    fn ip(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    #[test]
    fn connections_add_up_by_address_and_the_busiest_client_comes_first() {
        let mut table = ClientTable::default();
        for (last, port) in [(9, 1), (9, 2), (7, 1), (8, 1), (8, 2)] {
            table.event(&connection(last, port), &Event::Opened);
        }
        table.counts(Some(ip(7))).requests = 3;
        assert_eq!(table.rows(), [(ip(7), counts(1, 3)), (ip(8), counts(2, 0)), (ip(9), counts(2, 0))]);
        assert_eq!(table.others(), counts(0, 0));
    }

    #[test]
    fn connections_that_nothing_names_are_counted_together() {
        let mut table = ClientTable::default();
        let unnamed = Segment { attribution: Attribution::EMPTY, ..segment(1, 0, b"") };
        table.event(&Connection::new(1, &unnamed), &Event::Opened);
        assert_eq!((table.rows(), table.unknown()), (Vec::new(), counts(1, 0)));
    }

    #[test]
    fn clients_without_room_are_counted_together() {
        let mut table = ClientTable { max_clients: 2, ..ClientTable::default() };
        for last in [1, 2, 3, 4, 2] {
            table.event(&connection(last, 1), &Event::Opened);
        }
        assert_eq!(table.rows(), [(ip(2), counts(2, 0)), (ip(1), counts(1, 0))]);
        assert_eq!(table.others(), counts(2, 0));
    }
}
