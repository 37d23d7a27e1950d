//! The Host field, of which a request of HTTP/1.1 has exactly one (RFC 9112 section 3.2).

use crate::byte_class::ByteSet;

/// The Host fields of a head, as they are read.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    count: usize,
    is_invalid: bool,
}

impl Hosts {
    /// Takes a field into account, whose value is valid or not.
    pub(super) fn add(&mut self, is_valid: bool) {
        self.count = self.count.saturating_add(1);
        self.is_invalid |= !is_valid;
    }

    /// Returns whether a server refuses a request of HTTP/1.`minor_version` with these fields.
    pub(super) fn are_wrong(&self, minor_version: u16) -> bool {
        self.is_invalid || self.count > 1 || (self.count == 0 && minor_version >= 1)
    }
}

/// Returns whether a value is that of a valid field.
pub(super) fn is_host(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| AUTHORITY.contains(*byte) || !byte.is_ascii())
}

/// The ASCII bytes of a host and port (RFC 3986 section 3.2.2).
const AUTHORITY: ByteSet =
    ByteSet::of(b"-._~%!$&'()*+,;=:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_valid_host_is_right() {
        for (values, minor_version, is_wrong) in [
            (&["api.example"][..], 1, false),
            (&["[2001:db8::1]:8080"], 1, false),
            (&[], 1, true),
            (&[], 0, false),
            (&["a"], 0, false),
            (&["a", "a"], 0, true),
            (&["a", "b"], 1, true),
            (&[""], 1, true),
            (&["a b"], 1, true),
            (&["a/b"], 1, true),
            (&["me@a"], 1, true),
        ] {
            let mut hosts = Hosts::default();
            for value in values {
                hosts.add(is_host(value.as_bytes()));
            }
            assert_eq!(hosts.are_wrong(minor_version), is_wrong, "{values:?}");
        }
    }
}
