//! How many scanned connections have a known client, and why the others have none.

use super::real_client::RealClient;

/// Why a connection's client is not known.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum UnknownReason {
    /// The server's socket names the same peer as the kernel's table: the client is direct, or no module knows it.
    Same,
    /// The socket uses kTLS, which hides the module's answer.
    KernelTls,
    /// Not accepted yet.
    Queued,
    /// Closed during the scan.
    Closed,
    /// We may list the descriptors of its process, but not duplicate them.
    Denied,
    /// No visible process owns it.
    Unseen,
    /// Outbound: its local port is an ephemeral one on which nothing listens.
    ConnectedOut,
    /// Its local port was not selected.
    OtherPort,
    /// Its peer is not a trusted balancer.
    NoBalancer,
}

impl UnknownReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Same,
        Self::KernelTls,
        Self::Queued,
        Self::Closed,
        Self::Denied,
        Self::Unseen,
        Self::ConnectedOut,
        Self::OtherPort,
        Self::NoBalancer,
    ];

    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "peer_only",
            Self::KernelTls => "kernel_tls",
            Self::Queued => "queued",
            Self::Closed => "closed",
            Self::Denied => "denied",
            Self::Unseen => "unseen",
            Self::ConnectedOut => "connected_out",
            Self::OtherPort => "other_port",
            Self::NoBalancer => "no_balancer",
        }
    }
}

/// How many of the accepted connections the kernel saw an unknown TCP option on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marked {
    /// Those connections.
    pub marked: u64,
    /// All accepted connections.
    pub total: u64,
}

/// Properties of a connection's socket that help to explain why its client is not known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traits {
    /// Whether it belongs to an IPv6 listener. Its client may be an IPv4 one.
    pub is_ipv6: bool,
    /// Whether the kernel is known to have seen an unknown TCP option, such as a TOA. Otherwise it may have or not.
    pub saw_unknown: bool,
}

/// The number of scanned connections with a known client, and of the others by reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Connections with a known client.
    pub named: u64,
    /// Those of them whose sockets belong to IPv6 listeners.
    pub named_ipv6: u64,
    /// Connections on which the kernel saw an unknown TCP option.
    pub saw_unknown: u64,
    /// Connections whose client is unknown for the reason [`UnknownReason::Same`] and whose sockets belong to IPv6
    /// listeners.
    pub same_ipv6: u64,
    /// Connections whose client is unknown for the reason [`UnknownReason::Same`] and on which the kernel saw an unknown
    /// TCP option.
    pub same_saw_unknown: u64,
    /// Processes whose descriptors we may not list; 0 if none had to be listed.
    pub refused_processes: u64,
    reasons: [u64; UnknownReason::ALL.len()],
}

impl Counts {
    /// Counts one connection.
    pub fn add(&mut self, client: &Result<RealClient, UnknownReason>, traits: Traits) {
        let (is_ipv6, saw_unknown) = (u64::from(traits.is_ipv6), u64::from(traits.saw_unknown));
        self.saw_unknown += saw_unknown;
        match client {
            Ok(_) => {
                self.named += 1;
                self.named_ipv6 += is_ipv6;
            }
            Err(reason) => {
                if let Some(count) = self.reasons.get_mut(*reason as usize) {
                    *count += 1;
                }
                if *reason == UnknownReason::Same {
                    self.same_ipv6 += is_ipv6;
                    self.same_saw_unknown += saw_unknown;
                }
            }
        }
    }

    /// Returns how many connections have no known client for this reason.
    pub fn of(&self, reason: UnknownReason) -> u64 {
        self.reasons.get(reason as usize).copied().unwrap_or(0)
    }

    /// Returns the number of scanned connections.
    pub fn total(&self) -> u64 {
        self.named + self.reasons.iter().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_counted_once() {
        let mut counts = Counts::default();
        for (times, reason) in UnknownReason::ALL.into_iter().enumerate() {
            assert_eq!(UnknownReason::ALL[reason as usize], reason);
            (0..times).for_each(|_| counts.add(&Err(reason), Traits::default()));
        }
        assert_eq!(counts.total(), 36);
        assert_eq!(counts.of(UnknownReason::Denied), 4);
        assert_eq!((counts.saw_unknown, counts.same_ipv6, counts.same_saw_unknown), (0, 0, 0));
        let traits = Traits { is_ipv6: true, saw_unknown: true };
        counts.add(&Err(UnknownReason::Same), traits);
        counts.add(&Err(UnknownReason::Queued), traits);
        assert_eq!((counts.saw_unknown, counts.same_ipv6, counts.same_saw_unknown), (2, 1, 1));
    }
}
