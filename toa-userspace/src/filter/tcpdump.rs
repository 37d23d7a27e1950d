//! Expressions of tcpdump (`pcap-filter(7)`).
//!
//! Classic BPF has no loops, so the expression names every place at which an option may be. What it reads must be in the
//! packet, or the whole filter fails; therefore places are only looked at if the header is long enough for them.

use std::collections::BTreeMap;

use super::pattern::{MaskedByte, Pattern};

/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Most bytes of a TCP header.
const MAX_TCP_HEADER: usize = 60;
/// Where a TCP header has its length, in words and in the upper half of the byte.
const DATA_OFFSET: usize = 12;
/// Bytes of an IPv6 header.
const IPV6_HEADER: usize = 40;

/// Returns the expression for packets that have one of the options, over IPv4 or IPv6.
pub(super) fn expression(patterns: &[Pattern]) -> String {
    let over_ipv4 = Header { name: "tcp", at: 0 }.expression(patterns);
    let over_ipv6 = Header { name: "ip6", at: IPV6_HEADER }.expression(patterns);
    // `tcp[…]` is for IPv4 only.
    format!("{over_ipv4} or (ip6[6] = 6 and {over_ipv6})")
}

/// A TCP header.
#[derive(Clone, Copy)]
struct Header {
    /// The protocol whose bytes are named.
    name: &'static str,
    /// Where the TCP header is in it.
    at: usize,
}

impl Header {
    fn expression(self, patterns: &[Pattern]) -> String {
        // By the words that the header must have, the places at which an option ends there.
        let mut places = BTreeMap::<usize, Vec<String>>::new();
        let kinds = kinds(patterns);
        for options in kinds.values() {
            let length = options.first().map_or(0, |pattern| pattern.length());
            for at in TCP_HEADER..=MAX_TCP_HEADER.saturating_sub(length) {
                places.entry((at + length).div_ceil(4)).or_default().push(self.place(at, options));
            }
        }
        // A header that is long enough for the last place is long enough for all.
        places.into_iter().rev().fold(String::new(), |longer, (words, places)| {
            let or_longer = if longer.is_empty() { longer } else { format!(" or {longer}") };
            let header = self.byte(DATA_OFFSET, 1);
            format!("({header} >= 0x{words:x}0 and ({}{or_longer}))", places.join(" or "))
        })
    }

    /// Returns the expression for one of the options, which are of one kind and length, at a place.
    fn place(self, at: usize, options: &[&Pattern]) -> String {
        match options {
            [only] => format!("({})", self.comparisons(at, &only.bytes)),
            several => {
                let Some(kind) = several.first().and_then(|first| first.bytes.get(..2)) else {
                    return String::new();
                };
                let rest = |option: &&Pattern| match option.bytes.get(2..).unwrap_or_default() {
                    rest if rest.iter().all(|byte| byte.mask == 0) => None,
                    rest => Some(format!("({})", self.comparisons(at + 2, rest))),
                };
                let kind = self.comparisons(at, kind);
                match several.iter().map(rest).collect::<Option<Vec<_>>>() {
                    Some(clients) => format!("({kind} and ({}))", clients.join(" or ")),
                    // Any client will do.
                    None => format!("({kind})"),
                }
            }
        }
    }

    /// Returns the comparisons of all bytes that matter.
    fn comparisons(self, at: usize, bytes: &[MaskedByte]) -> String {
        let (mut comparisons, mut at, mut rest) = (Vec::new(), at, bytes);
        while !rest.is_empty() {
            let fitting = [4, 2, 1].into_iter().filter_map(|size| rest.split_at_checked(size));
            let found = fitting.into_iter().find(|(bytes, _)| bytes.iter().all(|byte| byte.mask != 0));
            let skipped = rest.split_at_checked(1).unwrap_or((rest, &[]));
            let (bytes, after) = found.unwrap_or(skipped);
            if found.is_some() {
                comparisons.push(self.comparison(at, bytes));
            }
            (at, rest) = (at + bytes.len(), after);
        }
        comparisons.join(" and ")
    }

    fn comparison(self, at: usize, bytes: &[MaskedByte]) -> String {
        let hex = |part: fn(&MaskedByte) -> u8| {
            let digits = bytes.iter().map(|byte| format!("{:02x}", part(byte)));
            digits.collect::<Vec<_>>().concat()
        };
        let (field, value) = (self.byte(at, bytes.len()), hex(|byte| byte.value));
        if bytes.iter().all(|byte| byte.mask == 0xff) {
            format!("{field} = 0x{value}")
        } else {
            format!("{field} & 0x{} = 0x{value}", hex(|byte| byte.mask))
        }
    }

    /// Returns the name of `size` bytes of the TCP header.
    fn byte(self, at: usize, size: usize) -> String {
        let (name, at) = (self.name, self.at + at);
        if size == 1 { format!("{name}[{at}]") } else { format!("{name}[{at}:{size}]") }
    }
}

/// Returns the patterns by kind and length.
fn kinds(patterns: &[Pattern]) -> BTreeMap<(u8, usize), Vec<&Pattern>> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    for pattern in patterns {
        kinds.entry((pattern.kind, pattern.length())).or_default().push(pattern);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rules: &[&str], pair: (u8, u8)) -> String {
        let patterns = rules.iter().map(|rule| Pattern::new(&rule.parse().unwrap(), pair.0, pair.1).unwrap());
        let patterns: Vec<_> = patterns.collect();
        Header { name: "tcp", at: 0 }.place(20, &patterns.iter().collect::<Vec<_>>())
    }

    #[test]
    fn only_bits_that_matter_are_compared() {
        assert_eq!(place(&["203.0.113.9"], (254, 8)), "(tcp[20:2] = 0xfe08 and tcp[24:4] = 0xcb007109)");
        assert_eq!(place(&[":80"], (254, 8)), "(tcp[20:4] = 0xfe080050)");
        assert_eq!(place(&["any"], (254, 8)), "(tcp[20:2] = 0xfe08)");
        let prefix = "(tcp[20:2] = 0xfe08 and tcp[24:2] = 0xcb00 and tcp[26] & 0xf0 = 0x70)";
        assert_eq!(place(&["203.0.112.0/20"], (254, 8)), prefix);
        let odd = "(tcp[20:4] = 0x1c0701cb and tcp[24:2] = 0x0071 and tcp[26] = 0x09)";
        assert_eq!(place(&["203.0.113.9"], (28, 7)), odd);
    }

    #[test]
    fn several_clients_share_the_kind() {
        let both = "(tcp[20:2] = 0xfe08 and ((tcp[24:4] = 0xcb007109) or (tcp[22:2] = 0x0050)))";
        assert_eq!(place(&["203.0.113.9", ":80"], (254, 8)), both);
        assert_eq!(place(&["203.0.113.9", "any"], (254, 8)), "(tcp[20:2] = 0xfe08)");
    }

    #[test]
    fn places_are_looked_at_only_in_headers_that_have_them() {
        let pattern = Pattern::new(&"any".parse().unwrap(), 249, 40).unwrap();
        let expected = "(tcp[12] >= 0xf0 and ((tcp[20:2] = 0xf928))) or (ip6[6] = 6 and (ip6[52] >= 0xf0 and \
                        ((ip6[60:2] = 0xf928))))";
        assert_eq!(expression(&[pattern]), expected);
    }
}
