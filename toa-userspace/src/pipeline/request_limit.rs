//! Responsible for printing no more requests than were asked for. Not responsible for what ends with the last one.

use std::io;

use crate::pipeline::{Event, Sink, connection::Connection};

/// A sink that writes.
pub trait Output: Sink + Send {
    /// Hands everything on that was written, and returns the first error since the last call.
    fn flush(&mut self) -> io::Result<()>;
}

/// Counts requests, and is silent after a number of them.
#[derive(Debug)]
pub struct Limited<O> {
    output: O,
    left: Option<u64>,
    is_silent: bool,
}

impl<O: Output> Limited<O> {
    /// Passes on what happens to `output`, up to so many requests.
    pub fn new(output: O, count: Option<u64>) -> Self {
        Self { output, left: count, is_silent: count == Some(0) }
    }

    /// Whether as many requests were printed as were asked for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints nothing more.
    pub fn silence(&mut self) {
        self.is_silent = true;
    }

    /// Hands everything on that was written, and returns the first error since the last call.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// What it prints to.
    pub fn into_inner(self) -> O {
        self.output
    }
}

impl<O: Output> Sink for Limited<O> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        if self.is_silent {
            return;
        }
        self.output.event(connection, event);
        if let (Event::Request(_), Some(left)) = (event, &mut self.left) {
            *left = left.saturating_sub(1);
            self.is_silent = *left == 0;
        }
    }
}
