//! Finds the clients of sockets in a balancer's table.

use std::{collections::HashMap, net::SocketAddr};

use super::Entry;

/// Why a table does not name the client of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unnamed {
    /// It has no entry for it.
    NoEntry,
    /// It names several clients.
    Contradictory,
    /// Its entry does not name the server's side, and several sockets have this peer.
    Ambiguous,
}

impl Unnamed {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::NoEntry, Self::Contradictory, Self::Ambiguous];

    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoEntry => "no_entry",
            Self::Contradictory => "contradictory",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// Returns the description in text.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoEntry => "not in the table",
            Self::Contradictory => "of several clients in the table",
            Self::Ambiguous => "with a peer that several connections have",
        }
    }
}

/// Sockets and what a table says of them. Needs memory for the sockets only, whatever the size of the table.
#[derive(Debug, Default)]
pub struct Matching {
    /// The sockets with each peer: their own sides and numbers.
    by_peer: HashMap<SocketAddr, Vec<(SocketAddr, usize)>>,
    clients: Vec<Result<SocketAddr, Unnamed>>,
    unmatched: u64,
}

impl Matching {
    /// Looks for clients of sockets, each given by its peer and its own side.
    pub fn new(sockets: impl IntoIterator<Item = (SocketAddr, SocketAddr)>) -> Self {
        let mut this = Self::default();
        for (peer, own) in sockets {
            this.by_peer.entry(peer).or_default().push((own, this.clients.len()));
            this.clients.push(Err(Unnamed::NoEntry));
        }
        this
    }

    /// Applies an entry of the table.
    pub fn add(&mut self, entry: &Entry) {
        let sockets = self.by_peer.get(&entry.local).map_or(&[][..], Vec::as_slice);
        let found = match (entry.server, sockets) {
            (Some(server), _) => sockets.iter().find(|(own, _)| *own == server),
            (None, [only]) => Some(only),
            (None, []) => None,
            (None, several) => {
                for (_, number) in several {
                    if let Some(client @ Err(Unnamed::NoEntry)) = self.clients.get_mut(*number) {
                        *client = Err(Unnamed::Ambiguous);
                    }
                }
                return;
            }
        };
        let Some(client) = found.and_then(|(_, number)| self.clients.get_mut(*number)) else {
            self.unmatched += 1;
            return;
        };
        match *client {
            Ok(known) if known != entry.client => *client = Err(Unnamed::Contradictory),
            Ok(_) | Err(Unnamed::Contradictory) => {}
            Err(Unnamed::NoEntry | Unnamed::Ambiguous) => *client = Ok(entry.client),
        }
    }

    /// Returns the number of entries without a socket.
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Returns the client of each socket, in the order of the sockets.
    pub fn clients(&self) -> &[Result<SocketAddr, Unnamed>] {
        &self.clients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn entry(client: &str, local: &str, server: Option<&str>) -> Entry {
        Entry { client: address(client), local: address(local), server: server.map(address) }
    }

    fn matching(entries: &[Entry]) -> Matching {
        let mut matching = Matching::new([
            (address("10.9.0.1:1"), address("10.9.0.2:80")),
            (address("10.9.0.1:2"), address("10.9.0.2:80")),
            (address("10.9.0.1:2"), address("10.9.0.2:81")),
        ]);
        for entry in entries {
            matching.add(entry);
        }
        matching
    }

    #[test]
    fn an_entry_names_the_socket_with_its_addresses_and_no_other() {
        let (first, second) = ("203.0.113.9:1", "203.0.113.9:2");
        let found = matching(&[
            entry(first, "10.9.0.1:1", None),
            entry(second, "10.9.0.1:2", Some("10.9.0.2:81")),
            entry(second, "10.9.0.1:1", Some("10.9.0.3:80")),
            entry(second, "10.9.0.1:3", None),
        ]);
        assert_eq!(found.clients(), [Ok(address(first)), Err(Unnamed::NoEntry), Ok(address(second))]);
        assert_eq!(found.unmatched(), 2);
    }

    #[test]
    fn a_socket_of_several_clients_has_none() {
        let entries = [
            entry("203.0.113.9:1", "10.9.0.1:1", None),
            entry("203.0.113.9:1", "10.9.0.1:1", Some("10.9.0.2:80")),
            entry("203.0.113.9:2", "10.9.0.1:1", Some("10.9.0.2:80")),
            entry("203.0.113.9:1", "10.9.0.1:1", None),
        ];
        assert_eq!(matching(&entries[..2]).clients()[0], Ok(address("203.0.113.9:1")));
        assert_eq!(matching(&entries).clients()[0], Err(Unnamed::Contradictory));
    }

    #[test]
    fn a_pair_names_no_socket_if_several_have_its_peer() {
        let pair = entry("203.0.113.9:1", "10.9.0.1:2", None);
        assert_eq!(matching(&[pair]).clients()[1..], [Err(Unnamed::Ambiguous); 2]);
        let whole = entry("203.0.113.9:1", "10.9.0.1:2", Some("10.9.0.2:80"));
        for entries in [[pair, whole], [whole, pair]] {
            let clients = [Ok(address("203.0.113.9:1")), Err(Unnamed::Ambiguous)];
            assert_eq!(matching(&entries).clients()[1..], clients);
        }
    }
}
