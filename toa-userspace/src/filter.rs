//! Filters of other programs that find the packets in which a TOA names a client, for hosts where `attach` cannot run.

pub mod lua;
pub mod pattern;
mod tcpdump;
mod wireshark;

use crate::rule::Rule;

use pattern::Pattern;

/// The filters for some rules. Each is of one packet: it finds those with TOA, and not the rest of their connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filters {
    /// The options that name the clients, in the order of the rules.
    pub patterns: Vec<Pattern>,
    /// The expression of tcpdump and everything that uses libpcap.
    pub tcpdump: String,
    /// The display filter of Wireshark and tshark.
    pub wireshark: String,
}

impl Filters {
    /// Returns the filters for options of these kinds and lengths. Returns the rule that none of the options can match, if
    /// there is such a rule.
    pub fn new(rules: &[Rule], pairs: &[(u8, u8)]) -> Result<Self, Rule> {
        let mut patterns = Vec::new();
        for rule in rules {
            let known = patterns.len();
            patterns.extend(pairs.iter().filter_map(|(kind, length)| Pattern::new(rule, *kind, *length)));
            if patterns.len() == known {
                return Err(*rule);
            }
        }
        Ok(Self {
            tcpdump: tcpdump::expression(&patterns),
            wireshark: wireshark::display_filter(&patterns),
            patterns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(rule: &str, pairs: &[(u8, u8)]) -> Result<Filters, Rule> {
        Filters::new(&[rule.parse().unwrap()], pairs)
    }

    #[test]
    fn a_rule_that_no_option_can_match_is_named() {
        assert_eq!(filters(":80", &[(28, 7)]), Err(Rule::Port(80)));
        assert_eq!(filters("2001:db8::7", &[(254, 8)]), Err("2001:db8::7".parse().unwrap()));
        assert_eq!(filters("2001:db8::7", &[(254, 8), (254, 20)]).unwrap().patterns.len(), 1);
    }

    #[test]
    fn every_place_in_the_header_is_looked_at() {
        let filters = filters("203.0.113.9:54321", &[(254, 8)]).unwrap();
        for at in 20..=52 {
            let place = format!("(tcp[{at}:4] = 0xfe08d431 and tcp[{}:4] = 0xcb007109)", at + 4);
            assert!(filters.tcpdump.contains(&place), "{place}");
            let place = format!("(ip6[{}:4] = 0xfe08d431 and ip6[{}:4] = 0xcb007109)", at + 40, at + 44);
            assert!(filters.tcpdump.contains(&place), "{place}");
        }
        assert_eq!(filters.tcpdump.matches("0xfe08d431").count(), 2 * 33);
        assert_eq!(filters.wireshark, "tcp.options contains fe:08:d4:31:cb:00:71:09");
    }
}
