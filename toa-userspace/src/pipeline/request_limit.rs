//! A sink that stops after a number of requests.

use std::io;

use super::{connection::Connection, sink::Sink};
use crate::{event::Event, http::head::HttpRequest, ledger::losses::Loss};

/// A sink that writes.
pub trait FlushSink: Sink + Send {
    /// Writes everything that is buffered. Returns the first error since the last call.
    fn flush(&mut self) -> io::Result<()>;

    /// Adds `ns` nanoseconds to every time that is written from now on.
    fn shift_times(&mut self, ns: i64);

    /// Writes what was lost, as of `time_ns` nanoseconds since the Unix epoch.
    fn loss(&mut self, loss: &Loss, time_ns: u64);

    /// Takes a sample of a ring before it is read, to write it to a capture. `clock_offset_ns` is added to its time to get
    /// nanoseconds since the Unix epoch.
    fn packet(&mut self, sample: &[u8], clock_offset_ns: u64);

    /// Takes a request instead of [`Sink::event`]. Returns whether it was written: it may not be one of those that are wanted.
    fn request(&mut self, connection: &Connection, request: &HttpRequest<'_>) -> bool;
}

/// Passes on events until a number of requests is reached.
#[derive(Debug)]
pub struct RequestLimit<S> {
    sink: S,
    left: Option<u64>,
    passed: u64,
    is_silent: bool,
}

impl<S: FlushSink> RequestLimit<S> {
    /// Passes events on to `sink`, up to `count` requests, or without a limit.
    pub fn new(sink: S, count: Option<u64>) -> Self {
        Self { sink, left: count, passed: 0, is_silent: count == Some(0) }
    }

    /// Returns whether the number of requests is reached.
    pub fn is_reached(&self) -> bool {
        self.left == Some(0)
    }

    /// Returns the number of requests that were passed on.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Discards all further events.
    pub fn silence(&mut self) {
        self.is_silent = true;
    }

    /// Writes everything that is buffered. Returns the first error since the last call.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Adds `ns` nanoseconds to every time that is written from now on.
    pub fn shift_times(&mut self, ns: i64) {
        self.sink.shift_times(ns);
    }

    /// Writes what was lost, as of `time_ns` nanoseconds since the Unix epoch.
    pub fn loss(&mut self, loss: &Loss, time_ns: u64) {
        if !self.is_silent {
            self.sink.loss(loss, time_ns);
        }
    }

    /// Takes a sample of a ring before it is read.
    pub fn packet(&mut self, sample: &[u8], clock_offset_ns: u64) {
        if !self.is_silent {
            self.sink.packet(sample, clock_offset_ns);
        }
    }

    /// Returns the sink.
    pub fn into_inner(self) -> S {
        self.sink
    }
}

impl<S: FlushSink> Sink for RequestLimit<S> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        if self.is_silent {
            return;
        }
        let Event::Request(request) = event else { return self.sink.event(connection, event) };
        if self.sink.request(connection, request) {
            self.passed = self.passed.saturating_add(1);
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(1);
                self.is_silent = *left == 0;
            }
        }
    }
}
