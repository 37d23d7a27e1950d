//! The records in the rings, merged in the order of their times. [`super`] maps the memory of the rings.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::atomic::{AtomicU64, Ordering},
};

use aya_obj::generated::perf_event_type;

/// The type of a record that carries a sample.
const SAMPLE: u32 = perf_event_type::PERF_RECORD_SAMPLE as u32;
/// The type of a record that reports how many were lost.
const LOST: u32 = perf_event_type::PERF_RECORD_LOST as u32;

/// Bytes of a record's header: type 4, misc 2, size 2.
const HEADER_LEN: usize = 8;

/// Bytes of the length that precedes a sample.
const LENGTH_LEN: usize = 4;

/// Consumed space is returned in sixteenths of the ring: returning it only at the end would delay the producer,
/// returning it per record would make both sides contend for `data_tail`.
const PARTS: u64 = 16;

/// The counts of one round of reading.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DrainStats {
    /// Samples that were read.
    pub samples: u64,
    /// Records that the kernel reported as lost. More may be lost: the kernel reports losses only when there is space
    /// again. The program's own counters are exact.
    pub lost: u64,
    /// Malformed records. After one of an impossible size, the rest of the ring is discarded.
    pub corrupt: u64,
}

/// Passes every sample of several rings to `sample`, in the order of their times.
pub(super) fn merge(mut rings: Vec<Records<'_>>, mut sample: impl FnMut(&[u8]), drained: &mut DrainStats) {
    let mut next = BinaryHeap::with_capacity(rings.len());
    for (index, ring) in rings.iter_mut().enumerate() {
        next.extend(ring.next_time(drained).map(|time| Reverse((time, index))));
    }
    while let Some(Reverse((_, index))) = next.pop() {
        let Some(ring) = rings.get_mut(index) else {
            return;
        };
        // Samples mostly come in runs of one ring, so stay with a ring while its samples are the earliest.
        let until = next.peek().map_or((u64::MAX, usize::MAX), |Reverse(other)| *other);
        loop {
            ring.take(&mut sample, drained);
            match ring.next_time(drained) {
                Some(time) if (time, index) <= until => {}
                Some(time) => break next.push(Reverse((time, index))),
                None => break,
            }
        }
    }
}

/// The records between two positions of a ring. Positions do not wrap at the end of the ring, whose length is a power
/// of two.
pub(super) struct Records<'a> {
    data: &'a [u8],
    /// The position up to which space was returned to the kernel.
    tail: &'a AtomicU64,
    position: u64,
    end: u64,
    /// Bytes of the record at `position`, or 0 if its header was not read yet.
    size: usize,
    scratch: &'a mut Vec<u8>,
}

impl<'a> Records<'a> {
    /// Takes the records between `tail` and `end`.
    pub(super) fn new(data: &'a [u8], tail: &'a AtomicU64, end: u64, scratch: &'a mut Vec<u8>) -> Self {
        Self { data, tail, position: tail.load(Ordering::Relaxed), end, size: 0, scratch }
    }

    /// Moves to the next sample and returns its time: its first eight bytes, or 0 if it is shorter. Records after one
    /// of an impossible size cannot be found, so the ring ends there.
    fn next_time(&mut self, drained: &mut DrainStats) -> Option<u64> {
        self.advance();
        while self.position != self.end {
            let Some((kind, size)) = self.header() else {
                drained.corrupt += 1;
                self.position = self.end;
                return None;
            };
            self.size = size;
            match kind {
                SAMPLE if size >= HEADER_LEN + LENGTH_LEN => {
                    let body = size - HEADER_LEN - LENGTH_LEN;
                    let time = self.bytes(HEADER_LEN + LENGTH_LEN, body.min(8)).first_chunk();
                    return Some(time.map_or(0, |time| u64::from_ne_bytes(*time)));
                }
                LOST if size >= HEADER_LEN + 16 => {
                    let count = self.bytes(HEADER_LEN + 8, 8).first_chunk();
                    drained.lost += count.map_or(0, |count| u64::from_ne_bytes(*count));
                }
                SAMPLE | LOST => drained.corrupt += 1,
                _ => {}
            }
            self.advance();
        }
        None
    }

    /// Passes the sample at `position` to `sample`.
    fn take(&mut self, sample: &mut impl FnMut(&[u8]), drained: &mut DrainStats) {
        let body = self.bytes(HEADER_LEN, self.size.saturating_sub(HEADER_LEN));
        if let Some((len, rest)) = body.split_first_chunk() {
            let len = usize::try_from(u32::from_ne_bytes(*len)).unwrap_or(usize::MAX);
            sample(rest.get(..len).unwrap_or(rest));
            drained.samples += 1;
        }
    }

    /// Moves past the record at `position`.
    fn advance(&mut self) {
        self.position += self.size as u64;
        self.size = 0;
        if self.position.wrapping_sub(self.tail.load(Ordering::Relaxed)) >= self.data.len() as u64 / PARTS {
            self.release();
        }
    }

    /// Returns the consumed space to the kernel.
    fn release(&mut self) {
        // Do not touch `data_tail` if nothing was consumed: the write would bounce its cache line.
        if self.tail.load(Ordering::Relaxed) != self.position {
            self.tail.store(self.position, Ordering::Release);
        }
    }

    /// Returns the type and size of the record at `position`, or `None` if the size is impossible.
    fn header(&mut self) -> Option<(u32, usize)> {
        let available = usize::try_from(self.end.wrapping_sub(self.position)).ok()?;
        if available < HEADER_LEN || available > self.data.len() {
            return None;
        }
        let &[k0, k1, k2, k3, _, _, s0, s1] = self.bytes(0, HEADER_LEN).first_chunk()?;
        let size = usize::from(u16::from_ne_bytes([s0, s1]));
        // Sizes are multiples of 8 (perf_prepare_sample).
        let can_be = size >= HEADER_LEN && size <= available && size.is_multiple_of(8);
        can_be.then_some((u32::from_ne_bytes([k0, k1, k2, k3]), size))
    }

    /// Returns `len` bytes at `offset` from `position`, which must be in the ring. Bytes that wrap around its end are
    /// copied together.
    fn bytes(&mut self, offset: usize, len: usize) -> &[u8] {
        let mask = self.data.len() as u64 - 1;
        let start = ((self.position + offset as u64) & mask) as usize;
        if let Some(bytes) = self.data.get(start..start + len) {
            return bytes;
        }
        let first = self.data.get(start..).unwrap_or_default();
        let second = self.data.get(..len - first.len()).unwrap_or_default();
        self.scratch.clear();
        self.scratch.extend_from_slice(first);
        self.scratch.extend_from_slice(second);
        self.scratch
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring in ordinary memory.
    struct Fake {
        data: Vec<u8>,
        tail: AtomicU64,
        head: u64,
        scratch: Vec<u8>,
    }

    impl Fake {
        fn new(len: usize, position: u64) -> Self {
            Self { data: vec![0xee; len], tail: position.into(), head: position, scratch: Vec::new() }
        }

        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                let at = self.head as usize % self.data.len();
                self.data[at] = *byte;
                self.head += 1;
            }
        }

        fn record(&mut self, kind: u32, body: &[u8]) {
            let size = (HEADER_LEN + body.len()).next_multiple_of(8);
            self.write(&kind.to_ne_bytes());
            self.write(&[0, 0]);
            self.write(&u16::try_from(size).unwrap().to_ne_bytes());
            self.write(body);
            self.write(&vec![0; size - HEADER_LEN - body.len()]);
        }

        /// As in the kernel, the length includes the padding that rounds the record up.
        fn sample(&mut self, sample: &[u8]) {
            let len = (sample.len() + 4).next_multiple_of(8) - 4;
            let mut body = u32::try_from(len).unwrap().to_ne_bytes().to_vec();
            body.extend_from_slice(sample);
            body.resize(4 + len, 0);
            self.record(SAMPLE, &body);
        }

        fn records(&mut self) -> Records<'_> {
            Records::new(&self.data, &self.tail, self.head, &mut self.scratch)
        }

        fn drain(&mut self) -> (Vec<Vec<u8>>, DrainStats) {
            let found = drain(std::slice::from_mut(self));
            assert_eq!(self.tail.load(Ordering::Relaxed), self.head, "all the room is given back");
            found
        }
    }

    fn drain(rings: &mut [Fake]) -> (Vec<Vec<u8>>, DrainStats) {
        let (mut samples, mut drained) = (Vec::new(), DrainStats::default());
        let records = rings.iter_mut().map(Fake::records).collect();
        merge(records, |sample| samples.push(sample.to_vec()), &mut drained);
        (samples, drained)
    }

    #[test]
    fn samples_wrap_at_every_place() {
        let mut ring = Fake::new(256, 0);
        for round in 0..200_u8 {
            let sample = vec![round; 44 + usize::from(round % 3) * 8];
            ring.sample(&sample);
            ring.sample(&[round; 4]);
            let (samples, drained) = ring.drain();
            assert_eq!(samples, [sample, vec![round; 4]]);
            assert_eq!(drained, DrainStats { samples: 2, ..DrainStats::default() });
        }
    }

    #[test]
    fn positions_may_be_beyond_32_bits() {
        let mut ring = Fake::new(64, u64::from(u32::MAX) - 15);
        ring.sample(&[7; 28]);
        assert_eq!(ring.drain().0, [vec![7; 28]]);
    }

    #[test]
    fn a_full_ring_is_read_whole() {
        let mut ring = Fake::new(128, 72);
        ring.sample(&[1; 52]);
        ring.sample(&[2; 52]);
        assert_eq!(ring.head - ring.tail.load(Ordering::Relaxed), 128);
        assert_eq!(ring.drain().0, [vec![1; 52], vec![2; 52]]);
    }

    #[test]
    fn the_largest_sample_is_read() {
        let largest = toa_common::limits::MAX_SAMPLE_BYTES;
        let mut ring = Fake::new(1 << 17, 100_000 * 8);
        ring.sample(&vec![9; largest]);
        let (samples, _) = ring.drain();
        assert_eq!(samples[0].len(), largest);
        assert!(u16::try_from(HEADER_LEN + 4 + largest).is_ok());
    }

    #[test]
    fn lost_records_are_added_up() {
        let mut ring = Fake::new(128, 8);
        for lost in [3_u64, 4] {
            let body = [7_u64.to_ne_bytes(), lost.to_ne_bytes()].concat();
            ring.record(LOST, &body);
        }
        assert_eq!(ring.drain().1, DrainStats { lost: 7, ..DrainStats::default() });
    }

    #[test]
    fn a_size_that_cannot_be_ends_the_reading() {
        for size in [0_u16, 4, 12, 200] {
            let mut ring = Fake::new(128, 0);
            ring.sample(&[1; 4]);
            ring.write(&SAMPLE.to_ne_bytes());
            ring.write(&[0, 0]);
            ring.write(&size.to_ne_bytes());
            let (samples, drained) = ring.drain();
            assert_eq!(samples, [[1; 4]]);
            assert_eq!(drained.corrupt, 1, "size {size}");
        }
    }

    #[test]
    fn unknown_records_are_passed_over() {
        let mut ring = Fake::new(128, 0);
        ring.record(77, &[1, 2, 3]);
        ring.sample(&[5; 4]);
        assert_eq!(ring.drain(), (vec![vec![5; 4]], DrainStats { samples: 1, ..DrainStats::default() }));
    }

    #[test]
    fn several_rings_are_read_in_the_order_of_time() {
        let mut rings = [0, 8, 200].map(|position| Fake::new(256, position));
        let times = [[1_u64, 2, 9].as_slice(), &[3, 4, 5, 10], &[]];
        for (ring, times) in rings.iter_mut().zip(times) {
            ring.record(77, &[1]);
            for time in times {
                ring.sample(&[&time.to_ne_bytes()[..], &[0; 4]].concat());
            }
        }
        let (samples, drained) = drain(&mut rings);
        let found: Vec<_> = samples.iter().map(|it| u64::from_ne_bytes(*it.first_chunk().unwrap())).collect();
        assert_eq!(found, [1, 2, 3, 4, 5, 9, 10]);
        assert_eq!(drained.samples, 7);
    }

    #[test]
    fn room_is_given_back_while_a_ring_is_read() {
        let mut ring = Fake::new(256, 0);
        for _ in 0..8 {
            ring.sample(&[0; 20]);
        }
        let (mut drained, mut seen) = (DrainStats::default(), Vec::new());
        let Fake { data, tail, head, scratch } = &mut ring;
        let records = Records::new(data, tail, *head, scratch);
        merge(vec![records], |_| seen.push(tail.load(Ordering::Relaxed)), &mut drained);
        assert_eq!(seen, (0..8).map(|number| number * 32).collect::<Vec<_>>());
    }
}
