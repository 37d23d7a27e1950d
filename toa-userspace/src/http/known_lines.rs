//! Field lines that were read before, and which followed which. Most requests have the same lines as others in the same
//! order, so that a line need not even be searched for its end.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering},
};

use super::field_line::FieldLine;
use crate::memo::{fingerprint::Fingerprint, seen::Seen};

/// Longest line that is remembered, in bytes without its end.
pub(crate) const MAX_LINE_LEN: usize = 255;

/// Number of sets of two slots each, a power of two.
const SETS: usize = 512;

/// Number of trails that are told apart, a power of two: many more than there are lines, so that few are confused.
const TRAILS: u16 = 8192;

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

/// Where in a head a line is, as far as the lines before it tell that were known. The last two count; for the first line,
/// that at the beginning of the latest head of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trail(u16);

impl Trail {
    /// Returns the trail of the first line of a head. `first` is that of the latest head of its connection.
    fn of_head(first: Option<Place>) -> Self {
        // Below 2^16.
        Self(first.map_or(0, |first| first.slot() as u16))
    }

    /// Passes a line that is remembered in a slot.
    #[inline]
    fn pass(&mut self, slot: u16) {
        // Half of the bits remain of the line before, and hardly any of earlier ones.
        self.0 = ((self.0 << (TRAILS.ilog2() / 2)) ^ slot) % TRAILS;
    }

    fn index(self) -> usize {
        self.0.into()
    }
}

/// A line, and what was read in it.
#[derive(Clone, Debug, Default)]
struct Slot {
    print: Fingerprint,
    /// The line with [`LINE_END`].
    line: Vec<u8>,
    field: FieldLine,
    /// `None` if no line is remembered.
    place: Option<Place>,
    /// Whether it is the one of its set that was searched for last.
    is_latest: bool,
}

/// What was read in a line, and its place if it is remembered.
pub(super) type Known = (FieldLine, Option<Place>);

/// A table of a fixed size. A line is remembered when it comes for the second time, in place of the one in its set that was not
/// the latest.
#[derive(Debug)]
pub(super) struct KnownLines {
    seen: Seen,
    slots: Box<[Slot]>,
    /// The slot of the line that came after each trail the last time.
    followers: Box<[u16]>,
    /// The trail of the first line of the next head.
    begin: Trail,
}

impl Default for KnownLines {
    fn default() -> Self {
        Self {
            seen: Seen::default(),
            slots: vec![Slot::default(); Place::SLOTS].into(),
            followers: vec![0; TRAILS.into()].into(),
            begin: Trail::default(),
        }
    }
}

impl KnownLines {
    /// Announces a head of a connection whose latest one began with the line `first`.
    pub(super) fn expect(&mut self, first: Option<Place>) {
        self.begin = Trail::of_head(first);
    }

    /// Returns the trail of the first line of the head that was announced.
    pub(super) fn begin(&self) -> Trail {
        self.begin
    }

    /// Returns the line at the beginning of `bytes` if it is the one that came after `trail` the last time, and its length
    /// with its end.
    #[inline]
    pub(super) fn follower(&self, trail: &mut Trail, bytes: &[u8]) -> Option<(Known, usize)> {
        let number = *self.followers.get(trail.index())?;
        let slot = self.slots.get(usize::from(number))?;
        if slot.place.is_none() || !bytes.starts_with(&slot.line) {
            return None;
        }
        trail.pass(number);
        Some(((slot.field, slot.place), slot.line.len()))
    }

    /// Returns what is known of `line`, which comes after `trail`. It is without its line end; one with a control character,
    /// such as another line end in HTTP/2, is not remembered.
    pub(super) fn get(&mut self, line: &[u8], trail: &mut Trail) -> Known {
        let print = Fingerprint::of(line);
        let hash = print.hash(line);
        if !self.seen.note(hash) {
            return (FieldLine::read(line), None);
        }
        let number = 2 * hash.below(SETS);
        let Some([first, second]) = self.slots.get_mut(number..).and_then(|slots| slots.first_chunk_mut())
        else {
            return (FieldLine::read(line), None);
        };
        let (is_first, is_second) = (first.is_of(print, line), second.is_of(print, line));
        let is_new = !is_first && !is_second;
        let takes_second = is_second || (is_new && first.is_latest);
        let (slot, other, number) =
            if takes_second { (second, first, number + 1) } else { (first, second, number) };
        if is_new {
            let field = FieldLine::read(line);
            if line.len() > MAX_LINE_LEN || field.has_control {
                return (field, None);
            }
            slot.print = print;
            slot.line.clear();
            // At once, so that no longer line needs more.
            slot.line.reserve_exact(MAX_LINE_LEN + LINE_END.len());
            slot.line.extend_from_slice(line);
            slot.line.extend_from_slice(LINE_END);
            slot.field = field;
            slot.place = Place::new(number);
        }
        (slot.is_latest, other.is_latest) = (true, false);
        if let Some(follower) = self.followers.get_mut(trail.index()) {
            // Below 2^16.
            *follower = number as u16;
            trail.pass(*follower);
        }
        (slot.field, slot.place)
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
        lines.get(line, &mut Trail::default()).1
    }

    #[test]
    fn remembered_lines_have_places_of_their_own() {
        let mut lines = KnownLines::default();
        let texts: Vec<_> = (0..20).map(|number| format!("x-field: {number}").into_bytes()).collect();
        let [first, second, third] =
            [(); 3].map(|()| texts.iter().map(|line| place(&mut lines, line)).collect::<Vec<_>>());
        assert!(first.iter().all(Option::is_none));
        assert_eq!(second, third);
        let slots: HashSet<_> = second.iter().map(|place| place.unwrap().slot()).collect();
        assert_eq!(slots.len(), texts.len());
        let mut repeated = |line: &[u8]| [(); 3].map(|()| place(&mut lines, line))[2];
        assert_eq!(repeated(&[b'a'; MAX_LINE_LEN + 1]), None);
        assert_eq!(repeated(b"x-two: lines\r\nhost: a"), None);
        assert!(repeated(&[b'a'; MAX_LINE_LEN]).is_some());
    }

    #[test]
    fn lines_that_never_repeat_do_not_replace_one_that_does() {
        let mut lines = KnownLines::default();
        let mut places = HashSet::new();
        for number in 0..10_000 {
            places.insert(place(&mut lines, b"accept-language: en-US,en;q=0.5").map(|place| place.0));
            place(&mut lines, format!("x-request-id: {number:016x}").as_bytes());
        }
        assert!(places.len() <= 3, "{}", places.len());
    }

    #[test]
    fn a_line_is_found_where_it_was_the_last_time_and_only_whole() {
        let mut lines = KnownLines::default();
        for number in 0..3 {
            let trail = &mut Trail::default();
            for line in ["host: a", &format!("x-id: {number}"), "accept: */*"] {
                lines.get(line.as_bytes(), trail);
            }
        }
        let (begin, mut behind) = (Trail::default(), Trail::default());
        lines.follower(&mut behind, b"host: a\r\n").unwrap();
        let found = |trail: Trail, bytes: &[u8]| lines.follower(&mut { trail }, bytes).map(|(_, len)| len);
        assert_eq!(found(begin, b"host: a\r\naccept: */*\r\n\r\n"), Some(9));
        assert_eq!(found(behind, b"accept: */*\r\n\r\n"), Some(13));
        for (trail, bytes) in [
            (begin, &b"host: ab\r\n"[..]),
            (begin, b"host: a\r"),
            (begin, b"host: a\n"),
            (begin, b"accept: */*\r\n"),
            (behind, b"host: a\r\n"),
            (behind, b"x-id: 2\r\n"),
            (behind, b"\r\n"),
            (behind, b""),
        ] {
            assert_eq!(found(trail, bytes), None, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn equal_places_are_those_of_equal_lines(
            numbers in prop::collection::vec((0..3000_u32, 0..40_usize), 1..3000)
        ) {
            let (mut lines, mut places, mut trail) =
                (KnownLines::default(), HashMap::new(), Trail::default());
            for (number, len) in numbers {
                let line = [number.to_string().as_bytes(), &vec![b'0'; len]].concat();
                let whole = [&line, LINE_END].concat();
                let (field, place) = match lines.follower(&mut trail, &whole) {
                    Some((known, len)) => {
                        prop_assert_eq!(len, whole.len());
                        known
                    }
                    None => lines.get(&line, &mut trail),
                };
                prop_assert_eq!(field, FieldLine::read(&line));
                if let Some(place) = place {
                    prop_assert_eq!(places.entry(place.0).or_insert_with(|| line.clone()), &line);
                }
            }
        }
    }
}
