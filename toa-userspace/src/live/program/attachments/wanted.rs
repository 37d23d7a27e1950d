//! Names and patterns of interfaces.

use std::{fmt, str::FromStr};

use glob::{Pattern, PatternError};

/// Which interfaces to attach to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// The interface with this name.
    Name(String),
    /// All interfaces whose names match, also those that appear later.
    Pattern(Pattern),
}

impl Wanted {
    /// Returns the name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Pattern(_) => None,
        }
    }

    /// Returns whether it is a pattern that `name` matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.matches(name))
    }
}

impl FromStr for Wanted {
    type Err = PatternError;

    /// Parses a name, or a pattern of a shell: with `*`, `?` or `[…]`.
    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.contains(['*', '?', '[']) {
            Pattern::new(text).map(Self::Pattern)
        } else {
            Ok(Self::Name(text.to_owned()))
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pattern(pattern) => write!(f, "{pattern}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patterns_match_names() {
        let matching = |text: &str| {
            let wanted: Wanted = text.parse().unwrap();
            ["eth0", "eth10", "veth0", "eth*"].map(|name| wanted.matches(name))
        };
        assert_eq!(matching("eth0"), [false; 4]);
        assert_eq!(matching("eth*"), [true, true, false, true]);
        assert_eq!(matching("eth?"), [true, false, false, true]);
        assert_eq!(matching("*eth[0-9]"), [true, false, true, false]);
        assert_eq!(matching("*"), [true; 4]);
        assert!("eth[".parse::<Wanted>().is_err() && "eth***".parse::<Wanted>().is_err());
        assert_eq!("eth*".parse::<Wanted>().unwrap().to_string(), "eth*");
    }
}
