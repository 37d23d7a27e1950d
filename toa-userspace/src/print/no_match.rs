//! The line that explains why nothing has matched.
//!
//! ```text
//! 0 TCP packets in 10 s on eth0 (3 others): …
//! 12,431 TCP packets in 10 s, 0 with TOA 254:8 254:20 253:20 (only …); 1,203 with option 200:8 (try …)
//! 12,431 TCP packets in 10 s, 45 with TOA 254:8 254:20 253:20, none of a watched client (for example …)
//! ```

use std::{fmt, net::IpAddr, time::Duration};

use toa_common::wire::toa_pairs::{KNOWN_PAIRS, ToaPairs};

use crate::ledger::traffic::Traffic;

use crate::print::count::Count;

/// The source of packets.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Interfaces, observed for this time.
    Interfaces(&'a [&'a str], Duration),
    /// Whole captures.
    Captures,
    /// Whole captures, of which connections without TOA are followed too.
    CapturesOfAnyFlow,
}

/// Why nothing has matched, in one line.
#[derive(Clone, Copy, Debug)]
pub struct NoMatch<'a> {
    traffic: &'a Traffic,
    source: Source<'a>,
    /// The options that count as TOA.
    pairs: &'a ToaPairs,
    /// Clients that a TOA named.
    clients: &'a [IpAddr],
}

impl<'a> NoMatch<'a> {
    /// Explains the `traffic` of `source`. `pairs` are the options that count as TOA, and `clients` some of those that
    /// they named. Returns `None` if something matched.
    pub fn new(
        traffic: &'a Traffic,
        source: Source<'a>,
        pairs: &'a ToaPairs,
        clients: &'a [IpAddr],
    ) -> Option<Self> {
        (traffic.learned == 0).then_some(Self { traffic, source, pairs, clients })
    }
}

impl fmt::Display for NoMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, source, pairs, clients } = self;
        write!(f, "{} TCP packets in ", Count(traffic.tcp_packets))?;
        match source {
            Source::Interfaces(_, time) => write!(f, "{} s", time.as_secs())?,
            Source::Captures | Source::CapturesOfAnyFlow => f.write_str("this capture")?,
        }
        if traffic.tcp_packets == 0 {
            if let Source::Interfaces(names, _) = source {
                write!(f, " on {}", names.join(", "))?;
            }
            if traffic.other_packets > 0 {
                write!(f, " ({} others)", Count(traffic.other_packets))?;
            }
            return match source {
                Source::Interfaces(..) => {
                    f.write_str(": no traffic, or it arrives on another interface or network namespace")
                }
                Source::Captures | Source::CapturesOfAnyFlow => Ok(()),
            };
        }
        if traffic.other_port_packets > 0 {
            write!(f, ", {} of them to other ports than --server-port", Count(traffic.other_port_packets))?;
        }
        if let Source::CapturesOfAnyFlow = source {
            return f.write_str(", among them no SYN or request of a watched client");
        }
        write!(f, ", {} with TOA", Count(traffic.toa_packets))?;
        for (kind, length) in pairs.selected() {
            write!(f, " {kind}:{length}")?;
        }
        f.write_str(if traffic.toa_packets == 0 {
            " (only the first packets of a connection carry it)"
        } else {
            ", none of a watched client"
        })?;
        for (number, client) in clients.iter().enumerate() {
            write!(f, "{}{client}", if number == 0 { " (for example " } else { ", " })?;
        }
        f.write_str(if clients.is_empty() { "" } else { ")" })?;
        if traffic.untrusted_packets > 0 {
            write!(f, "; {} of them from sources not listed with --lb", Count(traffic.untrusted_packets))?;
        }
        for (count, (kind, length)) in traffic.unselected_pairs.iter().zip(KNOWN_PAIRS) {
            if *count > 0 {
                let count = Count(*count);
                write!(f, "; {count} with option {kind}:{length} (try --toa {kind}:{length})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: Traffic = Traffic {
        tcp_packets: 12_431,
        other_port_packets: 0,
        other_packets: 3,
        toa_packets: 0,
        untrusted_packets: 0,
        learned: 0,
        unselected_pairs: [0; KNOWN_PAIRS.len()],
    };

    fn explain(seen: &Traffic) -> Option<String> {
        let source = Source::Interfaces(&["eth0", "eth1"], Duration::from_secs(10));
        NoMatch::new(seen, source, &ToaPairs::DEFAULT, &[]).map(|explanation| explanation.to_string())
    }

    #[test]
    fn nothing_at_all() {
        let seen = Traffic { tcp_packets: 0, ..TRAFFIC };
        let reason = "no traffic, or it arrives on another interface or network namespace";
        assert_eq!(
            explain(&seen).unwrap(),
            format!("0 TCP packets in 10 s on eth0, eth1 (3 others): {reason}")
        );
        let seen = Traffic { other_packets: 0, ..seen };
        assert_eq!(explain(&seen).unwrap(), format!("0 TCP packets in 10 s on eth0, eth1: {reason}"));
    }

    #[test]
    fn no_toa() {
        let start = "12,431 TCP packets in 10 s, 0 with TOA 254:8 254:20 253:20 (only the first packets of a \
                     connection carry it)";
        assert_eq!(explain(&TRAFFIC).unwrap(), start);
        let mut seen = TRAFFIC;
        (seen.unselected_pairs[3], seen.unselected_pairs[8]) = (1203, 1);
        let others = "; 1,203 with option 200:8 (try --toa 200:8); 1 with option 28:7 (try --toa 28:7)";
        assert_eq!(explain(&seen).unwrap(), format!("{start}{others}"));
    }

    #[test]
    fn nobody_watched() {
        let seen = Traffic { toa_packets: 45, ..TRAFFIC };
        let expected =
            "12,431 TCP packets in 10 s, 45 with TOA 254:8 254:20 253:20, none of a watched client";
        assert_eq!(explain(&seen).unwrap(), expected);
        let clients: [IpAddr; 2] = [[203, 0, 113, 9].into(), "2001:db8::7".parse().unwrap()];
        let source = Source::Interfaces(&[], Duration::from_secs(10));
        let named = NoMatch::new(&seen, source, &ToaPairs::DEFAULT, &clients).unwrap().to_string();
        assert_eq!(named, format!("{expected} (for example 203.0.113.9, 2001:db8::7)"));
    }

    #[test]
    fn other_ports_and_sources() {
        let seen = Traffic { other_port_packets: 12_000, toa_packets: 45, untrusted_packets: 44, ..TRAFFIC };
        let expected = "12,431 TCP packets in 10 s, 12,000 of them to other ports than --server-port, 45 with TOA \
                        254:8 254:20 253:20, none of a watched client; 44 of them from sources not listed with --lb";
        assert_eq!(explain(&seen).unwrap(), expected);
    }

    #[test]
    fn a_capture_has_neither_interfaces_nor_a_time_to_tell() {
        let of =
            |source| move |seen| NoMatch::new(seen, source, &ToaPairs::DEFAULT, &[]).map(|it| it.to_string());
        let explain = of(Source::Captures);
        let empty = Traffic { tcp_packets: 0, ..TRAFFIC };
        assert_eq!(explain(&empty).unwrap(), "0 TCP packets in this capture (3 others)");
        let start = "12,431 TCP packets in this capture, 0 with TOA 254:8 254:20 253:20";
        assert!(explain(&TRAFFIC).unwrap().starts_with(start));
        assert_eq!(explain(&Traffic { learned: 1, ..TRAFFIC }), None);
        let start = "12,431 TCP packets in this capture, among them no SYN or request of a watched client";
        assert_eq!(of(Source::CapturesOfAnyFlow)(&TRAFFIC).unwrap(), start);
    }

    #[test]
    fn nothing_to_explain() {
        assert_eq!(explain(&Traffic { learned: 1, ..TRAFFIC }), None);
    }
}
