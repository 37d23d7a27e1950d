//! The urgent bytes of a stream, which are not part of what a server reads (RFC 6093).

/// How many of them are remembered.
const REMEMBERED: usize = 16;

/// How a server reads a byte that was sent as urgent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reading {
    /// Apart from the stream.
    Apart,
    /// As part of the stream: another byte became urgent before it was read.
    InStream,
    /// Apart if it was read before the other byte became urgent, which is not known.
    Unknown,
}

/// The bytes that were sent as urgent and were not handed on yet, in ascending order of their positions.
#[derive(Debug, Default)]
pub(super) struct Urgent(Vec<(u64, Reading)>);

impl Urgent {
    /// Returns whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes one as Linux does (`tcp_check_urg` in `net/ipv4/tcp_input.c`). `next` is the position that the server
    /// expects next. What lies below, it has read, as far as can be told. Of two urgent bytes that it has not read, only
    /// the later one is urgent, and the other is part of the stream.
    pub(super) fn note(&mut self, position: u64, next: u64) {
        let is_full = self.0.len() >= REMEMBERED;
        match self.0.last_mut() {
            _ if position < next => {}
            Some((last, _)) if *last >= position => {}
            Some(last) if is_full => *last = (position, Reading::Apart),
            Some((last, reading)) => {
                if *last >= next {
                    *reading = Reading::InStream;
                }
                self.0.push((position, Reading::Apart));
            }
            None => self.0.push((position, Reading::Apart)),
        }
    }

    /// Takes into account that bytes before all these are missing: the server may have read them long ago.
    pub(super) fn pass_gap(&mut self) {
        let readings = self.0.iter_mut().map(|(_, reading)| reading);
        readings.filter(|reading| **reading == Reading::InStream).for_each(|it| *it = Reading::Unknown);
    }

    /// Removes and returns the first one below `end`.
    pub(super) fn take_below(&mut self, end: u64) -> Option<(u64, Reading)> {
        self.0.first().is_some_and(|(first, _)| *first < end).then(|| self.0.remove(0))
    }
}
