//! An encoder that makes use of everything that RFC 7541 allows, and knows since when each part of a field is known to who
//! joins.

use std::collections::VecDeque;

/// Decisions of an encoder.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Returns a number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // xorshift64*.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    pub(super) fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// A field, and from which block on the connection must be known for its name and its value to be known.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) name_since: usize,
    pub(super) value_since: usize,
}

impl Sent {
    fn size(&self) -> usize {
        self.name.len() + self.value.len() + 32
    }
}

/// The encoder.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The newest first.
    entries: VecDeque<Sent>,
    max: usize,
    blocks: usize,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), max: 4096, blocks: 0 }
    }

    /// Encodes a header block.
    pub(super) fn block(
        &mut self,
        fields: &[(&str, String)],
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> Vec<Sent> {
        let now = self.blocks;
        self.blocks += 1;
        if random.once_in(8) {
            let sizes =
                if random.once_in(3) { vec![0, 300] } else { vec![[100, 500, 4096][random.below(3)]] };
            for size in sizes {
                integer(0x20, 5, size, out);
                self.max = size;
                self.evict(0);
            }
        }
        fields.iter().map(|(name, value)| self.field(name, value, now, random, out)).collect()
    }

    fn field(&mut self, name: &str, value: &str, now: usize, random: &mut Random, out: &mut Vec<u8>) -> Sent {
        let fixed = match (name, value) {
            (":method", "GET") => Some(2),
            (":method", "POST") => Some(3),
            (":scheme", "http") => Some(6),
            _ => None,
        };
        if let Some(index) = fixed
            && !random.once_in(4)
        {
            integer(0x80, 7, index, out);
            return Sent {
                name: name.to_owned(),
                value: value.to_owned(),
                name_since: now,
                value_since: now,
            };
        }
        let whole = self.entries.iter().position(|it| it.name == name && it.value == value);
        if let Some(position) = whole
            && !random.once_in(5)
        {
            integer(0x80, 7, 62 + position, out);
            return self.entries[position].clone();
        }
        let named = self.entries.iter().position(|it| it.name == name).filter(|_| !random.once_in(4));
        let kinds = [(0x40, 6), (0x40, 6), (0, 4), (0x10, 4)];
        let (kind, prefix_bits) = kinds[random.below(kinds.len())];
        integer(kind, prefix_bits, named.map_or(0, |position| 62 + position), out);
        let name_since = named.map_or(now, |position| self.entries[position].name_since);
        if named.is_none() {
            text(name, out);
        }
        text(value, out);
        let sent = Sent { name: name.to_owned(), value: value.to_owned(), name_since, value_since: now };
        if kind == 0x40 {
            self.evict(sent.size());
            if sent.size() <= self.max {
                self.entries.push_front(sent.clone());
            }
        }
        sent
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, bytes: usize) {
        while !self.entries.is_empty()
            && self.entries.iter().map(Sent::size).sum::<usize>() + bytes > self.max
        {
            self.entries.pop_back();
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    integer(0, 7, text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends an integer after the given bits (RFC 7541 section 5.1).
fn integer(bits: u8, prefix_bits: u32, value: usize, out: &mut Vec<u8>) {
    let most = (1 << prefix_bits) - 1;
    if value < most {
        return out.push(bits | value as u8);
    }
    out.push(bits | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
