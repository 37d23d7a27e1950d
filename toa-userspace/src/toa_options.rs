//! The user's choice of TOA options (`--toa`): pairs of kind and length, and named profiles of such pairs.

use std::{fmt, str::FromStr};

use thiserror::Error;
use toa_common::wire::toa_pairs::{
    DEFAULT_PAIRS, KNOWN_PAIRS, LENGTH_IPV4, LENGTH_IPV4_WITHOUT_PORT, LENGTH_IPV6, LENGTH_IPV6_WITHOUT_PORT,
    MAX_PAIRS, ToaPairs,
};

use crate::nearest::nearest;

/// The pairs that one `--toa` names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ToaOptions(Vec<(u8, u8)>);

/// Why a text names no TOA option.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ToaOptionsError {
    /// Neither a pair nor a profile.
    #[error("{text:?} is neither KIND:LEN nor a profile (profiles: {}){}", list(profiles()), meant(text))]
    Syntax {
        /// What was typed.
        text: String,
    },
    /// Kind 0 or 1: these options have no length.
    #[error("kind {kind} has no length: use 2 to 255")]
    Kind {
        /// What was typed.
        kind: u8,
    },
    /// A length with an unknown layout.
    #[error(
        "unknown TOA layout {kind}:{length}: use length 8 (port, IPv4), 20 (port, IPv6), 6 (IPv4) or 18 (IPv6), or one \
         of {}",
        list(KNOWN_PAIRS.iter().filter(|pair| !is_usual_layout(**pair)).map(|(kind, length)| format!("{kind}:{length}")))
    )]
    Length {
        /// The kind.
        kind: u8,
        /// What was typed.
        length: u8,
    },
    /// More pairs than a run can use.
    #[error("too many TOA options: {count}, but at most {MAX_PAIRS}")]
    TooMany {
        /// How many pairs were named.
        count: usize,
    },
}

/// Named groups of pairs.
const PROFILES: [(&str, &[(u8, u8)]); 11] = [
    ("default", &DEFAULT_PAIRS),
    ("lvs", &[(254, 8), (254, 20), (253, 20), (200, 8)]),
    ("dpvs", &[(254, 8), (254, 20)]),
    ("tencent", &[(200, 8)]),
    ("alibaba", &[(254, 8), (253, 20), (252, 20), (249, 40)]),
    ("ucloud", &[(200, 8), (253, 8)]),
    // IPv4 as the vendor's module reads it, IPv6 as openEuler's gala-gopher does.
    ("huawei", &[(254, 8), (253, 20)]),
    ("akamai", &[(28, 7), (28, 19)]),
    ("netscaler", &[(28, 7), (28, 19)]),
    ("f5", &[(28, 6), (28, 7), (28, 18), (29, 6), (29, 18)]),
    ("all", ALL),
];

/// Every known pair except 254:24, which no known balancer sends.
const ALL: &[(u8, u8)] = &[
    (254, 8),
    (254, 20),
    (253, 20),
    (200, 8),
    (253, 8),
    (252, 20),
    (249, 40),
    (254, 16),
    (28, 7),
    (28, 19),
    (28, 6),
    (28, 18),
];

impl ToaOptions {
    /// Returns all pairs of `named`, or the default pairs if `named` is empty.
    pub fn pairs(named: &[Self]) -> Result<ToaPairs, ToaOptionsError> {
        let mut pairs: Vec<(u8, u8)> = Vec::new();
        for pair in named.iter().flat_map(|options| &options.0) {
            if !pairs.contains(pair) {
                pairs.push(*pair);
            }
        }
        match pairs.len() {
            0 => Ok(ToaPairs::DEFAULT),
            count if count > MAX_PAIRS => Err(ToaOptionsError::TooMany { count }),
            _ => Ok(ToaPairs::new(&pairs)),
        }
    }
}

impl FromStr for ToaOptions {
    type Err = ToaOptionsError;

    fn from_str(text: &str) -> Result<Self, ToaOptionsError> {
        if let Some((_, pairs)) = PROFILES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(Self(pairs.to_vec()));
        }
        let pair = text.split_once(':').and_then(|(kind, length)| {
            let (digits, radix) = match kind.strip_prefix("0x").or_else(|| kind.strip_prefix("0X")) {
                Some(digits) => (digits, 16),
                None => (kind, 10),
            };
            Some((number(digits, radix)?, number(length, 10)?))
        });
        match pair {
            None => Err(ToaOptionsError::Syntax { text: text.to_owned() }),
            Some((kind @ 0..=1, _)) => Err(ToaOptionsError::Kind { kind }),
            Some((kind, length)) if is_usual(length) || KNOWN_PAIRS.contains(&(kind, length)) => {
                Ok(Self(vec![(kind, length)]))
            }
            Some((kind, length)) => Err(ToaOptionsError::Length { kind, length }),
        }
    }
}

/// Returns the names of the profiles.
fn profiles() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

/// Returns a question after the pair or the profile that was probably meant.
fn meant(text: &str) -> String {
    let profile = || nearest(&text.to_ascii_lowercase(), profiles()).map(str::to_owned);
    meant_pair(text).or_else(profile).map(|meant| format!(": did you mean {meant}?")).unwrap_or_default()
}

/// Returns the pair of which a text lacks the length, or `0x` before the kind.
fn meant_pair(text: &str) -> Option<String> {
    let (kind, length) = text.split_once(':').map_or((text, None), |(kind, length)| (kind, Some(length)));
    let digits = kind.strip_prefix("0x").or_else(|| kind.strip_prefix("0X")).unwrap_or(kind);
    let decimal = number(kind, 10);
    let kind = decimal.or_else(|| number(digits, 16)).filter(|kind| *kind > 1)?;
    let known = || KNOWN_PAIRS.iter().find(|pair| pair.0 == kind).map_or(LENGTH_IPV4, |pair| pair.1);
    let length = length.map_or_else(|| Some(known()), |length| number(length, 10))?;
    Some(if decimal.is_some() { format!("{kind}:{length}") } else { format!("{kind:#x}:{length}") })
}

/// Parses digits. Unlike the standard library, does not accept a sign.
fn number(digits: &str, radix: u32) -> Option<u8> {
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| u8::from_str_radix(digits, radix).ok())?
}

/// Returns whether an unknown kind of this length has a layout: IPv4 or IPv6, with a port or without.
const fn is_usual(length: u8) -> bool {
    matches!(length, LENGTH_IPV4 | LENGTH_IPV6 | LENGTH_IPV4_WITHOUT_PORT | LENGTH_IPV6_WITHOUT_PORT)
}

/// Returns whether a known pair has the layout that its length has with unknown kinds.
const fn is_usual_layout(pair: (u8, u8)) -> bool {
    is_usual(pair.1) && !matches!(pair, (252, 20))
}

fn list(items: impl Iterator<Item = impl fmt::Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(texts: &[&str]) -> Vec<(u8, u8)> {
        let named: Vec<ToaOptions> = texts.iter().map(|text| text.parse().unwrap()).collect();
        ToaOptions::pairs(&named).unwrap().selected().collect()
    }

    #[test]
    fn every_profile_has_its_pairs() {
        assert_eq!(selected(&[]), DEFAULT_PAIRS);
        assert_eq!(selected(&["default"]), [(254, 8), (254, 20), (253, 20)]);
        assert_eq!(selected(&["lvs"]), [(254, 8), (254, 20), (253, 20), (200, 8)]);
        assert_eq!(selected(&["tencent"]), [(200, 8)]);
        assert_eq!(selected(&["alibaba"]), [(254, 8), (253, 20), (252, 20), (249, 40)]);
        assert_eq!(selected(&["ucloud"]), [(200, 8), (253, 8)]);
        assert_eq!(selected(&["akamai"]), [(28, 7), (28, 19)]);
        assert_eq!(selected(&["netscaler"]), [(28, 7), (28, 19)]);
        assert_eq!(selected(&["f5"]), [(28, 6), (28, 7), (28, 18), (29, 6), (29, 18)]);
        assert_eq!(selected(&["huawei"]), [(254, 8), (253, 20)]);
        assert_eq!(selected(&["dpvs"]), [(254, 8), (254, 20)]);
        let mut all = selected(&["all"]);
        all.push((254, 24));
        all.sort_unstable();
        let mut known = KNOWN_PAIRS;
        known.sort_unstable();
        assert_eq!(all, known);
    }

    #[test]
    fn names_have_any_case_and_kinds_are_decimal_or_hexadecimal() {
        assert_eq!(selected(&["F5"]), selected(&["f5"]));
        assert_eq!(selected(&["Default", "NetScaler"]), selected(&["default", "netscaler"]));
        assert_eq!(selected(&["0xfe:8", "0XC8:20", "0x1d:6"]), [(254, 8), (200, 20), (29, 6)]);
    }

    #[test]
    fn pairs_and_profiles_add_up() {
        assert_eq!(selected(&["200:8", "akamai", "200:8"]), [(200, 8), (28, 7), (28, 19)]);
        assert_eq!(selected(&["222:8", "222:20", "254:24"]), [(222, 8), (222, 20), (254, 24)]);
    }

    #[test]
    fn mistakes_are_answered_with_what_there_is() {
        let error = |text: &str| text.parse::<ToaOptions>().unwrap_err().to_string();
        let profiles = "default, lvs, dpvs, tencent, alibaba, ucloud, huawei, akamai, netscaler, f5, all)";
        assert!(error("xyz").ends_with(profiles));
        assert!(error("LSV").ends_with(": did you mean lvs?"), "{}", error("LSV"));
        for (typed, meant) in
            [("fe:8", "0xfe:8"), ("fd:20", "0xfd:20"), ("254", "254:8"), ("0xfe", "0xfe:8"), ("28", "28:7")]
        {
            assert!(error(typed).ends_with(&format!(": did you mean {meant}?")), "{}", error(typed));
        }
        for typed in ["xyz:8", "300", "fe:"] {
            assert!(!error(typed).contains("did you mean"), "{}", error(typed));
        }
        assert!(error("tencnet").ends_with(": did you mean tencent?"));
        assert!(error("254:12").ends_with("252:20, 249:40, 254:16, 28:7, 28:19, 254:24"));
        assert!(error("200:7").contains("200:7"));
        assert_eq!(error("1:8"), "kind 1 has no length: use 2 to 255");
        assert_eq!(error("0x01:8"), "kind 1 has no length: use 2 to 255");
        for wrong in [
            "", ":", "254", "254:", ":8", "256:8", "254:256", "+254:8", "254:+8", "254:8:1", "0x:8",
            "0x100:8", "0x+1:8", "fe:8", "254:0x8",
        ] {
            assert!(error(wrong).contains("is neither KIND:LEN nor a profile"), "{wrong}");
        }
        let many: Vec<ToaOptions> = (100..117).map(|kind| format!("{kind}:8").parse().unwrap()).collect();
        assert_eq!(ToaOptions::pairs(&many), Err(ToaOptionsError::TooMany { count: 17 }));
    }
}
