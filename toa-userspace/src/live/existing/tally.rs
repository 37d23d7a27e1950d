//! Responsible for what became of connections that were looked at. Not responsible for looking.

use std::fmt;

use super::real_client::RealClient;
use crate::print::count::Count;

/// Why a connection's client is not known.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// Its server's socket names the same as the kernel's table: a direct client, or one that nobody knows.
    Same,
    /// It is in the kernel's hands (kTLS), which hides what a module knows.
    KernelTls,
    /// No application has accepted it yet.
    Queued,
    /// It was closed while it was looked for.
    Closed,
    /// Its process may be looked into, but not asked.
    Denied,
    /// No process that can be seen holds it.
    Unseen,
    /// Nobody listens on its local port, which is one of those that the kernel takes for connections out.
    ConnectedOut,
    /// Its local port is not asked for.
    OtherPort,
    /// Its remote side is no balancer that is believed.
    NoBalancer,
}

impl Reason {
    /// All of them.
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

    /// For machines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
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

    /// For people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Same => "unknown: its socket names no other than the sender",
            Self::KernelTls => "unknown: kTLS hides what a module knows",
            Self::Queued => "not accepted yet",
            Self::Closed => "closed meanwhile",
            Self::Denied => "no permission to ask its process",
            Self::Unseen => "held by no process that is seen here",
            Self::ConnectedOut => "opened by this host, as its port says",
            Self::OtherPort => "not to a --server-port",
            Self::NoBalancer => "not from a balancer of --lb",
        }
    }
}

/// How many connections were looked at: each has a client, or a reason why not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Whose client is known.
    pub named: u64,
    /// Processes that may not be looked into, if any was looked at.
    pub refused_processes: u64,
    reasons: [u64; Reason::ALL.len()],
}

impl Counts {
    pub(super) fn add(&mut self, client: &Result<RealClient, Reason>) {
        match client {
            Ok(_) => self.named += 1,
            Err(reason) => {
                if let Some(count) = self.reasons.get_mut(*reason as usize) {
                    *count += 1;
                }
            }
        }
    }

    /// How many have no client for this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons.get(reason as usize).copied().unwrap_or(0)
    }

    /// All that were looked at.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.named + self.reasons.iter().sum::<u64>()
    }
}

/// A sentence's end: how many there are, and what of them.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} established connections: {} with a real client",
            Count(self.total()),
            Count(self.named)
        )?;
        for reason in Reason::ALL {
            let count = self.of(reason);
            if count > 0 {
                write!(f, "; {} {}", Count(count), reason.describe())?;
            }
        }
        // Where nothing is missing, they are of no interest.
        if self.of(Reason::Unseen) > 0 && self.refused_processes > 0 {
            write!(f, "; {} processes may not be looked into", Count(self.refused_processes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_counted_once_and_told_of() {
        let mut counts = Counts::default();
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(Reason::ALL[reason as usize], reason);
            (0..times).for_each(|_| counts.add(&Err(reason)));
        }
        assert_eq!(counts.total(), 36);
        assert_eq!(counts.of(Reason::Denied), 4);
        let text = counts.to_string();
        assert!(
            text.starts_with("36 established connections: 0 with a real client; 1 unknown: kTLS"),
            "{text}"
        );
        assert!(text.ends_with("8 not from a balancer of --lb"), "{text}");
    }
}
