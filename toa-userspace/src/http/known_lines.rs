//! Field lines that were read before, and which followed which. Most requests have the same lines as others in the same
//! order, so that a line need not even be searched for its end.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering},
};

use super::field_line::FieldLine;
use crate::memo::fingerprint::Fingerprint;

/// Longest line that is remembered, in bytes without its end.
pub(crate) const MAX_LINE_LEN: usize = 255;

/// Number of sets of two slots each, a power of two.
const SETS: usize = 512;

/// The end of a line, as nearly all have it.
const LINE_END: &[u8] = b"\r\n";

/// Where a line is remembered. Equal places are those of equal lines: a line that replaces another has a new one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place(NonZeroU64);

impl Place {
    /// Number of slots.
    pub(crate) const SLOTS: usize = 2 * SETS;

    /// Returns a new place in a slot.
    fn new(slot: usize) -> Option<Self> {
        // Of the whole process, so that a place is that of one line even if several tables are in use.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NonZeroU64::new(number.wrapping_mul(Self::SLOTS as u64) | slot as u64).map(Self)
    }

    /// Returns the number of its slot, below [`Self::SLOTS`].
    pub(crate) fn slot(self) -> usize {
        (self.0.get() % Self::SLOTS as u64) as usize
    }
}

/// A line, what was read in it, and what followed it.
#[derive(Clone, Debug, Default)]
struct Slot {
    print: Fingerprint,
    /// The line with [`LINE_END`].
    line: Vec<u8>,
    field: FieldLine,
    /// `None` if no line is remembered.
    place: Option<Place>,
    /// The slot of the line that followed it the last time.
    follower: u16,
    /// Whether it is the one of its set that was found last.
    is_latest: bool,
}

/// What was read in a line, and its place if it is remembered.
pub(super) type Known = (FieldLine, Option<Place>);

/// A table of a fixed size. A line takes the place of the one in its set that was not the latest to be found, so that lines
/// which never repeat do not replace one that does.
#[derive(Debug)]
pub(super) struct KnownLines {
    slots: Box<[Slot]>,
    /// The slot of the line that the next head is likely to begin with.
    first: u16,
}

impl Default for KnownLines {
    fn default() -> Self {
        Self { slots: vec![Slot::default(); Place::SLOTS].into(), first: 0 }
    }
}

impl KnownLines {
    /// Announces the line that the next head is likely to begin with.
    pub(super) fn expect(&mut self, line: Option<Place>) {
        if let Some(place) = line {
            // Below 2^16.
            self.first = place.slot() as u16;
        }
    }

    /// Returns the line at the beginning of `bytes` if it is the one that followed `before` the last time, or that is to begin a
    /// head, and its length with its end.
    #[inline]
    pub(super) fn follower(&self, before: Option<Place>, bytes: &[u8]) -> Option<(Known, usize)> {
        let slot = match before {
            None => self.first,
            Some(before) => self.slots.get(before.slot())?.follower,
        };
        let slot = self.slots.get(usize::from(slot))?;
        let is_same = slot.place.is_some() && bytes.starts_with(&slot.line);
        is_same.then_some(((slot.field, slot.place), slot.line.len()))
    }

    /// Returns what is known of `line`, which follows `before` or begins a head. It is without its line end; one that has
    /// another, as HTTP/2 can send it, is not remembered.
    pub(super) fn get(&mut self, line: &[u8], before: Option<Place>) -> Known {
        if line.len() > MAX_LINE_LEN || memchr::memchr(b'\n', line).is_some() {
            return (FieldLine::read(line), None);
        }
        let print = Fingerprint::of(line);
        let number = 2 * print.hash(line, SETS);
        let Some([first, second]) = self.slots.get_mut(number..).and_then(|slots| slots.first_chunk_mut())
        else {
            return (FieldLine::read(line), None);
        };
        let is_second = second.is_of(print, line) || (!first.is_of(print, line) && first.is_latest);
        (first.is_latest, second.is_latest) = (!is_second, is_second);
        let (slot, number) = if is_second { (second, number + 1) } else { (first, number) };
        if !slot.is_of(print, line) {
            slot.print = print;
            slot.line.clear();
            // At once, so that no longer line needs more.
            slot.line.reserve_exact(MAX_LINE_LEN + LINE_END.len());
            slot.line.extend_from_slice(line);
            slot.line.extend_from_slice(LINE_END);
            slot.field = FieldLine::read(line);
            slot.place = Place::new(number);
        }
        let known = (slot.field, slot.place);
        let follower = match before.and_then(|before| self.slots.get_mut(before.slot())) {
            None => &mut self.first,
            Some(before) => &mut before.follower,
        };
        // Below 2^16.
        *follower = number as u16;
        known
    }
}

impl Slot {
    #[inline]
    fn is_of(&self, print: Fingerprint, line: &[u8]) -> bool {
        self.print == print && self.place.is_some() && self.line.strip_suffix(LINE_END) == Some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn place(lines: &mut KnownLines, line: &[u8]) -> Option<Place> {
        lines.get(line, None).1
    }

    #[test]
    fn remembered_lines_have_places_of_their_own() {
        let mut lines = KnownLines::default();
        let texts: Vec<_> = (0..20).map(|number| format!("x-field: {number}").into_bytes()).collect();
        let first: Vec<_> = texts.iter().map(|line| place(&mut lines, line)).collect();
        let second: Vec<_> = texts.iter().map(|line| place(&mut lines, line)).collect();
        assert_eq!(first, second);
        let slots: HashSet<_> = first.iter().map(|place| place.unwrap().slot()).collect();
        assert_eq!(slots.len(), texts.len());
        assert_eq!(place(&mut lines, &[b'a'; MAX_LINE_LEN + 1]), None);
        assert_eq!(place(&mut lines, b"x-two: lines\r\nhost: a"), None);
        assert!(place(&mut lines, &[b'a'; MAX_LINE_LEN]).is_some());
    }

    #[test]
    fn lines_that_never_repeat_do_not_replace_one_that_does() {
        let mut lines = KnownLines::default();
        let mut places = HashSet::new();
        for number in 0..10_000 {
            places.insert(place(&mut lines, b"accept-language: en-US,en;q=0.5").unwrap().0);
            place(&mut lines, format!("x-request-id: {number:016x}").as_bytes());
        }
        assert!(places.len() <= 2, "{}", places.len());
    }

    #[test]
    fn a_line_is_found_behind_the_one_that_it_followed_and_only_whole() {
        let mut lines = KnownLines::default();
        let (_, host) = lines.get(b"host: a", None);
        let (_, accept) = lines.get(b"accept: */*", host);
        let found =
            |before, bytes: &[u8]| lines.follower(before, bytes).map(|((_, place), len)| (place, len));
        assert_eq!(found(None, b"host: a\r\naccept: */*\r\n\r\n"), Some((host, 9)));
        assert_eq!(found(host, b"accept: */*\r\n\r\n"), Some((accept, 13)));
        for (before, bytes) in [
            (None, &b"host: ab\r\n"[..]),
            (None, b"host: a\r"),
            (None, b"host: a\n"),
            (None, b"accept: */*\r\n"),
            (host, b"host: a\r\n"),
            (accept, b"accept: */*\r\n"),
            (accept, b"\r\n"),
            (accept, b""),
        ] {
            assert_eq!(found(before, bytes), None, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn equal_places_are_those_of_equal_lines(
            numbers in prop::collection::vec((0..3000_u32, 0..40_usize), 1..3000)
        ) {
            let (mut lines, mut places, mut before) = (KnownLines::default(), HashMap::new(), None);
            for (number, len) in numbers {
                let line = [number.to_string().as_bytes(), &vec![b'0'; len]].concat();
                let whole = [&line, LINE_END].concat();
                let (field, place) = match lines.follower(before, &whole) {
                    Some((known, len)) => {
                        prop_assert_eq!(len, whole.len());
                        known
                    }
                    None => lines.get(&line, before),
                };
                prop_assert_eq!(field, FieldLine::read(&line));
                let place = place.unwrap();
                prop_assert_eq!(places.entry(place.0).or_insert_with(|| line.clone()), &line);
                before = Some(place);
            }
        }
    }
}
