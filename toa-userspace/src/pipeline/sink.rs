//! Receivers of results.

use super::connection::Connection;
use crate::event::Event;

/// A receiver of events.
pub trait Sink {
    /// Takes an event of a connection: first that it was opened, then the events of its stream in order, finally that
    /// it was closed. Cannot fail: a sink that writes keeps its error until it is asked for it.
    fn event(&mut self, connection: &Connection, event: &Event<'_>);
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        (**self).event(connection, event);
    }
}
