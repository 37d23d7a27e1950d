//! The urgent bytes of a stream, which are not part of what a server reads (RFC 6093).

/// The positions of urgent bytes that were not handed on yet, in ascending order.
#[derive(Debug, Default)]
pub(super) struct Urgent(Vec<u64>);

impl Urgent {
    /// Returns whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes one as Linux does (`tcp_check_urg` in `net/ipv4/tcp_input.c`). `next` is the position that the server
    /// expects next. What lies below, it has read, as far as can be told. Of two urgent bytes that it has not read, only
    /// the later one is urgent, and the other is part of the stream.
    pub(super) fn note(&mut self, position: u64, next: u64) {
        match self.0.last_mut() {
            _ if position < next => {}
            Some(last) if *last >= next => *last = position.max(*last),
            _ => self.0.push(position),
        }
    }

    /// Removes and returns the first one below `end`.
    pub(super) fn take_below(&mut self, end: u64) -> Option<u64> {
        self.0.first().is_some_and(|first| *first < end).then(|| self.0.remove(0))
    }
}
