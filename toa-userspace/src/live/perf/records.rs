//! Responsible for the records in a ring's memory. Not responsible for the memory.

use super::{Drained, LOST, SAMPLE};

/// Bytes of a record's header: type 4, misc 2, size 2.
const HEADER_LEN: usize = 8;

/// The records between two positions of a ring. Positions count up for ever; the ring's length is a power of two.
pub(super) struct Records<'a> {
    data: &'a [u8],
    position: u64,
    end: u64,
    scratch: &'a mut Vec<u8>,
}

impl<'a> Records<'a> {
    pub(super) fn new(data: &'a [u8], position: u64, end: u64, scratch: &'a mut Vec<u8>) -> Self {
        Self { data, position, end, scratch }
    }

    /// Hands out every sample. A record that cannot be is where it ends: the ones behind it cannot be found.
    pub(super) fn read(mut self, sample: &mut impl FnMut(&[u8]), drained: &mut Drained) {
        while self.position != self.end {
            let Some((kind, size)) = self.header() else {
                drained.corrupt += 1;
                return;
            };
            let body = self.bytes(HEADER_LEN, size - HEADER_LEN);
            match kind {
                SAMPLE => {
                    match body.split_first_chunk().map(|(len, rest)| (u32::from_ne_bytes(*len), rest)) {
                        Some((len, rest)) => {
                            let len = usize::try_from(len).unwrap_or(usize::MAX);
                            sample(rest.get(..len).unwrap_or(rest));
                            drained.samples += 1;
                        }
                        None => drained.corrupt += 1,
                    }
                }
                LOST => match body.get(8..).and_then(|rest| rest.first_chunk()) {
                    Some(count) => drained.lost += u64::from_ne_bytes(*count),
                    None => drained.corrupt += 1,
                },
                _ => {}
            }
            self.position += size as u64;
        }
    }

    /// Type and size of the record at the position, if both can be.
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

    /// `len` bytes from `offset` bytes behind the position, which the ring has; put together where they lie
    /// across its end.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of `len` bytes that begins at a position.
    struct Fake {
        data: Vec<u8>,
        tail: u64,
        head: u64,
    }

    impl Fake {
        fn new(len: usize, position: u64) -> Self {
            Self { data: vec![0xee; len], tail: position, head: position }
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

        /// As the kernel does: the length includes what rounds the record up.
        fn sample(&mut self, sample: &[u8]) {
            let len = (sample.len() + 4).next_multiple_of(8) - 4;
            let mut body = u32::try_from(len).unwrap().to_ne_bytes().to_vec();
            body.extend_from_slice(sample);
            body.resize(4 + len, 0);
            self.record(SAMPLE, &body);
        }

        fn drain(&mut self) -> (Vec<Vec<u8>>, Drained) {
            let (mut samples, mut drained, mut scratch) = (Vec::new(), Drained::default(), Vec::new());
            Records::new(&self.data, self.tail, self.head, &mut scratch)
                .read(&mut |sample: &[u8]| samples.push(sample.to_vec()), &mut drained);
            self.tail = self.head;
            (samples, drained)
        }
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
            assert_eq!(drained, Drained { samples: 2, ..Drained::default() });
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
        assert_eq!(ring.head - ring.tail, 128);
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
        assert_eq!(ring.drain().1, Drained { lost: 7, ..Drained::default() });
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
        assert_eq!(ring.drain(), (vec![vec![5; 4]], Drained { samples: 1, ..Drained::default() }));
    }
}
