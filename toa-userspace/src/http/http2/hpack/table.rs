//! The dynamic table of a connection (RFC 7541 sections 2.3.2 and 4), as far as it is known.
//!
//! The newest entries are known, the ones before them may not be. That is enough: an index counts from the newest entry, so it
//! says by itself whether it means a known one. An entry that the client has dropped is never referred to, so keeping it too long
//! does no harm, and neither does not knowing the client's maximum.

use std::collections::VecDeque;

/// What is kept of a table, in bytes as RFC 7541 section 4.1 counts them. Servers allow 4,096 unless they are told to allow more.
pub(in super::super::super) const MAX_TABLE_BYTES: usize = 64 << 10;

/// The maximum size until the client changes it, in bytes (RFC 9113 section 6.5.2).
pub(super) const DEFAULT_MAX_BYTES: usize = 4096;

/// What each entry counts besides its name and value, in bytes (RFC 7541 section 4.1).
pub(super) const ENTRY_BYTES: usize = 32;

/// An entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name and the value.
    bytes: Box<[u8]>,
    /// `None` if the name is that of an unknown entry.
    name_len: Option<usize>,
}

impl Entry {
    pub(super) fn new(name: Option<&[u8]>, value: &[u8]) -> Self {
        let bytes = [name.unwrap_or_default(), value].concat().into_boxed_slice();
        Self { bytes, name_len: name.map(<[u8]>::len) }
    }

    /// Returns its size in bytes, or the least size if its name is unknown.
    fn size(&self) -> usize {
        self.bytes.len().saturating_add(ENTRY_BYTES)
    }

    /// Returns the name, if it is known, and the value.
    fn parts(&self) -> (Option<&[u8]>, &[u8]) {
        let (name, value) = self.bytes.split_at_checked(self.name_len.unwrap_or(0)).unwrap_or_default();
        (self.name_len.map(|_| name), value)
    }
}

/// What an index refers to.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Reference<'t> {
    /// An entry with its name, if that is known, and its value.
    Known(Option<&'t [u8]>, &'t [u8]),
    /// An entry that was not seen.
    Unknown,
    /// No entry.
    None,
}

/// The table.
#[derive(Debug)]
pub(super) struct DynamicTable {
    /// The known entries, the newest first.
    entries: VecDeque<Entry>,
    /// Their size in bytes.
    size: usize,
    /// The client's maximum in bytes, if it is known.
    max_bytes: Option<usize>,
    /// Whether there may be entries before the known ones.
    has_unknown: bool,
}

impl Default for DynamicTable {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, max_bytes: Some(DEFAULT_MAX_BYTES), has_unknown: false }
    }
}

impl DynamicTable {
    /// Returns that of a connection of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self { max_bytes: None, has_unknown: true, ..Self::default() }
    }

    /// Returns what an index beyond the static table refers to, counted from 0.
    pub(super) fn get(&self, index: usize) -> Reference<'_> {
        if let Some(entry) = self.entries.get(index) {
            let (name, value) = entry.parts();
            return Reference::Known(name, value);
        }
        let before = index.saturating_sub(self.entries.len()).saturating_add(1);
        let room = self.max_bytes.unwrap_or(MAX_TABLE_BYTES).saturating_sub(self.size);
        if self.has_unknown && before.saturating_mul(ENTRY_BYTES) <= room {
            Reference::Unknown
        } else {
            Reference::None
        }
    }

    /// Adds the newest entry. Older ones are dropped to make room, all of them if it is larger than the table.
    pub(super) fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        if size > self.kept_bytes() {
            return self.refuse(size);
        }
        self.shrink(self.kept_bytes().saturating_sub(size));
        self.size = self.size.saturating_add(size);
        self.entries.push_front(entry);
        self.settle();
    }

    /// Does what adding an entry of at least `least_bytes` bytes would do, if it is too large to be kept.
    pub(super) fn refuse(&mut self, least_bytes: usize) {
        self.entries.clear();
        self.size = 0;
        // If it is larger than the client's table, that is empty now. If not, it is in there.
        self.has_unknown = self.max_bytes.is_none_or(|max| least_bytes <= max);
    }

    /// Changes the client's maximum (RFC 7541 section 6.3).
    pub(super) fn resize(&mut self, max_bytes: usize) {
        self.max_bytes = Some(max_bytes);
        self.shrink(self.kept_bytes());
        self.settle();
    }

    /// Returns the memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        let places = self.entries.capacity().saturating_mul(size_of::<Entry>());
        self.entries.iter().map(|entry| entry.bytes.len()).fold(places, usize::saturating_add)
    }

    /// Returns how many bytes of entries are kept.
    fn kept_bytes(&self) -> usize {
        self.max_bytes.unwrap_or(usize::MAX).min(MAX_TABLE_BYTES)
    }

    /// Drops the oldest entries beyond `bytes`.
    fn shrink(&mut self, bytes: usize) {
        while self.size > bytes
            && let Some(entry) = self.entries.pop_back()
        {
            self.size = self.size.saturating_sub(entry.size());
            // The client has dropped it, too, and all before it, unless it keeps more.
            self.has_unknown = self.max_bytes.is_none_or(|max| max > MAX_TABLE_BYTES);
        }
    }

    /// Finds out whether there is room for unknown entries.
    fn settle(&mut self) {
        let is_full = |max: usize| self.size.saturating_add(ENTRY_BYTES) > max;
        if self.max_bytes.is_some_and(is_full) {
            self.has_unknown = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry::new(Some(name.as_bytes()), b"v")
    }

    /// Returns the names at the first indices, `?` for an unknown and `-` for no entry.
    fn names(table: &DynamicTable) -> Vec<String> {
        let name = |index| match table.get(index) {
            Reference::Known(Some(name), _) => String::from_utf8_lossy(name).into_owned(),
            Reference::Known(None, _) => "??".to_owned(),
            Reference::Unknown => "?".to_owned(),
            Reference::None => "-".to_owned(),
        };
        (0..4).map(name).collect()
    }

    #[test]
    fn new_entries_move_unknown_ones_up() {
        let mut table = DynamicTable::unknown();
        assert_eq!(names(&table), ["?", "?", "?", "?"]);
        table.insert(entry("a"));
        table.insert(Entry::new(None, b"v"));
        assert_eq!(names(&table), ["??", "a", "?", "?"]);
        table.resize(0);
        assert_eq!(names(&table), ["-", "-", "-", "-"]);
        table.resize(4096);
        table.insert(entry("b"));
        assert_eq!(names(&table), ["b", "-", "-", "-"]);
    }

    #[test]
    fn a_full_table_has_no_unknown_entries() {
        let mut table = DynamicTable::unknown();
        table.insert(entry("a"));
        table.insert(entry("b"));
        // Room for two entries of 34 bytes and an unknown one, for two, and for one.
        for (max_bytes, expected) in
            [(100, ["b", "a", "?", "-"]), (99, ["b", "a", "-", "-"]), (67, ["b", "-", "-", "-"])]
        {
            table.resize(max_bytes);
            assert_eq!(names(&table), expected, "{max_bytes}");
        }
    }

    #[test]
    fn an_entry_larger_than_the_table_empties_it() {
        let mut table = DynamicTable::default();
        table.insert(entry("a"));
        table.insert(Entry::new(Some(b"large"), &[0; 4096]));
        assert_eq!(names(&table)[0], "-");
        let mut table = DynamicTable::unknown();
        table.insert(entry("a"));
        table.insert(Entry::new(Some(b"large"), &vec![0; MAX_TABLE_BYTES]));
        assert_eq!(names(&table)[0], "?");
    }

    #[test]
    fn no_announced_size_makes_it_keep_more() {
        let mut table = DynamicTable::default();
        table.resize(1 << 31);
        for _ in 0..1000 {
            table.insert(Entry::new(Some(b"name"), &[0; 1000]));
        }
        assert!(table.size <= MAX_TABLE_BYTES && table.memory() <= 2 * MAX_TABLE_BYTES);
        assert_eq!(table.get(1000), Reference::Unknown);
    }
}
