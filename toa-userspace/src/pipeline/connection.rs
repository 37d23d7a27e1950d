//! What is known about a connection besides its bytes; printers show it with each request.

use std::net::SocketAddr;

use toa_common::{attribution::Attribution, flow_key::FlowKey};

use crate::{
    address::{ClientAddress, to_ip},
    segment::Segment,
};

/// A connection as of its latest segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connection {
    /// Number within the run, counted from 1.
    pub id: u64,
    /// The 4-tuple.
    pub key: FlowKey,
    /// Distinguishes it from others with the same 4-tuple.
    pub generation: u64,
    /// When its first segment arrived, in nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// When its latest segment arrived, in nanoseconds since the Unix epoch.
    pub last_ns: u64,
    /// Index of the interface that received its latest segment.
    pub interface_index: u32,
    /// The client, and how it was learned.
    pub attribution: Attribution,
    /// When the segment that named this client arrived, in nanoseconds since the Unix epoch.
    named_ns: u64,
}

impl Connection {
    /// Creates the connection of `segment`, its first one.
    pub fn new(id: u64, segment: &Segment<'_>) -> Self {
        Self {
            id,
            key: segment.key,
            generation: segment.generation,
            first_ns: segment.time_ns,
            last_ns: segment.time_ns,
            interface_index: segment.interface_index,
            attribution: segment.attribution,
            named_ns: segment.time_ns,
        }
    }

    /// Takes over what a further segment says.
    ///
    /// The client of the newest segment that is not provisional wins. The rings of different CPUs are not read in order
    /// of time, and a later packet may replace the client that a SYN named, but not the reverse.
    pub fn update(&mut self, segment: &Segment<'_>) {
        self.first_ns = self.first_ns.min(segment.time_ns);
        if segment.time_ns >= self.last_ns {
            self.last_ns = segment.time_ns;
            self.interface_index = segment.interface_index;
        }
        let wins = match (self.attribution.is_provisional(), segment.attribution.is_provisional()) {
            (true, false) => true,
            (false, true) => false,
            _ => segment.time_ns >= self.named_ns,
        };
        if wins {
            self.attribution = segment.attribution;
            self.named_ns = segment.time_ns;
        }
    }

    /// Returns the real client.
    pub fn client(&self) -> ClientAddress {
        ClientAddress::new(&self.attribution)
    }

    /// Returns the sender of the packets, the balancer.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.source), self.key.source_port())
    }

    /// Returns the receiver of the packets, this host.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.destination), self.key.destination_port())
    }
}

#[cfg(test)]
mod tests {
    use toa_common::{address::Address, attribution::flags};

    use super::*;
    use crate::segment::tests::segment;

    fn named(last: u8, time_ns: u64, provisional: bool) -> Segment<'static> {
        let address = Address::from_ipv4(&[203, 0, 113, last]);
        let flags = if provisional { flags::PROVISIONAL } else { 0 };
        let attribution = Attribution { address, port_be: 1u16.to_be(), flags, ..Attribution::EMPTY };
        Segment { time_ns, attribution, ..segment(1, 0, b"") }
    }

    #[test]
    fn the_newest_certain_name_wins_in_any_order() {
        let names = [named(1, 10, true), named(2, 20, false), named(3, 30, false)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let [first, second, third] = order.map(|at: usize| names[at]);
            let mut connection = Connection::new(1, &first);
            connection.update(&second);
            connection.update(&third);
            assert_eq!(connection.client().to_string(), "203.0.113.3:1");
            assert_eq!((connection.first_ns, connection.last_ns), (10, 30));
            assert!(!connection.attribution.is_provisional());
        }
    }
}
