//! Printing no more requests than were asked for.

use std::io;

use super::{connection::Connection, sink::Sink};
use crate::event::Event;

/// A sink that writes.
pub trait FlushSink: Sink + Send {
    /// Passes on everything that was written, and returns the first error since the last call.
    fn flush(&mut self) -> io::Result<()>;
}

/// Counts requests, and is silent after a number of them.
#[derive(Debug)]
pub struct RequestLimit<S> {
    sink: S,
    left: Option<u64>,
    is_silent: bool,
}

impl<S: FlushSink> RequestLimit<S> {
    /// Passes events on to `sink`, up to so many requests.
    pub fn new(sink: S, count: Option<u64>) -> Self {
        Self { sink, left: count, is_silent: count == Some(0) }
    }

    /// Whether as many requests were printed as were asked for.
    pub fn is_reached(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints nothing more.
    pub fn silence(&mut self) {
        self.is_silent = true;
    }

    /// Passes on everything that was written, and returns the first error since the last call.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// The sink.
    pub fn into_inner(self) -> S {
        self.sink
    }
}

impl<S: FlushSink> Sink for RequestLimit<S> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        if self.is_silent {
            return;
        }
        self.sink.event(connection, event);
        if let (Event::Request(_), Some(left)) = (event, &mut self.left) {
            *left = left.saturating_sub(1);
            self.is_silent = *left == 0;
        }
    }
}
