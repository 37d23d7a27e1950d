//! Responsible for the line that explains why nothing has matched. Not responsible for when it is due.
//!
//! ```text
//! 0 TCP packets in 10 s on eth0 (3 others): …
//! 12,431 TCP packets in 10 s, 0 with TOA 254:8 254:20 253:20: …; 1,203 with option 200:8 (…), which …
//! 12,431 TCP packets in 10 s, 45 with TOA 254:8 254:20 253:20, none of a watched client
//! ```

use std::{fmt, time::Duration};

use toa_common::wire::toa_pairs::{KNOWN_PAIRS, ToaPairs};

use crate::ledger::traffic::Traffic;

use crate::print::count::Count;

/// Where it was looked.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// On interfaces, for a time.
    Interfaces(&'a [&'a str], Duration),
    /// In a capture, from its beginning to its end.
    Capture,
}

/// Why nothing has matched, in one line.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a> {
    seen: &'a Traffic,
    place: Place<'a>,
    /// What is TOA.
    pairs: &'a ToaPairs,
}

impl<'a> Explanation<'a> {
    /// Explains what was `seen` at `place`, where `pairs` says what is TOA. `None` if something matched.
    #[must_use]
    pub fn new(seen: &'a Traffic, place: Place<'a>, pairs: &'a ToaPairs) -> Option<Self> {
        (seen.learned == 0).then_some(Self { seen, place, pairs })
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, place, pairs } = self;
        write!(f, "{} TCP packets in ", Count(seen.tcp_packets))?;
        match place {
            Place::Interfaces(_, time) => write!(f, "{} s", time.as_secs())?,
            Place::Capture => f.write_str("this capture")?,
        }
        if seen.tcp_packets == 0 {
            if let Place::Interfaces(names, _) = place {
                write!(f, " on {}", names.join(", "))?;
            }
            if seen.other_packets > 0 {
                write!(f, " ({} others)", Count(seen.other_packets))?;
            }
            return match place {
                Place::Interfaces(..) => f.write_str(
                    ": nobody connects, or what the balancer sends comes by another interface or into another \
                     network namespace",
                ),
                Place::Capture => Ok(()),
            };
        }
        if seen.other_port_packets > 0 {
            write!(f, ", {} of them to other ports than --server-port", Count(seen.other_port_packets))?;
        }
        write!(f, ", {} with TOA", Count(seen.toa_packets))?;
        for (kind, length) in pairs.selected() {
            write!(f, " {kind}:{length}")?;
        }
        f.write_str(if seen.toa_packets == 0 {
            ", which only the first packets of a connection carry"
        } else {
            ", none of a watched client"
        })?;
        if seen.untrusted_packets > 0 {
            write!(f, "; {} of them from no balancer of --lb", Count(seen.untrusted_packets))?;
        }
        for (count, (kind, length)) in seen.unselected_pairs.iter().zip(KNOWN_PAIRS) {
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
        let place = Place::Interfaces(&["eth0", "eth1"], Duration::from_secs(10));
        Explanation::new(seen, place, &ToaPairs::DEFAULT).map(|explanation| explanation.to_string())
    }

    #[test]
    fn nothing_at_all() {
        let seen = Traffic { tcp_packets: 0, ..TRAFFIC };
        let reason = "nobody connects, or what the balancer sends comes by another interface or into another \
                      network namespace";
        assert_eq!(
            explain(&seen).unwrap(),
            format!("0 TCP packets in 10 s on eth0, eth1 (3 others): {reason}")
        );
        let seen = Traffic { other_packets: 0, ..seen };
        assert_eq!(explain(&seen).unwrap(), format!("0 TCP packets in 10 s on eth0, eth1: {reason}"));
    }

    #[test]
    fn no_toa() {
        let start = "12,431 TCP packets in 10 s, 0 with TOA 254:8 254:20 253:20, which only the first packets of \
                     a connection carry";
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
    }

    #[test]
    fn other_ports_and_sources() {
        let seen = Traffic { other_port_packets: 12_000, toa_packets: 45, untrusted_packets: 44, ..TRAFFIC };
        let expected = "12,431 TCP packets in 10 s, 12,000 of them to other ports than --server-port, 45 with TOA \
                        254:8 254:20 253:20, none of a watched client; 44 of them from no balancer of --lb";
        assert_eq!(explain(&seen).unwrap(), expected);
    }

    #[test]
    fn a_capture_has_neither_interfaces_nor_a_time_to_tell() {
        let explain =
            |seen| Explanation::new(seen, Place::Capture, &ToaPairs::DEFAULT).map(|it| it.to_string());
        let empty = Traffic { tcp_packets: 0, ..TRAFFIC };
        assert_eq!(explain(&empty).unwrap(), "0 TCP packets in this capture (3 others)");
        let start = "12,431 TCP packets in this capture, 0 with TOA 254:8 254:20 253:20";
        assert!(explain(&TRAFFIC).unwrap().starts_with(start));
        assert_eq!(explain(&Traffic { learned: 1, ..TRAFFIC }), None);
    }

    #[test]
    fn nothing_to_explain() {
        assert_eq!(explain(&Traffic { learned: 1, ..TRAFFIC }), None);
    }
}
