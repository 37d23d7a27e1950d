//! A second opinion on an option area.
//!
//! Layouts, all in network byte order: kind, length, port (2 bytes), address (4 or 16 bytes). Lengths 6 and 18 have no
//! port. Kind 28 of lengths 7 and 19 has a version in place of the port: 1 for IPv4; for IPv6, any is accepted.
//! Kind 254 of length 24 has four bytes between port and address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All pairs that are known to carry a client, in no particular order.
const KNOWN: [(u8, u8); 13] = [
    (28, 6),
    (28, 7),
    (28, 18),
    (28, 19),
    (200, 8),
    (249, 40),
    (252, 20),
    (253, 8),
    (253, 20),
    (254, 8),
    (254, 16),
    (254, 20),
    (254, 24),
];

/// The first two bytes that options of kinds 253 and 254 have instead of a port if they belong to an experiment
/// (RFC 6994): those registered by IANA, in ascending order, and one that Linux uses in its own tests.
pub const EXPERIMENTS: [u16; 15] = [
    172, 840, 2573, 3232, 3792, 17_742, 21_283, 30_188, 44_224, 44_225, 44_238, 58_068, 63_881, 63_888,
    60_319,
];

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Kinds and lengths that count as TOA.
    pub pairs: &'a [(u8, u8)],
    /// Pick the last of several, not the first.
    pub last: bool,
}

/// The default of a run.
pub const USUAL: Wanted<'static> = Wanted { pairs: &[(254, 8), (254, 20), (253, 20)], last: false };

/// A TOA.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// The client's address.
    pub address: IpAddr,
    /// Its port, if the layout has one.
    pub port: Option<u16>,
    /// The option's kind and length.
    pub pair: (u8, u8),
}

impl Found {
    /// Returns whether it could also be the option of an experiment.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self.pair.0, 253 | 254) && self.port.is_some_and(|port| EXPERIMENTS.contains(&port))
    }
}

/// The contents of a packet's options. Offsets are bytes from the first option's kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opinion {
    /// The TOA that counts.
    pub found: Option<Found>,
    /// The offset of each option of a wanted kind and length, including those of an unknown version.
    pub hits: Vec<usize>,
    /// Kinds and lengths that could be TOA but are not wanted, sorted and deduplicated.
    pub others: Vec<(u8, u8)>,
    /// Where the walk over the options ended.
    pub end: usize,
    /// Why it ended there: `end`, `eol`, `size<2` or `past end`.
    pub why: &'static str,
}

/// Searches an option area for TOA.
pub fn look(options: &[u8], wanted: Wanted<'_>) -> Opinion {
    let mut opinion = Opinion { found: None, hits: Vec::new(), others: Vec::new(), end: 0, why: "end" };
    let mut rest = options;
    while let Some(kind) = rest.first().copied() {
        opinion.end = options.len() - rest.len();
        if kind == 0 {
            opinion.why = "eol";
            break;
        }
        if kind == 1 {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let length = match rest.get(1).copied().map(usize::from) {
            Some(0 | 1) => {
                opinion.why = "size<2";
                break;
            }
            Some(length) if length <= rest.len() => length,
            _ => {
                opinion.why = "past end";
                break;
            }
        };
        let (option, behind) = rest.split_at(length);
        opinion.take(option, wanted);
        rest = behind;
    }
    if opinion.why == "end" {
        opinion.end = options.len();
    }
    opinion.others.sort_unstable();
    opinion.others.dedup();
    opinion
}

impl Opinion {
    /// Evaluates the next complete option, which begins at `end`.
    fn take(&mut self, option: &[u8], wanted: Wanted<'_>) {
        let &[kind, length, ..] = option else { return };
        let pair = (kind, length);
        if wanted.pairs.contains(&pair) {
            self.hits.push(self.end);
            if let Some(found) = read(option)
                && (self.found.is_none() || wanted.last)
            {
                self.found = Some(found);
            }
        } else if KNOWN.contains(&pair) {
            self.others.push(pair);
        }
    }
}

/// Parses a TOA. `None` if its version is unknown.
fn read(option: &[u8]) -> Option<Found> {
    let &[kind, length, ..] = option else { return None };
    let port = option.get(2..).and_then(<[u8]>::first_chunk).map(|port| u16::from_be_bytes(*port));
    let (port, address) = match (kind, length) {
        (28, 7) if option.get(2) != Some(&1) => return None,
        (28, 7) => (None, ipv4(option, 3)?),
        (28, 19) => (None, ipv6(option, 3)?),
        (_, 6) => (None, ipv4(option, 2)?),
        (_, 18) => (None, ipv6(option, 2)?),
        (254, 24) => (port, ipv6(option, 8)?),
        (252, 20) => (port, ipv4(option, 4)?),
        (_, 20 | 40) => (port, ipv6(option, 4)?),
        _ => (port, ipv4(option, 4)?),
    };
    Some(Found { address, port, pair: (kind, length) })
}

fn ipv4(option: &[u8], at: usize) -> Option<IpAddr> {
    Some(Ipv4Addr::from(*option.get(at..)?.first_chunk::<4>()?).into())
}

fn ipv6(option: &[u8], at: usize) -> Option<IpAddr> {
    Some(Ipv6Addr::from(*option.get(at..)?.first_chunk::<16>()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [u8; 18] = [1, 254, 8, 0xd4, 0x31, 203, 0, 113, 9, 254, 8, 0, 1, 1, 2, 3, 4, 0];

    fn found(address: &str, port: u16) -> Found {
        Found { address: address.parse().unwrap(), port: Some(port), pair: (254, 8) }
    }

    #[test]
    fn of_several_the_first_or_the_last_counts() {
        let opinion = look(&TWO, USUAL);
        let expected = Opinion {
            found: Some(found("203.0.113.9", 54321)),
            hits: vec![1, 9],
            others: vec![],
            end: 17,
            why: "eol",
        };
        assert_eq!(opinion, expected);
        assert_eq!(look(&TWO, Wanted { last: true, ..USUAL }).found, Some(found("1.2.3.4", 1)));
    }

    #[test]
    fn a_walk_ends_where_a_length_is_wrong() {
        assert_eq!(look(&[8, 1, 0, 0], USUAL).why, "size<2");
        assert_eq!(look(&[1, 1, 1, 254], USUAL).why, "past end");
        assert_eq!(look(&[254, 9, 0, 0], USUAL).why, "past end");
        assert_eq!((look(&[], USUAL).end, look(&[1, 1], USUAL).end), (0, 2));
    }

    #[test]
    fn an_unknown_version_names_nobody() {
        let akamai = Wanted { pairs: &[(28, 7)], last: false };
        let option = |version| [28, 7, version, 1, 2, 3, 4, 1];
        let port = look(&option(1), akamai).found.map(|found| found.port);
        assert_eq!(port, Some(None));
        let unknown = look(&option(2), akamai);
        assert_eq!((unknown.found, unknown.hits), (None, vec![0]));
        assert_eq!(look(&option(2), USUAL).others, [(28, 7)]);
    }
}
