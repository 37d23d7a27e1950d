//! The message for an interface that does not exist.

use std::fmt;

use super::links;
use crate::nearest::nearest;

/// Maximum number of interfaces that the message lists.
const MAX_LISTED: usize = 16;

/// A name that no interface of our network namespace has.
#[derive(Debug)]
pub struct UnknownInterface {
    /// What was typed.
    pub name: String,
    /// The names of the interfaces.
    pub existing: Vec<String>,
}

impl UnknownInterface {
    /// Returns the error for `name`. If the interfaces cannot be listed, it names none.
    pub fn new(name: &str) -> Self {
        let links = links::list().unwrap_or_default();
        Self { name: name.to_owned(), existing: links.into_iter().map(|link| shown(link.name)).collect() }
    }
}

impl std::error::Error for UnknownInterface {}

impl fmt::Display for UnknownInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no interface {} in this network namespace", self.name)?;
        match self.existing.split_at_checked(MAX_LISTED) {
            Some((listed, more)) if !more.is_empty() => {
                write!(f, " ({} and {} more)", listed.join(", "), more.len())?;
            }
            _ if self.existing.is_empty() => {}
            _ => write!(f, " ({})", self.existing.join(", "))?,
        }
        match self.name.as_str() {
            "any" | "all" => f.write_str(": for every interface, give '*'"),
            "force" => f.write_str(": did you mean --existing=force?"),
            name => match nearest(name, self.existing.iter().map(String::as_str)) {
                Some(meant) => write!(f, ": did you mean {meant}?"),
                None => Ok(()),
            },
        }
    }
}

/// Returns a name without control characters: whoever has rights in the namespace has chosen it.
fn shown(name: String) -> String {
    if name.chars().any(char::is_control) { name.escape_debug().to_string() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, existing: &[&str]) -> String {
        let existing = existing.iter().map(|name| (*name).to_owned()).collect();
        UnknownInterface { name: name.to_owned(), existing }.to_string()
    }

    #[test]
    fn the_interfaces_and_the_nearest_name_are_named() {
        let there = "in this network namespace (lo, web0)";
        assert_eq!(
            message("wbe0", &["lo", "web0"]),
            format!("no interface wbe0 {there}: did you mean web0?")
        );
        assert_eq!(message("x", &["lo", "web0"]), format!("no interface x {there}"));
        assert!(message("any", &["lo"]).ends_with(": for every interface, give '*'"));
        assert!(message("force", &["lo"]).ends_with(": did you mean --existing=force?"));
        assert_eq!(message("web0", &[]), "no interface web0 in this network namespace");
        let many: Vec<_> = (0..20).map(|number| format!("veth{number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(message("x", &many).ends_with("veth14, veth15 and 4 more)"));
        assert!(message("x", &many[..16]).ends_with("veth14, veth15)"));
    }

    #[test]
    fn the_loopback_exists() {
        assert!(UnknownInterface::new("nosuch0").existing.iter().any(|name| name == "lo"));
    }
}
