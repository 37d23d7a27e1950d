//! The record of a change of a run's rules by another process.

/// How many changes are kept.
pub const KEPT_CHANGES: u32 = 16;

/// Size of the name of a user, in bytes.
const USER_BYTES: usize = 32;

/// Size of the rules as text, in bytes.
const RULES_BYTES: usize = 256;

/// A change of a run's rules. Integers are in host order. The change with number *n*, from 0, is at place *n* modulo
/// [`KEPT_CHANGES`] of the map `CHANGES`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct ChangeRecord {
    /// Its number.
    pub number: u64,
    /// How many rules it added or removed.
    pub count: u64,
    /// How many rules there were after it.
    pub total: u64,
    /// What it did: one of [`kind`].
    pub kind: u32,
    /// ID of the process in its own PID namespace.
    pub pid: u32,
    /// ID of the user.
    pub user: u32,
    _unused: u32,
    /// Name of the user, or nothing if it has none, padded with NUL.
    user_name: [u8; USER_BYTES],
    /// The first rules, each followed by a line feed, padded with NUL.
    rules: [u8; RULES_BYTES],
}

/// What a change did.
pub mod kind {
    /// It added rules.
    pub const ADDED: u32 = 1;
    /// It removed rules.
    pub const REMOVED: u32 = 2;
}

const _: () = assert!(size_of::<ChangeRecord>() == 40 + USER_BYTES + RULES_BYTES);

impl ChangeRecord {
    /// Describes a change of no rules yet.
    pub fn new(kind: u32, pid: u32, user: u32) -> Self {
        Self {
            number: 0,
            count: 0,
            total: 0,
            kind,
            pid,
            user,
            _unused: 0,
            user_name: [0; USER_BYTES],
            rules: [0; RULES_BYTES],
        }
    }

    /// Sets the user's name, unless it is too long.
    pub fn set_user_name(&mut self, name: &str) {
        if let Some(place) = self.user_name.get_mut(..name.len()) {
            place.copy_from_slice(name.as_bytes());
        }
    }

    /// Counts a rule, and keeps it if there is room.
    pub fn add_rule(&mut self, rule: &str) {
        self.count += 1;
        let used = self.rules.iter().position(|byte| *byte == 0).unwrap_or(RULES_BYTES);
        let end = used + rule.len() + 1;
        if let Some([place @ .., line_feed]) = self.rules.get_mut(used..end) {
            place.copy_from_slice(rule.as_bytes());
            *line_feed = b'\n';
        }
    }

    /// Returns the user's name, if it has one.
    pub fn user_name(&self) -> Option<&str> {
        text(&self.user_name).filter(|name| !name.is_empty())
    }

    /// Returns the rules that are kept.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        text(&self.rules).unwrap_or_default().lines()
    }
}

/// Returns the text before the padding.
fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_kept_while_there_is_room_and_all_are_counted() {
        let mut change = ChangeRecord::new(kind::ADDED, 7, 0);
        assert_eq!((change.user_name(), change.rules().count()), (None, 0));
        change.set_user_name("root");
        change.set_user_name(&"x".repeat(USER_BYTES + 1));
        assert_eq!(change.user_name(), Some("root"));
        for _ in 0..5 {
            change.add_rule(&"r".repeat(63));
        }
        assert_eq!((change.count, change.rules().count()), (5, 4));
        assert!(change.rules().all(|rule| rule.len() == 63));
    }
}
