//! What is known about a connection besides its bytes; printers show it with each request.

use std::{cmp::Ordering, net::SocketAddr};

use toa_common::{
    address::Client,
    attribution::{Attribution, LearnedFrom},
    flow_key::FlowKey,
};

use crate::{
    address::{ClientAddress, to_address, to_ip},
    http::ProxyHeader,
    segment::Segment,
    tls::ClientHello,
};

/// How much of a `ClientHello` is kept, in bytes. Names have up to 255 (RFC 1035 section 2.3.4).
const MAX_HELLO_BYTES: usize = 1024;

/// A connection as of its latest segment.
#[derive(Clone, Debug, PartialEq)]
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
    /// The PROXY header that it begins with, if it does.
    pub proxy: Option<Box<ProxyHeader>>,
    /// Whether nothing names the client, but a rule the sender, who is the client then.
    pub is_sender_watched: bool,
    /// What it offered in its `ClientHello`, if it is TLS and that is known, and not too long to be kept.
    pub hello: Option<Box<ClientHello>>,
    /// Whether its plaintext is read.
    pub is_decrypted: bool,
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
            proxy: None,
            is_sender_watched: false,
            hello: None,
            is_decrypted: false,
            named_ns: segment.time_ns,
        }
    }

    /// Takes over what a further segment says.
    ///
    /// The client of the newest segment that is not provisional wins. The rings of different CPUs are not read in order
    /// of time, and a later packet may replace the client that a SYN named, but not the reverse. Returns whether the
    /// client is now another one.
    pub fn update(&mut self, segment: &Segment<'_>) -> bool {
        self.first_ns = self.first_ns.min(segment.time_ns);
        if segment.time_ns >= self.last_ns {
            self.last_ns = segment.time_ns;
            self.interface_index = segment.interface_index;
        }
        if segment.attribution == self.attribution {
            // Usually.
            self.named_ns = self.named_ns.max(segment.time_ns);
            return false;
        }
        let wins = match certainty(&segment.attribution).cmp(&certainty(&self.attribution)) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => segment.time_ns >= self.named_ns,
        };
        let is_other = wins
            && (segment.attribution.is_named(), segment.attribution.client())
                != (self.attribution.is_named(), self.attribution.client());
        if wins {
            self.attribution = segment.attribution;
            self.named_ns = segment.time_ns;
        }
        is_other
    }

    /// Takes over what a PROXY header says: its client, unless a TOA names one.
    pub fn begin_with(&mut self, proxy: ProxyHeader) {
        if let (Some(client), false) = (proxy.client, self.attribution.is_named()) {
            let client = Client { address: to_address(client.ip()), port_be: client.port().to_be() };
            self.attribution = Attribution::from_outside(&client, LearnedFrom::Proxy);
        }
        self.proxy = Some(Box::new(proxy));
    }

    /// Keeps a `ClientHello`, unless it is long.
    pub(super) fn greet(&mut self, hello: &ClientHello) {
        let is_said = hello.server_name.is_some() || !hello.alpn.is_empty();
        if is_said && hello.memory() <= MAX_HELLO_BYTES {
            self.hello = Some(Box::new(hello.clone()));
        }
    }

    /// Returns the real client, if anything names it, or a rule the sender.
    pub fn client(&self) -> Option<ClientAddress> {
        let named = ClientAddress::named(&self.attribution);
        named.or_else(|| self.is_sender_watched.then(|| ClientAddress::new(&self.attribution)))
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

/// Returns how certain a client is, from 0: the sender, one of a PROXY header, one of a SYN's TOA, any other.
fn certainty(attribution: &Attribution) -> u8 {
    match attribution.learned_from() {
        _ if !attribution.is_named() => 0,
        Some(LearnedFrom::Proxy) => 1,
        _ if attribution.is_provisional() => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use toa_common::{address::Address, attribution::flags};

    use super::*;
    use crate::{http::ProxyVersion, segment::tests::segment};

    fn named(last: u8, time_ns: u64, provisional: bool) -> Segment<'static> {
        let address = Address::from_ipv4(&[203, 0, 113, last]);
        let flags = if provisional { flags::PROVISIONAL } else { 0 };
        let attribution = Attribution {
            address,
            port_be: 1u16.to_be(),
            toa_kind: 254,
            toa_length: 8,
            flags,
            ..Attribution::EMPTY
        };
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
            assert_eq!(connection.client().unwrap().to_string(), "203.0.113.3:1");
            assert_eq!((connection.first_ns, connection.last_ns), (10, 30));
            assert!(!connection.attribution.is_provisional());
        }
    }

    #[test]
    fn a_proxy_header_names_whom_no_toa_names() {
        let header = || ProxyHeader {
            client: Some("198.51.100.7:5000".parse().unwrap()),
            ..ProxyHeader::unknown(ProxyVersion::V2)
        };
        let unnamed = segment(1, 0, b"");
        let unnamed =
            Segment { attribution: Attribution { toa_length: 0, ..unnamed.attribution }, ..unnamed };
        let mut connection = Connection::new(1, &unnamed);
        assert_eq!(connection.client(), None);
        connection.begin_with(header());
        let client = |connection: &Connection| connection.client().unwrap().to_string();
        assert_eq!(client(&connection), "198.51.100.7:5000");
        assert!(!connection.update(&Segment { time_ns: 9, ..unnamed }));
        assert_eq!(connection.attribution.learned_from(), Some(LearnedFrom::Proxy));
        assert!(connection.update(&named(1, 10, true)));
        assert_eq!(client(&connection), "203.0.113.1:1");
        let mut connection = Connection::new(1, &named(1, 10, true));
        connection.begin_with(header());
        assert_eq!(client(&connection), "203.0.113.1:1");
        assert!(connection.proxy.is_some());
    }
}
