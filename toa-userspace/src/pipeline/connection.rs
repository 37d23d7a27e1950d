//! What is known of a connection besides its bytes: what printers say of each request.

use std::net::SocketAddr;

use toa_common::{attribution::Attribution, flow_key::FlowKey};

use crate::{
    address::{ClientAddress, to_ip},
    segment::Segment,
};

/// A connection, as its latest segment shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connection {
    /// Number within the run, from 1 on.
    pub id: u64,
    /// Its 4-tuple.
    pub key: FlowKey,
    /// Tells it from others with the same 4-tuple.
    pub generation: u64,
    /// When its first segment came, in nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// When its latest segment came, in nanoseconds since the Unix epoch.
    pub last_ns: u64,
    /// Index of the interface that received its latest segment.
    pub interface_index: u32,
    /// Whose it is.
    pub attribution: Attribution,
    /// When the segment came that named this client.
    named_ns: u64,
}

impl Connection {
    /// The connection of `segment`, its first one.
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
    /// The client of the newest segment that is not provisional wins: rings of different CPUs are not read in
    /// the order of time, and what a SYN said may be replaced by what a later packet says, not the reverse.
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

    /// The real client.
    pub fn client(&self) -> ClientAddress {
        ClientAddress::new(&self.attribution)
    }

    /// The sender of the packets: the balancer.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.source), self.key.source_port())
    }

    /// The receiver of the packets: this host.
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
