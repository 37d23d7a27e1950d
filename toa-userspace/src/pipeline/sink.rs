//! Where results go.

use super::connection::Connection;
use crate::event::Event;

/// Takes results.
pub trait Sink {
    /// Something became of a connection: it was opened, then what its stream had in its order, then it was closed.
    /// This cannot fail: a sink that writes keeps its error until it is asked.
    fn event(&mut self, connection: &Connection, event: &Event<'_>);
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        (**self).event(connection, event);
    }
}
